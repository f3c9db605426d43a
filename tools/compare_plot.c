/* The pictures of a comparison. */
#include <inttypes.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/plot_figure.h"
#include "report/plot_text.h"
#include "tools/compare.h"

#define LINES_MOST 10
#define BAR 0.36 /* width, of 1 for an allocator */

static const struct psc_compare *compare_of(const struct psc_figure *figure) {
    return figure->subject;
}

static size_t with_figures(const struct psc_compare *compare) {
    size_t count = 0;
    for (size_t i = 0; i < compare->count; i++) {
        count += psc_contender_has_figures(&compare->contenders[i]);
    }
    return count;
}

/* ---- bars ------------------------------------------------------------------------------------------------------- */

static const struct bar {
    enum psc_run_figure figure;
    const char *words, *color;
} bars[] = {{PSC_RUN_cpu_us, "CPU time", PSC_COLOR_LIVE}, {PSC_RUN_peak_bytes, "peak RSS", PSC_COLOR_EMPTY}};

static double write_bar_rows(const struct psc_compare *compare, FILE *data) {
    double highest = 1;
    size_t at = 0;
    fputs("position\tallocator", data);
    for (size_t i = 0; i < PSC_COUNT_OF(bars); i++) {
        const char *name = psc_run_figure_name(bars[i].figure);
        fprintf(data, "\t%s_ratio\t%s_ratio_min\t%s_ratio_max", name, name, name);
    }
    fputc('\n', data);
    for (size_t i = 0; i < compare->count; i++) {
        const struct psc_contender *contender = &compare->contenders[i];
        if (!psc_contender_has_figures(contender)) {
            continue;
        }
        fprintf(data, "%zu\t%s", at++, contender->name);
        for (size_t bar = 0; bar < PSC_COUNT_OF(bars); bar++) {
            struct psc_spread ratio = psc_compare_ratio(compare, contender, bars[bar].figure);
            fprintf(data, "\t%.4f\t%.4f\t%.4f", ratio.median, ratio.least, ratio.most);
            highest = ratio.most > highest ? ratio.most : highest;
        }
        fputc('\n', data);
    }
    return highest;
}

/* A box, the range of the runs over it, and its number. */
static void plot_bar(const struct psc_figure *figure, size_t bar) {
    double left = bar == 0 ? -BAR : 0;
    size_t column = 3 + 3 * bar;
    fprintf(figure->script,
            "'%s.tsv' using ($1+%g):(0):($1+%g):($1+%g):(0):%zu%s with boxxyerror lc rgb '%s' title '%s', "
            "'' using ($1+%g):%zu:(0):($%zu-$%zu) with vectors heads size graph 0.005,90 lw 1.5 lc rgb '" PSC_COLOR_LINE
            "', "
            "'' using ($1+%g):%zu:(sprintf('%%.2f', $%zu)) with labels offset character 0, 0.7 font ',11'",
            figure->name, left + BAR / 2, left + 0.02, left + BAR, column, bar == 0 ? ":xtic(2)" : "", bars[bar].color,
            bars[bar].words, left + BAR / 2, column + 1, column + 2, column + 1, left + BAR / 2, column + 2, column);
}

static bool draw_bars(struct psc_figure *figure) {
    const struct psc_compare *compare = compare_of(figure);
    const struct psc_contender *baseline = &compare->contenders[compare->baseline];
    size_t count = with_figures(compare);
    for (size_t i = 0; i < PSC_COUNT_OF(bars); i++) {
        if (!psc_contender_has_figures(baseline) || psc_compare_spread(baseline, bars[i].figure).median <= 0) {
            return psc_figure_leave_out(figure, "there is nothing to compare with under %s", baseline->name);
        }
    }
    double highest = write_bar_rows(compare, figure->data);
    snprintf(figure->title_text, sizeof(figure->title_text), "CPU time and peak RSS in times of %s", baseline->name);
    figure->title = figure->title_text;
    fprintf(figure->script,
            "set xrange [-0.6:%g]\nset yrange [0:%g]\nset ylabel 'in times of %s'\nset xtics scale 0\n"
            "set key outside right top vertical Left reverse samplen 1\n"
            "set arrow from graph 0, first 1 to graph 1, first 1 nohead dt 2 lc rgb '" PSC_COLOR_LINE "' front\nplot ",
            (double)count - 0.4, highest * 1.15, baseline->name);
    for (size_t i = 0; i < PSC_COUNT_OF(bars); i++) {
        fputs(i == 0 ? "" : ", ", figure->script);
        plot_bar(figure, i);
    }
    fputc('\n', figure->script);
    return true;
}

