/* Destructors of thread keys that allocate and free in every round, before and after that of the allocator; there are
 * more keys than the first block of a thread's table holds. */
#include <limits.h>
#include <pthread.h>

#include "tests/victims/expect.h"

#define KEYS 40
static pthread_key_t keys[KEYS];
static int rounds;

static void destroy(void *p) {
    EXPECT(is_filled(p, 100, 1));
    void *next = malloc(100);
    fill(next, 100, 1);
    free(p);
    int round = __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
    if (round % (KEYS * PTHREAD_DESTRUCTOR_ITERATIONS) < KEYS * (PTHREAD_DESTRUCTOR_ITERATIONS - 1)) {
        pthread_setspecific(keys[round % KEYS], next);
    } else {
        free(next);
    }
    free(malloc(100000));
}

static void *body(void *unused) {
    for (int i = 0; i < KEYS; i++) {
        void *p = malloc(100);
        fill(p, 100, 1);
        pthread_setspecific(keys[i], p);
    }
    return unused;
}

int main(void) {
    for (int i = 0; i < KEYS; i++) {
        EXPECT(pthread_key_create(&keys[i], destroy) == 0);
    }
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, body, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
    EXPECT(rounds >= 200 * KEYS);
    return expect_end();
}
