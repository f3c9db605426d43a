/* The allocator. Has never heard of a tracker: it offers notes (16 bytes per pool and large block) and hooks.
 *
 * All functions may be called by any thread, at any time from the first instruction of the process to its last, also
 * where libc is not set up yet or is going down; none from a signal handler that interrupted one of them. Sizes are
 * bytes. Returned blocks are aligned to 16 bytes at least. Failure of an allocation is NULL and errno ENOMEM; errno is
 * untouched otherwise. A pointer that is not the start of a live block of ours ends the process with a fixed sentence
 * and SIGABRT, or is ignored: core/heap/misuse.h. */
#ifndef PSC_CORE_HEAP_HEAP_H
#define PSC_CORE_HEAP_HEAP_H

#include "core/heap/types.h"

struct psc_block;

/* Called on slow paths only. Each may be NULL. */
struct psc_heap_hooks {
    /* The calling thread got a heap: see to it that psc_heap_thread_end() is called when it ends. */
    void (*thread_began)(void);
    /* All blocks of the pool (large block) are free, its memory is about to go back. This and the next are for pools
     * alone whose note somebody asked for (psc_heap_block). */
    void (*pool_retired)(struct psc_note *note);
    void (*pool_carved)(struct psc_note *note, uint32_t carved, uint32_t stale_pages);
    /* Slots changed; called under the heap's lock of arenas: must not call the heap. */
    void (*arena_changed)(const struct psc_arena *arena);
    /* Of the pages that large blocks left behind, so many bytes are kept for the next ones. Called under a lock of the
     * heap. */
    void (*ranges_changed)(uint64_t bytes);
    /* The kernel gives no address space. Returns whether some has been given up by somebody else. Called under locks of the
     * heap: must not call the heap. */
    bool (*space_wanted)(void);
    /* This block of a pool in which blocks were picked, or this large block, is about to be freed (class_index: as in
     * psc_block). Returns whether it, or the pool, still has picked blocks after that, as far as one can tell. Called
     * without locks. */
    bool (*picked_freed)(struct psc_note *note, uint32_t index, uint32_t class_index, size_t block_bytes);
    /* The heap was misused, with a pointer to what is or was a block at `start`, or for all that is known may have been;
     * `block`, if that is not NULL. `telling`: it was said on stderr. The heap's locks may be held. */
    void (*misused)(const struct psc_block *block, const void *start, bool telling);
};

/* The hooks must stay valid for the life of the process. Pools made before are not reported. */
void psc_heap_set_hooks(const struct psc_heap_hooks *hooks);
/* Nobody watches malloc and free any more: psc_heap_open (core/heap/fast.h) is the heap of a thread that comes to life
 * after this, and of the calling one. */
void psc_heap_unwatch(void);
/* From now on blocks are picked at random, by their size: one every `mean_bytes` of block bytes on average; see
 * core/heap/pick.h. Before the process has a second thread. */
void psc_heap_pick(uint64_t mean_bytes, uint64_t seed);
/* Whether p is the block that this thread was given last of those that are picked. Once for each. */
bool psc_heap_take_picked(const void *p);
/* From now on blocks are those of the hardened heap (core/heap/secure.h). `secret`: what nobody else can know.
 * `mappings_most`: so many of the process's mappings may be used for guards. Once, before the process has a second
 * thread; blocks made before stay what they are. */
void psc_heap_secure(const uint64_t secret[2], uint64_t mappings_most);
/* How long free pages stay, in milliseconds; 0: they go back at once. */
void psc_heap_set_purge(uint32_t milliseconds);

void *psc_heap_alloc(size_t bytes);
void *psc_heap_alloc_zeroed(size_t bytes);
/* `alignment`: a power of two. */
void *psc_heap_alloc_aligned(size_t alignment, size_t bytes);
/* The same, in pools that hold blocks of this group alone: 1 to PSC_HEAP_GROUPS - 1; 0 is that of the functions above.
 * Large blocks have pages of their own in any case. Such blocks are never picked (psc_heap_pick). */
void *psc_heap_alloc_in(uint32_t group, size_t alignment, size_t bytes);
/* p may be NULL. */
void psc_heap_free(void *p);
/* Gives the block a size of `bytes` without copying: where it is, or (large blocks) by moving pages. Returns its
 * address, or NULL when it must be copied: the block is then unchanged. errno is untouched. NULL too for misuse that is
 * ignored. */
void *psc_heap_resize(void *p, size_t bytes);

