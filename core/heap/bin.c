#include "core/heap/internal.h"
#include "core/heap/order.h"

static void list(struct psc_bin *bin, struct psc_pool *pool) {
    pool->state = PSC_POOL_LISTED;
    pool->settle_at = 0;
    psc_order_insert(&bin->listed, pool);
}

static void unlist(struct psc_bin *bin, struct psc_pool *pool) {
    pool->state = PSC_POOL_NONE;
    psc_order_remove(&bin->listed, pool);
}

static void set_full(struct psc_pool *pool) {
    pool->state = PSC_POOL_FULL;
    pool->settle_at = (uint16_t)(pool->capacity - 1);
}

static bool may_retire(const struct psc_pool *pool) {
    return pool->used == 0 && PSC_LOAD(&pool->pending) == 0;
}

void psc_bin_settle(struct psc_heap *heap, struct psc_pool *pool) {
    struct psc_bin *bin = &heap->bins[pool->class_index];
    if (pool->state == PSC_POOL_CURRENT || pool->state == PSC_POOL_NONE) {
        return;
    }
    if (pool->state == PSC_POOL_FULL && psc_pool_has_room(pool)) {
        list(bin, pool);
    }
    if (may_retire(pool)) {
        unlist(bin, pool);
        psc_arena_retire_pool(pool);
    }
}

/* The current pool, if any, becomes one of the others. */
static void put_current_back(struct psc_bin *bin) {
    struct psc_pool *pool = bin->current;
    bin->current = &psc_pool_none;
    if (pool == &psc_pool_none) {
        return;
    }
    if (may_retire(pool)) {
        pool->state = PSC_POOL_NONE;
        psc_arena_retire_pool(pool);
    } else if (psc_pool_has_room(pool)) {
        list(bin, pool);
    } else {
        set_full(pool);
    }
}

static bool has_block(struct psc_pool *pool) {
    return psc_pool_seek(pool) || (psc_pool_carve(pool) && psc_pool_seek(pool));
}

static struct psc_pool *lowest_listed(struct psc_bin *bin) {
    struct psc_pool *pool = bin->listed;
    if (pool != NULL) {
        unlist(bin, pool);
    }
    return pool;
}

static struct psc_pool *find_pool(struct psc_heap *heap, uint32_t class_index) {
    struct psc_pool *pool = lowest_listed(&heap->bins[class_index]);
    if (pool == NULL) {
        pool = psc_idle_steal(heap, class_index);
    }
    return pool != NULL ? pool : psc_arena_make_pool(class_index, heap);
}

bool psc_bin_refill(struct psc_heap *heap, uint32_t class_index) {
    struct psc_bin *bin = &heap->bins[class_index];
    if (PSC_UNLIKELY(heap->unsound)) {
        psc_heap_recover(heap);
    }
    psc_heap_collect(heap);
    if (bin->current != &psc_pool_none && psc_pool_seek(bin->current)) {
        return true;
    }
    put_current_back(bin);
    struct psc_pool *pool = find_pool(heap, class_index);
    if (pool == NULL) {
        return false;
    }
    pool->state = PSC_POOL_CURRENT;
    pool->settle_at = PSC_NEVER;
    bin->current = pool;
    return has_block(pool);
}

static void pass_on(struct psc_heap *from, struct psc_pool *pool) {
    struct psc_heap *idle = psc_pool_push(pool);
    if (idle == NULL) {
        return;
    }
    if (PSC_LOAD(&from->state) == PSC_HEAP_LIVE) {
        psc_idle_collect(idle);
    } else { /* then this thread holds psc_idle_lock */
        psc_heap_collect(idle);
    }
}

void psc_heap_collect(struct psc_heap *heap) {
    if (PSC_LOAD(&heap->handed_back) == NULL) {
        return;
    }
    if (PSC_UNLIKELY(heap->unsound)) {
        psc_heap_recover(heap);
    }
    struct psc_pool *pool = __atomic_exchange_n(&heap->handed_back, NULL, __ATOMIC_SEQ_CST);
    while (pool != NULL) {
        struct psc_pool *next = pool->next_pending;
        __atomic_store_n(&pool->pending, 0, __ATOMIC_SEQ_CST);
        if (PSC_LOAD_ACQUIRE(&pool->owner) == heap) {
            psc_pool_merge(pool);
            psc_bin_settle(heap, pool);
        } else {
            pass_on(heap, pool);
        }
        pool = next;
    }
}

void psc_heap_lay_down(struct psc_heap *heap) {
    psc_heap_collect(heap);
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        put_current_back(&heap->bins[i]);
    }
}

static void count_used(struct psc_pool *pool) {
    uint32_t free = 0;
    for (uint32_t word = 0; word < PSC_POOL_WORDS; word++) {
        free += (uint32_t)__builtin_popcountll(pool->free[word]);
    }
    pool->used = (uint16_t)(pool->carved - free);
    pool->cursor = 0;
}

static void recover_pool(struct psc_pool *pool, void *context) {
    struct psc_heap *heap = context;
    if (pool->owner != heap) {
        return;
    }
    pool->pending = 0;
    count_used(pool);
    psc_pool_merge(pool);
    set_full(pool);
    psc_bin_settle(heap, pool);
}

void psc_heap_recover(struct psc_heap *heap) {
    heap->unsound = 0;
    heap->handed_back = NULL;
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        heap->bins[i] = (struct psc_bin){.current = &psc_pool_none};
    }
    psc_arena_each_pool(recover_pool, heap);
}
