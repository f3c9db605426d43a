/* The tracker: keeps the books of who allocated what, in the trace (core/wire/trace.h).
 *
 * It knows nothing of the heap beyond the numbers passed in. Whoever composes it with an allocator (preload/) gives
 * each pool a `struct psc_tags` and calls in below on the allocator's slow and fast paths.
 *
 * Every function may be called by any thread, preserves errno, allocates no memory from malloc, prints nothing and
 * never fails to the caller: when recording is impossible it stops (fails open) and the program runs on. None may be
 * called from a signal handler that the host did not allow to call malloc; if one is, the event is counted as dropped
 * rather than recorded. Lock order: the allocator's locks may be held when calling in; the tracker never calls the
 * allocator with its own held, and `describe` is called with none.
 */
#ifndef PSC_CORE_TRACK_TRACK_H
#define PSC_CORE_TRACK_TRACK_H

#include "core/base/compiler.h"
#include "core/track/unwind_arch.h"
#include "core/wire/options.h"
#include "core/wire/trace.h"

struct psc_track_host {
    uint32_t arena_bytes;
    uint32_t slot_bytes;
    uint32_t class_count;
    const uint32_t *class_bytes;
    /* Fills the fields of a snapshot that the allocator knows (block, pinned, tail, empty, cached, large, metadata,
     * committed bytes, live and large blocks, occupancy, classes), and of its map slots and cells. Called without locks; may read racily. */
    void (*describe)(struct psc_wire_snapshot *snapshot, struct psc_wire_map *map);
    /* Fills those that the kernel knows (resident, metadata_resident, large_rounding), and adds the resident pages of
     * the library's own data to tracker_anon_bytes. Called for some snapshots, after `describe`. */
    void (*describe_resident)(struct psc_wire_snapshot *snapshot);
    /* Of a sampled trace: psc_track_count_untagged() is to be called for each pool that has samples. Called before a
     * snapshot, without locks. */
    void (*count_untagged)(void);
    /* Called after a forked child has begun a trace of its own: pass psc_track_arena() for each arena again. */
    void (*reregister)(void);
};

/* The tags of one pool or large block: the memory lies in the trace. They are of use only in the epoch in which they
 * were attached: a forked child begins a new trace and with it a new epoch, and has no tags until it attaches some. The
 * allocator stores this struct for the tracker and does not look into it. */
struct psc_tags {
    uint64_t *tags;
    uint32_t epoch;   /* 0: none attached; stored with release order after `tags` */
    uint32_t samples; /* of a sampled trace: tags that are set; any thread, atomic */
};

/* Begins the trace. Called once, before any other function here, when no second thread can call. Returns false if
 * nothing will be recorded (mode off, or the file cannot be made: said on stderr once). */
bool psc_track_start(const struct psc_options *options, const struct psc_track_host *host);
/* Begins a trace that only says that the program brings its own malloc. */
void psc_track_start_passive(const struct psc_options *options);

/* Where the epoch stands, on a page that fork wipes; NULL while nothing is recorded. The tracker's alone. */
extern const uint32_t *psc_track_word;
/* The slow part of psc_track_epoch. */
uint32_t psc_track_begin_child(void);

/* The epoch to record in, or 0: not recording. Detects a forked child (by a page that fork wipes, so raw clone counts
 * too) and begins its trace. Two loads. Where this thread is inside the tracker already (a signal handler came in
 * between) the epoch is told nevertheless: the functions below notice it, and keep occupancy and counts right. */
PSC_INLINE uint32_t psc_track_epoch(void) {
    const uint32_t *word = PSC_LOAD(&psc_track_word);
    if (word == NULL) {
        return 0;
    }
    uint32_t epoch = PSC_LOAD(word);
    return PSC_LIKELY(epoch != 0) ? epoch : psc_track_begin_child();
}

/* Attaches tags to a pool or large block that has none in this epoch. `untagged`: its live blocks that will not be
 * recorded. Only the pool's owner calls, for one pool one thread at a time. NULL: no room; recording has stopped. */
uint64_t *psc_track_attach(struct psc_tags *tags, uint32_t class_index, uint64_t base, uint64_t block_bytes,
                           uint32_t capacity, uint32_t carved, uint32_t untagged);
