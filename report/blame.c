#include "report/blame.h"

#include <stdlib.h>

#include "report/array.h"
#include "report/blame_part.h"
#include "report/estimate.h"

/* ---- what is held, pool by pool -------------------------------------------------------------------------------- */

static int by_address(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

void psc_load_blame_begin(struct psc_load *load) {
    const struct psc_model *model = load->model;
    if (load->samples != NULL) {
        return;
    }
    struct psc_load_blame *blame = psc_array_new(1, sizeof(*blame));
    blame->shares = psc_array_new(model->site_count, sizeof(*blame->shares));
    blame->arena_bases = psc_array_new(model->arena_count, sizeof(*blame->arena_bases));
    for (size_t i = 0; i < model->arena_count; i++) {
        blame->arena_bases[i] = model->arenas[i].base;
    }
    qsort(blame->arena_bases, model->arena_count, sizeof(*blame->arena_bases), by_address);
    load->blame = blame;
}

static size_t add_holders(struct psc_load_blame *blame, const struct psc_holder *holders, uint32_t count) {
    size_t first = blame->holder_count;
    blame->holders = psc_array_reserve(blame->holders, first + count, &blame->holder_capacity, sizeof(*blame->holders));
    for (uint32_t i = 0; i < count; i++) {
        blame->holders[first + i] = holders[i];
    }
    blame->holder_count += count;
    return first;
}

static void add_piece(struct psc_load_blame *blame, struct psc_piece piece) {
    blame->pieces =
        psc_array_reserve(blame->pieces, blame->piece_count + 1, &blame->piece_capacity, sizeof(*blame->pieces));
    blame->pieces[blame->piece_count++] = piece;
}

static uint64_t page_of(uint64_t address) {
    return address / PSC_MODEL_PAGE_BYTES * PSC_MODEL_PAGE_BYTES;
}

/* The border between two huge pages that the pool's pages lie on both sides of, or 0. Real pools are shorter than one
 * huge page; of a damaged one that is not, all counts where it begins. */
static uint64_t border_in(uint64_t base, uint64_t committed_bytes) {
    uint64_t start = page_of(base), border = (start / PSC_HUGE_BYTES + 1) * PSC_HUGE_BYTES;
    return start + committed_bytes > border && start + committed_bytes <= border + PSC_HUGE_BYTES ? border : 0;
}

static uint64_t overlap(uint64_t start, uint64_t end, uint64_t from, uint64_t to) {
    uint64_t low = start > from ? start : from, high = end < to ? end : to;
    return low < high ? high - low : 0;
}

/* The part of a pool that lies in [from, to), with its holders. `counts` has room for a number per holder. */
static void add_part(struct psc_load_blame *blame, const struct psc_pool *pool, const struct psc_held *held,
                     uint64_t from, uint64_t to, uint32_t *counts) {
    uint64_t start = page_of(pool->base);
    struct psc_piece part = {.base = from > pool->base ? from : pool->base,
                             .committed_bytes = overlap(start, start + pool->committed_bytes, from, to),
                             .first_holder = blame->holder_count,
                             .pool = PSC_PIECE_NO_POOL,
                             .units = PSC_PIECE_HUGE};
    for (uint32_t i = 0; i < held->spot_count; i++) {
        uint64_t block = pool->base + held->spots[i].index * pool->block_bytes;
        uint64_t bytes = overlap(block, block + pool->block_bytes, from, to);
        part.live_bytes += bytes;
        part.live_blocks += bytes != 0;
        counts[held->spots[i].holder] += bytes != 0;
    }
    for (uint32_t i = 0; i < held->holder_count; i++) {
        if (counts[i] != 0) {
            add_holders(blame, &(struct psc_holder){held->holders[i].site, counts[i]}, 1);
            part.holder_count++;
            counts[i] = 0;
        }
    }
    add_piece(blame, part);
}

static void add_parts(struct psc_load_blame *blame, const struct psc_pool *pool, const struct psc_held *held,
                      uint64_t border) {
    uint32_t *counts = psc_array_new(held->holder_count, sizeof(*counts));
    add_part(blame, pool, held, border - PSC_HUGE_BYTES, border, counts);
    add_part(blame, pool, held, border, border + PSC_HUGE_BYTES, counts);
    free(counts);
}

static void add_pool(struct psc_load_blame *blame, const struct psc_pool *pool, const struct psc_held *held,
                     uint32_t index) {
    uint64_t border = border_in(pool->base, pool->committed_bytes);
    struct psc_piece piece = {.base = pool->base,
                              .committed_bytes = pool->committed_bytes,
                              .live_blocks = (uint64_t)pool->tagged + pool->untagged,
                              .first_holder = add_holders(blame, held->holders, held->holder_count),
                              .holder_count = held->holder_count,
                              .pool = index,
                              .units = PSC_PIECE_ARENA | (border == 0 ? PSC_PIECE_HUGE : 0)};
    piece.live_bytes = piece.live_blocks * pool->block_bytes;
    add_piece(blame, piece);
    if (border != 0) {
        add_parts(blame, pool, held, border);
    }
}

static void charge_pages(struct psc_load *load, const struct psc_pool *pool, const struct psc_held *held) {
    double shares[PSC_HOLDERS_MAX];
    for (uint32_t i = 0; i < held->holder_count; i++) {
        shares[i] = 0;
    }
    load->model->fragmentation.pinned_page_bytes += psc_blame_pages(pool, held, shares);
    for (uint32_t i = 0; i < held->holder_count; i++) {
        load->blame->shares[held->holders[i].site].page += shares[i];
    }
}

void psc_load_blame_pool(struct psc_load *load, const struct psc_pool *pool, const struct psc_held *held) {
    if (load->blame != NULL) {
        charge_pages(load, pool, held);
        add_pool(load->blame, pool, held, (uint32_t)load->model->pool_count);
    }
}

static bool is_in_arena(const struct psc_load *load, uint64_t address) {
    const struct psc_model *model = load->model;
    uint64_t base = model->arena_bytes != 0 ? address / model->arena_bytes * model->arena_bytes : 0;
    const uint64_t *bases = load->blame->arena_bases;
    return base != 0 && bsearch(&base, bases, model->arena_count, sizeof(base), by_address) != NULL;
}

/* A span is a pool of one block without a size class. */
void psc_load_blame_large(struct psc_load *load, const struct psc_large *large, uint64_t stale_bytes) {
    struct psc_load_blame *blame = load->blame;
    if (blame == NULL) {
        return;
    }
    struct psc_shares *shares = &blame->shares[large->site];
    shares->pool += (double)stale_bytes;
    if (is_in_arena(load, large->base)) {
        const struct psc_holder holder = {large->site, 1};
        const struct psc_spot spot = {0, 0};
        const struct psc_held held = {&holder, &spot, 1, 1};
        const struct psc_pool span = {.base = large->base,
                                      .block_bytes = large->block_bytes,
                                      .committed_bytes = large->block_bytes + stale_bytes,
                                      .tagged = 1};
        add_pool(blame, &span, &held, PSC_PIECE_NO_POOL);
        return;
    }
    shares->arena += (double)stale_bytes;
    shares->huge += (double)stale_bytes;
    load->model->fragmentation.pinned_arena_bytes += stale_bytes;
    load->model->fragmentation.pinned_huge_bytes += stale_bytes;
}

/* ---- shares ---------------------------------------------------------------------------------------------------- */

static void charge_pools(struct psc_load *load) {
    struct psc_load_blame *blame = load->blame;
    for (size_t i = 0; i < blame->piece_count; i++) {
        const struct psc_piece *piece = &blame->pieces[i];
        const struct psc_pool *pool = psc_piece_pool(load, piece);
        if (pool == NULL || pool->pinned_bytes == 0) {
            continue;
        }
        double share = (double)pool->pinned_bytes / (double)piece->live_blocks;
        double lasting = (double)pool->lasting_bytes / (double)piece->live_blocks;
        const struct psc_holder *holders = psc_piece_holders(blame, piece);
        for (uint32_t k = 0; k < piece->holder_count; k++) {
            struct psc_shares *shares = &blame->shares[holders[k].site];
            shares->pool += share * holders[k].blocks;
            shares->lasting += lasting * holders[k].blocks;
            shares->pinning_blocks += holders[k].blocks;
        }
    }
}

/* Working space for one column of shares. */
struct column {
    double *values;
    uint64_t *rounded;
};

/* The shares at `from` of all sites become the whole numbers at `to`, which add up to `total`. */
static void round_shares(struct psc_load *load, const struct column *column, size_t from, size_t to, uint64_t total) {
    struct psc_model *model = load->model;
    for (size_t i = 0; i < model->site_count; i++) {
        const void *share = (const char *)&load->blame->shares[i] + from;
        column->values[i] = *(const double *)share;
    }
    psc_estimate_share(column->values, model->site_count, total, column->rounded);
    for (size_t i = 0; i < model->site_count; i++) {
        *(uint64_t *)(void *)((char *)&model->sites[i] + to) = column->rounded[i];
    }
}

#define ROUND_SHARES(load, column, share, field)                                                                       \
    round_shares((load), (column), offsetof(struct psc_shares, share), offsetof(struct psc_site, field),               \
                 (load)->model->fragmentation.field)

static void round_all(struct psc_load *load) {
    size_t count = load->model->site_count;
    struct column column = {psc_array_new(count, sizeof(double)), psc_array_new(count, sizeof(uint64_t))};
    ROUND_SHARES(load, &column, page, pinned_page_bytes);
    ROUND_SHARES(load, &column, pool, pinned_bytes);
    ROUND_SHARES(load, &column, lasting, lasting_bytes);
    ROUND_SHARES(load, &column, arena, pinned_arena_bytes);
    ROUND_SHARES(load, &column, huge, pinned_huge_bytes);
    free(column.values);
    free(column.rounded);
}

void psc_load_blame_finish(struct psc_load *load) {
    struct psc_load_blame *blame = load->blame;
    if (blame == NULL) {
        return;
    }
    charge_pools(load);
    psc_blame_ranges(load);
    round_all(load);
    psc_blame_apart(load);
    psc_blame_pairs(load);
    psc_blame_together(load);
    free(blame->shares);
    free(blame->holders);
    free(blame->pieces);
    free(blame->arena_bases);
    free(blame);
    load->blame = NULL;
}
