/* The heap's types. Begin here.
 *
 *   arena   4 MiB of address space, aligned to its size, cut into 256 slots of 16 KiB
 *   pool    one or more adjacent slots of an arena, cut into blocks of one size class; owned by one heap
 *   span    a pool of one block of whole pages, up to 1 MiB; owned by nobody. Its class is PSC_CLASS_SPAN
 *   heap    the pools that a thread allocates from: of each class the current one, and those listed for later. `live`:
 *           its thread uses it without a lock. `idle`: no thread has it; whoever holds psc_idle_lock may use it, a new
 *           thread takes it over whole, a thread that needs a pool may take one from it
 *   group   blocks that share pools with each other alone: by number, 0 for all that are in no group. A thread has a heap
 *           for each group that it allocates in, beside the one of group 0
 *   note    16 bytes beside each pool and large block that the heap keeps for whoever composes it and never looks into
 *
 * All descriptors lie out of band, in memory of core/heap/meta.h: neither a stray write of the program nor a
 * conservative scan of its blocks meets them. Which blocks are free is told by bits here, never by links in freed
 * blocks.
 *
 * Who may touch a field:
 *   [fixed]  set when the pool (arena, ...) is made, under psc_arena_lock, constant until it is retired
 *   [owner]  the thread whose heap owns the pool; of an idle heap, the holder of psc_idle_lock. Others may read racily
 *   [any]    any thread, atomically
 *   [arena]  under psc_arena_lock
 *
 * Invariants (psc_heap_check tests them):
 *   free, remote, and at_hand (which belongs to the same blocks as *word) have no bit in common, and none at or above
 *     `carved`
 *   used, the count of blocks that are not free = carved - bits in free and at_hand
 *                                                                         (what was handed back and not merged is used)
 *   carved_bytes = carved * block_bytes
 *   word points into the words of `free`, and word_base to the block of its bit 0
 *   at_hand is 0 unless the pool is current
 *   state is current: it is its heap's current pool of its class.  listed: it is in the heap's tree of its class, and has
 *     a sixteenth of its blocks, or one, free or uncarved.  full: neither, and less than that.  kept: it is on its heap's
 *     list of its class, used == 0, and the heap's kept_slots counts its slots
 *   settle_in counts frees by the owner until the state has to change: listed, it is used; full, what is used too much
 *     to be listed; else it says nothing
 *   the owner is marked PSC_PENDING as long as the pool is on some heap's stack of pools with blocks handed back. A
 *     thread that freed a block may put the pool there late, when the pool has been made anew: so the mark and
 *     next_pending outlive the pool, and whoever finds a pool on its stack that it does not own passes it on
 *   a retired pool: no owner, state none, carved 0
 *   group is that of the owner; idle heaps are taken over, and pools taken from them, within a group
 *   a span: owner psc_heap_of_spans, state none, carved 1 until it is freed, no bits
 *   a pool that is neither current nor kept, no span, and has used == 0 and is not pending does not exist
 *
 * And of the hardened heap (core/heap/secure.h), if that is on:
 *   a heap made since then is `secure`, its pools and the spans are marked PSC_SECURE; heaps made before are idle for good
 *   a secure pool has nothing at hand and pick_in == 0, so that no fast path finds a block in it; nor one to free, since
 *     its owner is marked
 *   live, the blocks that the program holds, has no bit in common with free and remote
 *   blocks that are neither live nor free nor in remote are those in quarantines, each in one once
 *   a block that is not live reads as zero
 */
#ifndef PSC_CORE_HEAP_TYPES_H
#define PSC_CORE_HEAP_TYPES_H

#include "core/base/compiler.h"
#include "core/base/lock.h"
#include "core/heap/churn.h"
#include "core/heap/class.h"

#define PSC_ARENA_SHIFT 22
#define PSC_ARENA_BYTES ((size_t)1 << PSC_ARENA_SHIFT)
#define PSC_SLOTS 256u
#define PSC_POOL_WORDS (PSC_POOL_BLOCKS_MAX / 64)
#define PSC_SLOT_WORDS (PSC_SLOTS / 64)
#define PSC_HEAP_GROUPS 8u /* group 0 among them */

struct psc_heap;
struct psc_quarantine;

struct psc_note {
    uint64_t words[2]; /* zero in a new pool or large block */
};

/* Added to the address of a pool's owner. */
#define PSC_PENDING 1u
#define PSC_PICKED 2u /* blocks of it were picked (core/heap/pick.h): frees have to be looked at */
#define PSC_SECURE 4u /* its blocks are those of the hardened heap: no fast path is to take it for its owner's */
#define PSC_MARKS ((uintptr_t)(PSC_PENDING | PSC_PICKED | PSC_SECURE))
#define PSC_NEVER UINT16_MAX

enum psc_pool_state { PSC_POOL_NONE, PSC_POOL_CURRENT, PSC_POOL_LISTED, PSC_POOL_FULL, PSC_POOL_KEPT };

/* Two cache lines: what malloc and free by the owner touch, and the rest.
 *
 * A malloc takes from at_hand and a free puts into `free`, so that no malloc has to wait until the processor knows which
 * word the free before it wrote to. */
