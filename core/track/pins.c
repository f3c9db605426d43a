/* Walks over all tags: what each site pins, over time. The reader finds what is pinned at the end from the same tags by
 * itself; here is kept what they cannot tell it then: how it was before, and what stayed all the time. */
#include "core/track/types.h"

/* A walk is made at most every so many times its cost: a quarter of a percent of the time, beside the snapshots. */
#define COST_FACTOR 400
#define SHARE_SHIFT 16
#define WINDOW_PART 8 /* of the run so far */
#define WINDOW_WALKS 2
#define WORST_RISE(bytes) ((bytes) / 33)

static uint64_t earliest_ns;     /* [snapshot] */
static uint64_t window_start_ns; /* [snapshot] */
static uint32_t window_walks;    /* [snapshot] walks in this window */

struct walk {
    uint64_t pinned_bytes;
    bool turn;    /* a new window begins */
    bool stopped; /* there is no room for rows */
};

/* ---- one pool -------------------------------------------------------------------------------------------------- */

/* The pool may be retired and made anew meanwhile: each field is read once, and what does not agree is left out. */
struct pool {
    const uint64_t *tags;
    uint32_t capacity;
    uint32_t live;
    uint64_t pinned_bytes;
};

static uint32_t count_tags(const uint64_t *tags, uint32_t capacity) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < capacity; i++) {
        count += psc_tag_is_live(PSC_LOAD(&tags[i])) ? 1 : 0;
    }
    return count;
}

static uint64_t committed_bytes(const struct psc_wire_extent *extent, uint32_t carved, uint64_t block_bytes) {
    uint64_t stale = (uint64_t)PSC_LOAD(&extent->stale_pages) * PSC_PAGE_BYTES;
    uint64_t colour = PSC_LOAD(&extent->base) % PSC_PAGE_BYTES;
    return carved == 0 ? stale : psc_round_up(colour + carved * block_bytes, PSC_PAGE_BYTES) + stale;
}

static struct pool look_at(const struct psc_wire_extent *extent, uint32_t room) {
    uint32_t capacity = PSC_LOAD(&extent->capacity), carved = PSC_LOAD(&extent->carved);
    struct pool pool = {.tags = extent->tags, .capacity = capacity < room ? capacity : room};
    carved = carved < pool.capacity ? carved : pool.capacity;
    pool.live = count_tags(pool.tags, carved) + PSC_LOAD(&extent->untagged);
    uint64_t block_bytes = PSC_LOAD(&extent->block_bytes);
    uint64_t committed = committed_bytes(extent, carved, block_bytes);
    uint64_t live_bytes = pool.live * block_bytes;
    pool.pinned_bytes = pool.live != 0 && committed > live_bytes ? committed - live_bytes : 0;
    return pool;
}

static void charge(struct walk *walk, const struct pool *pool) {
    uint64_t share = (pool->pinned_bytes << SHARE_SHIFT) / pool->live;
    for (uint32_t i = 0; i < pool->capacity; i++) {
        uint64_t tag = PSC_LOAD(&pool->tags[i]);
        bool live = psc_tag_is_live(tag);
        struct psc_wire_pins *row = live ? psc_track_table_reach(PSC_CHUNK_PINS, psc_tag_site(tag)) : NULL;
        if (row != NULL) {
            row->sum += share;
        } else if (live) {
            walk->stopped = true;
            return;
        }
    }
}

