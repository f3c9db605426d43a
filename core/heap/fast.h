/* The fast paths: what most calls of malloc and free execute, and nothing else.
 *
 * Cost, x86-64: an allocation is about 19 instructions with 2 branches; it loads the thread's heap, a byte of the table
 * of classes, the pool. A free is about 38 with 6 branches; it loads an entry of psc_slot_pools, the pool, its word of
 * bits. Whatever is not usual is left to the caller to ask elsewhere, as the last thing done. */
#ifndef PSC_CORE_HEAP_FAST_H
#define PSC_CORE_HEAP_FAST_H

#include "core/heap/heap.h"

/* The calling thread's heap, of group 0; psc_heap_none, whose pools are empty, before it has one and after it has ended.
 */
extern PSC_TLS struct psc_heap *psc_heap_self;
/* The same where nobody watches malloc and free (psc_heap_unwatch), else psc_heap_none: then each call comes to its
 * `otherwise`, and watching costs the others nothing. */
extern PSC_TLS struct psc_heap *psc_heap_open;
extern struct psc_heap psc_heap_none;

/* Where a pool is looked for first, by the slot that the address lies in: the one that was made there last, or in any
 * slot with the same lowest bits. A hint: who finds it not to be the right one asks the radix map. NULL: none yet. */
#define PSC_SLOT_POOLS (1u << 19) /* each 8 GiB apart */
extern struct psc_pool *psc_slot_pools[PSC_SLOT_POOLS];

/* What psc_fast_free leaves over. */
void psc_heap_free_slowly(void *p);

/* The pool's state has to change: settle_in came to 0. For its owner. */
void psc_pool_settle(struct psc_pool *pool);

PSC_INLINE struct psc_pool **psc_slot_pool(const void *p) {
    return &psc_slot_pools[((uintptr_t)p >> PSC_SLOT_SHIFT) & (PSC_SLOT_POOLS - 1)];
}

#define PSC_PICK_WORD 64u /* of the blocks drawn for, a word uses up so many */

/* Takes what was freed of the blocks of the current word, unless one of them may have to be picked; returns 0 if there is
 * nothing to take. A forked child relies on the order of the stores. */
PSC_INLINE uint64_t psc_pool_take_word(struct psc_pool *pool) {
    uint64_t bits = PSC_LOAD(pool->word);
    if (bits == 0 || PSC_UNLIKELY(pool->pick_in < PSC_PICK_WORD)) {
        return 0;
    }
    pool->pick_in = (uint16_t)(pool->pick_in - PSC_PICK_WORD);
    PSC_STORE_RELEASE(&pool->at_hand, bits);
    PSC_STORE_RELEASE(pool->word, 0);
    return bits;
}

/* False: nothing was done, ask otherwise. */
PSC_INLINE bool psc_fast_alloc_class(struct psc_heap *heap, uint32_t class_index, void **p) {
    struct psc_pool *pool = heap->current[class_index];
    uint64_t bits = pool->at_hand;
    if (PSC_UNLIKELY(bits == 0) && (bits = psc_pool_take_word(pool)) == 0) {
        return false;
    }
    PSC_STORE(&pool->at_hand, bits & (bits - 1));
    *p = pool->word_base + (uint64_t)((uint32_t)__builtin_ctzll(bits) * pool->block_bytes);
    return true;
}

PSC_INLINE bool psc_fast_alloc(struct psc_heap *heap, size_t bytes, void **p) {
    return PSC_LIKELY(bytes <= PSC_SMALL_MAX) && psc_fast_alloc_class(heap, psc_class_of(bytes), p);
}

/* The block that begins at `offset` from the pool's base is `*index`, if one begins there.
 * offset = q * block_bytes + r; with reciprocal = ceil(2^32 / block_bytes), offsets below 2^17 and blocks of at most
 * 2^15 bytes, the upper half of the product is q, and the lower half is below the reciprocal just when r is 0 (D.
 * Lemire, O. Kaser, N. Kurz, "Faster remainder by direct computation", 2019). Spans are larger: only index 0 is true. */
