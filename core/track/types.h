/* The tracker's types. Begin here.
 *
 *   trace     the file, mapped shared at psc_track.header; its layout is core/wire/trace.h
 *   chunk     16 KiB of it, holding rows of one kind; handed out in order, backed with disk space before it is touched
 *   table     the chunks of one kind; rows never cross chunks, so a chunk ends in a remainder that is not used
 *   thread    what one thread needs to record: its books, its buffer for frames, its batch. Private memory
 *   batch     what a thread has added to the process-wide counters and not yet stored there
 *   epoch     1 for the process that was started, one more for each forked generation. Stored on a page that fork
 *             wipes: where it reads 0, this is a child whose trace has not begun, and the mapping is still the parent's
 *   busy      this thread is inside the tracker; a signal handler that allocates then is told apart by it
 *
 * Who may touch a field:
 *   [fixed]  set when the trace begins, constant until a child begins its own
 *   [owner]  the thread that has the struct
 *   [any]    any thread, atomically
 *   [site] [thread] [extent] [chunk] [private] [snapshot]   under that lock
 *
 * Invariants:
 *   a tag that is set has been added to a row: the books count every block that a tag stands for. (Set last by an
 *     allocation, cleared first by a free: of a killed process a thread may have counted one block too many.)
 *   of an extent: live blocks = tags that are set (psc_tag_is_live) + untagged, but for events that are just being recorded
 *   chunks from PSC_FIRST_DATA_CHUNK to chunks_used, and no others, have a kind; they are backed by disk space, as is
 *     their part of the directory
 *   sum of all books' live bytes = live_bytes of the header + the batches
 *
 * Locks are taken in the order of struct psc_track_locks. `snapshot` is only ever tried, never waited for without end:
 * its holder calls the allocator.
 */
#ifndef PSC_CORE_TRACK_TYPES_H
#define PSC_CORE_TRACK_TYPES_H

#include "core/base/lock.h"
#include "core/base/os.h"
#include "core/track/track.h"
#include "core/track/unwind.h"
#include "core/wire/trace.h"

#define PSC_TRACK_FRAMES_MAX PSC_UNWIND_DEPTH_MAX
#define PSC_TRACK_KNOWN 1024
#define PSC_TRACK_BATCH_BYTES 65536
#define PSC_TRACK_DEFERRED_MAX 8
#define PSC_TRACK_PATH_MAX 4096
/* A trace is made smaller than wished for where limits say so, but not below this. */
#define PSC_TRACK_SPAN_MIN ((size_t)4 << 20)
/* A file gets as much again as it has before a sandbox, and no less than this. */
#define PSC_TRACK_AHEAD_MIN ((size_t)8 << 20)

/* Sites to books in two steps. */
#define PSC_TRACK_LEAF_BOOKS 256
#define PSC_TRACK_LEAVES (PSC_SITES_MAX / PSC_BOOK_ROWS / PSC_TRACK_LEAF_BOOKS)

struct psc_track_log;

struct psc_track_leaf {
    struct psc_wire_book *books[PSC_TRACK_LEAF_BOOKS]; /* [owner] */
};

/* A site that the thread has used lately: the hash of its stack, 0 if none, and the thread's row for it. */
struct psc_track_known {
    uint64_t hash;
    struct psc_wire_row *row;
    uint64_t site;
};

struct psc_track_thread {
    struct psc_wire_thread *wire;       /* [fixed] */
    uint32_t index;                     /* [fixed] of `wire` in the table of threads */
    struct psc_track_thread *next_free; /* [thread] */
    const void *self;                   /* [thread] psc_track_self of the thread that has it; NULL: none */
    struct psc_track_log *log;          /* [fixed] NULL: events are not logged */
    uint64_t *last_tag;                 /* [owner] of the last allocation, while it lives; never read through */
    uint64_t batch_allocated;           /* [owner] bytes of the batch */
    uint64_t batch_freed;               /* [owner] */
    struct psc_track_leaf *leaves[PSC_TRACK_LEAVES]; /* [owner] */
    struct psc_track_known known[PSC_TRACK_KNOWN];   /* [owner] by hash: sites that this thread has used lately */
    struct psc_unwind_stack stack;                   /* [owner] of its last allocation */
};

