/* The facts of one trace in memory: read once, summed, never changed afterwards except that frames of sites are
 * resolved on demand. Everything that report, plots and exports say comes from here.
 *
 * All counts and bytes are exact for an exact trace. Of a sampled one those of sites are estimates with their intervals,
 * and so is what was requested; the heap's own figures (fragmentation, classes) are the exact ones of its last snapshot,
 * which may be older than the rest: see psc_sampling. Pools, larges and sizes are then those with a sample only.
 *
 * All times are nanoseconds since the start of the process. Strings are as the trace gives them: any byte but NUL may
 * stand in them; who prints one escapes it.
 * Nothing here is thread-safe: a model belongs to one thread.
 */
#ifndef PSC_REPORT_MODEL_H
#define PSC_REPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/wire/options.h"
#include "core/wire/trace.h"

struct psc_lifetime; /* report/lifetime.h */
struct psc_symbols;

#define PSC_MODEL_PAGE_BYTES 4096u
#define PSC_MODULE_NONE UINT32_MAX
#define PSC_LIFETIME_UNKNOWN UINT64_MAX /* the quantile was not reached: too many blocks are still alive */

enum psc_process_end { PSC_PROCESS_EXIT, PSC_PROCESS_EXEC, PSC_PROCESS_KILLED, PSC_PROCESS_RUNNING };

struct psc_process {
    uint32_t pid;
    uint32_t ppid;
    const char *exe;
    char **argv; /* NULL-terminated */
    size_t argc;
    enum psc_process_end end;
    uint32_t flags;       /* enum psc_trace_flag */
    uint32_t stop_reason; /* enum psc_stop_reason */
    uint64_t start_ns;    /* CLOCK_MONOTONIC at time 0 of this model */
    uint64_t start_realtime_ns;
    uint64_t start_ticks;
    uint64_t duration_ns; /* to the end, or to the last thing that the trace knows */
};

struct psc_sampling {
    uint32_t mode; /* enum psc_mode; one that is not known is told as it is, and read as exact */
    uint64_t interval_bytes;
    uint32_t depth;
    /* The rest is of sampled traces. */
    uint64_t samples;         /* of live blocks */
    bool calibrated;          /* the estimates of live blocks were corrected by the heap's own totals */
    bool has_snapshot;        /* else the heap's own figures are estimates without pools */
    uint64_t snapshot_age_ns; /* before the end */
};

/* Where an estimate's truth lies in 19 of 20 cases. Of what is exact, both are the value. */
struct psc_range {
    uint64_t low;
    uint64_t high;
};

/* Half its width: what stands behind the sign ±. */
static inline uint64_t psc_range_error(struct psc_range range) {
    return (range.high - range.low) / 2 + ((range.high - range.low) & 1);
}

/* What the heap holds in groups of size classes of which no live block was sampled, and what is pinned but could not be
 * charged. Zero in an exact trace. */
struct psc_not_sampled {
    uint64_t live_count;
    uint64_t live_bytes; /* as requested in full */
    uint64_t pinned_bytes;
};

/* live_* are counted allocations - counted frees; in a sampled trace, what sites and not_sampled add up to. peak_* are
 * the largest values seen, the present ones included. */
struct psc_totals {
    uint64_t alloc_count;
    uint64_t alloc_bytes;
    uint64_t free_count;
    uint64_t free_bytes;
    uint64_t live_count;
    uint64_t live_bytes; /* requested */
    uint64_t peak_live_bytes;
    uint64_t peak_clock_bytes; /* allocation clock then */
    uint64_t committed_bytes;
    uint64_t peak_committed_bytes;
    uint64_t rss_bytes; /* at the last snapshot; 0: not known */
    uint64_t peak_rss_bytes;
    uint64_t clock_bytes;
    uint64_t dropped_events;
    uint64_t unrecorded_frees;
    uint64_t misuse_count;
    uint64_t tracker_bytes;     /* memory of the tracker, never part of the above */
    uint64_t snapshot_ns;       /* spent taking snapshots, in the process itself */
    uint64_t recorded_blocks;   /* tags that are set */
    uint64_t unrecorded_blocks; /* live blocks without a tag; 0 in a sampled trace */
    struct psc_range live_bytes_range;
    struct psc_range alloc_bytes_range;
};

