/* The fast paths: what most calls of malloc and free execute, and nothing else.
 *
 * Cost, x86-64: an allocation is about 20 instructions with 2 branches, a load each of the thread's heap, its bin's
 * pool, the pool's cursor and a word of bits; a free about 45 with 7 branches, through two levels of the radix map to
 * arena and pool. Whatever is not usual goes to one of the functions below, as the last thing done. */
#ifndef PSC_CORE_HEAP_FAST_H
#define PSC_CORE_HEAP_FAST_H

#include "core/heap/heap.h"
#include "core/heap/radix.h"

/* The calling thread's heap; psc_heap_none, whose bins are empty, before it has one and after it has ended. */
extern PSC_TLS struct psc_heap *psc_heap_self;
extern struct psc_heap psc_heap_none;

void *psc_heap_alloc_slowly(uint32_t class_index);
void *psc_heap_alloc_large(size_t alignment, size_t bytes, bool zeroed);
/* p is not in an arena. */
void psc_heap_free_elsewhere(void *p);
/* The pool is not this thread's, or blocks of it were handed back, or no live block begins at p. */
void psc_heap_free_with_care(struct psc_pool *pool, uint32_t index, const void *p);
/* The pool's state has to change with this free. */
void psc_bin_settle(struct psc_heap *heap, struct psc_pool *pool);

/* bits: free blocks of that word, at least one. */
PSC_INLINE void *psc_pool_take_lowest(struct psc_pool *pool, uint32_t word, uint64_t bits) {
    PSC_STORE(&pool->free[word], bits & (bits - 1));
    PSC_OWN_STEP(&pool->used, 1);
    uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(bits);
    return pool->base + (size_t)index * pool->block_bytes;
}

PSC_INLINE void *psc_fast_alloc_class(uint32_t class_index) {
    struct psc_pool *pool = psc_heap_self->bins[class_index].current;
    uint32_t word = pool->cursor;
    uint64_t bits = pool->free[word];
    if (PSC_UNLIKELY(bits == 0)) {
        return psc_heap_alloc_slowly(class_index);
    }
    return psc_pool_take_lowest(pool, word, bits);
}

PSC_INLINE void *psc_fast_alloc(size_t bytes) {
    if (PSC_UNLIKELY(bytes > PSC_SMALL_MAX)) {
        return psc_heap_alloc_large(1, bytes, false);
    }
    return psc_fast_alloc_class(psc_class_of(bytes));
}

PSC_INLINE struct psc_pool *psc_pool_of(const struct psc_arena *arena, const void *p) {
    return PSC_LOAD(&arena->pool_of[((uintptr_t)p >> PSC_SLOT_SHIFT) & (PSC_SLOTS - 1)]);
}

#define PSC_NO_BLOCK UINT32_MAX

/* p lies in the pool's slots. PSC_NO_BLOCK unless a block that was ever handed out begins there.
 * offset = q * block_bytes + r; with reciprocal = ceil(2^32 / block_bytes), offsets below 2^17 and blocks of at most
 * 2^15 bytes, the upper half of the product is q, and the lower half is below the reciprocal just when r is 0 (D.
 * Lemire, O. Kaser, N. Kurz, "Faster remainder by direct computation", 2019). A span has one block: at offset 0. */
PSC_INLINE uint32_t psc_pool_index(const struct psc_pool *pool, const void *p) {
    uint32_t offset = (uint32_t)((const char *)p - pool->base);
    uint64_t product = (uint64_t)offset * pool->reciprocal;
    uint32_t index = (uint32_t)(product >> 32);
    return PSC_LIKELY((uint32_t)product < pool->reciprocal && index < PSC_LOAD(&pool->carved)) ? index : PSC_NO_BLOCK;
}

PSC_INLINE bool psc_pool_is_free(const struct psc_pool *pool, uint32_t index) {
    return (pool->free[index / 64 % PSC_POOL_WORDS] >> (index % 64) & 1) != 0;
}

/* The block is not free. */
PSC_INLINE void psc_pool_put(struct psc_pool *pool, uint32_t index) {
    uint32_t word = index / 64;
    PSC_STORE(&pool->free[word], pool->free[word] | (uint64_t)1 << (index % 64));
    PSC_OWN_STEP(&pool->used, -1);
    if (word < pool->cursor) {
        pool->cursor = (uint8_t)word;
    }
}

PSC_INLINE void psc_fast_free(void *p) {
    struct psc_arena *arena = psc_radix_arena(p);
    if (PSC_UNLIKELY(arena == NULL)) {
        psc_heap_free_elsewhere(p);
        return;
    }
    struct psc_pool *pool = psc_pool_of(arena, p);
    uint32_t index = psc_pool_index(pool, p);
    bool usual = index != PSC_NO_BLOCK && PSC_LOAD(&pool->owner) == psc_heap_self && PSC_LOAD(&pool->pending) == 0;
    if (PSC_UNLIKELY(!usual || psc_pool_is_free(pool, index))) {
        psc_heap_free_with_care(pool, index, p);
        return;
    }
    psc_pool_put(pool, index);
    if (PSC_UNLIKELY(pool->used == pool->settle_at)) {
        psc_bin_settle(psc_heap_self, pool);
    }
}

#endif