/* A free that a signal handler made while its thread was busy. */
struct psc_track_deferred {
    uint64_t tag;
    uint64_t block_bytes;
    uint32_t class_index;
    uint64_t address; /* for the log of events */
};

/* Per thread. A signal handler may run between any two stores. */
struct psc_track_self {
    struct psc_track_thread *thread; /* NULL: none yet, or the thread has ended */
    uint32_t busy;
    uint32_t deferred_count;
    bool ended;       /* psc_track_thread_end was called: later events borrow a struct each */
    bool holds_locks; /* between psc_track_fork_prepare and its counterpart */
    struct psc_track_deferred deferred[PSC_TRACK_DEFERRED_MAX];
};

extern PSC_TLS struct psc_track_self psc_track_self;

/* In the order in which they are taken. */
struct psc_track_locks {
    struct psc_lock thread; /* free structs, tables of threads and books */
    struct psc_lock site;   /* the index, tables of sites, frames and modules */
    struct psc_lock extent; /* free extents, tables of extents and arenas */
    struct psc_lock chunk;
    struct psc_lock private;
    struct psc_lock snapshot;
};

/* The page that fork wipes. */
struct psc_track_alive {
    uint32_t epoch;            /* [any] */
    struct psc_lock beginning; /* held while a child begins its trace */
};

struct psc_track_state {
    struct psc_wire_header *header; /* [fixed] first byte of the mapping; NULL: there is no trace */
    size_t span;                    /* [chunk] bytes of the mapping */
    struct psc_track_alive *alive;  /* [fixed] */
    uint32_t last_epoch;            /* [fixed] */
    uint32_t depth;                 /* [fixed] */
    uint64_t interval;              /* [fixed] mean bytes between samples; 0: all blocks are recorded */
    uint32_t snapshots;             /* [fixed] */
    uint32_t log_limit;             /* [fixed] of the log of events, in MiB; 0: none is wanted */
    bool verbose;                   /* [fixed] */
    bool apart;                     /* [fixed] sites have groups */
    bool closed;                    /* [chunk] the file has been cut to its used length */
    uint64_t backed;                /* [chunk] so much of the file has space; known and of use in a sandbox only */
    struct psc_os_file_id file_id;  /* [fixed] */
    struct psc_track_host host;     /* [fixed] */
    struct psc_track_locks locks;
    char path[PSC_TRACK_PATH_MAX]; /* [fixed] of the trace, absolute */
};

extern struct psc_track_state psc_track;

/* The epoch that is being recorded in, 0 if none. Unlike psc_track_epoch it begins nothing. */
PSC_INLINE uint32_t psc_track_current(void) {
    const uint32_t *word = PSC_LOAD(&psc_track_word);
    return word != NULL ? PSC_LOAD(word) : 0;
}

