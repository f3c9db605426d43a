/* A shadow model of the heap: what a program that allocates knows of its blocks, and what the heap has promised about
 * them. For tests and fuzzers; uses what core/heap/heap.h offers and nothing else.
 *
 * A model has slots for blocks. Each function plays one operation on the heap and compares: alignment, usable size,
 * zeroes where they were asked for, no overlap with another block of the model, no block of another group in the same
 * pool, contents, and the note of the block's pool. What does not hold is told on standard error and ends the process with SIGABRT.
 *
 * A model is used by one thread at a time; several threads with a model each may use the heap at once. */
#ifndef PSC_TESTS_UNIT_SUPPORT_SHADOW_H
#define PSC_TESTS_UNIT_SUPPORT_SHADOW_H

#include "core/heap/heap.h"

struct psc_shadow_block {
    unsigned char *p;     /* NULL: the slot is empty */
    size_t bytes;         /* usable, not only as many as were asked for: the model writes to them all */
    size_t block_bytes;   /* of which the hardened heap keeps some for itself */
    uint64_t pattern;     /* no other block's: word i holds pattern + i */
    const void *base;     /* of its pool */
    uint32_t group;       /* that it was made in; of a large block 0, for it shares nothing */
    struct psc_note note; /* of the pool, or its own, from the block's first moment to its last */
};

struct psc_shadow {
    struct psc_shadow_block *blocks;      /* one per slot */
    struct psc_shadow_block **by_address; /* the first `live` are those that are not empty, in order of address */
    uint32_t slots;
    uint32_t live;
};

/* Takes the heap's hooks, to find notes that are not zero in a new pool. To be called before there are threads. */
void psc_shadow_watch_notes(void);

/* The heap is the hardened one from now on, in which exactly what was asked for is usable. */
void psc_shadow_harden(void);

void psc_shadow_init(struct psc_shadow *shadow, uint32_t slots);
/* The blocks stay: see psc_shadow_free_all(). */
void psc_shadow_release(struct psc_shadow *shadow);

PSC_INLINE bool psc_shadow_has(const struct psc_shadow *shadow, uint32_t slot) {
    return shadow->blocks[slot].p != NULL;
}

/* Into an empty slot. A heap without memory is a failure too: sizes are to be such as a machine can serve. */
void psc_shadow_alloc(struct psc_shadow *shadow, uint32_t slot, size_t bytes);
void psc_shadow_alloc_zeroed(struct psc_shadow *shadow, uint32_t slot, size_t bytes);
void psc_shadow_alloc_aligned(struct psc_shadow *shadow, uint32_t slot, size_t alignment, size_t bytes);
void psc_shadow_alloc_in(struct psc_shadow *shadow, uint32_t slot, uint32_t group, size_t alignment, size_t bytes);

/* The others: of a slot with a block. */

/* False: the heap would have it copied, and the block is as it was. */
bool psc_shadow_resize(struct psc_shadow *shadow, uint32_t slot, size_t bytes);
/* As realloc() is made of the heap's functions: resizes, or else copies within the group and frees. */
void psc_shadow_realloc(struct psc_shadow *shadow, uint32_t slot, size_t bytes);
void psc_shadow_look(const struct psc_shadow *shadow, uint32_t slot);
void psc_shadow_free(struct psc_shadow *shadow, uint32_t slot);
void psc_shadow_free_all(struct psc_shadow *shadow);

/* Takes a block out of the model without freeing it, for another model to adopt into an empty slot. */
struct psc_shadow_block psc_shadow_hand_over(struct psc_shadow *shadow, uint32_t slot);
void psc_shadow_adopt(struct psc_shadow *shadow, uint32_t slot, const struct psc_shadow_block *block);

/* No thread is using the heap, and the model has all blocks that are alive: compares how many the heap thinks there
 * are, and tests the heap's invariants. */
void psc_shadow_check_heap(const struct psc_shadow *shadow);

#endif
