#include "core/base/os.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/range.h"
#include "core/heap/secure.h"

/* Blocks that the program holds: handed out, and not handed back. */
static uint32_t live_blocks(struct psc_pool *pool) {
    if (psc_pool_is_secure(pool)) {
        return psc_secure_count_live(pool);
    }
    uint32_t used = psc_pool_used(pool);
    uint32_t back = 0;
    if (psc_pool_is_pending(pool) && PSC_LOAD(&pool->free) != NULL) {
        for (uint32_t word = 0; word < psc_pool_words(pool); word++) {
            back += (uint32_t)__builtin_popcountll(PSC_LOAD(&psc_pool_remote(pool)[word]));
        }
    }
    return used > back ? used - back : 0;
}

static uint32_t occupancy_step(uint32_t live, uint32_t capacity) {
    return (live * 10 + capacity - 1) / capacity;
}

/* ---- the map --------------------------------------------------------------------------------------------------- */

static struct psc_heap_cell *cell_of(const struct psc_heap_map *map, uint32_t order) {
    uint32_t cell = order / map->slots;
    return cell < map->count ? &map->cells[cell] : NULL;
}

static void draw_pool(const struct psc_heap_map *map, const struct psc_pool *pool, uint64_t live, uint64_t committed) {
    uint32_t slots = PSC_LOAD(&pool->slots), order = PSC_LOAD(&pool->order);
    for (uint32_t i = 0; map != NULL && i < slots; i++) {
        struct psc_heap_cell *cell = cell_of(map, order + i);
        if (cell != NULL) {
            cell->live_bytes += (uint32_t)(live / slots);
            cell->committed_bytes += (uint32_t)(committed / slots);
        }
    }
}

