#include "core/base/os.h"
#include "core/base/say.h"
#include "core/heap/internal.h"
#include "core/heap/radix.h"

uint64_t psc_pool_committed(const struct psc_pool *pool) {
    uint64_t carved = psc_round_up((uint64_t)PSC_LOAD(&pool->carved) * pool->block_bytes, PSC_PAGE_BYTES);
    return carved + (uint64_t)PSC_LOAD(&pool->stale_pages) * PSC_PAGE_BYTES;
}

uint32_t psc_pool_pages_in_slot(const struct psc_pool *pool, uint32_t slot) {
    uint32_t pages = (uint32_t)(((uint64_t)pool->carved * pool->block_bytes + PSC_PAGE_BYTES - 1) / PSC_PAGE_BYTES);
    uint32_t before = slot * PSC_SLOT_PAGES;
    return pages <= before ? 0 : pages - before < PSC_SLOT_PAGES ? pages - before : PSC_SLOT_PAGES;
}

void psc_pool_count_stale(struct psc_pool *pool) {
    const uint8_t *touched = &psc_radix_arena(pool->base)->touched[pool->order % PSC_SLOTS];
    uint32_t stale = 0;
    for (uint32_t slot = 0; slot < pool->slots; slot++) {
        uint32_t pages = psc_pool_pages_in_slot(pool, slot);
        stale += touched[slot] > pages ? touched[slot] - pages : 0;
    }
    PSC_STORE(&pool->stale_pages, stale);
}

/* Bits [from, to) of word `word`, where from and to count from bit 0 of word 0. */
static uint64_t bits_of_word(uint32_t word, uint32_t from, uint32_t to) {
    uint32_t first = from > word * 64 ? from - word * 64 : 0;
    uint32_t last = to < (word + 1) * 64 ? to - word * 64 : 64;
    uint64_t below_last = last == 64 ? UINT64_MAX : ((uint64_t)1 << last) - 1;
    return below_last & ~(((uint64_t)1 << first) - 1);
}

static void lower_cursor(struct psc_pool *pool, uint32_t word) {
    if (word < pool->cursor) {
        pool->cursor = (uint8_t)word;
    }
}

bool psc_pool_carve(struct psc_pool *pool) {
    uint32_t from = pool->carved;
    if (from == pool->capacity) {
        return false;
    }
    uint32_t page_end = (uint32_t)psc_round_up((size_t)from * pool->block_bytes + 1, PSC_PAGE_BYTES);
    uint32_t to = page_end / pool->block_bytes;
    to = to <= from ? from + 1 : to > pool->capacity ? pool->capacity : to;
    PSC_STORE(&pool->carved, (uint16_t)to);
    for (uint32_t word = from / 64; word * 64 < to; word++) {
        PSC_STORE(&pool->free[word], pool->free[word] | bits_of_word(word, from, to));
    }
    lower_cursor(pool, from / 64);
    if (pool->stale_pages > 0) {
        psc_pool_count_stale(pool);
    }
    if (psc_hooks.pool_carved != NULL) {
        psc_hooks.pool_carved(&pool->note, to, pool->stale_pages);
    }
    return true;
}

bool psc_pool_seek(struct psc_pool *pool) {
    for (uint32_t word = pool->cursor; word * 64 < pool->carved; word++) {
        if (pool->free[word] != 0) {
            pool->cursor = (uint8_t)word;
            return true;
        }
    }
    return false;
}

void psc_pool_merge(struct psc_pool *pool) {
    for (uint32_t word = 0; word * 64 < pool->carved; word++) {
        uint64_t back = PSC_LOAD(&pool->remote[word]);
        if (back == 0) {
            continue;
        }
        back = __atomic_exchange_n(&pool->remote[word], 0, __ATOMIC_ACQUIRE);
        if ((pool->free[word] & back) != 0) {
            psc_die(PSC_DIE_DOUBLE, pool->base);
        }
        PSC_STORE(&pool->free[word], pool->free[word] | back);
        PSC_STORE(&pool->used, (uint16_t)(pool->used - (uint32_t)__builtin_popcountll(back)));
        lower_cursor(pool, word);
    }
}

struct psc_heap *psc_pool_push(struct psc_pool *pool) {
    struct psc_heap *owner = PSC_LOAD_ACQUIRE(&pool->owner);
    if (owner == NULL || owner == &psc_heap_of_spans) { /* retired, or a span by now: the blocks were found meanwhile */
        return NULL;
    }
    if (__atomic_exchange_n(&pool->pending, 1, __ATOMIC_SEQ_CST) != 0) {
        return NULL;
    }
    struct psc_pool *top = PSC_LOAD(&owner->handed_back);
    do {
        pool->next_pending = top;
    } while (!__atomic_compare_exchange_n(&owner->handed_back, &top, pool, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return __atomic_load_n(&owner->state, __ATOMIC_SEQ_CST) == PSC_HEAP_IDLE ? owner : NULL;
}

void psc_pool_hand_back(struct psc_pool *pool, uint32_t index, const void *p) {
    uint64_t bit = (uint64_t)1 << (index % 64);
    if ((PSC_LOAD(&pool->free[index / 64]) & bit) != 0 ||
        (__atomic_fetch_or(&pool->remote[index / 64], bit, __ATOMIC_SEQ_CST) & bit) != 0) {
        psc_die(PSC_DIE_DOUBLE, p);
    }
    struct psc_heap *idle = psc_pool_push(pool);
    if (idle != NULL) {
        psc_idle_collect(idle);
    }
}