/* What is known of a live block. */
struct psc_block {
    struct psc_note *note; /* of its pool, or its own */
    void *base;            /* of the pool, or its own */
    size_t bytes;          /* of the block: usable, but for what the hardened heap keeps for itself */
    uint32_t index;        /* in the pool; 0 if large */
    uint32_t class_index;  /* PSC_CLASS_COUNT for a span and a large block */
    uint32_t capacity;     /* of the pool; 1 if large */
};

/* How it stands with the pool of a block, or with a large block. */
struct psc_pool_figures {
    uint32_t carved;
    uint32_t used; /* blocks that are not free, as its owner sees it; of the hardened heap, what the program has */
    uint32_t stale_pages; /* beyond the carved blocks */
};

/* False: p, any value, is not the start of a live block. That is no misuse yet. */
bool psc_heap_block(const void *p, struct psc_block *block);
/* p: the start of a live block. */
void psc_heap_pool_state(const void *p, struct psc_pool_figures *figures);
/* Of a block of the hardened heap: what was asked for, no byte more. 0: that may have been 0, or it is misuse that is ignored. */
size_t psc_heap_usable(const void *p);
/* Whether p, any value, points into a pool's memory or to a large block. */
bool psc_heap_owns(const void *p);

/* The calling thread ends: its heap becomes idle. What it allocates afterwards comes from an idle heap, under a lock.
 */
void psc_heap_thread_end(void);

/* Gives back all pages that can go. True if any went. */
bool psc_heap_trim(void);

void psc_heap_fork_prepare(void);
void psc_heap_fork_parent(void);
void psc_heap_fork_child(void);

/* ---- figures --------------------------------------------------------------------------------------------------- */

struct psc_class_figures {
    uint32_t pools;
    uint32_t live_blocks;
    uint32_t capacity_blocks;
    uint64_t committed_bytes;
};

#define PSC_OCCUPANCY_STEPS 11 /* 0: empty; k: occupancy in ((k-1)/10, k/10] */

/* Memory that is really there: pages that were never touched, or are swapped out, are not. */
struct psc_heap_residency {
    uint64_t heap_bytes; /* of arenas and large blocks; pages that large blocks left behind are taken for resident */
    uint64_t metadata_bytes; /* of the heap's tables */
};

/* A piece of the heap's arenas. */
struct psc_heap_cell {
    uint32_t live_bytes;      /* of blocks; a pool's are spread evenly over its slots */
    uint32_t committed_bytes; /* of pools */
    uint32_t cached_slots;    /* free ones, with pages that have not gone back */
};

/* The arenas in `count` cells of `slots` slots each, from the first slot of the first arena on, in the order of arenas'
 * indices. */
struct psc_heap_map {
    struct psc_heap_cell *cells; /* the caller's, zeroed */
    uint32_t count;
    uint32_t slots;
};

struct psc_heap_figures {
    struct psc_class_figures classes[PSC_CLASS_COUNT];
    uint32_t occupancy[PSC_OCCUPANCY_STEPS]; /* pools by occupancy */
    uint64_t live_blocks;
    uint64_t live_block_bytes;
    uint64_t pinned_bytes; /* committed bytes of pools with live blocks, less these blocks */
    uint64_t empty_bytes;  /* committed bytes of pools without */
    uint64_t cached_bytes; /* pages of free slots, and of large blocks that are no more, that have not gone back */
    uint64_t
        stale_bytes;     /* of pools and spans beyond their blocks, from earlier ones; part of pinned and empty bytes */
    uint64_t tail_bytes; /* part of pinned bytes: behind the last carved block, stale pages among them */
    uint64_t large_blocks; /* spans among them */
    uint64_t large_bytes;  /* mapped, or of a span's pages */
    uint64_t arenas;
    uint64_t metadata_bytes;
};

/* Walks all pools without a lock: while other threads run, figures of single pools are of slightly different moments.
 * Draws them into `map` unless that is NULL. */
void psc_heap_measure(struct psc_heap_figures *figures, const struct psc_heap_map *map);
/* Asks the kernel: some 10 ns for each page of the heap. */
void psc_heap_measure_resident(struct psc_heap_residency *residency);
uint32_t psc_heap_arena_count(void);
/* Calls for each span and each large block, without a lock. */
void psc_heap_each_large(void (*visit)(struct psc_note *note, size_t bytes));
/* Calls for each pool whose note was asked for, with its live blocks; without a lock. */
void psc_heap_each_noted(void (*visit)(struct psc_note *note, uint32_t live_blocks));
/* Calls for each arena, without a lock. */
void psc_heap_each_arena(void (*visit)(const struct psc_arena *arena));

/* Tests the invariants of core/heap/types.h over all pools. No other thread may use the heap meanwhile. NULL, or the
 * sentence of the first that does not hold. */
const char *psc_heap_check(void);

#endif
