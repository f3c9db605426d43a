#include "core/heap/range.h"

#include "core/base/lock.h"
#include "core/base/os.h"
#include "core/heap/churn.h"
#include "core/heap/internal.h"

#define RANGES_MAX 64u
#define KEPT_BYTES_LEAST ((uint64_t)2 << 20)

struct range {
    char *base;
    size_t bytes;
    uint64_t since_ms;
};

/* In no order; no two of them adjoin. */
static struct {
    struct psc_lock lock;
    uint32_t count;
    uint64_t bytes;
    struct psc_churn churn; /* in bytes */
    struct range ranges[RANGES_MAX];
} kept;

/* What the kernel will not unmap for want of a VMA keeps its addresses, but not its pages. */
static void unmap(void *base, size_t bytes) {
    if (!psc_os_unmap(base, bytes)) {
        psc_os_purge(base, bytes);
    }
}

static void tell(void) {
    if (psc_hooks.ranges_changed != NULL) {
        psc_hooks.ranges_changed(kept.bytes);
    }
}

static struct range remove_at(uint32_t i) {
    struct range range = kept.ranges[i];
    kept.ranges[i] = kept.ranges[--kept.count];
    PSC_STORE(&kept.bytes, kept.bytes - range.bytes);
    return range;
}

static void add(struct range range) {
    kept.ranges[kept.count++] = range;
    PSC_STORE(&kept.bytes, kept.bytes + range.bytes);
}

static void drop(uint32_t i) {
    struct range range = remove_at(i);
    unmap(range.base, range.bytes);
}

/* Drops so much of the range's end, or all of it. */
static void cut(uint32_t i, size_t bytes) {
    struct range *range = &kept.ranges[i];
    if (range->bytes <= bytes) {
        drop(i);
        return;
    }
    range->bytes -= bytes;
    PSC_STORE(&kept.bytes, kept.bytes - bytes);
    unmap(range->base + range->bytes, bytes);
}

/* RANGES_MAX: none is large enough. */
static uint32_t find_best(size_t bytes) {
    uint32_t best = RANGES_MAX;
    for (uint32_t i = 0; i < kept.count; i++) {
        if (kept.ranges[i].bytes >= bytes && (best == RANGES_MAX || kept.ranges[i].bytes < kept.ranges[best].bytes)) {
            best = i;
        }
    }
    return best;
}

static uint32_t find_largest(void) {
    uint32_t largest = 0;
    for (uint32_t i = 1; i < kept.count; i++) {
        largest = kept.ranges[i].bytes > kept.ranges[largest].bytes ? i : largest;
    }
    return largest;
}

/* None is large enough, but most of the pages may be there: the largest range grows, or moves to where it can. Only new
 * pages have to be got then. */
static void *take_grown(size_t bytes) {
    uint32_t largest = find_largest();
    if (kept.count == 0 || kept.ranges[largest].bytes < bytes / 2) {
        return NULL;
    }
    void *grown = psc_os_grow(kept.ranges[largest].base, kept.ranges[largest].bytes, bytes);
    if (grown != NULL) {
        remove_at(largest);
    }
    return grown;
}

static void *take(size_t bytes) {
    uint32_t best = find_best(bytes);
    if (best == RANGES_MAX) {
        return take_grown(bytes);
    }
    struct range range = remove_at(best);
    if (range.bytes > bytes) {
        add((struct range){range.base + bytes, range.bytes - bytes, range.since_ms});
    }
    return range.base;
}

void *psc_range_take(size_t bytes) {
    psc_lock_take(&kept.lock);
    void *base = take(bytes);
    tell();
    psc_lock_release(&kept.lock);
    return base;
}

void psc_range_count_taken(size_t bytes) {
    psc_lock_take(&kept.lock);
    psc_churn_take(&kept.churn, bytes);
    psc_lock_release(&kept.lock);
}

/* Joins the range with those that adjoin it. */
static struct range join(struct range range) {
    for (uint32_t i = 0; i < kept.count;) {
        struct range *other = &kept.ranges[i];
        bool below = other->base + other->bytes == range.base;
        if (!below && range.base + range.bytes != other->base) {
            i++;
            continue;
        }
        struct range joined = remove_at(i);
        range.base = below ? joined.base : range.base;
        range.bytes += joined.bytes;
    }
    return range;
}

static uint32_t find_oldest(void) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < kept.count; i++) {
        oldest = kept.ranges[i].since_ms < kept.ranges[oldest].since_ms ? i : oldest;
    }
    return oldest;
}

/* Half more than goes round: what is wanted next seldom has the size of what was given back last. */
static uint64_t bytes_to_keep(void) {
    uint64_t worth = psc_churn_worth(&kept.churn);
    worth += worth / 2;
    return worth > KEPT_BYTES_LEAST ? worth : KEPT_BYTES_LEAST;
}

/* Unmaps what waited too long, and of the oldest what is more than worth keeping. */
static void trim(uint64_t now, uint64_t wait_ms) {
    uint64_t most = wait_ms > 0 ? bytes_to_keep() : 0;
    while (kept.count > 0) {
        uint32_t oldest = find_oldest();
        if (now - kept.ranges[oldest].since_ms > wait_ms) {
            drop(oldest);
        } else if (kept.bytes > most) {
            cut(oldest, psc_round_up(kept.bytes - most + most / 16, PSC_PAGE_BYTES));
        } else {
            return;
        }
    }
}

void psc_range_give(void *base, size_t bytes) {
    uint64_t now = psc_os_monotonic_ms();
    uint64_t wait_ms = psc_arena_purge_ms();
    psc_lock_take(&kept.lock);
    psc_churn_give(&kept.churn, bytes);
    psc_churn_turn(&kept.churn, now, wait_ms / PSC_WINDOWS);
    struct range range = join((struct range){base, bytes, now});
    if (kept.count == RANGES_MAX) {
        drop(find_oldest());
    }
    add(range);
    trim(now, wait_ms);
    tell();
    psc_lock_release(&kept.lock);
}

bool psc_range_release(void) {
    psc_lock_take(&kept.lock);
    bool any = kept.count > 0;
    while (kept.count > 0) {
        drop(0);
    }
    tell();
    psc_lock_release(&kept.lock);
    return any;
}

uint64_t psc_range_bytes(void) {
    return PSC_LOAD(&kept.bytes);
}

void psc_range_fork_prepare(void) {
    psc_lock_take(&kept.lock);
}

void psc_range_fork_parent(void) {
    psc_lock_release(&kept.lock);
}

void psc_range_fork_child(void) {
    psc_lock_reset(&kept.lock);
}
