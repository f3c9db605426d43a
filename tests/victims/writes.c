/* Writes 300 lines to the file that it is told, allocating from hundreds of different stacks meanwhile, for a trace of
 * a few MiB. */
#include "tests/victims/expect.h"

__attribute__((noinline)) static void descend(size_t depth, size_t path) {
    void *volatile p = malloc(depth * 3 + 1);
    (void)p;
    if (depth == 0) {
        return;
    }
    if (path % 2 == 0) { /* two places to return to */
        descend(depth - 1, path / 2);
        __asm__ volatile("nop");
    } else {
        descend(depth - 1, path / 2);
        __asm__ volatile("nop; nop");
    }
}

int main(int argc, char **argv) {
    FILE *file = argc > 1 ? fopen(argv[1], "w") : stdout;
    EXPECT(file != NULL);
    for (size_t i = 0; i < 300; i++) {
        descend(11, i * 7 % 4096);
        for (size_t k = 0; k < 300; k++) {
            free(malloc(k * 100));
            char *volatile kept = malloc(600);
            (void)kept;
        }
        fprintf(file, "line %zu\n", i);
    }
    EXPECT(fflush(file) == 0);
    return expect_end();
}
