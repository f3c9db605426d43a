#include <string.h>

#include "core/base/os.h"
#include "core/heap/churn.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/radix.h"
#include "core/heap/range.h"
#include "core/heap/secure.h"

#define REGION_ARENAS_LEAST 4u /* 16 MiB of address space to begin with */
#define REGION_ARENAS_MOST 256u
#define CACHED_PAGES_LEAST 1024u /* so many pages of free slots may always wait */
#define AHEAD_FROM_SLOTS                                                                                               \
    512u                /* slots in use, 8 MiB, before we look ahead: what that wastes is below a hundredth then */
#define RUN_LONG 16u    /* slots, 256 KiB */
#define RUNS_MOST 256u  /* that go with one call */
#define COLOUR_STEP 64u /* a cache line */
#define COLOUR_MOST (PSC_SLOT_BYTES / 32)
#define AHEAD_SLOTS 4u /* 64 KiB: a kernel's call costs little more than its pages do */

struct psc_lock psc_arena_lock;

static struct {
    struct psc_arena *table[PSC_ARENAS_MAX];
    uint32_t count;
    uint32_t homeless; /* of these, without address space */
    char *region_next; /* reserved address space, whole arenas */
    char *region_end;
    size_t region_gap; /* behind each arena of it */
    /* No arena below has room for a pool of k slots: a hint that saves looking. It does not fall with k. */
    uint32_t first_with_room[PSC_SPAN_SLOTS_MAX + 1];
    uint64_t pooled_slots;
    uint64_t cached_pages;
    uint64_t look_again_at; /* cached pages: with fewer, looking for long runs again in this window is in vain */
    struct psc_churn churn; /* in slots */
} arenas;

static uint32_t purge_ms = 1000; /* any thread, atomic */

uint32_t psc_arena_count(void) {
    return PSC_LOAD_ACQUIRE(&arenas.count);
}

struct psc_arena *psc_arena_at(uint32_t index) {
    return PSC_LOAD_ACQUIRE(&arenas.table[index]);
}

void psc_arena_set_purge(uint32_t milliseconds) {
    PSC_STORE(&purge_ms, milliseconds);
}

uint32_t psc_arena_purge_ms(void) {
    return PSC_LOAD(&purge_ms);
}

/* ---- bits of slots --------------------------------------------------------------------------------------------- */

static bool bit(const uint64_t *bits, uint32_t i) {
    return (PSC_LOAD(&bits[i / 64]) >> (i % 64)) & 1;
}

static void set_bit(uint64_t *bits, uint32_t i) {
    PSC_STORE(&bits[i / 64], bits[i / 64] | (uint64_t)1 << (i % 64));
}

static void clear_bit(uint64_t *bits, uint32_t i) {
    PSC_STORE(&bits[i / 64], bits[i / 64] & ~((uint64_t)1 << (i % 64)));
}

/* The first slot from `slot` on whose bit is `set`; PSC_SLOTS if there is none. */
static uint32_t next_slot(const uint64_t *bits, uint32_t slot, bool set) {
    while (slot < PSC_SLOTS) {
        uint64_t word = (set ? bits[slot / 64] : ~bits[slot / 64]) >> (slot % 64);
        if (word != 0) {
            return slot + (uint32_t)__builtin_ctzll(word);
        }
        slot = (slot / 64 + 1) * 64;
    }
    return PSC_SLOTS;
}

/* The slot behind the last one before `slot` whose bit is set. */
static uint32_t slot_behind_last(const uint64_t *bits, uint32_t slot) {
    while (slot > 0) {
        uint32_t word = (slot - 1) / 64;
        uint64_t below = bits[word] << (63 - (slot - 1) % 64);
        if (below != 0) {
            return slot - (uint32_t)__builtin_clzll(below);
        }
        slot = word * 64;
    }
    return 0;
}

/* First of `count` adjacent slots that no pool has; PSC_SLOTS if there are none. */
static uint32_t find_slots(const struct psc_arena *arena, uint32_t count) {
    uint32_t first = next_slot(arena->pooled, 0, false);
    while (first + count <= PSC_SLOTS) {
        uint32_t end = next_slot(arena->pooled, first, true);
        if (end - first >= count) {
            return first;
        }
        first = next_slot(arena->pooled, end, false);
    }
    return PSC_SLOTS;
}

