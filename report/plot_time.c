/* What happened over time: from the snapshots, and the end from the model's sums. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"
#include "report/plot_figure.h"
#include "report/plot_text.h"
#include "report/rss.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/*  PART(name, words in the legend, colour), from the bottom of the stack to its top */
#define PARTS(PART)                                                                                                    \
    PART(live, "live, as requested", PSC_COLOR_LIVE)                                                                   \
    PART(rounding, "rounding", PSC_COLOR_ROUNDING)                                                                     \
    PART(free_blocks, "pinned: free blocks", PSC_COLOR_PINNED)                                                         \
    PART(tail, "pinned: tails of pools", "#f2a684")                                                                    \
    PART(empty, "empty pools", PSC_COLOR_EMPTY)                                                                        \
    PART(cached, "cached", PSC_COLOR_CACHED)                                                                           \
    PART(metadata, "heap tables", PSC_COLOR_METADATA)                                                                  \
    PART(tracker, "tracker and trace", "#cccccc")                                                                      \
    PART(other_anonymous, "anonymous, not of malloc", "#CC79A7")                                                       \
    PART(file, "files, shared memory", "#ecd4e2")

#define PART_ENUM(name, words, color) PART_##name,
enum part { PARTS(PART_ENUM) PART_COUNT };

struct moment {
    uint64_t time_ns;
    uint64_t rss_bytes;
    uint64_t parts[PART_COUNT];
};

static struct moment moment_of_snapshot(const struct psc_wire_snapshot *snapshot) {
    uint64_t live = snapshot->live_bytes < snapshot->block_bytes ? snapshot->live_bytes : snapshot->block_bytes;
    uint64_t tail = snapshot->tail_bytes < snapshot->pinned_bytes ? snapshot->tail_bytes : snapshot->pinned_bytes;
    struct psc_rss rss = psc_rss_of(snapshot);
    return (struct moment){
        .time_ns = snapshot->time_ns,
        .rss_bytes = snapshot->rss_bytes,
        .parts = {live, snapshot->block_bytes - live, snapshot->pinned_bytes - tail, tail, snapshot->empty_bytes,
                  snapshot->cached_bytes, rss.known ? rss.parts[PSC_RSS_metadata] : snapshot->metadata_bytes,
                  rss.parts[PSC_RSS_tracker], rss.parts[PSC_RSS_other_anonymous], rss.parts[PSC_RSS_file]},
    };
}

/* What is not the heap's was last seen by a snapshot. */
static struct moment moment_of_end(const struct psc_model *model) {
    const struct psc_fragmentation *end = &model->fragmentation;
    struct moment last = moment_of_snapshot(&model->snapshots[model->snapshot_count - 1]);
    return (struct moment){
        .time_ns = model->process.duration_ns,
        .parts = {end->live_requested_bytes, end->internal_bytes, end->free_blocks_bytes, end->tail_bytes,
                  end->empty_pools_bytes, end->cached_bytes, end->metadata_bytes, last.parts[PART_tracker],
                  last.parts[PART_other_anonymous], last.parts[PART_file]},
    };
}

static uint64_t write_moment(FILE *data, const struct moment *moment) {
    uint64_t sum = 0;
    fprintf(data, "%.6f", (double)moment->time_ns / 1e9);
    for (size_t i = 0; i < PART_COUNT; i++) {
        fprintf(data, "\t%" PRIu64, moment->parts[i]);
        sum += moment->parts[i];
    }
    if (moment->rss_bytes != 0) {
        fprintf(data, "\t%" PRIu64 "\n", moment->rss_bytes);
    } else {
        fputs("\tNaN\n", data);
    }
    return sum > moment->rss_bytes ? sum : moment->rss_bytes;
}

/* Writes all moments; returns the height of the highest. */
static uint64_t write_moments(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    uint64_t highest = 0;
#define PART_HEADER(name, words, color) "\t" #name "_bytes"
    fputs("seconds" PARTS(PART_HEADER) "\trss_bytes\n", figure->data);
    for (size_t i = 0; i < model->snapshot_count; i++) {
        struct moment moment = moment_of_snapshot(&model->snapshots[i]);
        uint64_t height = write_moment(figure->data, &moment);
        highest = height > highest ? height : highest;
    }
    if (model->snapshots[model->snapshot_count - 1].time_ns < model->process.duration_ns) {
        struct moment moment = moment_of_end(model);
        uint64_t height = write_moment(figure->data, &moment);
        highest = height > highest ? height : highest;
    }
    return highest;
}

