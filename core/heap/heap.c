#include "core/heap/heap.h"

#include <errno.h>
#include <string.h>

#include "core/base/os.h"
#include "core/heap/fast.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/misuse.h"
#include "core/heap/pick.h"
#include "core/heap/radix.h"
#include "core/heap/range.h"

struct psc_heap_hooks psc_hooks;
static uint64_t no_bits;
struct psc_pool psc_pool_none = {.free = &no_bits, .word = &no_bits};
struct psc_heap psc_heap_none = {.current = {[0 ... PSC_CLASS_COUNT - 1] = &psc_pool_none}};
struct psc_heap psc_heap_of_spans;
struct psc_pool *psc_slot_pools[PSC_SLOT_POOLS];

void psc_heap_set_hooks(const struct psc_heap_hooks *hooks) {
    psc_hooks = *hooks;
}

void psc_heap_set_purge(uint32_t milliseconds) {
    psc_arena_set_purge(milliseconds);
}

/* ---- allocation ------------------------------------------------------------------------------------------------ */

static void *no_memory(void) {
    errno = ENOMEM;
    return NULL;
}

static void *alloc_refilling(struct psc_heap *heap, uint32_t class_index) {
    struct psc_pool *pool = heap->current[class_index];
    bool ready = *pool->word != 0 || psc_pool_seek(pool) || psc_heap_refill(heap, class_index);
    return ready ? psc_pick_take(heap, heap->current[class_index]) : no_memory();
}

/* For a thread that has no heap any more, or for whose heap there was no memory. */
static void *alloc_from_idle(uint32_t group, uint32_t class_index) {
    struct psc_heap *heap = psc_idle_take(group);
    if (heap == NULL) {
        return no_memory();
    }
    void *p = alloc_refilling(heap, class_index);
    psc_idle_drop(heap);
    return p;
}

static void *alloc_slowly(struct psc_heap *heap, uint32_t group, uint32_t class_index) {
    return heap != &psc_heap_none ? alloc_refilling(heap, class_index) : alloc_from_idle(group, class_index);
}

static PSC_NOINLINE void *alloc_from_own(uint32_t class_index) {
    struct psc_heap *heap = psc_heap_self;
    return alloc_slowly(PSC_LIKELY(heap != &psc_heap_none) ? heap : psc_heap_of_group(0), 0, class_index);
}

static void *alloc_class(uint32_t class_index) {
    void *p;
    return PSC_LIKELY(psc_fast_alloc_class(psc_heap_self, class_index, &p)) ? p : alloc_from_own(class_index);
}

static void *alloc_class_in(uint32_t group, uint32_t class_index) {
    void *p;
    struct psc_heap *heap = psc_heap_of_group(group);
    return psc_fast_alloc_class(heap, class_index, &p) ? p : alloc_slowly(heap, group, class_index);
}

static void *alloc_span(size_t bytes, bool zeroed) {
    bool fresh;
    struct psc_pool *span = psc_arena_make_span(bytes, &fresh);
    if (span == NULL && psc_heap_drop_kept(psc_heap_self)) {
        span = psc_arena_make_span(bytes, &fresh);
    }
    if (span == NULL) {
        return no_memory();
    }
    psc_pick_large(span->base, span->block_bytes);
    return zeroed && !fresh ? memset(span->base, 0, bytes) : span->base;
}

static void *alloc_mapped(size_t alignment, size_t bytes, bool zeroed) {
    if (bytes > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2 || bytes + alignment > PTRDIFF_MAX) {
        return no_memory();
    }
    void *p = psc_large_alloc(alignment, bytes > 0 ? bytes : 1, zeroed);
    return p != NULL ? psc_pick_large(p, psc_radix_large(p)->bytes) : no_memory();
}

static void *alloc_large(size_t alignment, size_t bytes, bool zeroed) {
    bool fits = bytes > PSC_SMALL_MAX && bytes <= PSC_SPAN_MAX && alignment <= PSC_SLOT_BYTES;
    return fits ? alloc_span(bytes, zeroed) : alloc_mapped(alignment, bytes, zeroed);
}

void *psc_heap_alloc(size_t bytes) {
    return PSC_LIKELY(bytes <= PSC_SMALL_MAX) ? alloc_class(psc_class_of(bytes)) : alloc_large(1, bytes, false);
}

void *psc_heap_alloc_zeroed(size_t bytes) {
    if (PSC_UNLIKELY(bytes > PSC_SMALL_MAX)) {
        return alloc_large(1, bytes, true);
    }
    void *p = alloc_class(psc_class_of(bytes));
    return p != NULL ? memset(p, 0, bytes) : NULL;
}

void *psc_heap_alloc_aligned(size_t alignment, size_t bytes) {
    if (alignment <= 16) {
        return psc_heap_alloc(bytes);
    }
    uint32_t class_index = psc_class_of_aligned(bytes, alignment);
    return class_index < PSC_CLASS_COUNT ? alloc_class(class_index) : alloc_large(alignment, bytes, false);
}