static void tell(const struct psc_arena *arena) {
    if (psc_hooks.arena_changed != NULL) {
        psc_hooks.arena_changed(arena);
    }
}

/* ---- arenas from the kernel ------------------------------------------------------------------------------------ */

static uint32_t region_arenas_wanted(void) {
    if (psc_os_address_space_limit() != SIZE_MAX) {
        return 1;
    }
    uint32_t wanted = arenas.count > REGION_ARENAS_LEAST ? arenas.count : REGION_ARENAS_LEAST;
    return wanted < REGION_ARENAS_MOST ? wanted : REGION_ARENAS_MOST;
}

/* What lies between two arenas. */
static size_t gap_bytes(void) {
    return psc_secure_on && psc_os_address_space_limit() == SIZE_MAX ? PSC_ARENA_BYTES : 0;
}

static bool try_to_reserve(void) {
    size_t gap = gap_bytes();
    for (uint32_t wanted = region_arenas_wanted(); wanted > 0; wanted /= 2) {
        size_t bytes = wanted * (PSC_ARENA_BYTES + gap);
        char *region = psc_os_reserve(gap + bytes, PSC_ARENA_BYTES);
        if (region != NULL) {
            arenas.region_gap = gap;
            arenas.region_next = region + gap;
            arenas.region_end = region + gap + bytes;
            return true;
        }
    }
    return false;
}

static bool reserve_region(void) {
    return try_to_reserve() || (psc_range_release() && try_to_reserve()) || (psc_space_given_up() && try_to_reserve());
}

static bool settle(struct psc_arena *arena) {
    if ((arenas.region_next == arenas.region_end && !reserve_region()) ||
        !psc_radix_set_arena(arenas.region_next, arena)) {
        return false;
    }
    arena->base = arenas.region_next;
    arenas.region_next += PSC_ARENA_BYTES + arenas.region_gap;
    return true;
}

/* There may be room now for `slots` adjacent ones, and for fewer. */
static void note_room(const struct psc_arena *arena, uint32_t slots) {
    uint32_t k = slots < PSC_SPAN_SLOTS_MAX ? slots : PSC_SPAN_SLOTS_MAX;
    for (; k > 0 && arenas.first_with_room[k] > arena->index; k--) {
        arenas.first_with_room[k] = arena->index;
    }
}

/* There is no room for `slots` adjacent ones in arenas below `index`, and so none for more. */
static void note_no_room(uint32_t index, uint32_t slots) {
    for (uint32_t k = slots; k <= PSC_SPAN_SLOTS_MAX && arenas.first_with_room[k] < index; k++) {
        arenas.first_with_room[k] = index;
    }
}

static struct psc_arena *settle_homeless(void) {
    for (uint32_t i = 0; i < arenas.count; i++) {
        struct psc_arena *arena = arenas.table[i];
        if (arena->base == NULL && settle(arena)) {
            arenas.homeless--;
            note_room(arena, PSC_SLOTS);
            return arena;
        }
    }
    return NULL;
}

static struct psc_arena *new_arena(void) {
    struct psc_arena *arena = arenas.count < PSC_ARENAS_MAX ? psc_meta_alloc(sizeof *arena) : NULL;
    if (arena == NULL) {
        return NULL;
    }
    arena->index = arenas.count;
    arena->free_slots = PSC_SLOTS;
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        arena->pool_of[slot] = &arena->pools[slot];
    }
    arenas.homeless += !settle(arena); /* the descriptor is kept for another time */
    PSC_STORE_RELEASE(&arenas.table[arena->index], arena);
    PSC_STORE_RELEASE(&arenas.count, arena->index + 1);
    return arena->base != NULL ? arena : NULL;
}

static struct psc_arena *find_arena(uint32_t slots, uint32_t *first) {
    for (uint32_t i = arenas.first_with_room[slots]; i < arenas.count; i++) {
        struct psc_arena *arena = arenas.table[i];
        if (arena->free_slots >= slots && arena->base != NULL && (*first = find_slots(arena, slots)) < PSC_SLOTS) {
            note_no_room(i, slots);
            return arena;
        }
    }
    note_no_room(arenas.count, slots);
    *first = 0;
    return arenas.homeless > 0 ? settle_homeless() : new_arena();
}

