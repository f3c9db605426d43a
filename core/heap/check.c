#include "core/heap/internal.h"
#include "core/heap/quarantine.h"
#include "core/heap/secure.h"

struct finding {
    const char *sentence;
};

static bool bits_overlap(struct psc_pool *pool) {
    uint64_t both = *pool->word & pool->at_hand;
    both |= psc_pool_remote(pool)[pool->word - pool->free] & pool->at_hand;
    for (uint32_t i = 0; i < psc_pool_words(pool); i++) {
        both |= pool->free[i] & psc_pool_remote(pool)[i];
    }
    return both != 0;
}

static bool bits_beyond_carved(struct psc_pool *pool) {
    uint32_t first = pool->carved / 64;
    uint64_t within = ((uint64_t)1 << (pool->carved % 64)) - 1; /* of the first word */
    uint64_t beyond = 0;
    for (uint32_t i = first; i < psc_pool_words(pool); i++) {
        uint64_t bits = pool->free[i] | psc_pool_at_hand(pool, &pool->free[i]) | psc_pool_remote(pool)[i];
        beyond |= bits & ~(i == first ? within : 0);
    }
    return beyond != 0;
}

static bool word_is_astray(const struct psc_pool *pool) {
    size_t word = (size_t)(pool->word - pool->free);
    return word >= psc_pool_words(pool) || pool->word_base != pool->base + word * 64 * pool->block_bytes;
}

static bool in_tree(const struct psc_pool *tree, const struct psc_pool *pool) {
    for (; tree != NULL; tree = tree->sibling) {
        if (tree == pool || in_tree(tree->child, pool)) {
            return true;
        }
    }
    return false;
}

static bool in_list(const struct psc_pool *list, const struct psc_pool *pool) {
    while (list != NULL && list != pool) {
        list = list->sibling;
    }
    return list != NULL;
}

static const char *check_state(const struct psc_pool *pool, uint32_t used) {
    const struct psc_heap *heap = psc_pool_owner(pool);
    switch (pool->state) {
    case PSC_POOL_CURRENT: return heap->current[pool->class_index] == pool ? NULL : "a current pool is not its heap's";
    case PSC_POOL_LISTED:
        if (!in_tree(heap->listed[pool->class_index], pool)) {
            return "a listed pool is not in its heap's tree";
        }
        if (pool->settle_in != used) {
            return "a listed pool waits for the wrong count of frees";
        }
        return used <= psc_pool_full_above(pool) ? NULL : "a listed pool has no room";
    case PSC_POOL_FULL: return used == psc_pool_used(pool) ? NULL : "a full pool waits for the wrong count of frees";
    case PSC_POOL_KEPT: return in_list(heap->kept[pool->class_index], pool) ? NULL : "a kept pool is not in its list";
    default: return "a pool without a state";
    }
}

static const char *check_bits(struct psc_pool *pool) {
    if (word_is_astray(pool)) {
        return "blocks are taken from a word that is none of the pool's";
    }
    if (pool->at_hand != 0 && pool->state != PSC_POOL_CURRENT) {
        return "blocks are at hand of a pool that is not current";
    }
    if (bits_overlap(pool)) {
        return "a block is free twice";
    }
    if (bits_beyond_carved(pool)) {
        return "a block is free that was never carved";
    }
    return pool->carved_bytes == pool->carved * pool->block_bytes ? NULL : "carved blocks are miscounted";
}

static const char *check_span(struct psc_pool *span) {
    bool sound = psc_pool_owner(span) == &psc_heap_of_spans && span->carved == 1 && span->free_word == 0 &&
                 span->carved_bytes == span->block_bytes && span->block_bytes <= span->slots * PSC_SLOT_BYTES;
    return sound ? NULL : "a span is not as it should be";
}

static const char *check_live_bits(struct psc_pool *pool) {
    if (pool->at_hand != 0 || (pool->state == PSC_POOL_CURRENT && pool->pick_in != 0)) {
        return "a fast path would take a block of a secure pool";
    }
    const uint64_t *live = psc_pool_live(pool);
    uint64_t both = 0, beyond = 0;
    for (uint32_t i = 0; i < psc_pool_words(pool); i++) {
        uint32_t carved = pool->carved > i * 64 ? pool->carved - i * 64 : 0;
        both |= live[i] & (pool->free[i] | psc_pool_remote(pool)[i]);
        beyond |= carved < 64 ? live[i] >> carved : 0;
    }
    return both != 0 ? "a live block is free" : beyond != 0 ? "a block is live that was never carved" : NULL;
}

