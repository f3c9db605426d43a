/* malloc and free: every size, zero, too much, errno. */
#include <errno.h>

#include "tests/victims/expect.h"

static void check_sizes(void) {
    void *blocks[700];
    for (size_t i = 0; i < 700; i++) {
        size_t bytes = i < 400 ? i : (i - 399) * 997;
        blocks[i] = malloc(bytes);
        EXPECT(blocks[i] != NULL && is_aligned(blocks[i], 16));
        fill(blocks[i], bytes, (unsigned)i);
    }
    for (size_t i = 0; i < 700; i++) {
        EXPECT(is_filled(blocks[i], i < 400 ? i : (i - 399) * 997, (unsigned)i));
        free(blocks[i]);
    }
}

static void check_zero(void) {
    void *a = malloc(0);
    void *b = malloc(0);
    EXPECT(a != NULL && b != NULL && a != b);
    free(a);
    free(b);
}

static void check_too_much(void) {
    const size_t sizes[] = {SIZE_MAX,    SIZE_MAX - 15,      SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1,
                            PTRDIFF_MAX, PTRDIFF_MAX - 4096, (size_t)1 << 47};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        errno = 0;
        EXPECT(malloc(sizes[i]) == NULL && errno == ENOMEM);
    }
}

static void check_errno(void) {
    static const size_t sizes[] = {1, 100, 5000, 40000, 300000, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        errno = 123;
        void *p = malloc(sizes[i]);
        EXPECT(p != NULL && errno == 123);
        free(p);
        EXPECT(errno == 123);
    }
    free(NULL);
    EXPECT(errno == 123);
}

int main(void) {
    check_sizes();
    check_zero();
    check_too_much();
    check_errno();
    return expect_end();
}
