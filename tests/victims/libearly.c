/* Preloaded behind the allocator, so that its constructor runs before, and its destructor after that one's. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *early_block;
static char *kept;

/* Runs before and after a fork, with blocks enough for every size class to need a pool. */
static void allocate_around_fork(void) {
    for (size_t bytes = 16; bytes <= 60000; bytes += bytes / 4) {
        free(memset(malloc(bytes), 1, bytes));
        malloc(bytes);
    }
}

__attribute__((constructor)) static void begin(void) {
    pthread_atfork(allocate_around_fork, allocate_around_fork, allocate_around_fork); /* before any malloc */
    early_block = malloc(1000);
    memset(early_block, 7, 1000);
    kept = strdup("made before every other constructor");
    free(calloc(100, 100));
}

__attribute__((destructor)) static void end(void) {
    kept = realloc(kept, 100000);
    int sound = kept != NULL && strcmp(kept, "made before every other constructor") == 0;
    free(kept);
    free(malloc(10));
    if (write(1, sound ? "late ok\n" : "late failed\n", sound ? 8 : 12) < 0) {
        _exit(1);
    }
}
