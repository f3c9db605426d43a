#include "core/base/os.h"
#include "core/heap/guard.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/radix.h"
#include "core/heap/range.h"
#include "core/heap/secure.h"

#define SLAB_DESCRIPTORS 31u
#define GONE 1024u

/* Descriptors are made in slabs and never given back, so that all can be found without a lock. */
struct slab {
    struct slab *next; /* made before it */
    struct psc_large descriptors[SLAB_DESCRIPTORS];
};

static struct {
    struct psc_lock lock; /* of unused descriptors and the figures */
    struct psc_large *unused;
    struct slab *slabs; /* any thread reads */
    uint64_t blocks;
    uint64_t bytes;
} large_blocks;

/* Under the lock. */
static void add_slab(void) {
    struct slab *slab = psc_meta_alloc(sizeof *slab);
    if (slab == NULL) {
        return;
    }
    for (uint32_t i = SLAB_DESCRIPTORS; i-- > 0;) {
        slab->descriptors[i].next = large_blocks.unused;
        large_blocks.unused = &slab->descriptors[i];
    }
    slab->next = large_blocks.slabs;
    PSC_STORE_RELEASE(&large_blocks.slabs, slab);
}

/* Where large blocks were, so that a second free can be told from that of a stranger's pointer; any thread, atomic. */
static const void *gone[GONE];

static const void **gone_place(const void *p) {
    return &gone[((uintptr_t)p / PSC_PAGE_BYTES * 0x9e3779b97f4a7c15u) >> 32 & (GONE - 1)];
}

bool psc_large_was(const void *p) {
    return p != NULL && PSC_LOAD(gone_place(p)) == p;
}

static struct psc_large *take_descriptor(void) {
    psc_lock_take(&large_blocks.lock);
    if (large_blocks.unused == NULL) {
        add_slab();
    }
    struct psc_large *large = large_blocks.unused;
    if (large != NULL) {
        large_blocks.unused = large->next;
    }
    psc_lock_release(&large_blocks.lock);
    return large;
}

static void give_descriptor(struct psc_large *large) {
    PSC_STORE(&large->base, NULL);
    PSC_STORE(&large->bytes, 0);
    PSC_STORE(&large->note.words[0], 0);
    PSC_STORE(&large->note.words[1], 0);
    large->secure = false;
    large->requested = large->front = large->behind = 0;
    psc_lock_take(&large_blocks.lock);
    large->next = large_blocks.unused;
    large_blocks.unused = large;
    psc_lock_release(&large_blocks.lock);
}

static void count(int64_t blocks, int64_t bytes) {
    PSC_ADD(&large_blocks.blocks, (uint64_t)blocks);
    PSC_ADD(&large_blocks.bytes, (uint64_t)bytes);
}

/* Gives up all address space that nobody uses, and tries again. */
PSC_COLD static void *map_in_need(size_t bytes, size_t alignment) {
    bool went = psc_heap_trim();
    went |= psc_arena_release();
    went |= psc_space_given_up();
    return went ? psc_os_map_aligned(bytes, alignment, true) : NULL;
}

static void *get_pages(size_t bytes, size_t alignment, bool zeroed) {
    void *base = !zeroed && alignment == PSC_PAGE_BYTES ? psc_range_take(bytes) : NULL;
    if (base == NULL) {
        base = psc_os_map_aligned(bytes, alignment, true);
    }
    return base != NULL ? base : map_in_need(bytes, alignment);
}

static void *map_registered(struct psc_large *large, size_t bytes, size_t alignment, bool zeroed) {
    char *base = get_pages(bytes, alignment, zeroed);
    if (base == NULL) {
        return NULL;
    }
    PSC_STORE(&large->base, base);
    PSC_STORE(&large->bytes, bytes);
    if (!zeroed) { /* zeroed pages are new ones: what is kept would be kept in vain */
        psc_range_count_taken(bytes);
    }
    if (!psc_radix_set_large(base, large)) {
        psc_range_give(base, bytes);
        return NULL;
    }
    return base;
}

