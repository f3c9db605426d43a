/* calloc: zero also where the memory was used before, and no overflow of count times size. */
#include <errno.h>

#include "tests/victims/expect.h"

static void check_reuse(size_t bytes) {
    void *blocks[50];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            blocks[i] = calloc(1, bytes);
            EXPECT(blocks[i] != NULL && is_aligned(blocks[i], 16) && is_zero(blocks[i], bytes));
            memset(blocks[i], 0xa5, bytes);
        }
        for (int i = 0; i < 50; i++) {
            free(blocks[i]);
        }
    }
}

static void check_overflow(size_t count, size_t each) {
    errno = 0;
    EXPECT(calloc(count, each) == NULL && errno == ENOMEM);
}

int main(void) {
    static const size_t sizes[] = {1, 16, 100, 1000, 4104, 32768, 32769, 65536, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_reuse(sizes[i]);
    }
    check_overflow(SIZE_MAX, 2);
    check_overflow(SIZE_MAX / 2 + 1, 2);
    check_overflow((size_t)1 << 32, (size_t)1 << 32);
    check_overflow(1, SIZE_MAX);
    check_overflow((size_t)1 << 62, 2);
    void *a = calloc(0, 10);
    void *b = calloc(10, 0);
    EXPECT(a != NULL && b != NULL && a != b);
    free(a);
    free(b);
    char *huge = calloc(1, (size_t)2 << 30); /* must not be touched: twice the machine's patience */
    EXPECT(huge != NULL && huge[0] == 0 && huge[((size_t)2 << 30) - 1] == 0);
    free(huge);
    return expect_end();
}
