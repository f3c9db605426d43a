/* Pools and large blocks with their tags: what is live in them, and who pins the rest. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/blame.h"
#include "report/estimate.h"
#include "report/load.h"

#define SPAN_MAX (1ull << 47)      /* user addresses */
#define COMMITTED_MAX (1ull << 56) /* sums of what is below it cannot overflow */

/* What is live in one extent. `slots` finds a site's entry; both are kept between extents so that nothing is cleared
 * twice. */
struct tally {
    struct psc_holder holders[PSC_HOLDERS_MAX];
    uint32_t holder_count;
    uint32_t *slots;                           /* by site: index in holders, valid if that entry is of this site */
    struct psc_spot spots[PSC_HOLDERS_MAX];    /* of set tags; in an exact trace of all live blocks */
    uint64_t requested_bytes[PSC_HOLDERS_MAX]; /* by spot, of set tags */
    uint32_t spot_count;
};

struct psc_load_extents {
    struct psc_load *load;
    struct tally tally;
    const struct psc_wire_extent *wire;
    const uint64_t *tags;
    uint64_t offset; /* of the extent in the file */
};

static uint32_t holder_of(struct tally *tally, uint32_t site) {
    uint32_t slot = tally->slots[site];
    if (slot >= tally->holder_count || tally->holders[slot].site != site) {
        slot = tally->holder_count++;
        tally->slots[site] = slot;
        tally->holders[slot] = (struct psc_holder){.site = site};
    }
    return slot;
}

static void tally_add(struct tally *tally, uint32_t site, uint32_t index) {
    uint32_t holder = holder_of(tally, site);
    tally->holders[holder].blocks++;
    tally->spots[tally->spot_count++] = (struct psc_spot){index, holder};
}

/* ---- tags ------------------------------------------------------------------------------------------------------ */

static uint32_t site_of_tag(struct psc_load_extents *extents, uint64_t tag) {
    uint32_t site = psc_tag_site(tag);
    if (site >= extents->load->model->site_count) {
        psc_load_warn(extents->load,
                      "extents: a tag in the extent at offset %" PRIu64 " is of site %" PRIu32
                      ", which is not in the table",
                      extents->offset, site);
        return PSC_SITE_UNKNOWN;
    }
    return site;
}

static uint64_t requested_of_tag(struct psc_load_extents *extents, uint64_t tag) {
    uint64_t slack = psc_tag_slack(tag), block = extents->wire->block_bytes;
    if (slack > block) {
        psc_load_warn(extents->load,
                      "extents: a tag in the extent at offset %" PRIu64 " gives %" PRIu64
                      " bytes more than its block has",
                      extents->offset, slack - block);
        return 0;
    }
    return block - slack;
}

/* The clock lags behind the births of other threads a little, which then seem to lie a whole turn back. */
static uint64_t age_of_tag(const struct psc_load *load, uint64_t tag) {
    const uint64_t turn = (uint64_t)PSC_TAG_BIRTH_UNIT << PSC_TAG_BIRTH_BITS;
    uint64_t age = psc_tag_age(tag, load->clock_bytes);
    return age > load->clock_bytes || age > turn - turn / 64 ? 0 : age;
}

static void count_size(struct psc_model *model, uint64_t requested, double weight) {
    struct psc_size_bucket *bucket = &model->sizes[psc_size_bucket_of(requested)];
    bucket->count += psc_estimate_round(weight);
    bucket->bytes += psc_estimate_round(weight * (double)requested);
}

static double weight_of(const struct psc_load_extents *extents) {
    const struct psc_load *load = extents->load;
    return load->samples == NULL ? 1
                                 : psc_sample_weight(extents->wire->block_bytes, load->model->sampling.interval_bytes);
}

static void count_alive(struct psc_load *load, uint32_t site, uint64_t tag, double weight) {
    uint64_t age = age_of_tag(load, tag);
    double place = psc_age_place(age) / 0x1p32;
    struct psc_age_sums *alive = &load->model->lifetimes[site].alive[psc_age_bucket(age)];
    alive->count += weight;
    alive->places += weight * place;
    alive->squares += weight * place * place;
}

