/* Two threads make blocks, two others check and free them; the heap does not grow with the number handed over. */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>

#include "tests/victims/expect.h"

#define PAIRS 2
#define RING 256
#define BLOCKS 100000

static struct {
    unsigned char *ring[RING];
    size_t made, taken;
} lines[PAIRS];

static size_t bytes_of(size_t i) {
    return 1 + i * 31 % (i % 64 == 0 ? 40000 : 600);
}

static void *makes(void *line_number) {
    size_t line = (size_t)line_number;
    for (size_t i = 0; i < BLOCKS; i++) {
        unsigned char *p = malloc(bytes_of(i));
        p[0] = (unsigned char)i;
        p[bytes_of(i) - 1] = (unsigned char)i;
        while (i - __atomic_load_n(&lines[line].taken, __ATOMIC_ACQUIRE) >= RING) {
            sched_yield();
        }
        lines[line].ring[i % RING] = p;
        __atomic_store_n(&lines[line].made, i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *takes(void *line_number) {
    size_t line = (size_t)line_number;
    for (size_t i = 0; i < BLOCKS; i++) {
        while (__atomic_load_n(&lines[line].made, __ATOMIC_ACQUIRE) <= i) {
            sched_yield();
        }
        unsigned char *p = lines[line].ring[i % RING];
        __atomic_store_n(&lines[line].taken, i + 1, __ATOMIC_RELEASE);
        EXPECT(p[0] == (unsigned char)i && p[bytes_of(i) - 1] == (unsigned char)i);
        free(p);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[2 * PAIRS];
    for (size_t i = 0; i < 2 * PAIRS; i++) {
        EXPECT(pthread_create(&threads[i], NULL, i % 2 == 0 ? makes : takes, (void *)(i / 2)) == 0);
    }
    for (size_t i = 0; i < 2 * PAIRS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct mallinfo2 info = mallinfo2();
    EXPECT(info.arena + info.hblkhd < (size_t)64 << 20);
    return expect_end();
}
