/* Where freed blocks of the hardened heap wait before their memory is used again: one for each thread, for what it frees.
 *
 * A block changes places with one of PSC_SHUFFLED others at random, and the one that it drove out goes to the end of a
 * queue. From the queue's beginning blocks go back to their pools when it is full, or all of them measure too much. The
 * blocks themselves hold nothing of this. */
#ifndef PSC_CORE_HEAP_QUARANTINE_H
#define PSC_CORE_HEAP_QUARANTINE_H

#include "core/heap/internal.h"

#define PSC_QUEUED_MOST 1024u /* blocks */
#define PSC_SHUFFLED 64u      /* blocks */
#define PSC_QUARANTINE_BYTES_MOST ((uint64_t)4 << 20)

struct psc_quarantine {
    char *shuffled[PSC_SHUFFLED]; /* NULL: none */
    char *queue[PSC_QUEUED_MOST]; /* a ring */
    uint32_t first;               /* the oldest */
    uint32_t queued;
    uint64_t bytes; /* of all blocks */
};

/* The block of a secure pool is not live any more and reads as zero. A thread without a heap has no quarantine: its
 * blocks go back at once. */
void psc_quarantine_put(struct psc_pool *pool, char *p);
/* All blocks of the calling thread's go back. True if there were any. */
bool psc_quarantine_flush(void);
/* Forgets them, wherever they may be now. For a forked child. */
void psc_quarantine_empty(struct psc_heap *heap);
/* How many blocks there are, and what they measure. */
uint32_t psc_quarantine_count(const struct psc_quarantine *quarantine, uint64_t *bytes);

#endif
