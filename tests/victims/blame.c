/* blame WAY [apart]: heaps of which it is known who is to blame, and whether pools of its own would help.
 *
 *   pin    eight times 200,000 blocks that pass, with one that lasts after every 256th: those that last pin the pools
 *   shift  200,000 blocks, of which random ones make way for larger ones: those that are left lie among their own dead
 *   fall   600,000 blocks of 12 sizes, of which a random quarter is left, and some come and go
 *   pair   two makers of blocks that stay, in the same pools: of one most blocks pass, of the other none
 *   queue  as pin, but those that last do not last for ever: they come and go as a queue
 *
 * `apart`: those that are to blame have a size class of their own, as if they had pools of their own. */
#include <stdbool.h>

#include "tests/victims/expect.h"

#define BLOCKS 200000
#define ROUNDS 8
#define EVERY 256
#define SIZES 12

static void *passing[3 * BLOCKS];
static void *lasting[2 * ROUNDS * (BLOCKS / EVERY + 1)];
static size_t lasting_bytes = 64;
static size_t count;
static unsigned long state = 88172645463325252ul;

static unsigned long draw(unsigned long below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (state >> 20) % below;
}

__attribute__((noinline)) void makes_passing(size_t i) {
    passing[i] = malloc(64);
}

__attribute__((noinline)) void makes_lasting(size_t i) {
    lasting[i] = malloc(lasting_bytes);
}

/* Most are freed at once. */
__attribute__((noinline)) void makes_some(size_t i) {
    void *first[32];
    for (size_t k = 0; k < 32; k++) {
        first[k] = malloc(lasting_bytes);
    }
    for (size_t k = 1; k < 32; k++) {
        free(first[k]);
    }
    lasting[i] = first[0];
}

static void pass(size_t blocks) {
    for (size_t i = 0; i < blocks; i++) {
        free(passing[i]);
    }
}

/* The second maker, if any, comes right behind the first; of a queue longer than `most` the oldest leaves. */
static void pin(bool pair, size_t most) {
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            makes_passing(i);
            if (i % EVERY != EVERY - 1) {
                continue;
            }
            makes_lasting(count++);
            if (pair) {
                makes_some(count++);
            }
            if (count > most) {
                free(lasting[count - 1 - most]);
            }
        }
        pass(BLOCKS);
    }
}

__attribute__((noinline)) void makes_small(size_t i) {
    passing[i] = malloc(100);
}

__attribute__((noinline)) void makes_large(size_t i) {
    passing[i] = malloc(200);
}

static void shift(void) {
    static bool gone[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        makes_small(i);
    }
    for (size_t left = BLOCKS; left > BLOCKS / 4;) {
        size_t i = draw(BLOCKS);
        if (!gone[i]) {
            free(passing[i]);
            makes_large(i);
            gone[i] = true;
            left--;
        }
    }
}

__attribute__((noinline)) void makes_any(size_t i) {
    passing[i] = malloc(24 + i % SIZES * 40);
}

static void fall(void) {
    for (size_t i = 0; i < 3 * BLOCKS; i++) {
        makes_any(i);
    }
    for (size_t i = 0; i < 3 * BLOCKS; i++) {
        if (draw(4) != 0) {
            free(passing[i]);
            passing[i] = NULL;
        }
    }
    for (size_t i = 0; i < BLOCKS / 10; i++) {
        size_t at = draw(3 * BLOCKS);
        free(passing[at]);
        makes_any(at);
    }
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    lasting_bytes = argc > 2 ? 80 : 64;
    if (strcmp(way, "pin") == 0) {
        pin(false, SIZE_MAX);
    } else if (strcmp(way, "queue") == 0) {
        pin(false, 1000);
    } else if (strcmp(way, "pair") == 0) {
        pin(true, SIZE_MAX);
    } else if (strcmp(way, "shift") == 0) {
        shift();
    } else {
        EXPECT(strcmp(way, "fall") == 0);
        fall();
    }
    return expect_end();
}
