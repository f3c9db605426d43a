#include "core/heap/heap.h"

#include <errno.h>
#include <string.h>

#include "core/base/os.h"
#include "core/heap/fast.h"
#include "core/heap/guard.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/misuse.h"
#include "core/heap/pick.h"
#include "core/heap/quarantine.h"
#include "core/heap/radix.h"
#include "core/heap/range.h"
#include "core/heap/secure.h"

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
    if (!ready) {
        return no_memory();
    }
    pool = heap->current[class_index];
    return PSC_UNLIKELY(psc_pool_is_secure(pool)) ? psc_secure_take(heap, pool) : psc_pick_take(heap, pool);
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

static void *alloc_class(uint32_t group, uint32_t class_index) {
    struct psc_heap *heap = psc_heap_of_group(group);
    return heap != &psc_heap_none ? alloc_refilling(heap, class_index) : alloc_from_idle(group, class_index);
}

static struct psc_pool *make_span(size_t bytes, bool *fresh) {
    struct psc_pool *span = psc_arena_make_span(bytes, fresh);
    return span == NULL && psc_heap_drop_kept(psc_heap_self) ? psc_arena_make_span(bytes, fresh) : span;
}

static bool is_beyond_reason(size_t alignment, size_t bytes) {
    return bytes > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2 || bytes + alignment > PTRDIFF_MAX;
}

static void *alloc_mapped(size_t alignment, size_t bytes, bool zeroed) {
    void *p = is_beyond_reason(alignment, bytes) ? NULL : psc_large_alloc(alignment, bytes > 0 ? bytes : 1, zeroed);
    return p != NULL ? psc_pick_large(p, psc_radix_large(p)->bytes) : no_memory();
}

static void *alloc_span(size_t bytes, bool zeroed) {
    bool fresh;
    struct psc_pool *span = make_span(bytes, &fresh);
    if (span == NULL) { /* an arena is more than the kernel has; the block may not be */
        return alloc_mapped(PSC_PAGE_BYTES, bytes, zeroed);
    }
    psc_pick_large(span->base, span->block_bytes);
    return zeroed && !fresh ? memset(span->base, 0, bytes) : span->base;
}

static void *alloc_large(size_t alignment, size_t bytes, bool zeroed) {
    bool fits = bytes > PSC_SMALL_MAX && bytes <= PSC_SPAN_MAX && alignment <= PSC_SLOT_BYTES;
    return fits ? alloc_span(bytes, zeroed) : alloc_mapped(alignment, bytes, zeroed);
}

/* ---- allocation of the hardened heap: all that is given out reads as zero ---- */

static void *alloc_small_secure(uint32_t group, uint32_t class_index, size_t bytes) {
    int saved = errno;
    void *p = alloc_class(group, class_index);
    if (PSC_UNLIKELY(p == NULL) && psc_quarantine_flush() && (p = alloc_class(group, class_index)) != NULL) {
        errno = saved;
    }
    return p != NULL ? psc_secure_seal(p, psc_class_bytes(class_index), bytes) : NULL;
}

static void *alloc_span_secure(size_t bytes) {
    bool fresh;
    struct psc_pool *span = make_span(bytes + PSC_SEAL_BYTES, &fresh);
    if (span == NULL) {
        return NULL;
    }
    psc_pick_large(psc_secure_take_span(span, fresh), span->block_bytes);
    return psc_secure_seal(span->base, span->block_bytes, bytes);
}

static void *alloc_large_secure(size_t alignment, size_t bytes) {
    bool fits_span = bytes + PSC_SEAL_BYTES <= PSC_SPAN_MAX && alignment <= PSC_SLOT_BYTES;
    void *p = psc_large_alloc_secure(alignment, bytes, !fits_span), *span = NULL;
    if (p == NULL && fits_span && (span = alloc_span_secure(bytes)) == NULL) {
        p = psc_large_alloc_secure(alignment, bytes, true); /* there is room for no arena, but perhaps for the block */
    }
    if (p != NULL) {
        return psc_pick_large(p, psc_radix_large(p)->bytes);
    }
    return span != NULL ? span : no_memory();
}

static void *alloc_secure(uint32_t group, size_t alignment, size_t bytes) {
    if (is_beyond_reason(alignment, bytes)) {
        return no_memory();
    }
    psc_secure_find_lost();
    uint32_t class_index = psc_class_of_aligned(bytes + PSC_SEAL_BYTES, alignment);
    return class_index < PSC_CLASS_COUNT ? alloc_small_secure(group, class_index, bytes)
                                         : alloc_large_secure(alignment, bytes);
}

/* What the fast paths leave over: of the hardened heap, everything. */
static PSC_NOINLINE void *alloc_otherwise(uint32_t group, size_t alignment, size_t bytes, bool zeroed) {
    if (PSC_UNLIKELY(psc_secure_on)) {
        return alloc_secure(group, alignment, bytes);
    }
    uint32_t class_index = psc_class_of_aligned(bytes, alignment);
    if (class_index == PSC_CLASS_COUNT) {
        return alloc_large(alignment, bytes, zeroed);
    }
    void *p = alloc_class(group, class_index);
    return p != NULL && zeroed ? memset(p, 0, bytes) : p;
}

