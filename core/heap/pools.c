#include "core/base/os.h"
#include "core/heap/internal.h"
#include "core/heap/order.h"
#include "core/heap/pick.h"

static void list(struct psc_heap *heap, struct psc_pool *pool, uint32_t used) {
    PSC_STORE(&pool->state, PSC_POOL_LISTED);
    PSC_STORE(&pool->settle_in, (uint16_t)used);
    psc_order_insert(&heap->listed[pool->class_index], pool);
}

static void unlist(struct psc_heap *heap, struct psc_pool *pool) {
    PSC_STORE(&pool->state, PSC_POOL_NONE);
    psc_order_remove(&heap->listed[pool->class_index], pool);
}

static void set_full(struct psc_pool *pool, uint32_t used) {
    PSC_STORE(&pool->state, PSC_POOL_FULL);
    PSC_STORE(&pool->settle_in, (uint16_t)(used - psc_pool_full_above(pool)));
}

static bool is_empty(const struct psc_pool *pool, uint32_t used) {
    return used == 0 && !psc_pool_is_pending(pool);
}

#define KEPT_SLOTS_MOST 256u /* 4 MiB: a thread that falls asleep keeps no more from the others */

/* ---- empty pools: kept as far as they go round --------------------------------------------------------------------
 *
 * To retire a pool and make it again costs a few hundred instructions and a lock, which a program that fills and drops
 * the same pools again and again need not pay. */

static void keep(struct psc_heap *heap, struct psc_pool *pool) {
    PSC_STORE(&pool->state, PSC_POOL_KEPT);
    pool->sibling = heap->kept[pool->class_index];
    heap->kept[pool->class_index] = pool;
    heap->kept_slots += pool->slots;
}

static struct psc_pool *take_kept(struct psc_heap *heap, uint32_t class_index) {
    struct psc_pool *pool = heap->kept[class_index];
    if (pool != NULL) {
        heap->kept[class_index] = pool->sibling;
        heap->kept_slots -= pool->slots;
        pool->sibling = NULL;
        PSC_STORE(&pool->state, PSC_POOL_NONE);
    }
    return pool;
}

static void retire_kept(struct psc_heap *heap, uint64_t most_slots) {
    for (uint32_t i = PSC_CLASS_COUNT; i-- > 0 && heap->kept_slots > most_slots;) {
        while (heap->kept_slots > most_slots && heap->kept[i] != NULL) {
            psc_arena_retire_pool(take_kept(heap, i));
        }
    }
}

bool psc_heap_drop_kept(struct psc_heap *heap) {
    bool any = heap->kept_slots > 0;
    retire_kept(heap, 0);
    return any;
}

static uint64_t worth_keeping(const struct psc_heap *heap, uint32_t wait_ms) {
    uint64_t worth = wait_ms > 0 ? psc_churn_worth(&heap->churn) : 0;
    return worth < KEPT_SLOTS_MOST ? worth : KEPT_SLOTS_MOST;
}

/* A new time has begun perhaps, in which less goes round. An idle heap keeps nothing. */
static uint64_t slots_to_keep(struct psc_heap *heap) {
    uint32_t wait_ms = psc_arena_purge_ms();
    if (heap->state == PSC_HEAP_IDLE) {
        return 0;
    }
    if (psc_churn_turn(&heap->churn, psc_os_monotonic_ms(), wait_ms / PSC_WINDOWS)) {
        retire_kept(heap, worth_keeping(heap, wait_ms));
    }
    return worth_keeping(heap, wait_ms);
}

static void drop_empty(struct psc_heap *heap, struct psc_pool *pool) {
    psc_churn_give(&heap->churn, pool->slots);
    if (heap->kept_slots + pool->slots <= slots_to_keep(heap)) {
        keep(heap, pool);
    } else {
        psc_arena_retire_pool(pool);
    }
}

/* ---- where a pool belongs ---------------------------------------------------------------------------------------- */

/* The pool is on no list. */
static void put(struct psc_heap *heap, struct psc_pool *pool, uint32_t used) {
    if (is_empty(pool, used)) {
        drop_empty(heap, pool);
    } else if (used <= psc_pool_full_above(pool)) {
        list(heap, pool, used);
    } else {
        set_full(pool, used);
    }
}

/* `used` blocks of a listed or full pool are not free any more. */
static void resettle(struct psc_heap *heap, struct psc_pool *pool, uint32_t used) {
    if (pool->state == PSC_POOL_LISTED && !is_empty(pool, used)) {
        PSC_STORE(&pool->settle_in, (uint16_t)used);
        return;
    }
    if (pool->state == PSC_POOL_LISTED) {
        unlist(heap, pool);
    }
    PSC_STORE(&pool->state, PSC_POOL_NONE);
    put(heap, pool, used);
}

void psc_pool_settle(struct psc_pool *pool) {
    switch (pool->state) {
    case PSC_POOL_LISTED: resettle(psc_pool_owner(pool), pool, 0); break;
    case PSC_POOL_FULL: resettle(psc_pool_owner(pool), pool, psc_pool_full_above(pool)); break;
    default: PSC_STORE(&pool->settle_in, PSC_NEVER); break;
    }
}

/* The current pool, if any, becomes one of the others. */
static void put_current_back(struct psc_heap *heap, uint32_t class_index) {
    struct psc_pool *pool = heap->current[class_index];
    heap->current[class_index] = &psc_pool_none;
    if (pool != &psc_pool_none) {
        PSC_STORE(&pool->state, PSC_POOL_NONE);
        psc_pool_lay_down(pool);
        put(heap, pool, psc_pool_count_used(pool));
    }
}

static uint32_t pages_ahead(const struct psc_heap *heap) {
    return heap->made >= PSC_MADE_TO_LOOK_AHEAD ? PSC_SLOT_PAGES : 1;
}