/* ---- memory over time ------------------------------------------------------------------------------------------- */

struct extent {
    uint64_t last_ms;
    uint64_t highest_bytes;
    size_t points;
};

/* Rows of a run follow each other, with its number in front. */
static struct extent write_points(const struct psc_compare *compare, FILE *data) {
    struct extent extent = {.points = 0};
    fputs("number\tallocator\tseconds\trss_bytes\n", data);
    for (size_t i = 0; i < compare->count; i++) {
        const struct psc_contender *contender = &compare->contenders[i];
        const struct psc_run *run = psc_contender_has_figures(contender) ? psc_compare_typical(contender) : NULL;
        for (size_t at = 0; run != NULL && at < run->point_count; at++) {
            uint64_t time = run->points[at].time_ms, bytes = (uint64_t)run->points[at].kib * 1024;
            fprintf(data, "%zu\t%s\t%.3f\t%" PRIu64 "\n", i, contender->name, (double)time / 1e3, bytes);
            extent.last_ms = time > extent.last_ms ? time : extent.last_ms;
            extent.highest_bytes = bytes > extent.highest_bytes ? bytes : extent.highest_bytes;
            extent.points++;
        }
    }
    return extent;
}

static void plot_lines(const struct psc_figure *figure, struct psc_scale time, struct psc_scale bytes) {
    static const char *const colors[LINES_MOST] = {PSC_COLOR_LINE,     "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                                                   PSC_COLOR_ROUNDING, "#999999", "#8B6914", "#6A3D9A", "#B2DF8A"};
    const struct psc_compare *compare = compare_of(figure);
    size_t line = 0;
    fputs("plot ", figure->script);
    for (size_t i = 0; i < compare->count; i++) {
        const struct psc_contender *contender = &compare->contenders[i];
        if (psc_contender_has_figures(contender)) {
            fprintf(figure->script,
                    "%s'%s.tsv' using ($3*%g):($1==%zu?$4/%g:NaN) with lines lw %s%s lc rgb '%s' title '%s'",
                    line == 0 ? "" : ", ", figure->name, 1e9 / time.divisor, i, bytes.divisor,
                    contender->ours ? "2.5" : "1.5", contender->traced ? " dt (10,4)" : "",
                    contender->ours ? PSC_COLOR_LIVE : colors[line % LINES_MOST], contender->name);
            line++;
        }
    }
    fputc('\n', figure->script);
}

static bool draw_rss(struct psc_figure *figure) {
    struct extent extent = write_points(compare_of(figure), figure->data);
    if (extent.points < 2 || extent.last_ms == 0) {
        return psc_figure_leave_out(figure, "the runs were too short to see memory over time");
    }
    struct psc_scale time = psc_scale_time(extent.last_ms * 1000000);
    struct psc_scale bytes = psc_scale_bytes(extent.highest_bytes);
    fprintf(figure->script,
            "set xlabel 'time since the start (%s)'\nset ylabel 'RSS of all processes (%s)'\n"
            "set key outside right top vertical Left reverse samplen 2\nset xrange [0:%g]\nset yrange [0:%g]\n",
            time.unit, bytes.unit, (double)extent.last_ms * 1e6 / time.divisor,
            (double)extent.highest_bytes * 1.08 / bytes.divisor);
    plot_lines(figure, time, bytes);
    return true;
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

bool psc_compare_draw(const struct psc_compare *compare) {
    struct psc_plot plots[] = {{.name = "bars", .title = "CPU time and peak RSS"},
                               {.name = "rss", .title = "Memory over time: under each allocator, the typical run"}};
    bool (*const makers[])(struct psc_figure *) = {draw_bars, draw_rss};
    for (size_t i = 0; i < PSC_COUNT_OF(plots); i++) {
        if (psc_figure_draw(&plots[i], makers[i], compare, compare->directory, compare->png) != 0) {
            return false;
        }
        if (!plots[i].drawn) {
            fprintf(stderr, "poolscope compare: no plot %s: %s\n", plots[i].name, plots[i].reason);
        }
    }
    return true;
}
