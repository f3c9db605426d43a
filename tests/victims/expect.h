/* What victims share: checks that go on after a failure, and one last line on stdout, the same on every sound run.
 * Nothing here allocates. */
#ifndef PSC_TESTS_VICTIMS_EXPECT_H
#define PSC_TESTS_VICTIMS_EXPECT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int expect_failures __attribute__((unused));

__attribute__((unused)) static void expect_failed(const char *file, int line, const char *text) {
    __atomic_fetch_add(&expect_failures, 1, __ATOMIC_RELAXED);
    dprintf(2, "%s:%d: not so: %s\n", file, line, text);
}

/* Any thread may check. */
#define EXPECT(...) ((__VA_ARGS__) ? (void)0 : expect_failed(__FILE__, __LINE__, #__VA_ARGS__))

/* The program's exit status. */
__attribute__((unused)) static int expect_end(void) {
    dprintf(1, expect_failures == 0 ? "ok\n" : "failed\n");
    return expect_failures != 0;
}

__attribute__((unused)) static int is_aligned(const void *p, size_t alignment) {
    return ((uintptr_t)p & (alignment - 1)) == 0;
}

/* Writes a pattern that tells seed and place. */
__attribute__((unused)) static void fill(void *p, size_t bytes, unsigned seed) {
    unsigned char *c = (unsigned char *)p;
    for (size_t i = 0; i < bytes; i++) {
        c[i] = (unsigned char)(i * 7 + seed);
    }
}

__attribute__((unused)) static int is_filled(const void *p, size_t bytes, unsigned seed) {
    const unsigned char *c = (const unsigned char *)p;
    for (size_t i = 0; i < bytes; i++) {
        if (c[i] != (unsigned char)(i * 7 + seed)) {
            return 0;
        }
    }
    return 1;
}

__attribute__((unused)) static int is_zero(const void *p, size_t bytes) {
    const unsigned char *c = (const unsigned char *)p;
    while (bytes > 0 && *c == 0) {
        c++;
        bytes--;
    }
    return bytes == 0;
}

#endif