void *psc_large_alloc(size_t alignment, size_t bytes, bool zeroed) {
    bytes = psc_round_up(bytes, PSC_PAGE_BYTES);
    struct psc_large *large = take_descriptor();
    if (large == NULL) {
        return NULL;
    }
    void *base = map_registered(large, bytes, alignment > PSC_PAGE_BYTES ? alignment : PSC_PAGE_BYTES, zeroed);
    if (base == NULL) {
        give_descriptor(large);
        return NULL;
    }
    count(1, (int64_t)bytes);
    return base;
}

/* ---- of the hardened heap: between guards ------------------------------------------------------------------------- */

static char *get_pages_unguarded(struct psc_large *large, size_t bytes, size_t alignment) {
    large->front = large->behind = 0;
    return get_pages(bytes, alignment, true);
}

/* Without a guard behind it, there are at least a seal's bytes to be looked at. */
static char *get_pages_secure(struct psc_large *large, size_t alignment, size_t bytes, bool unguarded) {
    large->bytes = psc_round_up(bytes > 0 ? bytes : 1, PSC_PAGE_BYTES);
    char *base = psc_guard_map(large->bytes, alignment, true, &large->front, &large->behind);
    if (base == NULL && unguarded) {
        large->bytes = psc_round_up(bytes + PSC_SEAL_BYTES, PSC_PAGE_BYTES);
        base = get_pages_unguarded(large, large->bytes, alignment);
    }
    return base;
}

static void put_pages_secure(char *base, size_t bytes, size_t front, size_t behind) {
    if (front > 0) {
        psc_guard_give(base - front, front + bytes + behind);
    } else if (!psc_os_unmap(base, bytes)) {
        psc_os_purge(base, bytes);
    }
}

void *psc_large_alloc_secure(size_t alignment, size_t bytes, bool unguarded) {
    struct psc_large *large = take_descriptor();
    if (large == NULL) {
        return NULL;
    }
    char *base = get_pages_secure(large, alignment > PSC_PAGE_BYTES ? alignment : PSC_PAGE_BYTES, bytes, unguarded);
    if (base == NULL || !psc_radix_set_large(base, large)) {
        if (base != NULL) {
            put_pages_secure(base, large->bytes, large->front, large->behind);
        }
        give_descriptor(large);
        return NULL;
    }
    large->secure = true;
    large->base = base;
    psc_secure_seal_large(large, bytes);
    count(1, (int64_t)large->bytes);
    return base;
}

static void free_secure(struct psc_large *large, char *base, size_t bytes) {
    size_t front = large->front, behind = large->behind;
    give_descriptor(large);
    count(-1, -(int64_t)bytes);
    put_pages_secure(base, bytes, front, behind);
}

void psc_large_free(struct psc_large *large) {
    char *base = large->base;
    size_t bytes = large->bytes;
    PSC_STORE(gone_place(base), base);
    if (PSC_UNLIKELY(large->secure)) {
        psc_secure_check_large(large);
    }
    if (psc_hooks.pool_retired != NULL) {
        psc_hooks.pool_retired(&large->note);
    }
    if (PSC_UNLIKELY(large->secure)) {
        free_secure(large, base, bytes);
        return;
    }
    give_descriptor(large);
    count(-1, -(int64_t)bytes);
    psc_range_give(base, bytes);
}

/* Moves the pages to a reserved range that is registered before they arrive, so that nothing can fail half-way. */
static void *move_to(char *base, struct psc_large *large, size_t bytes) {
    char *old = large->base;
    if (base == NULL) {
        return NULL;
    }
    if (!psc_radix_set_large(base, large)) {
        psc_os_unmap(base, bytes);
        return NULL;
    }
    psc_radix_set_large(old, NULL);
    if (psc_os_move(old, large->bytes, base, bytes)) {
        PSC_STORE(gone_place(old), old);
        return base;
    }
    /* Some kernels have unmapped the range by now, and it may be another block's: it is left alone. */
    psc_radix_set_large(old, large);
    if (psc_radix_large(base) == large) {
        psc_radix_set_large(base, NULL);
    }
    return NULL;
}