/* `low`: as it was before the pool was looked at. */
static void keep_lowest(struct psc_wire_extent *extent, uint32_t low, uint64_t pinned_bytes, bool turn) {
    uint32_t now = pinned_bytes < UINT32_MAX ? (uint32_t)pinned_bytes : UINT32_MAX;
    if (turn) {
        PSC_STORE(&extent->low_before, low);
    }
    bool same = (!turn && now >= low) ||
                __atomic_compare_exchange_n(&extent->low_now, &low, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    if (!same) { /* it has become another pool's meanwhile */
        PSC_STORE(&extent->low_before, 0);
    }
}

static void walk_extent(struct walk *walk, struct psc_wire_extent *extent, uint32_t room) {
    uint32_t low = PSC_LOAD(&extent->low_now);
    struct pool pool = look_at(extent, room);
    walk->pinned_bytes += pool.pinned_bytes;
    keep_lowest(extent, low, pool.pinned_bytes, walk->turn);
    if (pool.pinned_bytes != 0) {
        charge(walk, &pool);
    }
}

/* ---- all pools ------------------------------------------------------------------------------------------------- */

static void walk_chunk(struct walk *walk, uint64_t offset) {
    const uint64_t end = offset + PSC_CHUNK_BYTES;
    while (offset + sizeof(struct psc_wire_extent) <= end && !walk->stopped) {
        struct psc_wire_extent *extent = psc_track_at(offset);
        uint8_t state = PSC_LOAD_ACQUIRE(&extent->state);
        if (state == PSC_EXTENT_END) {
            return;
        }
        uint64_t bytes = (uint64_t)extent->words * sizeof(uint64_t);
        if (state == PSC_EXTENT_LIVE) {
            walk_extent(walk, extent, (uint32_t)((bytes - sizeof *extent) / sizeof(uint64_t)));
        }
        offset += bytes;
    }
}

static void walk_all(struct walk *walk) {
    const uint8_t *directory = psc_track_at(PSC_CHUNK_BYTES);
    uint32_t chunks = PSC_LOAD_ACQUIRE(&psc_track.header->chunks_used);
    for (uint32_t i = PSC_FIRST_DATA_CHUNK; i < chunks; i++) {
        if (PSC_LOAD_ACQUIRE(&directory[i]) == PSC_CHUNK_EXTENTS) {
            walk_chunk(walk, (uint64_t)i * PSC_CHUNK_BYTES);
        }
    }
}

static void add_byte_ns(struct psc_wire_pins *row, uint64_t bytes, uint64_t ns) {
    unsigned __int128 sum = (unsigned __int128)row->byte_ns_high << 64 | row->byte_ns_low;
    sum += (unsigned __int128)bytes * ns;
    PSC_STORE(&row->byte_ns_low, (uint64_t)sum);
    PSC_STORE(&row->byte_ns_high, (uint64_t)(sum >> 64));
}

/* Of a stretch between two walks, what the second one found counts. */
static void close_rows(uint64_t ns, bool worst) {
    uint32_t count = psc_track_table_count(PSC_CHUNK_PINS);
    for (uint32_t site = 0; site < count; site++) {
        struct psc_wire_pins *row = psc_track_table_row(PSC_CHUNK_PINS, site);
        uint64_t bytes = row->sum >> SHARE_SHIFT;
        row->sum = 0;
        PSC_STORE(&row->now_bytes, bytes);
        if (worst) {
            PSC_STORE(&row->worst_bytes, bytes);
        }
        if (bytes != 0) {
            add_byte_ns(row, bytes, ns);
        }
    }
}

static bool is_turn(uint64_t now_ns) {
    uint64_t run_ns = now_ns - psc_track.header->start_ns;
    return window_walks >= WINDOW_WALKS && now_ns - window_start_ns >= run_ns / WINDOW_PART;
}

static void begin_window(uint64_t now_ns) {
    struct psc_wire_walks *walks = &psc_track.header->walks;
    PSC_STORE(&walks->window_ns, window_start_ns);
    window_start_ns = now_ns;
    window_walks = 0;
}

/* It came to a part of the pools only, and some of them may stand in another window than the others. */
static void drop_walk(void) {
    uint32_t count = psc_track_table_count(PSC_CHUNK_PINS);
    for (uint32_t site = 0; site < count; site++) {
        ((struct psc_wire_pins *)psc_track_table_row(PSC_CHUNK_PINS, site))->sum = 0;
    }
    PSC_STORE(&psc_track.header->walks.window_ns, 0);
}

static void note_walk(const struct walk *walk, uint64_t now_ns) {
    struct psc_wire_walks *walks = &psc_track.header->walks;
    if (walk->turn) {
        begin_window(now_ns);
    }
    window_walks++;
    uint64_t before_ns = walks->count != 0 ? walks->last_ns : psc_track.header->start_ns;
    bool worst = walk->pinned_bytes > walks->worst_bytes + WORST_RISE(walks->worst_bytes);
    close_rows(now_ns - before_ns, worst);
    if (worst) {
        PSC_STORE(&walks->worst_bytes, walk->pinned_bytes);
        PSC_STORE(&walks->worst_ns, now_ns);
    }
    PSC_STORE(&walks->last_ns, now_ns);
    PSC_STORE(&walks->count, walks->count + 1);
}

void psc_track_pins_walk(uint64_t now_ns) {
    if (psc_track.interval != 0 || now_ns < earliest_ns) {
        return; /* of a sampled trace tags do not tell */
    }
    struct walk walk = {.turn = is_turn(now_ns)};
    struct psc_track_watch watch = psc_track_watch_start();
    walk_all(&walk);
    if (walk.stopped) {
        drop_walk();
    } else {
        note_walk(&walk, now_ns);
    }
    earliest_ns = psc_os_monotonic_ns() + psc_track_watch_ns(&watch) * COST_FACTOR;
}

void psc_track_pins_reset(void) {
    earliest_ns = 0;
    window_start_ns = 0;
    window_walks = 0;
}
