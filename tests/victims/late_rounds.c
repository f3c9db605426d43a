/* Threads that allocate for the first time in a late round of their keys' destructors, when an allocator's own destructor
 * has no round left to come to: what each leaves behind must not add up. */
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define THREADS 300
#define WARM 60
#define KB_MOST 400

static pthread_key_t key;
static size_t first_round;

/* Called in each round, as it sets the key anew. */
static void destroy(void *round) {
    size_t number = (size_t)round;
    if (number >= first_round) {
        void *volatile p = malloc(100);
        free(p);
    }
    if (number < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(key, (void *)(number + 1));
    }
}

static void *body(void *unused) {
    pthread_setspecific(key, (void *)1);
    return unused;
}

static long resident_kb(void) {
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%*d %ld", &pages) != 1) {
        return 0;
    }
    fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void run(int threads) {
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, body, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
}

int main(void) {
    EXPECT(pthread_key_create(&key, destroy) == 0);
    for (first_round = 1; first_round <= PTHREAD_DESTRUCTOR_ITERATIONS; first_round++) {
        run(WARM);
        long before = resident_kb();
        run(THREADS);
        long grown = resident_kb() - before;
        EXPECT(grown < KB_MOST);
        if (grown >= KB_MOST) {
            dprintf(2, "round %zu: grown by %ld KiB\n", first_round, grown);
        }
    }
    return expect_end();
}