static void *move(struct psc_large *large, size_t bytes) {
    return move_to(psc_os_reserve(bytes, PSC_PAGE_BYTES), large, bytes);
}

/* Guards take in pages that the block leaves, and leave it theirs. */
static bool shift_guard(struct psc_large *large, size_t bytes) {
    size_t old_bytes = large->bytes;
    if (bytes <= old_bytes
            ? !psc_os_decommit(large->base + bytes, old_bytes - bytes)
            : bytes - old_bytes >= large->behind || !psc_os_commit(large->base + old_bytes, bytes - old_bytes)) {
        return false;
    }
    large->behind -= bytes - old_bytes;
    return true;
}

static void *move_guarded(struct psc_large *large, size_t bytes) {
    char *old = large->base;
    size_t front, behind;
    char *base = psc_guard_map(bytes, PSC_PAGE_BYTES, false, &front, &behind);
    if (move_to(base, large, bytes) == NULL) {
        if (base != NULL) {
            psc_guard_drop(base, bytes, front, behind);
        }
        return NULL;
    }
    psc_guard_drop(old, large->bytes, large->front, large->behind);
    large->front = front;
    large->behind = behind;
    return base;
}

static void *place_secure(struct psc_large *large, size_t bytes) {
    if (bytes == large->bytes) {
        return large->base;
    }
    if (large->front == 0) {
        return psc_os_resize(large->base, large->bytes, bytes) ? large->base : move(large, bytes);
    }
    return shift_guard(large, bytes) ? large->base : move_guarded(large, bytes);
}

static void *resize_secure(struct psc_large *large, size_t requested) {
    size_t old_bytes = large->bytes;
    psc_secure_check_large(large);
    size_t bytes = psc_round_up(requested + (large->front == 0 ? PSC_SEAL_BYTES : 0), PSC_PAGE_BYTES);
    char *base = place_secure(large, bytes);
    if (base == NULL) {
        return NULL;
    }
    PSC_STORE(&large->base, base);
    PSC_STORE(&large->bytes, bytes);
    psc_secure_seal_large(large, requested);
    count(0, (int64_t)(bytes - old_bytes));
    return base;
}

void *psc_large_resize(struct psc_large *large, size_t bytes) {
    if (PSC_UNLIKELY(large->secure)) {
        return resize_secure(large, bytes);
    }
    bytes = psc_round_up(bytes, PSC_PAGE_BYTES);
    size_t old_bytes = large->bytes;
    if (bytes == old_bytes) {
        return large->base;
    }
    void *base = psc_os_resize(large->base, old_bytes, bytes) ? large->base : move(large, bytes);
    if (base == NULL) {
        return NULL;
    }
    PSC_STORE(&large->base, base);
    PSC_STORE(&large->bytes, bytes);
    count(0, (int64_t)(bytes - old_bytes));
    return base;
}

void psc_large_measure(uint64_t *blocks, uint64_t *bytes) {
    *blocks = PSC_LOAD(&large_blocks.blocks);
    *bytes = PSC_LOAD(&large_blocks.bytes);
}

void psc_large_each(void (*visit)(struct psc_large *large, char *base, size_t bytes, void *context), void *context) {
    for (struct slab *slab = PSC_LOAD_ACQUIRE(&large_blocks.slabs); slab != NULL; slab = slab->next) {
        for (uint32_t i = 0; i < SLAB_DESCRIPTORS; i++) {
            struct psc_large *large = &slab->descriptors[i];
            char *base = PSC_LOAD(&large->base);
            if (base != NULL) {
                visit(large, base, PSC_LOAD(&large->bytes), context);
            }
        }
    }
}

void psc_large_fork_prepare(void) {
    psc_guard_fork_prepare();
    psc_range_fork_prepare();
    psc_lock_take(&large_blocks.lock);
}

void psc_large_fork_parent(void) {
    psc_lock_release(&large_blocks.lock);
    psc_range_fork_parent();
    psc_guard_fork_parent();
}

void psc_large_fork_child(void) {
    psc_lock_reset(&large_blocks.lock);
    psc_range_fork_child();
    psc_guard_fork_child();
}
