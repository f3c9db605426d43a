/* Sites that a page can be asked for: each is the first of one ranking. */
#include "tests/victims/expect.h"

#define BIG 100000

static void *kept[3];
static volatile int two = 2; /* keeps the calls in one place */

__attribute__((noinline)) static void most_live(void) {
    for (int i = 0; i < two; i++) {
        kept[i] = malloc(8 * BIG);
    }
}

__attribute__((noinline)) static void most_allocated(void) {
    for (int i = 0; i < 50; i++) {
        void *block = malloc(BIG);
        fill(block, BIG, 1);
        free(block);
    }
}

__attribute__((noinline)) static void once(void) {
    kept[2] = malloc(10);
}

int main(void) {
    most_live();
    most_allocated();
    once();
    EXPECT(kept[0] != NULL && kept[1] != NULL && kept[2] != NULL);
    return expect_end();
}
