#include "core/base/os.h"
#include "core/heap/internal.h"
#include "core/heap/misuse.h"
#include "core/heap/radix.h"
#include "core/heap/secure.h"

#define SURE_AFTER 1000 /* looks */

uint32_t psc_pool_count_used(const struct psc_pool *pool) {
    const uint64_t *words = PSC_LOAD(&pool->free); /* NULL: another thread is about to make the first pool here */
    uint32_t free = (uint32_t)__builtin_popcountll(PSC_LOAD(&pool->at_hand));
    for (uint32_t word = 0; words != NULL && word < psc_pool_words(pool); word++) {
        free += (uint32_t)__builtin_popcountll(PSC_LOAD(&words[word]));
    }
    uint32_t carved = PSC_LOAD(&pool->carved);
    return free < carved ? carved - free : 0; /* bits may be seen twice while the owner moves them */
}

uint32_t psc_pool_used(const struct psc_pool *pool) {
    switch (PSC_LOAD(&pool->state)) {
    case PSC_POOL_LISTED: return PSC_LOAD(&pool->settle_in);
    case PSC_POOL_FULL: return psc_pool_full_above(pool) + PSC_LOAD(&pool->settle_in);
    case PSC_POOL_KEPT: return 0;
    default: return psc_pool_count_used(pool);
    }
}

bool psc_pool_is_pending(const struct psc_pool *pool) {
    return (PSC_LOAD(&pool->owner) & PSC_PENDING) != 0;
}

