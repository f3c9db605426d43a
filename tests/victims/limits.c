/* Little memory: malloc gives NULL and ENOMEM, free never fails, and afterwards there is memory again. */
#include <errno.h>
#include <sys/resource.h>

#include "tests/victims/expect.h"

/* Each block holds the address of the one taken before. */
static void **last;

static size_t take_all(size_t bytes) {
    size_t count = 0;
    errno = 0;
    for (void **p; (p = malloc(bytes)) != NULL; count++) {
        *p = last;
        last = p;
    }
    EXPECT(errno == ENOMEM);
    return count;
}

static void give_all(void) {
    while (last != NULL) {
        void **p = last;
        last = *p;
        free(p);
    }
}

/* After the first time, the same size and another must be there again to a good part. */
static void check_size(size_t bytes, size_t other) {
    size_t first = take_all(bytes);
    give_all();
    size_t again = take_all(bytes);
    give_all();
    size_t others = take_all(other);
    give_all();
    if (getenv("VICTIM_TELLS") != NULL) {
        dprintf(2, "%zu of %zu bytes, then %zu, then %zu of %zu\n", first, bytes, again, others, other);
    }
    EXPECT(first > 0 && again >= first / 2);
    EXPECT(others * other >= first * bytes / 4);
}

/* When all is taken, what one free gives is there for the next malloc. */
static void check_last(size_t bytes) {
    take_all(bytes);
    void **p = last;
    last = *p;
    free(p);
    p = malloc(bytes);
    EXPECT(p != NULL);
    free(p);
    give_all();
}

static void *grow(void *p, size_t *bytes) {
    for (void *next; (next = realloc(p, *bytes * 2)) != NULL; p = next) {
        *bytes *= 2;
    }
    return p;
}

/* limits as|data MEGABYTES: sets the limit itself if one larger is in force. */
int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    __rlimit_resource_t what = strcmp(argv[1], "data") == 0 ? RLIMIT_DATA : RLIMIT_AS;
    struct rlimit limit;
    getrlimit(what, &limit);
    if (limit.rlim_cur > strtoul(argv[2], NULL, 10) << 20) {
        limit.rlim_cur = strtoul(argv[2], NULL, 10) << 20;
        EXPECT(setrlimit(what, &limit) == 0);
    }
    check_size(1000, 100000);
    check_size(100000, 1000);
    check_size(20000, 3000000);
    check_size(3000000, 4000);
    check_last(16);
    check_last(200);
    size_t bytes = 1 << 16;
    char *p = malloc(bytes);
    fill(p, bytes, 1);
    p = grow(p, &bytes);
    EXPECT(errno == ENOMEM && is_filled(p, 1 << 16, 1));
    free(p);
    errno = 0;
    EXPECT(calloc(1, limit.rlim_cur) == NULL && errno == ENOMEM);
    void *aligned = NULL;
    EXPECT(posix_memalign(&aligned, 4096, limit.rlim_cur) == ENOMEM);
    p = malloc(1 << 20);
    EXPECT(p != NULL);
    free(p);
    return expect_end();
}