PSC_INLINE bool psc_pool_divide(const struct psc_pool *pool, uint64_t offset, uint64_t *index) {
    uint32_t reciprocal = pool->reciprocal;
    uint64_t product = (uint64_t)(uint32_t)offset * reciprocal;
    *index = product >> 32;
    return (uint32_t)product < reciprocal;
}

/* What was taken out of that word and is not handed out yet. */
PSC_INLINE uint64_t psc_pool_at_hand(const struct psc_pool *pool, const uint64_t *word) {
    return PSC_LOAD(&pool->word) == word ? PSC_LOAD(&pool->at_hand) : 0;
}

PSC_INLINE void psc_pool_count_free(struct psc_pool *pool) {
    PSC_OWN_STEP(&pool->settle_in, -1);
    if (PSC_UNLIKELY(pool->settle_in == 0)) {
        psc_pool_settle(pool);
    }
}

/* A pool's descriptor stands in its arena's, by its first slot, and so does its note. */
PSC_INLINE struct psc_arena *psc_pool_arena(struct psc_pool *pool) {
    char *arena = (char *)(pool - pool->order % PSC_SLOTS) - offsetof(struct psc_arena, pools);
    return (struct psc_arena *)(void *)arena;
}

PSC_INLINE struct psc_note *psc_pool_note(struct psc_pool *pool) {
    return &psc_pool_arena(pool)->notes[pool->order % PSC_SLOTS];
}

/* A live block of a heap's own pool: where its bit is in `free`. */
struct psc_place {
    struct psc_pool *pool;
    uint64_t index;
    uint64_t *word;
    uint64_t bits; /* of *word */
    uint64_t bit;
};

/* The heap's own pool that p, any value, points into or beside. NULL: not found at once, or it has to be looked at with more
 * care. */
PSC_INLINE struct psc_pool *psc_fast_pool(struct psc_heap *heap, const void *p) {
    struct psc_pool *pool = PSC_LOAD(psc_slot_pool(p));
    return PSC_LIKELY(pool != NULL && PSC_LOAD(&pool->owner) == (uintptr_t)heap) ? pool : NULL;
}

/* p may be any value. False: no live block of that heap begins there, or it has to be looked at with more care. */
PSC_INLINE bool psc_fast_find(struct psc_heap *heap, const void *p, struct psc_place *place) {
    struct psc_pool *pool = psc_fast_pool(heap, p);
    if (PSC_UNLIKELY(pool == NULL)) {
        return false;
    }
    uint64_t offset = (uintptr_t)p - (uintptr_t)pool->base;
    uint64_t index;
    if (PSC_UNLIKELY(offset >= pool->carved_bytes || !psc_pool_divide(pool, offset, &index))) {
        return false;
    }
    place->pool = pool;
    place->index = index;
    place->word = &pool->free[index / 64];
    place->bits = *place->word;
    place->bit = (uint64_t)1 << (index % 64);
    return PSC_LIKELY(((place->bits | psc_pool_at_hand(pool, place->word)) & place->bit) == 0);
}

/* For a block that the heap has just handed out. False: it has to be looked for otherwise. */
PSC_INLINE bool psc_fast_locate(struct psc_heap *heap, const void *p, struct psc_pool **pool, uint64_t *index) {
    *pool = psc_fast_pool(heap, p);
    if (PSC_UNLIKELY(*pool == NULL)) {
        return false;
    }
    uint64_t offset = (uintptr_t)p - (uintptr_t)(*pool)->base;
    psc_pool_divide(*pool, offset, index);
    return offset < (*pool)->carved_bytes;
}

PSC_INLINE void psc_fast_put(const struct psc_place *place) {
    PSC_STORE(place->word, place->bits | place->bit);
    psc_pool_count_free(place->pool);
}

/* False: nothing was done, ask otherwise. p may be any value. */
PSC_INLINE bool psc_fast_free(struct psc_heap *heap, void *p) {
    struct psc_place place;
    if (PSC_UNLIKELY(!psc_fast_find(heap, p, &place))) {
        return false;
    }
    psc_fast_put(&place);
    return true;
}

/* Whether a block of that size may stay where it is when its user asks for `bytes`. */
PSC_INLINE bool psc_block_suits(uint32_t block_bytes, size_t bytes) {
    return bytes <= block_bytes && (bytes >= block_bytes / 2 || block_bytes == 16);
}

#endif