/* Where the committed bytes are. Always, to the byte:
 *   committed = live_requested + internal + external
 *   live_block = live_requested + internal
 *   external = free_blocks + tail + empty_pools + cached
 *   pinned = free_blocks + tail = sum of pool pinned_bytes = sum of site pinned_bytes
 * A live block without a tag counts as requested in full. Of a sampled trace tail is not known and part of free_blocks,
 * and the last sum is that of sites and not_sampled. */
struct psc_fragmentation {
    uint64_t committed_bytes;
    uint64_t live_requested_bytes;
    uint64_t live_block_bytes;
    uint64_t internal_bytes;
    uint64_t external_bytes;
    uint64_t free_blocks_bytes; /* carved blocks that are not live, in pools with a live block */
    uint64_t tail_bytes;        /* behind the last carved block, in pools with a live block: to the end of its page, and
                                 * pages kept from an earlier pool */
    uint64_t empty_pools_bytes;
    uint64_t cached_bytes;
    uint64_t pinned_bytes;
    uint64_t lasting_bytes;  /* part of pinned_bytes = sum of site lasting_bytes; 0 if model.walks has no window */
    uint64_t large_bytes;    /* part of live_block_bytes: mapped by large blocks */
    uint64_t metadata_bytes; /* the heap's own tables: beside committed_bytes, not part of it */
    /* What is free in the OS pages, arenas and huge pages with a live block: see report/blame.h. 0 of a sampled trace. */
    uint64_t pinned_page_bytes;
    uint64_t pinned_arena_bytes;
    uint64_t pinned_huge_bytes;
    /* committed / live as requested - 1; NAN where nothing was live. At the peak: of the snapshots, and now, when at
     * least half of the most was committed, at that with most live. */
    double realised_at_peak;
    double realised_now;
};

/* One size class; index PSC_CLASS_LARGE is large blocks (block_bytes 0, one "pool" a block). */
struct psc_class {
    uint64_t block_bytes;
    uint64_t pools;
    uint64_t empty_pools;
    uint64_t live_blocks;
    uint64_t capacity_blocks;
    uint64_t committed_bytes;
    uint64_t live_block_bytes;
    uint64_t live_requested_bytes;
    uint64_t pinned_bytes;
    uint64_t untagged_blocks;
    uint64_t alloc_count;
    uint64_t free_count;
};

struct psc_module {
    uint64_t start; /* 0: row not in use */
    uint64_t end;
    uint64_t bias; /* address in memory - address in the file's program headers */
    uint64_t time_ns;
    uint32_t build_id_bytes; /* at most sizeof(build_id) */
    uint8_t build_id[36];
    const char *path;
};

/* A stack as recorded: return addresses, innermost first, each with the index of its module or PSC_MODULE_NONE. */
struct psc_site_frames {
    const uint64_t *addresses;
    const uint32_t *modules;
    size_t count;
};

/* A resolved frame. An inlined frame stands before (inside) the frame that it was inlined into and shares its address.
 * Strings live as long as the psc_symbols that made them; NULL or "" where not known, but function is never NULL. */
struct psc_frame {
    const char *function;
    const char *file;
    const char *module;
    uint64_t address;
    uint32_t line; /* 0: not known */
    bool inlined;
};

