/* The trace: one sparse file per process, mapped shared by the guest while it runs, read by the reporting tool then or
 * later. poolscope-trace(5) is this file in words; the two change together, with the reader and the golden trace.
 *
 * The file is an array of chunks of PSC_CHUNK_BYTES. Chunk 0 holds the header, the next PSC_DIRECTORY_CHUNKS the
 * directory: one byte per chunk of the file, which says what kind of rows the chunk holds. Chunks of one kind form a
 * table, in the order of their position. A chunk is backed by disk space before its kind is set. All integers are
 * little-endian, all offsets are bytes from the start of the file, all times nanoseconds of CLOCK_MONOTONIC.
 *
 * The guest is the only writer. It may die between any two stores, so each row says itself whether it is in use
 * (marked below); a reader takes a row that is not marked for empty.
 */
#ifndef PSC_CORE_WIRE_TRACE_H
#define PSC_CORE_WIRE_TRACE_H

#include <stdint.h>

#include "core/wire/counters.h"
#include "core/wire/sample.h"

#define PSC_TRACE_MAGIC "POOLSCPE"
/* A reader refuses a trace whose version it does not know; rows and header fields are only ever added at the end. */
#define PSC_TRACE_VERSION 3

#define PSC_CHUNK_BYTES 16384u
#define PSC_CHUNKS_MAX (1u << 18) /* 4 GiB of file, nearly all of it holes */
#define PSC_DIRECTORY_CHUNKS (PSC_CHUNKS_MAX / PSC_CHUNK_BYTES)
#define PSC_FIRST_DATA_CHUNK (1 + PSC_DIRECTORY_CHUNKS)

enum psc_chunk_kind {
    PSC_CHUNK_NONE,
    PSC_CHUNK_MODULES,   /* struct psc_wire_module */
    PSC_CHUNK_SITES,     /* struct psc_wire_site; a site's id is its index in this table */
    PSC_CHUNK_FRAMES,    /* uint64_t return addresses, referred to by sites */
    PSC_CHUNK_THREADS,   /* struct psc_wire_thread */
    PSC_CHUNK_BOOKS,     /* struct psc_wire_book */
    PSC_CHUNK_EXTENTS,   /* struct psc_wire_extent, each with its tags behind it */
    PSC_CHUNK_ARENAS,    /* struct psc_wire_arena */
    PSC_CHUNK_SNAPSHOTS, /* struct psc_wire_snapshot */
    PSC_CHUNK_MAPS,      /* struct psc_wire_map: row i belongs to row i of the snapshots */
    PSC_CHUNK_PINS,      /* struct psc_wire_pins: row i is site i's */
    PSC_CHUNK_KINDS
};

/* ---- tags: who made a live block ------------------------------------------------------------------------------- */

/* Of no block, or one that was not recorded: less than PSC_SITES_MAX, so that the site is PSC_SITE_NONE. 0, or, until
 * another block is recorded there, the site of the last one that was freed, for whom it is freed a second time. (Not in a
 * sampled trace, where others may have been there since that are no samples.) Else site (20 bits) | slack (15) | birth (29), high to low:
 * slack = block bytes - requested bytes (at most 32767), birth = allocation clock in units of PSC_TAG_BIRTH_UNIT bytes,
 * modulo 2^29: ages are right up to 256 GiB of allocation and alias beyond. */
#define PSC_TAG_SITE_BITS 20
#define PSC_TAG_SLACK_BITS 15
#define PSC_TAG_BIRTH_BITS 29
#define PSC_TAG_BIRTH_UNIT 512u
#define PSC_SITES_MAX (1u << PSC_TAG_SITE_BITS)

#define PSC_SITE_NONE 0u    /* in a tag: no live block */
#define PSC_SITE_UNKNOWN 1u /* recorded without a stack: the site table was full, or recording met itself */
#define PSC_SITE_FIRST 2u

static inline uint64_t psc_tag_make(uint32_t site, uint32_t slack, uint64_t birth_bytes) {
    uint64_t birth = (birth_bytes / PSC_TAG_BIRTH_UNIT) & ((1u << PSC_TAG_BIRTH_BITS) - 1);
    return (uint64_t)site << (PSC_TAG_SLACK_BITS + PSC_TAG_BIRTH_BITS) | (uint64_t)slack << PSC_TAG_BIRTH_BITS | birth;
}

static inline uint32_t psc_tag_site(uint64_t tag) {
    return (uint32_t)(tag >> (PSC_TAG_SLACK_BITS + PSC_TAG_BIRTH_BITS));
}

