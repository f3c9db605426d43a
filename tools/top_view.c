/* The tables: what stands in their columns. */
#include "tools/top_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/estimate.h"
#include "report/format.h"
#include "tools/top_rows.h"

#define NAME(name, option, key, help) [PSC_TOP_##name] = option,
#define KEY(name, option, key, help) [PSC_TOP_##name] = key,
const char *const psc_top_sort_names[PSC_TOP_SORT_COUNT] = {PSC_TOP_SORTS(NAME)};
const char psc_top_sort_keys[PSC_TOP_SORT_COUNT + 1] = {PSC_TOP_SORTS(KEY)};
const char *const psc_top_view_names[PSC_TOP_VIEWS] = {"sites", "classes", "pools", "threads"};

struct psc_text psc_top_blocks(uint64_t count) {
    struct psc_text text;
    snprintf(text.s, sizeof(text.s), "%.40s %s", psc_format_count(count).s, count == 1 ? "block" : "blocks");
    return text;
}

#define NOT_SORTED PSC_TOP_SORT_COUNT

struct column {
    const char *title;
    unsigned width;         /* with the space before it */
    unsigned from;          /* not on lines of fewer columns, unless the rows are sorted by it */
    enum psc_top_sort sort; /* the order that it stands for */
    bool sampled;           /* only of a sampled trace */
    struct psc_text (*text)(const struct psc_top *top, size_t index);
};

static struct psc_text rounded_bytes(double value) {
    return psc_format_bytes(psc_estimate_round(value));
}

static struct psc_text rounded_count(double value) {
    return psc_format_count(psc_estimate_round(value));
}

#define TEXT(name, of, ...)                                                                                            \
    static struct psc_text name(const struct psc_top *top, size_t i) {                                                 \
        of;                                                                                                            \
        return __VA_ARGS__;                                                                                            \
    }
#define SITE const struct psc_site *site = &top->model->sites[i]
#define CLASS const struct psc_class *class = &top->model->classes[i]
#define THREAD const struct psc_thread *thread = &top->model->threads[i]
#define NOTHING (void)0

TEXT(site_live, SITE, psc_format_bytes(site->live_bytes))
TEXT(site_error, SITE, psc_format_bytes(psc_range_error(site->live_bytes_range)))
TEXT(site_pinned, SITE, psc_format_bytes(site->pinned_bytes))
TEXT(site_bytes, NOTHING, rounded_bytes(top->sites[i].bytes))
TEXT(site_allocs, NOTHING, rounded_count(top->sites[i].allocs))
TEXT(site_count, SITE, psc_format_count(site->live_count))
TEXT(site_peak, SITE, psc_format_bytes(site->peak_live_bytes))

static const struct column site_columns[] = {
    {"LIVE", 10, 0, PSC_TOP_LIVE, false, site_live},           {"+-", 10, 90, NOT_SORTED, true, site_error},
    {"PINNED", 10, 0, PSC_TOP_PINNED, false, site_pinned},     {"BYTES/S", 10, 0, PSC_TOP_RATE, false, site_bytes},
    {"ALLOCS/S", 11, 100, PSC_TOP_ALLOCS, false, site_allocs}, {"BLOCKS", 11, 80, PSC_TOP_COUNT, false, site_count},
    {"PEAK", 10, 120, PSC_TOP_PEAK, false, site_peak},
};

static struct psc_text class_block(const struct psc_top *top, size_t i) {
    return i == PSC_CLASS_LARGE ? (struct psc_text){"large"} : psc_format_bytes(top->model->classes[i].block_bytes);
}

TEXT(class_pools, CLASS, psc_format_count(class->pools))
TEXT(class_live, CLASS, psc_format_count(class->live_blocks))
TEXT(class_capacity, CLASS, psc_format_count(class->capacity_blocks))
TEXT(class_full, CLASS, psc_format_share(class->live_blocks, class->capacity_blocks))
TEXT(class_requested, CLASS, psc_format_bytes(class->live_requested_bytes))
TEXT(class_held, CLASS, psc_format_bytes(class->committed_bytes))
TEXT(class_pinned, CLASS, psc_format_bytes(class->pinned_bytes))
TEXT(class_allocs, NOTHING, rounded_count(top->classes[i].allocs))