static void mark_peak(struct psc_figure *figure, struct psc_scale time) {
    const struct psc_wire_snapshot *peak = psc_model_peak_snapshot(figure->model);
    if (peak == NULL) {
        return;
    }
    double at = (double)peak->time_ns / time.divisor;
    bool left = peak->time_ns > figure->model->process.duration_ns / 2;
    fprintf(figure->script,
            "set arrow from %g, graph 0 to %g, graph 1 nohead dt 2 lc rgb '" PSC_COLOR_LINE "' front\n"
            "set label 'peak of live bytes: %s' at %g, graph 0.96 %s offset character %d, 0 front\n",
            at, at, psc_format_bytes(figure->model->totals.peak_live_bytes).s, at, left ? "right" : "left",
            left ? -1 : 1);
}

/* The sum of the first `count` parts, which begin at column 2. */
static void write_sum(FILE *script, size_t count, struct psc_scale bytes) {
    fputs("((0", script);
    for (size_t i = 0; i < count; i++) {
        fprintf(script, "+$%zu", i + 2);
    }
    fprintf(script, ")/%g)", bytes.divisor);
}

/* Each part lies between the sum of those below it and that sum plus itself. */
static void plot_parts(struct psc_figure *figure, struct psc_scale time, struct psc_scale bytes) {
    static const struct {
        const char *words, *color;
    } parts[] = {
#define PART_ROW(name, legend, rgb) {legend, rgb},
        PARTS(PART_ROW)};
    FILE *script = figure->script;
    fputs("plot ", script);
    for (size_t i = 0; i < PART_COUNT; i++) {
        fprintf(script, "'%s.tsv' using ($1*%g):", figure->name, 1e9 / time.divisor);
        write_sum(script, i, bytes);
        fputc(':', script);
        write_sum(script, i + 1, bytes);
        fprintf(script, " with filledcurves lc rgb '%s' title '%s', ", parts[i].color, parts[i].words);
    }
    fprintf(script, "'%s.tsv' using ($1*%g):($%d/%g) with lines lw 2 lc rgb '" PSC_COLOR_LINE "' ", figure->name,
            1e9 / time.divisor, PART_COUNT + 2, bytes.divisor);
    fputs("title 'RSS: what is resident'\n", script);
}

bool psc_figure_memory(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    if (model->snapshot_count == 0) {
        return psc_figure_leave_out(figure, "the trace holds no snapshots");
    }
    if (model->snapshots[0].time_ns >= model->process.duration_ns) {
        return psc_figure_leave_out(figure, "the trace holds one moment only");
    }
    uint64_t highest = write_moments(figure);
    struct psc_scale time = psc_scale_time(model->process.duration_ns);
    struct psc_scale bytes = psc_scale_bytes(highest);
    fprintf(
        figure->script,
        "set xlabel 'time since the start (%s)'\nset ylabel 'memory (%s)'\n"
        "set rmargin at screen 0.74\nset key at screen 0.755, 0.55 left center vertical reverse Left invert samplen 2\n"
        "set xrange [0:%g]\nset yrange [0:%g]\n",
        time.unit, bytes.unit, (double)model->process.duration_ns / time.divisor,
        highest == 0 ? 1 : (double)highest * 1.08 / bytes.divisor);
    mark_peak(figure, time);
    plot_parts(figure, time, bytes);
    return true;
}

/* ---- rate of allocation ------------------------------------------------------------------------------------------- */

#define RATE_COLUMNS 100

/* What was counted up to a moment. */
struct tally {
    uint64_t time_ns;
    uint64_t allocated_bytes;
    uint64_t live_bytes;
};

struct rates {
    double allocated[RATE_COLUMNS]; /* bytes */
    double freed[RATE_COLUMNS];
};

/* What lies between two moments, spread over its columns: snapshots stand close at times, and a rate over a moment says
 * nothing. What was freed is what was allocated and is not there. */
static void add_interval(const struct psc_model *model, const struct tally *from, const struct tally *to,
                         struct rates *rates) {
    double allocated = fmax((double)to->allocated_bytes - (double)from->allocated_bytes, 0);
    double freed = fmax(allocated - ((double)to->live_bytes - (double)from->live_bytes), 0);
    double scale = RATE_COLUMNS / (double)model->process.duration_ns;
    double first = (double)from->time_ns * scale, end = fmax((double)to->time_ns * scale, first + 1e-9);
    for (size_t i = (size_t)fmin(first, RATE_COLUMNS - 1); i < RATE_COLUMNS && (double)i < end; i++) {
        double until = i == RATE_COLUMNS - 1 ? end : fmin(end, (double)i + 1);
        double share = (until - fmax(first, (double)i)) / (end - first);
        rates->allocated[i] += share * allocated;
        rates->freed[i] += share * freed;
    }
}

