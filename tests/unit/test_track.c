/* The tracker over an allocator that only pretends: pools of tags, no memory behind them. What it wrote is read back
 * here without the reporting tool. Check runs each test in a process of its own. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/track/track.h"
#include "core/track/types.h"
#include "core/wire/trace.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#define POOLS 4
#define CAPACITY 1000
/* Of one extent. */
static const uint32_t capacity_max = (PSC_CHUNK_BYTES - sizeof(struct psc_wire_extent)) / 8;

#define NEXT_PROGRAM "--after-exec"

static char directory[64];
static const uint32_t class_bytes[POOLS] = {16, 64, 256, 1024};
static unsigned described;
static unsigned reregistered;

/* ---- an allocator -------------------------------------------------------------------------------------------- */

struct pool {
    struct psc_tags tags;
    uint32_t class_index;
    uint32_t used;
    bool taken[CAPACITY];
    uint32_t requested[CAPACITY];
};

static struct pool pools[POOLS];

/* What the books should say. */
struct truth {
    uint64_t allocs;
    uint64_t alloc_bytes;
    uint64_t frees;
    uint64_t free_bytes;
};

static void describe(struct psc_wire_snapshot *snapshot, struct psc_wire_map *map) {
    described++;
    snapshot->committed_bytes = 1000 + described;
    snapshot->metadata_bytes = 77;
    map->slots = 1;
    map->cells[0] = (uint8_t)described;
}

static void describe_resident(struct psc_wire_snapshot *snapshot) {
    snapshot->resident_bytes = snapshot->committed_bytes - 100;
    snapshot->tracker_anon_bytes += 1;
}

static void count_untagged(void) {
}

static void reregister(void) {
    static const uint64_t bits[PSC_ARENA_SLOTS / 64] = {5};
    reregistered++;
    psc_track_arena(0, 0x10000, bits, bits, 0);
}

static uint64_t *tags_of(struct pool *pool) {
    uint32_t epoch = psc_track_epoch();
    if (epoch == 0) {
        return NULL;
    }
    if (pool->tags.epoch == epoch) {
        return pool->tags.tags;
    }
    return psc_track_attach(&pool->tags, pool->class_index, (uint64_t)(pool->class_index + 1) << 32,
                            class_bytes[pool->class_index], CAPACITY, CAPACITY, pool->used);
}

/* The caller is the site. */
static __attribute__((always_inline)) inline void take_block(struct pool *pool, uint32_t index, uint32_t requested,
                                                             struct truth *truth) {
    psc_track_alloc(tags_of(pool), index, pool->class_index, requested, class_bytes[pool->class_index]);
    pool->taken[index] = true;
    pool->requested[index] = requested;
    pool->used++;
    truth->allocs++;
    truth->alloc_bytes += requested;
}

static void drop_block(struct pool *pool, uint32_t index, struct truth *truth) {
    psc_track_free(tags_of(pool), index, pool->class_index, class_bytes[pool->class_index]);
    pool->taken[index] = false;
    pool->used--;
    truth->frees++;
    truth->free_bytes += pool->requested[index];
}

static PSC_NOINLINE void site_a(struct pool *pool, uint32_t index, uint32_t requested, struct truth *truth) {
    take_block(pool, index, requested, truth);
    __asm__ volatile("");
}

