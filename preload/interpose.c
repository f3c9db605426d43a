/* The malloc family as the program sees it: POSIX.1-2017, C23 and what glibc adds, with glibc's behaviour where the
 * standards leave room (realloc(p, 0) frees and returns NULL; malloc(0) returns a block).
 *
 * C++'s operators are not defined: libstdc++'s call these, with new-handlers and bad_alloc as the standard has them,
 * and a program that replaces some of them keeps its own. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/os.h"
#include "core/heap/fast.h"
#include "core/heap/misuse.h"
#include "preload/boot.h"
#include "preload/record.h"

#if __has_attribute(copy) /* else gcc warns of attributes that the alias lacks */
#define ALIAS_OF(name) __attribute__((alias(#name), visibility("default"), copy(name)))
#else
#define ALIAS_OF(name) __attribute__((alias(#name), visibility("default")))
#endif

/* ---- what all share: the heap, told to the tracker when it records ----------------------------------------------- */

/* The stack is walked from the function that `told` is written in: from as near to the program as can be. */

PSC_INLINE void *told(uint32_t state, void *p, size_t bytes) {
    bool sampled = psc_heap_take_picked(p) && state == PSC_PRELOAD_SAMPLING;
    if (state == PSC_PRELOAD_RECORDING || PSC_UNLIKELY(sampled)) {
        struct psc_unwind_start start;
        psc_unwind_capture(&start);
        sampled ? psc_record_sample(p, bytes, &start) : psc_record_alloc(p, bytes, &start);
    }
    return p;
}

/* Where sites have pools of their own: the site is found before the block is made. */
PSC_NOINLINE static void *alloc_apart(size_t alignment, size_t bytes, bool zeroed) {
    struct psc_unwind_start start;
    psc_unwind_capture(&start);
    return psc_record_new_apart(alignment, bytes, zeroed, &start);
}

/* What the fast paths leave over: when the tracker records, everything. */

PSC_NOINLINE static void *alloc_told(uint32_t state, size_t bytes) {
    return state == PSC_PRELOAD_APART ? alloc_apart(1, bytes, false) : told(state, psc_heap_alloc(bytes), bytes);
}

PSC_NOINLINE static void *alloc_otherwise(size_t bytes) {
    uint32_t state = psc_preload_now();
    return PSC_LIKELY(state == PSC_PRELOAD_RECORDING) ? psc_record_new(bytes) : alloc_told(state, bytes);
}

PSC_NOINLINE static void *alloc_zeroed_otherwise(size_t bytes) {
    uint32_t state = psc_preload_now();
    return PSC_UNLIKELY(state == PSC_PRELOAD_APART) ? alloc_apart(1, bytes, true)
                                                    : told(state, psc_heap_alloc_zeroed(bytes), bytes);
}

PSC_NOINLINE static void *alloc_aligned_otherwise(size_t alignment, size_t bytes) {
    uint32_t state = psc_preload_now();
    return PSC_UNLIKELY(state == PSC_PRELOAD_APART) ? alloc_apart(alignment, bytes, false)
                                                    : told(state, psc_heap_alloc_aligned(alignment, bytes), bytes);
}

static void *alloc_aligned(size_t alignment, size_t bytes) {
    void *p;
    uint32_t class_index = psc_class_of_aligned(bytes, alignment);
    bool small = class_index < PSC_CLASS_COUNT;
    return small && psc_fast_alloc_class(psc_heap_open, class_index, &p) ? p
                                                                         : alloc_aligned_otherwise(alignment, bytes);
}

PSC_NOINLINE static void free_otherwise(void *p) {
    if (psc_preload_now() >= PSC_PRELOAD_RECORDING) {
        psc_record_free(p);
    } else if (psc_heap_open == psc_heap_self) { /* the fast path has been tried */
        psc_heap_free_slowly(p);
    } else {
        psc_heap_free(p);
    }
}

static void *resize(void *p, size_t bytes) {
    uint32_t state = psc_preload_now();
    if (state < PSC_PRELOAD_RECORDING) {
        return told(state, psc_heap_resize(p, bytes), bytes);
    }
    struct psc_unwind_start start;
    psc_unwind_capture(&start);
    return psc_record_resize(p, bytes, &start);
}

static void *fail(int error) {
    errno = error;
    return NULL;
}

static void *resize_or_copy_block(void *p, size_t bytes) {
    struct psc_block block;
    size_t old_bytes = psc_heap_usable(p);
    if (PSC_UNLIKELY(old_bytes == 0 && !psc_heap_block(p, &block))) { /* no block, and that is ignored */
        return fail(EINVAL);
    }
    void *resized = resize(p, bytes);
    if (resized != NULL) {
        return resized;
    }
    void *copy = alloc_otherwise(bytes);
    if (copy != NULL) {
        memcpy(copy, p, old_bytes < bytes ? old_bytes : bytes);
        free_otherwise(p);
    }
    return copy;
}

PSC_NOINLINE static void *resize_or_copy(void *p, size_t bytes) {
    psc_track_resize_begin(p);
    void *resized = resize_or_copy_block(p, bytes);
    psc_track_resize_end();
    return resized;
}