struct psc_site {
    uint32_t id;
    uint16_t flags; /* enum psc_site_flag */
    uint64_t alloc_count;
    uint64_t alloc_bytes;
    uint64_t free_count;
    uint64_t free_bytes;
    uint64_t live_count; /* counted, as in the totals */
    uint64_t live_bytes;
    uint64_t peak_live_count; /* at the moment when the process's live bytes peaked */
    uint64_t peak_live_bytes;
    uint64_t temporary_count;
    uint64_t tagged_count; /* live blocks found in pools, in a sampled trace the samples among them; of an exact one
                                  * it differs from live_count only while the process writes */
    uint64_t tagged_bytes; /* requested */
    struct psc_range live_count_range;
    struct psc_range live_bytes_range;
    struct psc_range alloc_bytes_range;
    struct psc_range pinned_bytes_range;
    double alloc_bytes_variance; /* of sampled traces */
    uint64_t pinned_bytes;       /* shares of all pools: they add up to fragmentation.pinned_bytes */
    uint64_t pinned_pools;       /* pools with something pinned in which this site has a block (of a sampled trace: a
                                  * sample) */
    uint64_t pinned_pools_bytes; /* committed bytes of those pools */
    uint64_t pinning_blocks;     /* blocks of this site in those pools */
    uint64_t pinning_bytes;      /* block bytes of those */
    /* The next are not known of a sampled trace, and 0. report/blame.h has the formulas. */
    uint64_t pinned_page_bytes; /* shares of what is free in pages, arenas and huge pages with a live block; they add */
    uint64_t pinned_arena_bytes; /* up to the sums of the same names in fragmentation */
    uint64_t pinned_huge_bytes;
    uint64_t sole_pools;     /* of pinned_pools, those in which no other site has a block */
    uint64_t sole_bytes;     /* pinned in those */
    uint64_t apart_bytes;    /* what the pinning blocks would take in pools of their own */
    uint64_t saving_bytes;   /* what would go back if they had such pools from the start */
    uint64_t internal_bytes; /* rounding of the blocks with a tag */
    double lifetime_sum;     /* bytes of the allocation clock, of all blocks, those that live as old as they are */
    uint64_t lifetime_p50;   /* bytes of the allocation clock, or PSC_LIFETIME_UNKNOWN */
    uint64_t lifetime_p90;
    uint64_t lifetime_p99;
    /* As walks of all tags found it in the course of the run (see struct psc_walks). */
    uint64_t lasting_bytes;      /* part of pinned_bytes: shares of what each pool had free all the time */
    uint64_t worst_pinned_bytes; /* when most was pinned in all */
    double pinned_byte_ns;       /* pinned bytes, summed over time */
    uint64_t first_clock;
    size_t skip_after; /* return addresses of `raw` behind which some are left out; 0: none are */
    struct psc_site_frames raw;
    struct psc_frame *frames; /* NULL until psc_model_symbolize */
    size_t frame_count;
};

#define PSC_TOGETHER_MAX 7 /* as many as the allocator can give pools of their own */

/* The sites that keep pools from going back which none of them keeps alone; none in a sampled trace. */
struct psc_together {
    uint32_t sites[PSC_TOGETHER_MAX]; /* the one that pins most first */
    uint32_t site_count;
    uint64_t pools; /* in which no other site has a block */
    uint64_t committed_bytes;
    uint64_t apart_bytes;  /* what all their pinning blocks would take in pools of their own */
    uint64_t saving_bytes; /* the difference */
};

/* Two sites with blocks in the same sparse pools: see report/blame.h. */
struct psc_pair {
    uint32_t sites[2]; /* the one that pins more, first */
    uint64_t pools;
    uint64_t pinned_bytes; /* in those pools, by whomever */
    uint64_t saving_bytes; /* what would go back if each of the two had pools of its own, of pools of these two alone */
    uint64_t lifetime_bytes[2]; /* medians */
    bool lives_longer[2];       /* too many blocks still live to say: it is more */
};

/* A pool that is in use, empty ones included; of a sampled trace one with a sample. Sorted by base. */
struct psc_pool {
    uint64_t base;
    uint64_t block_bytes;
    uint32_t class_index;
    uint32_t capacity;
    uint32_t carved;
    uint32_t tagged;   /* live blocks with a tag */
    uint32_t untagged; /* live blocks without */
    uint64_t committed_bytes;
    uint64_t live_requested_bytes;
    uint64_t pinned_bytes;  /* 0 in an empty pool */
    uint64_t lasting_bytes; /* part of pinned_bytes: free in it all the time, see struct psc_walks */
};

static inline uint64_t psc_pool_live(const struct psc_pool *pool) {
    return (uint64_t)pool->tagged + pool->untagged;
}