/* Of a block that is freed. */
static inline uint64_t psc_tag_of_freed(uint64_t tag) {
    return psc_tag_site(tag);
}

static inline int psc_tag_is_live(uint64_t tag) {
    return psc_tag_site(tag) != PSC_SITE_NONE;
}

/* PSC_SITE_NONE: not known. */
static inline uint32_t psc_tag_last_site(uint64_t tag) {
    return psc_tag_is_live(tag) ? psc_tag_site(tag) : (uint32_t)tag & (PSC_SITES_MAX - 1);
}

static inline uint32_t psc_tag_slack(uint64_t tag) {
    return (uint32_t)(tag >> PSC_TAG_BIRTH_BITS) & ((1u << PSC_TAG_SLACK_BITS) - 1);
}

/* Age in bytes of the allocation clock, a multiple of PSC_TAG_BIRTH_UNIT. */
static inline uint64_t psc_tag_age(uint64_t tag, uint64_t clock_bytes) {
    uint64_t mask = (1u << PSC_TAG_BIRTH_BITS) - 1;
    return ((clock_bytes / PSC_TAG_BIRTH_UNIT - tag) & mask) * PSC_TAG_BIRTH_UNIT;
}

/* ---- the header ------------------------------------------------------------------------------------------------ */

enum psc_trace_end { PSC_END_NONE, PSC_END_EXIT, PSC_END_EXEC }; /* none: runs, or was killed */

enum psc_trace_flag {
    PSC_TRACE_PASSIVE = 1, /* the program brings its own malloc: nothing was recorded */
    PSC_TRACE_FORKED = 2,  /* began in a forked child: blocks inherited from the parent carry no tag */
    PSC_TRACE_STOPPED = 4, /* recording stopped before the end: see stop_reason */
};

enum psc_stop_reason { PSC_STOP_NONE, PSC_STOP_DISK, PSC_STOP_MEMORY, PSC_STOP_SPAN, PSC_STOP_SANDBOX };

#define PSC_CLASSES_MAX 80 /* room for the heap's size classes; index PSC_CLASS_LARGE is large blocks */
#define PSC_CLASS_LARGE (PSC_CLASSES_MAX - 1)

/* Now and then all tags are walked, which tells what each site pins: see struct psc_wire_pins. Exact traces only. */
struct psc_wire_walks {
    uint64_t count;
    uint64_t last_ns;
    uint64_t worst_bytes; /* the most that was found pinned in all, as of the last time it rose by 3 % */
    uint64_t worst_ns;
    uint64_t window_ns; /* when the window before this one began: see low_before of an extent; 0: there is none */
};

struct psc_wire_header {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes; /* sizeof(struct psc_wire_header) */
    uint32_t chunk_bytes;
    uint32_t chunks_used; /* chunks below this index may have a kind */
    uint32_t pid;
    uint32_t ppid;
    uint32_t end;   /* enum psc_trace_end */
    uint32_t flags; /* enum psc_trace_flag */
    uint32_t stop_reason;
    uint32_t mode;              /* enum psc_mode */
    uint64_t interval_bytes;    /* mean distance of samples; 1 when exact */
    uint64_t start_ns;          /* monotonic */
    uint64_t start_realtime_ns; /* CLOCK_REALTIME at start_ns */
    uint64_t start_ticks;       /* starttime of the process, from /proc/self/stat: same process across exec */
    uint64_t end_ns;            /* 0 while end is PSC_END_NONE */
    uint32_t depth;             /* frames kept of a stack at most */
    uint32_t page_bytes;
    uint32_t arena_bytes;
    uint32_t slot_bytes; /* unit of pools: a pool takes one or more adjacent slots of an arena */
    uint32_t class_count;
    uint32_t class_bytes[PSC_CLASSES_MAX]; /* block bytes of each size class */
    uint32_t row_bytes[PSC_CHUNK_KINDS];   /* sizes of the rows, so that later versions can add fields */
    uint32_t argv_bytes;                   /* in use of argv */
    struct psc_wire_counters counters;
    char exe[4096];  /* path, NUL-terminated */
    char argv[8192]; /* arguments, each NUL-terminated; cut off if longer */
    struct psc_wire_walks walks;
};

/* ---- modules, sites, frames ------------------------------------------------------------------------------------ */

struct psc_wire_module {
    uint64_t start; /* of the mapping, inclusive; 0: row not in use (written last) */
    uint64_t end;
    uint64_t bias; /* address in memory - address in the file's program headers */
    uint64_t time_ns;
    uint32_t build_id_bytes;
    uint8_t build_id[36];
    char path[440]; /* NUL-terminated; cut off if longer */
};

