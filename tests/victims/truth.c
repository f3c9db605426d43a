/* truth THREADS ROUNDS: keeps a tally of what it does in each thread, and prints for each function that allocates:
 * allocations, bytes, live blocks, live bytes. */
#include <pthread.h>
#include <stddef.h>

#include "tests/victims/expect.h"

#define THREADS_MOST 8

struct tally {
    unsigned long allocs, bytes, live, live_bytes;
};

struct tallies {
    struct tally keeps, drops, resizes, hands_over;
};

static struct tallies tallies[THREADS_MOST];
static size_t rounds;
static void **handed_over[THREADS_MOST];
static size_t *bytes_of[THREADS_MOST];
static pthread_barrier_t all_made;

static void count(struct tally *tally, size_t bytes) {
    tally->allocs++;
    tally->bytes += bytes;
    tally->live++;
    tally->live_bytes += bytes;
}

static void uncount(struct tally *tally, size_t bytes) {
    tally->live--;
    tally->live_bytes -= bytes;
}

__attribute__((noinline)) void keeps(struct tally *tally, size_t i) {
    size_t bytes = i * 37 % (i % 50 == 0 ? 60000 : 900);
    void *volatile p = i % 3 == 0 ? calloc(1, bytes) : malloc(bytes);
    (void)p;
    count(tally, bytes);
}

__attribute__((noinline)) void drops(struct tally *tally, size_t i) {
    size_t bytes = i * 53 % (i % 70 == 0 ? 100000 : 2000);
    void *p = i % 4 == 0 ? aligned_alloc(64, bytes) : malloc(bytes);
    count(tally, bytes);
    free(p);
    uncount(tally, bytes);
}

/* Grows and shrinks in place, by copying, and by moving pages. */
__attribute__((noinline)) void resizes(struct tally *tally, size_t i) {
    static const size_t steps[] = {10, 12, 500, 5000, 40000, 300000, 200000, 100};
    void *p = NULL;
    for (size_t k = 0; k < 8; k++) {
        if (p != NULL) {
            uncount(tally, steps[k - 1] + i % 7);
        }
        p = realloc(p, steps[k] + i % 7);
        count(tally, steps[k] + i % 7);
    }
    if (i % 3 == 0) {
        free(p);
        uncount(tally, steps[7] + i % 7);
    }
}

__attribute__((noinline)) void hands_over(struct tally *tally, size_t thread, size_t i) {
    bytes_of[thread][i] = 1 + i * 11 % 3000;
    handed_over[thread][i] = malloc(bytes_of[thread][i]);
    count(tally, bytes_of[thread][i]);
}

static void take_over(size_t from) {
    for (size_t i = 0; i < rounds; i++) {
        if (i % 5 != 0) {
            free(handed_over[from][i]);
        }
    }
}

static void *body(void *number) {
    size_t thread = (size_t)number;
    struct tallies *mine = &tallies[thread];
    for (size_t i = 0; i < rounds; i++) {
        keeps(&mine->keeps, i);
        drops(&mine->drops, i);
        hands_over(&mine->hands_over, thread, i);
        if (i % 20 == 0) {
            resizes(&mine->resizes, i);
        }
    }
    pthread_barrier_wait(&all_made);
    pthread_barrier_wait(&all_made);
    return NULL;
}

/* The threads have stopped; what each made is freed by the next, or by main. */
static void *freeing_body(void *number) {
    take_over((size_t)number);
    return NULL;
}

static void run(size_t threads, void *(*function)(void *), pthread_t *ids) {
    for (size_t i = 0; i < threads; i++) {
        EXPECT(pthread_create(&ids[i], NULL, function, (void *)i) == 0);
    }
}

static void join(size_t threads, pthread_t *ids) {
    for (size_t i = 0; i < threads; i++) {
        EXPECT(pthread_join(ids[i], NULL) == 0);
    }
}

static void settle_handover(size_t threads) {
    for (size_t t = 0; t < threads; t++) {
        for (size_t i = 0; i < rounds; i++) {
            if (i % 5 != 0) {
                uncount(&tallies[t].hands_over, bytes_of[t][i]);
            }
        }
    }
}

static void tell(const char *function, size_t offset, size_t threads) {
    struct tally sum = {0, 0, 0, 0};
    for (size_t t = 0; t < threads; t++) {
        const struct tally *tally = (const struct tally *)((const char *)&tallies[t] + offset);
        sum.allocs += tally->allocs;
        sum.bytes += tally->bytes;
        sum.live += tally->live;
        sum.live_bytes += tally->live_bytes;
    }
    dprintf(1, "%s %lu %lu %lu %lu\n", function, sum.allocs, sum.bytes, sum.live, sum.live_bytes);
}

static char arrays[64 << 20]; /* the tallies' own memory is not to be counted */

static void lay_out(size_t threads) {
    char *next = arrays;
    for (size_t t = 0; t < threads; t++) {
        handed_over[t] = (void **)next;
        bytes_of[t] = (size_t *)(next + rounds * 8);
        next += rounds * 16;
    }
    EXPECT(next <= arrays + sizeof arrays);
}

int main(int argc, char **argv) {
    size_t threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    pthread_t makers[THREADS_MOST], takers[THREADS_MOST];
    lay_out(threads);
    if (threads == 1) {
        pthread_barrier_init(&all_made, NULL, 1);
        body((void *)0);
        take_over(0);
    } else {
        pthread_barrier_init(&all_made, NULL, (unsigned)threads + 1);
        run(threads, body, makers);
        pthread_barrier_wait(&all_made);
        run(threads, freeing_body, takers);
        join(threads, takers);
        pthread_barrier_wait(&all_made);
        join(threads, makers);
    }
    settle_handover(threads);
    tell("keeps", offsetof(struct tallies, keeps), threads);
    tell("drops", offsetof(struct tallies, drops), threads);
    tell("resizes", offsetof(struct tallies, resizes), threads);
    tell("hands_over", offsetof(struct tallies, hands_over), threads);
    return expect_failures != 0;
}