/* Counts the set tag of block `index`; returns the bytes requested. */
static uint64_t take_tag(struct psc_load_extents *extents, uint32_t index) {
    uint64_t tag = extents->tags[index];
    struct psc_load *load = extents->load;
    uint32_t id = site_of_tag(extents, tag);
    uint64_t requested = requested_of_tag(extents, tag);
    struct psc_site *site = &load->model->sites[id];
    site->id = id;
    site->tagged_count++;
    site->tagged_bytes += requested;
    site->internal_bytes += extents->wire->block_bytes - requested;
    double weight = weight_of(extents);
    count_alive(load, id, tag, weight);
    count_size(load->model, requested, weight);
    extents->tally.requested_bytes[extents->tally.spot_count] = requested;
    tally_add(&extents->tally, id, index);
    return requested;
}

/* ---- pools ----------------------------------------------------------------------------------------------------- */

/* Sums the tags into `pool`. Blocks may have been carved since the extent said so, and a damaged one may count more
 * untagged blocks than it has room for; a sampled one may do so too, since it counts them at each snapshot only. */
static void take_tags(struct psc_load_extents *extents, struct psc_pool *pool) {
    const struct psc_wire_extent *wire = extents->wire;
    pool->carved = wire->carved <= wire->capacity ? wire->carved : wire->capacity;
    for (uint32_t i = 0; i < wire->capacity; i++) {
        if (psc_tag_is_live(extents->tags[i])) {
            pool->live_requested_bytes += take_tag(extents, i);
            pool->tagged++;
            pool->carved = pool->carved > i ? pool->carved : i + 1;
        }
    }
    uint32_t room = pool->carved - pool->tagged;
    pool->untagged = wire->untagged <= room ? wire->untagged : room;
    uint32_t most = extents->load->samples == NULL ? pool->untagged : wire->capacity;
    if (wire->carved > wire->capacity || wire->untagged > most) {
        psc_load_warn(extents->load,
                      "extents: the pool at offset %" PRIu64 " has %" PRIu32 " blocks, but says %" PRIu32
                      " are carved and %" PRIu32 " live without a tag",
                      extents->offset, wire->capacity, wire->carved, wire->untagged);
    }
}

/* Behind the place of the last of `count` blocks without a tag, which are taken for the lowest ones. */
static uint32_t end_of_untagged(const struct psc_load_extents *extents, uint32_t count) {
    uint32_t end = 0;
    for (; count != 0; end++) {
        count -= !psc_tag_is_live(extents->tags[end]);
    }
    return end;
}

/* Adds the live blocks without a tag, so that all stand in the order of their places. */
static void place_untagged(struct psc_load_extents *extents, const struct psc_pool *pool) {
    struct tally *tally = &extents->tally;
    uint32_t end = end_of_untagged(extents, pool->untagged), unknown = holder_of(tally, PSC_SITE_UNKNOWN);
    uint32_t from = tally->spot_count, to = tally->spot_count + pool->untagged;
    tally->holders[unknown].blocks += pool->untagged;
    tally->spot_count = to;
    for (uint32_t i = pool->carved; i-- > 0;) {
        if (psc_tag_is_live(extents->tags[i])) {
            tally->spots[--to] = tally->spots[--from];
        } else if (i < end) {
            tally->spots[--to] = (struct psc_spot){i, unknown};
        }
    }
}

/* Of what is pinned in a pool, what was free in it all the time. */
static uint64_t lasting_bytes(const struct psc_load_extents *extents, uint64_t pinned_bytes) {
    const struct psc_wire_extent *wire = extents->wire;
    uint64_t low = wire->low_now < wire->low_before ? wire->low_now : wire->low_before;
    return !psc_load_has_window(extents->load) ? 0 : low < pinned_bytes ? low : pinned_bytes;
}

