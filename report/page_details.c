/* Tables for those who look closer, folded at first. */
#include <inttypes.h>
#include <stdlib.h>

#include "report/format.h"
#include "report/page_part.h"
#include "report/symbols.h"

#define MODULES_MAX 500
#define THREADS_MAX 500

static void open_table(FILE *out, const char *title, size_t count, const char *heads) {
    fprintf(
        out,
        "<details class=card><summary>%s (%s)</summary>\n<div class=scroll><table><thead><tr>%s</tr></thead><tbody>\n",
        title, psc_format_count(count).s, heads);
}

static void close_table(FILE *out, size_t left_out) {
    fputs("</tbody></table></div>\n", out);
    if (left_out != 0) {
        fprintf(out, "<p class=soft>%s more are not shown.</p>\n", psc_format_count(left_out).s);
    }
    fputs("</details>\n", out);
}

static void number(FILE *out, struct psc_text text) {
    fprintf(out, "<td class=n>%s</td>", text.s);
}

/* ---- size classes ------------------------------------------------------------------------------------------------ */

static bool class_is_used(const struct psc_class *class) {
    return (class->pools | class->alloc_count | class->live_blocks) != 0;
}

static void write_class(const struct psc_class *class, bool large, FILE *out) {
    fprintf(out, "<tr><td class=n>%s</td>", large ? "large" : psc_format_bytes(class->block_bytes).s);
    number(out, psc_format_count(class->pools));
    number(out, psc_format_count(class->live_blocks));
    number(out, psc_format_count(class->capacity_blocks));
    number(out, psc_format_share(class->live_blocks, class->capacity_blocks));
    number(out, psc_format_bytes(class->live_requested_bytes));
    number(out, psc_format_bytes(class->committed_bytes));
    number(out, psc_format_bytes(class->pinned_bytes));
    number(out, psc_format_count(class->alloc_count));
    fputs("</tr>\n", out);
}

static void write_classes(const struct psc_model *model, FILE *out) {
    size_t count = 0;
    for (size_t i = 0; i < PSC_CLASSES_MAX; i++) {
        count += class_is_used(&model->classes[i]);
    }
    open_table(out, "Size classes", count,
               "<th class=n>Block</th><th class=n>Pools</th><th class=n>Live blocks</th><th class=n>Capacity</th>"
               "<th class=n>Occupancy</th><th class=n>Requested</th><th class=n>Committed</th><th class=n>Pinned</th>"
               "<th class=n>Allocations</th>");
    for (size_t i = 0; i < PSC_CLASSES_MAX; i++) {
        if (class_is_used(&model->classes[i])) {
            write_class(&model->classes[i], i == PSC_CLASS_LARGE, out);
        }
    }
    close_table(out, 0);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void write_thread(const struct psc_thread *thread, FILE *out) {
    fprintf(out, "<tr><td class=n>%" PRIu32 "</td><td>", thread->tid);
    psc_html_text(out, thread->name);
    if (thread->owners > 1) {
        fprintf(out, " <span class=soft>and %s before it</span>", psc_format_count(thread->owners - 1).s);
    }
    fprintf(out, "</td><td>%s</td>", thread->running ? "yes" : "no");
    number(out, psc_format_count(thread->alloc_count));
    number(out, psc_format_count(thread->free_count));
    fputs("</tr>\n", out);
}

static void write_threads(const struct psc_model *model, FILE *out) {
    size_t shown = 0;
    size_t count = 0;
    for (size_t i = 0; i < model->thread_count; i++) {
        count += model->threads[i].tid != 0;
    }
    open_table(out, "Threads", count,
               "<th class=n>Id</th><th>Name</th><th>Running</th><th class=n>Allocations</th><th class=n>Frees</th>");
    for (size_t i = 0; i < model->thread_count && shown < THREADS_MAX; i++) {
        if (model->threads[i].tid != 0) {
            write_thread(&model->threads[i], out);
            shown++;
        }
    }
    close_table(out, count - shown);
}

/* ---- modules ----------------------------------------------------------------------------------------------------- */

static const char *names_of(const struct psc_model *model, size_t module) {
    static const char *const words[] = {
        [PSC_SYMBOLS_UNUSED] = "not needed",
        [PSC_SYMBOLS_FOUND] = "from the file that was loaded",
        [PSC_SYMBOLS_UNCHECKED] = "from the file at this path, which has no build-id to compare",
        [PSC_SYMBOLS_MISSING] = "none: no file at this path",
        [PSC_SYMBOLS_OTHER_BUILD] = "none: the file at this path is another build",
        [PSC_SYMBOLS_BROKEN] = "none: the file at this path cannot be read",
        [PSC_SYMBOLS_TOO_MANY] = "none: too many files are open",
        [PSC_SYMBOLS_PRESET] = "from the names that were written beside the trace",
    };
    return words[model->symbols == NULL ? PSC_SYMBOLS_UNUSED : psc_symbols_module_state(model->symbols, module)];
}

static void write_module(const struct psc_model *model, size_t index, FILE *out) {
    const struct psc_module *module = &model->modules[index];
    fputs("<tr><td>", out);
    psc_html_text(out, module->path);
    fprintf(out, "</td><td>%s</td><td class=mono>0x%" PRIx64 "</td><td class=mono>", names_of(model, index),
            module->start);
    for (uint32_t i = 0; i < module->build_id_bytes && i < sizeof(module->build_id); i++) {
        fprintf(out, "%02x", module->build_id[i]);
    }
    fputs("</td></tr>\n", out);
}

static void write_modules(const struct psc_model *model, FILE *out) {
    size_t shown = 0;
    size_t count = 0;
    for (size_t i = 0; i < model->module_count; i++) {
        count += model->modules[i].start != 0;
    }
    open_table(out, "Modules", count, "<th>Path</th><th>Names</th><th>Address</th><th>Build-id</th>");
    for (size_t i = 0; i < model->module_count && shown < MODULES_MAX; i++) {
        if (model->modules[i].start != 0) {
            write_module(model, i, out);
            shown++;
        }
    }
    close_table(out, count - shown);
}

void psc_page_details(const struct psc_model *model, FILE *out) {
    fputs("<h2 id=details>Details</h2>\n", out);
    write_classes(model, out);
    write_threads(model, out);
    write_modules(model, out);
}
