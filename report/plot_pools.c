/* Pools and blocks at one moment: how full, of which size. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"
#include "report/plot_figure.h"
#include "report/plot_text.h"
#include "report/slots.h"

/* ---- pools by occupancy ------------------------------------------------------------------------------------------ */

static void write_bin(FILE *data, size_t bin, uint64_t peak, uint64_t end) {
    if (bin == 0) {
        fputs("empty", data);
    } else {
        fprintf(data, "%zu–%zu %%", (bin - 1) * 10 + 1, bin * 10);
    }
    fprintf(data, "\t%" PRIu64 "\t%" PRIu64 "\n", peak, end);
}

bool psc_figure_pools(struct psc_figure *figure) {
    uint64_t end[PSC_OCCUPANCY_BINS] = {0};
    const struct psc_wire_snapshot *at_peak = psc_model_peak_snapshot(figure->model);
    const uint32_t *peak = at_peak != NULL ? at_peak->occupancy : NULL;
    uint64_t sum = 0;
    psc_slots_count_pools(figure->model, end);
    for (size_t i = 0; i < PSC_OCCUPANCY_BINS; i++) {
        sum += end[i] + (peak != NULL ? peak[i] : 0);
    }
    if (sum == 0) {
        return psc_figure_leave_out(figure, "no pool was in use");
    }
    fputs("occupancy\tpools_at_peak\tpools_at_end\n", figure->data);
    for (size_t i = 0; i < PSC_OCCUPANCY_BINS; i++) {
        write_bin(figure->data, i, peak == NULL ? 0 : peak[i], end[i]);
    }
    fputs("set style data histograms\nset style histogram clustered gap 1\nset boxwidth 0.9\n"
          "set xlabel 'occupancy of the pool (live blocks / capacity)'\nset ylabel 'number of pools'\n"
          "set yrange [0:*]\nset format y '%.0f'\nset key outside bottom center horizontal reverse Left samplen 2 "
          "height 1\nset xtics scale 0\nplot ",
          figure->script);
    if (peak != NULL) {
        fprintf(figure->script, "'%s.tsv' using 2:xtic(1) lc rgb '" PSC_COLOR_ROUNDING "' title 'at the peak', ",
                figure->name);
    }
    fprintf(figure->script, "'%s.tsv' using 3:xtic(1) lc rgb '" PSC_COLOR_PINNED "' title 'at the end'\n",
            figure->name);
    return true;
}

/* ---- size classes ------------------------------------------------------------------------------------------------ */

static void write_class(FILE *data, const struct psc_class *class, const uint64_t tenths[PSC_OCCUPANCY_BINS]) {
    fprintf(data, "%s\t%" PRIu64, psc_format_bytes(class->block_bytes).s, class->pools);
    for (size_t k = 0; k < PSC_OCCUPANCY_BINS; k++) {
        fprintf(data, "\t%" PRIu64, tenths[k]);
    }
    fprintf(data, "\t%" PRIu64 "\t%" PRIu64 "\n", class->committed_bytes, class->pinned_bytes);
}

/* Returns the number of bars. */
static size_t write_class_tenths(struct psc_figure *figure, uint64_t *highest) {
    const struct psc_model *model = figure->model;
    uint64_t tenths[PSC_CLASSES_MAX][PSC_OCCUPANCY_BINS] = {0};
    size_t count = 0;
    for (size_t i = 0; i < model->pool_count; i++) {
        tenths[model->pools[i].class_index][psc_pool_tenth(&model->pools[i])]++;
    }
    fputs("size_class\tpools\tempty", figure->data);
    for (size_t k = 1; k < PSC_OCCUPANCY_BINS; k++) {
        fprintf(figure->data, "\tup_to_%zu_percent", k * 10);
    }
    fputs("\tcommitted_bytes\tpinned_bytes\n", figure->data);
    for (size_t i = 0; i < PSC_CLASS_LARGE; i++) {
        const struct psc_class *class = &model->classes[i];
        if (class->pools != 0) {
            write_class(figure->data, class, tenths[i]);
            *highest = class->pinned_bytes > *highest ? class->pinned_bytes : *highest;
            count++;
        }
    }
    return count;
}

static void plot_tenths(struct psc_figure *figure) {
    static const char *const colors[PSC_OCCUPANCY_BINS] = {PSC_COLOR_EMPTY, "#440154", "#482475", "#414487",
                                                           "#355f8d",       "#2a788e", "#21918c", "#22a884",
                                                           "#44bf70",       "#7ad151", "#fde725"};
    for (size_t k = 0; k < PSC_OCCUPANCY_BINS; k++) {
        fprintf(figure->script, "%s'%s.tsv' using (100.0*$%zu/$2) lc rgb '%s' title '", k == 0 ? "plot " : ", ",
                figure->name, k + 3, colors[k]);
        if (k == 0) {
            fputs("empty'", figure->script);
        } else {
            fprintf(figure->script, "%zu–%zu %%'", (k - 1) * 10 + 1, k * 10);
        }
    }
    fputc('\n', figure->script);
}