/* 0: empty; k: occupancy in ((k-1)/10, k/10] */
static inline uint32_t psc_pool_tenth(const struct psc_pool *pool) {
    uint64_t capacity = pool->capacity == 0 ? 1 : pool->capacity;
    uint64_t bin = (psc_pool_live(pool) * 10 + capacity - 1) / capacity;
    return bin < PSC_OCCUPANCY_BINS ? (uint32_t)bin : PSC_OCCUPANCY_BINS - 1;
}

struct psc_large {
    uint64_t base;
    uint64_t block_bytes; /* as mapped */
    uint64_t requested_bytes;
    uint32_t site; /* PSC_SITE_UNKNOWN: no tag */
};

/* What is pinned, in the course of the run: now and then the process walks all of its tags, and the end counts as a walk.
 * Between two walks, what the later one found is taken to hold. All zero in a sampled trace.
 *
 * Of a pool, what it had free at each walk since window_ns is *lasting*: the least of what these found pinned in it, and
 * what is now. The rest is *transient*: the pool was fuller, or not there at all. */
struct psc_walks {
    uint64_t count;
    uint64_t last_ns;
    uint64_t worst_bytes; /* the most that was pinned, and when */
    uint64_t worst_ns;
    bool has_window; /* false: it did not run for long enough to tell lasting from transient */
    uint64_t window_ns;
};

/* The pools at the moment of a snapshot; see struct psc_wire_map for the cells. */
struct psc_pool_map {
    uint64_t sequence; /* of the snapshot */
    uint32_t slots;    /* a cell */
    uint8_t cells[PSC_MAP_CELLS];
};

enum psc_slot_state { PSC_SLOT_FREE, PSC_SLOT_POOL, PSC_SLOT_CACHED };

/* Sorted by base. Its pools are model.pools[first_pool .. first_pool + pool_count - 1]. */
struct psc_arena {
    uint64_t base;
    uint32_t index;                 /* of its row: where in a pool map its slots stand */
    uint8_t slots[PSC_ARENA_SLOTS]; /* enum psc_slot_state */
    uint64_t cached_bytes;          /* of cached slots: pages not yet given back */
    size_t first_pool;
    size_t pool_count;
};

struct psc_thread {
    uint32_t tid; /* of the last owner */
    uint32_t running;
    uint32_t owners; /* threads that shared this row, one after the other */
    char name[17];
    uint64_t alloc_count;
    uint64_t free_count;
};

/* Live blocks by requested size, four buckets an octave: bucket b begins at psc_size_bucket_start(b) bytes. */
#define PSC_SIZE_BUCKETS 256
struct psc_size_bucket {
    uint64_t count;
    uint64_t bytes;
};

static inline uint32_t psc_size_bucket_of(uint64_t bytes) {
    if (bytes < 4) {
        return (uint32_t)bytes;
    }
    uint32_t octave = 63u - (uint32_t)__builtin_clzll(bytes);
    return octave * 4 + (uint32_t)(bytes >> (octave - 2) & 3);
}

static inline uint64_t psc_size_bucket_start(uint32_t bucket) {
    return bucket < 4 ? bucket : bucket < 8 ? 4 : (uint64_t)(4 + bucket % 4) << (bucket / 4 - 2);
}

/* Live blocks of pools that have a tag, by age (psc_age_bucket) and by occupancy of their pool (as in
 * psc_wire_snapshot), and what is pinned in those pools in equal shares for all live blocks, whatever their age. Figures
 * of a sampled trace are estimates. */
struct psc_age_cell {
    double blocks;
    double bytes; /* requested */
    double pinned_bytes;
};

/* Something that the reader of the report should know. A warning says that the trace is damaged and where. */
struct psc_note {
    bool warning;
    char *text;
};

