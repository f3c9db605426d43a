/*
 * count KIND BYTES TIMES: for an instruction counter. The same loop calls malloc and free, or two functions that return
 * at once, so that the difference of two runs is what the allocator executed. KIND: pairs, batches, deep, or each with
 * "-nothing" after it. A batch is 100 blocks, the first made freed first; deep are pairs below 24 frames.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/workloads/depth.h"

/* One instruction: the return. What it returns is never used. */
__asm__(".text\n.type bench_nothing, %function\nbench_nothing:\n\tret\n.size bench_nothing, . - bench_nothing\n");
extern char bench_nothing[];

typedef void *take_fn(size_t bytes);
typedef void drop_fn(void *block);

static void pairs(take_fn *take, drop_fn *drop, size_t bytes, long times) {
    while (times-- > 0) {
        drop(take(bytes));
    }
}

static void batches(take_fn *take, drop_fn *drop, size_t bytes, long times) {
    enum { BATCH = 100 };
    void *blocks[BATCH];

    for (; times > 0; times -= BATCH) {
        for (int i = 0; i < BATCH; i++) {
            blocks[i] = take(bytes);
        }
        for (int i = 0; i < BATCH; i++) {
            drop(blocks[i]);
        }
    }
}

struct pairs {
    take_fn *take;
    drop_fn *drop;
    size_t bytes;
    long times;
};

static uint64_t run_pairs(void *arg) {
    const struct pairs *all = arg;

    pairs(all->take, all->drop, all->bytes, all->times);
    return 0;
}

static void deep(take_fn *take, drop_fn *drop, size_t bytes, long times) {
    enum { DEPTH = 24 };
    struct pairs all = {take, drop, bytes, times};

    bench_at_depth(DEPTH, run_pairs, &all);
}

static void (*kind(const char *name))(take_fn *, drop_fn *, size_t, long) {
    return name[0] == 'p' ? pairs : name[0] == 'b' ? batches : deep;
}

int main(int argc, char **argv) {
    take_fn *take = malloc;
    drop_fn *drop = free;

    if (argc != 4) {
        fprintf(stderr, "usage: count pairs|batches|deep[-nothing] BYTES TIMES\n");
        return 2;
    }
    if (strstr(argv[1], "-nothing")) {
        take = (take_fn *)(void *)bench_nothing;
        drop = (drop_fn *)(void *)bench_nothing;
    }
    kind(argv[1])(take, drop, strtoul(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
    return 0;
}
