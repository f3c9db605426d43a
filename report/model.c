#include "report/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/blame.h"
#include "report/format.h"
#include "report/load.h"
#include "report/prefix.h"
#include "report/progress.h"
#include "report/symbol_file.h"
#include "report/symbols.h"

/* ---- notes ----------------------------------------------------------------------------------------------------- */

static void add_note(struct psc_load *load, bool warning, const char *text) {
    struct psc_model *model = load->model;
    model->notes = psc_array_reserve(model->notes, model->note_count + 1, &load->note_capacity, sizeof(*model->notes));
    model->notes[model->note_count++] = (struct psc_note){warning, psc_array_text(text)};
}

void psc_load_warn(struct psc_load *load, const char *format, ...) {
    char text[512];
    if (load->model->note_count >= PSC_NOTES_MAX) {
        load->notes_dropped++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    add_note(load, true, text);
}

void psc_load_note(struct psc_load *load, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    add_note(load, false, text);
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Of pages that large blocks left behind. */
static uint64_t cached_ranges(struct psc_load *load) {
    uint64_t bytes = load->header->counters.cached_range_bytes;
    if (bytes >> 47 == 0) {
        return bytes;
    }
    psc_load_warn(load, "header: cached_range_bytes is %" PRIu64 ", more than an address space holds, and is left out",
                  bytes);
    return 0;
}

/* As the arenas have it; of a sampled trace the last snapshot's, as all else, takes its place. */
static uint64_t cached_now(struct psc_load *load) {
    uint64_t bytes = cached_ranges(load);
    for (size_t i = 0; i < load->model->arena_count; i++) {
        bytes += load->model->arenas[i].cached_bytes;
    }
    return bytes;
}

static void sum_fragmentation(struct psc_model *model, uint64_t cached_bytes) {
    struct psc_fragmentation *sums = &model->fragmentation;
    sums->cached_bytes = cached_bytes;
    sums->committed_bytes += sums->cached_bytes;
    sums->internal_bytes = sums->live_block_bytes - sums->live_requested_bytes;
    sums->external_bytes = sums->committed_bytes - sums->live_block_bytes;
}

static void sum_totals(struct psc_load *load) {
    struct psc_model *model = load->model;
    struct psc_totals *totals = &model->totals;
    const struct psc_wire_counters *counters = &load->header->counters;
    totals->clock_bytes = load->clock_bytes;
    totals->dropped_events = counters->dropped_events;
    totals->unrecorded_frees = counters->unrecorded_frees;
    totals->misuse_count = counters->misuse_count;
    totals->peak_live_bytes = larger(counters->peak_live_bytes, totals->live_bytes);
    totals->peak_clock_bytes = totals->peak_live_bytes > counters->peak_live_bytes
                                   ? totals->clock_bytes
                                   : smaller(counters->peak_clock_bytes, totals->clock_bytes);
    totals->committed_bytes = model->fragmentation.committed_bytes;
    totals->peak_committed_bytes = totals->committed_bytes;
    totals->tracker_bytes = counters->tracker_private_bytes + load->trace->claimed_bytes;
    totals->snapshot_ns = counters->snapshot_ns;
    model->fragmentation.metadata_bytes = counters->heap_metadata_bytes;
    for (size_t i = 0; i < model->snapshot_count; i++) {
        const struct psc_wire_snapshot *snapshot = &model->snapshots[i];
        totals->peak_committed_bytes = larger(totals->peak_committed_bytes, snapshot->committed_bytes);
        totals->peak_rss_bytes = larger(totals->peak_rss_bytes, snapshot->rss_bytes);
        totals->rss_bytes = snapshot->rss_bytes != 0 ? snapshot->rss_bytes : totals->rss_bytes;
        model->process.duration_ns = larger(model->process.duration_ns, snapshot->time_ns);
    }
}

static double realised(uint64_t committed, uint64_t live) {
    return live != 0 ? (double)committed / (double)live - 1 : NAN;
}

/* The most may stay committed for long while what is live falls: what was needed at the peak shows where most was live. */
static void find_realised(struct psc_model *model) {
    struct psc_fragmentation *sums = &model->fragmentation;
    uint64_t least = model->totals.peak_committed_bytes / 2;
    uint64_t live = sums->committed_bytes >= least ? sums->live_requested_bytes : 0;
    sums->realised_now = realised(sums->committed_bytes, sums->live_requested_bytes);
    sums->realised_at_peak = sums->realised_now;
    for (size_t i = 0; i < model->snapshot_count; i++) {
        const struct psc_wire_snapshot *snapshot = &model->snapshots[i];
        if (snapshot->committed_bytes >= least && snapshot->live_bytes > live) {
            live = snapshot->live_bytes;
            sums->realised_at_peak = realised(snapshot->committed_bytes, live);
        }
    }
}

static struct psc_range exactly(uint64_t value) {
    return (struct psc_range){value, value};
}

static void set_exact_ranges(struct psc_model *model) {
    model->totals.live_bytes_range = exactly(model->totals.live_bytes);
    model->totals.alloc_bytes_range = exactly(model->totals.alloc_bytes);
    for (size_t i = 0; i < model->site_count; i++) {
        struct psc_site *site = &model->sites[i];
        site->live_count_range = exactly(site->live_count);
        site->live_bytes_range = exactly(site->live_bytes);
        site->alloc_bytes_range = exactly(site->alloc_bytes);
        site->pinned_bytes_range = exactly(site->pinned_bytes);
    }
}

static void find_lifetimes(struct psc_model *model) {
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    for (size_t i = 0; i < model->site_count; i++) {
        struct psc_site *site = &model->sites[i];
        size_t count = psc_site_is_used(site) ? psc_lifetime_curve(&model->lifetimes[i], 1, points) : 0;
        site->lifetime_sum = psc_lifetime_sum(&model->lifetimes[i]);
        site->lifetime_p50 = psc_survival_quantile(points, count, 0.5);
        site->lifetime_p90 = psc_survival_quantile(points, count, 0.9);
        site->lifetime_p99 = psc_survival_quantile(points, count, 0.99);
    }
}

/* ---- order ----------------------------------------------------------------------------------------------------- */

static int compare(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int pool_by_base(const void *left, const void *right) {
    return compare(((const struct psc_pool *)left)->base, ((const struct psc_pool *)right)->base);
}

static int large_by_base(const void *left, const void *right) {
    return compare(((const struct psc_large *)left)->base, ((const struct psc_large *)right)->base);
}

static int arena_by_base(const void *left, const void *right) {
    return compare(((const struct psc_arena *)left)->base, ((const struct psc_arena *)right)->base);
}

static void sort(void *array, size_t count, size_t size, int (*order)(const void *, const void *)) {
    if (count > 1) {
        qsort(array, count, size, order);
    }
}

static void lay_out_arenas(struct psc_model *model) {
    sort(model->pools, model->pool_count, sizeof(*model->pools), pool_by_base);
    sort(model->larges, model->large_count, sizeof(*model->larges), large_by_base);
    sort(model->arenas, model->arena_count, sizeof(*model->arenas), arena_by_base);
    size_t pool = 0;
    for (size_t i = 0; i < model->arena_count; i++) {
        struct psc_arena *arena = &model->arenas[i];
        while (pool < model->pool_count && model->pools[pool].base < arena->base) {
            pool++;
        }
        arena->first_pool = pool;
        while (pool < model->pool_count && model->pools[pool].base - arena->base < model->arena_bytes) {
            pool++;
        }
        arena->pool_count = pool - arena->first_pool;
    }
}

struct rank {
    uint64_t figure;
    uint32_t id;
};

static int most_first(const void *left, const void *right) {
    const struct rank *a = left, *b = right;
    return a->figure != b->figure ? compare(b->figure, a->figure) : compare(a->id, b->id);
}

/* Ids of the sites whose figure at `offset` in struct psc_site is not 0, most first. */
static uint32_t *rank_sites(const struct psc_model *model, size_t offset, size_t *count) {
    struct rank *ranks = psc_array_new(model->site_count, sizeof(*ranks));
    *count = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        uint64_t figure;
        memcpy(&figure, (const char *)&model->sites[i] + offset, sizeof(figure));
        if (figure != 0) {
            ranks[(*count)++] = (struct rank){figure, (uint32_t)i};
        }
    }
    sort(ranks, *count, sizeof(*ranks), most_first);
    uint32_t *ids = psc_array_new(*count, sizeof(*ids));
    for (size_t i = 0; i < *count; i++) {
        ids[i] = ranks[i].id;
    }
    free(ranks);
    return ids;
}

/* ---- open and close -------------------------------------------------------------------------------------------- */

static void fill(struct psc_load *load) {
    struct psc_model *model = load->model;
    model->sampling.mode = load->header->mode;
    model->sampling.interval_bytes = load->header->interval_bytes;
    model->sampling.depth = load->header->depth;
    psc_load_process(load);
    psc_load_tables(load);
    psc_load_books(load);
    psc_load_blame_begin(load);
    psc_load_extents(load);
    load->cached_bytes = cached_now(load);
    if (psc_model_is_sampled(model)) {
        psc_load_samples_finish(load);
    }
    sum_fragmentation(model, load->cached_bytes);
    sum_totals(load);
    find_realised(model);
    find_lifetimes(model);
    psc_load_blame_finish(load);
    psc_load_history(load);
    if (!psc_model_is_sampled(model)) {
        set_exact_ranges(model);
    }
    lay_out_arenas(model);
    model->by_live = rank_sites(model, offsetof(struct psc_site, live_bytes), &model->by_live_count);
    model->by_pinned = rank_sites(model, offsetof(struct psc_site, pinned_bytes), &model->by_pinned_count);
    model->by_worst = rank_sites(model, offsetof(struct psc_site, worst_pinned_bytes), &model->by_worst_count);
    model->by_peak = rank_sites(model, offsetof(struct psc_site, peak_live_bytes), &model->by_peak_count);
    psc_load_notes(load);
}

static struct psc_model *build(struct psc_trace *trace, const char *path) {
    struct psc_load load = {.trace = trace, .header = &trace->header};
    load.model = psc_array_new(1, sizeof(*load.model));
    load.model->store = psc_array_new(1, sizeof(*load.model->store));
    load.model->path = path;
    fill(&load);
    free(load.modules_known);
    free(load.frame_chunks);
    psc_trace_close(trace);
    psc_progress_clear();
    return load.model;
}

struct psc_model *psc_model_open(const char *path, const char **error) {
    struct psc_trace trace;
    return psc_trace_open(&trace, path, error) ? build(&trace, path) : NULL;
}

struct psc_model *psc_model_open_fd(int fd, const char *path, const char **error) {
    struct psc_trace trace;
    return psc_trace_open_fd(&trace, fd, error) ? build(&trace, path) : NULL;
}

static void free_store(struct psc_model_store *store) {
    free(store->exe);
    free(store->argv_text);
    free(store->addresses);
    free(store->modules);
    free(store);
}

void psc_model_close(struct psc_model *model) {
    if (model == NULL) {
        return;
    }
    for (size_t i = 0; i < model->site_count; i++) {
        psc_model_forget_frames(&model->sites[i]);
    }
    psc_symbols_close(model->symbols);
    for (size_t i = 0; i < model->module_count; i++) {
        free((char *)(uintptr_t)model->modules[i].path);
    }
    for (size_t i = 0; i < model->note_count; i++) {
        free(model->notes[i].text);
    }
    void *const arrays[] = {model->process.argv, model->modules, model->sites,     model->by_live,
                            model->by_pinned,    model->pairs,   model->pools,     model->larges,
                            model->arenas,       model->threads, model->snapshots, model->notes,
                            model->by_peak,      model->maps,    model->lifetimes, model->by_worst};
    for (size_t i = 0; i < PSC_COUNT_OF(arrays); i++) {
        free(arrays[i]);
    }
    free_store(model->store);
    free(model);
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

static const char gap_name[] = "(frames left out)";

bool psc_frame_is_gap(const struct psc_frame *frame) {
    return frame->function == gap_name;
}

static void add_frames(struct psc_site *site, const struct psc_frame *frames, size_t count, size_t *capacity) {
    site->frames = psc_array_reserve(site->frames, site->frame_count + count, capacity, sizeof(*site->frames));
    memcpy(site->frames + site->frame_count, frames, count * sizeof(*frames));
    site->frame_count += count;
}

/* When the process is known to have ended, what has its number later is another one. */
static void use_map(const struct psc_process *process, struct psc_model_store *store, struct psc_symbols *symbols) {
    bool ended = process->end == PSC_PROCESS_EXIT || process->end == PSC_PROCESS_EXEC;
    snprintf(store->map_path, sizeof(store->map_path), "/tmp/perf-%" PRIu32 ".map", process->pid);
    struct psc_perf_map_source source = {
        .path = store->map_path,
        .not_before_ns = process->start_realtime_ns,
        .not_after_ns = ended ? process->start_realtime_ns + process->duration_ns : UINT64_MAX,
    };
    psc_symbols_use_map(symbols, &source);
}

static void use_file(struct psc_model *model) {
    const char *error;
    char *path = psc_symbol_file_path(model->path);
    if (!psc_symbol_file_read(model, path, &error)) {
        fprintf(stderr, "poolscope %s: %s %s, and is not used\n", psc_prefix_name(), path, error);
    }
    free(path);
}

static bool open_symbols(struct psc_model *model) {
    if (model->symbols == NULL) {
        model->symbols = psc_symbols_open(model->modules, model->module_count);
        if (model->symbols != NULL) {
            use_map(&model->process, model->store, model->symbols);
            use_file(model);
        }
    }
    return model->symbols != NULL;
}

static bool same_module(const struct psc_module *a, const struct psc_module *b) {
    return a->start == b->start && a->end == b->end && a->bias == b->bias && a->build_id_bytes == b->build_id_bytes &&
           memcmp(a->build_id, b->build_id, a->build_id_bytes) == 0 && strcmp(a->path, b->path) == 0;
}

static bool has_modules_of(const struct psc_model *model, const struct psc_model *older) {
    bool same = older->module_count <= model->module_count;
    for (size_t i = 0; same && i < older->module_count; i++) {
        same = same_module(&older->modules[i], &model->modules[i]);
    }
    return same;
}

void psc_model_adopt_symbols(struct psc_model *model, struct psc_model *older) {
    if (model->symbols == NULL && older->symbols != NULL && has_modules_of(model, older) &&
        psc_symbols_move(older->symbols, model->modules, model->module_count)) {
        model->symbols = older->symbols;
        older->symbols = NULL;
        use_map(&model->process, model->store, model->symbols);
    }
}

void psc_model_symbolize(struct psc_model *model, struct psc_site *site) {
    if (site->frames != NULL || site->raw.count == 0 || !open_symbols(model)) {
        return;
    }
    size_t capacity = 0;
    for (size_t i = 0; i < site->raw.count; i++) {
        const struct psc_frame *found;
        size_t count = psc_symbols_resolve(model->symbols, site->raw.addresses[i], site->raw.modules[i], &found);
        add_frames(site, found, count, &capacity);
        if (i + 1 == site->skip_after) {
            add_frames(site, &(struct psc_frame){.function = gap_name}, 1, &capacity);
        }
    }
}

static void symbolize_first(struct psc_model *model, const uint32_t *ids, size_t count, size_t top) {
    for (size_t i = 0; i < count && i < top; i++) {
        psc_progress_show("names of functions", i, count < top ? count : top);
        psc_model_symbolize(model, &model->sites[ids[i]]);
    }
}

void psc_model_symbolize_top(struct psc_model *model, size_t top) {
    symbolize_first(model, model->by_live, model->by_live_count, top);
    symbolize_first(model, model->by_pinned, model->by_pinned_count, top);
    symbolize_first(model, model->by_peak, model->by_peak_count, top);
    symbolize_first(model, model->by_worst, model->by_worst_count, top);
    psc_progress_clear();
}

void psc_model_forget_frames(struct psc_site *site) {
    free(site->frames);
    site->frames = NULL;
    site->frame_count = 0;
}

/* ---- small questions ------------------------------------------------------------------------------------------- */

bool psc_site_is_used(const struct psc_site *site) {
    return (site->alloc_count | site->free_count | site->tagged_count | site->pinned_bytes) != 0;
}

static bool is_entry(const struct psc_frame *frame) {
    static const char *const names[] = {"malloc", "calloc",        "realloc", "reallocarray", "posix_memalign",
                                        "valloc", "aligned_alloc", "pvalloc", "memalign"};
    const char *module = frame->module != NULL ? psc_format_last_part(frame->module) : "";
    if (strncmp(module, "libpoolscope", strlen("libpoolscope")) == 0) {
        return true;
    }
    if (strncmp(module, "libstdc++", strlen("libstdc++")) == 0 &&
        strncmp(frame->function, "operator new", strlen("operator new")) == 0) {
        return true;
    }
    for (size_t i = 0; i < PSC_COUNT_OF(names); i++) {
        if (strcmp(frame->function, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

size_t psc_site_skip(const struct psc_site *site) {
    size_t skip = 0;
    while (skip + 1 < site->frame_count && is_entry(&site->frames[skip])) {
        skip++;
    }
    return skip;
}

const char *psc_process_name(const struct psc_process *process) {
    const char *name = psc_format_last_part(process->exe);
    if (*name == '\0' && process->argc > 0) {
        name = psc_format_last_part(process->argv[0]);
    }
    return *name != '\0' ? name : "?";
}

const char *psc_process_end_name(enum psc_process_end end) {
    static const char *const names[] = {[PSC_PROCESS_EXIT] = "exit",
                                        [PSC_PROCESS_EXEC] = "exec",
                                        [PSC_PROCESS_KILLED] = "killed",
                                        [PSC_PROCESS_RUNNING] = "running"};
    return names[end];
}