static PSC_NOINLINE void site_b(struct pool *pool, uint32_t index, uint32_t requested, struct truth *truth) {
    take_block(pool, index, requested, truth);
    __asm__ volatile("");
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Takes and drops blocks of pools[first .. first + count) at random; truth[0] is of site_a, truth[1] of site_b. */
static void churn(uint32_t first, uint32_t count, uint32_t events, uint32_t seed, struct truth truth[2]) {
    static PSC_TLS uint8_t maker[POOLS][CAPACITY];
    for (uint32_t i = 0; i < events; i++) {
        struct pool *pool = &pools[first + next_random(&seed) % count];
        uint32_t index = next_random(&seed) % CAPACITY;
        uint32_t requested = 1 + next_random(&seed) % class_bytes[pool->class_index];
        uint8_t *made_by = &maker[pool->class_index][index];
        if (pool->taken[index]) {
            drop_block(pool, index, &truth[*made_by]);
        } else if ((*made_by = next_random(&seed) % 3 == 0) != 0) {
            site_b(pool, index, requested, &truth[1]);
        } else {
            site_a(pool, index, requested, &truth[0]);
        }
    }
}

/* ---- start and stop ------------------------------------------------------------------------------------------ */

static const struct psc_track_host host = {
    .arena_bytes = 4u << 20,
    .slot_bytes = 16384,
    .class_count = POOLS,
    .class_bytes = class_bytes,
    .describe = describe,
    .describe_resident = describe_resident,
    .count_untagged = count_untagged,
    .reregister = reregister,
};

static struct psc_options options_with(const char *out) {
    struct psc_options options = {.mode = PSC_MODE_EXACT, .depth = 256, .snapshots = 256};
    snprintf(options.out, sizeof options.out, "%s", out);
    return options;
}

static void begin_with(const struct psc_options *options) {
    ck_assert(psc_track_start(options, &host));
    for (uint32_t i = 0; i < POOLS; i++) {
        pools[i].class_index = i;
    }
}

static void begin(void) {
    struct psc_options options = options_with(directory);
    begin_with(&options);
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Sanitizers look at all of a mapping: a small one is enough for all tests but one. */
static void make_directory(void) {
    strcpy(directory, "/tmp/psc-track-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    limit_files((rlim_t)256 << 20);
}

static void remove_directory(void) {
    char path[512];
    DIR *dir = opendir(directory);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    umount2(directory, MNT_DETACH); /* some tests have mounted there */
    rmdir(directory);
}

static unsigned count_files(void) {
    unsigned count = 0;
    DIR *dir = opendir(directory);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count;
}

/* ---- a reader ------------------------------------------------------------------------------------------------ */

struct trace {
    const char *bytes;
    size_t size;
    const struct psc_wire_header *header;
};

static struct trace read_trace_at(const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    ck_assert_int_eq(fstat(fd, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0600);
    void *p = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert(p != MAP_FAILED);
    close(fd);
    struct trace trace = {p, (size_t)status.st_size, p};
    ck_assert_mem_eq(trace.header->magic, PSC_TRACE_MAGIC, 8);
    ck_assert_uint_le((size_t)trace.header->chunks_used * PSC_CHUNK_BYTES, trace.size);
    return trace;
}

static struct trace read_trace_of(pid_t pid) {
    char path[128];
    snprintf(path, sizeof path, "%s/poolscope-%d.trace", directory, (int)pid);
    return read_trace_at(path);
}

static const char *chunk_at(const struct trace *trace, uint32_t chunk, enum psc_chunk_kind kind) {
    const char *bytes = trace->bytes + (size_t)chunk * PSC_CHUNK_BYTES;
    return trace->bytes[PSC_CHUNK_BYTES + chunk] == (char)kind ? bytes : NULL;
}

/* Row `index` of a table, NULL behind the last chunk. */
static const void *row_of(const struct trace *trace, enum psc_chunk_kind kind, uint32_t index) {
    uint32_t bytes = trace->header->row_bytes[kind];
    uint32_t per_chunk = PSC_CHUNK_BYTES / bytes;
    uint32_t ordinal = index / per_chunk;
    for (uint32_t chunk = PSC_FIRST_DATA_CHUNK; chunk < trace->header->chunks_used; chunk++) {
        const char *rows = chunk_at(trace, chunk, kind);
        if (rows != NULL && ordinal-- == 0) {
            return rows + (size_t)(index % per_chunk) * bytes;
        }
    }
    return NULL;
}

/* Sums a site's rows over all books; site 0: over all sites. */
static struct psc_wire_row sum_rows(const struct trace *trace, uint32_t site) {
    struct psc_wire_row sum = {0};
    const struct psc_wire_book *book;
    for (uint32_t i = 0; (book = row_of(trace, PSC_CHUNK_BOOKS, i)) != NULL; i++) {
        for (uint32_t k = 0; book->used != 0 && k < PSC_BOOK_ROWS; k++) {
            const struct psc_wire_row *row = &book->rows[k];
            if (site != 0 && site != book->first_site + k) {
                continue;
            }
            bool changed = row->peak_epoch != (uint32_t)trace->header->counters.peak_epoch;
            sum.alloc_count += row->alloc_count;
            sum.alloc_bytes += row->alloc_bytes;
            sum.free_count += row->free_count;
            sum.free_bytes += row->free_bytes;
            sum.temporary_count += row->temporary_count;
            sum.at_peak_bytes += changed ? row->alloc_bytes - row->free_bytes : row->at_peak_bytes;
            sum.at_peak_count += changed ? row->alloc_count - row->free_count : row->at_peak_count;
            for (uint32_t age = 0; age < PSC_AGE_BUCKETS; age++) {
                sum.ages[age] += row->ages[age];
            }
        }
    }
    return sum;
}

struct live {
    uint64_t blocks;
    uint64_t bytes; /* requested, of blocks with a tag */
    uint64_t untagged;
    uint32_t extents;
    uint32_t free_extents;
};

/* Of one site, or of all for site 0. */
static struct live count_live(const struct trace *trace, uint32_t site) {
    struct live live = {0};
    for (uint32_t chunk = PSC_FIRST_DATA_CHUNK; chunk < trace->header->chunks_used; chunk++) {
        const char *bytes = chunk_at(trace, chunk, PSC_CHUNK_EXTENTS);
        for (size_t at = 0; bytes != NULL && at + sizeof(struct psc_wire_extent) <= PSC_CHUNK_BYTES;) {
            const struct psc_wire_extent *extent = (const void *)(bytes + at);
            if (extent->state == PSC_EXTENT_END) {
                break;
            }
            at += (size_t)extent->words * 8;
            live.extents += extent->state == PSC_EXTENT_LIVE;
            live.free_extents += extent->state == PSC_EXTENT_FREE;
            live.untagged += extent->state == PSC_EXTENT_LIVE ? extent->untagged : 0;
            for (uint32_t i = 0; extent->state == PSC_EXTENT_LIVE && i < extent->capacity; i++) {
                uint64_t tag = extent->tags[i];
                if (psc_tag_is_live(tag) && (site == 0 || psc_tag_site(tag) == site)) {
                    live.blocks++;
                    live.bytes += extent->block_bytes - psc_tag_slack(tag);
                }
            }
        }
    }
    return live;
}

static const uint64_t *frames_of(const struct trace *trace, uint32_t site, uint32_t *depth) {
    const struct psc_wire_site *row = row_of(trace, PSC_CHUNK_SITES, site);
    if (row == NULL || row->hash == 0) {
        *depth = 0;
        return NULL;
    }
    *depth = row->depth;
    return (const void *)(trace->bytes + row->frames);
}

/* Innermost frame of the sites that call from `function`, which is at most 4096 bytes long; 0: none. */
static uint64_t call_in(const struct trace *trace, const void *function) {
    uint64_t found = 0;
    uint32_t depth;
    const uint64_t *frames;
    for (uint32_t site = PSC_SITE_FIRST; (frames = frames_of(trace, site, &depth)) != NULL; site++) {
        bool within = frames[0] - (uint64_t)(uintptr_t)function < 4096;
        found = within && (found == 0 || frames[0] < found) ? frames[0] : found;
    }
    return found;
}

typedef void site_function(struct pool *, uint32_t, uint32_t, struct truth *);

/* The first site that the function made. */
static uint32_t site_of(const struct trace *trace, site_function *function) {
    uint64_t call = call_in(trace, (const void *)(uintptr_t)function);
    uint32_t depth;
    const uint64_t *frames;
    for (uint32_t site = PSC_SITE_FIRST; (frames = frames_of(trace, site, &depth)) != NULL; site++) {
        if (frames[0] == call) {
            return site;
        }
    }
    ck_abort_msg("no such site");
}

static void check_row(const struct psc_wire_row *row, const struct truth *truth) {
    ck_assert_uint_eq(row->alloc_count, truth->allocs);
    ck_assert_uint_eq(row->alloc_bytes, truth->alloc_bytes);
    ck_assert_uint_eq(row->free_count, truth->frees);
    ck_assert_uint_eq(row->free_bytes, truth->free_bytes);
}

/* Books, tags and ages agree with each other and with the truth. */
static void check_site(const struct trace *trace, uint32_t site, const struct truth *truth) {
    struct psc_wire_row row = sum_rows(trace, site);
    struct live live = count_live(trace, site);
    uint64_t aged = 0;
    for (uint32_t i = 0; i < PSC_AGE_BUCKETS; i++) {
        aged += row.ages[i];
    }
    check_row(&row, truth);
    ck_assert_uint_eq(live.blocks, truth->allocs - truth->frees);
    ck_assert_uint_eq(live.bytes, truth->alloc_bytes - truth->free_bytes);
    ck_assert_uint_eq(aged, truth->frees);
}

static struct truth add_truth(struct truth a, struct truth b) {
    return (struct truth){a.allocs + b.allocs, a.alloc_bytes + b.alloc_bytes, a.frees + b.frees,
                          a.free_bytes + b.free_bytes};
}

/* ---- tests: figures ------------------------------------------------------------------------------------------ */

START_TEST(one_thread_is_exact) {
    struct truth truth[2] = {{0}};
    begin();
    churn(0, POOLS, 20000, 1, truth);
    struct trace trace = read_trace_of(getpid());
    struct truth all = add_truth(truth[0], truth[1]);
    check_site(&trace, 0, &all); /* before the end: as a killed process would leave it */
    psc_track_end(PSC_END_EXIT);
    trace = read_trace_of(getpid());
    check_site(&trace, 0, &all);
    check_site(&trace, site_of(&trace, site_a), &truth[0]);
    check_site(&trace, site_of(&trace, site_b), &truth[1]);
    ck_assert_uint_eq(trace.header->counters.clock_bytes, all.alloc_bytes);
    ck_assert_uint_eq(trace.header->counters.live_bytes, all.alloc_bytes - all.free_bytes);
    ck_assert_uint_eq(trace.header->counters.dropped_events, 0);
    ck_assert_uint_eq(trace.header->counters.unrecorded_frees, 0);
    ck_assert_uint_eq(trace.header->end, PSC_END_EXIT);
    ck_assert_uint_ge(trace.header->end_ns, trace.header->start_ns);
    ck_assert_uint_eq(trace.size, (size_t)trace.header->chunks_used * PSC_CHUNK_BYTES);
}
END_TEST

START_TEST(classes_are_counted) {
    struct truth truth = {0};
    begin();
    for (uint32_t i = 0; i < 10; i++) {
        site_a(&pools[2], i, 200, &truth);
    }
    drop_block(&pools[2], 3, &truth);
    struct trace trace = read_trace_of(getpid());
    const struct psc_wire_thread *thread = row_of(&trace, PSC_CHUNK_THREADS, 0);
    ck_assert_uint_eq(thread->tid, (uint32_t)getpid());
    ck_assert_uint_eq(thread->class_allocs[2], 10);
    ck_assert_uint_eq(thread->class_frees[2], 1);
    ck_assert_uint_eq(trace.header->class_bytes[2], 256);
}
END_TEST

START_TEST(slack_beyond_the_tag_stays_consistent) {
    struct psc_tags tags = {0};
    begin();
    ck_assert_uint_ne(psc_track_epoch(), 0);
    uint64_t *t = psc_track_attach(&tags, PSC_CLASS_LARGE, 1 << 20, 1 << 20, 1, 1, 0);
    psc_track_alloc(t, 0, PSC_CLASS_LARGE, 10, 1 << 20);
    struct trace trace = read_trace_of(getpid());
    ck_assert_uint_eq(sum_rows(&trace, 0).alloc_bytes, (1 << 20) - 32767);
    psc_track_free(t, 0, PSC_CLASS_LARGE, 1 << 20);
    ck_assert_uint_eq(sum_rows(&trace, 0).free_bytes, (1 << 20) - 32767);
    ck_assert_uint_eq(count_live(&trace, 0).blocks, 0);
}
END_TEST

START_TEST(ages_and_temporaries) {
    struct truth truth = {0};
    begin();
    for (volatile uint32_t i = 0; i < 2; i++) {
        site_a(&pools[3], i, 1024, &truth);
        if (i == 0) {
            drop_block(&pools[3], 0, &truth); /* temporary, age 0 */
        }
    }
    for (uint32_t i = 2; i < 10; i++) {
        site_b(&pools[3], i, 1024, &truth);
    }
    drop_block(&pools[3], 1, &truth);     /* age 8192 */
    drop_block(&pools[3], 1 + 1, &truth); /* age 7168 */
    struct trace trace = read_trace_of(getpid());
    struct psc_wire_row a = sum_rows(&trace, site_of(&trace, site_a));
    struct psc_wire_row b = sum_rows(&trace, site_of(&trace, site_b));
    ck_assert_uint_eq(a.temporary_count, 1);
    ck_assert_uint_eq(b.temporary_count, 0);
    ck_assert_uint_eq(a.ages[0], 1);
    ck_assert_uint_eq(a.ages[psc_age_bucket(8192)], 1);
    ck_assert_uint_eq(b.ages[psc_age_bucket(7168)], 1);
}
END_TEST

/* A site's blocks live for 40 KiB and 56 KiB in turns, both in the bucket from 32 KiB on. */
START_TEST(ages_have_their_places) {
    enum { FREES = 1000 };
    struct truth truth = {0};
    begin();
    for (uint32_t i = 0; i < FREES; i++) {
        site_a(&pools[3], 0, 1024, &truth);
        for (uint32_t k = 1; k < (i % 2 == 0 ? 40 : 56); k++) {
            site_b(&pools[3], 1, 1024, &truth);
            drop_block(&pools[3], 1, &truth);
        }
        site_b(&pools[3], 1, 1024, &truth);
        drop_block(&pools[3], 1, &truth);
        drop_block(&pools[3], 0, &truth);
    }
    struct trace trace = read_trace_of(getpid());
    uint32_t site = site_of(&trace, site_a), bucket = psc_age_bucket(32 << 10);
    ck_assert_uint_eq(sum_rows(&trace, site).ages[bucket], FREES);
    const struct psc_wire_book *book = row_of(&trace, PSC_CHUNK_BOOKS, 0);
    ck_assert_uint_eq(book->first_site, site / PSC_BOOK_ROWS * PSC_BOOK_ROWS);
    const struct psc_wire_places *places = &book->places[site % PSC_BOOK_ROWS][bucket];
    ck_assert_double_eq_tol((double)places->sum / FREES, (0.25 + 0.75) / 2, 0.003);
    ck_assert_double_eq_tol((double)places->squares / FREES, (0.0625 + 0.5625) / 2, 0.003);
}
END_TEST

START_TEST(peak_is_kept_by_site) {
    struct truth truth = {0};
    begin();
    for (volatile uint32_t i = 0; i < 640; i++) { /* 640 KiB: ten batches */
        site_a(&pools[3], i, 1024, &truth);
    }
    for (uint32_t i = 0; i < 600; i++) {
        drop_block(&pools[3], i, &truth);
    }
    for (volatile uint32_t i = 0; i < 100; i++) {
        site_b(&pools[3], i, 1024, &truth);
    }
    psc_track_end(PSC_END_EXIT);
    struct trace trace = read_trace_of(getpid());
    ck_assert_uint_eq(trace.header->counters.peak_live_bytes, 640 * 1024);
    ck_assert_uint_eq(trace.header->counters.peak_clock_bytes, 640 * 1024);
    struct psc_wire_row a = sum_rows(&trace, site_of(&trace, site_a));
    struct psc_wire_row b = sum_rows(&trace, site_of(&trace, site_b));
    ck_assert_uint_eq(a.at_peak_bytes, 640 * 1024);
    ck_assert_uint_eq(a.at_peak_count, 640);
    ck_assert_uint_eq(b.at_peak_bytes, 0);
    ck_assert_uint_eq(a.alloc_count - a.free_count, 40);
}
END_TEST

/* ---- tests: threads ------------------------------------------------------------------------------------------ */

#define EVENTS_EACH 10000

struct worker {
    uint32_t number;
    struct truth truth[2];
    pthread_t thread;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", worker->number);
    prctl(PR_SET_NAME, name);
    churn(worker->number, 1, EVENTS_EACH, worker->number + 7, worker->truth);
    psc_track_thread_end();
    return NULL;
}

static struct truth run_workers(struct worker *workers, uint32_t count) {
    struct truth all = {0};
    for (uint32_t i = 0; i < count; i++) {
        workers[i].number = i;
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        all = add_truth(all, add_truth(workers[i].truth[0], workers[i].truth[1]));
    }
    return all;
}

START_TEST(four_threads_are_exact) {
    struct worker workers[POOLS] = {{0}};
    begin();
    struct truth all = run_workers(workers, POOLS);
    struct trace trace = read_trace_of(getpid());
    check_site(&trace, 0, &all);
    /* Blocks of all threads are freed by this one. */
    for (uint32_t i = 0; i < POOLS * CAPACITY; i++) {
        if (pools[i / CAPACITY].taken[i % CAPACITY]) {
            drop_block(&pools[i / CAPACITY], i % CAPACITY, &all);
        }
    }
    psc_track_end(PSC_END_EXIT);
    trace = read_trace_of(getpid());
    check_site(&trace, 0, &all);
    ck_assert_uint_eq(all.allocs, all.frees);
    ck_assert_uint_eq(trace.header->counters.clock_bytes, all.alloc_bytes);
    ck_assert_uint_eq(trace.header->counters.live_bytes, 0);
    ck_assert_uint_eq(trace.header->counters.dropped_events, 0);
}
END_TEST

/* The first book of the trace, as its writer has it. */
static struct psc_wire_book *first_book(const struct trace *trace) {
    const char *book = row_of(trace, PSC_CHUNK_BOOKS, 0);
    return psc_track_at((uint64_t)(book - trace->bytes));
}

static PSC_NOINLINE void make_and_drop(struct truth *truth) {
    site_a(&pools[0], 0, 10, truth);
    drop_block(&pools[0], 0, truth);
}

START_TEST(counts_of_32_bits_go_on) {
    struct truth truth = {0};
    struct psc_wire_book *book = NULL;
    begin();
    for (volatile int round = 0; round < 2; round++) { /* of one site: the loop must not be unrolled */
        if (book != NULL) {
            book->rows[PSC_SITE_FIRST].ages[0] = book->rows[PSC_SITE_FIRST].temporary_count = UINT32_MAX;
            book->rows[PSC_SITE_FIRST].ages[5] = 1000;
            book->places[PSC_SITE_FIRST][5] = (struct psc_wire_places){400, 300};
        }
        make_and_drop(&truth);
        struct trace trace = read_trace_of(getpid());
        book = first_book(&trace);
    }
    const struct psc_wire_row *row = &book->rows[PSC_SITE_FIRST];
    const struct psc_wire_places *places = book->places[PSC_SITE_FIRST];
    ck_assert_uint_eq(row->alloc_count, 2);
    ck_assert_uint_eq(row->ages[0], UINT32_MAX / 2 + 1);
    ck_assert_uint_eq(row->ages[5], 500);
    ck_assert_uint_eq(places[5].sum, 200);
    ck_assert_uint_eq(places[5].squares, 150);
    ck_assert_uint_eq(row->temporary_count, 0);
    ck_assert_uint_eq(places[0].sum, 1);
}
END_TEST

START_TEST(ended_threads_are_taken_over) {
    struct worker worker = {0};
    begin();
    struct truth all = run_workers(&worker, 1);
    struct trace trace = read_trace_of(getpid());
    const struct psc_wire_thread *first = row_of(&trace, PSC_CHUNK_THREADS, 0);
    ck_assert_uint_eq(first->running, 0);
    ck_assert_uint_eq(first->owners, 1);
    ck_assert_str_eq(first->name, "worker-0");
    site_a(&pools[3], 0, 100, &all); /* this thread takes it over */
    ck_assert_uint_eq(first->running, 1);
    ck_assert_uint_eq(first->owners, 2);
    ck_assert_uint_eq(first->tid, (uint32_t)getpid());
    const struct psc_wire_thread *second = row_of(&trace, PSC_CHUNK_THREADS, 1);
    ck_assert_uint_eq(second->tid, 0);
    check_site(&trace, 0, &all);
}
END_TEST

static void *end_and_go_on(void *argument) {
    struct truth *truth = argument;
    site_a(&pools[0], 0, 10, truth);
    psc_track_thread_end();
    site_a(&pools[0], 1, 10, truth);
    drop_block(&pools[0], 0, truth);
    return NULL;
}

static void *only_after_end(void *argument) {
    psc_track_thread_end();
    site_b(&pools[1], 0, 10, argument);
    return NULL;
}

START_TEST(events_after_a_threads_end_count) {
    struct truth truth = {0};
    pthread_t thread;
    begin();
    ck_assert_int_eq(pthread_create(&thread, NULL, end_and_go_on, &truth), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, only_after_end, &truth), 0);
    pthread_join(thread, NULL);
    struct trace trace = read_trace_of(getpid());
    check_site(&trace, 0, &truth);
    ck_assert_uint_eq(trace.header->counters.clock_bytes, truth.alloc_bytes);
}
END_TEST

/* ---- tests: stacks and modules ------------------------------------------------------------------------------- */

static PSC_NOINLINE void descend(uint32_t levels, uint32_t index, struct truth *truth) {
    if (levels > 0) {
        descend(levels - 1, index, truth);
    } else {
        site_a(&pools[0], index, 8, truth);
    }
    __asm__ volatile("");
}

START_TEST(one_site_per_stack) {
    struct truth truth = {0};
    begin();
    for (uint32_t i = 0; i < 100; i++) {
        descend(i % 10, i, &truth);
    }
    struct trace trace = read_trace_of(getpid());
    uint32_t sites = 0;
    for (uint32_t id = PSC_SITE_FIRST;; id++) {
        const struct psc_wire_site *site = row_of(&trace, PSC_CHUNK_SITES, id);
        if (site == NULL || site->hash == 0) {
            break;
        }
        ck_assert_uint_eq(sum_rows(&trace, id).alloc_count, 10);
        sites++;
    }
    ck_assert_uint_eq(sites, 10);
}
END_TEST

/* As if the walk had met these frames, innermost first. */
static uint32_t intern(struct psc_track_thread *thread, uint32_t depth, uint32_t flags, uint64_t first, uint64_t hash) {
    thread->stack.depth = depth;
    thread->stack.flags = flags;
    thread->stack.listed = true;
    thread->stack.addresses[0] = first;
    thread->stack.addresses[depth - 1] = 0x2000;
    return psc_track_site_intern(thread, hash);
}

START_TEST(many_sites_grow_the_index) {
    struct psc_track_thread *thread;
    begin();
    ck_assert(psc_track_enter());
    thread = psc_track_thread_get();
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 10000; i++) {
            uint32_t site = intern(thread, 2, 0, 0x1000 + i, (i + 1) * 0x9e3779b97f4a7c15u);
            ck_assert_uint_eq(site, PSC_SITE_FIRST + i);
        }
    }
    ck_assert_uint_eq(intern(thread, 1, 0, 0x1000, 1), PSC_SITE_FIRST + 10000);
    ck_assert_uint_eq(intern(thread, 1, PSC_SITE_CUT, 0x1000, 2), PSC_SITE_FIRST + 10001);
    psc_track_leave();
}
END_TEST

/* Where hashes meet in the shared index, depth and flags decide. */
START_TEST(stacks_of_one_hash_are_told_apart) {
    struct psc_track_thread *thread;
    begin();
    ck_assert(psc_track_enter());
    thread = psc_track_thread_get();
    uint32_t site = intern(thread, 2, 0, 0x1000, 77);
    memset(thread->known, 0, sizeof thread->known);
    ck_assert_uint_ne(intern(thread, 3, 0, 0x1000, 77), site);
    ck_assert_uint_ne(intern(thread, 2, PSC_SITE_CUT, 0x1000, 77), site);
    memset(thread->known, 0, sizeof thread->known);
    ck_assert_uint_eq(intern(thread, 2, 0, 0x1000, 77), site);
    psc_track_leave();
}
END_TEST

START_TEST(depth_is_kept_to) {
    struct truth truth = {0};
    struct psc_options options = options_with(directory);
    options.depth = 4;
    begin_with(&options);
    descend(20, 0, &truth);
    struct trace trace = read_trace_of(getpid());
    const struct psc_wire_site *site = row_of(&trace, PSC_CHUNK_SITES, PSC_SITE_FIRST);
    ck_assert_uint_eq(site->depth, 4);
    ck_assert_uint_eq(site->flags, PSC_SITE_SKIPPED);
    ck_assert_uint_eq(trace.header->depth, 4);
}
END_TEST

START_TEST(modules_cover_the_frames) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 8, &truth);
    struct trace trace = read_trace_of(getpid());
    const struct psc_wire_site *site = row_of(&trace, PSC_CHUNK_SITES, PSC_SITE_FIRST);
    const uint64_t *frames = (const void *)(trace.bytes + site->frames);
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length] = '\0';
    ck_assert_uint_ge(site->depth, 3);
    ck_assert_uint_ge(site->modules, 2); /* the program and libc, at least */
    for (uint32_t i = 0; i < site->modules; i++) {
        const struct psc_wire_module *module = row_of(&trace, PSC_CHUNK_MODULES, i);
        ck_assert_uint_lt(module->start, module->end);
        ck_assert_int_eq(module->path[0], '/');
        if (frames[0] >= module->start && frames[0] < module->end) {
            ck_assert_str_eq(module->path, self);
        }
    }
    ck_assert_str_eq(trace.header->exe, self);
    for (uint32_t i = 0; i < site->depth; i++) {
        bool covered = false;
        for (uint32_t k = 0; k < site->modules; k++) {
            const struct psc_wire_module *module = row_of(&trace, PSC_CHUNK_MODULES, k);
            covered |= frames[i] - 1 >= module->start && frames[i] - 1 < module->end;
        }
        ck_assert(covered);
    }
}
END_TEST

