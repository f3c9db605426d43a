/* The heap is measured again and again while four threads make and retire pools of all sizes. */
#include <malloc.h>
#include <pthread.h>

#include "tests/victims/expect.h"

static int stop;

static void *changes(void *number) {
    static const size_t sizes[] = {16, 4000, 48, 30000, 100000, 700, 16000, 260};
    enum { BLOCKS = 20000 };
    static __thread void *blocks[BLOCKS];
    for (size_t round = 0; round < 80; round++) {
        size_t bytes = sizes[(round + (size_t)number) % 8];
        size_t count = bytes > 1000 ? BLOCKS / 10 : BLOCKS;
        for (size_t i = 0; i < count; i++) {
            blocks[i] = malloc(bytes);
        }
        for (size_t i = 0; i < count; i++) {
            free(blocks[i]);
        }
        malloc_trim(0);
    }
    return NULL;
}

static void *measures(void *unused) {
    FILE *null = fopen("/dev/null", "w");
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        struct mallinfo2 info = mallinfo2();
        EXPECT(info.arena + info.hblkhd < (size_t)1 << 30);
        EXPECT(malloc_info(0, null) == 0);
    }
    fclose(null);
    return unused;
}

int main(void) {
    pthread_t threads[4], measurer;
    EXPECT(pthread_create(&measurer, NULL, measures, NULL) == 0);
    for (size_t i = 0; i < 4; i++) {
        EXPECT(pthread_create(&threads[i], NULL, changes, (void *)i) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(measurer, NULL);
    return expect_end();
}