/* ---- pages that go back ---------------------------------------------------------------------------------------- */

/* The slot's pages went back, or a pool takes them over. */
static void forget_cached(struct psc_arena *arena, uint32_t slot) {
    clear_bit(arena->cached, slot);
    PSC_OWN_ADD(&arena->cached_pages, -(uint32_t)arena->touched[slot]);
    arenas.cached_pages -= arena->touched[slot];
}

static void forget_pages(struct psc_arena *arena, uint32_t slot) {
    forget_cached(arena, slot);
    arena->touched[slot] = 0;
}

static void forget_all_pages(struct psc_arena *arena) {
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        if (bit(arena->cached, slot)) {
            forget_pages(arena, slot);
        }
    }
}

/* Runs of cached slots whose pages are to go. */
static struct {
    struct iovec runs[RUNS_MOST];
    uint32_t count;
    uint64_t pages;
} leaving;

static void forget_run(const struct iovec *run) {
    struct psc_arena *arena = psc_radix_arena(run->iov_base);
    uint32_t first = (uint32_t)((size_t)((char *)run->iov_base - arena->base) / PSC_SLOT_BYTES);
    for (uint32_t slot = first; slot < first + run->iov_len / PSC_SLOT_BYTES; slot++) {
        forget_pages(arena, slot);
    }
    tell(arena);
}

static void purge_leaving(void) {
    size_t gone = psc_os_purge_ranges(leaving.runs, leaving.count);
    for (size_t i = 0; i < gone; i++) {
        forget_run(&leaving.runs[i]);
    }
    leaving.count = 0;
    leaving.pages = 0;
}

static void add_leaving(const struct psc_arena *arena, uint32_t slot, uint32_t end) {
    if (leaving.count == RUNS_MOST) {
        purge_leaving();
    }
    leaving.runs[leaving.count++] = (struct iovec){.iov_base = arena->base + (size_t)slot * PSC_SLOT_BYTES,
                                                   .iov_len = (size_t)(end - slot) * PSC_SLOT_BYTES};
    for (; slot < end; slot++) {
        leaving.pages += arena->touched[slot];
    }
}

/* No pool of the arena is on a stack; and none will be put there, since pools without an owner never are. */
static bool is_forgotten(const struct psc_arena *arena) {
    uintptr_t marks = 0;
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        marks |= PSC_LOAD(&arena->pools[slot].owner);
    }
    return marks == 0;
}

/* Descriptors of pools that are no more are as good as zero. */
static void purge_descriptors(struct psc_arena *arena) {
    char *start = (char *)psc_round_up((uintptr_t)arena->pools, PSC_PAGE_BYTES);
    char *end = (char *)((uintptr_t)(arena + 1) & ~(uintptr_t)(PSC_PAGE_BYTES - 1));
    if (is_forgotten(arena)) {
        psc_os_purge(start, (size_t)(end - start));
    }
}

/* An arena without pools gives its pages back at one stroke, and the promise of memory with them. */
static bool purge_whole(struct psc_arena *arena) {
    if (arena->free_slots != PSC_SLOTS || !psc_os_decommit(arena->base, PSC_ARENA_BYTES)) {
        return false;
    }
    arena->committed = false;
    forget_all_pages(arena);
    purge_descriptors(arena);
    return true;
}

/* Leaves runs shorter than `run_least` slots. */
static void purge_arena(struct psc_arena *arena, uint32_t run_least) {
    if (purge_whole(arena)) {
        tell(arena);
        return;
    }
    uint32_t slot = next_slot(arena->cached, 0, true);
    while (slot < PSC_SLOTS) {
        uint32_t end = next_slot(arena->cached, slot, false);
        if (end - slot >= run_least) {
            add_leaving(arena, slot, end);
        }
        slot = next_slot(arena->cached, end, true);
    }
}

