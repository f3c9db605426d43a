#include "core/heap/radix.h"

#include "core/heap/meta.h"

struct psc_radix_mid *psc_radix_root[PSC_RADIX_ROOT];
struct psc_lock psc_radix_lock;

static struct psc_radix_mid *find_or_make_mid(const void *p) {
    uintptr_t place = (uintptr_t)p >> (PSC_ARENA_SHIFT + PSC_RADIX_MID_BITS);
    if (place >= PSC_RADIX_ROOT) {
        return NULL;
    }
    struct psc_radix_mid *mid = psc_radix_root[place];
    if (mid == NULL && (mid = psc_meta_alloc(sizeof *mid)) != NULL) {
        PSC_STORE_RELEASE(&psc_radix_root[place], mid);
    }
    return mid;
}

static uint32_t page_of(const void *p) {
    return (uint32_t)((uintptr_t)p / PSC_PAGE_BYTES) & (PSC_RADIX_LEAF - 1);
}

struct psc_large *psc_radix_large(const void *p) {
    struct psc_radix_mid *mid = psc_radix_mid_of(p);
    if (mid == NULL || ((uintptr_t)p & (PSC_PAGE_BYTES - 1)) != 0) {
        return NULL;
    }
    struct psc_large **leaf = PSC_LOAD_ACQUIRE(&mid->larges[psc_radix_place(p)]);
    return leaf != NULL ? PSC_LOAD_ACQUIRE(&leaf[page_of(p)]) : NULL;
}

bool psc_radix_set_arena(const void *base, struct psc_arena *arena) {
    psc_lock_take(&psc_radix_lock);
    struct psc_radix_mid *mid = find_or_make_mid(base);
    if (mid != NULL) {
        PSC_STORE_RELEASE(&mid->arenas[psc_radix_place(base)], arena);
    }
    psc_lock_release(&psc_radix_lock);
    return mid != NULL;
}

static bool set_large(const void *base, struct psc_large *large) {
    struct psc_radix_mid *mid = find_or_make_mid(base);
    if (mid == NULL) {
        return false;
    }
    struct psc_large ***leaf = &mid->larges[psc_radix_place(base)];
    if (*leaf == NULL) {
        struct psc_large **made = psc_meta_alloc(PSC_RADIX_LEAF * sizeof *made);
        if (made == NULL) {
            return false;
        }
        PSC_STORE_RELEASE(leaf, made);
    }
    PSC_STORE_RELEASE(&(*leaf)[page_of(base)], large);
    return true;
}

bool psc_radix_set_large(const void *base, struct psc_large *large) {
    psc_lock_take(&psc_radix_lock);
    bool done = set_large(base, large);
    psc_lock_release(&psc_radix_lock);
    return done;
}

bool psc_radix_drop_large(const void *base, const struct psc_large *large) {
    psc_lock_take(&psc_radix_lock);
    bool done = psc_radix_large(base) == large && set_large(base, NULL);
    psc_lock_release(&psc_radix_lock);
    return done;
}
