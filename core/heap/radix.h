/* From any 64-bit value to the arena or large block that it points into or at, without touching the value's page: two loads
 * for an arena, four for a large block. Lookup takes no lock; entries appear with release order. */
#ifndef PSC_CORE_HEAP_RADIX_H
#define PSC_CORE_HEAP_RADIX_H

#include "core/base/os.h"
#include "core/heap/types.h"

#define PSC_ADDRESS_BITS 47
#define PSC_RADIX_MID_BITS 13
#define PSC_RADIX_MID (1u << PSC_RADIX_MID_BITS)
#define PSC_RADIX_ROOT (1u << (PSC_ADDRESS_BITS - PSC_ARENA_SHIFT - PSC_RADIX_MID_BITS))
#define PSC_RADIX_LEAF ((uint32_t)(PSC_ARENA_BYTES / PSC_PAGE_BYTES))

/* An arena's worth of address space is an arena, or holds large blocks (bit 0 set: a leaf of pointers, one for each page,
 * set where a large block begins), or is not ours (0). */
extern uintptr_t *psc_radix_root[PSC_RADIX_ROOT];

PSC_INLINE uintptr_t psc_radix_entry(const void *p) {
    uintptr_t address = (uintptr_t)p;
    if (PSC_UNLIKELY(address >> PSC_ADDRESS_BITS != 0)) {
        return 0;
    }
    uintptr_t *mid = PSC_LOAD_ACQUIRE(&psc_radix_root[address >> (PSC_ARENA_SHIFT + PSC_RADIX_MID_BITS)]);
    if (PSC_UNLIKELY(mid == NULL)) {
        return 0;
    }
    return PSC_LOAD_ACQUIRE(&mid[(address >> PSC_ARENA_SHIFT) & (PSC_RADIX_MID - 1)]);
}

/* NULL: not in an arena. */
PSC_INLINE struct psc_arena *psc_radix_arena(const void *p) {
    uintptr_t entry = psc_radix_entry(p);
    return PSC_LIKELY((entry & 1) == 0) ? (struct psc_arena *)entry : NULL;
}

/* NULL: no large block begins at p. */
struct psc_large *psc_radix_large(const void *p);

extern struct psc_lock psc_radix_lock; /* of writers; innermost but for that of core/heap/meta.c */

/* False: no memory for the table. Setting a large block that is there already, or NULL, needs none. */
bool psc_radix_set_arena(const void *base, struct psc_arena *arena);
bool psc_radix_set_large(const void *base, struct psc_large *large);

#endif
