#include "preload/record.h"

#include <string.h>

#include "core/base/os.h"
#include "core/heap/fast.h"
#include "core/wire/apart.h"

_Static_assert(sizeof(struct psc_tags) <= sizeof(struct psc_note), "tags fit the heap's note");
_Static_assert(PSC_APART_GROUPS_MAX < PSC_HEAP_GROUPS, "each group of sites has one of blocks");
_Static_assert(PSC_CLASS_COUNT < PSC_CLASS_LARGE, "classes fit the trace");
_Static_assert(PSC_ARENA_SLOTS == PSC_SLOTS, "arenas fit the trace");
_Static_assert(PSC_OCCUPANCY_BINS == PSC_OCCUPANCY_STEPS, "snapshots take the heap's steps");

/* The library's own zeroed data: made by the linker. */
extern char own_data_start[] __asm__("__bss_start") __attribute__((visibility("hidden")));
extern char own_data_end[] __asm__("_end") __attribute__((visibility("hidden")));

PSC_INLINE struct psc_tags *tags_in(struct psc_note *note) {
    return (struct psc_tags *)note->words;
}

static uint32_t wire_class(uint32_t class_index) {
    return class_index < PSC_CLASS_COUNT ? class_index : PSC_CLASS_LARGE;
}

/* NULL: the pool has none in this epoch. */
PSC_INLINE uint64_t *tags_of(struct psc_note *note, uint32_t epoch) {
    struct psc_tags *tags = tags_in(note);
    return PSC_LOAD_ACQUIRE(&tags->epoch) == epoch ? PSC_LOAD(&tags->tags) : NULL;
}

static void attach(const void *p, const struct psc_block *block) {
    struct psc_tags *tags = tags_in(block->note);
    struct psc_pool_figures pool;
    psc_heap_pool_state(p, &pool);
    psc_track_attach(tags, wire_class(block->class_index), (uintptr_t)block->base, block->bytes, block->capacity,
                     pool.carved, pool.used - 1);
    if (pool.stale_pages > 0) {
        psc_track_carved(tags, pool.carved, pool.stale_pages);
    }
}

/* What is known of a new block. Tags are attached at need: only the owner of a pool allocates from it, so only the owner
 * attaches (but two threads that have ended may meet in one pool, and what one of them attached is lost). If there is no
 * room for tags, the pool has none. */
static bool find_block(const void *p, uint32_t epoch, struct psc_block *block) {
    if (!psc_heap_block(p, block)) { /* the program has freed it meanwhile, out of another thread */
        return false;
    }
    if (tags_of(block->note, epoch) == NULL) {
        attach(p, block);
    }
    return true;
}

static PSC_NOINLINE void record_alloc_slowly(void *p, size_t bytes, uint32_t epoch,
                                             const struct psc_unwind_start *start) {
    struct psc_block block;
    if (!find_block(p, epoch, &block)) {
        return;
    }
    psc_track_alloc_from(start, tags_of(block.note, epoch), block.index, wire_class(block.class_index), bytes,
                         block.bytes);
}

void psc_record_alloc(void *p, size_t bytes, const struct psc_unwind_start *start) {
    struct psc_pool *pool;
    uint64_t index;
    uint32_t epoch = p != NULL ? psc_track_epoch() : 0;
    if (epoch == 0) {
        return;
    }
    uint64_t *tags = psc_fast_locate(psc_heap_self, p, &pool, &index) ? tags_of(psc_pool_note(pool), epoch) : NULL;
    if (PSC_UNLIKELY(tags == NULL)) {
        record_alloc_slowly(p, bytes, epoch, start);
        return;
    }
    psc_track_alloc_from(start, tags, (uint32_t)index, pool->class_index, bytes, pool->block_bytes);
}

/* The stack is walked from here: the caller's call is its last act, so that here the program's own frame comes next. */
void *psc_record_new(size_t bytes) {
    void *p;
    struct psc_unwind_start start;
    psc_unwind_capture(&start);
    uint32_t class_index = bytes <= PSC_SMALL_MAX ? psc_class_of(bytes) : 0, epoch = psc_track_epoch();
    struct psc_pool *pool = psc_heap_self->current[class_index];
    if (PSC_UNLIKELY(epoch == 0 || !psc_fast_alloc(psc_heap_self, bytes, &p))) {
        p = psc_heap_alloc(bytes);
        psc_record_alloc(p, bytes, &start);
        return p;
    }
    uint64_t index;
    uint64_t *tags = tags_of(psc_pool_note(pool), epoch);
    psc_pool_divide(pool, (uintptr_t)p - (uintptr_t)pool->base, &index);
    if (PSC_LIKELY(tags != NULL)) {
        psc_track_alloc_from(&start, tags, (uint32_t)index, class_index, bytes, pool->block_bytes);
    } else {
        record_alloc_slowly(p, bytes, epoch, &start);
    }
    return p;
}

