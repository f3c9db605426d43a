/* Pools and blocks at one moment: how full, where, of which size. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"
#include "report/plot_figure.h"
#include "report/plot_text.h"
#include "report/slots.h"

/* ---- pools by occupancy ------------------------------------------------------------------------------------------ */

static const uint32_t *peak_bins(const struct psc_model *model) {
    for (size_t i = 0; i < model->snapshot_count; i++) {
        if (model->snapshots[i].flags & PSC_SNAPSHOT_PEAK) {
            return model->snapshots[i].occupancy;
        }
    }
    return NULL;
}

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
    const uint32_t *peak = peak_bins(figure->model);
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

/* ---- arena map --------------------------------------------------------------------------------------------------- */

#define ARENA_ROWS 48

struct row {
    size_t arena;
    uint64_t pinned_bytes;
};

static uint64_t arena_pinned(const struct psc_model *model, const struct psc_arena *arena) {
    uint64_t sum = 0;
    for (size_t i = 0; i < arena->pool_count; i++) {
        sum += model->pools[arena->first_pool + i].pinned_bytes;
    }
    return sum;
}

static int by_pinned(const void *a, const void *b) {
    const struct row *left = a;
    const struct row *right = b;
    if (left->pinned_bytes != right->pinned_bytes) {
        return left->pinned_bytes > right->pinned_bytes ? -1 : 1;
    }
    return left->arena < right->arena ? -1 : left->arena > right->arena;
}

static int by_address(const void *a, const void *b) {
    const struct row *left = a;
    const struct row *right = b;
    return left->arena < right->arena ? -1 : left->arena > right->arena;
}

/* The arenas to show, in the order of their addresses. */
static size_t choose_rows(const struct psc_model *model, struct row *rows) {
    for (size_t i = 0; i < model->arena_count; i++) {
        rows[i] = (struct row){.arena = i, .pinned_bytes = arena_pinned(model, &model->arenas[i])};
    }
    if (model->arena_count <= ARENA_ROWS) {
        return model->arena_count;
    }
    qsort(rows, model->arena_count, sizeof(*rows), by_pinned);
    qsort(rows, ARENA_ROWS, sizeof(*rows), by_address);
    return ARENA_ROWS;
}

static void write_arena(struct psc_figure *figure, const struct row *rows, size_t row) {
    struct psc_slot_cell cells[PSC_ARENA_SLOTS];
    static const char *const kinds[] = {"free", "cached", "empty", "pool", "unsampled"};
    const struct psc_arena *arena = &figure->model->arenas[rows[row].arena];
    psc_slots_fill(figure->model, arena, cells);
    for (size_t first = 0, end; first < PSC_ARENA_SLOTS; first = end) {
        for (end = first + 1; end < PSC_ARENA_SLOTS && memcmp(&cells[end], &cells[first], sizeof(cells[0])) == 0;
             end++) {
        }
        if (cells[first].kind != PSC_CELL_FREE) {
            fprintf(figure->data, "%zu\t0x%" PRIx64 "\t%zu\t%zu\t%s\t%d\t%u\n", row, arena->base, first, end,
                    kinds[cells[first].kind], cells[first].kind, cells[first].percent);
        }
    }
}

static void write_arena_tics(struct psc_figure *figure, const struct row *rows, size_t count) {
    fputs("set ytics (", figure->script);
    for (size_t row = 0; row < count; row++) {
        fprintf(figure->script, "%s'0x%" PRIx64 "' %zu", row == 0 ? "" : ", ",
                figure->model->arenas[rows[row].arena].base, row);
    }
    fputs(") scale 0\n", figure->script);
}

static void plot_cells(struct psc_figure *figure, int kind, const char *color, const char *words) {
    if (kind == PSC_CELL_POOL) {
        fprintf(figure->script,
                "'%s.tsv' using ($6==%d?$3:NaN):1:3:4:($1-0.42):($1+0.42):7 with boxxyerror lc palette\n", figure->name,
                kind);
    } else {
        fprintf(figure->script,
                "'%s.tsv' using ($6==%d?$3:NaN):1:3:4:($1-0.42):($1+0.42) with boxxyerror lc rgb '%s', "
                "NaN with boxes lc rgb '%s' title '%s', ",
                figure->name, kind, color, color, words);
    }
}

static bool draw_arenas(struct psc_figure *figure, struct row *rows) {
    const struct psc_model *model = figure->model;
    size_t count = choose_rows(model, rows);
    if (count < model->arena_count) {
        snprintf(figure->title_text, sizeof(figure->title_text),
                 "Arena map at the end: %zu of %zu arenas, those with most pinned bytes%s", count, model->arena_count,
                 psc_model_is_sampled(model) ? " in pools with a sample" : "");
        figure->title = figure->title_text;
    }
    figure->height = 170 + 16 * (unsigned)(count < 6 ? 6 : count);
    fputs("row\tarena\tfrom_slot\tto_slot\tkind\tkind_number\toccupancy_percent\n", figure->data);
    for (size_t row = 0; row < count; row++) {
        write_arena(figure, rows, row);
    }
    write_arena_tics(figure, rows, count);
    fprintf(figure->script,
            "unset grid\n" PSC_PALETTE "set cblabel 'occupancy (%%)'\n"
            "set xlabel 'slot in the arena (%s each)'\nset ylabel 'arena'\nset xrange [0:%u]\nset xtics 0, 32\n"
            "set yrange [%g:-0.5]\nset key outside bottom center horizontal reverse Left samplen 2 height 1\n"
            "set object rectangle from graph 0, graph 0 to graph 1, graph 1 behind fc rgb '#ececec' fs noborder\nplot ",
            psc_format_bytes(model->slot_bytes).s, PSC_ARENA_SLOTS, (double)count - 0.5);
    fputs("NaN with boxes lc rgb '#ececec' title 'free, given back', ", figure->script);
    plot_cells(figure, PSC_CELL_CACHED, "#9ecae9", "free, cached");
    plot_cells(figure, PSC_CELL_EMPTY, PSC_COLOR_EMPTY, "empty pool");
    if (psc_model_is_sampled(model)) {
        plot_cells(figure, PSC_CELL_UNSAMPLED, PSC_COLOR_METADATA, "pool without a sample: occupancy not known");
    }
    plot_cells(figure, PSC_CELL_POOL, NULL, NULL);
    return true;
}

bool psc_figure_arenas(struct psc_figure *figure) {
    if (figure->model->arena_count == 0 || figure->model->slot_bytes == 0) {
        return psc_figure_leave_out(figure, "the heap had no arena at the end");
    }
    struct row *rows = calloc(figure->model->arena_count, sizeof(*rows));
    if (rows == NULL) {
        return psc_figure_leave_out(figure, "out of memory");
    }
    bool drawn = draw_arenas(figure, rows);
    free(rows);
    return drawn;
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