static void count_pool(struct psc_model *model, const struct psc_pool *pool) {
    struct psc_fragmentation *sums = &model->fragmentation;
    struct psc_class *class = &model->classes[pool->class_index];
    uint64_t live = (uint64_t)pool->tagged + pool->untagged;
    uint64_t live_bytes = live * pool->block_bytes;
    uint64_t carved_bytes = pool->carved * pool->block_bytes;
    sums->committed_bytes += pool->committed_bytes;
    sums->live_block_bytes += live_bytes;
    sums->live_requested_bytes += pool->live_requested_bytes;
    sums->pinned_bytes += pool->pinned_bytes;
    sums->lasting_bytes += pool->lasting_bytes;
    if (live == 0) {
        sums->empty_pools_bytes += pool->committed_bytes;
    } else {
        sums->free_blocks_bytes += carved_bytes - live_bytes;
        sums->tail_bytes += pool->committed_bytes - carved_bytes;
    }
    model->totals.recorded_blocks += pool->tagged;
    model->totals.unrecorded_blocks += pool->untagged;
    class->pools++;
    class->empty_pools += live == 0;
    class->live_blocks += live;
    class->capacity_blocks += pool->capacity;
    class->committed_bytes += pool->committed_bytes;
    class->live_block_bytes += live_bytes;
    class->live_requested_bytes += pool->live_requested_bytes;
    class->pinned_bytes += pool->pinned_bytes;
    class->untagged_blocks += pool->untagged;
}

/* Pages from an earlier pool: no more than the pool's slots have. */
static uint64_t stale_bytes(const struct psc_load_extents *extents, uint64_t capacity) {
    uint64_t most = psc_round_up(capacity * extents->wire->block_bytes, extents->load->model->slot_bytes);
    uint64_t bytes = (uint64_t)extents->wire->stale_pages * PSC_MODEL_PAGE_BYTES;
    return bytes < most ? bytes : most;
}

/* The first block need not begin with a page. */
static uint64_t carved_page_bytes(const struct psc_pool *pool) {
    uint64_t bytes = pool->base % PSC_MODEL_PAGE_BYTES + pool->carved * pool->block_bytes;
    return pool->carved != 0 ? psc_round_up(bytes, PSC_MODEL_PAGE_BYTES) : 0;
}

/* The pool's part of the figures is known from its samples alone; what is pinned in it falls on all its live blocks. */
static void take_samples(struct psc_load_extents *extents, const struct psc_pool *pool) {
    const struct tally *tally = &extents->tally;
    double share = (double)pool->pinned_bytes / ((double)pool->tagged + pool->untagged);
    for (size_t i = 0; i < tally->spot_count; i++) {
        psc_load_sample(extents->load, tally->holders[tally->spots[i].holder].site, pool->class_index,
                        pool->block_bytes, tally->requested_bytes[i], share);
    }
    extents->load->model->totals.recorded_blocks += pool->tagged;
    for (size_t i = 0; i < tally->holder_count && pool->pinned_bytes != 0; i++) {
        struct psc_site *site = &extents->load->model->sites[tally->holders[i].site];
        site->pinned_pools++;
        site->pinned_pools_bytes += pool->committed_bytes;
        site->pinning_blocks += tally->holders[i].blocks;
        site->pinning_bytes += tally->holders[i].blocks * pool->block_bytes;
    }
}

static void count_ages(struct psc_load_extents *extents, const struct psc_pool *pool) {
    struct psc_load *load = extents->load;
    double weight = weight_of(extents), share = weight * (double)pool->pinned_bytes / (double)psc_pool_live(pool);
    uint32_t tenth = psc_pool_tenth(pool);
    for (uint32_t i = 0, taken = 0; taken < pool->tagged; i++) {
        uint64_t tag = extents->tags[i];
        if (psc_tag_is_live(tag)) {
            struct psc_age_cell *cell = &load->model->age_occupancy[psc_age_bucket(age_of_tag(load, tag))][tenth];
            uint64_t slack = psc_tag_slack(tag);
            cell->blocks += weight;
            cell->bytes += slack < pool->block_bytes ? weight * (double)(pool->block_bytes - slack) : 0;
            cell->pinned_bytes += share;
            taken++;
        }
    }
}

