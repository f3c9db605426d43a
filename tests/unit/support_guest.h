/* tests/victims/stress.c, compiled so that it calls the malloc family of preload/, which the Makefile links to a test under
 * names of its own (psc_guest_malloc, ...): the test, and a sanitizer's runtime, keep their malloc. */
#ifndef PSC_TESTS_UNIT_SUPPORT_GUEST_H
#define PSC_TESTS_UNIT_SUPPORT_GUEST_H

/* Its main. */
int psc_guest_stress(int argc, char **argv);

#ifdef PSC_GUEST_CALLS /* for the program alone */

#include <malloc.h>
#include <stdlib.h>

extern __typeof__(malloc) psc_guest_malloc;
extern __typeof__(calloc) psc_guest_calloc;
extern __typeof__(realloc) psc_guest_realloc;
extern __typeof__(reallocarray) psc_guest_reallocarray;
extern __typeof__(free) psc_guest_free;
extern __typeof__(posix_memalign) psc_guest_posix_memalign;
extern __typeof__(aligned_alloc) psc_guest_aligned_alloc;
extern __typeof__(memalign) psc_guest_memalign;
extern __typeof__(valloc) psc_guest_valloc;
extern __typeof__(pvalloc) psc_guest_pvalloc;
extern __typeof__(malloc_usable_size) psc_guest_malloc_usable_size;
extern __typeof__(malloc_trim) psc_guest_malloc_trim;
extern __typeof__(mallinfo2) psc_guest_mallinfo2;
extern __typeof__(mallopt) psc_guest_mallopt;

#define malloc psc_guest_malloc
#define calloc psc_guest_calloc
#define realloc psc_guest_realloc
#define reallocarray psc_guest_reallocarray
#define free psc_guest_free
#define free_sized psc_guest_free_sized
#define free_aligned_sized psc_guest_free_aligned_sized
#define posix_memalign psc_guest_posix_memalign
#define aligned_alloc psc_guest_aligned_alloc
#define memalign psc_guest_memalign
#define valloc psc_guest_valloc
#define pvalloc psc_guest_pvalloc
#define malloc_usable_size psc_guest_malloc_usable_size
#define malloc_trim psc_guest_malloc_trim
#define mallinfo2 psc_guest_mallinfo2
#define mallopt psc_guest_mallopt

#endif

#endif