PSC_INLINE bool psc_track_enter(void) {
    if (PSC_UNLIKELY(PSC_LOAD(&psc_track_self.busy) != 0)) {
        return false;
    }
    PSC_STORE(&psc_track_self.busy, 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return true;
}

PSC_INLINE void psc_track_leave(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    PSC_STORE(&psc_track_self.busy, 0);
}

/* ---- track.c: begin, stop, fork, end ------------------------------------------------------------------------- */

/* Ends recording for good and says so on stderr, once. Any thread, any of the tracker's locks may be held. */
PSC_COLD void psc_track_stop(enum psc_stop_reason reason, int error);

/* Of a file of `span` bytes, what the limits on address space and files allow. */
size_t psc_track_span_allowed(size_t span);

/* ---- name.c: what the trace is called ------------------------------------------------------------------------ */

/* Takes the option `out` apart and makes it absolute. Once, at start. */
void psc_track_name_set(const char *out);
/* Path of the trace of process `pid`, its attempt-th name (from 1). False: too long. */
bool psc_track_name_make(char *path, size_t bytes, uint32_t pid, uint32_t attempt);

/* ---- file.c: the trace as a file, chunks, rows --------------------------------------------------------------- */

/* Makes psc_track.path and maps it, over the mapping that is there if there is one; backs what the header needs. Fills
 * span, which may be less than asked for, and file_id. 0 or an errno value. */
int psc_track_file_create(size_t span);
/* Makes and maps a file of *span bytes, of less where the limits say so; over what is at `at` if that is not NULL. NULL
 * with errno: nothing was made. */
void *psc_track_file_map(const char *path, size_t *span, void *at);
/* Unmaps a file; ordinary memory takes the place of the first `kept` bytes, for code that goes on writing there. */
void psc_track_file_unmap(void *mapping, size_t span, size_t kept);
/* A regular file of this user's, with one name; *bytes is its length then. */
bool psc_track_file_is_private(int fd, off_t *bytes);
/* At start: where this process was another program before exec, marks the end of that one's trace. */
void psc_track_file_mark_exec(void);
/* Cuts the file to its used length; no chunks are handed out any more. */
void psc_track_file_close(void);
/* From now on the trace may grow to `span` bytes, or as far as it has grown already: the rest is unmapped. False: that
 * is nothing. */
bool psc_track_file_shrink(size_t span);
/* Gets space for what will be recorded in a sandbox, where none can be got; the trace cannot grow any further. */
void psc_track_file_back_ahead(void);
/* How much of it, where `used_bytes` have been enough so far. */
size_t psc_track_ahead_of(size_t used_bytes);
/* Gives the mapping up, in a child whose trace could not be made. `in_use`: code that was interrupted goes on writing
 * to it, so ordinary memory takes its place. The file is not touched. */
void psc_track_file_abandon(bool in_use);
/* The same for a file that was just made: removes it. */
void psc_track_file_discard(void);
/* Bytes of the trace that take up space. */
uint64_t psc_track_file_used_bytes(void);
/* File offset of a new chunk, zeroed; 0 with errno: none, and recording has stopped unless the file is closed. */
uint64_t psc_track_chunk_take(enum psc_chunk_kind kind);
/* Why no space was got for a chunk. */
enum psc_stop_reason psc_track_reason_of(int error);
/* The next row of a table, zeroed, and its index; NULL: none. Under the table's lock. */
void *psc_track_table_add(enum psc_chunk_kind kind, uint32_t *index);
/* An existing row; for tables of at most PSC_TRACK_TABLE_CHUNKS chunks. Any thread that has learnt the index. */
void *psc_track_table_row(enum psc_chunk_kind kind, uint32_t index);
uint32_t psc_track_table_count(enum psc_chunk_kind kind);
/* The same for a row that need not exist yet; NULL: none. Under the table's lock. */
void *psc_track_table_reach(enum psc_chunk_kind kind, uint32_t index);
void psc_track_table_reset(void);
extern const uint32_t psc_track_row_bytes[PSC_CHUNK_KINDS];

#define PSC_TRACK_TABLE_CHUNKS 4096
_Static_assert((uint64_t)PSC_TRACK_TABLE_CHUNKS *(PSC_CHUNK_BYTES / sizeof(struct psc_wire_site)) >= PSC_SITES_MAX,
               "every site can be found by its id");

PSC_INLINE void *psc_track_at(uint64_t offset) {
    return (char *)psc_track.header + offset;
}

PSC_INLINE struct psc_wire_extent *psc_track_extent_of(uint64_t *tags) {
    return (struct psc_wire_extent *)(void *)((char *)tags - sizeof(struct psc_wire_extent));
}

/* Where a block lies. */
PSC_INLINE uint64_t psc_track_address_of(uint64_t *tags, uint32_t index, size_t block_bytes) {
    return psc_track_extent_of(tags)->base + (uint64_t)index * block_bytes;
}

/* ---- proc.c: what /proc tells -------------------------------------------------------------------------------- */

/* Fills exe, argv and start_ticks. */
void psc_track_proc_describe(struct psc_wire_header *header);
/* Up to bytes - 1 bytes of a file, NUL behind them; returns how many. 0 with errno: it cannot be opened. */
size_t psc_track_proc_read(const char *path, char *buffer, size_t bytes);
/* Opens /proc/self/statm for psc_track_proc_rss, on a descriptor that is out of the program's way. */
void psc_track_proc_open(void);
/* Resident bytes of the process, those of files and shared memory among them; 0 if not known. */
struct psc_track_rss {
    uint64_t all;
    uint64_t shared;
};
struct psc_track_rss psc_track_proc_rss(void);

/* ---- private.c: memory of the tracker's own ------------------------------------------------------------------ */

/* Zeroed, aligned to 64 bytes, never given back; NULL: none. */
void *psc_track_private_get(size_t bytes);
uint64_t psc_track_private_bytes(void);
/* Of these, the bytes that are in memory. */
uint64_t psc_track_private_resident_bytes(void);
/* Gives all of it back: only in a child, for the parent's. */
void psc_track_private_reset(void);

/* ---- thread.c ------------------------------------------------------------------------------------------------ */

/* The calling thread's struct, made or taken over at need; of a thread that has ended, one that is to be given back
 * with psc_track_thread_give after the event. NULL: no room. The caller is busy. */
struct psc_track_thread *psc_track_thread_get(void);
void psc_track_thread_give(struct psc_track_thread *thread);
/* Opens the book of a site, NULL: no room; recording has stopped. */
struct psc_wire_book *psc_track_book_open(struct psc_track_thread *thread, uint32_t site);
void psc_track_thread_reset(void);

/* ---- misuse.c ------------------------------------------------------------------------------------------------ */

/* The large block at `base`, of that site, is gone. */
void psc_track_note_gone(uint64_t base, uint32_t site);
void psc_track_misuse_reset(void);

/* ---- site.c, module.c ---------------------------------------------------------------------------------------- */

/* False with errno: no room. */
bool psc_track_site_begin(void);
/* The site of thread->stack, whose hash is given; PSC_SITE_UNKNOWN if there is no room for it. */
uint32_t psc_track_site_intern(struct psc_track_thread *thread, uint64_t hash);
/* Where the thread notes it for the next time. */
PSC_INLINE struct psc_track_known *psc_track_known_of(struct psc_track_thread *thread, uint64_t hash) {
    return &thread->known[hash % PSC_TRACK_KNOWN];
}
/* Makes rows for modules of these frames that have none. Under the site lock. */
void psc_track_module_note(const uint64_t *frames, uint32_t depth);
/* The row that an address lies in; NULL: none. Under the site lock. */
const struct psc_wire_module *psc_track_module_of(uint64_t address);

/* ---- what work costs ----------------------------------------------------------------------------------------- */

/* Processor time of the calling thread; but if it had to wait (for pages of the trace that the kernel has dropped), or
 * the clock has changed, as when a sandbox was entered, the time that has passed. */
struct psc_track_watch {
    uint64_t cpu_ns;
    uint64_t wall_ns;
    uint64_t waits;
};

static inline struct psc_track_watch psc_track_watch_start(void) {
    return (struct psc_track_watch){psc_os_thread_cpu_ns(), psc_os_monotonic_ns(), psc_os_waits()};
}

static inline uint64_t psc_track_watch_ns(const struct psc_track_watch *watch) {
    uint64_t cpu_ns = psc_os_thread_cpu_ns() - watch->cpu_ns, wall_ns = psc_os_monotonic_ns() - watch->wall_ns;
    return cpu_ns < wall_ns && psc_os_waits() == watch->waits ? cpu_ns : wall_ns;
}

/* ---- extent.c, event.c, snapshot.c, pins.c ------------------------------------------------------------------- */

void psc_track_extent_reset(void);
/* Stores a thread's batch in the header. */
void psc_track_batch_flush(struct psc_track_thread *thread);
void psc_track_snapshot_reset(void);
/* Takes the snapshots that are due at live_bytes of now. The caller is busy and holds no lock of the tracker. */
void psc_track_snapshot_take_due(uint64_t now_ns);
/* Takes the last one. */
void psc_track_snapshot_take_last(void);
/* Walks all tags of an exact trace, if that is due. The caller holds the snapshot lock. At the end nothing is walked: the
 * reader finds the same in the tags. */
void psc_track_pins_walk(uint64_t now_ns);
void psc_track_pins_reset(void);

#endif
