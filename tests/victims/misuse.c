/* One misuse of the heap, by name; each is to end in SIGABRT. Prints "survived" if it does not. */
#include <malloc.h>
#include <pthread.h>

#include "tests/victims/expect.h"

static void *(*volatile opaque_malloc)(size_t) = malloc;
static void (*volatile opaque_free)(void *) = free;
static void *(*volatile opaque_realloc)(void *, size_t) = realloc;
static size_t (*volatile opaque_usable)(void *) = malloc_usable_size;

static _Alignas(4096) char variable[8192];

static void *frees(void *p) {
    opaque_free(p);
    return NULL;
}

static void in_thread(void *p) {
    pthread_t thread;
    pthread_create(&thread, NULL, frees, p);
    pthread_join(thread, NULL);
}

static char *small(void) {
    opaque_malloc(100); /* its pool stays */
    return opaque_malloc(100);
}

static char *large(void) {
    return opaque_malloc(1 << 20);
}

static char *freed(char *p) {
    opaque_free(p);
    return p;
}

static char *freed_elsewhere(char *p) {
    in_thread(p);
    return p;
}

static char *on_stack(void) {
    static char *volatile keep;
    char local[64] __attribute__((aligned(16)));
    keep = local;
    return keep;
}

/* What a mistaken program hands to free, realloc or malloc_usable_size. */
static char *wrong_pointer(const char *name) {
    if (strcmp(name, "freed") == 0) {
        return freed(small());
    } else if (strcmp(name, "freed-large") == 0) {
        return freed(large());
    } else if (strcmp(name, "freed-elsewhere") == 0) {
        return freed_elsewhere(small());
    } else if (strcmp(name, "freed-large-elsewhere") == 0) {
        return freed_elsewhere(large());
    } else if (strcmp(name, "inside") == 0) {
        return small() + 16;
    } else if (strcmp(name, "odd") == 0) {
        return small() + 1;
    } else if (strcmp(name, "inside-large") == 0) {
        return large() + 4096;
    } else if (strcmp(name, "odd-large") == 0) {
        return large() + 8;
    } else if (strcmp(name, "before") == 0) {
        return small() - 16;
    } else if (strcmp(name, "never") == 0) {
        return small() + 112 * 20; /* lies in the pool, was never handed out */
    } else if (strcmp(name, "stack") == 0) {
        return on_stack();
    } else if (strcmp(name, "static") == 0) {
        return variable;
    } else if (strcmp(name, "code") == 0) {
        return (char *)wrong_pointer;
    } else if (strcmp(name, "null-page") == 0) {
        return (char *)16;
    } else if (strcmp(name, "wild") == 0) {
        return (char *)0x123456789a0;
    } else if (strcmp(name, "non-canonical") == 0) {
        return (char *)0xdeadbeefdeadbee0;
    } else if (strcmp(name, "last") == 0) {
        return (char *)-16;
    }
    dprintf(1, "unknown pointer\n");
    exit(2);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    in_thread(NULL); /* what threads allocate is there now: nothing is to be put where the wrong pointer leads */
    char *p = wrong_pointer(argv[2]);
    if (strcmp(argv[1], "free") == 0) {
        opaque_free(p);
    } else if (strcmp(argv[1], "free-elsewhere") == 0) {
        in_thread(p);
    } else if (strcmp(argv[1], "realloc") == 0) {
        opaque_realloc(p, 500);
    } else if (strcmp(argv[1], "usable") == 0) {
        opaque_usable(p);
    }
    free(malloc(100)); /* may be where a deferred free comes to light */
    malloc_trim(0);
    dprintf(1, "survived\n");
    return 0;
}