void psc_pool_set_owner(struct psc_pool *pool, const struct psc_heap *heap) {
    uintptr_t before = PSC_LOAD(&pool->owner), kept = heap != NULL ? PSC_MARKS : PSC_PENDING;
    uintptr_t after = (uintptr_t)heap | (heap != NULL && heap->secure ? PSC_SECURE : 0);
    while (!__atomic_compare_exchange_n(&pool->owner, &before, after | (before & kept), true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
        continue;
    }
}

uint64_t psc_pool_committed(const struct psc_pool *pool) {
    uint64_t carved = PSC_LOAD(&pool->carved_bytes);
    uint64_t pages = carved > 0 ? psc_round_up(psc_pool_colour(pool) + carved, PSC_PAGE_BYTES) : 0;
    return pages + (uint64_t)PSC_LOAD(&pool->stale_pages) * PSC_PAGE_BYTES;
}

/* Pages from the first slot on that its carved blocks reach into. */
static uint32_t carved_pages(const struct psc_pool *pool) {
    uint32_t bytes = pool->carved > 0 ? psc_pool_colour(pool) + pool->carved_bytes : 0;
    return (bytes + PSC_PAGE_BYTES - 1) / PSC_PAGE_BYTES;
}

uint32_t psc_pool_pages_in_slot(const struct psc_pool *pool, uint32_t slot) {
    uint32_t pages = carved_pages(pool);
    uint32_t before = slot * PSC_SLOT_PAGES;
    return pages <= before ? 0 : pages - before < PSC_SLOT_PAGES ? pages - before : PSC_SLOT_PAGES;
}

static const uint8_t *touched(const struct psc_pool *pool) {
    return &psc_radix_arena(pool->base)->touched[pool->order % PSC_SLOTS];
}

void psc_pool_count_stale(struct psc_pool *pool) {
    const uint8_t *there = touched(pool);
    uint32_t stale = 0;
    for (uint32_t slot = 0; slot < pool->slots; slot++) {
        uint32_t pages = psc_pool_pages_in_slot(pool, slot);
        stale += there[slot] > pages ? there[slot] - pages : 0;
    }
    PSC_STORE(&pool->stale_pages, (uint16_t)stale);
}

/* Bits [from, to) of word `word`, where from and to count from bit 0 of word 0. */
static uint64_t bits_of_word(uint32_t word, uint32_t from, uint32_t to) {
    uint32_t first = from > word * 64 ? from - word * 64 : 0;
    uint32_t last = to < (word + 1) * 64 ? to - word * 64 : 64;
    uint64_t below_last = last == 64 ? UINT64_MAX : ((uint64_t)1 << last) - 1;
    return below_last & ~(((uint64_t)1 << first) - 1);
}

/* How many pages from its first slot on are there without a gap. */
static uint32_t pages_there(const struct psc_pool *pool) {
    const uint8_t *there = touched(pool);
    uint32_t pages = 0;
    for (uint32_t slot = 0; slot < pool->slots && pages == slot * PSC_SLOT_PAGES; slot++) {
        pages += there[slot];
    }
    return pages;
}

/* The page that blocks are to be carved up to: the end of those that are there, else of the next one. A heap that grows
 * gets more of them with one call than faults would bring one by one. */
static uint32_t page_to_carve_to(const struct psc_pool *pool, uint32_t ahead) {
    uint32_t pages = carved_pages(pool);
    uint32_t there = pool->stale_pages > 0 ? pages_there(pool) : 0;
    if (there > pages) {
        return there;
    }
    uint32_t left = pool->slots * PSC_SLOT_PAGES - pages;
    ahead = ahead < left ? ahead : left;
    char *start = pool->base - psc_pool_colour(pool) + (size_t)pages * PSC_PAGE_BYTES;
    return ahead > 1 && psc_os_populate(start, (size_t)ahead * PSC_PAGE_BYTES) ? pages + ahead : pages + 1;
}

/* Of the hardened heap, all: the more there are, the less can be foretold. They are read before they are written to, and
 * what gets pages by one call spares two faults for each. */
static uint32_t carve_all(const struct psc_pool *pool, uint32_t ahead) {
    uint32_t pages = pool->slots * PSC_SLOT_PAGES;
    if (ahead > 1 && pages_there(pool) < pages) {
        psc_os_populate(pool->base - psc_pool_colour(pool), (size_t)pages * PSC_PAGE_BYTES);
    }
    return pool->capacity;
}

static uint32_t blocks_to_carve_to(const struct psc_pool *pool, uint32_t ahead) {
    return psc_pool_is_secure(pool)
               ? carve_all(pool, ahead)
               : (page_to_carve_to(pool, ahead) * PSC_PAGE_BYTES - psc_pool_colour(pool)) / pool->block_bytes;
}

static void set_carved(struct psc_pool *pool, uint32_t carved) {
    PSC_STORE(&pool->carved_bytes, carved * pool->block_bytes);
    PSC_STORE(&pool->carved, (uint16_t)carved);
}

bool psc_pool_carve(struct psc_pool *pool, uint32_t ahead) {
    uint32_t from = pool->carved;
    if (from == pool->capacity) {
        return false;
    }
    uint32_t to = blocks_to_carve_to(pool, ahead);
    to = to <= from ? from + 1 : to > pool->capacity ? pool->capacity : to;
    set_carved(pool, to);
    for (uint32_t word = from / 64; word * 64 < to; word++) {
        PSC_STORE(&pool->free[word], pool->free[word] | bits_of_word(word, from, to));
    }
    if (pool->stale_pages > 0) {
        psc_pool_count_stale(pool);
    }
    if (PSC_LOAD(&pool->noted) && psc_hooks.pool_carved != NULL) {
        psc_hooks.pool_carved(psc_pool_note(pool), to, pool->stale_pages);
    }
    return true;
}

bool psc_pool_seek(struct psc_pool *pool) {
    for (uint32_t word = 0; word * 64 < pool->carved; word++) {
        if (pool->free[word] != 0) {
            PSC_STORE(&pool->word, &pool->free[word]);
            pool->word_base = pool->base + (size_t)word * 64 * pool->block_bytes;
            return true;
        }
    }
    return false;
}

void psc_pool_lay_down(struct psc_pool *pool) {
    PSC_STORE(pool->word, *pool->word | pool->at_hand);
    PSC_STORE_RELEASE(&pool->at_hand, 0);
}

/* Another thread than the owner may see at_hand of one word with the address of another, and so a live block as free: not
 * time after time. */
bool psc_pool_has_free(const struct psc_pool *pool, uint32_t index) {
    const uint64_t *word = &pool->free[index / 64];
    uint64_t bit = (uint64_t)1 << (index % 64);
    if ((PSC_LOAD(word) & bit) != 0) {
        return true;
    }
    uint32_t times = SURE_AFTER;
    while (times > 0 && (psc_pool_at_hand(pool, word) & bit) != 0) {
        times--;
    }
    return times == 0;
}

bool psc_pool_holds(struct psc_pool *pool, uint32_t index) {
    if (PSC_UNLIKELY(psc_pool_is_secure(pool))) {
        return psc_secure_is_live(pool, index);
    }
    uint64_t back = PSC_LOAD(&psc_pool_remote(pool)[index / 64]);
    return !psc_pool_has_free(pool, index) && (back >> (index % 64) & 1) == 0;
}

void psc_pool_put(struct psc_pool *pool, uint32_t index) {
    uint64_t *word = &pool->free[index / 64];
    PSC_STORE(word, *word | (uint64_t)1 << (index % 64));
    psc_pool_count_free(pool);
}

/* Blocks that were handed back, of the word-th word, though they were free: the owner and another thread freed them. */
PSC_COLD static void refuse_twice_freed(const struct psc_pool *pool, uint32_t word, uint64_t bits) {
    for (; bits != 0; bits &= bits - 1) {
        uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(bits);
        psc_misuse_pointer(pool->base + (size_t)index * pool->block_bytes, PSC_MISUSE_FREED);
    }
}

uint32_t psc_pool_merge(struct psc_pool *pool) {
    uint64_t *remote = psc_pool_remote(pool);
    uint32_t count = 0;
    for (uint32_t word = 0; word * 64 < pool->carved; word++) {
        if (__atomic_load_n(&remote[word], __ATOMIC_SEQ_CST) == 0) {
            continue;
        }
        uint64_t back = __atomic_exchange_n(&remote[word], 0, __ATOMIC_ACQUIRE);
        uint64_t twice = (pool->free[word] | psc_pool_at_hand(pool, &pool->free[word])) & back;
        if (PSC_UNLIKELY(twice != 0)) {
            refuse_twice_freed(pool, word, twice);
            back &= ~twice;
        }
        PSC_STORE(&pool->free[word], pool->free[word] | back);
        count += (uint32_t)__builtin_popcountll(back);
    }
    return count;
}

static bool may_be_pushed(uintptr_t owner) {
    /* retired, or a span by now: the blocks were found meanwhile */
    uintptr_t heap = owner & ~PSC_MARKS;
    return heap != 0 && heap != (uintptr_t)&psc_heap_of_spans && (owner & PSC_PENDING) == 0;
}

struct psc_heap *psc_pool_push(struct psc_pool *pool) {
    uintptr_t owner = __atomic_load_n(&pool->owner, __ATOMIC_SEQ_CST);
    do {
        if (!may_be_pushed(owner)) {
            return NULL;
        }
    } while (!__atomic_compare_exchange_n(&pool->owner, &owner, owner | PSC_PENDING, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    struct psc_heap *heap = (struct psc_heap *)(owner & ~PSC_MARKS);
    struct psc_pool *top = PSC_LOAD(&heap->handed_back);
    do {
        pool->next_pending = top;
    } while (!__atomic_compare_exchange_n(&heap->handed_back, &top, pool, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return __atomic_load_n(&heap->state, __ATOMIC_SEQ_CST) == PSC_HEAP_IDLE ? heap : NULL;
}

struct psc_heap *psc_pool_pop(struct psc_pool *pool) {
    return (struct psc_heap *)(__atomic_fetch_and(&pool->owner, ~(uintptr_t)PSC_PENDING, __ATOMIC_SEQ_CST) &
                               ~PSC_MARKS);
}

bool psc_pool_hand_back(struct psc_pool *pool, uint32_t index) {
    uint64_t bit = (uint64_t)1 << (index % 64);
    if (psc_pool_has_free(pool, index) ||
        (__atomic_fetch_or(&psc_pool_remote(pool)[index / 64], bit, __ATOMIC_SEQ_CST) & bit) != 0) {
        return false;
    }
    if (psc_heap_self == &psc_heap_none) {
        PSC_STORE(&psc_heapless_frees, true);
    }
    struct psc_heap *idle = psc_pool_push(pool);
    if (idle != NULL) {
        psc_idle_collect(idle);
    }
    return true;
}
