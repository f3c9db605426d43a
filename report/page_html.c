#include <errno.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/format.h"
#include "report/page_part.h"

static const char *entity(char c) {
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

void psc_html_text(FILE *out, const char *text) {
    while (text != NULL && *text != '\0') {
        uint32_t character = 0;
        unsigned length = psc_format_decode(text, &character);
        const char *name = entity(*text);
        if (name != NULL) {
            fputs(name, out);
        } else if (length == 0 || psc_format_is_control(character)) {
            fputs("\xef\xbf\xbd", out); /* the replacement character */
        } else {
            fwrite(text, 1, length, out);
        }
        text += length == 0 ? 1 : length;
    }
}

static void write_triple(FILE *out, const unsigned char *bytes, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
    char text[4] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63], digits[bits & 63]};
    memset(text + count + 1, '=', 3 - count);
    fwrite(text, 1, sizeof(text), out);
}

int psc_html_base64(FILE *out, FILE *in) {
    unsigned char bytes[3 * 1024];
    size_t got = 0;
    while ((got = fread(bytes, 1, sizeof(bytes), in)) > 0) {
        memset(bytes + got, 0, got < sizeof(bytes) ? (3 - got % 3) % 3 : 0);
        for (size_t i = 0; i < got; i += 3) {
            write_triple(out, bytes + i, got - i < 3 ? got - i : 3);
        }
    }
    return ferror(in) || ferror(out) ? -1 : 0;
}