/* ---- tests: extents and arenas ------------------------------------------------------------------------------- */

START_TEST(detached_extents_are_reused) {
    begin();
    uint32_t chunks = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        struct psc_tags tags = {0};
        uint64_t *t = psc_track_attach(&tags, 1, 4096 * (i + 1), 64, 900, 900, 0);
        ck_assert_ptr_nonnull(t);
        for (uint32_t k = 0; k < 900; k++) {
            ck_assert_uint_eq(t[k], 0);
        }
        psc_track_alloc(t, 899, 1, 60, 64);
        psc_track_free(t, 899, 1, 64);
        psc_track_alloc(t, 5, 1, 60, 64); /* its free is lost */
        psc_track_detach(&tags);
        psc_track_detach(&tags);
        chunks = i == 0 ? psc_track.header->chunks_used : chunks;
    }
    ck_assert_uint_le(psc_track.header->chunks_used, chunks + 3); /* of snapshots, maps and pins */
    struct trace trace = read_trace_of(getpid());
    struct live live = count_live(&trace, 0);
    ck_assert_uint_eq(live.extents, 0);
    ck_assert_uint_eq(live.free_extents, 1);
}
END_TEST

START_TEST(extents_fill_chunks) {
    struct psc_tags tags[40] = {{0}};
    begin();
    for (uint32_t i = 0; i < 40; i++) { /* half a chunk and more, then what fits behind */
        uint32_t capacity = i % 2 == 0 ? capacity_max / 2 + 1 : capacity_max * 3 / 8;
        ck_assert_ptr_nonnull(psc_track_attach(&tags[i], 0, 4096, 16, capacity, 7, i));
        psc_track_carved(&tags[i], 9, 2);
    }
    struct trace trace = read_trace_of(getpid());
    struct live live = count_live(&trace, 0);
    uint32_t chunks = 0;
    for (uint32_t i = PSC_FIRST_DATA_CHUNK; i < trace.header->chunks_used; i++) {
        chunks += chunk_at(&trace, i, PSC_CHUNK_EXTENTS) != NULL;
    }
    ck_assert_uint_eq(live.extents, 40);
    ck_assert_uint_eq(live.untagged, 39 * 40 / 2);
    ck_assert_uint_eq(chunks, 20);
    const struct psc_wire_extent *first = (const void *)((const char *)tags[0].tags - sizeof *first);
    ck_assert_uint_eq(first->carved, 9);
    ck_assert_ptr_null(psc_track_attach(&tags[0], 0, 4096, 16, capacity_max + 1, 0, 0)); /* larger than a chunk */
    ck_assert_ptr_nonnull(psc_track_attach(&tags[0], 0, 4096, 16, capacity_max, 0, 0));
    ck_assert_uint_eq(trace.header->flags, 0);
}
END_TEST