/* Purges, from the highest arena down, those whose pages wait since `before_ms` or longer, until `keep` pages wait. */
static bool sweep(uint64_t before_ms, uint64_t keep, uint32_t run_least) {
    uint64_t had = arenas.cached_pages;
    for (uint32_t i = arenas.count; i-- > 0 && arenas.cached_pages > keep + leaving.pages;) {
        struct psc_arena *arena = arenas.table[i];
        if (arena->cached_pages >= run_least && arena->cached_since_ms <= before_ms) {
            purge_arena(arena, run_least);
        }
    }
    purge_leaving();
    return arenas.cached_pages < had;
}

static uint64_t most_of(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* A thirty-second of what pools hold, or what goes round often if that is more. */
static uint64_t cached_pages_most(void) {
    uint64_t slots = most_of(arenas.pooled_slots / 32, psc_churn_worth(&arenas.churn));
    return most_of(CACHED_PAGES_LEAST, slots * PSC_SLOT_PAGES);
}

/* Too many pages wait. A kernel's call costs the same for a slot as for many: long runs go first, and as long as what
 * waits is not twice too much, short ones have time to grow together. */
static void purge_excess(void) {
    uint64_t most = cached_pages_most();
    sweep(UINT64_MAX, most - most / 8, RUN_LONG);
    for (uint32_t run = RUN_LONG / 2; run > 0 && arenas.cached_pages > 2 * most; run /= 2) {
        sweep(UINT64_MAX, most, run);
    }
    arenas.look_again_at = arenas.cached_pages + most / 8;
}

static void purge_when_due(uint64_t now) {
    uint32_t wait_ms = psc_arena_purge_ms();
    if (wait_ms == 0) {
        sweep(UINT64_MAX, 0, 1);
        return;
    }
    if (arenas.cached_pages > most_of(cached_pages_most(), arenas.look_again_at)) {
        purge_excess();
    }
    if (psc_churn_turn(&arenas.churn, now, wait_ms / PSC_WINDOWS)) {
        sweep(now >= wait_ms ? now - wait_ms : 0, 0, 1);
        arenas.look_again_at = 0;
    }
}

bool psc_arena_purge(void) {
    psc_lock_take(&psc_arena_lock);
    bool went = sweep(UINT64_MAX, 0, 1);
    psc_lock_release(&psc_arena_lock);
    return went;
}

/* What was reserved for more arenas stays, as what lies behind the last one. */
void psc_arena_part(void) {
    psc_lock_take(&psc_arena_lock);
    arenas.region_next = arenas.region_end;
    sweep(UINT64_MAX, 0, 1);
    psc_lock_release(&psc_arena_lock);
}

static bool release_arena(struct psc_arena *arena) {
    if (arena->base == NULL || arena->free_slots != PSC_SLOTS) {
        return false;
    }
    psc_radix_set_arena(arena->base, NULL); /* first: once unmapped, the range may be another thread's large block */
    if (!psc_os_unmap(arena->base, PSC_ARENA_BYTES)) {
        psc_radix_set_arena(arena->base, arena);
        return false;
    }
    forget_all_pages(arena);
    arena->base = NULL;
    arena->committed = false;
    arenas.homeless++;
    tell(arena);
    return true;
}

bool psc_arena_release(void) {
    bool went = false;
    psc_lock_take(&psc_arena_lock);
    for (uint32_t i = 0; i < arenas.count; i++) {
        went |= release_arena(arenas.table[i]);
    }
    psc_lock_release(&psc_arena_lock);
    return went;
}

/* ---- pools ----------------------------------------------------------------------------------------------------- */

static void point_to(struct psc_arena *arena, uint32_t slot, struct psc_pool *pool) {
    PSC_STORE(&arena->pool_of[slot], pool);
    PSC_STORE(psc_slot_pool(arena->base + (size_t)slot * PSC_SLOT_BYTES), pool);
}

static void mark_pooled(struct psc_arena *arena, uint32_t first, uint32_t slots) {
    for (uint32_t slot = first; slot < first + slots; slot++) {
        set_bit(arena->pooled, slot);
        if (bit(arena->cached, slot)) {
            forget_cached(arena, slot);
        }
        point_to(arena, slot, &arena->pools[first]);
    }
    arena->free_slots -= slots;
    arenas.pooled_slots += slots;
    psc_churn_take(&arenas.churn, slots);
}

static void remember_pages(struct psc_arena *arena, uint32_t slot, uint32_t pages, uint64_t now) {
    if (arena->cached_pages == 0) {
        arena->cached_since_ms = now;
    }
    if (pages > arena->touched[slot]) {
        arena->touched[slot] = (uint8_t)pages;
    }
    if (arena->touched[slot] > 0) {
        set_bit(arena->cached, slot);
        PSC_OWN_ADD(&arena->cached_pages, arena->touched[slot]);
        arenas.cached_pages += arena->touched[slot];
    }
}

/* Length of the run of free slots around those before `end`, from `first` on. */
static uint32_t room_around(const struct psc_arena *arena, uint32_t first, uint32_t end) {
    return next_slot(arena->pooled, end, true) - slot_behind_last(arena->pooled, first);
}

static void mark_free(struct psc_arena *arena, const struct psc_pool *pool, uint64_t now) {
    uint32_t first = pool->order % PSC_SLOTS;
    uint32_t slots = pool->slots;
    for (uint32_t slot = first; slot < first + slots; slot++) {
        clear_bit(arena->pooled, slot);
        remember_pages(arena, slot, psc_pool_pages_in_slot(pool, slot - first), now);
        PSC_STORE(&arena->pool_of[slot], &arena->pools[slot]);
    }
    arena->free_slots += slots;
    arenas.pooled_slots -= slots;
    psc_churn_give(&arenas.churn, slots);
    note_room(arena, room_around(arena, first, first + slots));
}

/* A pool of these slots without a block: base, slots and what slots tell. PSC_PENDING and next_pending are left as they
 * are: see the invariants. */
static struct psc_pool *begin_pool(struct psc_arena *arena, uint32_t first, uint32_t slots, struct psc_heap *owner) {
    struct psc_pool *pool = &arena->pools[first];
    PSC_STORE(&pool->base, arena->base + (size_t)first * PSC_SLOT_BYTES);
    PSC_STORE(&pool->slots, (uint8_t)slots);
    PSC_STORE(&pool->order, arena->index * PSC_SLOTS + first);
    PSC_STORE(&pool->state, PSC_POOL_NONE);
    pool->group = (uint8_t)owner->group;
    psc_pool_set_owner(pool, owner);
    mark_pooled(arena, first, slots);
    set_bit(arena->heads, first);
    return pool;
}

static void set_blocks(struct psc_pool *pool, uint32_t class_index, uint32_t block_bytes, uint32_t capacity) {
    PSC_STORE(&pool->class_index, (uint8_t)class_index);
    PSC_STORE(&pool->block_bytes, block_bytes);
    pool->reciprocal = (uint32_t)((((uint64_t)1 << 32) + block_bytes - 1) / block_bytes);
    PSC_STORE(&pool->capacity, (uint16_t)capacity);
}

/* Pools do not all begin at the same place within their slot, for then their first blocks, which are used most, would
 * share a few sets of the processor's cache (J. Bonwick, "The slab allocator", 1994). Blocks keep the alignment that
 * their size has, and so multiples of 1 KiB begin where the slot does. */
static uint32_t colour_of(const struct psc_pool *pool, uint32_t block_bytes) {
    uint32_t alignment = block_bytes & -block_bytes;
    uint32_t step = alignment > COLOUR_STEP ? alignment : COLOUR_STEP;
    return pool->order % (COLOUR_MOST / step + 1) * step;
}

static void clear_bits(struct psc_arena *arena, struct psc_pool *pool) {
    PSC_STORE(&pool->free, pool->capacity <= 64 ? &pool->free_word : arena->bits[pool->order % PSC_SLOTS].free);
    PSC_STORE(&pool->word, pool->free);
    PSC_STORE(&pool->at_hand, 0);
    pool->word_base = pool->base;
    uint64_t *remote = psc_pool_remote(pool);
    for (uint32_t word = 0; word < psc_pool_words(pool); word++) {
        PSC_STORE(&pool->free[word], 0);
        PSC_STORE(&remote[word], 0);
        if (psc_pool_is_secure(pool)) {
            PSC_STORE(&psc_pool_live(pool)[word], 0);
        }
    }
}

/* Slots that nobody has used, from `first` on, as far as we look ahead. */
static uint32_t unused_slots(const struct psc_arena *arena, uint32_t first) {
    uint32_t slot = first;
    while (slot < PSC_SLOTS && slot - first < AHEAD_SLOTS && !bit(arena->pooled, slot) && arena->touched[slot] == 0) {
        slot++;
    }
    return slot - first;
}

/* Gets the pages of slots that are about to be used with one call; faults would bring them one by one, and cost several
 * times as much. What is beyond the pool waits as other free pages do. */
static void look_ahead(struct psc_arena *arena, uint32_t first, uint64_t now) {
    uint32_t slots =
        arenas.pooled_slots >= AHEAD_FROM_SLOTS && psc_arena_purge_ms() > 0 ? unused_slots(arena, first) : 0;
    if (slots == 0 || !psc_os_populate(arena->base + (size_t)first * PSC_SLOT_BYTES, (size_t)slots * PSC_SLOT_BYTES)) {
        return;
    }
    for (uint32_t slot = first; slot < first + slots; slot++) {
        remember_pages(arena, slot, PSC_SLOT_PAGES, now);
    }
}

static bool has_live_bits(struct psc_arena *arena) {
    if (arena->live == NULL) {
        PSC_STORE_RELEASE(&arena->live, psc_meta_alloc(PSC_SLOTS * sizeof *arena->live));
    }
    return arena->live != NULL;
}

/* Spans never look ahead: the program may leave pages of them untouched. */
static struct psc_pool *take_slots(uint32_t slots, struct psc_heap *owner) {
    uint32_t first;
    struct psc_arena *arena = find_arena(slots, &first);
    if (arena == NULL) {
        return NULL;
    }
    if (!arena->committed && !psc_os_commit(arena->base, PSC_ARENA_BYTES)) {
        return NULL;
    }
    arena->committed = true;
    if (owner->secure && !has_live_bits(arena)) {
        return NULL;
    }
    uint64_t now = psc_os_monotonic_ms();
    if (owner->made >= PSC_MADE_TO_LOOK_AHEAD) {
        look_ahead(arena, first, now);
    }
    struct psc_pool *pool = begin_pool(arena, first, slots, owner);
    purge_when_due(now);
    tell(arena);
    return pool;
}

struct psc_pool *psc_arena_make_pool(uint32_t class_index, struct psc_heap *owner) {
    uint32_t slots = psc_class_slots(class_index);
    uint32_t block_bytes = psc_class_bytes(class_index);
    psc_lock_take(&psc_arena_lock);
    struct psc_pool *pool = take_slots(slots, owner);
    if (pool != NULL) {
        uint32_t colour = colour_of(pool, block_bytes);
        PSC_STORE(&pool->base, pool->base + colour);
        set_blocks(pool, class_index, block_bytes, (slots * PSC_SLOT_BYTES - colour) / block_bytes);
        clear_bits(psc_radix_arena(pool->base), pool);
        psc_pool_count_stale(pool);
    }
    psc_lock_release(&psc_arena_lock);
    return pool;
}

static uint32_t slots_of_span(size_t bytes) {
    return (uint32_t)((bytes + PSC_SLOT_BYTES - 1) / PSC_SLOT_BYTES);
}

/* A span's block is carved from the start. Its pages count as touched. */
static void set_span(struct psc_pool *span, size_t bytes) {
    set_blocks(span, PSC_CLASS_SPAN, (uint32_t)psc_round_up(bytes, PSC_PAGE_BYTES), 1);
    PSC_STORE(&span->carved_bytes, span->block_bytes);
    PSC_STORE(&span->carved, 1);
    psc_pool_count_stale(span);
}

static bool has_pages(const struct psc_arena *arena, uint32_t first, uint32_t slots) {
    uint32_t pages = 0;
    for (uint32_t slot = first; slot < first + slots; slot++) {
        pages += arena->touched[slot];
    }
    return pages > 0;
}

struct psc_pool *psc_arena_make_span(size_t bytes, bool *fresh) {
    psc_lock_take(&psc_arena_lock);
    struct psc_pool *span = take_slots(slots_of_span(bytes), &psc_heap_of_spans);
    if (span != NULL) {
        struct psc_arena *arena = psc_radix_arena(span->base);
        *fresh = !has_pages(arena, span->order % PSC_SLOTS, span->slots);
        set_span(span, bytes);
        clear_bits(arena, span);
    }
    psc_lock_release(&psc_arena_lock);
    return span;
}

/* Takes the slots behind the span, up to `slots` in all, if they are free and in its arena. */
static bool extend_span(struct psc_arena *arena, struct psc_pool *span, uint32_t slots) {
    uint32_t first = span->order % PSC_SLOTS;
    if (first + slots > PSC_SLOTS) {
        return false;
    }
    for (uint32_t slot = first + span->slots; slot < first + slots; slot++) {
        if (bit(arena->pooled, slot)) {
            return false;
        }
    }
    mark_pooled(arena, first + span->slots, slots - span->slots);
    for (uint32_t slot = first + span->slots; slot < first + slots; slot++) {
        point_to(arena, slot, span);
    }
    PSC_STORE(&span->slots, (uint8_t)slots);
    tell(arena);
    return true;
}

bool psc_arena_resize_span(struct psc_pool *span, size_t bytes) {
    struct psc_arena *arena = psc_radix_arena(span->base);
    uint32_t slots = slots_of_span(bytes);
    psc_lock_take(&psc_arena_lock);
    bool fits = slots <= span->slots ? slots > span->slots / 2 : extend_span(arena, span, slots);
    if (fits) {
        for (uint32_t slot = 0; slot < span->slots; slot++) { /* what the block reached into is there */
            uint8_t *touched = &arena->touched[span->order % PSC_SLOTS + slot];
            uint32_t pages = psc_pool_pages_in_slot(span, slot);
            *touched = (uint8_t)most_of(*touched, pages);
        }
        set_span(span, bytes);
    }
    psc_lock_release(&psc_arena_lock);
    return fits;
}

static void forget_note(struct psc_note *note) {
    if (psc_hooks.pool_retired != NULL) {
        psc_hooks.pool_retired(note);
    }
    PSC_STORE(&note->words[0], 0);
    PSC_STORE(&note->words[1], 0);
}

/* A pool from before the heap was hardened: what it leaves to others is to read as zero. */
PSC_COLD static void clear_pages(const struct psc_arena *arena, const struct psc_pool *pool) {
    char *start = arena->base + (size_t)(pool->order % PSC_SLOTS) * PSC_SLOT_BYTES;
    size_t bytes = (size_t)pool->slots * PSC_SLOT_BYTES;
    if (!psc_os_purge(start, bytes)) {
        memset(start, 0, bytes);
    }
}

void psc_arena_retire_pool(struct psc_pool *pool) {
    struct psc_arena *arena = psc_radix_arena(pool->base);
    if (PSC_UNLIKELY(psc_secure_on) && !psc_pool_is_secure(pool)) {
        clear_pages(arena, pool);
    }
    if (pool->noted) {
        forget_note(&arena->notes[pool->order % PSC_SLOTS]);
        PSC_STORE(&pool->noted, 0);
    }
    uint64_t now = psc_os_monotonic_ms();
    psc_lock_take(&psc_arena_lock);
    mark_free(arena, pool, now);
    PSC_STORE(&pool->carved_bytes, 0);
    PSC_STORE(&pool->carved, 0);
    psc_pool_set_owner(pool, NULL);
    PSC_STORE(&pool->state, PSC_POOL_NONE);
    clear_bit(arena->heads, pool->order % PSC_SLOTS);
    purge_when_due(now);
    tell(arena);
    psc_lock_release(&psc_arena_lock);
}

void psc_arena_each_pool(void (*visit)(struct psc_pool *pool, void *context), void *context) {
    uint32_t count = psc_arena_count();
    for (uint32_t i = 0; i < count; i++) {
        struct psc_arena *arena = psc_arena_at(i);
        for (uint32_t word = 0; word < PSC_SLOT_WORDS; word++) {
            for (uint64_t bits = PSC_LOAD(&arena->heads[word]); bits != 0; bits &= bits - 1) {
                visit(&arena->pools[word * 64 + (uint32_t)__builtin_ctzll(bits)], context);
            }
        }
    }
}