void *psc_heap_alloc(size_t bytes) {
    void *p;
    return psc_fast_alloc(psc_heap_self, bytes, &p) ? p : alloc_otherwise(0, 1, bytes, false);
}

void *psc_heap_alloc_zeroed(size_t bytes) {
    void *p;
    return psc_fast_alloc(psc_heap_self, bytes, &p) ? memset(p, 0, bytes) : alloc_otherwise(0, 1, bytes, true);
}

static void *alloc_in(struct psc_heap *heap, uint32_t group, size_t alignment, size_t bytes) {
    void *p;
    uint32_t class_index = psc_class_of_aligned(bytes, alignment);
    bool done = class_index < PSC_CLASS_COUNT && psc_fast_alloc_class(heap, class_index, &p);
    return done ? p : alloc_otherwise(group, alignment, bytes, false);
}

void *psc_heap_alloc_aligned(size_t alignment, size_t bytes) {
    return alignment <= 16 ? psc_heap_alloc(bytes) : alloc_in(psc_heap_self, 0, alignment, bytes);
}

void *psc_heap_alloc_in(uint32_t group, size_t alignment, size_t bytes) {
    return alloc_in(psc_heap_of_group(group), group, alignment, bytes);
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
    if (PSC_UNLIKELY(!psc_pool_holds(pool, index))) {
        return false;
    }
    psc_pool_put(pool, index);
    psc_heap_collect(heap);
    return true;
}

/* Of several threads that free the same block, one finds it live. */
static bool free_secure(struct psc_pool *pool, uint32_t index) {
    void *p = pool->base + (size_t)index * pool->block_bytes;
    psc_secure_find_lost();
    if (!psc_secure_claim(pool, index)) {
        return false;
    }
    if (PSC_UNLIKELY(psc_pool_is_picked(pool))) {
        psc_pick_freed(pool, index);
    }
    psc_secure_wipe(p, pool->block_bytes);
    if (psc_pool_owner(pool) == &psc_heap_of_spans) {
        psc_pick_large_freed(psc_pool_note(pool), pool->block_bytes);
        psc_arena_retire_pool(pool);
    } else {
        psc_quarantine_put(pool, p);
    }
    return true;
}

void psc_pool_give_back(struct psc_pool *pool, uint32_t index) {
    struct psc_heap *owner = psc_pool_owner(pool);
    if (!psc_heap_is_own(owner)) {
        psc_pool_hand_back(pool, index);
        return;
    }
    if (PSC_UNLIKELY(owner->unsound)) {
        psc_heap_recover(owner);
    }
    psc_pool_put(pool, index);
    psc_heap_collect(owner);
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
    if (PSC_UNLIKELY(psc_pool_is_secure(pool))) {
        return free_secure(pool, index);
    }
    if (PSC_UNLIKELY(psc_pool_is_picked(pool))) {
        if (!psc_pool_holds(pool, index)) {
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
    return find_index(home->pool, p, &home->index) && psc_pool_holds(home->pool, home->index);
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
        figures->used = psc_pool_is_secure(pool) ? psc_secure_count_live(pool) : psc_pool_used(pool);
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
    if (home.pool != NULL) {
        return psc_pool_is_secure(home.pool) ? psc_secure_requested(p, home.pool->block_bytes) : home.pool->block_bytes;
    }
    return home.large->secure ? home.large->requested : home.large->bytes;
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

/* A span only within its last page: pages that it leaves would have to be zeroed. */
static bool suits_secure(const struct psc_pool *pool, size_t bytes) {
    size_t all = bytes + PSC_SEAL_BYTES;
    return pool->class_index != PSC_CLASS_SPAN ? psc_block_suits(pool->block_bytes, all)
                                               : psc_round_up(all, PSC_PAGE_BYTES) == pool->block_bytes;
}

static void *resize_secure(const struct psc_pool *pool, void *p, size_t bytes) {
    psc_secure_requested(p, pool->block_bytes);
    return suits_secure(pool, bytes) ? psc_secure_seal(p, pool->block_bytes, bytes) : NULL;
}

void *psc_heap_resize(void *p, size_t bytes) {
    struct home home;
    if (PSC_UNLIKELY(!find_live(p, &home))) {
        psc_misuse_pointer(p, PSC_MISUSE_STALE);
        return NULL;
    }
    struct psc_pool *pool = home.pool;
    if (pool == NULL) {
        size_t least = home.large->secure ? PSC_SMALL_MAX - PSC_SEAL_BYTES : PSC_SPAN_MAX;
        return bytes > least && bytes <= PTRDIFF_MAX ? resize_mapped(home.large, bytes) : NULL;
    }
    if (psc_pool_is_secure(pool)) {
        return bytes <= PSC_SPAN_MAX ? resize_secure(pool, p, bytes) : NULL;
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
    psc_quarantine_flush();
    psc_heap_each_own(psc_heap_lay_down);
    psc_heap_each(collect_idle, NULL);
    bool went = psc_range_release();
    went |= psc_guard_release();
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
