/* Picking blocks at random: so that on average a block is picked every so many bytes that are allocated, each byte with
 * the same chance. Blocks that are picked lie where they would have lain otherwise.
 *
 * Of a pool's blocks each one is picked with the same chance, whatever became of the others; so what is drawn is how
 * many are handed out before the next pick (pool->pick_in). What was left of a draw says nothing about the future: where
 * it is of no use, it is thrown away and drawn anew. The fast path takes whole words of free blocks as long as the draw
 * covers them. */
#ifndef PSC_CORE_HEAP_PICK_H
#define PSC_CORE_HEAP_PICK_H

#include "core/heap/fast.h"

/* 0: none are picked. Set once. */
extern uint64_t psc_pick_mean;

/* Draws how many blocks of the pool, a current one, are handed out before the next pick. */
void psc_pick_draw(struct psc_heap *heap, struct psc_pool *pool);
/* Gives out a block of the pool, whose word has one: the one to pick, if its turn has come. */
void *psc_pick_take(struct psc_heap *heap, struct psc_pool *pool);
/* p is a block of a pool of the hardened heap that is about to be given out: drawn for alone. */
void psc_pick_one(struct psc_heap *heap, struct psc_pool *pool, const void *p);
/* p is a large block that was just made. Returns p. */
void *psc_pick_large(void *p, size_t bytes);
/* The block of a pool with picked ones, or the large block, is about to be freed. */
void psc_pick_freed(struct psc_pool *pool, uint32_t index);
void psc_pick_large_freed(struct psc_note *note, size_t bytes);
/* The heap was just made. */
void psc_pick_seed(struct psc_heap *heap);
/* In a forked child, which is not to draw what its parent draws. */
void psc_pick_fork_child(void);

PSC_INLINE bool psc_pool_is_picked(const struct psc_pool *pool) {
    return (PSC_LOAD(&pool->owner) & PSC_PICKED) != 0;
}

#endif