/* NULL: nothing was done, ask resize_or_copy. */
PSC_INLINE void *resize_fast(void *p, size_t bytes) {
    struct psc_place place;
    void *copy;
    if (!psc_fast_find(psc_heap_open, p, &place)) {
        return NULL;
    }
    uint32_t old_bytes = place.pool->block_bytes;
    if (psc_block_suits(old_bytes, bytes)) {
        return p;
    }
    if (!psc_fast_alloc(psc_heap_open, bytes, &copy)) {
        return NULL;
    }
    memcpy(copy, p, old_bytes < bytes ? old_bytes : bytes);
    free(p); /* copy may lie in the same word: what we know of its bits is old */
    return copy;
}

/* ---- C ----------------------------------------------------------------------------------------------------------- */

PSC_EXPORT void *malloc(size_t bytes) {
    void *p;
    return PSC_LIKELY(psc_fast_alloc(psc_heap_open, bytes, &p)) ? p : alloc_otherwise(bytes);
}

PSC_EXPORT void free(void *p) {
    if (PSC_UNLIKELY(!psc_fast_free(psc_heap_open, p))) {
        free_otherwise(p);
    }
}

PSC_EXPORT void *calloc(size_t count, size_t each) {
    size_t bytes;
    if (PSC_UNLIKELY(__builtin_mul_overflow(count, each, &bytes))) {
        return fail(ENOMEM);
    }
    void *p;
    return psc_fast_alloc(psc_heap_open, bytes, &p) ? memset(p, 0, bytes) : alloc_zeroed_otherwise(bytes);
}

PSC_EXPORT void *realloc(void *p, size_t bytes) {
    if (p == NULL) {
        return malloc(bytes);
    }
    if (bytes == 0) {
        free(p);
        return NULL;
    }
    if (PSC_UNLIKELY(bytes > PTRDIFF_MAX)) {
        return fail(ENOMEM);
    }
    void *resized = resize_fast(p, bytes);
    return resized != NULL ? resized : resize_or_copy(p, bytes);
}

PSC_EXPORT void *reallocarray(void *p, size_t count, size_t each) {
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes)) {
        return fail(ENOMEM);
    }
    return psc_preload_public_realloc(p, bytes);
}

/* Size and alignment are the caller's claim, not more: what lies there decides. */
PSC_EXPORT void free_sized(void *p, size_t bytes);
PSC_EXPORT void free_sized(void *p, size_t bytes) {
    if (p == NULL || psc_misuse_is_sized(p, 1, bytes)) {
        free(p);
    }
}

PSC_EXPORT void free_aligned_sized(void *p, size_t alignment, size_t bytes);
PSC_EXPORT void free_aligned_sized(void *p, size_t alignment, size_t bytes) {
    if (p == NULL || psc_misuse_is_sized(p, alignment, bytes)) {
        free(p);
    }
}

/* ---- aligned ----------------------------------------------------------------------------------------------------- */

PSC_EXPORT int posix_memalign(void **result, size_t alignment, size_t bytes) {
    if (!psc_is_power_of_two(alignment) || alignment % sizeof(void *) != 0) {
        return EINVAL;
    }
    int saved = errno;
    void *p = alloc_aligned(alignment, bytes);
    errno = saved;
    if (p == NULL) {
        return ENOMEM;
    }
    *result = p;
    return 0;
}

/* As glibc: an alignment that is no power of two is rounded up to one. */
static size_t usable_alignment(size_t alignment) {
    size_t power = 16;
    while (power < alignment && power <= SIZE_MAX / 2) {
        power *= 2;
    }
    return power;
}

PSC_EXPORT void *memalign(size_t alignment, size_t bytes) {
    if (alignment > SIZE_MAX / 2 + 1) {
        return fail(EINVAL);
    }
    return alloc_aligned(usable_alignment(alignment), bytes);
}

PSC_EXPORT void *aligned_alloc(size_t alignment, size_t bytes) {
    if (!psc_is_power_of_two(alignment)) {
        return fail(EINVAL);
    }
    return alloc_aligned(alignment, bytes);
}

PSC_EXPORT void *valloc(size_t bytes) {
    return alloc_aligned(PSC_PAGE_BYTES, bytes);
}

PSC_EXPORT void *pvalloc(size_t bytes) {
    if (bytes > PTRDIFF_MAX) {
        return fail(ENOMEM);
    }
    return alloc_aligned(PSC_PAGE_BYTES, psc_round_up(bytes > 0 ? bytes : 1, PSC_PAGE_BYTES));
}

PSC_EXPORT size_t malloc_usable_size(void *p) {
    return p != NULL ? psc_heap_usable(p) : 0;
}

/* ---- old names --------------------------------------------------------------------------------------------------- */

void cfree(void *p) ALIAS_OF(free);
void *__libc_malloc(size_t bytes) ALIAS_OF(malloc);
void *__libc_calloc(size_t count, size_t each) ALIAS_OF(calloc);
void *__libc_realloc(void *p, size_t bytes) ALIAS_OF(realloc);
void __libc_free(void *p) ALIAS_OF(free);
void __libc_cfree(void *p) ALIAS_OF(free);
void *__libc_memalign(size_t alignment, size_t bytes) ALIAS_OF(memalign);
void *__libc_valloc(size_t bytes) ALIAS_OF(valloc);
void *__libc_pvalloc(size_t bytes) ALIAS_OF(pvalloc);
int __posix_memalign(void **result, size_t alignment, size_t bytes) ALIAS_OF(posix_memalign);