bool psc_figure_classes(struct psc_figure *figure) {
    uint64_t highest = 0;
    if (psc_model_is_sampled(figure->model)) {
        return psc_figure_leave_out(figure, "of a sampled run only the pools that had a sample are known");
    }
    size_t count = write_class_tenths(figure, &highest);
    if (count == 0) {
        return psc_figure_leave_out(figure, "no pool was in use at the end");
    }
    struct psc_scale bytes = psc_scale_bytes(highest);
    figure->height = 620;
    fprintf(
        figure->script,
        "set multiplot layout 2,1\nset lmargin 11\nset rmargin 15\nset xrange [-0.7:%g]\nset style data histograms\n"
        "set style histogram rowstacked\nset boxwidth 0.8\nset xtics scale 0 rotate by 55 right\n"
        "set key outside right center vertical reverse Left invert samplen 1.5 title 'occupancy'\n"
        "set ylabel 'share of pools'\nset format y '%%.0f %%%%'\nset yrange [0:100]\nset bmargin 1\nset format x ''\n",
        (double)count - 0.3);
    plot_tenths(figure);
    fprintf(figure->script,
            "unset title\nset tmargin 1\nset bmargin 6\nunset key\nset ylabel 'pinned bytes (%s)'\nset yrange [0:%g]\n"
            "set format y '%%g'\nset style histogram clustered gap 0.25\nset xlabel 'size class'\n"
            "plot '%s.tsv' using ($15/%g):xtic(1) lc rgb '" PSC_COLOR_PINNED "'\nunset multiplot\n",
            bytes.unit, highest == 0 ? 1 : (double)highest * 1.08 / bytes.divisor, figure->name, bytes.divisor);
    return true;
}

/* ---- sizes of live blocks ---------------------------------------------------------------------------------------- */

/* Large blocks would dwarf the pools, so the title names them instead. */
static void name_large(struct psc_figure *figure) {
    const struct psc_class *large = &figure->model->classes[PSC_CLASS_LARGE];
    if (large->live_blocks != 0) {
        snprintf(figure->title_text, sizeof(figure->title_text), "%s (without %s large block%s of %s in all)",
                 figure->title, psc_format_count(large->live_blocks).s, large->live_blocks == 1 ? "" : "s",
                 psc_format_bytes(large->live_block_bytes).s);
        figure->title = figure->title_text;
    }
}

/* Returns the number of bars; *highest is the bytes of the highest. */
static size_t write_classes(struct psc_figure *figure, uint64_t *highest) {
    size_t count = 0;
    fputs("size_class\tlive_requested_bytes\trounding_bytes\tlive_blocks\n", figure->data);
    for (size_t i = 0; i < PSC_CLASS_LARGE; i++) {
        const struct psc_class *class = &figure->model->classes[i];
        if (class->live_blocks == 0) {
            continue;
        }
        fprintf(figure->data, "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", psc_format_bytes(class->block_bytes).s,
                class->live_requested_bytes, class->live_block_bytes - class->live_requested_bytes, class->live_blocks);
        *highest = class->live_block_bytes > *highest ? class->live_block_bytes : *highest;
        count++;
    }
    return count;
}

bool psc_figure_sizes(struct psc_figure *figure) {
    uint64_t highest = 0;
    size_t count = write_classes(figure, &highest);
    if (count == 0) {
        return psc_figure_leave_out(figure, "no block in a pool was alive at the end");
    }
    struct psc_scale bytes = psc_scale_bytes(highest);
    figure->height = 620;
    name_large(figure);
    fprintf(
        figure->script,
        "set multiplot layout 2,1\nset lmargin 11\nset rmargin 3\nset xrange [-0.7:%g]\nset style data histograms\n"
        "set style histogram rowstacked\nset boxwidth 0.8\nset xtics scale 0 rotate by 55 right\n"
        "set key top right opaque\nset ylabel 'live bytes (%s)'\nset yrange [0:%g]\nset bmargin 1\nset format x ''\n"
        "plot '%s.tsv' using ($2/%g) lc rgb '" PSC_COLOR_LIVE "' title 'requested', "
        "'' using ($3/%g) lc rgb '" PSC_COLOR_ROUNDING "' title 'added by rounding up to the size class'\n",
        (double)count - 0.3, bytes.unit, (double)highest * 1.35 / bytes.divisor, figure->name, bytes.divisor,
        bytes.divisor);
    fprintf(
        figure->script,
        "unset title\nset tmargin 1\nset bmargin 6\nset ylabel 'live blocks'\nset style histogram clustered gap 0.25\n"
        "set logscale y\nset yrange [0.7:*]\nset format y '%%.0f'\nset xlabel 'size class'\n"
        "plot '%s.tsv' using 4:xtic(1) lc rgb '" PSC_COLOR_METADATA "'\nunset multiplot\n",
        figure->name);
    return true;
}
