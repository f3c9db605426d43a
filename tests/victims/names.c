/* The names that old programs and C23 programs use lead to the same heap: made by one, freed by another. */
#include <dlfcn.h>
#include <malloc.h>

#include "tests/victims/expect.h"

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t each);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *p);

static void use(void *p, size_t bytes) {
    EXPECT(p != NULL && malloc_usable_size(p) >= bytes);
    fill(p, bytes, 1);
    p = realloc(p, bytes * 2);
    EXPECT(is_filled(p, bytes, 1));
    free(p);
}

static void *find(const char *name) {
    void *found = dlsym(RTLD_DEFAULT, name);
    return found != NULL ? found : dlvsym(RTLD_DEFAULT, name, "GLIBC_2.2.5");
}

static void check_late_names(void) {
    void (*cfree_found)(void *) = (void (*)(void *))find("cfree");
    void (*sized)(void *, size_t) = (void (*)(void *, size_t))find("free_sized");
    void (*aligned)(void *, size_t, size_t) = (void (*)(void *, size_t, size_t))find("free_aligned_sized");
    if (cfree_found != NULL) {
        cfree_found(malloc(100));
        cfree_found(NULL);
    }
    if (sized != NULL) { /* glibc has them from 2.43 */
        sized(malloc(100), 100);
        sized(NULL, 100);
        sized(malloc(100000), 100000);
    }
    if (aligned != NULL) {
        aligned(aligned_alloc(4096, 8192), 4096, 8192);
        aligned(NULL, 64, 100);
    }
    if (getenv("LD_PRELOAD") != NULL) {
        EXPECT(cfree_found != NULL && sized != NULL && aligned != NULL);
    }
}

int main(void) {
    use(__libc_malloc(100), 100);
    use(__libc_calloc(10, 10), 100);
    use(__libc_realloc(NULL, 100), 100);
    use(__libc_realloc(malloc(10), 100000), 100000);
    void *p = __libc_memalign(256, 100);
    EXPECT(is_aligned(p, 256));
    use(p, 100);
    __libc_free(malloc(100));
    __libc_free(strdup("made by libc"));
    __libc_free(NULL);
    check_late_names();
    return expect_end();
}