/* What has pages of its own is zeroed by the heap, which knows those that are zero already. */
static void *alloc_zeroed_in(uint32_t group, size_t bytes) {
    if (group == 0 || bytes > PSC_SMALL_MAX) {
        return psc_heap_alloc_zeroed(bytes);
    }
    void *p = psc_heap_alloc_in(group, 1, bytes);
    return p != NULL ? memset(p, 0, bytes) : NULL;
}

void *psc_record_new_apart(size_t alignment, size_t bytes, bool zeroed, const struct psc_unwind_start *start) {
    uint32_t group = psc_track_epoch() != 0 ? psc_track_group(start) : 0;
    void *p = zeroed ? alloc_zeroed_in(group, bytes) : psc_heap_alloc_in(group, alignment, bytes);
    if (p == NULL && group != 0) { /* there may be room in the pools of all others */
        p = zeroed ? psc_heap_alloc_zeroed(bytes) : psc_heap_alloc_in(0, alignment, bytes);
    }
    psc_record_alloc(p, bytes, start);
    return p;
}

void psc_record_sample(void *p, size_t bytes, const struct psc_unwind_start *start) {
    struct psc_block block;
    uint32_t epoch = psc_track_epoch();
    if (epoch == 0 || !find_block(p, epoch, &block)) {
        return;
    }
    psc_track_alloc_sample(start, tags_in(block.note), block.index, wire_class(block.class_index), bytes, block.bytes);
}

static void record_free(const struct psc_block *block, uint32_t epoch) {
    psc_track_free(tags_of(block->note, epoch), block->index, wire_class(block->class_index), block->bytes);
}

static PSC_NOINLINE void free_slowly(void *p) {
    uint32_t epoch = p != NULL ? psc_track_epoch() : 0;
    struct psc_block block;
    if (epoch != 0 && psc_heap_block(p, &block)) {
        record_free(&block, epoch);
    }
    psc_heap_free(p);
}

void psc_record_free(void *p) {
    struct psc_place place;
    uint32_t epoch = psc_track_epoch();
    if (PSC_UNLIKELY(epoch == 0 || !psc_fast_find(psc_heap_self, p, &place))) {
        free_slowly(p);
        return;
    }
    struct psc_pool *pool = place.pool;
    psc_track_free(tags_of(psc_pool_note(pool), epoch), (uint32_t)place.index, pool->class_index, pool->block_bytes);
    place.bits = PSC_LOAD(place.word); /* a signal handler may have freed another one */
    psc_fast_put(&place);
}

void *psc_record_resize(void *p, size_t bytes, const struct psc_unwind_start *start) {
    struct psc_block before;
    bool live = psc_heap_block(p, &before);
    void *resized = psc_heap_resize(p, bytes);
    if (resized == NULL || !live) {
        return NULL;
    }
    uint32_t epoch = psc_track_epoch();
    if (epoch != 0) {
        record_free(&before, epoch);
        if (before.class_index == PSC_CLASS_COUNT) {
            psc_track_detach(tags_in(before.note)); /* place and size are others now */
        }
        psc_record_alloc(resized, bytes, start);
    }
    return resized;
}

/* ---- what the heap tells --------------------------------------------------------------------------------------- */

static void retired(struct psc_note *note) {
    psc_track_detach(tags_in(note));
}

static void carved(struct psc_note *note, uint32_t blocks, uint32_t stale_pages) {
    psc_track_carved(tags_in(note), blocks, stale_pages);
}

/* A large block's tag goes with it: resized, it is another block at the same place. */
static bool picked_freed(struct psc_note *note, uint32_t index, uint32_t class_index, size_t block_bytes) {
    struct psc_tags *tags = tags_in(note);
    bool others = psc_track_free_sample(tags, index, wire_class(class_index), block_bytes);
    if (class_index >= PSC_CLASS_COUNT) {
        psc_track_detach(tags);
    }
    return others;
}

static void arena_changed(const struct psc_arena *arena) {
    psc_track_arena(arena->index, (uintptr_t)arena->base, arena->pooled, arena->cached,
                    (uint64_t)arena->cached_pages * PSC_PAGE_BYTES);
}

static void ranges_changed(uint64_t bytes) {
    psc_track_ranges(bytes);
}

static void misused(const struct psc_block *block, const void *start, bool telling) {
    psc_track_count_misuse();
    if (telling) {
        psc_track_say_maker(block != NULL ? tags_in(block->note) : NULL, block != NULL ? block->index : 0,
                            (uintptr_t)start);
    }
}

const struct psc_heap_hooks psc_record_hooks = {
    .misused = misused,
    .ranges_changed = ranges_changed,
    .pool_retired = retired,
    .pool_carved = carved,
    .arena_changed = arena_changed,
    .picked_freed = picked_freed,
    .space_wanted = psc_track_yield_space,
};

/* ---- what the tracker asks -------------------------------------------------------------------------------------- */

static void copy_classes(struct psc_wire_snapshot *snapshot, const struct psc_heap_figures *figures) {
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        const struct psc_class_figures *from = &figures->classes[i];
        snapshot->classes[i] = (struct psc_wire_snapshot_class){
            .pools = from->pools,
            .live_blocks = from->live_blocks,
            .capacity_blocks = from->capacity_blocks,
            .committed_pages = (uint32_t)(from->committed_bytes / 4096),
        };
    }
}

