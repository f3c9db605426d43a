/*
 * What the workloads share: the list of them, deterministic random numbers, stamped blocks, figures.
 *
 * A workload is a function that allocates in one shape and returns a checksum. The checksum is made of what the
 * workload reads back from its blocks, and is the same under every allocator and every order of its threads.
 */
#ifndef POOLSCOPE_TOOLS_BENCH_WORKLOADS_BENCH_H
#define POOLSCOPE_TOOLS_BENCH_WORKLOADS_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * X(name, counts, help). counts: `both` enters the means of time and of memory; `figures` is run for the figures it
 * prints alone, since its time and its peak say nothing of the allocator; `track` shows what tracking costs, and is no
 * part of the comparison of allocators; `report` makes a trace to be read.
 */
#define BENCH_WORKLOADS(X)                                                                                             \
    X(pairs, both, "malloc and free at once, 16 B to 1 KiB, beside a block of each size that stays")                   \
    X(pairs_wide, both, "malloc and free at once, 16 B to 32 KiB, over 64 blocks that stay")                           \
    X(batch_lifo, both, "batches of 1,000 blocks of 16 B to 32 KiB, the last made freed first")                        \
    X(batch_fifo, both, "the same, the first made freed first")                                                        \
    X(batch_random, both, "the same, freed in random order")                                                           \
    X(batch_threads, both, "four threads, each with random batches of its own")                                        \
    X(trees, both, "binary trees built and dropped beside one that stays")                                             \
    X(pipe, both, "one thread makes blocks, one frees them")                                                           \
    X(pipe_many, both, "two threads make blocks, two free them, 16 B to 4 KiB")                                        \
    X(server, both, "four lines of short-lived threads that free what others made")                                    \
    X(strings, both, "2,000 strings that grow by realloc, a few bytes at a time")                                      \
    X(vectors, both, "500 vectors that double by realloc up to 512 KiB")                                               \
    X(vector_huge, both, "two vectors that grow by half, in turns, up to 128 MiB")                                     \
    X(calloc_small, both, "zeroed blocks of 16 B to 1 KiB, 10,000 held")                                               \
    X(calloc_huge, both, "zeroed blocks of 1 to 64 MiB of which every 16th page is used")                              \
    X(large, both, "blocks of 64 KiB to 8 MiB made and dropped, every page written")                                   \
    X(large_sparse, both, "the same, the first and the last page written")                                             \
    X(aligned, both, "posix_memalign and aligned_alloc, alignments of 32 B to 4 KiB")                                  \
    X(cache, both, "a cache of 64 MiB whose values change in size over its life")                                      \
    X(class_shift, both, "800,000 blocks of 100 B, each replaced in random order by one of 200 B")                     \
    X(rise_fall, both, "600,000 blocks of 16 to 2000 B, three quarters freed, survivors replaced ten times")           \
    X(giveback, both, "nine tenths of a 1 GiB heap freed in runs of addresses, then 1 s of rest")                      \
    X(threads_idle, figures, "1,000 threads that allocate once and stay")                                              \
    X(idle, figures, "a process that allocates one block")                                                             \
    X(deep_pairs, track, "malloc and free at once from four sites, 21 to 24 frames deep")                              \
    X(live_blocks, track, "5,000,000 blocks of 32 to 256 B, held")                                                     \
    X(events, track, "100,000 blocks of 16 to 512 B, 50,000,000 times one replaced: 10^8 events")                      \
    X(units_one, track, "16,000,000 replacements among 2,000 blocks, in four units one after another")                 \
    X(units_four, track, "the same, each unit in a thread of its own")                                                  \
    X(many_sites, report, "10,000,000 blocks of 16 to 128 B from 131,072 stacks, a quarter freed, the rest held")

/* scale: 1 is the usual amount of work, and of memory where the shape has an amount of its own. */
#define BENCH_DECLARE(name, counts, help) uint64_t bench_##name(double scale);
BENCH_WORKLOADS(BENCH_DECLARE)
#undef BENCH_DECLARE

/* n * scale, at least 1. */
size_t bench_scaled(double scale, size_t n);

/* Zeroed memory of bytes bytes that does not come from the allocator, resident from the start; never given back. */
void *bench_table(size_t bytes);

/* Resident bytes of this process without those of bench_table(). */
size_t bench_rss(void);

/* The part of bench_rss() that is no file's: neither program nor library code. */
size_t bench_anonymous(void);

/* Says "figure NAME VALUE" on stderr. */
void bench_figure(const char *name, double value);

/* Ends the process with status 1 and a line on stderr. */
_Noreturn void bench_fail(const char *what);

void bench_sleep_ms(unsigned ms);

/* ---- random numbers: xorshift64*, the same on every machine ---- */

struct bench_rng {
    uint64_t state; /* never 0 */
};

static inline struct bench_rng bench_rng_of(uint64_t seed) {
    return (struct bench_rng){(seed + 1) * 0x9e3779b97f4a7c15u | 1};
}

static inline uint32_t bench_random(struct bench_rng *rng) {
    uint64_t x = rng->state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    rng->state = x;
    return (uint32_t)(x * 0x2545f4914f6cdd1du >> 32);
}

/* 0 to bound - 1 */
static inline uint32_t bench_below(struct bench_rng *rng, uint32_t bound) {
    return (uint32_t)((uint64_t)bench_random(rng) * bound >> 32);
}

static inline size_t bench_between(struct bench_rng *rng, size_t low, size_t high) {
    return low + bench_below(rng, (uint32_t)(high - low + 1));
}

/* 2^low to 2^high - 1, each power of two as likely as the others. */
static inline size_t bench_size(struct bench_rng *rng, unsigned low, unsigned high) {
    unsigned power = low + bench_below(rng, high - low);

    return ((size_t)1 << power) + bench_below(rng, 1u << power);
}

/* ---- stamped blocks: the first 8 bytes and the last one are written, and looked at before the free ---- */

struct bench_stamp {
    uint32_t bytes;
    uint32_t tag;
};

static inline void *bench_stamped(void *block, size_t bytes, uint32_t tag) {
    struct bench_stamp *stamp = block;

    if (!block) {
        bench_fail("no memory");
    }
    ((unsigned char *)block)[bytes - 1] = (unsigned char)tag;
    *stamp = (struct bench_stamp){(uint32_t)bytes, tag};
    return block;
}

/* bytes: at least 9 */
static inline void *bench_make(size_t bytes, uint32_t tag) {
    return bench_stamped(malloc(bytes), bytes, tag);
}

/* A part of the checksum. */
static inline uint64_t bench_look(const void *block) {
    const struct bench_stamp *stamp = block;

    if (((const unsigned char *)block)[stamp->bytes - 1] != (unsigned char)stamp->tag) {
        bench_fail("a block has changed");
    }
    return (uint64_t)stamp->bytes * 31 + stamp->tag;
}

static inline uint64_t bench_drop(void *block) {
    uint64_t sum = bench_look(block);

    free(block);
    return sum;
}

/* A stamped block all of whose bytes are written. */
void *bench_make_full(size_t bytes, uint32_t tag);

#endif