static void take_pool(struct psc_load_extents *extents) {
    struct psc_load *load = extents->load;
    struct psc_model *model = load->model;
    const struct psc_wire_extent *wire = extents->wire;
    struct psc_pool pool = {.base = wire->base,
                            .block_bytes = wire->block_bytes,
                            .class_index = wire->class_index,
                            .capacity = wire->capacity};
    take_tags(extents, &pool);
    if (pool.untagged != 0 && load->samples == NULL) {
        place_untagged(extents, &pool);
    }
    uint64_t live = (uint64_t)pool.tagged + pool.untagged;
    pool.live_requested_bytes += pool.untagged * pool.block_bytes;
    pool.committed_bytes = carved_page_bytes(&pool) + stale_bytes(extents, pool.capacity);
    pool.pinned_bytes = live == 0 ? 0 : pool.committed_bytes - live * pool.block_bytes;
    pool.lasting_bytes = lasting_bytes(extents, pool.pinned_bytes);
    if (load->samples != NULL) {
        take_samples(extents, &pool);
    } else {
        const struct tally *tally = &extents->tally;
        const struct psc_held held = {tally->holders, tally->spots, tally->holder_count, tally->spot_count};
        psc_load_blame_pool(load, &pool, &held);
        count_pool(model, &pool);
    }
    count_ages(extents, &pool);
    model->pools = psc_array_reserve(model->pools, model->pool_count + 1, &load->pool_capacity, sizeof(*model->pools));
    model->pools[model->pool_count++] = pool;
}

/* ---- large blocks ---------------------------------------------------------------------------------------------- */

static void pin_by_large(struct psc_load_extents *extents, const struct psc_large *large, uint64_t bytes) {
    struct psc_site *site = &extents->load->model->sites[large->site];
    if (bytes != 0) {
        site->id = large->site;
        site->pinned_pools++;
        site->pinned_pools_bytes += large->block_bytes + bytes;
        site->pinning_blocks++;
        site->pinning_bytes += large->block_bytes;
    }
}

static void count_large(struct psc_model *model, const struct psc_large *large, uint64_t stale, bool tagged) {
    struct psc_fragmentation *sums = &model->fragmentation;
    struct psc_class *class = &model->classes[PSC_CLASS_LARGE];
    sums->committed_bytes += large->block_bytes + stale;
    sums->tail_bytes += stale;
    sums->pinned_bytes += stale;
    sums->live_block_bytes += large->block_bytes;
    sums->live_requested_bytes += large->requested_bytes;
    sums->large_bytes += large->block_bytes;
    model->totals.recorded_blocks += tagged;
    model->totals.unrecorded_blocks += !tagged;
    class->pools++;
    class->live_blocks++;
    class->capacity_blocks++;
    class->committed_bytes += large->block_bytes + stale;
    class->pinned_bytes += stale;
    class->live_block_bytes += large->block_bytes;
    class->live_requested_bytes += large->requested_bytes;
    class->untagged_blocks += !tagged;
}

/* A large block is a sample itself, or nothing is known of it. */
static void take_large_sample(struct psc_load_extents *extents, const struct psc_large *large, uint64_t stale,
                              bool tagged) {
    struct psc_load *load = extents->load;
    load->model->totals.recorded_blocks += tagged;
    if (tagged) {
        psc_load_sample(load, large->site, PSC_CLASS_LARGE, large->block_bytes, large->requested_bytes, (double)stale);
    }
}

static void take_large(struct psc_load_extents *extents) {
    struct psc_load *load = extents->load;
    struct psc_model *model = load->model;
    const struct psc_wire_extent *wire = extents->wire;
    bool tagged = psc_tag_is_live(extents->tags[0]);
    struct psc_large large = {wire->base, wire->block_bytes, wire->block_bytes, PSC_SITE_UNKNOWN};
    if (tagged) {
        large.requested_bytes = take_tag(extents, 0);
        large.site = extents->tally.holders[0].site;
    }
    uint64_t stale = stale_bytes(extents, 1);
    if (load->samples != NULL) {
        take_large_sample(extents, &large, stale, tagged);
    } else {
        pin_by_large(extents, &large, stale);
        psc_load_blame_large(load, &large, stale);
        count_large(model, &large, stale, tagged);
    }
    model->larges =
        psc_array_reserve(model->larges, model->large_count + 1, &load->large_capacity, sizeof(*model->larges));
    model->larges[model->large_count++] = large;
}