/* As many slots a cell as it takes for all arenas. */
static uint32_t slots_a_cell(void) {
    uint32_t slots = 1;
    while ((uint64_t)psc_heap_arena_count() * PSC_SLOTS > (uint64_t)slots * PSC_MAP_CELLS) {
        slots *= 2;
    }
    return slots;
}

static uint8_t shade(const struct psc_heap_cell *cell) {
    if (cell->committed_bytes == 0) {
        return cell->cached_slots != 0 ? PSC_MAP_CACHED : 0;
    }
    uint64_t shade = (uint64_t)(UINT8_MAX - PSC_MAP_EMPTY) * cell->live_bytes / cell->committed_bytes;
    return (uint8_t)(PSC_MAP_EMPTY + (shade < UINT8_MAX - PSC_MAP_EMPTY ? shade : UINT8_MAX - PSC_MAP_EMPTY));
}

static void draw_map(struct psc_wire_map *map, const struct psc_heap_map *drawn) {
    map->slots = drawn->slots;
    for (uint32_t i = 0; i < PSC_MAP_CELLS; i++) {
        map->cells[i] = shade(&drawn->cells[i]);
    }
}

static void describe(struct psc_wire_snapshot *snapshot, struct psc_wire_map *map) {
    static struct psc_heap_cell cells[PSC_MAP_CELLS]; /* one snapshot is taken at a time */
    struct psc_heap_map drawn = {cells, PSC_MAP_CELLS, slots_a_cell()};
    struct psc_heap_figures figures;
    memset(cells, 0, sizeof cells);
    psc_heap_measure(&figures, &drawn);
    draw_map(map, &drawn);
    copy_classes(snapshot, &figures);
    for (uint32_t i = 0; i < PSC_OCCUPANCY_STEPS; i++) {
        snapshot->occupancy[i] = figures.occupancy[i];
    }
    snapshot->live_blocks = figures.live_blocks + figures.large_blocks;
    snapshot->block_bytes = figures.live_block_bytes + figures.large_bytes;
    snapshot->pinned_bytes = figures.pinned_bytes;
    snapshot->empty_bytes = figures.empty_bytes;
    snapshot->cached_bytes = figures.cached_bytes;
    snapshot->large_blocks = (uint32_t)figures.large_blocks;
    snapshot->large_bytes = figures.large_bytes;
    snapshot->metadata_bytes = figures.metadata_bytes;
    snapshot->tail_bytes = figures.tail_bytes;
    snapshot->committed_bytes =
        snapshot->block_bytes + figures.pinned_bytes + figures.empty_bytes + figures.cached_bytes;
}

static uint64_t large_rounding; /* of the snapshot that is being taken: one at a time is */

static void add_rounding(struct psc_note *note, size_t bytes) {
    uint64_t *tags = tags_of(note, psc_track_epoch());
    uint64_t tag = tags != NULL ? PSC_LOAD(tags) : 0;
    uint64_t rounding = psc_tag_is_live(tag) ? psc_tag_slack(tag) : 0;
    large_rounding += rounding < bytes ? rounding : 0;
}

/* From its first zeroed page on: the page before it is the file's. */
static uint64_t own_data_resident(void) {
    uintptr_t start = psc_round_up((uintptr_t)own_data_start, PSC_PAGE_BYTES);
    uintptr_t end = psc_round_up((uintptr_t)own_data_end, PSC_PAGE_BYTES);
    return end > start ? psc_os_resident((const void *)start, end - start) : 0;
}

static void describe_resident(struct psc_wire_snapshot *snapshot) {
    struct psc_heap_residency residency;
    psc_heap_measure_resident(&residency);
    snapshot->resident_bytes = residency.heap_bytes;
    snapshot->metadata_resident_bytes = residency.metadata_bytes;
    snapshot->tracker_anon_bytes += own_data_resident();
    large_rounding = 0;
    psc_heap_each_large(add_rounding);
    snapshot->large_rounding_bytes = large_rounding;
}

static void count_untagged_of(struct psc_note *note, uint32_t live_blocks) {
    psc_track_count_untagged(tags_in(note), live_blocks);
}

static void count_untagged(void) {
    psc_heap_each_noted(count_untagged_of);
}

static void reregister(void) {
    psc_heap_each_arena(arena_changed);
}

static uint32_t class_bytes[PSC_CLASS_COUNT];

const struct psc_track_host *psc_record_host(void) {
    static const struct psc_track_host host = {
        .arena_bytes = (uint32_t)PSC_ARENA_BYTES,
        .slot_bytes = PSC_SLOT_BYTES,
        .class_count = PSC_CLASS_COUNT,
        .class_bytes = class_bytes,
        .describe = describe,
        .describe_resident = describe_resident,
        .count_untagged = count_untagged,
        .reregister = reregister,
    };
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        class_bytes[i] = psc_class_bytes(i);
    }
    return &host;
}
