#include "core/heap/heap.h"

#include <errno.h>
#include <string.h>

#include "core/base/os.h"
#include "core/base/say.h"
#include "core/heap/fast.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
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

/* The pool of the arena that p points into, whatever becomes of it meanwhile. */
static struct psc_pool *pool_at(const struct psc_arena *arena, const void *p) {
    return PSC_LOAD(&arena->pool_of[((uintptr_t)p >> PSC_SLOT_SHIFT) & (PSC_SLOTS - 1)]);
}

/* p lies in the pool's slots. Ends the process unless a carved block begins there. */
static uint32_t index_of(const struct psc_pool *pool, const void *p) {
    uint64_t offset = (uintptr_t)p - (uintptr_t)pool->base;
    uint64_t index;
    bool begins = offset < PSC_LOAD(&pool->carved_bytes) && psc_pool_divide(pool, offset, &index);
    if (PSC_UNLIKELY(!begins || index >= PSC_LOAD(&pool->carved))) { /* the index tells of a place inside a span */
        psc_die(PSC_DIE_FOREIGN, p);
    }
    return (uint32_t)index;
}

/* p is in no arena. Ends the process unless a large block begins there. */
static struct psc_large *large_at(const void *p) {
    struct psc_large *large = psc_radix_large(p);
    if (large == NULL) {
        psc_die(PSC_DIE_FOREIGN, p);
    }
    return large;
}

static void refuse_freed(struct psc_pool *pool, uint32_t index, const void *p) {
    uint64_t back = PSC_LOAD(&psc_pool_remote(pool)[index / 64]);
    if (PSC_UNLIKELY(psc_pool_has_free(pool, index) || (back >> (index % 64) & 1) != 0)) {
        psc_die(PSC_DIE_DOUBLE, p);
    }
}

/* Nobody owns a span: of several threads that free it, one finds it carved. */
static void free_span(struct psc_pool *span, const void *p) {
    if (__atomic_exchange_n(psc_pool_remote(span), 1, __ATOMIC_ACQ_REL) != 0) {
        psc_die(PSC_DIE_DOUBLE, p);
    }
    psc_pick_large_freed(psc_pool_note(span), span->block_bytes);
    psc_arena_retire_pool(span);
}

/* Blocks of this pool were handed back, this one perhaps among them; or the pool was not found at once. */
static void free_own(struct psc_heap *heap, struct psc_pool *pool, uint32_t index, const void *p) {
    if (PSC_UNLIKELY(heap->unsound)) {
        psc_heap_recover(heap);
    }
    refuse_freed(pool, index, p);
    psc_pool_put(pool, index);
    psc_heap_collect(heap);
}

static void free_mapped(struct psc_large *large) {
    psc_pick_large_freed(&large->note, large->bytes);
    psc_large_free(large);
}

void psc_heap_free_slowly(void *p) {
    if (p == NULL) {
        return;
    }
    struct psc_arena *arena = psc_radix_arena(p);
    if (PSC_UNLIKELY(arena == NULL)) {
        free_mapped(large_at(p));
        return;
    }
    struct psc_pool *pool = pool_at(arena, p);
    PSC_STORE(psc_slot_pool(p), pool);
    struct psc_heap *owner = psc_pool_owner(pool);
    uint32_t index = index_of(pool, p);
    if (PSC_UNLIKELY(psc_pool_is_picked(pool))) {
        refuse_freed(pool, index, p);
        psc_pick_freed(pool, index);
    }
    if (owner == &psc_heap_of_spans) {
        free_span(pool, p);
    } else if (psc_heap_is_own(owner)) {
        free_own(owner, pool, index, p);
    } else {
        psc_pool_hand_back(pool, index, p);
    }
}

void psc_heap_free(void *p) {
    if (PSC_UNLIKELY(!psc_fast_free(psc_heap_self, p))) {
        psc_heap_free_slowly(p);
    }
}

/* ---- what is known of a block ---------------------------------------------------------------------------------- */

static void describe_large(const void *p, struct psc_block *block) {
    struct psc_large *large = large_at(p);
    *block = (struct psc_block){.note = &large->note,
                                .base = large->base,
                                .bytes = large->bytes,
                                .class_index = PSC_CLASS_COUNT,
                                .capacity = 1};
}

static struct psc_pool *find_live(const void *p, uint32_t *index) {
    struct psc_arena *arena = psc_radix_arena(p);
    if (PSC_UNLIKELY(arena == NULL)) {
        return NULL;
    }
    struct psc_pool *pool = pool_at(arena, p);
    *index = index_of(pool, p);
    refuse_freed(pool, *index, p);
    return pool;
}

void psc_heap_block(const void *p, struct psc_block *block) {
    uint32_t index;
    struct psc_pool *pool = find_live(p, &index);
    if (PSC_UNLIKELY(pool == NULL)) {
        describe_large(p, block);
        return;
    }
    PSC_STORE(&pool->noted, 1);
    *block = (struct psc_block){.note = psc_pool_note(pool),
                                .base = pool->base,
                                .bytes = pool->block_bytes,
                                .index = index,
                                .class_index = pool->class_index,
                                .capacity = pool->capacity};
}

void psc_heap_pool_state(const void *p, struct psc_pool_figures *figures) {
    uint32_t index;
    struct psc_pool *pool = find_live(p, &index);
    *figures = (struct psc_pool_figures){.carved = 1, .used = 1};
    if (pool != NULL && pool->class_index != PSC_CLASS_SPAN) {
        figures->carved = PSC_LOAD(&pool->carved);
        figures->used = psc_pool_used(pool);
    }
    figures->stale_pages = pool != NULL ? PSC_LOAD(&pool->stale_pages) : 0;
}

size_t psc_heap_usable(const void *p) {
    struct psc_place place;
    uint32_t index;
    if (PSC_LIKELY(psc_fast_find(psc_heap_self, p, &place))) {
        return place.pool->block_bytes;
    }
    struct psc_pool *pool = find_live(p, &index);
    if (pool != NULL) {
        return pool->block_bytes;
    }
    struct psc_block block;
    describe_large(p, &block);
    return block.bytes;
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
    uint32_t index;
    struct psc_pool *pool = find_live(p, &index);
    if (pool == NULL) {
        return bytes > PSC_SPAN_MAX && bytes <= PTRDIFF_MAX ? resize_mapped(large_at(p), bytes) : NULL;
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
