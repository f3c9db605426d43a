/* What the formats of `poolscope export` share. */
#ifndef PSC_REPORT_EXPORT_PART_H
#define PSC_REPORT_EXPORT_PART_H

#include "report/export.h"

struct psc_export_figure_row {
    const char *name; /* of --value= */
    const char *pprof;
    const char *unit;  /* "bytes" or "count" */
    const char *title; /* for people */
    size_t offset;     /* of a uint64_t in struct psc_site */
};

extern const struct psc_export_figure_row psc_export_figures[PSC_EXPORT_FIGURE_COUNT];

uint64_t psc_export_figure_of(const struct psc_site *site, enum psc_export_figure figure);

/* What formats show of one site, or of the blocks that no sample tells of. */
struct psc_export_stack {
    const struct psc_site *site; /* NULL: not sampled */
    const struct psc_frame *frames;
    size_t count;   /* at least 1 */
    size_t skipped; /* return addresses of the allocator's entry points, which stand before those of `frames` */
    uint64_t values[PSC_EXPORT_FIGURE_COUNT];
};

/* False ends the walk. */
typedef bool psc_export_visitor(void *context, const struct psc_export_stack *stack);

/* Calls `visit` for each site that was used, by id, without the entry points of the allocator; and for what was not
 * sampled. A site without frames has one with the function "(unknown)". */
void psc_export_each(struct psc_model *model, psc_export_visitor *visit, void *context);
/* The sum of a figure over all of them. */
uint64_t psc_export_sum(const struct psc_model *model, enum psc_export_figure figure);
/* How many return addresses of a site lead into the allocator alone. Its frames are resolved. */
size_t psc_export_skipped(const struct psc_site *site);

/* ---- stacks in order --------------------------------------------------------------------------------------------- */

/* A site's stack from a number of return addresses on; where frames are left out, the address 0 stands for them. */
struct psc_export_path {
    struct psc_site *site;
    uint32_t first; /* return addresses that are skipped */
    uint32_t count; /* those that follow, and the gap */
};

/* All used sites whose figure is not 0, those with common inner frames side by side, shorter ones first. Without the
 * entry points of the allocator if `skip`, which resolves all of them once. The caller frees it. */
struct psc_export_path *psc_export_paths(struct psc_model *model, enum psc_export_figure figure, bool skip,
                                         size_t *count);
uint64_t psc_export_address(const struct psc_export_path *path, size_t depth);
/* How many addresses the two have in common from the inner end on. */
bool psc_export_same(const struct psc_export_path *a, const struct psc_export_path *b);

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* Writes UTF-8 on one line: what is not UTF-8 or a control character becomes '?', and each character of `reserved` the
 * one at the same place in `instead`. */
void psc_export_put(FILE *out, const char *text, const char *reserved, const char *instead);
/* The command line, arguments separated by spaces, to be freed by the caller. */
char *psc_export_command(const struct psc_process *process);

#define PSC_EXPORT_LABEL_BYTES 4608 /* names and files have 2048 bytes at most */
/* "0x1234: function (file.c:12)", "0x1234: function (in x.so)", or "function" alone of what stands for no address.
 * Returns `buffer`. */
const char *psc_export_label(char buffer[PSC_EXPORT_LABEL_BYTES], const struct psc_frame *frame);

#endif