void *psc_heap_alloc_in(uint32_t group, size_t alignment, size_t bytes) {
    uint32_t class_index = psc_class_of_aligned(bytes, alignment);
    return class_index < PSC_CLASS_COUNT ? alloc_class_in(group, class_index) : alloc_large(alignment, bytes, false);
}

/* ---- free ------------------------------------------------------------------------------------------------------ */

/* p lies in the pool's slots. False: no carved block begins there. */
static bool find_index(const struct psc_pool *pool, const void *p, uint32_t *index) {
    uint64_t offset = (uintptr_t)p - (uintptr_t)pool->base;
    uint64_t quotient;
    bool begins = offset < PSC_LOAD(&pool->carved_bytes) && psc_pool_divide(pool, offset, &quotient);
    if (PSC_UNLIKELY(!begins || quotient >= PSC_LOAD(&pool->carved))) { /* the index tells of a place inside a span */
        return false;
    }
    *index = (uint32_t)quotient;
    return true;
}

static bool is_freed(struct psc_pool *pool, uint32_t index) {
    uint64_t back = PSC_LOAD(&psc_pool_remote(pool)[index / 64]);
    return psc_pool_has_free(pool, index) || (back >> (index % 64) & 1) != 0;
}

/* In what follows, false: p is no live block, and nothing was done. */

/* Nobody owns a span: of several threads that free it, one finds it carved. */
static bool free_span(struct psc_pool *span) {
    if (__atomic_exchange_n(psc_pool_remote(span), 1, __ATOMIC_ACQ_REL) != 0) {
        return false;
    }
    psc_pick_large_freed(psc_pool_note(span), span->block_bytes);
    psc_arena_retire_pool(span);
    return true;
}

/* Blocks of this pool were handed back, this one perhaps among them; or the pool was not found at once. */
static bool free_own(struct psc_heap *heap, struct psc_pool *pool, uint32_t index) {
    if (PSC_UNLIKELY(heap->unsound)) {
        psc_heap_recover(heap);
    }
    if (PSC_UNLIKELY(is_freed(pool, index))) {
        return false;
    }
    psc_pool_put(pool, index);
    psc_heap_collect(heap);
    return true;
}

/* Of several threads that free it, one finds it registered. */
static bool free_mapped(const void *p) {
    struct psc_large *large = psc_radix_large(p);
    if (large == NULL || !psc_radix_drop_large(p, large)) {
        return false;
    }
    psc_pick_large_freed(&large->note, large->bytes);
    psc_large_free(large);
    return true;
}

static bool free_block(const void *p) {
    struct psc_arena *arena = psc_radix_arena(p);
    uint32_t index;
    if (PSC_UNLIKELY(arena == NULL)) {
        return free_mapped(p);
    }
    struct psc_pool *pool = psc_arena_pool_at(arena, p);
    PSC_STORE(psc_slot_pool(p), pool);
    struct psc_heap *owner = psc_pool_owner(pool);
    if (PSC_UNLIKELY(!find_index(pool, p, &index))) {
        return false;
    }
    if (PSC_UNLIKELY(psc_pool_is_picked(pool))) {
        if (is_freed(pool, index)) {
            return false;
        }
        psc_pick_freed(pool, index);
    }
    if (owner == &psc_heap_of_spans) {
        return free_span(pool);
    }
    return psc_heap_is_own(owner) ? free_own(owner, pool, index) : psc_pool_hand_back(pool, index);
}

void psc_heap_free_slowly(void *p) {
    if (PSC_UNLIKELY(p != NULL && !free_block(p))) {
        psc_misuse_pointer(p, PSC_MISUSE_FREED);
    }
}

void psc_heap_free(void *p) {
    if (PSC_UNLIKELY(!psc_fast_free(psc_heap_self, p))) {
        psc_heap_free_slowly(p);
    }
}

/* ---- what is known of a block ---------------------------------------------------------------------------------- */

/* What a live block lies in: one of the two. */
struct home {
    struct psc_pool *pool;
    struct psc_large *large;
    uint32_t index; /* in the pool */
};

/* False: p is no live block. */
static bool find_live(const void *p, struct home *home) {
    struct psc_arena *arena = psc_radix_arena(p);
    home->large = NULL;
    home->pool = NULL;
    if (PSC_UNLIKELY(arena == NULL)) {
        home->large = psc_radix_large(p);
        return home->large != NULL;
    }
    home->pool = psc_arena_pool_at(arena, p);
    return find_index(home->pool, p, &home->index) && !is_freed(home->pool, home->index);
}

