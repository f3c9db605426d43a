#include "core/heap/heap.h"

#include <errno.h>
#include <string.h>

#include "core/base/os.h"
#include "core/base/say.h"
#include "core/heap/fast.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/radix.h"
#include "core/heap/range.h"

struct psc_heap_hooks psc_hooks;
struct psc_pool psc_pool_none;
struct psc_heap psc_heap_none = {.bins = {[0 ... PSC_CLASS_COUNT - 1] = {.current = &psc_pool_none}}};
struct psc_heap psc_heap_of_spans;

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
    struct psc_bin *bin = &heap->bins[class_index];
    if (!psc_pool_seek(bin->current) && !psc_bin_refill(heap, class_index)) {
        return no_memory();
    }
    struct psc_pool *pool = bin->current;
    return psc_pool_take_lowest(pool, pool->cursor, pool->free[pool->cursor]);
}

/* For a thread that has no heap any more, or for whose heap there was no memory. */
static void *alloc_from_idle(uint32_t class_index) {
    struct psc_heap *heap = psc_idle_take();
    if (heap == NULL) {
        return no_memory();
    }
    void *p = alloc_refilling(heap, class_index);
    psc_idle_drop(heap);
    return p;
}

void *psc_heap_alloc_slowly(uint32_t class_index) {
    struct psc_heap *heap = psc_heap_self;
    if (heap == &psc_heap_none) {
        heap = psc_heap_begin();
    }
    return heap != &psc_heap_none ? alloc_refilling(heap, class_index) : alloc_from_idle(class_index);
}

static void *alloc_span(size_t bytes, bool zeroed) {
    bool fresh;
    struct psc_pool *span = psc_arena_make_span(bytes, &fresh);
    if (span == NULL) {
        return no_memory();
    }
    return zeroed && !fresh ? memset(span->base, 0, bytes) : span->base;
}

static void *alloc_mapped(size_t alignment, size_t bytes, bool zeroed) {
    if (bytes > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2 || bytes + alignment > PTRDIFF_MAX) {
        return no_memory();
    }
    void *p = psc_large_alloc(alignment, bytes > 0 ? bytes : 1, zeroed);
    return p != NULL ? p : no_memory();
}

void *psc_heap_alloc_large(size_t alignment, size_t bytes, bool zeroed) {
    bool fits = bytes > PSC_SMALL_MAX && bytes <= PSC_SPAN_MAX && alignment <= PSC_SLOT_BYTES;
    return fits ? alloc_span(bytes, zeroed) : alloc_mapped(alignment, bytes, zeroed);
}

void *psc_heap_alloc(size_t bytes) {
    return psc_fast_alloc(bytes);
}

void *psc_heap_alloc_zeroed(size_t bytes) {
    if (PSC_UNLIKELY(bytes > PSC_SMALL_MAX)) {
        return psc_heap_alloc_large(1, bytes, true);
    }
    void *p = psc_fast_alloc_class(psc_class_of(bytes));
    return p != NULL ? memset(p, 0, bytes) : NULL;
}

void *psc_heap_alloc_aligned(size_t alignment, size_t bytes) {
    if (alignment <= 16) {
        return psc_heap_alloc(bytes);
    }
    uint32_t class_index = psc_class_of_aligned(bytes, alignment);
    return class_index < PSC_CLASS_COUNT ? psc_fast_alloc_class(class_index)
                                         : psc_heap_alloc_large(alignment, bytes, false);
}

/* ---- free ------------------------------------------------------------------------------------------------------ */

static uint32_t index_of(const struct psc_pool *pool, const void *p) {
    uint32_t index = psc_pool_index(pool, p);
    if (PSC_UNLIKELY(index == PSC_NO_BLOCK)) {
        psc_die(PSC_DIE_FOREIGN, p);
    }
    return index;
}

/* Nobody owns a span: of several threads that free it, one finds it carved. */
static void free_span(struct psc_pool *span, const void *p) {
    if (__atomic_exchange_n(&span->remote[0], 1, __ATOMIC_ACQ_REL) != 0) {
        psc_die(PSC_DIE_DOUBLE, p);
    }
    psc_arena_retire_pool(span);
}

