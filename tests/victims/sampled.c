/* Holds many small blocks made by one function and a few large ones by another: sampled COUNT BYTES LARGE LARGE_BYTES
 * [child]. In a child's trace, what the heap holds does not correct the estimates: they stand alone. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

static void *volatile last; /* so that the calls are made */

static __attribute__((noinline)) void make_small(size_t bytes) {
    last = malloc(bytes);
    EXPECT(last != NULL);
}

static __attribute__((noinline)) void make_large(size_t bytes) {
    last = malloc(bytes);
    EXPECT(last != NULL);
}

int main(int argc, char **argv) {
    EXPECT(argc >= 5);
    unsigned long small = strtoul(argv[1], NULL, 0), large = strtoul(argv[3], NULL, 0);
    pid_t child = argc > 5 ? fork() : 0;
    if (child != 0) {
        int status;
        EXPECT(waitpid(child, &status, 0) == child);
        return WEXITSTATUS(status);
    }
    for (unsigned long i = 0; i < small; i++) {
        make_small(strtoul(argv[2], NULL, 0));
    }
    for (unsigned long i = 0; i < large; i++) {
        make_large(strtoul(argv[4], NULL, 0));
    }
    return 0;
}
