/* Where pools are: every arena at one moment, and all of them over time. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/format.h"
#include "report/plot_figure.h"
#include "report/plot_text.h"
#include "report/slots.h"

/* ---- arena map --------------------------------------------------------------------------------------------------- */

#define ARENA_ROWS 48
#define COLOR_CACHED "#9ecae9"

static uint64_t arena_pinned(const struct psc_model *model, const struct psc_arena *arena) {
    uint64_t sum = 0;
    for (size_t i = 0; i < arena->pool_count; i++) {
        sum += model->pools[arena->first_pool + i].pinned_bytes;
    }
    return sum;
}

/* An arena to be shown. */
struct row {
    uint32_t index; /* of the arena's row in the trace: which of them it is */
    uint64_t base;  /* 0: not known, for it is not there any more */
    uint64_t weight;
    struct psc_slot_cell cells[PSC_ARENA_SLOTS];
};

static int by_weight(const void *a, const void *b) {
    const struct row *left = a;
    const struct row *right = b;
    if (left->weight != right->weight) {
        return left->weight > right->weight ? -1 : 1;
    }
    return left->index < right->index ? -1 : left->index > right->index;
}

static int by_place(const void *a, const void *b) {
    const struct row *left = a;
    const struct row *right = b;
    if (left->base != right->base) {
        return left->base < right->base ? -1 : 1;
    }
    return left->index < right->index ? -1 : left->index > right->index;
}

/* The arenas that weigh most, in the order of their addresses; returns how many. */
static size_t choose_rows(struct row *rows, size_t count) {
    if (count > ARENA_ROWS) {
        qsort(rows, count, sizeof(*rows), by_weight);
        count = ARENA_ROWS;
    }
    qsort(rows, count, sizeof(*rows), by_place);
    return count;
}

static void write_arena(struct psc_figure *figure, const struct row *row, size_t number) {
    static const char *const kinds[] = {"free", "cached", "empty", "pool", "unsampled"};
    const struct psc_slot_cell *cells = row->cells;
    for (size_t first = 0, end; first < PSC_ARENA_SLOTS; first = end) {
        for (end = first + 1; end < PSC_ARENA_SLOTS && memcmp(&cells[end], &cells[first], sizeof(cells[0])) == 0;
             end++) {
        }
        if (cells[first].kind != PSC_CELL_FREE) {
            fprintf(figure->data, "%zu\t0x%" PRIx64 "\t%zu\t%zu\t%s\t%d\t%u\n", number, row->base, first, end,
                    kinds[cells[first].kind], cells[first].kind, cells[first].percent);
        }
    }
}

static void write_arena_name(struct psc_figure *figure, uint64_t base, uint32_t index) {
    if (base != 0) {
        fprintf(figure->script, "'0x%" PRIx64 "' ", base);
    } else {
        fprintf(figure->script, "'arena %" PRIu32 "' ", index);
    }
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

static void set_arena_axes(struct psc_figure *figure, const struct row *rows, size_t count) {
    figure->height = 170 + 16 * (unsigned)(count < 6 ? 6 : count);
    fputs("set ytics (", figure->script);
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? "" : ", ", figure->script);
        write_arena_name(figure, rows[i].base, rows[i].index);
        fprintf(figure->script, "%zu", i);
    }
    fprintf(figure->script,
            ") scale 0\nunset grid\n" PSC_PALETTE "set cblabel 'occupancy (%%)'\n"
            "set xlabel 'slot in the arena (%s each)'\nset ylabel 'arena'\nset xrange [0:%u]\nset xtics 0, 32\n"
            "set yrange [%g:-0.5]\nset key outside bottom center horizontal reverse Left samplen 2 height 1\n"
            "set object rectangle from graph 0, graph 0 to graph 1, graph 1 behind fc rgb '#ececec' fs noborder\n",
            psc_format_bytes(figure->model->slot_bytes).s, PSC_ARENA_SLOTS, (double)count - 0.5);
}

static void draw_rows(struct psc_figure *figure, struct row *rows, size_t all) {
    size_t count = choose_rows(rows, all);
    if (count < all) {
        snprintf(figure->title_text, sizeof(figure->title_text), "%s: %zu of %zu arenas, those with most pinned bytes",
                 figure->title, count, all);
        figure->title = figure->title_text;
    }
    fputs("row\tarena\tfrom_slot\tto_slot\tkind\tkind_number\toccupancy_percent\n", figure->data);
    for (size_t i = 0; i < count; i++) {
        write_arena(figure, &rows[i], i);
    }
    set_arena_axes(figure, rows, count);
    fputs("plot NaN with boxes lc rgb '#ececec' title 'free, given back', ", figure->script);
    plot_cells(figure, PSC_CELL_CACHED, COLOR_CACHED, "free, cached");
    plot_cells(figure, PSC_CELL_EMPTY, PSC_COLOR_EMPTY, "empty pool");
    plot_cells(figure, PSC_CELL_UNSAMPLED, PSC_COLOR_METADATA,
               psc_model_is_sampled(figure->model) ? "pool without a sample: occupancy not known" : "");
    plot_cells(figure, PSC_CELL_POOL, NULL, NULL);
}

