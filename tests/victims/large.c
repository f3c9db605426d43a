/* large WHAT COUNT [BYTES]: much of one thing. Keeps a tally, and prints as truth does, for each function that allocates:
 * allocations, bytes, live blocks, live bytes.
 *   events   blocks made and freed, a few hundred live at a time
 *   blocks   live blocks
 *   threads  threads at the same time, with blocks of their own
 *   space    large blocks of BYTES, hardly touched
 *   clock    large blocks of BYTES made and freed one after the other, beside one that stays */
#include <errno.h>
#include <pthread.h>

#include "tests/victims/expect.h"

struct tally {
    unsigned long allocs, bytes, live, live_bytes;
};

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

static void tell(const char *function, const struct tally *tally) {
    dprintf(1, "%s %lu %lu %lu %lu\n", function, tally->allocs, tally->bytes, tally->live, tally->live_bytes);
}

static void touch(void *p, size_t bytes, unsigned char stamp) {
    volatile unsigned char *c = p;
    c[0] = stamp;
    c[bytes - 1] = stamp;
}

static int is_touched(const void *p, size_t bytes, unsigned char stamp) {
    const volatile unsigned char *c = p;
    return c[0] == stamp && c[bytes - 1] == stamp;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

#define RING 256

__attribute__((noinline)) static void *makes_passing(size_t bytes) {
    void *volatile p = malloc(bytes);
    return p;
}

static void events(size_t pairs) {
    static void *ring[RING];
    static size_t bytes_of[RING];
    struct tally tally = {0};
    for (size_t i = 0; i < pairs; i++) {
        size_t slot = i % 3 == 0 ? i % RING : 0; /* two of three are freed at once, or nearly */
        if (ring[slot] != NULL) {
            free(ring[slot]);
            uncount(&tally, bytes_of[slot]);
        }
        bytes_of[slot] = 1 + (i * 31 & 1023);
        ring[slot] = makes_passing(bytes_of[slot]);
        count(&tally, bytes_of[slot]);
    }
    tell("makes_passing", &tally);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

__attribute__((noinline)) static void *makes_lasting(size_t bytes) {
    void *volatile p = malloc(bytes);
    return p;
}

static void blocks(size_t number) {
    struct tally tally = {0};
    for (size_t i = 0; i < number; i++) {
        size_t bytes = 1 + i * 7 % 64;
        *(unsigned char *)makes_lasting(bytes) = 1;
        count(&tally, bytes);
    }
    tell("makes_lasting", &tally);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static pthread_barrier_t all_there;

__attribute__((noinline)) static void *makes_own(size_t bytes) {
    void *volatile p = malloc(bytes);
    return p;
}

static void *body(void *number) {
    void *blocks_of_own[3];
    for (size_t k = 0; k < 3; k++) {
        blocks_of_own[k] = makes_own(100 * (k + 1));
        fill(blocks_of_own[k], 100 * (k + 1), (unsigned)(size_t)number);
    }
    pthread_barrier_wait(&all_there);
    pthread_barrier_wait(&all_there);
    for (size_t k = 0; k < 3; k++) {
        EXPECT(is_filled(blocks_of_own[k], 100 * (k + 1), (unsigned)(size_t)number));
        if (k > 0) {
            free(blocks_of_own[k]);
        }
    }
    return NULL;
}

static void tell_memory(const char *when) {
    char line[128];
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0 || strncmp(line, "VmSize:", 7) == 0) {
            dprintf(2, "%s: %s", when, line);
        }
    }
    fclose(file);
}

static pthread_t ids[20000];

static void threads(size_t number) {
    pthread_attr_t attributes;
    struct tally tally = {number * 3, number * 600, number, number * 100};
    EXPECT(number <= sizeof ids / sizeof *ids);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    pthread_barrier_init(&all_there, NULL, (unsigned)number + 1);
    tell_memory("before");
    for (size_t i = 0; i < number; i++) {
        EXPECT(pthread_create(&ids[i], &attributes, body, (void *)i) == 0);
    }
    pthread_barrier_wait(&all_there);
    tell_memory("all there");
    pthread_barrier_wait(&all_there);
    for (size_t i = 0; i < number; i++) {
        EXPECT(pthread_join(ids[i], NULL) == 0);
    }
    tell_memory("all gone");
    tell("makes_own", &tally);
}

/* ---- address space ----------------------------------------------------------------------------------------------- */

__attribute__((noinline)) static void *makes_large(size_t i, size_t bytes) {
    void *volatile p = i % 3 == 0 ? calloc(1, bytes) : i % 3 == 1 ? malloc(bytes) : aligned_alloc(1 << 21, bytes);
    return p;
}

__attribute__((noinline)) static void *resizes_large(void *p, size_t bytes) {
    void *volatile resized = realloc(p, bytes);
    return resized;
}

static void space(size_t number, size_t bytes) {
    static void *all[10000];
    struct tally tally = {0}, resized = {0};
    EXPECT(number >= 2 && number <= sizeof all / sizeof *all);
    for (size_t i = 0; i < number; i++) {
        all[i] = makes_large(i, bytes);
        if (all[i] == NULL) {
            EXPECT(errno == ENOMEM);
            dprintf(2, "no memory for block %zu\n", i);
            exit(3);
        }
        EXPECT(i % 3 != 0 || is_touched(all[i], bytes, 0));
        touch(all[i], bytes, (unsigned char)(i + 1));
        count(&tally, bytes);
    }
    for (size_t k = 0; k < 4; k++) { /* bigger by much, by little, smaller, and as it was */
        static const size_t halves[] = {6, 7, 1, 2};
        unsigned char *p = resizes_large(all[0], bytes / 2 * halves[k]);
        EXPECT(p != NULL && p[0] == 1);
        uncount(k == 0 ? &tally : &resized, bytes / 2 * (k == 0 ? 2 : halves[k - 1]));
        count(&resized, bytes / 2 * halves[k]);
        all[0] = p;
        touch(p, bytes / 2 * halves[k], 1);
    }
    for (size_t i = 0; i < number; i++) {
        EXPECT(is_touched(all[i], bytes, (unsigned char)(i + 1)));
        if (i % 2 == 1) {
            free(all[i]);
            uncount(&tally, bytes);
        }
    }
    void *one = malloc(number * bytes); /* in one piece, if the kernel will */
    EXPECT(one != NULL || errno == ENOMEM);
    dprintf(2, "%zu bytes in one piece: %s\n", number * bytes, one != NULL ? "given" : "ENOMEM");
    free(one);
    tell("makes_large", &tally);
    tell("resizes_large", &resized);
}

/* ---- the allocation clock ---------------------------------------------------------------------------------------- */

static void tick(size_t number, size_t bytes) {
    struct tally lasting = {0}, tally = {0};
    void *old = makes_lasting(100);
    count(&lasting, 100);
    for (size_t i = 0; i < number; i++) {
        free(makes_large(0, bytes));
        count(&tally, bytes);
        uncount(&tally, bytes);
    }
    free(old);
    uncount(&lasting, 100);
    tell("makes_lasting", &lasting);
    tell("makes_large", &tally);
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";
    size_t number = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (strcmp(what, "events") == 0) {
        events(number);
    } else if (strcmp(what, "blocks") == 0) {
        blocks(number);
    } else if (strcmp(what, "threads") == 0) {
        threads(number);
    } else if (strcmp(what, "space") == 0) {
        space(number, bytes);
    } else if (strcmp(what, "clock") == 0) {
        tick(number, bytes);
    } else {
        return 2;
    }
    return expect_failures != 0;
}
