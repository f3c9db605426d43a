/* export --to=jemalloc: the text that jemalloc's profiler dumps and jeprof reads. */
#include <inttypes.h>

#include "report/export_part.h"

/* What stands for a stack of which nothing is known: in no module. */
#define NO_ADDRESS 0x1

/* Of a stack, readers look up the first address as it is, and the others one before what they find, as these are return
 * addresses. Here the first is one, too. */
#define FIRST_BACK 1

static void write_figures(uint64_t live_count, uint64_t live, uint64_t alloc_count, uint64_t alloc, FILE *out) {
    fprintf(out, "  t*: %" PRIu64 ": %" PRIu64 " [%" PRIu64 ": %" PRIu64 "]\n", live_count, live, alloc_count, alloc);
}

/* The interval is 0: there is nothing to scale. Samples have been made estimates by the weight of each block, and
 * corrected by what the heap counted, which a reader with one mean size for each stack could not do. An interval of 1
 * would make jeprof divide by zero where all blocks of a stack have 0 bytes. */
static void write_head(const struct psc_model *model, FILE *out) {
    fputs("heap_v2/0\n", out);
    write_figures(psc_export_sum(model, PSC_EXPORT_LIVE_COUNT), psc_export_sum(model, PSC_EXPORT_LIVE),
                  psc_export_sum(model, PSC_EXPORT_ALLOC_COUNT), psc_export_sum(model, PSC_EXPORT_ALLOC), out);
}

static void write_site(const struct psc_site *site, FILE *out) {
    fputc('@', out);
    for (size_t i = 0; i < site->raw.count; i++) {
        fprintf(out, " 0x%" PRIx64, site->raw.addresses[i] - (i == 0 ? FIRST_BACK : 0));
    }
    if (site->raw.count == 0) {
        fprintf(out, " 0x%x", NO_ADDRESS);
    }
    fputc('\n', out);
    write_figures(site->live_count, site->live_bytes, site->alloc_count, site->alloc_bytes, out);
}

static void write_not_sampled(const struct psc_not_sampled *rest, FILE *out) {
    if ((rest->live_count | rest->live_bytes) != 0) {
        fprintf(out, "@ 0x%x\n", NO_ADDRESS);
        write_figures(rest->live_count, rest->live_bytes, 0, 0, out);
    }
}

/* As in /proc/PID/maps, whose spelling of a line break this is. One line spans all segments of a module, the code among
 * them, and begins where its file does. */
static void write_module(const struct psc_module *module, FILE *out) {
    fprintf(out, "%" PRIx64 "-%" PRIx64 " r-xp 00000000 00:00 0 ", module->start, module->end);
    for (const char *c = module->path != NULL ? module->path : ""; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == 0x7f) {
            fprintf(out, "\\%03o", byte);
        } else {
            fputc(*c, out);
        }
    }
    fputc('\n', out);
}

bool psc_export_jemalloc(struct psc_model *model, const struct psc_export_options *options, FILE *out) {
    (void)options;
    write_head(model, out);
    for (size_t i = 0; i < model->site_count && !ferror(out); i++) {
        if (psc_site_is_used(&model->sites[i])) {
            write_site(&model->sites[i], out);
        }
    }
    write_not_sampled(&model->not_sampled, out);
    fputs("\nMAPPED_LIBRARIES:\n", out);
    for (size_t i = 0; i < model->module_count; i++) {
        if (model->modules[i].start != 0) {
            write_module(&model->modules[i], out);
        }
    }
    return !ferror(out);
}