bool psc_figure_arenas(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    if (model->arena_count == 0 || model->slot_bytes == 0) {
        return psc_figure_leave_out(figure, "the heap had no arena at the end");
    }
    struct row *rows = psc_array_new(model->arena_count, sizeof(*rows));
    for (size_t i = 0; i < model->arena_count; i++) {
        const struct psc_arena *arena = &model->arenas[i];
        rows[i].index = arena->index;
        rows[i].base = arena->base;
        rows[i].weight = arena_pinned(model, arena);
        psc_slots_fill(model, arena, rows[i].cells);
    }
    draw_rows(figure, rows, model->arena_count);
    free(rows);
    return true;
}

/* ---- pool maps of snapshots -------------------------------------------------------------------------------------- */

static uint64_t arena_base(const struct psc_model *model, uint32_t index) {
    for (size_t i = 0; i < model->arena_count; i++) {
        if (model->arenas[i].index == index) {
            return model->arenas[i].base;
        }
    }
    return 0;
}

/* Cells of more slots would be those of a heap beyond 100 GiB, or damage. */
#define CELL_SLOTS_MOST 4096

/* NULL: it has none that can be drawn. */
static const struct psc_pool_map *map_of(const struct psc_model *model, const struct psc_wire_snapshot *snapshot) {
    const struct psc_pool_map *map = psc_model_map_of(model, snapshot);
    return map != NULL && map->slots != 0 && map->slots <= CELL_SLOTS_MOST ? map : NULL;
}

static uint8_t percent_of(uint8_t cell) {
    return (uint8_t)((cell - PSC_MAP_EMPTY) * 100 / (255 - PSC_MAP_EMPTY));
}

static struct psc_slot_cell cell_of(uint8_t cell) {
    return cell == 0                ? (struct psc_slot_cell){PSC_CELL_FREE, 0}
           : cell == PSC_MAP_CACHED ? (struct psc_slot_cell){PSC_CELL_CACHED, 0}
           : cell == PSC_MAP_EMPTY  ? (struct psc_slot_cell){PSC_CELL_EMPTY, 0}
                                    : (struct psc_slot_cell){PSC_CELL_POOL, percent_of(cell)};
}

/* Slots up to the last that is in use. */
static uint64_t slots_of(const struct psc_pool_map *map) {
    size_t cells = PSC_MAP_CELLS;
    while (cells > 0 && map->cells[cells - 1] == 0) {
        cells--;
    }
    return (uint64_t)cells * map->slots;
}

/* Arenas without anything in them have gone back, or never were. */
static size_t fill_rows(const struct psc_model *model, const struct psc_pool_map *map, struct row *rows,
                        size_t arenas) {
    size_t count = 0;
    for (size_t i = 0; i < arenas; i++) {
        struct row *row = &rows[count];
        bool is_used = false;
        *row = (struct row){.index = (uint32_t)i};
        for (size_t slot = 0; slot < PSC_ARENA_SLOTS; slot++) {
            uint64_t cell = (i * PSC_ARENA_SLOTS + slot) / map->slots;
            uint8_t shade = cell < PSC_MAP_CELLS ? map->cells[cell] : 0;
            row->cells[slot] = cell_of(shade);
            row->weight += shade > PSC_MAP_EMPTY ? 255u - shade : 0;
            is_used = is_used || shade != 0;
        }
        row->base = is_used ? arena_base(model, row->index) : 0;
        count += is_used;
    }
    return count;
}

bool psc_figure_arenas_peak(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    const struct psc_wire_snapshot *peak = psc_model_peak_snapshot(model);
    const struct psc_pool_map *map = peak != NULL ? map_of(model, peak) : NULL;
    if (map == NULL) {
        return psc_figure_leave_out(figure, "the trace holds no map of the pools at the peak");
    }
    size_t arenas = (size_t)(slots_of(map) / PSC_ARENA_SLOTS) + 1;
    struct row *rows = psc_array_new(arenas, sizeof(*rows));
    size_t count = fill_rows(model, map, rows, arenas);
    if (count != 0) {
        draw_rows(figure, rows, count);
    }
    free(rows);
    return count != 0 || psc_figure_leave_out(figure, "the heap had no arena at the peak");
}

