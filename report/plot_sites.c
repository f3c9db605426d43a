/* The sites that matter most, as bars. */
#include <inttypes.h>

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