static void describe_large(struct psc_large *large, struct psc_block *block) {
    *block = (struct psc_block){.note = &large->note,
                                .base = large->base,
                                .bytes = large->bytes,
                                .class_index = PSC_CLASS_COUNT,
                                .capacity = 1};
}

bool psc_heap_block(const void *p, struct psc_block *block) {
    struct home home;
    if (PSC_UNLIKELY(!find_live(p, &home))) {
        return false;
    }
    struct psc_pool *pool = home.pool;
    if (PSC_UNLIKELY(pool == NULL)) {
        describe_large(home.large, block);
        return true;
    }
    PSC_STORE(&pool->noted, 1);
    *block = (struct psc_block){.note = psc_pool_note(pool),
                                .base = pool->base,
                                .bytes = pool->block_bytes,
                                .index = home.index,
                                .class_index = pool->class_index,
                                .capacity = pool->capacity};
    return true;
}

void psc_heap_pool_state(const void *p, struct psc_pool_figures *figures) {
    struct home home;
    struct psc_pool *pool = find_live(p, &home) ? home.pool : NULL;
    *figures = (struct psc_pool_figures){.carved = 1, .used = 1};
    if (pool != NULL && pool->class_index != PSC_CLASS_SPAN) {
        figures->carved = PSC_LOAD(&pool->carved);
        figures->used = psc_pool_used(pool);
    }
    figures->stale_pages = pool != NULL ? PSC_LOAD(&pool->stale_pages) : 0;
}

size_t psc_heap_usable(const void *p) {
    struct psc_place place;
    struct home home;
    if (PSC_LIKELY(psc_fast_find(psc_heap_self, p, &place))) {
        return place.pool->block_bytes;
    }
    if (PSC_UNLIKELY(!find_live(p, &home))) {
        psc_misuse_pointer(p, PSC_MISUSE_STALE);
        return 0;
    }
    return home.pool != NULL ? home.pool->block_bytes : home.large->bytes;
}

bool psc_heap_owns(const void *p) {
    return psc_radix_arena(p) != NULL || psc_radix_large(p) != NULL;
}

/* To picking, a large block of another size is another block. */
static void *resized(struct psc_note *note, size_t old_bytes, void *p, size_t bytes) {
    if (p != NULL) {
        psc_pick_large_freed(note, old_bytes);
        psc_pick_large(p, bytes);
    }
    return p;
}

static void *resize_mapped(struct psc_large *large, size_t bytes) {
    size_t old_bytes = large->bytes;
    void *p = psc_large_resize(large, bytes);
    return resized(&large->note, old_bytes, p, large->bytes);
}

static void *resize_span(struct psc_pool *span, size_t bytes) {
    size_t old_bytes = span->block_bytes;
    void *p = psc_arena_resize_span(span, bytes) ? span->base : NULL;
    return resized(psc_pool_note(span), old_bytes, p, span->block_bytes);
}

void *psc_heap_resize(void *p, size_t bytes) {
    struct home home;
    if (PSC_UNLIKELY(!find_live(p, &home))) {
        psc_misuse_pointer(p, PSC_MISUSE_STALE);
        return NULL;
    }
    struct psc_pool *pool = home.pool;
    if (pool == NULL) {
        return bytes > PSC_SPAN_MAX && bytes <= PTRDIFF_MAX ? resize_mapped(home.large, bytes) : NULL;
    }
    if (pool->class_index != PSC_CLASS_SPAN) {
        return psc_block_suits(pool->block_bytes, bytes) ? p : NULL;
    }
    return bytes > PSC_SMALL_MAX && bytes <= PSC_SPAN_MAX ? resize_span(pool, bytes) : NULL;
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

static void collect_idle(struct psc_heap *heap, void *context) {
    (void)context;
    if (PSC_LOAD(&heap->state) == PSC_HEAP_IDLE) {
        psc_idle_collect(heap);
    }
}

bool psc_heap_trim(void) {
    psc_heap_each_own(psc_heap_lay_down);
    psc_heap_each(collect_idle, NULL);
    bool went = psc_range_release();
    return psc_arena_purge() || went;
}

void psc_heap_fork_prepare(void) {
    psc_lock_take(&psc_idle_lock);
    psc_lock_take(&psc_arena_lock);
    psc_large_fork_prepare();
    psc_lock_take(&psc_radix_lock);
    psc_meta_fork_prepare();
}

void psc_heap_fork_parent(void) {
    psc_meta_fork_parent();
    psc_lock_release(&psc_radix_lock);
    psc_large_fork_parent();
    psc_lock_release(&psc_arena_lock);
    psc_lock_release(&psc_idle_lock);
}

void psc_heap_fork_child(void) {
    psc_meta_fork_child();
    psc_lock_reset(&psc_radix_lock);
    psc_large_fork_child();
    psc_lock_reset(&psc_arena_lock);
    psc_idle_fork_child();
    psc_pick_fork_child();
}
