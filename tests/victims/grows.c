/* One program in two builds, the second with -DSECOND: other code and lines before the functions that allocate, and of what
 * they keep a known difference. */
#include "tests/victims/expect.h"

#ifdef SECOND
#define GROWING 350
#define SHRINKING 50
/* Moves all that follows. */
__attribute__((noinline)) int shifts_the_rest(int n) {
    volatile int sum = 0;
    for (int i = 0; i < n; i++) {
        sum += i * i + (sum >> 3);
        sum ^= i << (sum & 7);
    }
    return sum;
}
#else
#define GROWING 100
#define SHRINKING 200
#endif

static void *kept[1000];
static size_t kept_count;

static void keep(void *p) {
    kept[kept_count++] = p;
}

__attribute__((noinline)) void makes_the_same(void) {
    keep(malloc(1000));
}

__attribute__((noinline)) void makes_more(void) {
#ifdef SECOND
    shifts_the_rest(10);
#endif
    keep(malloc(1000));
}

__attribute__((noinline)) void makes_less(void) {
    keep(calloc(1, 500));
}

/* Two sites, that are one by their functions. */
__attribute__((noinline)) void makes_two(void) {
    keep(malloc(2000));
    keep(malloc(3000));
}

__attribute__((noinline)) void makes_and_drops(size_t times) {
    for (size_t i = 0; i < times; i++) {
        void *volatile p = malloc(100);
        free(p);
    }
}

#ifdef SECOND
__attribute__((noinline)) void is_new(void) {
    keep(malloc(30000));
}
#else
__attribute__((noinline)) void is_gone(void) {
    keep(malloc(20000));
}
#endif

static void repeat(void (*makes)(void), size_t times) {
    for (size_t i = 0; i < times; i++) {
        makes();
    }
}

int main(void) {
    repeat(makes_the_same, 70);
    repeat(makes_more, GROWING);
    repeat(makes_less, SHRINKING);
    repeat(makes_two, 5);
    makes_and_drops(GROWING);
#ifdef SECOND
    repeat(is_new, 2);
#else
    repeat(is_gone, 3);
#endif
    return expect_end();
}