struct psc_pool {
    uintptr_t owner;       /* [owner] the heap's address, 0: none; [any] the marks; see core/heap/pool.c */
    char *base;            /* [fixed] block 0 */
    uint64_t *free;        /* [fixed] bit per block: may be handed out. Points to free_word, or into the arena's bits */
    uint64_t at_hand;      /* [owner] bits taken out of *word, to be handed out next */
    uint64_t *word;        /* [owner] of `free` */
    char *word_base;       /* [owner] block of its bit 0 */
    uint32_t carved_bytes; /* [owner] */
    uint32_t reciprocal;   /* [fixed] ceil(2^32 / block_bytes): offset -> index without a division */
    uint32_t block_bytes;  /* [fixed] */
    uint16_t settle_in;    /* [owner] after so many frees the pool has to change its state */
    uint16_t pick_in;      /* [owner] so many blocks are handed out before the next one is picked, or drawn for */

    uint64_t free_word;        /* [owner] */
    uint64_t remote_word;      /* [any] bit per block: freed by a thread that is not the owner; see psc_pool_remote */
    struct psc_pool *child;    /* [owner] the tree of listed pools, see core/heap/order.h */
    struct psc_pool *sibling;  /* [owner] */
    struct psc_pool *previous; /* [owner] sibling before, or parent of the first child */
    struct psc_pool *next_pending; /* [any] link of the stack, while pending */
    uint32_t order;                /* [fixed] arena index * PSC_SLOTS + first slot: lower ones are used first */
    uint16_t capacity;             /* [fixed] blocks */
    uint16_t carved;      /* [owner] blocks that may be or have been handed out, from the first on; 0: no pool */
    uint16_t stale_pages; /* [owner] beyond the carved blocks, but there: from earlier pools, or ahead of need */
    uint8_t state;        /* [owner] enum psc_pool_state */
    uint8_t class_index;  /* [fixed] */
    uint8_t slots;        /* [fixed] */
    uint8_t noted;        /* [any] somebody was told where its note is */
    uint8_t group;        /* [fixed] */
    uint8_t pick_far; /* [owner] after pick_in blocks none is picked: the next one is further off than it can tell */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct psc_pool) == 128, "a pool's descriptor is two cache lines");

enum psc_heap_state { PSC_HEAP_LIVE, PSC_HEAP_IDLE };

struct psc_heap {
    struct psc_pool *current[PSC_CLASS_COUNT]; /* never NULL: psc_pool_none when there is none */
    struct psc_pool *listed[PSC_CLASS_COUNT];  /* root of the tree of pools with room, the lowest on top */
    struct psc_pool *kept[PSC_CLASS_COUNT];    /* empty pools, by sibling: they go round too fast to be given back */
    struct psc_churn churn;                    /* in slots of pools with used blocks */
    uint32_t kept_slots;                       /* [owner] */
    struct psc_pool *handed_back;              /* [any] stack of pools with blocks that others freed */
    uint32_t state;                            /* under psc_idle_lock, [any] reads */
    uint32_t unsound;                          /* [owner] forked away from its thread: psc_heap_recover() before use */
    uint32_t made;                             /* [owner] pools that it ever took from arenas */
    uint32_t number;                           /* [fixed] of the heap, from 1 */
    uint32_t group;                            /* [fixed] */
    uint64_t random;                           /* [owner] state of what is drawn for it */
    bool secure;                               /* [fixed] */
    uint64_t order;                            /* [owner] state of what decides where blocks lie, if secure */
    struct psc_quarantine *quarantine;         /* [owner] NULL: none yet */
    const void *thread;                        /* under psc_idle_lock: of the thread that has or had it last, its TLS */
    struct psc_heap *next_idle;                /* under psc_idle_lock */
    struct psc_heap *next;                     /* [fixed] all heaps ever made */
};

/* Bits of a pool with more than 64 blocks. */
struct psc_bits {
    uint64_t free[PSC_POOL_WORDS];
    uint64_t remote[PSC_POOL_WORDS];
};

struct psc_arena {
    char *base;     /* [arena] NULL: its address space was needed elsewhere; it gets another when a pool needs room */
    uint32_t index; /* [fixed] */
    bool committed; /* [arena] false: address space only, no slot in use, none cached */
    uint32_t free_slots;              /* [arena] = bits not in pooled */
    uint64_t pooled[PSC_SLOT_WORDS];  /* [arena] slots in use by pools */
    uint64_t heads[PSC_SLOT_WORDS];   /* [arena] first slots of pools */
    uint64_t cached[PSC_SLOT_WORDS];  /* [arena] free slots of which pages are still there */
    uint64_t cached_since_ms;         /* [arena] when the oldest of them was freed */
    uint32_t cached_pages;            /* [arena] = sum of touched over cached slots */
    uint8_t touched[PSC_SLOTS];       /* [arena] pages that are there: of a free slot; of a pool's, when it was made */
    uint64_t (*live)[PSC_POOL_WORDS]; /* [any] bit per block of secure pools, by first slot; NULL: there was none yet */
    struct psc_pool
        *pool_of[PSC_SLOTS]; /* [arena] writes, [any] reads: by slot. Of a free slot: a pool with carved == 0 */
    struct psc_pool pools[PSC_SLOTS]; /* by first slot, as all below */
    struct psc_bits bits[PSC_SLOTS];
    struct psc_note notes[PSC_SLOTS]; /* of pools that are `noted`: the others' are never written to */
};

/* A block with a mapping of its own. */
struct psc_large {
    char *base;   /* [fixed], but for a resize, which only the block's user may call */
    size_t bytes; /* mapped, whole pages */
    struct psc_note note;
    struct psc_large *next; /* under the lock of core/heap/large.c: free descriptors */
    bool secure;            /* [fixed] what follows is for those of the hardened heap */
    size_t requested;       /* bytes that the program asked for */
    size_t front;           /* bytes of the guard that ends where the block begins; 0: it has no guards */
    size_t behind;          /* bytes of the guard that begins where the block ends */
};

#endif
