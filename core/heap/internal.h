/* What the files of core/heap share among themselves. */
#ifndef PSC_CORE_HEAP_INTERNAL_H
#define PSC_CORE_HEAP_INTERNAL_H

#include "core/heap/fast.h"
#include "core/heap/radix.h"

#define PSC_ARENAS_MAX (1u << 17) /* 512 GiB of pools */

extern struct psc_heap_hooks psc_hooks;
extern struct psc_heap psc_heap_of_spans; /* owns all spans; has nothing else */
extern struct psc_pool psc_pool_none;     /* what `current` points to where there is none: has no block, ever */

/* ---- arena.c: slots ---- */

/* Held for taking and giving slots, and while a pool's descriptor is made or retired. */
extern struct psc_lock psc_arena_lock;
/* Takes slots for a pool of the class, lowest arena and slot with room first. NULL: no memory. */
struct psc_pool *psc_arena_make_pool(uint32_t class_index, struct psc_heap *owner);
/* The same for a span of `bytes`, at most PSC_SPAN_MAX. *fresh: all of it reads as zero. */
struct psc_pool *psc_arena_make_span(size_t bytes, bool *fresh);
/* Gives a span another size where it is, taking the slots behind it at need. False: unchanged. */
bool psc_arena_resize_span(struct psc_pool *span, size_t bytes);
/* The pool is empty and on no list. */
void psc_arena_retire_pool(struct psc_pool *pool);
/* Gives back the pages of all free slots. True if any went. */
bool psc_arena_purge(void);
/* Gives back the address space of arenas without pools, for when there is no more. True if any went. */
bool psc_arena_release(void);
/* Asks the one who watches the heap for address space: whether there may be some now. */
static inline bool psc_space_given_up(void) {
    return psc_hooks.space_wanted != NULL && psc_hooks.space_wanted();
}
uint32_t psc_arena_count(void);
struct psc_arena *psc_arena_at(uint32_t index);
void psc_arena_set_purge(uint32_t milliseconds);
uint32_t psc_arena_purge_ms(void);
/* From now on arenas lie apart from each other, with address space between that nobody can touch; and free slots of those
 * that are there read as zero. */
void psc_arena_part(void);
#define PSC_WINDOWS 4u /* of the time that pages wait: how often we look for those that waited long enough */

/* The pool of the arena that p points into, whatever becomes of it meanwhile. */
PSC_INLINE struct psc_pool *psc_arena_pool_at(const struct psc_arena *arena, const void *p) {
    return PSC_LOAD(&arena->pool_of[((uintptr_t)p >> PSC_SLOT_SHIFT) & (PSC_SLOTS - 1)]);
}

/* Calls `visit` for each pool of each arena. */
void psc_arena_each_pool(void (*visit)(struct psc_pool *pool, void *context), void *context);

/* ---- pool.c: bits; all for the pool's owner, but psc_pool_push and psc_pool_hand_back ---- */

PSC_INLINE uint32_t psc_pool_words(const struct psc_pool *pool) {
    return (PSC_LOAD(&pool->capacity) + 63u) / 64;
}

PSC_INLINE uint64_t *psc_pool_remote(struct psc_pool *pool) {
    uint64_t *free = PSC_LOAD(&pool->free);
    return free == &pool->free_word ? &pool->remote_word : free + PSC_POOL_WORDS;
}

/* A pool with more used blocks counts as full: to take it up for the sake of a few would cost more than they save. */
PSC_INLINE uint32_t psc_pool_full_above(const struct psc_pool *pool) {
    uint32_t capacity = PSC_LOAD(&pool->capacity), spare = capacity / 16u;
    return capacity - (spare > 0 ? spare : 1);
}

/* Bytes from its first slot's beginning to block 0. */
PSC_INLINE uint32_t psc_pool_colour(const struct psc_pool *pool) {
    return (uint32_t)((uintptr_t)PSC_LOAD(&pool->base) & (PSC_SLOT_BYTES - 1));
}

PSC_INLINE struct psc_heap *psc_pool_owner(const struct psc_pool *pool) {
    return (struct psc_heap *)(PSC_LOAD_ACQUIRE(&pool->owner) & ~PSC_MARKS);
}

bool psc_pool_is_pending(const struct psc_pool *pool);
/* Leaves PSC_PENDING as it is, and PSC_PICKED unless there is no owner any more. */
void psc_pool_set_owner(struct psc_pool *pool, const struct psc_heap *heap);
/* Blocks that are not free: by its bits, or by what its state tells. Any thread, racily. */
uint32_t psc_pool_count_used(const struct psc_pool *pool);
uint32_t psc_pool_used(const struct psc_pool *pool);
/* Makes more blocks of the pool available: up to the end of the pages that are there, or of `ahead` next ones. False:
 * all are carved. */
bool psc_pool_carve(struct psc_pool *pool, uint32_t ahead);
/* Of a pool with nothing at hand: makes the first word with a free block the one to take from. False: none. */
bool psc_pool_seek(struct psc_pool *pool);
/* Puts what is at hand back. */
void psc_pool_lay_down(struct psc_pool *pool);
/* Whether the block is free, and not only handed back. Any thread, racily. */
bool psc_pool_has_free(const struct psc_pool *pool, uint32_t index);
/* Whether the program holds the block: it was given out, and neither freed nor handed back since. Any thread, racily. */
bool psc_pool_holds(struct psc_pool *pool, uint32_t index);
/* The block is not free. */
void psc_pool_put(struct psc_pool *pool, uint32_t index);
/* Takes blocks that other threads freed into `free`; returns how many. The pool has to be settled afterwards. One that was
 * free already is misuse. */
