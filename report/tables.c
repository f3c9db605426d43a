/* The tables of a trace other than books and extents. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/load.h"
#include "report/progress.h"

#define ADDRESSES_OF_CHUNK (PSC_CHUNK_BYTES / sizeof(uint64_t))
#define MODULES_MAX (1u << 20)

/* ---- chunks and rows ------------------------------------------------------------------------------------------- */

uint32_t psc_load_row_bytes(const struct psc_load *load, uint32_t kind) {
    uint32_t least = psc_trace_row_bytes(kind);
    uint32_t said = load->header->row_bytes[kind];
    return said >= least && said <= PSC_CHUNK_BYTES && said % 8 == 0 ? said : least;
}

static uint32_t chunks_of_kind(const struct psc_trace *trace, uint32_t kind) {
    uint32_t count = 0;
    for (uint32_t i = PSC_FIRST_DATA_CHUNK; i < trace->chunk_count; i++) {
        count += trace->directory[i] == kind;
    }
    return count;
}

struct missing {
    uint32_t chunks;
    uint32_t holes;
    uint64_t first_offset;
};

static void warn_of_missing(struct psc_load *load, uint32_t kind, uint32_t total, const struct missing *missing) {
    const char *name = psc_trace_kind_name(kind);
    if (missing->chunks != 0) {
        psc_load_warn(load,
                      "%s: %" PRIu32 " of %" PRIu32 " chunks are missing or cut off, from offset %" PRIu64
                      " on; the file has %" PRIu64 " bytes",
                      name, missing->chunks, total, missing->first_offset, load->trace->file_bytes);
    }
    if (missing->holes != 0) {
        psc_load_warn(load, "%s: %" PRIu32 " of %" PRIu32 " chunks are holes in the file", name, missing->holes, total);
    }
}

void psc_load_chunks(struct psc_load *load, uint32_t kind, uint32_t most,
                     void (*visit)(struct psc_load *, const struct psc_load_chunk *)) {
    uint32_t total = chunks_of_kind(load->trace, kind);
    unsigned char *buffer = psc_array_new(1, PSC_CHUNK_BYTES);
    struct missing missing = {0};
    struct psc_load_chunk chunk = {.bytes = buffer};
    for (uint32_t i = PSC_FIRST_DATA_CHUNK; i < load->trace->chunk_count && chunk.position < most; i++) {
        if (load->trace->directory[i] != kind) {
            continue;
        }
        bool hole;
        chunk.index = i;
        chunk.offset = (uint64_t)i * PSC_CHUNK_BYTES;
        chunk.got = psc_trace_read(load->trace, i, buffer, &hole);
        missing.holes += hole;
        if (chunk.got < PSC_CHUNK_BYTES && missing.chunks++ == 0) {
            missing.first_offset = chunk.offset + chunk.got;
        }
        if (chunk.got != 0 && !hole) {
            visit(load, &chunk);
        }
        chunk.position++;
        psc_progress_show(psc_trace_kind_name(kind), chunk.position, total);
    }
    free(buffer);
    if (total > most) {
        psc_load_warn(load,
                      "%s: the table has %" PRIu32 " chunks, more than can be; those behind the first %" PRIu32
                      " are not read",
                      psc_trace_kind_name(kind), total, most);
    }
    warn_of_missing(load, kind, total, &missing);
}

/* Calls `row` with each whole row of the chunk and its index in the table. Rows are aligned to 8 bytes. */
static void each_row(struct psc_load *load, const struct psc_load_chunk *chunk, uint32_t kind,
                     void (*row)(struct psc_load *, const void *, size_t index, uint64_t offset)) {
    uint32_t bytes = psc_load_row_bytes(load, kind);
    size_t first = (size_t)chunk->position * (PSC_CHUNK_BYTES / bytes);
    for (size_t i = 0; (i + 1) * bytes <= chunk->got; i++) {
        row(load, chunk->bytes + i * bytes, first + i, chunk->offset + i * bytes);
    }
}

/* ---- modules --------------------------------------------------------------------------------------------------- */

static void module_row(struct psc_load *load, const void *row, size_t index, uint64_t offset) {
    const struct psc_wire_module *wire = row;
    struct psc_model *model = load->model;
    if (wire->start == 0) {
        return;
    }
    if (wire->end <= wire->start || wire->build_id_bytes > sizeof(wire->build_id) ||
        memchr(wire->path, '\0', sizeof(wire->path)) == NULL) {
        psc_load_warn(load, "modules: row %zu at offset %" PRIu64 " makes no sense and is skipped", index, offset);
        return;
    }
    model->modules = psc_array_reserve(model->modules, index + 1, &load->module_capacity, sizeof(*model->modules));
    model->module_count = index + 1;
    struct psc_module *module = &model->modules[index];
    module->start = wire->start;
    module->end = wire->end;
    module->bias = wire->bias;
    module->time_ns = wire->time_ns > load->header->start_ns ? wire->time_ns - load->header->start_ns : 0;
    module->build_id_bytes = wire->build_id_bytes;
    memcpy(module->build_id, wire->build_id, sizeof(module->build_id));
    module->path = psc_array_text(wire->path);
}

