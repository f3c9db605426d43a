/* The heap's types. Begin here.
 *
 *   arena   4 MiB of address space, aligned to its size, cut into 256 slots of 16 KiB
 *   pool    one or more adjacent slots of an arena, cut into blocks of one size class; owned by one heap
 *   span    a pool of one block of whole pages, up to 1 MiB; owned by nobody. Its class is PSC_CLASS_SPAN
 *   bin     the pools of one size class that a heap may allocate from
 *   heap    the bins of a thread. `live`: its thread uses it without a lock. `idle`: no thread has it; whoever holds
 *           psc_idle_lock may use it, a new thread takes it over whole, a thread that needs a pool may take one from it
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
 *   free and remote have no bit in common, and none at or above `carved`
 *   used = carved - bits in free                         (blocks handed back but not merged count as used)
 *   no word of `free` below `cursor` has a bit
 *   state is current: the bin points to it.  listed: it is in the bin's tree, and has a free or uncarved block.
 *   full: neither, used == capacity
 *   settle_at is 0 if listed, capacity - 1 if full, PSC_NEVER if current
 *   pending != 0 as long as the pool is on some heap's stack of pools with blocks handed back. A thread that freed a
 *     block may put the pool there late, when the pool has been made anew: so pending and next_pending outlive the
 *     pool, and whoever finds a pool on its stack that it does not own passes it on
 *   a retired pool: owner NULL, state none, carved 0
 *   a span: owner psc_heap_of_spans, state none, carved 1 until it is freed, used 1, no bits
 *   a pool that is not current, no span, and has used == 0 and pending == 0 does not exist: it was retired
 */
#ifndef PSC_CORE_HEAP_TYPES_H
#define PSC_CORE_HEAP_TYPES_H

#include "core/base/compiler.h"
#include "core/base/lock.h"
#include "core/heap/class.h"

#define PSC_ARENA_SHIFT 22
#define PSC_ARENA_BYTES ((size_t)1 << PSC_ARENA_SHIFT)
#define PSC_SLOTS 256u
#define PSC_POOL_WORDS (PSC_POOL_BLOCKS_MAX / 64)
#define PSC_SLOT_WORDS (PSC_SLOTS / 64)

struct psc_heap;

struct psc_note {
    uint64_t words[2]; /* zero in a new pool or large block */
};

#define PSC_NEVER UINT16_MAX

enum psc_pool_state { PSC_POOL_NONE, PSC_POOL_CURRENT, PSC_POOL_LISTED, PSC_POOL_FULL };

struct psc_pool {
    struct psc_heap *owner; /* [owner] writes, [any] reads; changes when an idle heap's pool is taken */
    char *base;             /* [fixed] block 0 */
    uint32_t block_bytes;   /* [fixed] */
    uint32_t reciprocal;    /* [fixed] ceil(2^32 / block_bytes): offset -> index without a division */
    uint32_t pending;       /* [any] */
    uint16_t capacity;      /* [fixed] blocks */
    uint16_t carved;    /* [owner] blocks ever handed out; 0 while the slot holds no pool. Pages beyond are untouched */
    uint16_t used;      /* [owner] */
    uint16_t settle_at; /* [owner] when a free makes `used` this, the pool has to change its state */
    uint8_t cursor;     /* [owner] */
    uint8_t state;      /* [owner] enum psc_pool_state */
    uint8_t class_index;           /* [fixed] */
    uint8_t slots;                 /* [fixed] */
    uint32_t stale_pages;          /* [owner] beyond the carved blocks, but still there from an earlier pool */
    uint32_t order;                /* [fixed] arena index * PSC_SLOTS + first slot: lower ones are used first */
    struct psc_pool *child;        /* [owner] the bin's tree, see core/heap/order.h */
    struct psc_pool *sibling;      /* [owner] */
    struct psc_pool *previous;     /* [owner] sibling before, or parent of the first child */
    struct psc_pool *next_pending; /* [any] link of the stack, while pending */
    struct psc_note note;
    uint64_t free[PSC_POOL_WORDS];   /* [owner] bit per block: may be handed out */
    uint64_t remote[PSC_POOL_WORDS]; /* [any] bit per block: freed by a thread that is not the owner */
};

struct psc_bin {
    struct psc_pool *current; /* never NULL: psc_pool_none when there is none */
    struct psc_pool *listed;  /* root of the tree of pools with room, the lowest on top */
};

enum psc_heap_state { PSC_HEAP_LIVE, PSC_HEAP_IDLE };

struct psc_heap {
    struct psc_bin bins[PSC_CLASS_COUNT];
    struct psc_pool *handed_back; /* [any] stack of pools with blocks in `remote` */
    uint32_t state;               /* under psc_idle_lock, [any] reads */
    uint32_t unsound;             /* [owner] forked away from its thread: psc_heap_recover() before use */
    struct psc_heap *next_idle;   /* under psc_idle_lock */
    struct psc_heap *next;        /* [fixed] all heaps ever made */
};

struct psc_arena {
    char *base;     /* [arena] NULL: its address space was needed elsewhere; it gets another when a pool needs room */
    uint32_t index; /* [fixed] */
    bool committed; /* [arena] false: address space only, no slot in use, none cached */
    uint32_t free_slots;             /* [arena] = bits not in pooled */
    uint64_t pooled[PSC_SLOT_WORDS]; /* [arena] slots in use by pools */
    uint64_t heads[PSC_SLOT_WORDS];  /* [arena] first slots of pools */
    uint64_t cached[PSC_SLOT_WORDS]; /* [arena] free slots of which pages are still there */
    uint64_t cached_since_ms;        /* [arena] when the oldest of them was freed */
    uint32_t cached_pages;           /* [arena] = sum of touched over cached slots */
    uint8_t touched[PSC_SLOTS];      /* [arena] pages that are there: of a free slot; of a pool's, when it was made */
    struct psc_pool
        *pool_of[PSC_SLOTS]; /* [arena] writes, [any] reads: by slot. Of a free slot: a pool with carved == 0 */
    struct psc_pool pools[PSC_SLOTS]; /* by first slot */
};

/* A block with a mapping of its own. */
struct psc_large {
    char *base;   /* [fixed], but for a resize, which only the block's user may call */
    size_t bytes; /* mapped, whole pages */
    struct psc_note note;
    struct psc_large *next; /* under the lock of core/heap/large.c: free descriptors */
};

#endif
