/* `poolscope export`: a model in the formats that other tools read. */
#ifndef PSC_REPORT_EXPORT_H
#define PSC_REPORT_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report/model.h"

/* The figures of a site that other tools can be given: FIGURE(constant, name, name in pprof, unit, title, field).
 * The name is the one of --value=; bytes come before counts of what they are. */
#define PSC_EXPORT_FIGURES(FIGURE)                                                                                     \
    FIGURE(ALLOC_COUNT, "alloc-count", "alloc_objects", "count", "allocations", alloc_count)                           \
    FIGURE(ALLOC, "alloc", "alloc_space", "bytes", "allocated bytes", alloc_bytes)                                     \
    FIGURE(LIVE_COUNT, "live-count", "inuse_objects", "count", "live blocks", live_count)                              \
    FIGURE(LIVE, "live", "inuse_space", "bytes", "live bytes", live_bytes)                                             \
    FIGURE(PINNED, "pinned", "pinned_space", "bytes", "pinned bytes", pinned_bytes)                                    \
    FIGURE(PEAK_COUNT, "peak-count", "peak_objects", "count", "live blocks at the peak", peak_live_count)              \
    FIGURE(PEAK, "peak", "peak_space", "bytes", "live bytes at the peak", peak_live_bytes)                             \
    FIGURE(TEMPORARY, "temporary", "temporary_objects", "count", "temporary blocks", temporary_count)

#define PSC_EXPORT_ENUM(constant, name, pprof, unit, title, field) PSC_EXPORT_##constant,
enum psc_export_figure { PSC_EXPORT_FIGURES(PSC_EXPORT_ENUM) PSC_EXPORT_FIGURE_COUNT };

/* Which figure a format with one is of; those with a fixed set of their own ignore it. PSC_EXPORT_FIGURE_COUNT: none
 * was asked for. */
struct psc_export_options {
    enum psc_export_figure figure;
};

/* The command; argv[0] is its name. Returns the exit status: 0 done, 1 failed, 2 wrong use. */
int psc_export_main(int argc, char **argv);

/* The formats. Each resolves the frames of sites one after the other and forgets them. False, and errno, if `out` took
 * not all. */
typedef bool psc_export_writer(struct psc_model *model, const struct psc_export_options *options, FILE *out);
psc_export_writer psc_export_pprof; /* `out` has a descriptor */
psc_export_writer psc_export_collapsed;
psc_export_writer psc_export_speedscope;
psc_export_writer psc_export_jemalloc;
psc_export_writer psc_export_massif;
psc_export_writer psc_export_dhat;

#endif
