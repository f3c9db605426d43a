/* From any 64-bit value to the arena that it points into, or the large block that begins there, without touching the
 * value's page. Lookup takes no lock; entries appear with release order. */
#ifndef PSC_CORE_HEAP_RADIX_H
#define PSC_CORE_HEAP_RADIX_H

#include "core/base/os.h"
#include "core/heap/types.h"

#define PSC_ADDRESS_BITS 47
#define PSC_RADIX_MID_BITS 13
#define PSC_RADIX_MID (1u << PSC_RADIX_MID_BITS)
#define PSC_RADIX_ROOT (1u << (PSC_ADDRESS_BITS - PSC_ARENA_SHIFT - PSC_RADIX_MID_BITS))
#define PSC_RADIX_LEAF ((uint32_t)(PSC_ARENA_BYTES / PSC_PAGE_BYTES))

/* One entry for each arena's worth of address space: what is known of it. NULL: nothing of ours. */
struct psc_radix_mid {
    struct psc_arena *arenas[PSC_RADIX_MID];
    struct psc_large **larges[PSC_RADIX_MID]; /* PSC_RADIX_LEAF pointers, by page: set where a large block begins */
};

extern struct psc_radix_mid *psc_radix_root[PSC_RADIX_ROOT];

PSC_INLINE struct psc_radix_mid *psc_radix_mid_of(const void *p) {
    uintptr_t place = (uintptr_t)p >> (PSC_ARENA_SHIFT + PSC_RADIX_MID_BITS);
    return PSC_LIKELY(place < PSC_RADIX_ROOT) ? PSC_LOAD_ACQUIRE(&psc_radix_root[place]) : NULL;
}

PSC_INLINE uint32_t psc_radix_place(const void *p) {
    return (uint32_t)((uintptr_t)p >> PSC_ARENA_SHIFT) & (PSC_RADIX_MID - 1);
}

/* NULL: not in an arena. */
PSC_INLINE struct psc_arena *psc_radix_arena(const void *p) {
    struct psc_radix_mid *mid = psc_radix_mid_of(p);
    return PSC_LIKELY(mid != NULL) ? PSC_LOAD_ACQUIRE(&mid->arenas[psc_radix_place(p)]) : NULL;
}

/* NULL: no large block begins at p. */
struct psc_large *psc_radix_large(const void *p);

extern struct psc_lock psc_radix_lock; /* of writers; innermost but for that of core/heap/meta.c */

/* False: no memory for the table. Setting a large block that is there already, or NULL, needs none. */
bool psc_radix_set_arena(const void *base, struct psc_arena *arena);
bool psc_radix_set_large(const void *base, struct psc_large *large);
/* False: another one was faster. */
bool psc_radix_drop_large(const void *base, const struct psc_large *large);

#endif
