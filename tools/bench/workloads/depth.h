/* Frames: what a tracker has to do for an allocation depends on the stack below it. */
#ifndef POOLSCOPE_TOOLS_BENCH_WORKLOADS_DEPTH_H
#define POOLSCOPE_TOOLS_BENCH_WORKLOADS_DEPTH_H

#include <stdint.h>

typedef uint64_t bench_work_fn(void *arg);

/* Returns work(arg), called with depth frames more than there are. */
static __attribute__((noinline)) uint64_t bench_at_depth(unsigned depth, bench_work_fn *work, void *arg) {
    uint64_t sum = depth == 0 ? work(arg) : bench_at_depth(depth - 1, work, arg);

    __asm__ volatile("" : "+r"(sum)); /* what follows the call makes it one, not a jump */
    return sum;
}

#endif