struct psc_model {
    const char *path; /* of the trace, as given */
    struct psc_process process;
    struct psc_sampling sampling;
    struct psc_totals totals;
    struct psc_not_sampled not_sampled;
    struct psc_fragmentation fragmentation;
    uint32_t page_bytes;
    uint32_t arena_bytes;
    uint32_t slot_bytes;
    uint32_t class_count; /* of classes made for pools */
    struct psc_class classes[PSC_CLASSES_MAX];
    struct psc_module *modules;
    size_t module_count;
    struct psc_site *sites; /* index = id; ids that were never used have all figures 0 */
    size_t site_count;
    struct psc_lifetime *lifetimes; /* of the sites, by id */
    uint32_t *by_live;              /* ids of sites with live bytes, most first */
    size_t by_live_count;
    uint32_t *by_pinned; /* ids of sites with pinned bytes, most first */
    size_t by_pinned_count;
    uint32_t *by_peak; /* ids of sites with live bytes at the peak, most first */
    size_t by_peak_count;
    uint32_t *by_worst; /* ids of sites with pinned bytes when that was worst, most first */
    size_t by_worst_count;
    struct psc_together together;
    struct psc_pair *pairs; /* of most weight first */
    size_t pair_count;
    struct psc_pool *pools;
    size_t pool_count;
    struct psc_large *larges; /* sorted by base */
    size_t large_count;
    struct psc_arena *arenas;
    size_t arena_count;
    struct psc_thread *threads;
    size_t thread_count;
    struct psc_wire_snapshot *snapshots; /* sorted by time; time_ns since the start; the peak's has PSC_SNAPSHOT_PEAK */
    size_t snapshot_count;
    struct psc_pool_map *maps; /* sorted by sequence */
    size_t map_count;
    struct psc_walks walks;
    struct psc_size_bucket sizes[PSC_SIZE_BUCKETS];
    struct psc_age_cell age_occupancy[PSC_AGE_BUCKETS][PSC_OCCUPANCY_BINS];
    struct psc_note *notes;
    size_t note_count;
    struct psc_symbols *symbols;   /* opened by the first psc_model_symbolize */
    struct psc_model_store *store; /* memory behind the pointers above; model.c's own */
};

/* Reads the trace at `path` (kept by reference). Returns NULL and sets *error to a sentence without its end (static, or
 * valid until the next call) if nothing can be said about the file; a damaged trace is a model with warnings. */
struct psc_model *psc_model_open(const char *path, const char **error);
/* The same of an open descriptor, which stays the caller's. */
struct psc_model *psc_model_open_fd(int fd, const char *path, const char **error);
void psc_model_close(struct psc_model *model);

/* Fills site->frames if it is not there yet. Cheap the second time. */
void psc_model_symbolize(struct psc_model *model, struct psc_site *site);
/* Takes over the names that `older`, an earlier reading of the same trace, has looked up, which then has none: its frames
 * live as long as `model`. Does nothing where the modules of `older` are not the first ones of `model`. */
void psc_model_adopt_symbols(struct psc_model *model, struct psc_model *older);
/* Symbolizes the first `top` sites by live, by pinned, by peak and by worst pinned bytes: what summary and page show. */
void psc_model_symbolize_top(struct psc_model *model, size_t top);
/* Gives back the array of resolved frames of one site. */
void psc_model_forget_frames(struct psc_site *site);

/* The snapshot of the peak of live bytes, NULL if there is none. */
const struct psc_wire_snapshot *psc_model_peak_snapshot(const struct psc_model *model);
/* The pool map of a snapshot, NULL if it has none. */
const struct psc_pool_map *psc_model_map_of(const struct psc_model *model, const struct psc_wire_snapshot *snapshot);

/* True of a trace with samples in place of all allocations. */
static inline bool psc_model_is_sampled(const struct psc_model *model) {
    return model->sampling.mode == PSC_MODE_SAMPLE;
}

/* True if the site was met at all. */
bool psc_site_is_used(const struct psc_site *site);
/* True of the one that stands in `frames` where a deep stack has a gap. */
bool psc_frame_is_gap(const struct psc_frame *frame);
/* Frames of the allocator's own entry points (malloc, calloc, operator new, ...) at the inner end: how many to skip so
 * that the first one shown is the program's. Never all of them. */
size_t psc_site_skip(const struct psc_site *site);

/* Whether the process that has this number is the one that began at `start_ticks` (psc_process.start_ticks), and has not
 * ended. */
bool psc_process_runs(uint32_t pid, uint64_t start_ticks);
/* The last part of exe, or of argv[0]; never NULL. */
const char *psc_process_name(const struct psc_process *process);
const char *psc_process_end_name(enum psc_process_end end);

#endif
