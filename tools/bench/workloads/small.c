/* Small blocks of one thread: pairs, batches, trees. */
#include <pthread.h>

#include "tools/bench/workloads/bench.h"

enum { BATCH = 1000, SMALLEST = 4, LARGEST = 15 }; /* blocks; sizes as powers of two: 16 B to 32 KiB */

/* A block of each size stays, as in a program that is at work: no pool falls empty with each free. */
uint64_t bench_pairs(double scale) {
    enum { SIZES = 16 };
    static const unsigned short sizes[SIZES] = {16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 160, 200, 256, 400, 640, 1024};
    size_t count = bench_scaled(scale, 60000000);
    void *stay[SIZES];
    uint64_t sum = 0;

    for (uint32_t i = 0; i < SIZES; i++) {
        stay[i] = bench_make(sizes[i], i);
    }
    for (size_t i = 0; i < count; i++) {
        sum += bench_drop(bench_make(sizes[i % SIZES], (uint32_t)i));
    }
    for (int i = 0; i < SIZES; i++) {
        sum += bench_drop(stay[i]);
    }
    return sum;
}

uint64_t bench_pairs_wide(double scale) {
    enum { STAY = 64 };
    struct bench_rng rng = bench_rng_of(1);
    size_t count = bench_scaled(scale, 20000000);
    void *stay[STAY];
    uint64_t sum = 0;

    for (int i = 0; i < STAY; i++) {
        stay[i] = bench_make(bench_size(&rng, SMALLEST, LARGEST), (uint32_t)i);
    }
    for (size_t i = 0; i < count; i++) {
        sum += bench_drop(bench_make(bench_size(&rng, SMALLEST, LARGEST), (uint32_t)i));
    }
    for (int i = 0; i < STAY; i++) {
        sum += bench_drop(stay[i]);
    }
    return sum;
}

static void fill(void **batch, struct bench_rng *rng) {
    for (uint32_t i = 0; i < BATCH; i++) {
        batch[i] = bench_make(bench_size(rng, SMALLEST, LARGEST), i);
    }
}

static uint64_t empty_lifo(void **batch, struct bench_rng *rng) {
    uint64_t sum = 0;

    (void)rng;
    for (int i = BATCH; i-- > 0;) {
        sum += bench_drop(batch[i]);
    }
    return sum;
}

static uint64_t empty_fifo(void **batch, struct bench_rng *rng) {
    uint64_t sum = 0;

    (void)rng;
    for (int i = 0; i < BATCH; i++) {
        sum += bench_drop(batch[i]);
    }
    return sum;
}

static uint64_t empty_random(void **batch, struct bench_rng *rng) {
    uint64_t sum = 0;

    for (uint32_t left = BATCH; left > 0; left--) {
        uint32_t pick = bench_below(rng, left);

        sum += bench_drop(batch[pick]);
        batch[pick] = batch[left - 1];
    }
    return sum;
}

static uint64_t batches(size_t count, uint64_t seed, uint64_t (*empty)(void **, struct bench_rng *)) {
    struct bench_rng rng = bench_rng_of(seed);
    void *batch[BATCH];
    uint64_t sum = 0;

    while (count-- > 0) {
        fill(batch, &rng);
        sum += empty(batch, &rng);
    }
    return sum;
}

uint64_t bench_batch_lifo(double scale) {
    return batches(bench_scaled(scale, 7000), 2, empty_lifo);
}

uint64_t bench_batch_fifo(double scale) {
    return batches(bench_scaled(scale, 7000), 3, empty_fifo);
}

uint64_t bench_batch_random(double scale) {
    return batches(bench_scaled(scale, 7000), 4, empty_random);
}

struct batch_thread {
    pthread_t thread;
    size_t count;
    uint64_t seed, sum;
};

static void *batch_thread(void *arg) {
    struct batch_thread *self = arg;

    self->sum = batches(self->count, self->seed, empty_random);
    return NULL;
}

uint64_t bench_batch_threads(double scale) {
    enum { THREADS = 4 };
    struct batch_thread threads[THREADS];
    uint64_t sum = 0;

    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct batch_thread){.count = bench_scaled(scale, 2000), .seed = 5 + (uint64_t)i};
        if (pthread_create(&threads[i].thread, NULL, batch_thread, &threads[i])) {
            bench_fail("no thread");
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        sum += threads[i].sum;
    }
    return sum;
}

struct node {
    struct node *left, *right;
    uint64_t value;
};

static struct node *grow(int depth, uint64_t value) {
    struct node *node = malloc(sizeof *node);

    if (!node) {
        bench_fail("no memory");
    }
    *node = (struct node){.value = value};
    if (depth > 0) {
        node->left = grow(depth - 1, 2 * value);
        node->right = grow(depth - 1, 2 * value + 1);
    }
    return node;
}

static uint64_t fell(struct node *node) {
    uint64_t sum = node->value;

    if (node->left) {
        sum += fell(node->left) + fell(node->right);
    }
    free(node);
    return sum;
}

uint64_t bench_trees(double scale) {
    struct node *stays = grow(18, 1);
    size_t count = bench_scaled(scale, 3000);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += fell(grow(6 + (int)(i % 10), i));
    }
    return sum + fell(stays);
}