static void module_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    each_row(load, chunk, PSC_CHUNK_MODULES, module_row);
}

/* ---- frames and sites ------------------------------------------------------------------------------------------ */

static void frame_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    struct psc_model_store *store = load->model->store;
    size_t position = load->frame_chunk_count++;
    load->frame_chunks = psc_array_reserve(load->frame_chunks, load->frame_chunk_count, &load->frame_chunk_capacity,
                                           sizeof(*load->frame_chunks));
    load->frame_chunks[position] = chunk->index;
    store->addresses = psc_array_reserve(store->addresses, load->frame_chunk_count * ADDRESSES_OF_CHUNK,
                                         &load->address_capacity, sizeof(*store->addresses));
    memcpy(store->addresses + position * ADDRESSES_OF_CHUNK, chunk->bytes, PSC_CHUNK_BYTES);
}

static int by_number(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* Index in store->addresses of the stack at file offset `offset`, or SIZE_MAX if no chunk of frames holds it whole. */
static size_t find_frames(const struct psc_load *load, uint64_t offset, uint32_t depth) {
    uint64_t number = offset / PSC_CHUNK_BYTES;
    size_t within = offset % PSC_CHUNK_BYTES / sizeof(uint64_t);
    if (offset % sizeof(uint64_t) != 0 || within + depth > ADDRESSES_OF_CHUNK || number >= PSC_CHUNKS_MAX ||
        load->frame_chunk_count == 0) {
        return SIZE_MAX;
    }
    uint32_t key = (uint32_t)number;
    const uint32_t *found = bsearch(&key, load->frame_chunks, load->frame_chunk_count, sizeof(key), by_number);
    return found == NULL ? SIZE_MAX : (size_t)(found - load->frame_chunks) * ADDRESSES_OF_CHUNK + within;
}

static void take_frames(struct psc_load *load, struct psc_site *site, const struct psc_wire_site *wire,
                        uint64_t offset) {
    if (wire->depth == 0) {
        return;
    }
    size_t at = find_frames(load, wire->frames, wire->depth);
    if (at == SIZE_MAX || wire->depth > load->address_budget) {
        psc_load_warn(load, "sites: the stack of site %" PRIu32 " (row at offset %" PRIu64 ") lies outside the frames",
                      site->id, offset);
        return;
    }
    load->address_budget -= wire->depth;
    site->raw.addresses = load->model->store->addresses + at;
    site->raw.modules = load->model->store->modules + at;
    site->raw.count = wire->depth;
    if (wire->flags & PSC_SITE_SKIPPED) {
        uint32_t inner = psc_site_inner(load->header->depth);
        site->skip_after = inner < wire->depth ? inner : wire->depth;
    }
}

static void reserve_sites(struct psc_load *load, size_t count) {
    struct psc_model *model = load->model;
    model->sites = psc_array_reserve(model->sites, count, &load->site_capacity, sizeof(*model->sites));
    load->modules_known =
        psc_array_reserve(load->modules_known, count, &load->modules_known_capacity, sizeof(*load->modules_known));
    model->site_count = count > model->site_count ? count : model->site_count;
}

static void site_row(struct psc_load *load, const void *row, size_t index, uint64_t offset) {
    const struct psc_wire_site *wire = row;
    if (wire->hash == 0 || index >= PSC_SITES_MAX) {
        return;
    }
    reserve_sites(load, index + 1);
    struct psc_site *site = &load->model->sites[index];
    site->id = (uint32_t)index;
    site->flags = wire->flags;
    site->first_clock = wire->first_clock;
    load->modules_known[index] = wire->modules;
    take_frames(load, site, wire, offset);
}

static void site_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    each_row(load, chunk, PSC_CHUNK_SITES, site_row);
}

/* ---- threads, snapshots, arenas -------------------------------------------------------------------------------- */

static void thread_row(struct psc_load *load, const void *row, size_t index, uint64_t offset) {
    const struct psc_wire_thread *wire = row;
    struct psc_model *model = load->model;
    (void)index;
    (void)offset;
    if (wire->tid == 0) {
        return;
    }
    model->threads =
        psc_array_reserve(model->threads, model->thread_count + 1, &load->thread_capacity, sizeof(*model->threads));
    struct psc_thread *thread = &model->threads[model->thread_count++];
    thread->tid = wire->tid;
    thread->running = wire->running;
    thread->owners = wire->owners;
    memcpy(thread->name, wire->name, sizeof(wire->name));
    for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
        thread->alloc_count += wire->class_allocs[class];
        thread->free_count += wire->class_frees[class];
        model->classes[class].alloc_count += wire->class_allocs[class];
        model->classes[class].free_count += wire->class_frees[class];
    }
}

