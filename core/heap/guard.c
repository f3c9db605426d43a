#include "core/heap/guard.h"

#include "core/base/lock.h"
#include "core/base/os.h"

#define GUARD PSC_PAGE_BYTES
#define BLOCK_MAPPINGS 2u /* a block's own, and that of its guards: neighbours share theirs */
#define WAITING_MOST 256u
#define WAITING_BYTES_MOST ((size_t)1 << 30) /* of address space */

struct gap {
    char *start;
    size_t bytes;
};

static struct {
    struct psc_lock lock;
    uint64_t mappings_most;
    uint64_t mappings; /* of blocks with guards */
    uint32_t first;    /* of those that wait, the oldest */
    uint32_t waiting;
    size_t waiting_bytes;
    struct gap gaps[WAITING_MOST]; /* a ring */
} guards;

void psc_guard_allow(uint64_t mappings_most) {
    guards.mappings_most = mappings_most;
}

/* ---- blocks between guards ---------------------------------------------------------------------------------------- */

static bool may_map(void) {
    psc_lock_take(&guards.lock);
    bool may = guards.mappings + guards.waiting + BLOCK_MAPPINGS <= guards.mappings_most;
    guards.mappings += may ? BLOCK_MAPPINGS : 0;
    psc_lock_release(&guards.lock);
    return may;
}

static void count_gone(void) {
    psc_lock_take(&guards.lock);
    guards.mappings -= BLOCK_MAPPINGS;
    psc_lock_release(&guards.lock);
}

static char *map_between(size_t bytes, size_t front, bool usable) {
    size_t all;
    if (__builtin_add_overflow(bytes, front + GUARD, &all)) {
        return NULL;
    }
    char *start = psc_os_reserve(all, front);
    if (start == NULL || !usable || psc_os_commit(start + front, bytes)) {
        return start;
    }
    psc_os_unmap(start, all);
    return NULL;
}

char *psc_guard_map(size_t bytes, size_t alignment, bool usable, size_t *front, size_t *behind) {
    *front = alignment > GUARD ? alignment : GUARD;
    *behind = GUARD;
    if (!may_map()) {
        return NULL;
    }
    char *start = map_between(bytes, *front, usable);
    if (start == NULL) {
        count_gone();
        return NULL;
    }
    return start + *front;
}

void psc_guard_drop(char *base, size_t bytes, size_t front, size_t behind) {
    psc_os_unmap(base - front, front);
    psc_os_unmap(base + bytes, behind);
    count_gone();
}

/* ---- what freed ones leave ---------------------------------------------------------------------------------------- */

/* What the kernel will not unmap for want of a mapping keeps its addresses, but not its pages. */
static void unmap(char *start, size_t bytes) {
    if (!psc_os_unmap(start, bytes)) {
        psc_os_purge(start, bytes);
    }
}

/* Under the lock, as the next ones. */
static void drop_oldest(void) {
    struct gap gap = guards.gaps[guards.first];
    guards.first = (guards.first + 1) % WAITING_MOST;
    guards.waiting--;
    guards.waiting_bytes -= gap.bytes;
    unmap(gap.start, gap.bytes);
}

static void wait(struct gap gap) {
    while (guards.waiting == WAITING_MOST ||
           (guards.waiting > 0 && guards.waiting_bytes + gap.bytes > WAITING_BYTES_MOST)) {
        drop_oldest();
    }
    guards.gaps[(guards.first + guards.waiting++) % WAITING_MOST] = gap;
    guards.waiting_bytes += gap.bytes;
}

/* Where address space is limited, none is kept from use: what is unmapped cannot be touched either until it is mapped
 * anew. */
void psc_guard_give(char *start, size_t bytes) {
    bool keeps = bytes <= WAITING_BYTES_MOST && psc_os_address_space_limit() == SIZE_MAX;
    if (!keeps || !psc_os_decommit(start, bytes)) {
        unmap(start, bytes);
        count_gone();
        return;
    }
    psc_lock_take(&guards.lock);
    guards.mappings -= BLOCK_MAPPINGS;
    wait((struct gap){start, bytes});
    psc_lock_release(&guards.lock);
}

bool psc_guard_release(void) {
    psc_lock_take(&guards.lock);
    bool any = guards.waiting > 0;
    while (guards.waiting > 0) {
        drop_oldest();
    }
    psc_lock_release(&guards.lock);
    return any;
}

void psc_guard_fork_prepare(void) {
    psc_lock_take(&guards.lock);
}

void psc_guard_fork_parent(void) {
    psc_lock_release(&guards.lock);
}

void psc_guard_fork_child(void) {
    psc_lock_reset(&guards.lock);
}
