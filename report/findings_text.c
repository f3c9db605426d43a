#include <string.h>

#include "report/findings.h"

#define LINE_COLUMNS 110

/* Breaks lines between words; those behind the first begin with so many spaces. */
static void write_wrapped(const char *text, size_t indent, FILE *out) {
    size_t column = indent;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (column > indent && column + 1 + length > LINE_COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, length, out);
        column += length;
        text += length + strspn(text + length, " ");
    }
    fputc('\n', out);
}

void psc_findings_write(struct psc_model *model, FILE *out) {
    struct psc_findings findings;
    psc_findings_make(model, &findings);
    fputs("\nFindings, by what acting on them would bring back\n", out);
    for (size_t i = 0; i < findings.count; i++) {
        fprintf(out, "  %2zu. ", i + 1);
        write_wrapped(findings.all[i].text, strlen("  10. "), out);
    }
    if (findings.count == 0) {
        fputs("  " PSC_FINDINGS_NONE "\n", out);
    }
    psc_findings_release(&findings);
}
