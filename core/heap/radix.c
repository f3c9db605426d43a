#include "core/heap/radix.h"

#include "core/heap/meta.h"

uintptr_t *psc_radix_root[PSC_RADIX_ROOT];

struct psc_lock psc_radix_lock;

static uintptr_t *find_or_make_entry(const void *p) {
    uintptr_t address = (uintptr_t)p;
    if (address >> PSC_ADDRESS_BITS != 0) {
        return NULL;
    }
    uintptr_t **mid = &psc_radix_root[address >> (PSC_ARENA_SHIFT + PSC_RADIX_MID_BITS)];
    if (*mid == NULL) {
        uintptr_t *made = psc_meta_alloc(PSC_RADIX_MID * sizeof **mid);
        if (made == NULL) {
            return NULL;
        }
        PSC_STORE_RELEASE(mid, made);
    }
    return &(*mid)[(address >> PSC_ARENA_SHIFT) & (PSC_RADIX_MID - 1)];
}

static struct psc_large **leaf_of(uintptr_t entry) {
    return (struct psc_large **)(entry & ~(uintptr_t)1);
}

static uint32_t page_of(const void *p) {
    return (uint32_t)((uintptr_t)p / PSC_PAGE_BYTES) & (PSC_RADIX_LEAF - 1);
}

struct psc_large *psc_radix_large(const void *p) {
    uintptr_t entry = psc_radix_entry(p);
    if ((entry & 1) == 0 || ((uintptr_t)p & (PSC_PAGE_BYTES - 1)) != 0) {
        return NULL;
    }
    return PSC_LOAD_ACQUIRE(&leaf_of(entry)[page_of(p)]);
}

bool psc_radix_set_arena(const void *base, struct psc_arena *arena) {
    psc_lock_take(&psc_radix_lock);
    uintptr_t *entry = find_or_make_entry(base);
    if (entry != NULL) {
        PSC_STORE_RELEASE(entry, (uintptr_t)arena);
    }
    psc_lock_release(&psc_radix_lock);
    return entry != NULL;
}

static bool set_large(const void *base, struct psc_large *large) {
    uintptr_t *entry = find_or_make_entry(base);
    if (entry == NULL) {
        return false;
    }
    if (*entry == 0) {
        void *leaf = psc_meta_alloc(PSC_RADIX_LEAF * sizeof(struct psc_large *));
        if (leaf == NULL) {
            return false;
        }
        PSC_STORE_RELEASE(entry, (uintptr_t)leaf | 1);
    }
    PSC_STORE_RELEASE(&leaf_of(*entry)[page_of(base)], large);
    return true;
}

bool psc_radix_set_large(const void *base, struct psc_large *large) {
    psc_lock_take(&psc_radix_lock);
    bool done = set_large(base, large);
    psc_lock_release(&psc_radix_lock);
    return done;
}
