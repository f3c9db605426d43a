/* Programs that some of their own functions make fragment, or seem to. What lasts is made among what passes:
 *
 *   server     two threads answer requests in bursts; each fiftieth leaves an entry in a cache
 *   fork       the same in a forked child; the parent has a burst of its own before that
 *   trio       three functions that leave a block each where hundreds pass; none of them keeps a pool alone
 *   shift N    200,000 blocks of 100 bytes, of which N are replaced by blocks of 200, in no order
 */
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define THREADS 2
#define BURSTS 8
#define REQUESTS 20000
#define CACHE 6000
#define BLOCKS 200000

/* What the program knows of its blocks is not to be counted among them. */
static char *requests[THREADS][REQUESTS];
static void *cache[CACHE];
static unsigned next_place; /* atomic */
static char *blocks[BLOCKS];

static unsigned draw(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Each of the ways to get a block; each entry has one. */
static void *make_entry(unsigned way) {
    void *p = NULL;
    switch (way) {
    case 0: p = malloc(200); break;
    case 1:
        p = calloc(2, 100);
        EXPECT(is_zero(p, 200));
        break;
    case 2: p = realloc(malloc(20), 200); break;
    case 3: EXPECT(posix_memalign(&p, 64, 192) == 0 && is_aligned(p, 64)); break;
    default:
        p = malloc(200);
        p = realloc(p, 190); /* stays where it is */
        break;
    }
    return p;
}

/* Has no code of its own: it is part of whoever calls. An entry that goes may be another thread's. */
__attribute__((always_inline)) static inline void cache_put(unsigned way) {
    unsigned place = __atomic_fetch_add(&next_place, 1, __ATOMIC_RELAXED);
    void *old = __atomic_exchange_n(&cache[place % CACHE], make_entry(way), __ATOMIC_ACQ_REL);
    free(old);
}

__attribute__((noinline)) static char *answer(unsigned bytes) {
    char *p = malloc(bytes);
    p[0] = p[bytes - 1] = 1;
    return p;
}

__attribute__((noinline)) static void burst(unsigned thread, unsigned *state) {
    for (unsigned i = 0; i < REQUESTS; i++) {
        requests[thread][i] = answer(i % 2 == 0 ? 180 + draw(state) % 60 : 30 + draw(state) % 900);
        if (i % 50 == 0) {
            cache_put(draw(state) % 5);
        }
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        free(requests[thread][i]);
    }
}

static void *serve(void *number) {
    unsigned thread = (unsigned)(uintptr_t)number, state = thread + 1;
    for (int i = 0; i < BURSTS; i++) {
        burst(thread, &state);
    }
    return NULL;
}

static void server(void) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        EXPECT(pthread_create(&threads[i], NULL, serve, (void *)i) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        EXPECT(pthread_join(threads[i], NULL) == 0);
    }
}

static void in_child(void) {
    int status = 1;
    unsigned state = 7;
    burst(0, &state);
    pid_t child = fork();
    if (child == 0) {
        server();
        exit(expect_failures != 0);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
}

__attribute__((noinline)) static char *make_short(void) {
    char *p = malloc(100);
    p[0] = 1;
    return p;
}

__attribute__((noinline)) static char *make_long(void) {
    char *p = malloc(200);
    p[0] = 1;
    return p;
}

static void shift(unsigned replaced) {
    unsigned state = 1;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = make_short();
    }
    for (unsigned i = 0; i < replaced; i++) { /* block i and one of those behind it change places */
        unsigned other = i + draw(&state) % (BLOCKS - i);
        char *gone = blocks[other];
        blocks[other] = blocks[i];
        free(gone);
        blocks[i] = make_long();
    }
}

#define TRIO_PASSING 100
#define TRIO_ROUNDS 3000

#define KEEPER(name)                                                                                                   \
    __attribute__((noinline)) static char *name(unsigned mark) {                                                       \
        char *p = malloc(64);                                                                                          \
        p[0] = (char)mark;                                                                                             \
        return p;                                                                                                      \
    }

KEEPER(keep_first)
KEEPER(keep_second)
KEEPER(keep_third)
KEEPER(pass)

static void trio(void) {
    for (unsigned i = 0; i < TRIO_ROUNDS; i++) {
        for (unsigned k = 0; k < TRIO_PASSING; k++) {
            blocks[i % (BLOCKS / TRIO_PASSING) * TRIO_PASSING + k] = pass(k);
        }
        EXPECT(keep_first(i) != NULL && keep_second(i) != NULL && keep_third(i) != NULL);
        if (i % (BLOCKS / TRIO_PASSING) == BLOCKS / TRIO_PASSING - 1 || i == TRIO_ROUNDS - 1) {
            for (unsigned k = 0; k < BLOCKS; k++) {
                free(blocks[k]);
                blocks[k] = NULL;
            }
        }
    }
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "server";
    if (strcmp(what, "shift") == 0) {
        shift(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : BLOCKS);
    } else if (strcmp(what, "trio") == 0) {
        trio();
    } else if (strcmp(what, "fork") == 0) {
        in_child();
    } else {
        server();
    }
    malloc_trim(0);
    return expect_end();
}