uint32_t psc_pool_merge(struct psc_pool *pool);
/* Frees a block of a pool that another heap owns. Any thread. False: it is free already. */
bool psc_pool_hand_back(struct psc_pool *pool, uint32_t index);
/* Puts a pool with blocks in `remote` on its owner's stack, unless it is on one. Any thread. Returns the owner if that
 * is idle, so that nobody else may come to look at its stack: the caller has to collect. Else NULL. */
struct psc_heap *psc_pool_push(struct psc_pool *pool);
/* The pool was taken off a stack: it is not pending any more. Returns its owner. */
struct psc_heap *psc_pool_pop(struct psc_pool *pool);
/* The block of a pool, whosever that is, is free from now on. */
void psc_pool_give_back(struct psc_pool *pool, uint32_t index);
uint64_t psc_pool_committed(const struct psc_pool *pool);
/* Pages of its slot-th slot that its carved blocks reach into. */
uint32_t psc_pool_pages_in_slot(const struct psc_pool *pool, uint32_t slot);
/* Counts its stale pages anew, for what is carved now. */
void psc_pool_count_stale(struct psc_pool *pool);

/* ---- pools.c: pools of a heap; for the heap's owner ---- */

/* A heap that has made that many pools, of 2 MiB at least, gets pages ahead of need. */
#define PSC_MADE_TO_LOOK_AHEAD 128u

/* Makes the current pool of the class one with a free block. False: no memory. */
bool psc_heap_refill(struct psc_heap *heap, uint32_t class_index);
/* psc_pool_settle, declared in core/heap/fast.h, puts a pool where its state belongs after blocks of it were freed; it
 * may retire it. */
/* Takes in the blocks that other threads handed back; those of pools that another heap got meanwhile are passed on. */
void psc_heap_collect(struct psc_heap *heap);
/* No class has a current pool any more: all pools with room are listed, empty ones retired. */
void psc_heap_lay_down(struct psc_heap *heap);
/* The lowest listed pool of the class, listed no more. NULL: none. */
struct psc_pool *psc_heap_take_listed(struct psc_heap *heap, uint32_t class_index);
/* Retires the empty pools that the heap keeps. True if there were any. */
bool psc_heap_drop_kept(struct psc_heap *heap);
/* Sorts the pools of a heap anew whose thread was somewhere inside when the process forked. */
void psc_heap_recover(struct psc_heap *heap);

/* ---- thread.c: heaps and threads ---- */

extern bool psc_heapless_frees;       /* a thread without a heap has handed blocks back; any thread, atomic */
extern struct psc_lock psc_idle_lock; /* taken before psc_arena_lock */
/* The calling thread's heap of the group, found or made. psc_heap_none: it has none any more (or there is no memory):
 * use psc_idle_take(). */
struct psc_heap *psc_heap_of_group(uint32_t group);
/* The calling thread goes on without its heap of group 0, which nobody uses any more: blocks go back to it, no more. */
void psc_heap_leave(void);
/* Whether the heap is the calling thread's, of any group. */
bool psc_heap_is_own(const struct psc_heap *heap);
/* Calls for each heap of the calling thread. */
void psc_heap_each_own(void (*visit)(struct psc_heap *heap));
/* An idle heap of the group, with psc_idle_lock held on return, for psc_idle_drop(). NULL: no memory, no lock held. */
struct psc_heap *psc_idle_take(uint32_t group);
void psc_idle_drop(struct psc_heap *heap);
/* A pool of the class with a free or uncarved block, taken from an idle heap of the group and given to `heap`. NULL:
 * none. */
struct psc_pool *psc_idle_steal(struct psc_heap *heap, uint32_t class_index);
/* Collects for a heap that nobody uses. */
void psc_idle_collect(struct psc_heap *heap);
/* In a forked child: heaps of the threads that it does not have turn idle. */
void psc_idle_fork_child(void);
/* Calls for each heap ever made. */
void psc_heap_each(void (*visit)(struct psc_heap *heap, void *context), void *context);

/* ---- large.c ---- */

void *psc_large_alloc(size_t alignment, size_t bytes, bool zeroed);
/* Its address leads to it no more: psc_radix_drop_large. */
void psc_large_free(struct psc_large *large);
/* Whether a large block that is gone began at p: of the last ones it is known. */
bool psc_large_was(const void *p);
void *psc_large_resize(struct psc_large *large, size_t bytes);
/* Those of the hardened heap: between guards, as long as there may be more of them, or else, if it is `unguarded`, without.
 * All of it reads as zero. */
void *psc_large_alloc_secure(size_t alignment, size_t bytes, bool unguarded);
void psc_large_measure(uint64_t *blocks, uint64_t *bytes);
/* Calls for each large block, without a lock: one that is just made, resized or freed may have base and bytes of
 * different moments. */
void psc_large_each(void (*visit)(struct psc_large *large, char *base, size_t bytes, void *context), void *context);
void psc_large_fork_prepare(void);
void psc_large_fork_parent(void);
void psc_large_fork_child(void);

#endif