enum psc_site_flag {
    PSC_SITE_CUT = 1,     /* the walk did not come to the outermost frames: there are more than are kept */
    PSC_SITE_BROKEN = 2,  /* the walk ended at a frame that nothing describes */
    PSC_SITE_SKIPPED = 4, /* deeper than `depth`: behind the first psc_site_inner(depth) frames some are left out */
};

/* Of a stack that is deeper than `depth` frames so many innermost ones are kept, and the rest of `depth` outermost. */
static inline uint32_t psc_site_inner(uint32_t depth) {
    return depth - depth / 4;
}

/* A distinct allocation stack. Ids PSC_SITE_NONE and PSC_SITE_UNKNOWN have rows without frames. */
struct psc_wire_site {
    uint64_t hash;    /* of the frames; 0: row not in use (written last) */
    uint64_t frames;  /* file offset of `depth` return addresses, innermost first, all in one chunk of frames */
    uint32_t modules; /* modules known when the site was first seen: of those that hold an address the newest counts */
    uint16_t depth;
    uint16_t flags;       /* enum psc_site_flag */
    uint64_t first_clock; /* allocation clock when the site was first seen */
};

/* ---- threads and their books ----------------------------------------------------------------------------------- */

/* One per thread that recorded something; taken over by a later thread when the first has ended. */
struct psc_wire_thread {
    uint32_t tid; /* of the last owner; 0: row not in use */
    uint32_t running;
    uint32_t owners; /* threads that have written here, one after the other */
    uint32_t pad;
    char name[16];
    uint64_t class_allocs[PSC_CLASSES_MAX]; /* by size class; owner writes */
    uint64_t class_frees[PSC_CLASSES_MAX];
};

#define PSC_AGE_BUCKETS 32
#define PSC_BOOK_ROWS 16

/* Age histogram: bucket 0 holds ages below 512 bytes, bucket k ages of [2^(k+8), 2^(k+9)) bytes, the last all above. */
static inline uint32_t psc_age_bucket(uint64_t age_bytes) {
    uint64_t units = age_bytes >> 9;
    uint32_t bucket = units == 0 ? 0 : 64u - (uint32_t)__builtin_clzll(units);
    return bucket < PSC_AGE_BUCKETS ? bucket : PSC_AGE_BUCKETS - 1;
}

/* Where in its bucket an age lies, from 0 at its beginning to 1 at its end, in units of 2^-32; 0 in bucket 0. */
static inline uint32_t psc_age_place(uint64_t age_bytes) {
    uint64_t units = age_bytes >> 9;
    return units == 0 ? 0 : (uint32_t)(units << __builtin_clzll(units) << 1 >> 32);
}

/* Its square, in the same unit. */
static inline uint32_t psc_age_square(uint32_t place) {
    return (uint32_t)((uint64_t)place * place >> 32);
}

/* Such a number rounded to 0 or 1, for the count-th age of a bucket, so that of any number of them the sum is right to
 * about one: it is rounded up if it is above 1 - x, x being the next number of the sequence count * 0.618... modulo 1,
 * which fills the numbers from 0 to 1 more evenly than chance would (L. Kuipers, H. Niederreiter, "Uniform distribution
 * of sequences", 1974, chapter 2). */
static inline uint32_t psc_age_round(uint32_t number, uint32_t count) {
    return (uint32_t)(number + count * 2654435769u) < number;
}

/* What one thread did to one site. Only the owner writes; a site's figures are the sums over all books, each modulo
 * 2^64 (a block may be freed by another thread than its maker, so a single row's difference may be negative).
 *
 * In a sampled trace only samples are counted, each by its weight: counts (alloc_count, free_count, at_peak_count, and
 * the threads' class_allocs and class_frees) in units of 1/PSC_SAMPLE_UNIT blocks, bytes in bytes, ages rounded to
 * whole blocks; temporary_count is 0, for the next allocation is not seen. */
struct psc_wire_row {
    uint64_t alloc_count;
    uint64_t alloc_bytes; /* requested */
    uint64_t free_count;
    uint64_t free_bytes; /* requested */
    /* Live bytes and blocks of this row as of the process's peak: if peak_epoch equals the header's, these two; else
     * the row has not changed since the peak and its live figures of now hold. */
    uint64_t at_peak_bytes;
    uint64_t at_peak_count;
    uint32_t peak_epoch;
    uint32_t temporary_count;    /* freed before the freeing thread's next allocation, modulo 2^32 */
    double alloc_bytes_variance; /* IEEE 754; of a sampled trace, else 0: see core/wire/sample.h */
    /* Of blocks that were freed. Before one of them would be too large, all of the row and the places of each are
     * halved: from 2^32 freed blocks on they tell proportions. */
    uint32_t ages[PSC_AGE_BUCKETS];
};