static void thread_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    each_row(load, chunk, PSC_CHUNK_THREADS, thread_row);
}

static void snapshot_row(struct psc_load *load, const void *row, size_t index, uint64_t offset) {
    const struct psc_wire_snapshot *wire = row;
    struct psc_model *model = load->model;
    if (wire->sequence == 0) {
        return;
    }
    if (wire->time_ns < load->header->start_ns) {
        psc_load_warn(load, "snapshots: row %zu at offset %" PRIu64 " is from before the start and is skipped", index,
                      offset);
        return;
    }
    model->snapshots = psc_array_reserve(model->snapshots, model->snapshot_count + 1, &load->snapshot_capacity,
                                         sizeof(*model->snapshots));
    struct psc_wire_snapshot *snapshot = &model->snapshots[model->snapshot_count++];
    *snapshot = *wire;
    snapshot->time_ns -= load->header->start_ns;
    /* row 0 is kept for the peak, and holds a copy of another moment only there */
    snapshot->flags |= index == 0 ? PSC_SNAPSHOT_PEAK : 0;
}

static void snapshot_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    each_row(load, chunk, PSC_CHUNK_SNAPSHOTS, snapshot_row);
}

static int by_time(const void *left, const void *right) {
    const struct psc_wire_snapshot *a = left, *b = right;
    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* The row kept for the peak is written when a snapshot is due: a later one may have met more live bytes. */
static void mark_highest(struct psc_model *model) {
    struct psc_wire_snapshot *highest = &model->snapshots[0];
    for (size_t i = 1; i < model->snapshot_count; i++) {
        highest = model->snapshots[i].live_bytes > highest->live_bytes ? &model->snapshots[i] : highest;
    }
    for (size_t i = 0; i < model->snapshot_count; i++) {
        struct psc_wire_snapshot *snapshot = &model->snapshots[i];
        if ((snapshot->flags & PSC_SNAPSHOT_PEAK) != 0 && snapshot->live_bytes < highest->live_bytes) {
            snapshot->flags &= ~(uint32_t)PSC_SNAPSHOT_PEAK;
            highest->flags |= PSC_SNAPSHOT_PEAK;
        }
    }
}

/* The peak may stand in the history as well: one of the two goes. */
static void sort_snapshots(struct psc_model *model) {
    struct psc_wire_snapshot *all = model->snapshots;
    if (model->snapshot_count == 0) {
        return;
    }
    qsort(all, model->snapshot_count, sizeof(*all), by_time);
    size_t kept = 0;
    for (size_t i = 1; i < model->snapshot_count; i++) {
        if (all[i].sequence == all[kept].sequence && all[i].time_ns == all[kept].time_ns) {
            all[kept].flags |= all[i].flags;
        } else {
            all[++kept] = all[i];
        }
    }
    model->snapshot_count = kept + 1;
    mark_highest(model);
}

static bool bit_of(const uint64_t *bits, unsigned i) {
    return bits[i / 64] >> (i % 64) & 1;
}

static void arena_row(struct psc_load *load, const void *row, size_t index, uint64_t offset) {
    const struct psc_wire_arena *wire = row;
    struct psc_model *model = load->model;
    if (wire->base == 0) {
        return;
    }
    if (wire->base % PSC_MODEL_PAGE_BYTES != 0 || wire->base >> 57 != 0) {
        psc_load_warn(load, "arenas: row %zu at offset %" PRIu64 " has no address that can be, and is skipped", index,
                      offset);
        return;
    }
    model->arenas =
        psc_array_reserve(model->arenas, model->arena_count + 1, &load->arena_capacity, sizeof(*model->arenas));
    struct psc_arena *arena = &model->arenas[model->arena_count++];
    arena->base = wire->base;
    arena->index = (uint32_t)index;
    for (unsigned i = 0; i < PSC_ARENA_SLOTS; i++) {
        arena->slots[i] = bit_of(wire->pooled, i)   ? PSC_SLOT_POOL
                          : bit_of(wire->cached, i) ? PSC_SLOT_CACHED
                                                    : PSC_SLOT_FREE;
        arena->cached_bytes += arena->slots[i] == PSC_SLOT_CACHED ? load->model->slot_bytes : 0;
    }
    if (wire->cached_bytes < arena->cached_bytes) {
        arena->cached_bytes = wire->cached_bytes; /* a slot need not have been used to its end */
    }
}

static void arena_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    each_row(load, chunk, PSC_CHUNK_ARENAS, arena_row);
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

static void check_row_sizes(struct psc_load *load) {
    for (uint32_t kind = PSC_CHUNK_MODULES; kind < PSC_CHUNK_KINDS; kind++) {
        if (kind != PSC_CHUNK_FRAMES && psc_load_row_bytes(load, kind) != load->header->row_bytes[kind]) {
            psc_load_warn(load, "header: rows of %s cannot have %" PRIu32 " bytes; read as rows of %" PRIu32,
                          psc_trace_kind_name(kind), load->header->row_bytes[kind], psc_load_row_bytes(load, kind));
        }
    }
}

static void check_directory(struct psc_load *load) {
    const struct psc_trace *trace = load->trace;
    uint32_t unknown = 0, first = 0;
    for (uint32_t i = 0; i < trace->chunk_count; i++) {
        if (trace->directory[i] >= PSC_CHUNK_KINDS) {
            first = unknown++ == 0 ? i : first;
        }
    }
    if (unknown != 0) {
        psc_load_warn(load,
                      "directory: %" PRIu32 " chunks are of an unknown kind, the first is %" PRIu32
                      " (directory byte at offset %" PRIu32 ", kind %u)",
                      unknown, first, PSC_CHUNK_BYTES + first, trace->directory[first]);
    }
    if (trace->file_bytes < (uint64_t)PSC_FIRST_DATA_CHUNK * PSC_CHUNK_BYTES) {
        psc_load_warn(load, "directory: the file ends inside it, after %" PRIu64 " bytes", trace->file_bytes);
    }
}

static void check_geometry(struct psc_load *load) {
    const struct psc_wire_header *header = load->header;
    struct psc_model *model = load->model;
    bool slots_fit = header->slot_bytes >= PSC_MODEL_PAGE_BYTES && header->slot_bytes <= 1u << 24 &&
                     psc_is_power_of_two(header->slot_bytes);
    model->page_bytes = header->page_bytes;
    model->slot_bytes = slots_fit ? header->slot_bytes : 0;
    model->arena_bytes = model->slot_bytes * PSC_ARENA_SLOTS;
    model->class_count = header->class_count < PSC_CLASS_LARGE ? header->class_count : PSC_CLASS_LARGE;
    /* nothing recorded, nothing to lay out */
    if ((header->flags & PSC_TRACE_PASSIVE) != 0) {
        return;
    }
    if (!slots_fit || header->arena_bytes != model->arena_bytes || header->class_count > PSC_CLASS_LARGE) {
        psc_load_warn(load,
                      "header: arenas of %" PRIu32 " bytes, slots of %" PRIu32 " bytes and %" PRIu32
                      " classes do not go together",
                      header->arena_bytes, header->slot_bytes, header->class_count);
    }
    if (header->chunk_bytes != PSC_CHUNK_BYTES) {
        psc_load_warn(load, "header: chunks cannot have %" PRIu32 " bytes; read as chunks of %" PRIu32,
                      header->chunk_bytes, PSC_CHUNK_BYTES);
    }
}

void psc_load_tables(struct psc_load *load) {
    struct psc_model *model = load->model;
    uint32_t site_chunks = PSC_SITES_MAX / (PSC_CHUNK_BYTES / psc_load_row_bytes(load, PSC_CHUNK_SITES)) + 1;
    check_geometry(load);
    check_row_sizes(load);
    check_directory(load);
    for (uint32_t i = 0; i < model->class_count; i++) {
        model->classes[i].block_bytes = load->header->class_bytes[i];
    }
    psc_load_chunks(load, PSC_CHUNK_MODULES, MODULES_MAX / (PSC_CHUNK_BYTES / sizeof(struct psc_wire_module)),
                    module_chunk);
    psc_load_chunks(load, PSC_CHUNK_FRAMES, UINT32_MAX, frame_chunk);
    load->address_budget = load->frame_chunk_count * ADDRESSES_OF_CHUNK;
    model->store->modules = psc_array_new(load->address_budget, sizeof(*model->store->modules));
    reserve_sites(load, PSC_SITE_FIRST);
    model->sites[PSC_SITE_UNKNOWN].id = PSC_SITE_UNKNOWN;
    psc_load_chunks(load, PSC_CHUNK_SITES, site_chunks, site_chunk);
    psc_load_frame_modules(load);
    psc_load_chunks(load, PSC_CHUNK_THREADS, UINT32_MAX, thread_chunk);
    psc_load_chunks(load, PSC_CHUNK_SNAPSHOTS, UINT32_MAX, snapshot_chunk);
    psc_load_chunks(load, PSC_CHUNK_ARENAS, UINT32_MAX, arena_chunk);
    sort_snapshots(model);
}
