/* What a large trace holds: many live blocks from many stacks. */
#include "tools/bench/workloads/bench.h"

enum { LEVELS = 17, BLOCKS = 10000000, HELD_IN_FOUR = 3 };

/* Each bit of `path` decides which of two calls is made, so that each path is a stack of its own. */
static __attribute__((noinline)) char *descend(unsigned level, uint32_t path, size_t bytes) {
    char *block;

    if (level == 0) {
        return malloc(bytes);
    }
    if (path & 1) {
        block = descend(level - 1, path >> 1, bytes);
        __asm__ volatile("# right" : "+r"(block)); /* two calls, and no jumps */
    } else {
        block = descend(level - 1, path >> 1, bytes);
        __asm__ volatile("# left" : "+r"(block));
    }
    return block;
}

uint64_t bench_many_sites(double scale) {
    struct bench_rng rng = bench_rng_of(0);
    size_t blocks = bench_scaled(scale, BLOCKS);
    uint32_t sites = (uint32_t)bench_scaled(scale < 1 ? scale : 1, 1u << LEVELS);
    char **made = bench_table(blocks * sizeof *made);
    uint64_t sum = 0;

    for (size_t i = 0; i < blocks; i++) {
        size_t bytes = bench_between(&rng, 16, 128);
        made[i] = descend(LEVELS, bench_below(&rng, sites), bytes);
        if (!made[i]) {
            bench_fail("no memory");
        }
        made[i][0] = (char)i;
        sum += bytes;
    }
    for (size_t i = 0; i < blocks; i++) {
        if (bench_below(&rng, 4) >= HELD_IN_FOUR) {
            free(made[i]);
        }
    }
    return sum;
}
