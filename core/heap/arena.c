#include "core/base/os.h"
#include "core/heap/internal.h"
#include "core/heap/meta.h"
#include "core/heap/radix.h"

#define REGION_ARENAS_LEAST 16u /* 64 MiB of address space to begin with */
#define REGION_ARENAS_MOST 256u
#define CACHED_SLOTS_LEAST 256u /* pages of so many free slots may always wait */

struct psc_lock psc_arena_lock;

static struct {
    struct psc_arena *table[PSC_ARENAS_MAX];
    uint32_t count;
    char *region_next; /* reserved address space, whole arenas */
    char *region_end;
    /* No arena below has room for a pool of k slots: a hint that saves looking. */
    uint32_t first_with_room[PSC_POOL_SLOTS_MAX + 1];
    uint32_t pooled_slots;
    uint32_t cached_slots;
    uint32_t purge_ms;
    uint64_t last_sweep_ms;
} arenas = {.purge_ms = 1000};

uint32_t psc_arena_count(void) {
    return PSC_LOAD_ACQUIRE(&arenas.count);
}

struct psc_arena *psc_arena_at(uint32_t index) {
    return PSC_LOAD_ACQUIRE(&arenas.table[index]);
}

void psc_arena_set_purge(uint32_t milliseconds) {
    PSC_STORE(&arenas.purge_ms, milliseconds);
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

/* First of `count` adjacent slots that no pool has; PSC_SLOTS if there are none. */
static uint32_t find_slots(const struct psc_arena *arena, uint32_t count) {
    uint32_t run = 0;
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        if (slot % 64 == 0 && arena->pooled[slot / 64] == UINT64_MAX) {
            run = 0;
            slot += 63;
            continue;
        }
        run = bit(arena->pooled, slot) ? 0 : run + 1;
        if (run == count) {
            return slot + 1 - count;
        }
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

static bool reserve_region(void) {
    for (uint32_t wanted = region_arenas_wanted(); wanted > 0; wanted /= 2) {
        char *region = psc_os_reserve(wanted * PSC_ARENA_BYTES, PSC_ARENA_BYTES);
        if (region != NULL) {
            arenas.region_next = region;
            arenas.region_end = region + wanted * PSC_ARENA_BYTES;
            return true;
        }
    }
    return false;
}

static struct psc_arena *new_arena(void) {
    if (arenas.count == PSC_ARENAS_MAX || (arenas.region_next == arenas.region_end && !reserve_region())) {
        return NULL;
    }
    struct psc_arena *arena = psc_meta_alloc(sizeof *arena);
    if (arena == NULL || !psc_radix_set_arena(arenas.region_next, arena)) {
        return NULL;
    }
    arena->base = arenas.region_next;
    arena->index = arenas.count;
    arena->free_slots = PSC_SLOTS;
    for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
        arena->pool_of[slot] = &arena->pools[slot];
    }
    arenas.region_next += PSC_ARENA_BYTES;
    PSC_STORE_RELEASE(&arenas.table[arena->index], arena);
    PSC_STORE_RELEASE(&arenas.count, arena->index + 1);
    return arena;
}

static struct psc_arena *find_arena(uint32_t slots, uint32_t *first) {
    for (uint32_t i = arenas.first_with_room[slots]; i < arenas.count; i++) {
        struct psc_arena *arena = arenas.table[i];
        if (arena->free_slots >= slots && (*first = find_slots(arena, slots)) < PSC_SLOTS) {
            arenas.first_with_room[slots] = i;
            return arena;
        }
    }
    arenas.first_with_room[slots] = arenas.count;
    *first = 0;
    return new_arena();
}

/* ---- pages that go back ---------------------------------------------------------------------------------------- */

static uint64_t now_ms(void) {
    return psc_os_monotonic_ns() / 1000000;
}

/* Gives back the pages of one run of cached slots that begins at `slot`; returns the slot behind it. */
static uint32_t purge_run(struct psc_arena *arena, uint32_t slot) {
    uint32_t end = slot;
    while (end < PSC_SLOTS && bit(arena->cached, end)) {
        end++;
    }
    if (psc_os_purge(arena->base + (size_t)slot * PSC_SLOT_BYTES, (size_t)(end - slot) * PSC_SLOT_BYTES)) {
        for (uint32_t i = slot; i < end; i++) {
            clear_bit(arena->cached, i);
        }
        arenas.cached_slots -= end - slot;
    }
    return end;
}

static uint32_t count_cached(const struct psc_arena *arena) {
    uint32_t count = 0;
    for (uint32_t word = 0; word < PSC_SLOT_WORDS; word++) {
        count += (uint32_t)__builtin_popcountll(arena->cached[word]);
    }
    return count;
}

/* An arena without pools gives its pages back at one stroke, and the promise of memory with them. */
static bool purge_whole(struct psc_arena *arena) {
    uint32_t cached = count_cached(arena);
    if (arena->free_slots != PSC_SLOTS || !psc_os_decommit(arena->base, PSC_ARENA_BYTES)) {
        return false;
    }
    arena->committed = false;
    for (uint32_t word = 0; word < PSC_SLOT_WORDS; word++) {
        PSC_STORE(&arena->cached[word], 0);
    }
    arenas.cached_slots -= cached;
    return true;
}

static void purge_arena(struct psc_arena *arena) {
    if (!purge_whole(arena)) {
        for (uint32_t slot = 0; slot < PSC_SLOTS; slot++) {
            if (bit(arena->cached, slot)) {
                slot = purge_run(arena, slot);
            }
        }
    }
    tell(arena);
}

static bool has_cached(const struct psc_arena *arena) {
    uint64_t any = 0;
    for (uint32_t word = 0; word < PSC_SLOT_WORDS; word++) {
        any |= arena->cached[word];
    }
    return any != 0;
}

/* Purges, from the highest arena down, those whose pages wait since `before_ms` or longer, until `keep` slots wait. */
static bool sweep(uint64_t before_ms, uint32_t keep) {
    uint32_t had = arenas.cached_slots;
    for (uint32_t i = arenas.count; i-- > 0 && arenas.cached_slots > keep;) {
        struct psc_arena *arena = arenas.table[i];
        if (has_cached(arena) && arena->cached_since_ms <= before_ms) {
            purge_arena(arena);
        }
    }
    return arenas.cached_slots < had;
}

static uint32_t cached_slots_most(void) {
    uint32_t share = arenas.pooled_slots / 16;
    return share > CACHED_SLOTS_LEAST ? share : CACHED_SLOTS_LEAST;
}

static void purge_when_due(uint64_t now) {
    if (arenas.purge_ms == 0) {
        sweep(UINT64_MAX, 0);
        return;
    }
    if (arenas.cached_slots > cached_slots_most()) {
        sweep(UINT64_MAX, cached_slots_most() / 2);
    }
    if (now - arenas.last_sweep_ms >= arenas.purge_ms / 4 + 1) {
        arenas.last_sweep_ms = now;
        sweep(now >= arenas.purge_ms ? now - arenas.purge_ms : 0, 0);
    }
}

bool psc_arena_purge(bool all) {
    psc_lock_take(&psc_arena_lock);
    bool went = sweep(all ? UINT64_MAX : now_ms() - arenas.purge_ms, 0);
    psc_lock_release(&psc_arena_lock);
    return went;
}

/* ---- pools ----------------------------------------------------------------------------------------------------- */

static void mark_pooled(struct psc_arena *arena, uint32_t first, uint32_t slots) {
    for (uint32_t slot = first; slot < first + slots; slot++) {
        set_bit(arena->pooled, slot);
        if (bit(arena->cached, slot)) {
            clear_bit(arena->cached, slot);
            arenas.cached_slots--;
        }
        PSC_STORE(&arena->pool_of[slot], &arena->pools[first]);
    }
    arena->free_slots -= slots;
    arenas.pooled_slots += slots;
}

static void mark_free(struct psc_arena *arena, uint32_t first, uint32_t slots, uint64_t now) {
    if (!has_cached(arena)) {
        arena->cached_since_ms = now;
    }
    for (uint32_t slot = first; slot < first + slots; slot++) {
        clear_bit(arena->pooled, slot);
        set_bit(arena->cached, slot);
        PSC_STORE(&arena->pool_of[slot], &arena->pools[slot]);
    }
    arena->free_slots += slots;
    arenas.pooled_slots -= slots;
    arenas.cached_slots += slots;
    for (uint32_t k = 1; k <= PSC_POOL_SLOTS_MAX; k++) {
        if (arenas.first_with_room[k] > arena->index) {
            arenas.first_with_room[k] = arena->index;
        }
    }
}

/* pending and next_pending are left as they are: see the invariants. */
static struct psc_pool *begin_pool(struct psc_arena *arena, uint32_t first, uint32_t class_index, struct psc_heap *owner) {
    struct psc_pool *pool = &arena->pools[first];
    uint32_t slots = psc_class_slots(class_index);
    pool->block_bytes = psc_class_bytes(class_index);
    pool->reciprocal = (uint32_t)((((uint64_t)1 << 32) + pool->block_bytes - 1) / pool->block_bytes);
    pool->base = arena->base + (size_t)first * PSC_SLOT_BYTES;
    pool->capacity = (uint16_t)(slots * PSC_SLOT_BYTES / pool->block_bytes);
    pool->class_index = (uint8_t)class_index;
    pool->slots = (uint8_t)slots;
    pool->order = arena->index * PSC_SLOTS + first;
    pool->used = 0;
    pool->cursor = 0;
    pool->state = PSC_POOL_NONE;
    pool->note = (struct psc_note){{0, 0}};
    for (uint32_t word = 0; word < PSC_POOL_WORDS; word++) {
        PSC_STORE(&pool->free[word], 0);
        PSC_STORE(&pool->remote[word], 0);
    }
    PSC_STORE_RELEASE(&pool->owner, owner);
    mark_pooled(arena, first, slots);
    set_bit(arena->heads, first);
    return pool;
}

static struct psc_pool *make_pool(uint32_t class_index, struct psc_heap *owner) {
    uint32_t first;
    struct psc_arena *arena = find_arena(psc_class_slots(class_index), &first);
    if (arena == NULL) {
        return NULL;
    }
    if (!arena->committed && !psc_os_commit(arena->base, PSC_ARENA_BYTES)) {
        return NULL;
    }
    arena->committed = true;
    struct psc_pool *pool = begin_pool(arena, first, class_index, owner);
    tell(arena);
    return pool;
}

struct psc_pool *psc_arena_make_pool(uint32_t class_index, struct psc_heap *owner) {
    psc_lock_take(&psc_arena_lock);
    struct psc_pool *pool = make_pool(class_index, owner);
    psc_lock_release(&psc_arena_lock);
    return pool;
}

void psc_arena_retire_pool(struct psc_pool *pool) {
    if (psc_hooks.pool_retired != NULL) {
        psc_hooks.pool_retired(&pool->note);
    }
    struct psc_arena *arena = psc_radix_arena(pool->base);
    uint64_t now = now_ms();
    psc_lock_take(&psc_arena_lock);
    PSC_STORE(&pool->carved, 0);
    pool->state = PSC_POOL_NONE;
    clear_bit(arena->heads, pool->order % PSC_SLOTS);
    mark_free(arena, pool->order % PSC_SLOTS, pool->slots, now);
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
