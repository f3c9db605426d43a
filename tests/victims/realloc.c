/* realloc and reallocarray: contents stay, what fails leaves the block alone. */
#include <errno.h>

#include "tests/victims/expect.h"

/* The compiler is not to know what happens to the block. */
static void *(*volatile opaque_realloc)(void *, size_t) = realloc;
static void *(*volatile opaque_reallocarray)(void *, size_t, size_t) = reallocarray;

static void check_contents(size_t from, size_t to) {
    char *p = malloc(from);
    char *neighbour = malloc(from);
    fill(p, from, 3);
    fill(neighbour, from, 4);
    errno = 77;
    p = opaque_realloc(p, to);
    EXPECT(p != NULL && errno == 77 && is_aligned(p, 16) && is_filled(p, from < to ? from : to, 3));
    fill(p, to, 5);
    EXPECT(is_filled(neighbour, from, 4));
    EXPECT(is_filled(p, to, 5));
    free(p);
    free(neighbour);
}

static void check_growth(void) {
    size_t bytes = 1;
    char *p = NULL;
    while (bytes < (size_t)64 << 20) {
        p = opaque_realloc(p, bytes);
        EXPECT(p != NULL);
        p[bytes - 1] = 42;
        p[0] = 17;
        size_t more = bytes + bytes / 2 + 1;
        p = opaque_realloc(p, more);
        EXPECT(p != NULL && p[bytes - 1] == (bytes == 1 ? 17 : 42));
        bytes = more;
    }
    p = opaque_realloc(p, 100);
    EXPECT(p != NULL && p[0] == 17);
    free(p);
}

static void check_failure(void) {
    char *p = malloc(100);
    fill(p, 100, 9);
    static const size_t too_much[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX - 8192, (size_t)1 << 47};
    for (size_t i = 0; i < 4; i++) {
        errno = 0;
        EXPECT(opaque_realloc(p, too_much[i]) == NULL && errno == ENOMEM && is_filled(p, 100, 9));
    }
    errno = 0;
    EXPECT(opaque_reallocarray(p, SIZE_MAX / 2 + 2, 2) == NULL && errno == ENOMEM && is_filled(p, 100, 9));
    char *large = malloc(1 << 20);
    fill(large, 1 << 20, 8);
    errno = 0;
    EXPECT(opaque_realloc(large, (size_t)1 << 47) == NULL && errno == ENOMEM && is_filled(large, 1 << 20, 8));
    free(large);
    free(p);
}

static void check_ends(void) {
    char *p = opaque_realloc(NULL, 10);
    EXPECT(p != NULL);
    EXPECT(opaque_realloc(p, 0) == NULL);
    p = opaque_reallocarray(NULL, 10, 10);
    EXPECT(p != NULL);
    fill(p, 100, 1);
    p = opaque_reallocarray(p, 100, 100);
    EXPECT(p != NULL && is_filled(p, 100, 1));
    free(p);
}

int main(void) {
    static const size_t sizes[] = {1, 16, 17, 500, 4096, 20000, 32768, 32769, 100000, 1000000};
    for (size_t i = 0; i < 10; i++) {
        for (size_t k = 0; k < 10; k++) {
            check_contents(sizes[i], sizes[k]);
        }
    }
    check_growth();
    check_failure();
    check_ends();
    return expect_end();
}