/* Of the places of a bucket's ages, rounded one by one: their sum and that of their squares. Divided by the number of the
 * ages they are the mean and the mean square. Bucket 0 has no places: in its `sum` stands how often the row's
 * temporary_count came round to 0 again. */
struct psc_wire_places {
    uint32_t sum;
    uint32_t squares;
};

struct psc_wire_book {
    uint32_t used;       /* 0: not in use (written last) */
    uint32_t thread;     /* index in the table of threads */
    uint32_t first_site; /* rows are those of sites first_site .. first_site + PSC_BOOK_ROWS - 1 */
    uint32_t pad;
    struct psc_wire_row rows[PSC_BOOK_ROWS];
    struct psc_wire_places places[PSC_BOOK_ROWS][PSC_AGE_BUCKETS]; /* of the ages of these rows */
};

/* ---- arenas, pools, large blocks ------------------------------------------------------------------------------- */

enum psc_extent_state { PSC_EXTENT_END, PSC_EXTENT_LIVE, PSC_EXTENT_FREE };

/* A pool, or a large block (class PSC_CLASS_LARGE, capacity 1), with its tags. In a sampled trace there is one for each
 * pool that had a sample in it, and only samples have tags; `untagged` is then as of the last snapshot. Extents stand one behind the other in a
 * chunk, `words` * 8 bytes apart; state PSC_EXTENT_END, or the chunk's end, ends the row. An extent whose state is
 * PSC_EXTENT_FREE is kept for the next pool of the same capacity, and its other fields mean nothing. */
struct psc_wire_extent {
    uint32_t words; /* this header and the tags, in units of 8 bytes */
    uint8_t state;  /* written last when made, first when retired */
    uint8_t pad;
    uint16_t class_index;
    uint64_t base; /* address of block 0 */
    uint64_t block_bytes;
    uint32_t capacity;
    uint32_t carved;      /* blocks ever handed out since the pool was made: pages beyond have not been touched by it */
    uint32_t untagged;    /* live blocks without a tag: made before recording began, or by the parent */
    uint32_t stale_pages; /* beyond the carved blocks, of 4 KiB: still there from an earlier pool of these slots */
    /* The least that walks found pinned in it, in bytes: in this window, and in the one before. A window is an eighth of
     * the run until it begins, or more. Both 0 of a pool that was made since. */
    uint32_t low_now;
    uint32_t low_before;
    uint64_t tags[];
};

#define PSC_ARENA_SLOTS 256

struct psc_wire_arena {
    uint64_t base;                         /* 0: row not in use */
    uint64_t pooled[PSC_ARENA_SLOTS / 64]; /* bit per slot: part of a pool */
    uint64_t cached[PSC_ARENA_SLOTS / 64]; /* bit per slot: free, with pages not yet given back */
    uint64_t cached_bytes;                 /* of these pages */
    uint64_t pad[6];
};

/* ---- snapshots ------------------------------------------------------------------------------------------------- */

enum psc_snapshot_flag {
    PSC_SNAPSHOT_PEAK = 1,
    PSC_SNAPSHOT_LAST = 2,
    PSC_SNAPSHOT_ASKED = 4, /* the kernel was asked which pages are in memory; else that is as of the last that was */
};

struct psc_wire_snapshot_class {
    uint32_t pools;
    uint32_t live_blocks;
    uint32_t capacity_blocks;
    uint32_t committed_pages; /* 4 KiB each */
};

#define PSC_OCCUPANCY_BINS 11 /* 0: empty; k: occupancy in ((k-1)/10, k/10] */

/* The state of all arenas and pools at one moment, from the heap's own descriptors (so blocks without a tag count).
 * Row 0 of the table is the one at the peak of live bytes, as of the last time it rose by 3 %. */