static void count_rates(const struct psc_model *model, struct rates *rates) {
    struct tally last = {0};
    for (size_t i = 0; i < model->snapshot_count; i++) {
        const struct psc_wire_snapshot *snapshot = &model->snapshots[i];
        struct tally next = {snapshot->time_ns, snapshot->clock_bytes, snapshot->live_bytes};
        add_interval(model, &last, &next, rates);
        last = next;
    }
    struct tally end = {model->process.duration_ns, model->totals.clock_bytes, model->totals.live_bytes};
    add_interval(model, &last, &end, rates);
}

/* Returns the highest rate, and the sum of all of them in *sum. */
static double write_rates(struct psc_figure *figure, const struct rates *rates, double *sum) {
    double step = (double)figure->model->process.duration_ns / 1e9 / RATE_COLUMNS, highest = 0;
    fputs("from_seconds\tto_seconds\tallocated_bytes_per_second\tfreed_bytes_per_second\n", figure->data);
    for (size_t i = 0; i < RATE_COLUMNS; i++) {
        double allocated = rates->allocated[i] / step, freed = rates->freed[i] / step;
        fprintf(figure->data, "%.6f\t%.6f\t%.0f\t%.0f\n", (double)i * step, (double)(i + 1) * step, allocated, freed);
        highest = fmax(highest, fmax(allocated, freed));
        *sum += allocated;
    }
    return highest;
}

/* Bursts would leave nothing to see of the rest on an even scale. */
static void set_rate_axis(struct psc_figure *figure, double highest, double sum) {
    double low = fmax(highest / 1e5, 1);
    if (highest < 20 * sum / RATE_COLUMNS) {
        struct psc_scale bytes = psc_scale_bytes((uint64_t)highest);
        fprintf(figure->script, "set ylabel 'rate (%s/s)'\nset yrange [0:%g]\nper = %g\nlow = 0\n", bytes.unit,
                highest * 1.08 / bytes.divisor, bytes.divisor);
    } else {
        fprintf(figure->script,
                "set ylabel 'rate, in a second'\nset logscale y\nset yrange [%g:%g]\nper = 1\nlow = %g\n", low,
                highest * 2, low);
        psc_figure_byte_tics(figure, 'y', low, highest * 2);
    }
}

bool psc_figure_rate(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    struct rates rates = {0};
    double sum = 0;
    if (model->snapshot_count == 0) {
        return psc_figure_leave_out(figure, "the trace holds no snapshots");
    }
    if (model->snapshots[0].time_ns >= model->process.duration_ns) {
        return psc_figure_leave_out(figure, "the trace holds one moment only");
    }
    count_rates(model, &rates);
    double highest = write_rates(figure, &rates, &sum);
    if (highest < 1) {
        return psc_figure_leave_out(figure, "nothing was allocated");
    }
    struct psc_scale time = psc_scale_time(model->process.duration_ns);
    set_rate_axis(figure, highest, sum);
    fprintf(figure->script,
            "set xlabel 'time since the start (%s)'\nset xrange [0:%g]\nns = %g\n"
            "set key outside bottom center horizontal reverse Left samplen 2 height 1\n"
            "plot '%s.tsv' using (ns*$1):3:(ns*$1):(ns*$2):(low):(low > $3/per ? low : $3/per) with boxxyerror "
            "lc rgb '" PSC_COLOR_ROUNDING
            "' title 'allocated', '' using (ns*$1):($4/per < low ? NaN : $4/per):(ns*($2-$1)):(0) with vectors nohead "
            "lw 2 lc rgb '" PSC_COLOR_PINNED "' title 'freed'\n",
            time.unit, (double)model->process.duration_ns / time.divisor, 1e9 / time.divisor, figure->name);
    return true;
}

/* ---- occupancy of size classes ----------------------------------------------------------------------------------- */

#define COLUMNS 160

struct cell {
    uint64_t live;
    uint64_t capacity;
};

struct heat {
    struct cell cells[PSC_CLASS_LARGE][COLUMNS]; /* by class, summed over the snapshots of a column */
    uint32_t rows[PSC_CLASS_LARGE];              /* classes that ever had a pool, smallest first */
    size_t row_count;
};

static size_t column_of(const struct psc_model *model, uint64_t time_ns) {
    double share = (double)time_ns / (double)model->process.duration_ns;
    return share >= 1 ? COLUMNS - 1 : (size_t)(share * COLUMNS);
}

