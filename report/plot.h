/* The plots of a report, drawn by gnuplot. The one user of gnuplot, which is found in PATH and run without a shell.
 *
 * Each plot that has something to show becomes DIR/NAME.svg with its figures in DIR/NAME.tsv (bytes and seconds, one
 * header line), and on request DIR/NAME.png. Names from the trace reach gnuplot as data, never as script.
 */
#ifndef PSC_REPORT_PLOT_H
#define PSC_REPORT_PLOT_H

#include <stdbool.h>

#include "report/model.h"

/*  PSC_PLOT(name, title, what it shows) */
#define PSC_PLOTS(PLOT)                                                                                                \
    PLOT(memory, "Memory over time",                                                                                   \
         "The memory of the process, part by part, and the resident set (RSS) as a line. Where the line is below, "    \
         "pages were never touched or are swapped out.")                                                               \
    PLOT(rate, "Allocation over time", "How many bytes a second the program allocated and freed.")                     \
    PLOT(map_time, "Map of the pools over time",                                                                       \
         "All arenas in their order, each from its lowest address up: where pools lay, how full they were, and what "  \
         "went back.")                                                                                                 \
    PLOT(occupancy_time, "Occupancy of each size class over time",                                                     \
         "How full the pools of a size class were. Dark: pools with few or no live blocks.")                           \
    PLOT(pools, "Pools by occupancy",                                                                                  \
         "How many pools were nearly empty and how many full, at the peak and at the end.")                            \
    PLOT(classes, "Occupancy and pinned bytes by size class at the end",                                               \
         "Of each size class, how full its pools are, and what its half-empty ones keep from going back.")             \
    PLOT(arenas_peak, "Arena map at the peak",                                                                         \
         "Every arena when most bytes were live: what is full here and dark at the end was left behind by the peak.")  \
    PLOT(arenas, "Arena map at the end",                                                                               \
         "Every pool of every arena in its place. An arena goes back to the kernel only when nothing is left in it.")  \
    PLOT(sizes, "Sizes of live blocks",                                                                                \
         "Which sizes the live bytes are in and what rounding up to a size class adds; how many blocks of each size.") \
    PLOT(sites_live, "Sites with most live bytes", "Which lines of code made the blocks that are still alive.")        \
    PLOT(sites_pinned, "Sites with most pinned bytes",                                                                 \
         "Which lines of code made the blocks that keep half-empty pools from going back.")                            \
    PLOT(pinned_live, "Pinned and live bytes of sites",                                                                \
         "Each dot is a site. The higher above the line a site is, the more memory its few blocks keep from going "    \
         "back.")                                                                                                      \
    PLOT(age_occupancy, "Ages of live blocks and occupancy of their pools",                                            \
         "Whether it is old blocks or young ones that hold half-empty pools. The share in a cell is that of what is "  \
         "pinned in all.")                                                                                             \
    PLOT(survival, "How long blocks live",                                                                             \
         "Of the sites that allocated most, the share of blocks that live to an age, those alive at the end counted "  \
         "as living on; with the band that holds the truth in 19 of 20 cases.")

#define PSC_PLOT_ENUM(name, title, shows) PSC_PLOT_##name,
enum psc_plot_id { PSC_PLOTS(PSC_PLOT_ENUM) PSC_PLOT_COUNT };

struct psc_plot {
    const char *name; /* of the files, without directory and suffix */
    const char *title;
    const char *shows; /* a sentence */
    bool drawn;
    char reason[256]; /* why it was left out, a sentence without its end */
};

struct psc_plots {
    struct psc_plot items[PSC_PLOT_COUNT];
    bool gnuplot_missing;
};

/* Draws all plots into `dir`, which must exist; pictures of an earlier report that are not drawn now are removed.
 * Resolves the frames of the sites it shows. If gnuplot is missing, says so once on stderr, leaves all plots out and
 * succeeds. -1 and errno if the files could not be written. */
int psc_plot_draw(struct psc_model *model, const char *dir, bool png, struct psc_plots *plots);

#endif