static void draw_cached(const struct psc_heap_map *map, uint32_t index) {
    const struct psc_arena *arena = psc_arena_at(index);
    for (uint32_t word = 0; map != NULL && word < PSC_SLOT_WORDS; word++) {
        for (uint64_t bits = PSC_LOAD(&arena->cached[word]); bits != 0; bits &= bits - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
            struct psc_heap_cell *cell = cell_of(map, index * PSC_SLOTS + slot);
            if (cell != NULL) {
                cell->cached_slots++;
            }
        }
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

struct measuring {
    struct psc_heap_figures *figures;
    const struct psc_heap_map *map; /* or NULL */
};

static void add_span(const struct psc_pool *span, struct psc_heap_figures *figures) {
    uint64_t stale = (uint64_t)PSC_LOAD(&span->stale_pages) * PSC_PAGE_BYTES;
    figures->large_blocks++;
    figures->large_bytes += PSC_LOAD(&span->block_bytes);
    figures->stale_bytes += stale;
    figures->tail_bytes += stale;
    figures->pinned_bytes += stale;
}

/* Of a pool with a live block: committed bytes that it has not carved. */
static uint64_t tail_bytes(const struct psc_pool *pool, uint64_t committed) {
    uint64_t carved = PSC_LOAD(&pool->carved_bytes);
    return carved < committed ? committed - carved : 0;
}

/* The pool may be made, retired or made anew while we look: each field is read once, and what does not agree is cut. */
static void add_pool(struct psc_pool *pool, void *context) {
    const struct measuring *measuring = context;
    struct psc_heap_figures *figures = measuring->figures;
    uint32_t class_index = PSC_LOAD(&pool->class_index);
    uint32_t capacity = PSC_LOAD(&pool->capacity);
    if (class_index == PSC_CLASS_SPAN) {
        add_span(pool, figures);
        draw_pool(measuring->map, pool, PSC_LOAD(&pool->block_bytes), psc_pool_committed(pool));
        return;
    }
    if (capacity == 0) {
        return;
    }
    struct psc_class_figures *of_class = &figures->classes[class_index];
    uint32_t live = live_blocks(pool);
    live = live < capacity ? live : capacity;
    uint64_t block_bytes = (uint64_t)live * PSC_LOAD(&pool->block_bytes);
    uint64_t committed = psc_pool_committed(pool);
    if (committed < block_bytes) { /* the pool changed while we looked */
        committed = block_bytes;
    }
    figures->stale_bytes += (uint64_t)PSC_LOAD(&pool->stale_pages) * PSC_PAGE_BYTES;
    of_class->pools++;
    of_class->live_blocks += live;
    of_class->capacity_blocks += capacity;
    of_class->committed_bytes += committed;
    draw_pool(measuring->map, pool, block_bytes, committed);
    figures->occupancy[occupancy_step(live, capacity)]++;
    figures->live_blocks += live;
    figures->live_block_bytes += block_bytes;
    *(live > 0 ? &figures->pinned_bytes : &figures->empty_bytes) += committed - block_bytes;
    uint64_t tail = live > 0 ? tail_bytes(pool, committed) : 0;
    figures->tail_bytes += tail < committed - block_bytes ? tail : committed - block_bytes;
}

/* Descriptors are not asked where their notes are: the pool may be retired, and its descriptor empty, by now. */
static void visit_noted(struct psc_arena *arena, void (*visit)(struct psc_note *, uint32_t)) {
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        struct psc_pool *pool = &arena->pools[slot];
        bool is_head = (PSC_LOAD(&arena->heads[slot / 64]) >> (slot % 64) & 1) != 0;
        if (is_head && PSC_LOAD(&pool->noted) && PSC_LOAD(&pool->class_index) != PSC_CLASS_SPAN) {
            visit(&arena->notes[slot], live_blocks(pool));
        }
    }
}

void psc_heap_each_noted(void (*visit)(struct psc_note *note, uint32_t live_blocks)) {
    uint32_t count = psc_arena_count();
    for (uint32_t i = 0; i < count; i++) {
        visit_noted(psc_arena_at(i), visit);
    }
}

void psc_heap_measure(struct psc_heap_figures *figures, const struct psc_heap_map *map) {
    struct measuring measuring = {figures, map};
    *figures = (struct psc_heap_figures){.arenas = psc_arena_count(), .metadata_bytes = psc_meta_bytes()};
    psc_arena_each_pool(add_pool, &measuring);
    for (uint32_t i = 0; i < figures->arenas; i++) {
        figures->cached_bytes += (uint64_t)PSC_LOAD(&psc_arena_at(i)->cached_pages) * PSC_PAGE_BYTES;
        draw_cached(map, i);
    }
    figures->cached_bytes += psc_range_bytes();
    uint64_t blocks, bytes;
    psc_large_measure(&blocks, &bytes);
    figures->large_blocks += blocks;
    figures->large_bytes += bytes;
}

void psc_heap_each_arena(void (*visit)(const struct psc_arena *arena)) {
    uint32_t count = psc_arena_count();
    for (uint32_t i = 0; i < count; i++) {
        visit(psc_arena_at(i));
    }
}

/* ---- what is resident ------------------------------------------------------------------------------------------ */

static void add_resident(struct psc_large *large, char *base, size_t bytes, void *context) {
    (void)large;
    *(uint64_t *)context += psc_os_resident(base, bytes);
}

void psc_heap_measure_resident(struct psc_heap_residency *residency) {
    uint64_t bytes = psc_range_bytes();
    uint32_t count = psc_arena_count();
    for (uint32_t i = 0; i < count; i++) {
        const char *base = PSC_LOAD(&psc_arena_at(i)->base);
        bytes += base != NULL ? psc_os_resident(base, PSC_ARENA_BYTES) : 0;
    }
    psc_large_each(add_resident, &bytes);
    *residency = (struct psc_heap_residency){.heap_bytes = bytes, .metadata_bytes = psc_meta_resident_bytes()};
}

uint32_t psc_heap_arena_count(void) {
    return psc_arena_count();
}

/* ---- large blocks ---------------------------------------------------------------------------------------------- */

static void visit_spans(struct psc_arena *arena, void (*visit)(struct psc_note *, size_t)) {
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        const struct psc_pool *pool = &arena->pools[slot];
        bool is_head = (PSC_LOAD(&arena->heads[slot / 64]) >> (slot % 64) & 1) != 0;
        if (is_head && PSC_LOAD(&pool->noted) && PSC_LOAD(&pool->class_index) == PSC_CLASS_SPAN) {
            visit(&arena->notes[slot], PSC_LOAD(&pool->block_bytes));
        }
    }
}

static void visit_large(struct psc_large *large, char *base, size_t bytes, void *context) {
    (void)base;
    (*(void (**)(struct psc_note *, size_t))context)(&large->note, bytes);
}

void psc_heap_each_large(void (*visit)(struct psc_note *note, size_t bytes)) {
    uint32_t count = psc_arena_count();
    for (uint32_t i = 0; i < count; i++) {
        visit_spans(psc_arena_at(i), visit);
    }
    psc_large_each(visit_large, &visit);
}