static const struct column class_columns[] = {
    {"BLOCK", 10, 0, NOT_SORTED, false, class_block},
    {"POOLS", 9, 80, NOT_SORTED, false, class_pools},
    {"BLOCKS", 11, 60, PSC_TOP_COUNT, false, class_live},
    {"CAPACITY", 11, 100, NOT_SORTED, false, class_capacity},
    {"FULL", 8, 0, NOT_SORTED, false, class_full},
    {"LIVE", 10, 70, PSC_TOP_LIVE, false, class_requested},
    {"PINNED", 10, 0, PSC_TOP_PINNED, false, class_pinned},
    {"HELD", 10, 0, PSC_TOP_PEAK, false, class_held},
    {"ALLOCS/S", 11, 70, PSC_TOP_ALLOCS, false, class_allocs},
};

static struct psc_text thread_tid(const struct psc_top *top, size_t i) {
    struct psc_text text;
    snprintf(text.s, sizeof(text.s), "%" PRIu32, top->model->threads[i].tid);
    return text;
}

static struct psc_text thread_runs(const struct psc_top *top, size_t i) {
    bool runs = top->model->threads[i].running != 0 && top->end == PSC_PROCESS_RUNNING;
    return runs ? (struct psc_text){"yes"} : (struct psc_text){"ended"};
}

TEXT(thread_owners, THREAD, psc_format_count(thread->owners))
TEXT(thread_allocs, THREAD, psc_format_count(thread->alloc_count))
TEXT(thread_frees, THREAD, psc_format_count(thread->free_count))
TEXT(thread_alloc_rate, NOTHING, rounded_count(top->threads[i].allocs))
TEXT(thread_free_rate, NOTHING, rounded_count(top->threads[i].frees))

static const struct column thread_columns[] = {
    {"TID", 8, 0, NOT_SORTED, false, thread_tid},
    {"RUNS", 7, 0, NOT_SORTED, false, thread_runs},
    {"ALLOCS/S", 11, 0, PSC_TOP_ALLOCS, false, thread_alloc_rate},
    {"FREES/S", 11, 0, NOT_SORTED, false, thread_free_rate},
    {"ALLOCS", 15, 80, PSC_TOP_COUNT, false, thread_allocs},
    {"FREES", 15, 80, NOT_SORTED, false, thread_frees},
    {"OWNERS", 9, 100, NOT_SORTED, false, thread_owners},
};

static const struct {
    const struct column *columns;
    size_t count;
} tables[] = {[PSC_TOP_SITES] = {site_columns, PSC_COUNT_OF(site_columns)},
              [PSC_TOP_CLASSES] = {class_columns, PSC_COUNT_OF(class_columns)},
              [PSC_TOP_POOLS] = {NULL, 0},
              [PSC_TOP_THREADS] = {thread_columns, PSC_COUNT_OF(thread_columns)},
              [PSC_TOP_STACK] = {NULL, 0},
              [PSC_TOP_HELP] = {NULL, 0}};

/* ---- order of classes and threads -------------------------------------------------------------------------------- */

/* What `sort` means there: the nearest thing to it. */
static double class_figure(const struct psc_top *top, size_t i) {
    const struct psc_class *class = &top->model->classes[i];
    switch (top->sort) {
    case PSC_TOP_LIVE: return (double)class->live_requested_bytes;
    case PSC_TOP_PINNED: return (double)class->pinned_bytes;
    case PSC_TOP_COUNT: return (double)class->live_blocks;
    case PSC_TOP_PEAK: return (double)class->committed_bytes;
    default: return top->classes[i].allocs;
    }
}

static double thread_figure(const struct psc_top *top, size_t i) {
    bool rate = top->sort == PSC_TOP_RATE || top->sort == PSC_TOP_ALLOCS;
    return rate ? top->threads[i].allocs : (double)top->model->threads[i].alloc_count;
}

struct place {
    double figure;
    size_t index;
};