static const char *check_small(struct psc_pool *pool) {
    const char *sentence = check_bits(pool);
    if (psc_pool_is_secure(pool) != psc_pool_owner(pool)->secure) {
        return "a pool of the hardened heap has the heap of another";
    }
    if (sentence == NULL && psc_pool_is_secure(pool)) {
        sentence = check_live_bits(pool);
    }
    if (sentence == NULL && pool->group != psc_pool_owner(pool)->group) {
        sentence = "a pool of one group has the heap of another";
    }
    if (sentence != NULL || psc_pool_owner(pool)->unsound) {
        return sentence;
    }
    uint32_t used = psc_pool_count_used(pool);
    sentence = check_state(pool, used);
    bool may_be_empty = pool->state == PSC_POOL_CURRENT || pool->state == PSC_POOL_KEPT || psc_pool_is_pending(pool);
    if (sentence == NULL && used == 0 && !may_be_empty) {
        sentence = "an empty pool was not retired";
    }
    if (sentence == NULL && used != 0 && pool->state == PSC_POOL_KEPT) {
        sentence = "a kept pool has used blocks";
    }
    return sentence;
}

static void check_pool(struct psc_pool *pool, void *context) {
    struct finding *finding = context;
    if (finding->sentence == NULL) {
        finding->sentence = pool->class_index == PSC_CLASS_SPAN ? check_span(pool) : check_small(pool);
    }
}

static const char *check_slots(const struct psc_arena *arena) {
    uint32_t pooled = 0;
    uint32_t pages = 0;
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        pages += (arena->cached[slot / 64] >> (slot % 64) & 1) != 0 ? arena->touched[slot] : 0;
    }
    if (pages != arena->cached_pages) {
        return "cached pages are miscounted";
    }
    for (uint32_t word = 0; word < PSC_SLOT_WORDS; word++) {
        pooled += (uint32_t)__builtin_popcountll(arena->pooled[word]);
        if ((arena->pooled[word] & arena->cached[word]) != 0) {
            return "a slot is both in a pool and free";
        }
    }
    return arena->free_slots == PSC_SLOTS - pooled ? NULL : "free slots are miscounted";
}

static void check_kept(struct psc_heap *heap, void *context) {
    struct finding *finding = context;
    uint32_t slots = 0;
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        for (const struct psc_pool *pool = heap->kept[i]; pool != NULL; pool = pool->sibling) {
            slots += pool->slots;
        }
    }
    if (slots != heap->kept_slots && !heap->unsound) {
        finding->sentence = "slots of kept pools are miscounted";
    }
}

/* ---- quarantines: what is neither live nor free is in them ---- */

struct quarantined {
    uint64_t in_pools;
    uint64_t in_quarantines;
    bool unsound;
    bool miscounted;
};

static void count_in_pool(struct psc_pool *pool, void *context) {
    struct quarantined *quarantined = context;
    if (psc_pool_is_secure(pool) && pool->class_index != PSC_CLASS_SPAN) {
        uint32_t back = 0;
        for (uint32_t i = 0; i < psc_pool_words(pool); i++) {
            back += (uint32_t)__builtin_popcountll(psc_pool_remote(pool)[i]);
        }
        quarantined->in_pools += psc_pool_count_used(pool) - back - psc_secure_count_live(pool);
    }
}

static void count_in_quarantine(struct psc_heap *heap, void *context) {
    struct quarantined *quarantined = context;
    uint64_t bytes;
    quarantined->unsound |= heap->unsound != 0;
    if (heap->quarantine != NULL) {
        quarantined->in_quarantines += psc_quarantine_count(heap->quarantine, &bytes);
        quarantined->miscounted |= bytes != heap->quarantine->bytes;
    }
}

static const char *check_quarantines(void) {
    struct quarantined quarantined = {.in_pools = 0};
    psc_arena_each_pool(count_in_pool, &quarantined);
    psc_heap_each(count_in_quarantine, &quarantined);
    if (quarantined.miscounted) {
        return "bytes in quarantine are miscounted";
    }
    bool differ = quarantined.in_pools != quarantined.in_quarantines && !quarantined.unsound;
    return differ ? "blocks that are neither live nor free are not those in quarantine" : NULL;
}

const char *psc_heap_check(void) {
    struct finding finding = {.sentence = NULL};
    psc_heap_each(check_kept, &finding);
    psc_arena_each_pool(check_pool, &finding);
    for (uint32_t i = 0; i < psc_arena_count() && finding.sentence == NULL; i++) {
        finding.sentence = check_slots(psc_arena_at(i));
    }
    return finding.sentence != NULL ? finding.sentence : check_quarantines();
}
