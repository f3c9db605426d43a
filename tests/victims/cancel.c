/* A thread that is to be cancelled comes to its next cancellation point, and not before: malloc and free are none, whatever
 * they have to do. Each is about to be cancelled while it allocates, in new sites and deep, and then ends itself; cleanup
 * handlers and destructors allocate. */
#include <pthread.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define THREADS 60

static pthread_key_t key;
static int reached, spinning, cleaned, destroyed;

static void count(int *counter) {
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void clean(void *p) {
    free(p);
    free(malloc(3000));
    count(&cleaned);
}

static void destroy(void *p) {
    free(p);
    free(malloc(200));
    count(&destroyed);
}

__attribute__((noinline, noclone)) static void allocate(size_t depth, size_t bytes) {
    free(malloc(bytes + depth * 16));
    if (depth > 0) {
        allocate(depth - 1, bytes);
    }
    free(realloc(malloc(40000), 300000 + bytes));
}

static void *body(void *number) {
    void *kept = malloc(500);
    pthread_setspecific(key, malloc(100));
    pthread_cleanup_push(clean, kept);
    pthread_cancel(pthread_self());
    for (size_t i = 0; i < 60; i++) {
        allocate(i % 12, (size_t)number * 40 + i);
    }
    count(&reached);
    for (;;) {
        pthread_testcancel();
        pause();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

/* Cancelled wherever it is, which may not be in malloc. */
static void *spins(void *unused) {
    static volatile int turns;
    (void)unused;
    void *kept = malloc(500);
    pthread_setspecific(key, malloc(100));
    pthread_cleanup_push(clean, kept);
    allocate(3, 100);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    count(&spinning);
    for (;;) {
        turns = turns + 1;
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void run(void *(*function)(void *)) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        EXPECT(pthread_create(&threads[i], NULL, function, (void *)i) == 0);
        while (function == spins && __atomic_load_n(&spinning, __ATOMIC_RELAXED) <= (int)i) {
            usleep(100);
        }
        if (function == spins) {
            pthread_cancel(threads[i]);
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        EXPECT(pthread_join(threads[i], &result) == 0 && result == PTHREAD_CANCELED);
    }
}

int main(void) {
    free(malloc(1));
    pthread_key_create(&key, destroy);
    run(body);
    EXPECT(reached == THREADS && cleaned == THREADS && destroyed == THREADS);
    run(spins);
    EXPECT(spinning == THREADS && cleaned == 2 * THREADS && destroyed == 2 * THREADS);
    allocate(10, 5);
    return expect_end();
}