static int most_first(const void *left, const void *right) {
    const struct place *a = left, *b = right;
    if (a->figure != b->figure) {
        return a->figure > b->figure ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

static void set_order(struct psc_top_table *table, struct place *places) {
    qsort(places, table->count, sizeof(*places), most_first);
    table->order = psc_array_new(table->count, sizeof(*table->order));
    for (size_t i = 0; i < table->count; i++) {
        table->order[i] = places[i].index;
    }
    free(places);
}

static void order_classes(struct psc_top_table *table) {
    const struct psc_top *top = table->top;
    struct place *places = psc_array_new(PSC_CLASSES_MAX, sizeof(*places));
    for (size_t i = 0; i < PSC_CLASSES_MAX; i++) {
        if ((top->model->classes[i].pools | top->model->classes[i].alloc_count) != 0) {
            places[table->count++] = (struct place){class_figure(top, i), i};
        }
    }
    set_order(table, places);
}

static void order_threads(struct psc_top_table *table) {
    const struct psc_top *top = table->top;
    struct place *places = psc_array_new(top->model->thread_count, sizeof(*places));
    for (; table->count < top->model->thread_count; table->count++) {
        places[table->count] = (struct place){thread_figure(top, table->count), table->count};
    }
    set_order(table, places);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

void psc_top_table_make(struct psc_top_table *table, struct psc_top *top, enum psc_top_view view, uint32_t site) {
    *table = (struct psc_top_table){.top = top, .view = view, .site = site};
    switch (view) {
    case PSC_TOP_SITES: table->count = top->order_count; break;
    case PSC_TOP_CLASSES: order_classes(table); break;
    case PSC_TOP_THREADS: order_threads(table); break;
    case PSC_TOP_POOLS: psc_top_rows_make_pools(table); break;
    case PSC_TOP_STACK: psc_top_rows_make_stack(table); break;
    case PSC_TOP_HELP: psc_top_rows_make_help(table); break;
    }
}

void psc_top_table_release(struct psc_top_table *table) {
    free(table->order);
    table->order = NULL;
}

static bool is_shown(const struct psc_top *top, const struct column *column, unsigned columns) {
    bool sorted = column->sort == top->sort;
    bool known = !column->sampled || psc_model_is_sampled(top->model);
    return known && (columns >= column->from || sorted);
}

static void put_right(struct psc_top_line *line, unsigned width, const char *text) {
    size_t length = strlen(text);
    psc_top_line_pad(line, line->width + (length < width ? width - (unsigned)length : 1));
    psc_top_line_put(line, text);
}

/* The column by which the rows are sorted has a star. */
static void put_titles(const struct psc_top_table *table, struct psc_top_line *line) {
    char title[16];
    for (size_t i = 0; i < tables[table->view].count; i++) {
        const struct column *column = &tables[table->view].columns[i];
        if (is_shown(table->top, column, line->columns)) {
            snprintf(title, sizeof(title), "%s%s", column->sort == table->top->sort ? "*" : "", column->title);
            put_right(line, column->width, title);
        }
    }
}

void psc_top_table_title(const struct psc_top_table *table, struct psc_top_line *line) {
    put_titles(table, line);
    switch (table->view) {
    case PSC_TOP_SITES: psc_top_line_put(line, "  SITE"); break;
    case PSC_TOP_THREADS: psc_top_line_put(line, "  NAME"); break;
    case PSC_TOP_POOLS: psc_top_line_put(line, "POOLS BY OCCUPANCY, AND ARENAS"); break;
    case PSC_TOP_STACK: psc_top_line_printf(line, "SITE %" PRIu32, table->site); break;
    case PSC_TOP_HELP: psc_top_line_put(line, "HELP"); break;
    default: break;
    }
}

static void put_columns(const struct psc_top_table *table, size_t index, struct psc_top_line *line) {
    for (size_t i = 0; i < tables[table->view].count; i++) {
        const struct column *column = &tables[table->view].columns[i];
        if (is_shown(table->top, column, line->columns)) {
            put_right(line, column->width, column->text(table->top, index).s);
        }
    }
}

void psc_top_table_row(const struct psc_top_table *table, size_t row, struct psc_top_line *line) {
    const struct psc_top *top = table->top;
    switch (table->view) {
    case PSC_TOP_SITES:
        put_columns(table, top->order[row], line);
        psc_top_line_put(line, "  ");
        psc_top_rows_put_site(top->model, psc_top_site(top, row), line);
        break;
    case PSC_TOP_CLASSES: put_columns(table, table->order[row], line); break;
    case PSC_TOP_THREADS:
        put_columns(table, table->order[row], line);
        psc_top_line_put(line, "  ");
        psc_top_line_put(line, top->model->threads[table->order[row]].name);
        break;
    case PSC_TOP_POOLS: psc_top_rows_put_pools(table, row, line); break;
    case PSC_TOP_STACK: psc_top_rows_put_stack(table, row, line); break;
    case PSC_TOP_HELP: psc_top_rows_put_help(table, row, line); break;
    }
}