static bool has_block(const struct psc_heap *heap, struct psc_pool *pool) {
    return psc_pool_seek(pool) || (psc_pool_carve(pool, pages_ahead(heap)) && psc_pool_seek(pool));
}

struct psc_pool *psc_heap_take_listed(struct psc_heap *heap, uint32_t class_index) {
    struct psc_pool *pool = heap->listed[class_index];
    if (pool != NULL) {
        unlist(heap, pool);
    }
    return pool;
}

/* Makes room for a pool of so many slots among the kept ones, best by one that has as many. */
static void make_room(struct psc_heap *heap, uint32_t slots) {
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        if (heap->kept[i] != NULL && heap->kept[i]->slots == slots) {
            psc_arena_retire_pool(take_kept(heap, i));
            return;
        }
    }
    retire_kept(heap, heap->kept_slots > slots ? heap->kept_slots - slots : 0);
}

/* In place of kept ones of other classes, if there are: what is kept is not to add to the most that was ever used. */
static struct psc_pool *make_pool(struct psc_heap *heap, uint32_t class_index) {
    if (heap->kept_slots > 0) {
        make_room(heap, psc_class_slots(class_index));
    }
    heap->made++;
    struct psc_pool *pool = psc_arena_make_pool(class_index, heap);
    return pool == NULL && psc_heap_drop_kept(heap) ? psc_arena_make_pool(class_index, heap) : pool;
}

/* One that had no used blocks, or another heap's. */
static struct psc_pool *get_pool(struct psc_heap *heap, uint32_t class_index) {
    struct psc_pool *pool = take_kept(heap, class_index);
    if (pool == NULL) {
        pool = psc_idle_steal(heap, class_index);
    }
    if (pool == NULL) {
        pool = make_pool(heap, class_index);
    }
    if (pool != NULL) {
        psc_churn_take(&heap->churn, pool->slots);
    }
    return pool;
}

struct search {
    const struct psc_heap *heap;
    uint32_t class_index;
    struct psc_pool *found;
};

static void look_for_room(struct psc_pool *pool, void *context) {
    struct search *search = context;
    bool ours = psc_pool_owner(pool) == search->heap && pool->class_index == search->class_index;
    if (ours && pool->state == PSC_POOL_FULL && psc_pool_used(pool) < pool->capacity) {
        search->found = pool;
    }
}

/* There is no memory: one that counts as full may have a few free blocks all the same. */
PSC_COLD static struct psc_pool *find_last_room(struct psc_heap *heap, uint32_t class_index) {
    struct search search = {.heap = heap, .class_index = class_index};
    psc_arena_each_pool(look_for_room, &search);
    return search.found;
}

static struct psc_pool *find_pool(struct psc_heap *heap, uint32_t class_index) {
    struct psc_pool *pool = psc_heap_take_listed(heap, class_index);
    if (pool == NULL) {
        pool = get_pool(heap, class_index);
    }
    return pool != NULL ? pool : find_last_room(heap, class_index);
}

bool psc_heap_refill(struct psc_heap *heap, uint32_t class_index) {
    if (PSC_UNLIKELY(heap->unsound)) {
        psc_heap_recover(heap);
    }
    psc_heap_collect(heap);
    if (psc_pool_seek(heap->current[class_index])) {
        return true;
    }
    put_current_back(heap, class_index);
    struct psc_pool *pool = find_pool(heap, class_index);
    if (pool == NULL) {
        return false;
    }
    PSC_STORE(&pool->state, PSC_POOL_CURRENT);
    PSC_STORE(&pool->settle_in, PSC_NEVER);
    heap->current[class_index] = pool;
    psc_pick_draw(heap, pool);
    return has_block(heap, pool);
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

static void take_in(struct psc_heap *heap, struct psc_pool *pool) {
    if (pool->state != PSC_POOL_LISTED && pool->state != PSC_POOL_FULL) {
        psc_pool_merge(pool);
        return;
    }
    uint32_t used = psc_pool_used(pool);
    resettle(heap, pool, used - psc_pool_merge(pool));
}

void psc_heap_collect(struct psc_heap *heap) {
    if (__atomic_load_n(&heap->handed_back, __ATOMIC_SEQ_CST) == NULL) { /* after `state`, in psc_heap_thread_end */
        return;
    }
    if (PSC_UNLIKELY(heap->unsound)) {
        psc_heap_recover(heap);
    }
    struct psc_pool *pool = __atomic_exchange_n(&heap->handed_back, NULL, __ATOMIC_SEQ_CST);
    while (pool != NULL) {
        struct psc_pool *next = pool->next_pending;
        if (psc_pool_pop(pool) == heap) {
            take_in(heap, pool);
        } else {
            pass_on(heap, pool);
        }
        pool = next;
    }
}

void psc_heap_lay_down(struct psc_heap *heap) {
    psc_heap_collect(heap);
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        put_current_back(heap, i);
    }
    psc_heap_drop_kept(heap);
}

static void recover_pool(struct psc_pool *pool, void *context) {
    struct psc_heap *heap = context;
    if (psc_pool_owner(pool) != heap) {
        return;
    }
    psc_pool_pop(pool);
    psc_pool_lay_down(pool);
    psc_pool_merge(pool);
    PSC_STORE(&pool->state, PSC_POOL_NONE);
    put(heap, pool, psc_pool_count_used(pool));
}

void psc_heap_recover(struct psc_heap *heap) {
    heap->unsound = 0;
    heap->handed_back = NULL;
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        heap->current[i] = &psc_pool_none;
        heap->listed[i] = NULL;
        heap->kept[i] = NULL;
    }
    heap->kept_slots = 0;
    psc_arena_each_pool(recover_pool, heap);
}
