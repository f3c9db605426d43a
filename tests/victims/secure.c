/* What the hardened heap finds and the other does not, by name. Prints "survived" if it was not found. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>

#include "tests/victims/expect.h"

static void *(*volatile opaque_malloc)(size_t) = malloc;
static void *(*volatile opaque_realloc)(void *, size_t) = realloc;
static void (*volatile opaque_free)(void *) = free;

static void allocate_much(size_t bytes) {
    for (int i = 0; i < 3000; i++) {
        opaque_free(opaque_malloc(bytes));
    }
}

static void overrun(size_t bytes) {
    volatile char *p = opaque_malloc(bytes);
    p[bytes] = 0;
    opaque_free((void *)(uintptr_t)p);
}

static void overrun_and_grow(size_t bytes) {
    volatile char *p = opaque_malloc(bytes);
    p[bytes] = 0;
    opaque_realloc((void *)(uintptr_t)p, bytes * 2);
}

static void underrun(size_t bytes) {
    volatile char *p = opaque_malloc(bytes);
    p[-1] = 1;
}

static void use_after_free(size_t bytes) {
    volatile char *p = opaque_malloc(bytes);
    opaque_free((void *)(uintptr_t)p);
    p[bytes / 2] = 1;
    allocate_much(bytes);
}

static void *frees(void *p) {
    opaque_free(p);
    return NULL;
}

static void use_after_free_elsewhere(size_t bytes) {
    volatile char *p = opaque_malloc(bytes);
    pthread_t thread;
    pthread_create(&thread, NULL, frees, (void *)(uintptr_t)p);
    pthread_join(thread, NULL);
    p[0] = 1;
    allocate_much(bytes);
}

static void free_late(size_t bytes) {
    void *p = opaque_malloc(bytes);
    opaque_free(p);
    allocate_much(bytes + 100);
    opaque_free(p);
}

/* Says nothing when all is well: what a program may do. */
static void behave(size_t bytes) {
    static char *kept[200];
    size_t times = bytes < 10000 ? 20000 : 600; /* large ones take pages */
    for (size_t i = 0; i < times; i++) {
        char **p = &kept[i % 200];
        size_t wanted = i * 7919 % bytes;
        *p = i % 3 == 0 ? opaque_realloc(*p, wanted + 1) : (opaque_free(*p), opaque_malloc(wanted));
        memset(*p, (int)i, malloc_usable_size(*p));
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*play)(size_t bytes);
    } plays[] = {
        {"overrun", overrun},
        {"overrun-and-grow", overrun_and_grow},
        {"underrun", underrun},
        {"use-after-free", use_after_free},
        {"use-after-free-elsewhere", use_after_free_elsewhere},
        {"free-late", free_late},
        {"behave", behave},
    };
    for (size_t i = 0; i < sizeof plays / sizeof plays[0] && argc > 2; i++) {
        if (strcmp(argv[1], plays[i].name) == 0) {
            plays[i].play((size_t)atol(argv[2]));
        }
    }
    puts("survived");
    return 0;
}