/* ---- extents --------------------------------------------------------------------------------------------------- */

static const char *fault_of(const struct psc_load_extents *extents, uint32_t tag_room) {
    const struct psc_wire_extent *wire = extents->wire;
    const struct psc_model *model = extents->load->model;
    if (wire->class_index >= model->class_count && wire->class_index != PSC_CLASS_LARGE) {
        return "is of a size class that does not exist";
    }
    if (wire->capacity == 0 || wire->capacity > tag_room ||
        (wire->class_index == PSC_CLASS_LARGE && wire->capacity != 1)) {
        return "has a capacity that cannot be";
    }
    if (wire->block_bytes == 0 || wire->block_bytes > SPAN_MAX / wire->capacity) {
        return "has blocks of a size that cannot be";
    }
    if (wire->base == 0 || wire->base >> 57 != 0) {
        return "has an address that cannot be";
    }
    return model->fragmentation.committed_bytes > COMMITTED_MAX ? "is one too many: the sum is beyond all memory"
                                                                : NULL;
}

static void take_extent(struct psc_load_extents *extents, uint32_t tag_room) {
    const char *fault = fault_of(extents, tag_room);
    if (fault != NULL) {
        psc_load_warn(extents->load, "extents: the one at offset %" PRIu64 " %s, and is skipped", extents->offset,
                      fault);
        return;
    }
    extents->tally.holder_count = 0;
    extents->tally.spot_count = 0;
    if (extents->wire->class_index == PSC_CLASS_LARGE) {
        take_large(extents);
    } else {
        take_pool(extents);
    }
}

/* Takes the extent at `at`. Returns the bytes to the next, or 0 if nothing (more) can be read in this chunk. */
static size_t take_next(struct psc_load_extents *extents, const struct psc_load_chunk *chunk, size_t at,
                        uint32_t head) {
    const struct psc_wire_extent *wire = (const void *)(chunk->bytes + at);
    size_t bytes = (size_t)wire->words * sizeof(uint64_t);
    if (wire->state == PSC_EXTENT_END) {
        return 0;
    }
    if (wire->state > PSC_EXTENT_FREE || bytes < head || at + bytes > PSC_CHUNK_BYTES) {
        psc_load_warn(extents->load,
                      "extents: the chunk cannot be read from offset %" PRIu64 " on: state %u, %" PRIu32 " words",
                      chunk->offset + at, wire->state, wire->words);
        return 0;
    }
    extents->wire = wire;
    extents->tags = (const void *)(chunk->bytes + at + head);
    extents->offset = chunk->offset + at;
    if (wire->state == PSC_EXTENT_LIVE && at + bytes <= chunk->got) {
        take_extent(extents, (uint32_t)((bytes - head) / sizeof(uint64_t)));
    }
    return bytes;
}

static void extent_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    uint32_t head = psc_load_row_bytes(load, PSC_CHUNK_EXTENTS);
    size_t at = 0, bytes;
    do {
        bytes = at + head <= chunk->got ? take_next(load->extents, chunk, at, head) : 0;
        at += bytes;
    } while (bytes != 0);
}

void psc_load_extents(struct psc_load *load) {
    struct psc_load_extents *extents = psc_array_new(1, sizeof(*extents));
    extents->load = load;
    extents->tally.slots = psc_array_new(load->model->site_count, sizeof(uint32_t));
    load->extents = extents;
    psc_load_chunks(load, PSC_CHUNK_EXTENTS, UINT32_MAX, extent_chunk);
    load->extents = NULL;
    free(extents->tally.slots);
    free(extents);
}
