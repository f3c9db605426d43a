/* The sites that matter most, as bars. */
#include <inttypes.h>
#include <math.h>

#include "report/format.h"
#include "report/plot_figure.h"
#include "report/plot_text.h"

#define BARS 15
#define NAME_COLUMNS 58

struct ranking {
    const char *column; /* of the data file */
    const char *axis;
    const char *color;
    const uint32_t *ids;
    size_t count;
    uint64_t total;
    uint64_t (*value)(const struct psc_site *site);
    struct psc_range (*range)(const struct psc_site *site);
};

static void write_bars(struct psc_figure *figure, const struct ranking *ranking, size_t count) {
    char label[1024];
    fprintf(figure->data, "row\t%s\tshare_percent\tvalue\tsite\n", ranking->column);
    for (size_t i = 0; i < count; i++) {
        struct psc_site *site = &figure->model->sites[ranking->ids[i]];
        uint64_t value = ranking->value(site);
        psc_model_symbolize(figure->model, site);
        psc_text_site(site, NAME_COLUMNS, label, sizeof(label));
        struct psc_text words = psc_model_is_sampled(figure->model)
                                    ? psc_format_bytes_error(value, psc_range_error(ranking->range(site)))
                                    : psc_format_bytes(value);
        fprintf(figure->data, "%zu\t%" PRIu64 "\t%.2f\t%s (%s)\t", i, value,
                ranking->total == 0 ? 0 : 100.0 * (double)value / (double)ranking->total, words.s,
                psc_format_share(value, ranking->total).s);
        psc_figure_field(figure->data, label);
        fputc('\n', figure->data);
    }
}

static bool draw_ranking(struct psc_figure *figure, const struct ranking *ranking) {
    size_t count = ranking->count < BARS ? ranking->count : BARS;
    uint64_t highest = ranking->value(&figure->model->sites[ranking->ids[0]]);
    struct psc_scale bytes = psc_scale_bytes(highest);
    double room = psc_model_is_sampled(figure->model) ? 1.5 : 1.28; /* for the words behind the longest bar */
    figure->height = 110 + 24 * (unsigned)(count < 3 ? 3 : count);
    write_bars(figure, ranking, count);
    fprintf(figure->script,
            "unset grid\nset grid x lc rgb '#dddddd' lt 1\nset xlabel '%s (%s)'\nset xrange [0:%g]\n"
            "set yrange [%g:-0.5]\nset ytics scale 0\nset lmargin at screen 0.42\n"
            "plot '%s.tsv' using (0):1:(0):($2/%g):($1-0.36):($1+0.36):ytic(5) with boxxyerror lc rgb '%s', "
            "'' using ($2/%g):1:4 with labels left offset character 0.6, 0\n",
            ranking->axis, bytes.unit, (double)highest * room / bytes.divisor, (double)count - 0.5, figure->name,
            bytes.divisor, ranking->color, bytes.divisor);
    return true;
}

static uint64_t live_of(const struct psc_site *site) {
    return site->live_bytes;
}

static uint64_t pinned_of(const struct psc_site *site) {
    return site->pinned_bytes;
}

static struct psc_range live_range(const struct psc_site *site) {
    return site->live_bytes_range;
}

static struct psc_range pinned_range(const struct psc_site *site) {
    return site->pinned_bytes_range;
}

bool psc_figure_sites_live(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    if (model->by_live_count == 0) {
        return psc_figure_leave_out(figure, "no site had a live block at the end");
    }
    return draw_ranking(figure, &(struct ranking){.column = "live_bytes",
                                                  .axis = "live bytes, requested",
                                                  .color = PSC_COLOR_LIVE,
                                                  .ids = model->by_live,
                                                  .count = model->by_live_count,
                                                  .total = model->totals.live_bytes,
                                                  .value = live_of,
                                                  .range = live_range});
}

bool psc_figure_sites_pinned(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    if (model->by_pinned_count == 0) {
        return psc_figure_leave_out(figure, "no site had pinned bytes at the end");
    }
    return draw_ranking(figure, &(struct ranking){.column = "pinned_bytes",
                                                  .axis = "pinned bytes, by share",
                                                  .color = PSC_COLOR_PINNED,
                                                  .ids = model->by_pinned,
                                                  .count = model->by_pinned_count,
                                                  .total = model->fragmentation.pinned_bytes,
                                                  .value = pinned_of,
                                                  .range = pinned_range});
}

/* ---- pinned against live ----------------------------------------------------------------------------------------- */

#define DOTS 3000
#define NAMED 12
#define DOT_NAME_COLUMNS 46
#define SPAN_LEAST 8 /* of an axis, in powers of two */
#define LEFT 0.105   /* where the axes end, of the picture */
#define RIGHT 0.59
#define BOTTOM 0.13
#define TOP 0.9

struct field {
    double x_low, x_high, y_low, y_high; /* powers of two */
};

/* Few dots that lie close to each other are not drawn out over the whole axis. */
static void widen(double *low, double *high) {
    double missing = SPAN_LEAST - (*high - *low);
    if (missing > 0) {
        double below = fmin(floor(missing / 2), *low);
        *low -= below;
        *high += missing - below;
    }
}

