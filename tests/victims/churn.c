/* 2,000 threads of a short life, joined or detached; what they made is freed by others; main leaves by pthread_exit. */
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define THREADS 2000
static void *left[THREADS];
static int done;

static void *body(void *number) {
    size_t i = (size_t)number;
    void *blocks[20];
    for (size_t k = 0; k < 20; k++) {
        blocks[k] = malloc(k * 50);
    }
    left[i] = malloc(300);
    fill(left[i], 300, (unsigned)i);
    for (size_t k = 0; k < 20; k++) {
        free(blocks[k]);
    }
    __atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void start(size_t i) {
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, body, (void *)i) == 0);
    EXPECT((i % 4 == 0 ? pthread_detach(thread) : pthread_join(thread, NULL)) == 0);
}

static void *last(void *unused) {
    usleep(20000); /* main is gone by then, or will be: both are right */
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < THREADS) {
        usleep(1000);
    }
    for (size_t i = 0; i < THREADS; i++) {
        EXPECT(is_filled(left[i], 300, (unsigned)i));
        free(left[i]);
    }
    struct mallinfo2 info = mallinfo2();
    EXPECT(info.arena + info.hblkhd < (size_t)64 << 20); /* heaps of threads that ended are used again */
    exit(expect_end());
    return unused;
}

int main(void) {
    for (size_t i = 0; i < THREADS; i++) {
        start(i);
    }
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, last, NULL) == 0);
    pthread_exit(malloc(100));
}
