#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/pick.h"

#define STEAL_LOOK_MOST 16 /* idle heaps looked at for a pool */

PSC_TLS struct psc_heap *psc_heap_self = &psc_heap_none;
PSC_TLS struct psc_heap *psc_heap_open = &psc_heap_none;
bool psc_heapless_frees;
static bool unwatched; /* any thread, atomic */
static PSC_TLS bool ended;

struct psc_lock psc_idle_lock;
static struct psc_heap *idle; /* under psc_idle_lock; last in, first out */
static uint32_t idle_count;
static struct psc_heap *all;

static struct psc_heap *new_heap(void) {
    struct psc_heap *heap = psc_meta_alloc(sizeof *heap);
    if (heap == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        heap->current[i] = &psc_pool_none;
    }
    heap->number = all != NULL ? all->number + 1 : 1;
    psc_pick_seed(heap);
    heap->next = all;
    PSC_STORE_RELEASE(&all, heap);
    return heap;
}

static struct psc_heap *pop_idle(void) {
    struct psc_heap *heap = idle;
    if (heap == NULL) {
        return NULL;
    }
    idle = heap->next_idle;
    PSC_STORE(&idle_count, idle_count - 1);
    return heap;
}

static void push_idle(struct psc_heap *heap) {
    heap->next_idle = idle;
    idle = heap;
    PSC_STORE(&idle_count, idle_count + 1);
}

static struct psc_heap *idle_or_new(void) {
    struct psc_heap *heap = pop_idle();
    if (heap == NULL) {
        heap = new_heap();
    } else if (heap->unsound) {
        psc_heap_recover(heap);
    }
    return heap;
}

static void open_up(void) {
    psc_heap_open = PSC_LOAD(&unwatched) ? psc_heap_self : &psc_heap_none;
}

void psc_heap_unwatch(void) {
    PSC_STORE(&unwatched, true);
    open_up();
}

struct psc_heap *psc_heap_begin(void) {
    if (ended) {
        return &psc_heap_none;
    }
    psc_lock_take(&psc_idle_lock);
    struct psc_heap *heap = idle_or_new();
    if (heap != NULL) {
        __atomic_store_n(&heap->state, PSC_HEAP_LIVE, __ATOMIC_SEQ_CST);
    }
    psc_lock_release(&psc_idle_lock);
    if (heap == NULL) {
        return &psc_heap_none;
    }
    psc_heap_self = heap;
    open_up();
    if (psc_hooks.thread_began != NULL) {
        psc_hooks.thread_began();
    }
    return heap;
}

/* State first, then the last look at the stack: whoever pushes on it later sees the state and comes to look itself. */
void psc_heap_thread_end(void) {
    struct psc_heap *heap = psc_heap_self;
    ended = true;
    psc_heap_self = psc_heap_open = &psc_heap_none;
    if (heap == &psc_heap_none) {
        return;
    }
    psc_lock_take(&psc_idle_lock);
    __atomic_store_n(&heap->state, PSC_HEAP_IDLE, __ATOMIC_SEQ_CST);
    psc_heap_lay_down(heap);
    push_idle(heap);
    psc_lock_release(&psc_idle_lock);
}

struct psc_heap *psc_idle_take(void) {
    psc_lock_take(&psc_idle_lock);
    struct psc_heap *heap = idle_or_new();
    if (heap == NULL) {
        psc_lock_release(&psc_idle_lock);
        return NULL;
    }
    PSC_STORE(&heap->state, PSC_HEAP_IDLE);
    return heap;
}

void psc_idle_drop(struct psc_heap *heap) {
    psc_heap_lay_down(heap);
    push_idle(heap);
    psc_lock_release(&psc_idle_lock);
}

static struct psc_pool *take_from(struct psc_heap *heap, uint32_t class_index) {
    if (heap->unsound) {
        psc_heap_recover(heap);
    }
    psc_heap_collect(heap);
    return psc_heap_take_listed(heap, class_index);
}

struct psc_pool *psc_idle_steal(struct psc_heap *thief, uint32_t class_index) {
    if (PSC_LOAD(&idle_count) == 0 || PSC_LOAD(&thief->state) == PSC_HEAP_IDLE) {
        return NULL;
    }
    psc_lock_take(&psc_idle_lock);
    struct psc_pool *pool = NULL;
    uint32_t looked = 0;
    for (struct psc_heap *heap = idle; heap != NULL && pool == NULL && looked < STEAL_LOOK_MOST; looked++) {
        pool = take_from(heap, class_index);
        heap = heap->next_idle;
    }
    if (pool != NULL) {
        psc_pool_set_owner(pool, thief);
    }
    psc_lock_release(&psc_idle_lock);
    return pool;
}

void psc_idle_collect(struct psc_heap *heap) {
    psc_lock_take(&psc_idle_lock);
    if (heap->state == PSC_HEAP_IDLE) {
        psc_heap_collect(heap);
    }
    psc_lock_release(&psc_idle_lock);
}

void psc_heap_each(void (*visit)(struct psc_heap *heap, void *context), void *context) {
    for (struct psc_heap *heap = PSC_LOAD_ACQUIRE(&all); heap != NULL; heap = heap->next) {
        visit(heap, context);
    }
}

/* ---- fork: locks in their order, and the heaps of threads that the child does not have --------------------------- */

static bool has_other_threads(void) {
    for (struct psc_heap *heap = all; heap != NULL; heap = heap->next) {
        if (heap != psc_heap_self && heap->state == PSC_HEAP_LIVE) {
            return true;
        }
    }
    return false;
}

void psc_idle_fork_child(void) {
    psc_lock_reset(&psc_idle_lock);
    idle = NULL;
    idle_count = 0;
    uint32_t others = has_other_threads() || PSC_LOAD(&psc_heapless_frees);
    for (struct psc_heap *heap = all; heap != NULL; heap = heap->next) {
        heap->unsound |= others; /* a thread that is gone may have been about to hand a block back to any of them */
        if (heap != psc_heap_self) {
            heap->state = PSC_HEAP_IDLE;
            push_idle(heap);
        }
    }
}