void psc_heap_free_with_care(struct psc_pool *pool, uint32_t index, const void *p) {
    struct psc_heap *owner = PSC_LOAD(&pool->owner);
    if (index == PSC_NO_BLOCK) {
        psc_die(PSC_DIE_FOREIGN, p);
    }
    if (owner == &psc_heap_of_spans) {
        free_span(pool, p);
    } else if (owner != psc_heap_self) {
        psc_pool_hand_back(pool, index, p);
    } else {
        psc_pool_merge(pool); /* this block may be among those that were handed back */
        if (psc_pool_is_free(pool, index)) {
            psc_die(PSC_DIE_DOUBLE, p);
        }
        psc_pool_put(pool, index);
        psc_bin_settle(owner, pool);
    }
}

void psc_heap_free_elsewhere(void *p) {
    if (p == NULL) {
        return;
    }
    struct psc_large *large = psc_radix_large(p);
    if (large == NULL) {
        psc_die(PSC_DIE_FOREIGN, p);
    }
    psc_large_free(large);
}

void psc_heap_free(void *p) {
    psc_fast_free(p);
}

/* ---- what is known of a block ---------------------------------------------------------------------------------- */

static void describe_large(const void *p, struct psc_block *block) {
    struct psc_large *large = psc_radix_large(p);
    if (large == NULL) {
        psc_die(PSC_DIE_FOREIGN, p);
    }
    *block = (struct psc_block){.note = &large->note,
                                .base = large->base,
                                .bytes = large->bytes,
                                .class_index = PSC_CLASS_COUNT,
                                .capacity = 1,
                                .carved = 1,
                                .used = 1};
}

static void refuse_freed(const struct psc_pool *pool, uint32_t index, const void *p) {
    uint64_t freed = PSC_LOAD(&pool->free[index / 64]) | PSC_LOAD(&pool->remote[index / 64]);
    if (PSC_UNLIKELY((freed >> (index % 64) & 1) != 0)) {
        psc_die(PSC_DIE_DOUBLE, p);
    }
}

void psc_heap_block(const void *p, struct psc_block *block) {
    struct psc_arena *arena = psc_radix_arena(p);
    if (PSC_UNLIKELY(arena == NULL)) {
        describe_large(p, block);
        return;
    }
    struct psc_pool *pool = psc_pool_of(arena, p);
    uint32_t index = index_of(pool, p);
    refuse_freed(pool, index, p);
    *block = (struct psc_block){.note = &pool->note,
                                .base = pool->base,
                                .bytes = pool->block_bytes,
                                .index = index,
                                .class_index = pool->class_index,
                                .capacity = pool->capacity,
                                .carved = PSC_LOAD(&pool->carved),
                                .used = PSC_LOAD(&pool->used),
                                .stale_pages = PSC_LOAD(&pool->stale_pages)};
}

size_t psc_heap_usable(const void *p) {
    struct psc_block block;
    psc_heap_block(p, &block);
    return block.bytes;
}

bool psc_heap_owns(const void *p) {
    return psc_radix_arena(p) != NULL || psc_radix_large(p) != NULL;
}

void *psc_heap_resize(void *p, size_t bytes) {
    struct psc_block block;
    psc_heap_block(p, &block);
    if (block.class_index < PSC_CLASS_COUNT) {
        return bytes <= block.bytes && bytes >= block.bytes / 2 ? p : NULL;
    }
    struct psc_arena *arena = psc_radix_arena(p);
    if (arena != NULL) {
        bool fits =
            bytes > PSC_SMALL_MAX && bytes <= PSC_SPAN_MAX && psc_arena_resize_span(psc_pool_of(arena, p), bytes);
        return fits ? p : NULL;
    }
    if (bytes <= PSC_SPAN_MAX || bytes > PTRDIFF_MAX) {
        return NULL;
    }
    return psc_large_resize(psc_radix_large(p), bytes);
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

static void collect_idle(struct psc_heap *heap, void *context) {
    (void)context;
    if (PSC_LOAD(&heap->state) == PSC_HEAP_IDLE) {
        psc_idle_collect(heap);
    }
}

bool psc_heap_trim(void) {
    if (psc_heap_self != &psc_heap_none) {
        psc_heap_lay_down(psc_heap_self);
    }
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
}