START_TEST(arenas_are_mirrored) {
    uint64_t pooled[PSC_ARENA_SLOTS / 64] = {1, 2, 3, 4};
    uint64_t cached[PSC_ARENA_SLOTS / 64] = {8, 16, 32, 64};
    begin();
    psc_track_arena(600, 0x7000000, pooled, cached, 12288); /* in the table's second chunk */
    struct trace trace = read_trace_of(getpid());
    const struct psc_wire_arena *row = row_of(&trace, PSC_CHUNK_ARENAS, 600);
    const struct psc_wire_arena *before = row_of(&trace, PSC_CHUNK_ARENAS, 599);
    ck_assert_uint_eq(row->base, 0x7000000);
    ck_assert_mem_eq(row->pooled, pooled, sizeof pooled);
    ck_assert_mem_eq(row->cached, cached, sizeof cached);
    ck_assert_uint_eq(before->base, 0);
}
END_TEST

/* ---- tests: signal handlers ---------------------------------------------------------------------------------- */

START_TEST(events_while_busy_keep_occupancy) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    site_a(&pools[0], 1, 10, &truth);
    uint64_t *tags = tags_of(&pools[0]);
    struct psc_tags none = {0};
    struct trace trace = read_trace_of(getpid());
    ck_assert(psc_track_enter()); /* from here on as in a handler that interrupted the tracker */
    psc_track_alloc(tags, 7, 0, 10, 16);
    psc_track_free(tags, 1, 0, 16);
    ck_assert_ptr_null(psc_track_attach(&none, 0, 4096, 16, 10, 0, 0));
    ck_assert_uint_eq(none.epoch, 0);
    psc_track_leave();
    ck_assert_uint_eq(count_live(&trace, 0).untagged, 1);
    ck_assert_uint_eq(count_live(&trace, 0).blocks, 1);
    ck_assert_uint_eq(trace.header->counters.dropped_events, 1);
    psc_track_free(tags, 7, 0, 16);
    ck_assert_uint_eq(count_live(&trace, 0).untagged, 0);
    ck_assert_uint_eq(trace.header->counters.unrecorded_frees, 1);
    psc_track_free(tags, 0, 0, 16); /* counts the deferred one too */
    struct psc_wire_row row = sum_rows(&trace, 0);
    ck_assert_uint_eq(row.free_count, 2);
    ck_assert_uint_eq(row.free_bytes, 20);
}
END_TEST

