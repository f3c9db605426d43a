#include "core/heap/quarantine.h"

#include "core/base/random.h"
#include "core/heap/meta.h"
#include "core/heap/secure.h"

static struct psc_pool *pool_of(const char *p) {
    return psc_arena_pool_at(psc_radix_arena(p), p);
}

/* In a forked child, a block that was on its way here was found otherwise, perhaps. */
static bool went_back(struct psc_pool *pool, uint32_t index) {
    uint64_t back = PSC_LOAD(&psc_pool_remote(pool)[index / 64]);
    return psc_secure_is_live(pool, index) || psc_pool_has_free(pool, index) || (back >> (index % 64) & 1) != 0;
}

/* The block may be used again. */
static void give_back(struct psc_pool *pool, char *p) {
    uint64_t index;
    psc_pool_divide(pool, (uint64_t)(p - pool->base), &index);
    if (PSC_LIKELY(!went_back(pool, (uint32_t)index))) {
        psc_pool_give_back(pool, (uint32_t)index);
    }
}

static void release(struct psc_quarantine *quarantine, char *p) {
    struct psc_pool *pool = pool_of(p);
    quarantine->bytes -= pool->block_bytes;
    give_back(pool, p);
}

static void release_oldest(struct psc_quarantine *quarantine) {
    char *p = quarantine->queue[quarantine->first];
    quarantine->first = (quarantine->first + 1) % PSC_QUEUED_MOST;
    quarantine->queued--;
    release(quarantine, p);
}

static void enqueue(struct psc_quarantine *quarantine, char *p) {
    if (quarantine->queued == PSC_QUEUED_MOST) {
        release_oldest(quarantine);
    }
    quarantine->queue[(quarantine->first + quarantine->queued++) % PSC_QUEUED_MOST] = p;
}

static void put(struct psc_heap *heap, struct psc_quarantine *quarantine, const struct psc_pool *pool, char *p) {
    char **place = &quarantine->shuffled[psc_random_next(&heap->order) % PSC_SHUFFLED];
    char *other = *place;
    *place = p;
    quarantine->bytes += pool->block_bytes;
    if (other != NULL) {
        enqueue(quarantine, other);
    }
    while (quarantine->bytes > PSC_QUARANTINE_BYTES_MOST && quarantine->queued > 0) {
        release_oldest(quarantine);
    }
}

static struct psc_quarantine *own_quarantine(struct psc_heap *heap) {
    if (PSC_UNLIKELY(heap->quarantine == NULL) && heap != &psc_heap_none) {
        heap->quarantine = psc_meta_alloc(sizeof *heap->quarantine);
    }
    return heap->quarantine;
}

void psc_quarantine_put(struct psc_pool *pool, char *p) {
    struct psc_heap *heap = psc_heap_of_group(0); /* also of a thread that only frees */
    struct psc_quarantine *quarantine = own_quarantine(heap);
    if (PSC_LIKELY(quarantine != NULL)) {
        put(heap, quarantine, pool, p);
    } else {
        give_back(pool, p);
    }
}

bool psc_quarantine_flush(void) {
    psc_secure_find_lost();
    struct psc_quarantine *quarantine = psc_heap_self->quarantine;
    if (quarantine == NULL) {
        return false;
    }
    bool any = quarantine->bytes > 0;
    while (quarantine->queued > 0) {
        release_oldest(quarantine);
    }
    for (uint32_t i = 0; i < PSC_SHUFFLED; i++) {
        char *p = quarantine->shuffled[i];
        quarantine->shuffled[i] = NULL;
        if (p != NULL) {
            release(quarantine, p);
        }
    }
    return any;
}

void psc_quarantine_empty(struct psc_heap *heap) {
    if (heap->quarantine != NULL) {
        *heap->quarantine = (struct psc_quarantine){.queued = 0};
    }
}

uint32_t psc_quarantine_count(const struct psc_quarantine *quarantine, uint64_t *bytes) {
    uint32_t count = quarantine->queued;
    *bytes = 0;
    for (uint32_t i = 0; i < quarantine->queued; i++) {
        *bytes += pool_of(quarantine->queue[(quarantine->first + i) % PSC_QUEUED_MOST])->block_bytes;
    }
    for (uint32_t i = 0; i < PSC_SHUFFLED; i++) {
        const char *p = quarantine->shuffled[i];
        *bytes += p != NULL ? pool_of(p)->block_bytes : 0;
        count += p != NULL;
    }
    return count;
}
