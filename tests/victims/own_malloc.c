/* A program with an allocator of its own, which is never to meet ours. Blocks come from a static range. */
#include <errno.h>
#include <pthread.h>

#include "tests/victims/expect.h"

static _Alignas(16) char range[8 << 20];
static size_t used;

static int is_mine(const void *p) {
    return p == NULL || ((const char *)p >= range && (const char *)p < range + sizeof range);
}

void *malloc(size_t bytes) {
    size_t room = (bytes + 31) & ~(size_t)15;
    size_t at = __atomic_fetch_add(&used, room, __ATOMIC_RELAXED);
    if (at + room > sizeof range) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(range + at, &bytes, sizeof bytes);
    return range + at + 16;
}

void free(void *p) {
    if (!is_mine(p)) {
        dprintf(1, "a block of a stranger\n");
        abort();
    }
}

void *calloc(size_t count, size_t each) {
    return malloc(count * each); /* never used before */
}

void *realloc(void *p, size_t bytes) {
    void *copy = malloc(bytes);
    size_t old = 0;
    if (p != NULL && copy != NULL) {
        memcpy(&old, (char *)p - 16, sizeof old);
        memcpy(copy, p, old < bytes ? old : bytes);
    }
    free(p);
    return copy;
}

static void *in_thread(void *unused) {
    free(strdup("text"));
    return unused;
}

int main(void) {
    char *text = strdup("text");
    EXPECT(is_mine(text) && strcmp(text, "text") == 0);
    free(text);
    EXPECT(asprintf(&text, "%d", 1234) == 4 && is_mine(text));
    free(text);
    text = reallocarray(NULL, 10, 10); /* libc's, or the preload's: must end in this realloc */
    EXPECT(is_mine(text));
    text = reallocarray(text, 100, 10);
    EXPECT(is_mine(text));
    free(text);
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    return expect_end();
}
