/* The hardened heap. What it promises, and by which means:
 *
 *   a write behind a block is found when the block is freed or resized, from the first byte on: behind the bytes that were
 *     asked for all is filled up to a seal of 8 bytes at the block's end, which depends on a secret, on the block's
 *     address and on how many bytes were filled; a large block has a guard page at both sides, and its last page filled
 *   a second free is found for certain, by a bit for each block (`live`), whatever the program wrote where
 *   a write to a freed block is found when its memory is handed out again: it was zeroed, and has to be zero still
 *   a freed block waits before its memory is used again (core/heap/quarantine.h); a large one cannot be touched at all
 *   where a block lies in its pool cannot be foretold
 *   nothing of the heap's own stands in blocks, free or not, but for seals
 *
 * The seal is no cryptography: who can read the process's memory can forge it.
 *
 * The byte behind the last one that was asked for is never zero, so that a string's end written there, the commonest
 * mistake of all, is found; the second byte of the seal is zero, so that reading a string without an end stops there. */
#ifndef PSC_CORE_HEAP_SECURE_H
#define PSC_CORE_HEAP_SECURE_H

#include "core/heap/internal.h"

#define PSC_SEAL_BYTES 8u

extern bool psc_secure_on; /* set once */

PSC_INLINE bool psc_pool_is_secure(const struct psc_pool *pool) {
    return (PSC_LOAD_ACQUIRE(&pool->owner) & PSC_SECURE) != 0;
}

PSC_INLINE uint64_t *psc_pool_live(struct psc_pool *pool) {
    uint32_t slot = pool->order % PSC_SLOTS;
    return PSC_LOAD(&psc_pool_arena(pool)->live)[slot];
}

/* All that follows: for secure pools. */

/* The program holds the block. Any thread, racily. */
bool psc_secure_is_live(struct psc_pool *pool, uint32_t index);
uint32_t psc_secure_count_live(struct psc_pool *pool);
/* Gives out a block of the pool, which has a free one; it reads as zero. */
void *psc_secure_take(struct psc_heap *heap, struct psc_pool *pool);
/* The span's block, which may hold anything, is given out: it reads as zero. */
void *psc_secure_take_span(struct psc_pool *span, bool fresh);
/* The program asked for so many bytes of the block. Returns p. */
void *psc_secure_seal(void *p, uint32_t block_bytes, size_t bytes);
/* What was asked for. Refuses a block that was written to behind its end. */
size_t psc_secure_requested(const void *p, uint32_t block_bytes);
/* False: the block is not live, as when another thread frees it at the same time. Else it is not live any more. */
bool psc_secure_claim(struct psc_pool *pool, uint32_t index);
/* A block that was claimed: looks at its end, and zeroes it. */
void psc_secure_wipe(void *p, uint32_t block_bytes);

/* Large blocks: the same for what lies between what was asked for and the last page's end. */
void psc_secure_seal_large(struct psc_large *large, size_t bytes);
void psc_secure_check_large(const struct psc_large *large);

/* The heap was just made. */
void psc_secure_begin_heap(struct psc_heap *heap);
/* In a forked child. `lost`: there were other threads, which may have held blocks on their way from the program to the
 * heap or back. */
void psc_secure_fork_child(bool lost);
/* Before a block is given out or freed: blocks that got lost so are free. */
void psc_secure_find_lost(void);

#endif
