/* posix_memalign, aligned_alloc, memalign, valloc, pvalloc: alignment, contents, refusals. */
#include <errno.h>
#include <malloc.h>
#include <unistd.h>

#include "tests/victims/expect.h"

static void check_block(void *p, size_t alignment, size_t bytes) {
    EXPECT(p != NULL && is_aligned(p, alignment) && malloc_usable_size(p) >= bytes);
    fill(p, bytes, 1);
    p = realloc(p, bytes + 100);
    EXPECT(is_filled(p, bytes, 1));
    free(p);
}

static void check_alignments(size_t bytes) {
    for (size_t alignment = 1; alignment <= (size_t)16 << 20; alignment *= 2) {
        void *p = NULL;
        if (alignment >= sizeof(void *)) {
            errno = 55;
            EXPECT(posix_memalign(&p, alignment, bytes) == 0 && errno == 55);
            check_block(p, alignment, bytes);
            check_block(aligned_alloc(alignment, bytes), alignment, bytes);
        }
        check_block(memalign(alignment, bytes), alignment, bytes);
    }
}

static void check_refusals(void) {
    void *p = &p;
    static const size_t wrong[] = {0, 1, 2, 4, 3, 12, 24, 48, SIZE_MAX, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 55;
        EXPECT(posix_memalign(&p, wrong[i], 10) == EINVAL && p == &p && errno == 55);
    }
    errno = 55;
    EXPECT(posix_memalign(&p, 64, SIZE_MAX) == ENOMEM && p == &p);
    EXPECT(posix_memalign(&p, 4096, SIZE_MAX - 4096) == ENOMEM && p == &p);
    static const size_t too_much[] = {SIZE_MAX, SIZE_MAX - 8191, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX - 63};
    for (size_t i = 0; i < 4; i++) {
        errno = 0, EXPECT(memalign(64, too_much[i]) == NULL && errno == ENOMEM);
        errno = 0, EXPECT(aligned_alloc(4096, too_much[i]) == NULL && errno == ENOMEM);
        errno = 0, EXPECT(valloc(too_much[i]) == NULL && errno == ENOMEM);
        errno = 0, EXPECT(pvalloc(too_much[i]) == NULL && errno == ENOMEM);
    }
    errno = 0, EXPECT(memalign(SIZE_MAX, 10) == NULL && (errno == EINVAL || errno == ENOMEM));
    errno = 0, EXPECT(memalign((size_t)1 << 62, 10) == NULL && errno == ENOMEM);
}

int main(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t sizes[] = {0, 1, 24, 100, 4096, 5000, 40000, 300000};
    for (size_t i = 0; i < 8; i++) {
        check_alignments(sizes[i]);
        check_block(valloc(sizes[i]), page, sizes[i]);
        check_block(pvalloc(sizes[i]), page, (sizes[i] + page - 1) / page * page);
    }
    check_refusals();
    check_block(memalign(48, 100), 64, 100); /* rounded up to a power of two */
    return expect_end();
}