/* A logarithm wants more than 0. */
static double at_least_one(uint64_t bytes) {
    return bytes == 0 ? 1 : (double)bytes;
}

/* Names stand below each other in the order of their dots. */
static void write_dots(struct psc_figure *figure, size_t count, struct field *field) {
    char label[1024];
    fputs("site\tlive_bytes\tpinned_bytes\trow\tname\n", figure->data);
    for (size_t i = 0; i < count; i++) {
        struct psc_site *site = &figure->model->sites[figure->model->by_pinned[i]];
        double live = at_least_one(site->live_bytes), pinned = at_least_one(site->pinned_bytes);
        field->x_low = fmin(field->x_low, floor(log2(live)));
        field->x_high = fmax(field->x_high, ceil(log2(live) + 0.2));
        field->y_low = fmin(field->y_low, floor(log2(pinned)));
        field->y_high = fmax(field->y_high, ceil(log2(pinned) + 0.2));
        fprintf(figure->data, "%u\t%" PRIu64 "\t%" PRIu64 "\t", site->id, site->live_bytes, site->pinned_bytes);
        if (i < NAMED) {
            psc_model_symbolize(figure->model, site);
            psc_text_site(site, DOT_NAME_COLUMNS, label, sizeof(label));
            fprintf(figure->data, "%zu\t", i);
            psc_figure_field(figure->data, label);
            fputc('\n', figure->data);
        } else {
            fputs("NaN\t\n", figure->data);
        }
    }
}

static void plot_dots(struct psc_figure *figure, const struct field *field) {
    fprintf(figure->script,
            "set multiplot\nset lmargin at screen %g\nset rmargin at screen %g\nset bmargin at screen %g\n"
            "set tmargin at screen %g\nset logscale xy 2\nset grid x y lc rgb '#dddddd' lt 1\n"
            "set xrange [%.0f:%.0f]\nset yrange [%.0f:%.0f]\nset key top left opaque reverse Left samplen 2\n"
            "set xlabel 'live bytes of the site'\nset ylabel 'pinned bytes, by share'\n",
            LEFT, RIGHT, BOTTOM, TOP, exp2(field->x_low), exp2(field->x_high), exp2(field->y_low), exp2(field->y_high));
    psc_figure_byte_tics(figure, 'x', exp2(field->x_low), exp2(field->x_high));
    psc_figure_byte_tics(figure, 'y', exp2(field->y_low), exp2(field->y_high));
    fprintf(figure->script,
            "plot 10*x with lines dt 2 lc rgb '" PSC_COLOR_LINE "' title 'pinned = 10 × live', "
            "x with lines dt 1 lc rgb '" PSC_COLOR_LINE "' title 'pinned = live', "
            "'%s.tsv' using ($2<1?1:$2):3 with points pt 7 ps 0.5 lc rgb '" PSC_COLOR_PINNED "', "
            "'' using ($4>=0?($2<1?1:$2):NaN):3 with points pt 7 ps 0.9 lc rgb '" PSC_COLOR_LINE "'\n",
            figure->name);
}

/* A line leads from each of the first dots to its name. */
static void plot_dot_names(struct psc_figure *figure, const struct field *field) {
    char x[160], y[160];
    snprintf(x, sizeof(x), "(%g+%g*(log($2<1?1:$2)/log(2)-%g)/%g)", LEFT, RIGHT - LEFT, field->x_low,
             field->x_high - field->x_low);
    snprintf(y, sizeof(y), "(%g+%g*(log($3)/log(2)-%g)/%g)", BOTTOM, TOP - BOTTOM, field->y_low,
             field->y_high - field->y_low);
    psc_figure_overlay(figure);
    fprintf(figure->script,
            "plot '%s.tsv' using %s:%s:(%g-%s):(%g-%g*$4-%s) with vectors nohead lw 0.5 lc rgb '#999999', "
            "'' using (%g):(%g-%g*$4):5 with labels left font ',10'\nunset multiplot\n",
            figure->name, x, y, RIGHT + 0.012, x, TOP - 0.02, (TOP - BOTTOM) / NAMED, y, RIGHT + 0.016, TOP - 0.02,
            (TOP - BOTTOM) / NAMED);
}

bool psc_figure_pinned_live(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    size_t count = model->by_pinned_count < DOTS ? model->by_pinned_count : DOTS;
    struct field field = {64, 0, 64, 0};
    if (count == 0) {
        return psc_figure_leave_out(figure, "no site had pinned bytes at the end");
    }
    if (count < model->by_pinned_count) {
        snprintf(figure->title_text, sizeof(figure->title_text), "Pinned and live bytes: %s of %s sites",
                 psc_format_count(count).s, psc_format_count(model->by_pinned_count).s);
        figure->title = figure->title_text;
    }
    write_dots(figure, count, &field);
    widen(&field.x_low, &field.x_high);
    widen(&field.y_low, &field.y_high);
    plot_dots(figure, &field);
    plot_dot_names(figure, &field);
    return true;
}