/* The pool is gone, all its blocks freed. No effect on tags of another epoch. */
void psc_track_detach(struct psc_tags *tags);
/* Blocks were carved, or pages found that are still there from an earlier pool. */
void psc_track_carved(struct psc_tags *tags, uint32_t carved, uint32_t stale_pages);
/* State of an arena, `index` counts them from 0: bit per slot, used by a pool, or free with pages still there, and the
 * bytes of these pages. */
void psc_track_arena(uint32_t index, uint64_t base, const uint64_t pooled[PSC_ARENA_SLOTS / 64],
                     const uint64_t cached[PSC_ARENA_SLOTS / 64], uint64_t cached_bytes);

/* Of the pages that large blocks left behind, so many bytes have not gone back. */
void psc_track_ranges(uint64_t cached_bytes);

/* Block `index` of the pool was handed out for a request of `requested` bytes. Walks the stack from `start`, captured in a
 * function that has not returned, sets the tag. May take a snapshot. `tags` NULL: counted as dropped. */
void psc_track_alloc_from(const struct psc_unwind_start *start, uint64_t *tags, uint32_t index, uint32_t class_index,
                          size_t requested, size_t block_bytes);
/* The same for a sample, by its weight. */
void psc_track_alloc_sample(const struct psc_unwind_start *start, struct psc_tags *tags, uint32_t index,
                            uint32_t class_index, size_t requested, size_t block_bytes);
/* The same as psc_track_alloc_from: the first frame is that of the function that calls. */
void psc_track_alloc(uint64_t *tags, uint32_t index, uint32_t class_index, size_t requested, size_t block_bytes);
/* The block is about to be freed; called before the allocator may hand it to anyone else. */
void psc_track_free(uint64_t *tags, uint32_t index, uint32_t class_index, size_t block_bytes);
/* The same in a sampled trace, where the block may be no sample. Returns whether the pool still has samples. */
bool psc_track_free_sample(struct psc_tags *tags, uint32_t index, uint32_t class_index, size_t block_bytes);
/* So many blocks of the pool are live. Any thread; the pool may be retired meanwhile. */
void psc_track_count_untagged(struct psc_tags *tags, uint32_t live_blocks);

/* Of an exact trace: whether the option `apart` puts sites into groups. Once psc_track_start has succeeded. */
bool psc_track_has_groups(void);
/* The group of the site that an allocation from `start` will be recorded at: see core/track/apart.h. 0 where that cannot
 * be known. */
uint32_t psc_track_group(const struct psc_unwind_start *start);

/* The allocator was misused: counts it. */
void psc_track_count_misuse(void);
/* Says on stderr which site made the block at `address`, or, if it is free, the last one there, with the site's stack, as
 * far as that is known. `tags` may be NULL: only of large blocks that are gone is it known then. Takes no lock. */
PSC_COLD void psc_track_say_maker(const struct psc_tags *tags, uint32_t index, uint64_t address);

/* Between these two the calling thread resizes the block p, which is an allocation and a free: the event log tells them as
 * one. Either, or both, may be missing. */
void psc_track_resize_begin(const void *p);
void psc_track_resize_end(void);

/* The calling thread will end: its books may be taken over. Later events of it go to books shared under a lock. */
void psc_track_thread_end(void);

/* Modules may have been unloaded: what is known of them is forgotten. */
void psc_track_modules_gone(void);

/* The process is about to forbid itself system calls: no call of the tracker's makes others from now on than those that
 * sandboxes usually allow, and a forked child begins no trace. */
void psc_track_enter_sandbox(void);

/* The limit on address space has come down, or it is reached: gives up what the trace was to grow into, but for the part
 * that it would have got under this limit. Returns whether anything was given up. */
bool psc_track_yield_space(void);

void psc_track_fork_prepare(void);
void psc_track_fork_parent(void);
void psc_track_fork_child(void);

/* Marks the end, takes the last snapshot, cuts the file to its used length. Recording goes on as far as the file has
 * room (atexit handlers of others may still run). Does nothing in a vfork child or a fork child that recorded nothing.
 */
void psc_track_end(enum psc_trace_end end);

#endif
