#include "core/heap/pick.h"

#include <unistd.h>

#include "core/base/float.h"
#include "core/base/random.h"
#include "core/heap/internal.h"
#include "core/heap/secure.h"

/* Blocks that a draw can cover: then it is drawn anew. Whole words, so that nothing that was drawn is left then. */
#define DRAW_MOST (UINT16_MAX / PSC_PICK_WORD * PSC_PICK_WORD)

uint64_t psc_pick_mean;
static uint64_t seed;
static uint64_t homeless; /* state for threads without a heap */
static PSC_TLS const void *last_picked;

static double draw_bytes(struct psc_heap *heap) {
    return psc_random_exponential(heap != &psc_heap_none ? &heap->random : &homeless, (double)psc_pick_mean);
}

/* The program's floating-point state is not ours to use. */
static PSC_NOINLINE uint64_t draw_blocks(struct psc_heap *heap, const struct psc_pool *pool) {
    return (uint64_t)draw_bytes(heap) / pool->block_bytes;
}

static PSC_NOINLINE bool draw_large(struct psc_heap *heap, size_t bytes) {
    return draw_bytes(heap) < (double)bytes;
}

void psc_pick_draw(struct psc_heap *heap, struct psc_pool *pool) {
    if (PSC_UNLIKELY(psc_pool_is_secure(pool))) { /* is drawn for block by block */
        pool->pick_in = 0;
        return;
    }
    uint64_t blocks = DRAW_MOST;
    if (psc_pick_mean != 0) {
        uint32_t saved = psc_float_begin();
        blocks = draw_blocks(heap, pool);
        psc_float_end(saved);
    }
    pool->pick_far = blocks >= DRAW_MOST;
    pool->pick_in = (uint16_t)(blocks < DRAW_MOST ? blocks : DRAW_MOST);
}

/* The lowest `count` of these bits; there are more. */
static uint64_t lowest(uint64_t bits, uint32_t count) {
    uint64_t rest = bits;
    while (count-- > 0) {
        rest &= rest - 1;
    }
    return bits & ~rest;
}

/* What a thread gets that has no heap (any more) is not picked: others may use the pool before it has a record. */
static void pick_for(const struct psc_heap *heap, struct psc_pool *pool, const void *p) {
    if (heap == psc_heap_self) {
        __atomic_fetch_or(&pool->owner, PSC_PICKED, __ATOMIC_RELAXED);
        last_picked = p;
    }
}

static void *pick(struct psc_heap *heap, struct psc_pool *pool, uint64_t bits) {
    void *p = pool->word_base + (size_t)(uint32_t)__builtin_ctzll(bits) * pool->block_bytes;
    PSC_STORE(pool->word, bits & (bits - 1));
    psc_pick_draw(heap, pool);
    pick_for(heap, pool, p);
    return p;
}

/* To take a word uses up as many of the drawn blocks as it may hold, whether it does or not: so what falls on blocks that
 * it does not hold is lost, a pick as well as none. */
static uint32_t blocks_before_pick(struct psc_heap *heap, struct psc_pool *pool, uint32_t blocks) {
    uint32_t before = pool->pick_in;
    if (before < blocks) {
        pool->pick_in = 0;
        return before;
    }
    if (before < PSC_PICK_WORD) {
        psc_pick_draw(heap, pool);
    } else {
        pool->pick_in = (uint16_t)(before - PSC_PICK_WORD);
    }
    return blocks;
}

/* A forked child relies on the order of the stores. */
void *psc_pick_take(struct psc_heap *heap, struct psc_pool *pool) {
    uint64_t bits = *pool->word;
    if (pool->pick_far && pool->pick_in < PSC_PICK_WORD) {
        psc_pick_draw(heap, pool);
    }
    uint32_t blocks = (uint32_t)__builtin_popcountll(bits), before = blocks_before_pick(heap, pool, blocks);
    if (before == 0) {
        return pick(heap, pool, bits);
    }
    uint64_t taken = before < blocks ? lowest(bits, before) : bits;
    PSC_STORE_RELEASE(&pool->at_hand, taken & (taken - 1));
    PSC_STORE_RELEASE(pool->word, bits & ~taken);
    return pool->word_base + (size_t)(uint32_t)__builtin_ctzll(taken) * pool->block_bytes;
}

void psc_pick_one(struct psc_heap *heap, struct psc_pool *pool, const void *p) {
    if (PSC_UNLIKELY(psc_pick_mean != 0)) {
        uint32_t saved = psc_float_begin();
        bool picked = draw_large(heap, pool->block_bytes);
        psc_float_end(saved);
        if (picked) {
            pick_for(heap, pool, p);
        }
    }
}

void *psc_pick_large(void *p, size_t bytes) {
    if (PSC_UNLIKELY(psc_pick_mean != 0)) {
        uint32_t saved = psc_float_begin();
        last_picked = draw_large(psc_heap_self, bytes) ? p : last_picked;
        psc_float_end(saved);
    }
    return p;
}

bool psc_heap_take_picked(const void *p) {
    bool picked = p != NULL && last_picked == p;
    if (PSC_UNLIKELY(picked)) {
        last_picked = NULL;
    }
    return picked;
}

/* Only the owner picks, so only the owner knows that there is none any more. */
void psc_pick_freed(struct psc_pool *pool, uint32_t index) {
    bool others = psc_hooks.picked_freed != NULL &&
                  psc_hooks.picked_freed(psc_pool_note(pool), index, pool->class_index, pool->block_bytes);
    if (!others && psc_pool_owner(pool) == psc_heap_self) {
        __atomic_fetch_and(&pool->owner, ~(uintptr_t)PSC_PICKED, __ATOMIC_RELAXED);
    }
}

void psc_pick_large_freed(struct psc_note *note, size_t bytes) {
    if (PSC_UNLIKELY(psc_pick_mean != 0) && psc_hooks.picked_freed != NULL) {
        psc_hooks.picked_freed(note, 0, PSC_CLASS_COUNT, bytes);
    }
}

/* ---- begin, fork ------------------------------------------------------------------------------------------------- */

static void draw_for_current(struct psc_heap *heap) {
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        if (heap->current[i] != &psc_pool_none) {
            psc_pick_draw(heap, heap->current[i]);
        }
    }
}

void psc_pick_seed(struct psc_heap *heap) {
    heap->random = psc_random_seed(seed, heap->number);
}

static void seed_heap(struct psc_heap *heap, void *context) {
    (void)context;
    psc_pick_seed(heap);
}

static void begin(uint64_t with_seed) {
    seed = with_seed;
    homeless = psc_random_seed(seed, 0);
    psc_heap_each(seed_heap, NULL);
    draw_for_current(psc_heap_self);
}

void psc_heap_pick(uint64_t mean_bytes, uint64_t with_seed) {
    psc_heap_lay_down(psc_heap_self); /* what is at hand was never drawn for */
    PSC_STORE(&psc_pick_mean, mean_bytes);
    begin(with_seed);
}

void psc_pick_fork_child(void) {
    if (psc_pick_mean != 0) {
        begin(psc_random_seed(seed, (uint64_t)getpid()));
    }
}
