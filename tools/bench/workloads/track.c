/* What a tracker costs: time for each pair, memory for each live block, disk for many events, threads. */
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "tools/bench/workloads/bench.h"
#include "tools/bench/workloads/depth.h"

enum { DEPTH = 20 }; /* frames of the workload below its allocations; those of main and of the chains come to it */

/* ---- call sites: a chain of calls each, of one to four frames ---- */

typedef void *take_fn(size_t bytes, uint32_t tag);

#define TAKE(name, next)                                                                                               \
    static __attribute__((noinline)) void *name(size_t bytes, uint32_t tag) {                                          \
        void *block = next(bytes, tag);                                                                                \
                                                                                                                       \
        __asm__ volatile("" : "+r"(block)); /* a call, not a jump */                                                   \
        return block;                                                                                                  \
    }

TAKE(take_one, bench_make)
TAKE(take_two, take_one)
TAKE(take_three, take_two)
TAKE(take_four, take_three)

static take_fn *const takes[] = {take_one, take_two, take_three, take_four};

enum { SITES = sizeof takes / sizeof *takes };

/* ---- pairs: what one malloc and its free cost, timed here, without the start and the end of the process ---- */

/* The median part is told: at about 1 ms a part, few are interrupted even where processes wait for a core. */
enum { PARTS = 2001 };

static const size_t sizes[SITES] = {32, 80, 200, 500};

struct timing {
    double ns[PARTS], tsc[PARTS];
    size_t pairs; /* of a part */
    uint64_t sum;
};

static double now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The time-stamp counter: it counts at a fixed rate, near the nominal one of the cores. 0 on other processors. */
static double now_tsc(void) {
#ifdef __x86_64__
    return (double)__builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

static uint64_t time_parts(void *arg) {
    struct timing *timing = arg;

    for (int part = 0; part < PARTS; part++) {
        double ns = now_ns(), tsc = now_tsc();

        for (uint32_t i = 0; i < timing->pairs; i++) {
            timing->sum += bench_drop(takes[i % SITES](sizes[i % SITES], i));
        }
        timing->ns[part] = (now_ns() - ns) / (double)timing->pairs;
        timing->tsc[part] = (now_tsc() - tsc) / (double)timing->pairs;
    }
    return timing->sum;
}

static double median(double *values) {
    for (int i = 1; i < PARTS; i++) {
        for (int j = i; j > 0 && values[j] < values[j - 1]; j--) {
            double kept = values[j];

            values[j] = values[j - 1];
            values[j - 1] = kept;
        }
    }
    return values[PARTS / 2];
}

uint64_t bench_deep_pairs(double scale) {
    struct timing timing = {.pairs = bench_scaled(scale, 20000000) / PARTS + 1};
    uint64_t sum;

    for (size_t i = 0; i < SITES; i++) { /* a block of each size stays, as in a program that is at work */
        takes[i](sizes[i], 0);
    }
    sum = bench_at_depth(DEPTH, time_parts, &timing);
    bench_figure("ns_per_pair", median(timing.ns));
    bench_figure("tsc_per_pair", median(timing.tsc));
    return sum;
}

/* ---- live blocks ---- */

struct blocks {
    void **at;
    size_t count, steps;
    struct bench_rng rng;
    size_t smallest, largest;
};

static void *take(struct blocks *blocks) {
    uint32_t tag = bench_random(&blocks->rng);

    return takes[tag % SITES](bench_between(&blocks->rng, blocks->smallest, blocks->largest), tag);
}

static uint64_t fill(void *arg) {
    struct blocks *blocks = arg;

    for (size_t i = 0; i < blocks->count; i++) {
        blocks->at[i] = take(blocks);
    }
    return 0;
}

static uint64_t drop_all(struct blocks *blocks) {
    uint64_t sum = 0;

    for (size_t i = 0; i < blocks->count; i++) {
        sum += bench_drop(blocks->at[i]);
    }
    return sum;
}

uint64_t bench_live_blocks(double scale) {
    struct blocks blocks = {.count = bench_scaled(scale, 5000000), .smallest = 32, .largest = 256};

    blocks.rng = bench_rng_of(60);
    blocks.at = bench_table(blocks.count * sizeof *blocks.at);
    bench_at_depth(DEPTH, fill, &blocks);
    bench_figure("live_blocks", (double)blocks.count);
    bench_figure("rss_kib", (double)bench_rss() / 1024);
    return drop_all(&blocks);
}

/* ---- events, with a number of live blocks that stays the same ---- */

static uint64_t replace(void *arg) {
    struct blocks *blocks = arg;
    uint64_t sum = 0;

    for (size_t i = 0; i < blocks->steps; i++) {
        void **block = &blocks->at[bench_below(&blocks->rng, (uint32_t)blocks->count)];

        sum += bench_drop(*block);
        *block = take(blocks);
    }
    return sum;
}

static uint64_t fill_and_replace(void *arg) {
    fill(arg);
    return replace(arg) + drop_all(arg);
}

uint64_t bench_events(double scale) {
    struct blocks blocks = {.count = 100000, .steps = bench_scaled(scale, 50000000), .smallest = 16, .largest = 512};

    blocks.rng = bench_rng_of(61);
    blocks.at = bench_table(blocks.count * sizeof *blocks.at);
    bench_figure("live_blocks", (double)blocks.count);
    return bench_at_depth(DEPTH, fill_and_replace, &blocks);
}

/* ---- the same work in one thread and in four ---- */

enum { UNITS = 4, UNIT_BLOCKS = 2000 };

struct unit {
    struct blocks blocks;
    pthread_t thread;
    uint64_t sum;
};

static void *run_unit(void *arg) {
    struct unit *unit = arg;

    unit->sum = bench_at_depth(DEPTH, fill_and_replace, &unit->blocks);
    return NULL;
}

static uint64_t run_units(double scale, bool threads) {
    struct unit units[UNITS];
    uint64_t sum = 0;

    for (unsigned i = 0; i < UNITS; i++) {
        struct blocks blocks = {.count = UNIT_BLOCKS, .steps = bench_scaled(scale, 4000000)};

        blocks.smallest = 16;
        blocks.largest = 1000;
        blocks.rng = bench_rng_of(70 + i);
        blocks.at = bench_table(UNIT_BLOCKS * sizeof *blocks.at);
        units[i] = (struct unit){.blocks = blocks};
        if (!threads) {
            run_unit(&units[i]);
        } else if (pthread_create(&units[i].thread, NULL, run_unit, &units[i])) {
            bench_fail("no thread");
        }
    }
    for (int i = 0; i < UNITS; i++) {
        if (threads) {
            pthread_join(units[i].thread, NULL);
        }
        sum += units[i].sum;
    }
    return sum;
}

uint64_t bench_units_one(double scale) {
    return run_units(scale, false);
}

uint64_t bench_units_four(double scale) {
    return run_units(scale, true);
}