/* ---- pools over time --------------------------------------------------------------------------------------------- */

#define MAP_COLUMNS 200
#define MAP_ROWS 256
#define MAP_FREE (-30) /* values of cells that are no occupancy */
#define MAP_CACHED (-15)
#define MAP_EMPTY_POOL (-5)
/* Viewers smooth a picture that they scale, so that each cell is several of its dots. */
#define DOTS_WIDE 2
#define DOT_OF_ZERO 100 /* the byte of a dot is its value and this */

struct strip {
    uint64_t slots;         /* in all */
    uint64_t slots_per_row; /* a power of two */
    size_t rows;
    size_t maps;
    int8_t values[MAP_COLUMNS][MAP_ROWS]; /* in percent */
};

static void find_rows(const struct psc_model *model, struct strip *strip) {
    strip->slots_per_row = 1;
    for (size_t i = 0; i < model->snapshot_count; i++) {
        const struct psc_pool_map *map = map_of(model, &model->snapshots[i]);
        uint64_t slots = map == NULL ? 0 : slots_of(map);
        if (slots != 0) {
            strip->maps++;
            strip->slots = slots > strip->slots ? slots : strip->slots;
            strip->slots_per_row = map->slots > strip->slots_per_row ? map->slots : strip->slots_per_row;
        }
    }
    strip->slots = psc_round_up(strip->slots, PSC_ARENA_SLOTS);
    while (strip->slots > (uint64_t)MAP_ROWS * strip->slots_per_row) {
        strip->slots_per_row *= 2;
    }
    strip->rows = (size_t)((strip->slots + strip->slots_per_row - 1) / strip->slots_per_row);
}

/* Where there are pools, how full they are on average; else what is cached shows. */
static int8_t value_of_row(const struct psc_pool_map *map, uint64_t first, uint64_t end) {
    unsigned sum = 0, pools = 0, in_use = 0;
    bool cached = false;
    for (uint64_t i = first; i < end && i < PSC_MAP_CELLS; i++) {
        uint8_t cell = map->cells[i];
        pools += cell >= PSC_MAP_EMPTY;
        in_use += cell > PSC_MAP_EMPTY;
        sum += cell > PSC_MAP_EMPTY ? percent_of(cell) : 0;
        cached = cached || cell == PSC_MAP_CACHED;
    }
    return (int8_t)(in_use != 0  ? (int)((sum + pools / 2) / pools)
                    : pools != 0 ? MAP_EMPTY_POOL
                    : cached     ? MAP_CACHED
                                 : MAP_FREE);
}

static void fill_column(const struct psc_pool_map *map, struct strip *strip, size_t column) {
    for (size_t row = 0; row < strip->rows; row++) {
        uint64_t first = row * strip->slots_per_row / map->slots;
        uint64_t end = (row + 1) * strip->slots_per_row / map->slots;
        strip->values[column][row] = value_of_row(map, first, end);
    }
}

/* In each column the last map of its time or from before. */
static void fill_columns(const struct psc_model *model, struct strip *strip) {
    const struct psc_pool_map *map = NULL;
    size_t next = 0;
    memset(strip->values, MAP_FREE, sizeof(strip->values));
    for (size_t column = 0; column < MAP_COLUMNS; column++) {
        double end = (double)model->process.duration_ns * (double)(column + 1) / MAP_COLUMNS;
        for (; next < model->snapshot_count && (double)model->snapshots[next].time_ns <= end; next++) {
            const struct psc_pool_map *found = map_of(model, &model->snapshots[next]);
            map = found != NULL ? found : map;
        }
        if (map != NULL) {
            fill_column(map, strip, column);
        }
    }
}

/* Neighbours in time and place that are the same are one line. */
static void write_strip(struct psc_figure *figure, const struct strip *strip) {
    double step = (double)figure->model->process.duration_ns / 1e9 / MAP_COLUMNS;
    fputs("from_seconds\tto_seconds\tarena\tfrom_slot\tto_slot\tvalue\n", figure->data);
    for (size_t first = 0, end; first < MAP_COLUMNS; first = end) {
        const int8_t *values = strip->values[first];
        for (end = first + 1; end < MAP_COLUMNS && memcmp(strip->values[end], values, MAP_ROWS) == 0; end++) {
        }
        for (size_t row = 0, behind; row < strip->rows; row = behind) {
            uint64_t slot = row * strip->slots_per_row;
            for (behind = row + 1; behind < strip->rows && values[behind] == values[row] &&
                                   behind * strip->slots_per_row % PSC_ARENA_SLOTS != 0;
                 behind++) {
            }
            if (values[row] != MAP_FREE) {
                fprintf(figure->data, "%.6f\t%.6f\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%d\n", (double)first * step,
                        (double)end * step, slot / PSC_ARENA_SLOTS, slot % PSC_ARENA_SLOTS,
                        slot % PSC_ARENA_SLOTS + (behind - row) * strip->slots_per_row, values[row]);
            }
        }
    }
}

