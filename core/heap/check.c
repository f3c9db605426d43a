#include "core/heap/internal.h"

struct finding {
    const char *sentence;
};

static uint32_t count_bits(const uint64_t *words) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < PSC_POOL_WORDS; i++) {
        count += (uint32_t)__builtin_popcountll(words[i]);
    }
    return count;
}

static bool bits_overlap(const struct psc_pool *pool) {
    uint64_t both = 0;
    for (uint32_t i = 0; i < PSC_POOL_WORDS; i++) {
        both |= pool->free[i] & pool->remote[i];
    }
    return both != 0;
}

static bool bits_beyond_carved(const struct psc_pool *pool) {
    for (uint32_t i = pool->carved; i < PSC_POOL_BLOCKS_MAX; i++) {
        if (((pool->free[i / 64] | pool->remote[i / 64]) >> (i % 64) & 1) != 0) {
            return true;
        }
    }
    return false;
}

static bool bits_below_cursor(const struct psc_pool *pool) {
    for (uint32_t i = 0; i < pool->cursor; i++) {
        if (pool->free[i] != 0) {
            return true;
        }
    }
    return false;
}

static bool in_tree(const struct psc_pool *tree, const struct psc_pool *pool) {
    for (; tree != NULL; tree = tree->sibling) {
        if (tree == pool || in_tree(tree->child, pool)) {
            return true;
        }
    }
    return false;
}

static const char *check_state(const struct psc_pool *pool) {
    const struct psc_bin *bin = &pool->owner->bins[pool->class_index];
    switch (pool->state) {
    case PSC_POOL_CURRENT: return bin->current == pool ? NULL : "a current pool is not its bin's";
    case PSC_POOL_LISTED:
        if (!in_tree(bin->listed, pool)) {
            return "a listed pool is not in its bin's tree";
        }
        return psc_pool_has_room(pool) ? NULL : "a listed pool has no room";
    case PSC_POOL_FULL: return psc_pool_has_room(pool) ? "a full pool has room" : NULL;
    default: return "a pool without a state";
    }
}

static const char *check_bits(const struct psc_pool *pool) {
    if (bits_overlap(pool)) {
        return "a block is free twice";
    }
    if (bits_beyond_carved(pool)) {
        return "a block is free that was never carved";
    }
    if (bits_below_cursor(pool)) {
        return "a free block lies below the cursor";
    }
    return pool->used == pool->carved - count_bits(pool->free) ? NULL : "used blocks are miscounted";
}

static uint32_t settle_at(const struct psc_pool *pool) {
    switch (pool->state) {
    case PSC_POOL_CURRENT: return PSC_NEVER;
    case PSC_POOL_FULL: return pool->capacity - 1u;
    default: return 0;
    }
}

static void check_pool(struct psc_pool *pool, void *context) {
    struct finding *finding = context;
    if (pool->class_index == PSC_CLASS_SPAN) {
        bool sound = pool->owner == &psc_heap_of_spans && pool->carved == 1 && pool->used == 1 &&
                     pool->block_bytes <= pool->slots * PSC_SLOT_BYTES;
        finding->sentence = sound ? finding->sentence : "a span is not as it should be";
        return;
    }
    const char *sentence = check_bits(pool);
    if (sentence == NULL && !pool->owner->unsound) {
        sentence = check_state(pool);
    }
    if (sentence == NULL && !pool->owner->unsound && pool->settle_at != settle_at(pool)) {
        sentence = "a pool waits for the wrong count of used blocks";
    }
    if (sentence == NULL && pool->used == 0 && pool->pending == 0 && pool->state != PSC_POOL_CURRENT) {
        sentence = "an empty pool was not retired";
    }
    if (finding->sentence == NULL) {
        finding->sentence = sentence;
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

const char *psc_heap_check(void) {
    struct finding finding = {.sentence = NULL};
    psc_arena_each_pool(check_pool, &finding);
    for (uint32_t i = 0; i < psc_arena_count() && finding.sentence == NULL; i++) {
        finding.sentence = check_slots(psc_arena_at(i));
    }
    return finding.sentence;
}