/* Of a block that is freed the tag says who had it, until another one has it or the pool is gone. */
START_TEST(tags_of_freed_blocks_tell_their_site) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    site_a(&pools[0], 1, 10, &truth);
    uint64_t *tags = tags_of(&pools[0]);
    uint32_t site = psc_tag_site(tags[0]), other = psc_tag_site(tags[1]);
    struct trace trace = read_trace_of(getpid());
    drop_block(&pools[0], 0, &truth);
    drop_block(&pools[0], 1, &truth);
    ck_assert(!psc_tag_is_live(tags[0]));
    ck_assert_uint_eq(psc_tag_last_site(tags[0]), site);
    ck_assert_uint_eq(count_live(&trace, 0).blocks, 0);
    psc_track_free(tags, 0, 0, 16); /* the tracker is not to be misled by it */
    ck_assert_uint_eq(trace.header->counters.unrecorded_frees, 1);
    ck_assert(psc_track_enter());
    psc_track_alloc(tags, 0, 0, 10, 16); /* dropped: whose it is is not known */
    psc_track_leave();
    ck_assert_uint_eq(tags[0], 0);
    ck_assert_uint_eq(psc_tag_last_site(tags[1]), other);
    psc_track_detach(&pools[0].tags);
    ck_assert_uint_eq(tags[1], 0);
}
END_TEST

START_TEST(misuse_is_counted) {
    psc_track_count_misuse();
    begin();
    struct trace trace = read_trace_of(getpid());
    psc_track_count_misuse();
    psc_track_count_misuse();
    ck_assert_uint_eq(trace.header->counters.misuse_count, 2);
}
END_TEST

START_TEST(errno_is_kept) {
    struct truth truth = {0};
    begin();
    errno = 4711;
    site_a(&pools[0], 0, 10, &truth);
    drop_block(&pools[0], 0, &truth);
    psc_track_end(PSC_END_EXIT);
    ck_assert_int_eq(errno, 4711);
}
END_TEST

/* ---- tests: processes ---------------------------------------------------------------------------------------- */

static void await(pid_t child, int status_wanted) {
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, status_wanted);
}

static uint64_t checksum(const struct trace *trace) {
    uint64_t sum = 0;
    for (size_t i = 0; i < (size_t)trace->header->chunks_used * PSC_CHUNK_BYTES / 8; i++) {
        sum = (sum ^ ((const uint64_t *)(const void *)trace->bytes)[i]) * 0x100000001b3u;
    }
    return sum;
}

START_TEST(killed_means_kept) {
    pid_t child = fork();
    if (child == 0) {
        struct truth truth[2] = {{0}};
        begin();
        churn(0, POOLS, 5000, 5, truth);
        raise(SIGKILL);
    }
    await(child, SIGKILL);
    struct trace trace = read_trace_of(child);
    ck_assert_uint_eq(trace.header->end, PSC_END_NONE);
    struct psc_wire_row row = sum_rows(&trace, 0);
    struct live live = count_live(&trace, 0);
    ck_assert_uint_eq(row.alloc_count + row.free_count, 5000);
    ck_assert_uint_eq(live.blocks, row.alloc_count - row.free_count);
    ck_assert_uint_eq(live.bytes, row.alloc_bytes - row.free_bytes);
}
END_TEST

typedef pid_t fork_function(void);

static pid_t raw_fork(void) {
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static pid_t handled_fork(void) {
    psc_track_fork_prepare();
    pid_t child = fork();
    if (child == 0) {
        psc_track_fork_child();
    } else {
        psc_track_fork_parent();
    }
    return child;
}

static fork_function *const forks[] = {fork, handled_fork, raw_fork};

START_TEST(forked_child_has_its_own_trace) {
    struct truth truth[2] = {{0}};
    begin();
    churn(0, POOLS, 3000, 9, truth);
    struct truth all = add_truth(truth[0], truth[1]);
    struct trace parent = read_trace_of(getpid());
    uint32_t inherited = pools[0].used;
    uint64_t before = checksum(&parent);
    pid_t child = forks[_i]();
    if (child == 0) {
        uint32_t index = 0;
        while (pools[0].taken[index]) {
            index++;
        }
        site_a(&pools[0], index, 10, truth);
        uint32_t old = 0;
        while (!pools[0].taken[old] || old == index) {
            old++;
        }
        drop_block(&pools[0], old, truth); /* the parent's: it carries no tag here */
        psc_track_end(PSC_END_EXIT);
        _exit(reregistered == 1 ? 0 : 1);
    }
    await(child, 0);
    ck_assert_uint_eq(checksum(&parent), before);
    check_site(&parent, 0, &all);
    struct trace trace = read_trace_of(child);
    ck_assert_uint_eq(trace.header->pid, (uint32_t)child);
    ck_assert_uint_eq(trace.header->ppid, (uint32_t)getpid());
    ck_assert_uint_eq(trace.header->flags, PSC_TRACE_FORKED);
    ck_assert_uint_eq(trace.header->end, PSC_END_EXIT);
    ck_assert_uint_eq(sum_rows(&trace, 0).alloc_count, 1);
    ck_assert_uint_eq(count_live(&trace, 0).blocks, 1);
    ck_assert_uint_eq(count_live(&trace, 0).untagged, inherited - 1);
    ck_assert_uint_eq(trace.header->counters.unrecorded_frees, 1);
    ck_assert_uint_eq(((const struct psc_wire_arena *)row_of(&trace, PSC_CHUNK_ARENAS, 0))->base, 0x10000);
    site_b(&pools[1], 999, 1, truth); /* the parent goes on */
    ck_assert_uint_eq(parent.header->end, PSC_END_NONE);
}
END_TEST

static void *make_one(void *truth) {
    site_a(&pools[1], 0, 10, truth);
    return NULL;
}

START_TEST(another_thread_begins_a_childs_trace) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    pid_t child = handled_fork();
    if (child == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, make_one, &truth) != 0 || pthread_join(thread, NULL) != 0) {
            _exit(1);
        }
        psc_track_resize_begin(&truth); /* must not go by what this thread had in its parent */
        psc_track_resize_end();
        site_a(&pools[2], 0, 10, &truth);
        psc_track_end(PSC_END_EXIT);
        _exit(0);
    }
    await(child, 0);
    struct trace trace = read_trace_of(child);
    ck_assert_uint_eq(sum_rows(&trace, 0).alloc_count, 2);
    ck_assert_uint_eq(((const struct psc_wire_thread *)row_of(&trace, PSC_CHUNK_THREADS, 1))->tid, (uint32_t)child);
    ck_assert_uint_eq(trace.header->counters.dropped_events, 0);
}
END_TEST

START_TEST(grandchildren_have_theirs) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    pid_t child = fork();
    if (child == 0) {
        site_a(&pools[0], 1, 10, &truth);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            site_a(&pools[0], 2, 10, &truth);
            site_a(&pools[0], 3, 10, &truth);
            _exit(0);
        }
        int status;
        _exit(waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 1);
    }
    await(child, 0);
    ck_assert_uint_eq(count_files(), 3);
    struct trace trace = read_trace_of(child);
    ck_assert_uint_eq(count_live(&trace, 0).blocks, 1);
    ck_assert_uint_eq(count_live(&trace, 0).untagged, 1);
}
END_TEST