/* The picture's dots, a byte each, behind the command that plots them; none is 0, which would end the script. */
static void write_dots(struct psc_figure *figure, const struct strip *strip, size_t high) {
    for (size_t line = 0; line < strip->rows * high; line++) {
        for (size_t dot = 0; dot < (size_t)MAP_COLUMNS * DOTS_WIDE; dot++) {
            fputc(strip->values[dot / DOTS_WIDE][line / high] + DOT_OF_ZERO, figure->script);
        }
    }
}

static void write_map_tics(struct psc_figure *figure, uint32_t arenas) {
    uint32_t every = arenas / 16 + 1;
    fputs("set ytics (", figure->script);
    for (uint32_t i = 0; i < arenas; i += every) {
        fputs(i == 0 ? "" : ", ", figure->script);
        write_arena_name(figure, arena_base(figure->model, i), i);
        fprintf(figure->script, "%" PRIu32, i);
    }
    fputs(") scale 0\n", figure->script);
    for (uint32_t i = 1; i < arenas && arenas <= 64; i++) {
        fprintf(figure->script,
                "set arrow from graph 0, first %" PRIu32 " to graph 1, first %" PRIu32
                " nohead front lw 0.5 lc rgb '#ffffff'\n",
                i, i);
    }
}

static void draw_strip(struct psc_figure *figure, const struct strip *strip) {
    struct psc_scale time = psc_scale_time(figure->model->process.duration_ns);
    double duration = (double)figure->model->process.duration_ns / time.divisor;
    uint32_t arenas = (uint32_t)(strip->slots / PSC_ARENA_SLOTS);
    size_t high = (MAP_ROWS + strip->rows - 1) / strip->rows;
    double dx = duration / (MAP_COLUMNS * DOTS_WIDE);
    double dy = (double)strip->slots_per_row / PSC_ARENA_SLOTS / (double)high;
    figure->height = 520;
    write_strip(figure, strip);
    write_map_tics(figure, arenas);
    fprintf(figure->script,
            "unset grid\nset palette defined (-30 '#ececec', -20.01 '#ececec', -20 '" COLOR_CACHED
            "', -10.01 '" COLOR_CACHED "', -10 '" PSC_COLOR_EMPTY "', -0.01 '" PSC_COLOR_EMPTY
            "', 0 '#440154', 13 '#482878', 25 '#3e4a89', 38 '#31688e', 50 '#26828e', 63 '#1f9e89', 75 '#35b779',"
            " 88 '#b5de2b', 100 '#fde725') maxcolors 0\nset cbrange [-30:100]\n"
            "set cbtics ('free' -25, 'cached' -15, 'empty' -5, '20 %%%%' 20, '40 %%%%' 40, '60 %%%%' 60, '80 %%%%' 80, "
            "'100 %%%%' 100) scale 0\nset cblabel 'live part of the pools'\nset xlabel 'time since the start (%s)'\n"
            "set ylabel 'arenas, each from its lowest address up'\nset xrange [0:%g]\nset yrange [0:%" PRIu32 "]\n"
            "plot '-' binary array=(%d,%zu) format='%%uchar' origin=(%.9g,%.9g) dx=%.9g dy=%.9g using ($1-%d) with "
            "image\n",
            time.unit, duration, arenas, MAP_COLUMNS * DOTS_WIDE, strip->rows * high, dx / 2, dy / 2, dx, dy,
            DOT_OF_ZERO);
    write_dots(figure, strip, high);
    fputc('\n', figure->script);
}

bool psc_figure_map_time(struct psc_figure *figure) {
    const struct psc_model *model = figure->model;
    struct strip *strip = psc_array_new(1, sizeof(*strip));
    find_rows(model, strip);
    bool is_drawn = strip->maps > 1 && model->process.duration_ns != 0;
    if (is_drawn) {
        fill_columns(model, strip);
        draw_strip(figure, strip);
    } else {
        psc_figure_leave_out(figure, strip->maps == 0 ? "the trace holds no map of the pools"
                                                      : "the trace holds one map of the pools only");
    }
    free(strip);
    return is_drawn;
}
