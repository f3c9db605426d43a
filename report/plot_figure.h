/* What the figures are made with: for plot.c and the files of figures only, those of tools among them. */
#ifndef PSC_REPORT_PLOT_FIGURE_H
#define PSC_REPORT_PLOT_FIGURE_H

#include <stdbool.h>
#include <stdio.h>

#include "core/base/compiler.h"
#include "report/model.h"
#include "report/plot.h"

/* Colours that stay apart for colour-blind eyes (Okabe and Ito), by what they stand for in every plot. */
#define PSC_COLOR_LIVE "#0072B2"
#define PSC_COLOR_ROUNDING "#56B4E9"
#define PSC_COLOR_PINNED "#D55E00"
#define PSC_COLOR_EMPTY "#E69F00"
#define PSC_COLOR_CACHED "#F0E442"
#define PSC_COLOR_METADATA "#999999"
#define PSC_COLOR_LINE "#222222"

/* Occupancy from 0 to 100 %, dark to light, for `palette`. */
#define PSC_PALETTE                                                                                                    \
    "set palette defined (0 '#440154', 13 '#482878', 25 '#3e4a89', 38 '#31688e', 50 '#26828e', 63 '#1f9e89',"          \
    " 75 '#35b779', 88 '#b5de2b', 100 '#fde725')\nset cbrange [0:100]\n"

struct psc_figure {
    struct psc_model *model; /* NULL in a figure that is not of a trace, which has a subject */
    const void *subject;
    const char *name;     /* the data file is NAME.tsv */
    const char *title;    /* may be replaced */
    char title_text[256]; /* for a title that is put together */
    unsigned width;       /* of the picture, in points; preset */
    unsigned height;
    FILE *data;   /* the .tsv: a header line, then rows */
    FILE *script; /* gnuplot commands; run once per terminal, after a reset */
    char *reason;
    size_t reason_room;
};

/* Says why there is no plot; returns false, for the figure to return. */
PSC_PRINTF(2, 3) bool psc_figure_leave_out(struct psc_figure *figure, const char *format, ...);

/* Writes `text` as one field of the .tsv, which is data to gnuplot and to a spreadsheet. */
void psc_figure_field(FILE *data, const char *text);

/* Draws a picture that is not of a trace, of `subject`. Name and title of the plot are set by the caller; sets `drawn`, or
 * `reason`. -1 and errno if the files could not be written. */
int psc_figure_draw(struct psc_plot *plot, bool (*make)(struct psc_figure *), const void *subject, const char *dir,
                    bool png);
/* Tics for an axis ('x' or 'y') with a logarithmic scale of bytes. */
void psc_figure_byte_tics(struct psc_figure *figure, char axis, double low, double high);
/* In a multiplot: what is plotted next lies over the whole picture, from 0, 0 to 1, 1. */
void psc_figure_overlay(struct psc_figure *figure);

/* Each writes data and script and returns true, or leaves the plot out. */
bool psc_figure_memory(struct psc_figure *figure);
bool psc_figure_occupancy_time(struct psc_figure *figure);
bool psc_figure_pools(struct psc_figure *figure);
bool psc_figure_arenas(struct psc_figure *figure);
bool psc_figure_sizes(struct psc_figure *figure);
bool psc_figure_sites_live(struct psc_figure *figure);
bool psc_figure_sites_pinned(struct psc_figure *figure);
bool psc_figure_pinned_live(struct psc_figure *figure);
bool psc_figure_arenas_peak(struct psc_figure *figure);
bool psc_figure_map_time(struct psc_figure *figure);
bool psc_figure_classes(struct psc_figure *figure);
bool psc_figure_rate(struct psc_figure *figure);
bool psc_figure_age_occupancy(struct psc_figure *figure);
bool psc_figure_survival(struct psc_figure *figure);

#endif
