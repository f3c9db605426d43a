#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/pick.h"
#include "core/heap/quarantine.h"
#include "core/heap/secure.h"

#define STEAL_LOOK_MOST 16 /* idle heaps looked at for a pool */

PSC_TLS struct psc_heap *psc_heap_self = &psc_heap_none;
PSC_TLS struct psc_heap *psc_heap_open = &psc_heap_none;
bool psc_heapless_frees;
static bool unwatched; /* any thread, atomic */
static PSC_TLS bool ended;

/* By group, those of the calling thread beside psc_heap_self; NULL: it has none. */
static PSC_TLS struct psc_heap *others[PSC_HEAP_GROUPS];

/* Idle heaps of one group. */
struct idlers {
    struct psc_heap *top; /* under psc_idle_lock; last in, first out */
    uint32_t count;       /* under psc_idle_lock, [any] reads */
};

struct psc_lock psc_idle_lock;
static struct idlers idle[PSC_HEAP_GROUPS];
static struct psc_heap *all;

static struct psc_heap *new_heap(uint32_t group) {
    struct psc_heap *heap = psc_meta_alloc(sizeof *heap);
    if (heap == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        heap->current[i] = &psc_pool_none;
    }
    heap->number = all != NULL ? all->number + 1 : 1;
    heap->group = group;
    psc_pick_seed(heap);
    psc_secure_begin_heap(heap);
    heap->next = all;
    PSC_STORE_RELEASE(&all, heap);
    return heap;
}

static struct psc_heap *pop_idle(struct idlers *of_group) {
    struct psc_heap *heap = of_group->top;
    if (heap == NULL) {
        return NULL;
    }
    of_group->top = heap->next_idle;
    PSC_STORE(&of_group->count, of_group->count - 1);
    return heap;
}

static void push_idle(struct psc_heap *heap) {
    struct idlers *of_group = &idle[heap->group];
    heap->next_idle = of_group->top;
    of_group->top = heap;
    PSC_STORE(&of_group->count, of_group->count + 1);
}

static struct psc_heap *idle_or_new(uint32_t group) {
    struct psc_heap *heap = pop_idle(&idle[group]);
    if (heap == NULL) {
        heap = new_heap(group);
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

#define GOT_LAST 512u

/* By thread and group: the heap that was got last. Under psc_idle_lock. */
static struct psc_heap *got_last[GOT_LAST];

static struct psc_heap **place_of_own(uint32_t group) {
    uint64_t mixed = ((uintptr_t)&psc_heap_self >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    return &got_last[((mixed >> 32) + group) % GOT_LAST];
}

/* A thread that allocates for the first time when nobody will tell of its end any more (in the last round of its keys'
 * destructors) leaves its heap behind. It has surely ended when another one's TLS lies where its lay. NULL: none. */
static struct psc_heap *take_left_behind(uint32_t group) {
    struct psc_heap *heap = *place_of_own(group);
    bool left = heap != NULL && heap->state == PSC_HEAP_LIVE && heap->thread == &psc_heap_self && heap->group == group;
    return left ? heap : NULL;
}

/* NULL: no memory. */
static struct psc_heap *take_live(uint32_t group) {
    psc_lock_take(&psc_idle_lock);
    struct psc_heap *heap = take_left_behind(group);
    if (heap == NULL) {
        heap = idle_or_new(group);
    }
    if (heap != NULL) {
        heap->thread = &psc_heap_self;
        *place_of_own(group) = heap;
        __atomic_store_n(&heap->state, PSC_HEAP_LIVE, __ATOMIC_SEQ_CST);
    }
    psc_lock_release(&psc_idle_lock);
    return heap;
}

static struct psc_heap *begin(void) {
    struct psc_heap *heap = ended ? NULL : take_live(0);
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

/* A thread gets one of another group only when it has one of group 0: that is the one whose end it is told of. */
struct psc_heap *psc_heap_of_group(uint32_t group) {
    struct psc_heap *own = psc_heap_self != &psc_heap_none ? psc_heap_self : begin();
    if (group == 0 || own == &psc_heap_none) {
        return own;
    }
    if (others[group] == NULL) {
        others[group] = take_live(group);
    }
    return others[group] != NULL ? others[group] : &psc_heap_none;
}

bool psc_heap_is_own(const struct psc_heap *heap) {
    return heap == psc_heap_self || (heap != NULL && heap == others[heap->group]);
}

void psc_heap_each_own(void (*visit)(struct psc_heap *heap)) {
    if (psc_heap_self != &psc_heap_none) {
        visit(psc_heap_self);
    }
    for (uint32_t group = 1; group < PSC_HEAP_GROUPS; group++) {
        if (others[group] != NULL) {
            visit(others[group]);
        }
    }
}

/* State first, then the last look at the stack: whoever pushes on it later sees the state and comes to look itself. */
static void fall_idle(struct psc_heap *heap) {
    psc_lock_take(&psc_idle_lock);
    __atomic_store_n(&heap->state, PSC_HEAP_IDLE, __ATOMIC_SEQ_CST);
    psc_heap_lay_down(heap);
    push_idle(heap);
    psc_lock_release(&psc_idle_lock);
}

void psc_heap_leave(void) {
    struct psc_heap *heap = psc_heap_self;
    psc_heap_self = psc_heap_open = &psc_heap_none;
    if (heap != &psc_heap_none) {
        psc_lock_take(&psc_idle_lock);
        psc_heap_lay_down(heap);
        PSC_STORE(&heap->state, PSC_HEAP_IDLE);
        psc_lock_release(&psc_idle_lock);
    }
}

void psc_heap_thread_end(void) {
    psc_quarantine_flush();
    struct psc_heap *heap = psc_heap_self;
    ended = true;
    psc_heap_self = psc_heap_open = &psc_heap_none;
    if (heap != &psc_heap_none) {
        fall_idle(heap);
    }
    for (uint32_t group = 1; group < PSC_HEAP_GROUPS; group++) {
        heap = others[group];
        others[group] = NULL;
        if (heap != NULL) {
            fall_idle(heap);
        }
    }
}

struct psc_heap *psc_idle_take(uint32_t group) {
    psc_lock_take(&psc_idle_lock);
    struct psc_heap *heap = idle_or_new(group);
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
    struct idlers *of_group = &idle[thief->group];
    if (PSC_LOAD(&of_group->count) == 0 || PSC_LOAD(&thief->state) == PSC_HEAP_IDLE) {
        return NULL;
    }
    psc_lock_take(&psc_idle_lock);
    struct psc_pool *pool = NULL;
    uint32_t looked = 0;
    for (struct psc_heap *heap = of_group->top; heap != NULL && pool == NULL && looked < STEAL_LOOK_MOST; looked++) {
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
        if (!psc_heap_is_own(heap) && heap->state == PSC_HEAP_LIVE) {
            return true;
        }
    }
    return false;
}

void psc_idle_fork_child(void) {
    psc_lock_reset(&psc_idle_lock);
    for (uint32_t group = 0; group < PSC_HEAP_GROUPS; group++) {
        idle[group] = (struct idlers){.top = NULL};
    }
    uint32_t unsound = has_other_threads() || PSC_LOAD(&psc_heapless_frees);
    for (struct psc_heap *heap = all; heap != NULL; heap = heap->next) {
        heap->unsound |= unsound; /* a thread that is gone may have been about to hand a block back to any of them */
        if (!psc_heap_is_own(heap)) {
            heap->state = PSC_HEAP_IDLE;
            if (heap->secure == psc_secure_on) {
                push_idle(heap);
            }
        }
    }
    psc_secure_fork_child(unsound);
}