START_TEST(quiet_child_leaves_no_trace) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    struct trace parent = read_trace_of(getpid());
    uint64_t before = checksum(&parent);
    pid_t child = fork();
    if (child == 0) {
        psc_track_free(NULL, 0, 0, 16);
        psc_track_detach(&pools[0].tags);
        psc_track_carved(&pools[0].tags, 3, 0);
        psc_track_thread_end();
        psc_track_end(PSC_END_EXIT);
        _exit(0);
    }
    await(child, 0);
    ck_assert_uint_eq(checksum(&parent), before);
    ck_assert_uint_eq(count_files(), 1);
}
END_TEST

static int in_shared_memory(void *argument) {
    site_b(&pools[0], 5, 10, argument);
    psc_track_end(PSC_END_EXIT);
    return 0;
}

START_TEST(vfork_child_writes_for_its_parent) {
    static _Alignas(64) char stack[256 * 1024];
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    pid_t child = clone(in_shared_memory, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &truth);
    ck_assert_int_gt(child, 0);
    await(child, 0);
    struct trace trace = read_trace_of(getpid());
    check_site(&trace, 0, &truth);
    ck_assert_uint_eq(truth.allocs, 2);
    ck_assert_uint_eq(trace.header->end, PSC_END_NONE);
    ck_assert_uint_eq(count_files(), 1);
}
END_TEST

START_TEST(fork_inside_the_tracker_spares_the_parent) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    struct trace parent = read_trace_of(getpid());
    uint64_t before = checksum(&parent);
    ck_assert(psc_track_enter()); /* a handler that forks */
    pid_t child = handled_fork();
    if (child == 0) {
        pools[0].tags.tags[1] = 1; /* what the interrupted code may still write */
        psc_track_leave();
        int left = psc_track_epoch() == 0 ? 0 : 1;
        psc_track_end(PSC_END_EXIT);
        _exit(left);
    }
    psc_track_leave();
    await(child, 0);
    ck_assert_uint_eq(checksum(&parent), before);
    ck_assert_uint_eq(count_files(), 1);
}
END_TEST

START_TEST(child_without_directory_runs_on) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    pid_t child = fork();
    if (child == 0) {
        remove_directory();
        site_a(&pools[0], 1, 10, &truth);
        drop_block(&pools[0], 0, &truth);
        psc_track_end(PSC_END_EXIT);
        _exit(psc_track_epoch() == 0 ? 0 : 1);
    }
    await(child, 0);
}
END_TEST

static int run_after_exec(const char *out) {
    struct psc_options options = options_with(out);
    struct truth truth = {0};
    if (!psc_track_start(&options, &host)) {
        return 1;
    }
    site_a(&pools[0], 0, 10, &truth);
    psc_track_end(PSC_END_EXIT);
    return 0;
}

START_TEST(exec_is_seen) {
    pid_t child = fork();
    if (child == 0) {
        struct truth truth = {0};
        begin();
        site_a(&pools[0], 0, 10, &truth);
        execl("/proc/self/exe", "second", NEXT_PROGRAM, directory, (char *)NULL);
        _exit(9);
    }
    await(child, 0);
    char path[128];
    snprintf(path, sizeof path, "%s/poolscope-%d.2.trace", directory, (int)child);
    struct trace first = read_trace_of(child);
    struct trace second = read_trace_at(path);
    ck_assert_uint_eq(first.header->end, PSC_END_EXEC);
    ck_assert_uint_ge(first.header->end_ns, first.header->start_ns);
    ck_assert_uint_eq(first.size, (size_t)first.header->chunks_used * PSC_CHUNK_BYTES);
    ck_assert_uint_eq(second.header->end, PSC_END_EXIT);
    ck_assert_uint_eq(first.header->start_ticks, second.header->start_ticks);
    ck_assert_uint_ne(first.header->start_ticks, 0);
    ck_assert_str_eq(second.header->argv, "second");
    ck_assert_str_eq(second.header->argv + sizeof "second", NEXT_PROGRAM);
    ck_assert_uint_eq(count_live(&first, 0).blocks, 1);
}
END_TEST

START_TEST(other_process_is_not_marked) {
    char path[128];
    snprintf(path, sizeof path, "%s/same.trace", directory);
    struct psc_options options = options_with(path);
    pid_t child = fork();
    if (child == 0) {
        begin_with(&options);
        _exit(0);
    }
    await(child, 0);
    begin_with(&options);
    struct trace first = read_trace_at(path);
    ck_assert_uint_eq(first.header->end, PSC_END_NONE);
    snprintf(path, sizeof path, "%s/same.2.trace", directory);
    struct trace second = read_trace_at(path);
    ck_assert_uint_eq(second.header->pid, (uint32_t)getpid());
}
END_TEST

/* ---- tests: names and failures ------------------------------------------------------------------------------- */

static int said[2];

static void hear(void) {
    ck_assert_int_eq(pipe(said), 0);
    ck_assert_int_eq(dup2(said[1], STDERR_FILENO), STDERR_FILENO);
    ck_assert_int_eq(fcntl(said[0], F_SETFL, O_NONBLOCK), 0);
}

