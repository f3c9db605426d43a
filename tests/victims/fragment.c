/* 200,000 blocks of one function, one of another's after every 256th; then the first kind is freed. */
#include "tests/victims/expect.h"

#define BLOCKS 200000
static void *passing[BLOCKS];
static void *lasting[BLOCKS / 256 + 1];

__attribute__((noinline)) void makes_passing(size_t i) {
    passing[i] = malloc(64);
}

__attribute__((noinline)) void makes_lasting(size_t i) {
    lasting[i / 256] = malloc(64);
}

int main(void) {
    for (size_t i = 0; i < BLOCKS; i++) {
        makes_passing(i);
        if (i % 256 == 255) {
            makes_lasting(i);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        free(passing[i]);
    }
    return expect_end();
}
