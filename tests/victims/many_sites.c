/* Blocks from as many stacks as asked for, by ways through functions that call each other: two live and one freed for
 * each. many_sites COUNT DEPTH */
#include <stdint.h>

#include "tests/victims/expect.h"

static void *kept; /* the last block; each points to the one before */
static uint64_t random_state = 1;

/* The next of a fixed series (xorshift). */
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void keep(size_t bytes) {
    void **block = malloc(bytes);
    EXPECT(block != NULL);
    *block = kept;
    kept = block;
}

__attribute__((noinline)) static void end(uint64_t way) {
    keep(16 + way % 512);
    keep(16 + way % 64);
    free(malloc(64 + way % 1024));
}

typedef void step(uint64_t way, unsigned depth);
static step step_0, step_1, step_2, step_3;
static step *const steps[] = {step_0, step_1, step_2, step_3};

/* What stands behind each call keeps it from being a jump, and from being one with the others. */
#define CALL(at)                                                                                                       \
    case at:                                                                                                           \
        steps[way % 4](way / 16, depth - 1);                                                                           \
        __asm__ volatile("" ::"i"(at));                                                                                \
        break;
#define STEP(name)                                                                                                     \
    __attribute__((noinline)) static void name(uint64_t way, unsigned depth) {                                         \
        if (depth == 0) {                                                                                              \
            end(way);                                                                                                  \
            return;                                                                                                    \
        }                                                                                                              \
        way = way < 16 ? next_random() : way;                                                                          \
        switch (way / 4 % 4) { CALL(0) CALL(1) CALL(2) CALL(3) }                                                       \
    }
STEP(step_0)
STEP(step_1)
STEP(step_2)
STEP(step_3)

int main(int argc, char **argv) {
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    unsigned depth = argc > 2 ? (unsigned)atoi(argv[2]) : 10;
    for (unsigned i = 0; i < count; i++) {
        step_0(next_random(), depth);
    }
    return expect_end();
}