struct psc_wire_snapshot {
    uint64_t sequence; /* order of taking, from 1; 0: row not in use or being written (written last) */
    uint64_t time_ns;
    uint64_t clock_bytes;
    uint64_t live_bytes;      /* requested, from the counters */
    uint64_t live_blocks;     /* pools and large */
    uint64_t block_bytes;     /* of live blocks, pools and large */
    uint64_t committed_bytes; /* = block + pinned + empty + cached */
    uint64_t pinned_bytes;    /* committed bytes of pools with live blocks that no live block covers */
    uint64_t empty_bytes;     /* committed bytes of pools without a live block */
    uint64_t cached_bytes;    /* pages of free slots that have not gone back */
    uint64_t large_bytes;     /* of large blocks */
    uint64_t rss_bytes;       /* 0: not known */
    uint64_t metadata_bytes;  /* heap's tables */
    uint64_t tracker_bytes;   /* trace and tracker's tables */
    uint32_t flags;           /* enum psc_snapshot_flag */
    uint32_t large_blocks;
    uint32_t occupancy[PSC_OCCUPANCY_BINS]; /* pools by occupancy */
    uint32_t pad;
    struct psc_wire_snapshot_class classes[PSC_CLASSES_MAX];
    /* Which parts of all that are in memory. 0: not known. */
    uint64_t shared_bytes;            /* part of rss_bytes: of files and shared memory */
    uint64_t resident_bytes;          /* part of committed_bytes */
    uint64_t metadata_resident_bytes; /* part of metadata_bytes */
    uint64_t tracker_anon_bytes;      /* of the tracker's tables outside the trace, and of the library's own data */
    uint64_t trace_bytes;             /* of the trace: part of shared_bytes */
    /* Parts of the figures above. */
    uint64_t tail_bytes;           /* of pinned_bytes: beside the carved blocks of each pool */
    uint64_t large_rounding_bytes; /* of large_bytes: not requested; 0 in a sampled trace, where it is not known */
};

/* The arenas at the moment of a snapshot. Cell i stands for the slots [i * slots, (i + 1) * slots), counted from the
 * first slot of the first arena on, arenas in the order of their rows. 0: free; 1: free, with pages that have not gone
 * back; else what part of the pools' committed bytes is live: none at PSC_MAP_EMPTY, all at 255. Cells beyond the last
 * are 0. */
#define PSC_MAP_CELLS 2032
#define PSC_MAP_CACHED 1
#define PSC_MAP_EMPTY 2

struct psc_wire_map {
    uint64_t sequence; /* of the snapshot; 0: row not in use or being written (written last) */
    uint32_t slots;    /* per cell, a power of two: as few as will do for all arenas */
    uint32_t pad;
    uint8_t cells[PSC_MAP_CELLS];
};

/* What a site pinned, as walks of all tags found it: of each pool's pinned bytes a part for each of its live blocks. */
struct psc_wire_pins {
    uint64_t sum; /* 2^16 times the bytes of the walk that is under way */
    uint64_t now_bytes;
    uint64_t worst_bytes; /* at the time of walks.worst_ns */
    uint64_t
        byte_ns_low; /* sum over all walks of now_bytes * nanoseconds since the walk before: a number of 128 bits */
    uint64_t byte_ns_high;
};

/* The tables: TABLE(kind, name, type of its rows). */
#define PSC_WIRE_TABLES(TABLE)                                                                                         \
    TABLE(MODULES, "modules", struct psc_wire_module)                                                                  \
    TABLE(SITES, "sites", struct psc_wire_site)                                                                        \
    TABLE(FRAMES, "frames", uint64_t)                                                                                  \
    TABLE(THREADS, "threads", struct psc_wire_thread)                                                                  \
    TABLE(BOOKS, "books", struct psc_wire_book)                                                                        \
    TABLE(EXTENTS, "extents", struct psc_wire_extent)                                                                  \
    TABLE(ARENAS, "arenas", struct psc_wire_arena)                                                                     \
    TABLE(SNAPSHOTS, "snapshots", struct psc_wire_snapshot)                                                            \
    TABLE(MAPS, "maps", struct psc_wire_map)                                                                           \
    TABLE(PINS, "pins", struct psc_wire_pins)

/* Sizes of the rows by kind, as this version writes them to the header: for an array of PSC_CHUNK_KINDS. */
#define PSC_WIRE_ROW_BYTES_ENTRY(kind, name, type) [PSC_CHUNK_##kind] = sizeof(type),
#define PSC_WIRE_ROW_BYTES                                                                                             \
    { PSC_WIRE_TABLES(PSC_WIRE_ROW_BYTES_ENTRY) }

_Static_assert(sizeof(struct psc_wire_module) == 512, "rows divide a chunk");
_Static_assert(sizeof(struct psc_wire_site) == 32, "wire format");
_Static_assert(sizeof(struct psc_wire_row) == 192, "three cache lines");
_Static_assert(sizeof(struct psc_wire_arena) == 128, "rows divide a chunk");
_Static_assert(sizeof(struct psc_wire_extent) == 48, "wire format");
_Static_assert(sizeof(struct psc_wire_map) == 2048, "rows divide a chunk");
_Static_assert(sizeof(struct psc_wire_header) <= PSC_CHUNK_BYTES, "the header fits its chunk");

#endif