static const char *heard(void) {
    static char text[2048];
    ssize_t length = read(said[0], text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void check_path(const char *out, const char *wanted) {
    char path[PSC_TRACK_PATH_MAX];
    psc_track_name_set(out);
    ck_assert(psc_track_name_make(path, sizeof path, 42, 1));
    ck_assert_str_eq(path, wanted);
}

START_TEST(names) {
    char path[PSC_TRACK_PATH_MAX];
    ck_assert_int_eq(chdir(directory), 0);
    char absolute[256];
    snprintf(absolute, sizeof absolute, "%s/poolscope-42.trace", directory);
    check_path(".", absolute);
    check_path("", absolute);
    check_path("/x/y", "/x/y/poolscope-42.trace");
    check_path("/x/%e-%p.t%%", "/x/test_track-42.t%");
    check_path("/x/one.trace", "/x/one.trace");
    ck_assert(psc_track_name_make(path, sizeof path, 42, 3));
    ck_assert_str_eq(path, "/x/one.3.trace");
    snprintf(absolute, sizeof absolute, "%s/sub/a42", directory);
    check_path("sub/a%p", absolute);
    ck_assert(psc_track_name_make(path, sizeof path, 42, 2));
    ck_assert_uint_eq(strlen(path), strlen(absolute) + 2);
    ck_assert(!psc_track_name_make(path, 8, 42, 2));
    hear();
    snprintf(absolute, sizeof absolute, "%s/poolscope-42.trace", directory);
    check_path("/x/%q", absolute);
    ck_assert_ptr_nonnull(strstr(heard(), "poolscope: out=/x/%q: "));
    check_path("/x/100%", absolute);
    ck_assert_uint_gt(strlen(heard()), 0);
}
END_TEST

START_TEST(missing_directory_is_said_once) {
    struct psc_options options = options_with("/nonexistent/dir");
    hear();
    ck_assert(!psc_track_start(&options, &host));
    ck_assert_str_eq(heard(), "poolscope: cannot create trace in /nonexistent/dir: no such file or directory: "
                              "the program runs unrecorded\n");
    ck_assert_uint_eq(psc_track_epoch(), 0);
    psc_track_end(PSC_END_EXIT);
    psc_track_thread_end();
    ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(off_writes_nothing) {
    struct psc_options options = options_with(directory);
    options.mode = PSC_MODE_OFF;
    ck_assert(!psc_track_start(&options, &host));
    psc_track_start_passive(&options);
    ck_assert_uint_eq(psc_track_epoch(), 0);
    psc_track_end(PSC_END_EXIT);
    ck_assert_uint_eq(count_files(), 0);
}
END_TEST

START_TEST(passive_says_so) {
    struct psc_options options = options_with(directory);
    psc_track_start_passive(&options);
    ck_assert_uint_eq(psc_track_epoch(), 0);
    psc_track_end(PSC_END_EXIT);
    struct trace trace = read_trace_of(getpid());
    ck_assert_uint_eq(trace.header->flags, PSC_TRACE_PASSIVE);
    ck_assert_uint_eq(trace.header->end, PSC_END_EXIT);
    ck_assert_uint_eq(trace.size, PSC_FIRST_DATA_CHUNK * PSC_CHUNK_BYTES);
}
END_TEST

/* Attaches pools until recording stops; returns how many it got. */
static uint32_t fill_up(void) {
    uint32_t attached = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        struct psc_tags tags = {0};
        if (psc_track_epoch() == 0 || psc_track_attach(&tags, 0, 4096, 16, capacity_max, capacity_max, 0) == NULL) {
            break;
        }
        attached++;
    }
    return attached;
}

static void check_stopped(enum psc_stop_reason reason, struct truth *truth) {
    site_a(&pools[1], 0, 50, truth);
    struct truth recorded = *truth;
    uint32_t attached = fill_up();
    ck_assert_uint_gt(attached, 0);
    ck_assert_uint_lt(attached, 1000);
    ck_assert_uint_eq(psc_track_epoch(), 0);
    const char *text = heard();
    ck_assert_ptr_nonnull(strstr(text, "poolscope: recording stopped: "));
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    site_a(&pools[1], 1, 50, truth); /* the program goes on */
    drop_block(&pools[1], 0, truth);
    struct trace trace = {(const void *)psc_track.header, 0, psc_track.header};
    ck_assert_uint_eq(trace.header->flags & PSC_TRACE_STOPPED, PSC_TRACE_STOPPED);
    ck_assert_uint_eq(trace.header->stop_reason, reason);
    check_site(&trace, 0, &recorded);
    psc_track_end(PSC_END_EXIT);
    ck_assert_uint_eq(trace.header->end, PSC_END_EXIT);
    ck_assert_str_eq(heard(), "");
}

START_TEST(file_size_limit_stops_recording) {
    struct truth truth = {0};
    limit_files((rlim_t)5 << 20);
    hear(); /* before: what concerns the trace alone is said only where stderr was at the start */
    begin();
    check_stopped(PSC_STOP_SPAN, &truth);
    struct trace trace = read_trace_of(getpid());
    ck_assert_uint_eq(trace.size, (size_t)5 << 20);
}
END_TEST

START_TEST(tiny_file_size_limit_is_refused) {
    struct psc_options options = options_with(directory);
    limit_files(65536);
    hear();
    ck_assert(!psc_track_start(&options, &host));
    char line[256];
    snprintf(line, sizeof line,
             "poolscope: cannot create trace in %s: file size limit reached: the program runs unrecorded\n", directory);
    ck_assert_str_eq(heard(), line);
    ck_assert_uint_eq(count_files(), 0);
}
END_TEST

static bool mount_small(const char *options) {
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", directory, "tmpfs", 0, options) == 0;
}

/* Passes without having looked where mounting is not allowed; the limit on file sizes above covers the rest. */
START_TEST(full_disk_stops_recording) {
    struct truth truth = {0};
    if (!mount_small("size=3m")) {
        return;
    }
    hear(); /* before: what concerns the trace alone is said only where stderr was at the start */
    begin();
    check_stopped(PSC_STOP_DISK, &truth);
}
END_TEST

START_TEST(disk_full_from_the_start_is_refused) {
    struct psc_options options = options_with(directory);
    if (!mount_small("size=16k")) {
        return;
    }
    hear();
    ck_assert(!psc_track_start(&options, &host));
    ck_assert_ptr_nonnull(strstr(heard(), "no space left on device: the program runs unrecorded\n"));
    ck_assert_uint_eq(psc_track_epoch(), 0);
    ck_assert_uint_eq(count_files(), 0);
}
END_TEST

START_TEST(events_after_the_end) {
    struct truth truth = {0};
    begin();
    site_a(&pools[0], 0, 10, &truth);
    psc_track_end(PSC_END_EXIT);
    drop_block(&pools[0], 0, &truth); /* has room */
    fill_up();                        /* needs more than there is */
    struct trace trace = read_trace_of(getpid());
    check_site(&trace, 0, &truth);
    ck_assert_uint_eq(trace.header->flags, 0);
    ck_assert_uint_eq(trace.size, (size_t)trace.header->chunks_used * PSC_CHUNK_BYTES);
}
END_TEST

/* ---- tests: snapshots ---------------------------------------------------------------------------------------- */

static uint32_t history(const struct trace *trace, uint64_t times[], uint32_t max) {
    const struct psc_wire_snapshot *row;
    uint32_t count = 0;
    for (uint32_t i = 1; (row = row_of(trace, PSC_CHUNK_SNAPSHOTS, i)) != NULL; i++) {
        if (row->sequence != 0) {
            ck_assert_uint_lt(count, max);
            times[count++] = row->time_ns;
        }
    }
    return count;
}

static int by_time(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(history_is_thinned) {
    struct psc_options options = options_with(directory);
    uint64_t times[16];
    const uint64_t step = 1000000000;
    options.snapshots = 8;
    begin_with(&options);
    uint64_t start = psc_os_monotonic_ns() + step;
    for (uint64_t i = 0; i < 1000; i++) {
        psc_track_snapshot_take_due(start + i * step / 100);
    }
    struct trace trace = read_trace_of(getpid());
    uint32_t count = history(&trace, times, 16);
    ck_assert_uint_ge(count, 4);
    ck_assert_uint_le(count, 8);
    qsort(times, count, sizeof times[0], by_time);
    ck_assert_uint_eq(times[0], start);    /* the first one is always kept */
    for (uint32_t i = 2; i < count; i++) { /* they stand apart by about the same; the last ones by up to half */
        uint64_t gap = times[i] - times[i - 1];
        ck_assert_uint_le(gap, 2 * (times[1] - times[0]) + step / 50);
        ck_assert_uint_ge(2 * gap + step / 50, times[1] - times[0]);
    }
    ck_assert_uint_ge(times[count - 1], start + 5 * step);
    psc_track_end(PSC_END_EXIT);
    trace = read_trace_of(getpid());
    ck_assert_uint_le(history(&trace, times, 16), 8);
    ck_assert_uint_eq(trace.header->counters.snapshots_taken, described);
    ck_assert_uint_gt(trace.header->counters.snapshot_ns, 0);
}
END_TEST

static void check_map(const struct trace *trace, const struct psc_wire_snapshot *snapshot, uint32_t index) {
    const struct psc_wire_map *map = row_of(trace, PSC_CHUNK_MAPS, index);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(map->sequence, snapshot->sequence);
    ck_assert_uint_eq(map->slots, 1);
    ck_assert_uint_eq(map->cells[0], (uint8_t)described);
}

START_TEST(peak_and_last_snapshot) {
    struct truth truth = {0};
    begin();
    for (uint32_t i = 0; i < 500; i++) {
        site_a(&pools[3], i, 1000, &truth);
    }
    for (uint32_t i = 0; i < 500; i++) {
        drop_block(&pools[3], i, &truth);
    }
    psc_track_end(PSC_END_EXIT);
    struct trace trace = read_trace_of(getpid());
    const struct psc_wire_snapshot *peak = row_of(&trace, PSC_CHUNK_SNAPSHOTS, 0);
    ck_assert_uint_ne(peak->sequence, 0);
    ck_assert_uint_eq(peak->flags & ~(uint32_t)PSC_SNAPSHOT_ASKED, PSC_SNAPSHOT_PEAK);
    ck_assert_uint_gt(peak->live_bytes, 0);
    ck_assert_uint_le(peak->live_bytes, trace.header->counters.peak_live_bytes);
    uint32_t last = 0;
    const struct psc_wire_snapshot *row;
    for (uint32_t i = 1; (row = row_of(&trace, PSC_CHUNK_SNAPSHOTS, i)) != NULL; i++) {
        if (row->flags == (PSC_SNAPSHOT_LAST | PSC_SNAPSHOT_ASKED)) {
            ck_assert_uint_eq(row->resident_bytes, row->committed_bytes - 100);
            ck_assert_uint_gt(row->trace_bytes, 0);
            ck_assert_uint_gt(row->tracker_anon_bytes, 4096);
            check_map(&trace, row, i);
            ck_assert_uint_eq(row->live_bytes, 0);
            ck_assert_uint_eq(row->clock_bytes, truth.alloc_bytes);
            ck_assert_uint_gt(row->rss_bytes, 100000);
            ck_assert_uint_ge(row->tracker_bytes, (size_t)256 * 1024);
            ck_assert_uint_eq(row->committed_bytes, 1000 + described);
            last++;
        }
    }
    ck_assert_uint_eq(last, 1);
    ck_assert_uint_eq(trace.header->counters.heap_metadata_bytes, 77);
}
END_TEST

/* ---- tests: walks -------------------------------------------------------------------------------------------- */

static const struct psc_wire_pins *pins_of(const struct trace *trace, uint64_t site) {
    return row_of(trace, PSC_CHUNK_PINS, (uint32_t)site);
}

/* Pools of 100 blocks of 100 bytes and more, a few of which live. Walks are as rare as they are dear, so that the clock is
 * put forward by hours. */
START_TEST(walks_charge_what_is_pinned) {
    struct truth truth = {0};
    const uint64_t hour = 3600000000000, block = class_bytes[3];
    begin();
    for (volatile uint32_t i = 0; i < 2; i++) { /* one call, however the compiler likes loops */
        site_a(&pools[3], i, 10, &truth);
    }
    site_b(&pools[3], 2, 10, &truth);
    uint64_t start = psc_os_monotonic_ns();
    psc_track_snapshot_take_due(start + hour);
    struct trace trace = read_trace_of(getpid());
    uint64_t first_count = trace.header->walks.count; /* at the start there may have been one */
    uint64_t site_of_a = psc_tag_site(pools[3].tags.tags[0]), site_of_b = psc_tag_site(pools[3].tags.tags[2]);
    uint64_t pinned = psc_round_up(CAPACITY * block, 4096) - 3 * block;
    ck_assert_uint_ge(first_count, 1);
    ck_assert_uint_eq(trace.header->walks.worst_bytes, pinned);
    ck_assert_uint_le(pinned - pins_of(&trace, site_of_a)->now_bytes - pins_of(&trace, site_of_b)->now_bytes, 2);
    ck_assert_uint_eq(pins_of(&trace, site_of_a)->now_bytes, pinned * 2 / 3);
    ck_assert_uint_eq(pins_of(&trace, site_of_a)->worst_bytes, pinned * 2 / 3);
    drop_block(&pools[3], 0, &truth);
    drop_block(&pools[3], 1, &truth);
    drop_block(&pools[3], 2, &truth);
    psc_track_snapshot_take_due(start + 2 * hour);
    trace = read_trace_of(getpid());
    ck_assert_uint_eq(trace.header->walks.count, first_count + 1);
    ck_assert_uint_eq(pins_of(&trace, site_of_a)->now_bytes, 0); /* nobody keeps an empty pool */
    ck_assert_uint_eq(pins_of(&trace, site_of_a)->worst_bytes, pinned * 2 / 3);
    double hours = (double)pins_of(&trace, site_of_b)->byte_ns_low / (double)(pinned / 3) / (double)hour;
    ck_assert_double_ge(hours, 0.99);
    ck_assert_double_le(hours, 1.01);
}
END_TEST

static const struct psc_wire_extent *extent_of_tags(const struct pool *pool) {
    return (const void *)((const char *)pool->tags.tags - sizeof(struct psc_wire_extent));
}

/* A pool that is sparse at each walk of two windows, and one that is full at one of them. */
START_TEST(walks_keep_the_lowest) {
    struct truth truth = {0};
    const uint64_t hour = 3600000000000;
    begin();
    site_a(&pools[3], 0, 10, &truth);
    site_a(&pools[2], 0, 10, &truth);
    uint64_t start = psc_os_monotonic_ns();
    for (uint32_t i = 1; i <= 64; i++) {
        for (uint32_t k = 1; k < CAPACITY && i == 63; k++) {
            site_b(&pools[2], k, 10, &truth);
        }
        psc_track_snapshot_take_due(start + i * hour);
        for (uint32_t k = 1; k < CAPACITY && i == 63; k++) {
            drop_block(&pools[2], k, &truth);
        }
    }
    struct trace trace = read_trace_of(getpid());
    const struct psc_wire_extent *sparse = extent_of_tags(&pools[3]), *filled = extent_of_tags(&pools[2]);
    ck_assert_uint_ne(trace.header->walks.window_ns, 0);
    ck_assert_uint_eq(sparse->low_now, psc_round_up(CAPACITY * class_bytes[3], 4096) - class_bytes[3]);
    ck_assert_uint_eq(sparse->low_before, sparse->low_now);
    ck_assert_uint_lt(filled->low_now < filled->low_before ? filled->low_now : filled->low_before, 4096);
}
END_TEST

START_TEST(walks_are_for_exact_traces) {
    struct psc_options options = options_with(directory);
    options.mode = PSC_MODE_SAMPLE;
    options.interval = 1024;
    begin_with(&options);
    psc_track_snapshot_take_due(psc_os_monotonic_ns() + 3600000000000);
    struct trace trace = read_trace_of(getpid());
    ck_assert_uint_eq(trace.header->walks.count, 0);
}
END_TEST

/* The program may close what it does not know, and open its own file in its place. */
START_TEST(foreign_descriptor_is_not_read) {
    begin();
    ck_assert_uint_gt(psc_track_proc_rss().all, 0);
    for (int fd = 64; fd < 2000; fd++) {
        int own = fcntl(fd, F_GETFD) >= 0 ? open("/proc/self/stat", O_RDONLY) : -1;
        if (own >= 0) {
            ck_assert_int_eq(dup2(own, fd), fd);
            close(own);
        }
    }
    ck_assert_uint_eq(psc_track_proc_rss().all, 0);
}
END_TEST

START_TEST(whole_span) {
    struct truth truth[2] = {{0}};
    limit_files(RLIM_INFINITY);
    begin();
    ck_assert_uint_eq(psc_track.span, (size_t)PSC_CHUNKS_MAX * PSC_CHUNK_BYTES);
    churn(0, POOLS, 100, 1, truth);
    struct stat status;
    ck_assert_int_eq(stat(psc_track.path, &status), 0);
    ck_assert_int_lt(status.st_blocks * 512, 4 << 20);
    psc_track_end(PSC_END_EXIT);
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("track");
    TCase *figures = tcase_create("figures");
    TCase *processes = tcase_create("processes");
    TCase *failures = tcase_create("failures");
    TCase *cases[] = {figures, processes, failures};
    for (size_t i = 0; i < PSC_COUNT_OF(cases); i++) {
        tcase_add_checked_fixture(cases[i], make_directory, remove_directory);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(figures, one_thread_is_exact);
    tcase_add_test(figures, classes_are_counted);
    tcase_add_test(figures, slack_beyond_the_tag_stays_consistent);
    tcase_add_test(figures, ages_and_temporaries);
    tcase_add_test(figures, ages_have_their_places);
    tcase_add_test(figures, peak_is_kept_by_site);
    tcase_add_test(figures, four_threads_are_exact);
    tcase_add_test(figures, counts_of_32_bits_go_on);
    tcase_add_test(figures, ended_threads_are_taken_over);
    tcase_add_test(figures, events_after_a_threads_end_count);
    tcase_add_test(figures, one_site_per_stack);
    tcase_add_test(figures, many_sites_grow_the_index);
    tcase_add_test(figures, stacks_of_one_hash_are_told_apart);
    tcase_add_test(figures, depth_is_kept_to);
    tcase_add_test(figures, modules_cover_the_frames);
    tcase_add_test(figures, detached_extents_are_reused);
    tcase_add_test(figures, extents_fill_chunks);
    tcase_add_test(figures, arenas_are_mirrored);
    tcase_add_test(figures, history_is_thinned);
    tcase_add_test(figures, peak_and_last_snapshot);
    tcase_add_test(figures, walks_charge_what_is_pinned);
    tcase_add_test(figures, walks_keep_the_lowest);
    tcase_add_test(figures, walks_are_for_exact_traces);
    tcase_add_test(figures, whole_span);
    tcase_add_test(processes, killed_means_kept);
    tcase_add_loop_test(processes, forked_child_has_its_own_trace, 0, (int)PSC_COUNT_OF(forks));
    tcase_add_test(processes, another_thread_begins_a_childs_trace);
    tcase_add_test(processes, grandchildren_have_theirs);
    tcase_add_test(processes, quiet_child_leaves_no_trace);
    if (!UNDER_TSAN) { /* whose runtime takes the child for a forked one */
        tcase_add_test(processes, vfork_child_writes_for_its_parent);
    }
    tcase_add_test(processes, fork_inside_the_tracker_spares_the_parent);
    tcase_add_test(processes, child_without_directory_runs_on);
    tcase_add_test(processes, exec_is_seen);
    tcase_add_test(processes, other_process_is_not_marked);
    tcase_add_test(failures, events_while_busy_keep_occupancy);
    tcase_add_test(failures, tags_of_freed_blocks_tell_their_site);
    tcase_add_test(failures, misuse_is_counted);
    tcase_add_test(failures, errno_is_kept);
    tcase_add_test(failures, names);
    tcase_add_test(failures, missing_directory_is_said_once);
    tcase_add_test(failures, off_writes_nothing);
    tcase_add_test(failures, passive_says_so);
    tcase_add_test(failures, file_size_limit_stops_recording);
    tcase_add_test(failures, tiny_file_size_limit_is_refused);
    tcase_add_test(failures, full_disk_stops_recording);
    tcase_add_test(failures, disk_full_from_the_start_is_refused);
    tcase_add_test(failures, events_after_the_end);
    tcase_add_test(failures, foreign_descriptor_is_not_read);
    return suite;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], NEXT_PROGRAM) == 0) {
        return run_after_exec(argv[2]);
    }
    SRunner *runner = srunner_create(make_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
