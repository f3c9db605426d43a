/* Holds 5,000 blocks of 100 bytes and three of a mebibyte, says so, and goes on allocating until it is killed. */
#include "tests/victims/expect.h"

static void *small[5000];
static void *large[3];

__attribute__((noinline)) void holds(void) {
    for (size_t i = 0; i < 5000; i++) {
        small[i] = malloc(100);
    }
    for (size_t i = 0; i < 3; i++) {
        large[i] = malloc(1 << 20);
    }
}

__attribute__((noinline)) void goes_on(size_t i) {
    void *volatile p = malloc(i % 2000);
    free(p);
}

int main(void) {
    holds();
    dprintf(1, "holding\n");
    for (size_t i = 0;; i++) {
        goes_on(i);
    }
}