/* A snapshot holds until the next one. */
static void add_snapshot(const struct psc_model *model, struct heat *heat, size_t index) {
    const struct psc_wire_snapshot *snapshot = &model->snapshots[index];
    size_t first = column_of(model, snapshot->time_ns);
    size_t end = index + 1 < model->snapshot_count ? column_of(model, snapshot[1].time_ns) : COLUMNS;
    end = end <= first ? first + 1 : end;
    for (size_t class = 0; class < PSC_CLASS_LARGE; class ++) {
        for (size_t column = first; column < end; column++) {
            heat->cells[class][column].live += snapshot->classes[class].live_blocks;
            heat->cells[class][column].capacity += snapshot->classes[class].capacity_blocks;
        }
    }
}

static bool class_is_shown(const struct heat *heat, size_t class) {
    for (size_t column = 0; column < COLUMNS; column++) {
        if (heat->cells[class][column].capacity != 0) {
            return true;
        }
    }
    return false;
}

static int percent(const struct cell *cell) {
    double share = 100.0 * (double)cell->live / (double)cell->capacity;
    return share >= 100 ? 100 : (int)(share + 0.5);
}

/* Neighbours of the same occupancy are one box, which keeps the picture small. */
static void write_row(struct psc_figure *figure, const struct heat *heat, size_t row) {
    double step = (double)figure->model->process.duration_ns / 1e9 / COLUMNS;
    const struct cell *cells = heat->cells[heat->rows[row]];
    uint64_t block_bytes = figure->model->classes[heat->rows[row]].block_bytes;
    for (size_t first = 0, end; first < COLUMNS; first = end) {
        for (end = first + 1; end < COLUMNS && cells[first].capacity != 0 && cells[end].capacity != 0 &&
                              percent(&cells[end]) == percent(&cells[first]);
             end++) {
        }
        if (cells[first].capacity != 0) {
            fprintf(figure->data, "%zu\t%" PRIu64 "\t%.6f\t%.6f\t%d\n", row, block_bytes, (double)first * step,
                    (double)end * step, percent(&cells[first]));
        }
    }
}

static void write_row_tics(struct psc_figure *figure, const struct heat *heat) {
    size_t every = heat->row_count / 26 + 1;
    fputs("set ytics (", figure->script);
    for (size_t row = 0; row < heat->row_count; row += every) {
        fprintf(figure->script, "%s'%s' %zu", row == 0 ? "" : ", ",
                psc_format_bytes(figure->model->classes[heat->rows[row]].block_bytes).s, row);
    }
    fputs(")\n", figure->script);
}

static bool draw_heat(struct psc_figure *figure, struct heat *heat) {
    for (size_t i = 0; i < figure->model->snapshot_count; i++) {
        add_snapshot(figure->model, heat, i);
    }
    for (uint32_t class = 0; class < PSC_CLASS_LARGE; class ++) {
        if (class_is_shown(heat, class)) {
            heat->rows[heat->row_count++] = class;
        }
    }
    if (heat->row_count == 0) {
        return psc_figure_leave_out(figure, "no pool was in use at any snapshot");
    }
    struct psc_scale time = psc_scale_time(figure->model->process.duration_ns);
    figure->height = 150 + 14 * (unsigned)(heat->row_count < 12 ? 12 : heat->row_count);
    fputs("row\tblock_bytes\tfrom_seconds\tto_seconds\toccupancy_percent\n", figure->data);
    for (size_t row = 0; row < heat->row_count; row++) {
        write_row(figure, heat, row);
    }
    write_row_tics(figure, heat);
    fprintf(figure->script,
            "unset grid\n" PSC_PALETTE
            "set cblabel 'occupancy: live blocks / capacity (%%)'\nset xlabel 'time since the start (%s)'\n"
            "set ylabel 'size class'\nset xrange [0:%g]\nset yrange [-0.5:%g]\n"
            "plot '%s.tsv' using ($3*%g):1:($3*%g):($4*%g):($1-0.5):($1+0.5):5 with boxxyerror lc palette\n",
            time.unit, (double)figure->model->process.duration_ns / time.divisor, (double)heat->row_count - 0.5,
            figure->name, 1e9 / time.divisor, 1e9 / time.divisor, 1e9 / time.divisor);
    return true;
}

bool psc_figure_occupancy_time(struct psc_figure *figure) {
    if (figure->model->snapshot_count == 0 || figure->model->process.duration_ns == 0) {
        return psc_figure_leave_out(figure, "the trace holds no snapshots");
    }
    struct heat *heat = calloc(1, sizeof(*heat));
    if (heat == NULL) {
        return psc_figure_leave_out(figure, "out of memory");
    }
    bool drawn = draw_heat(figure, heat);
    free(heat);
    return drawn;
}
