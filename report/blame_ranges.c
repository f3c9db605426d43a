/* Arenas and huge pages: what is free in each, charged to the live blocks in it. */
#include <stdlib.h>

#include "report/array.h"
#include "report/blame_part.h"

/* What lies in one aligned range. */
struct range {
    uint64_t number; /* address / size */
    uint64_t committed_bytes;
    uint64_t live_bytes;
    uint64_t live_blocks;
};

struct ranges {
    uint64_t bytes; /* size of each */
    struct range *all;
    size_t count;
};

static int by_number(const void *left, const void *right) {
    const struct range *a = left, *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

static void add(struct ranges *ranges, uint64_t address, uint64_t committed, uint64_t live, uint64_t blocks) {
    ranges->all[ranges->count++] = (struct range){address / ranges->bytes, committed, live, blocks};
}

static uint32_t cached_slots(const struct psc_arena *arena, uint32_t from, uint32_t to) {
    uint32_t count = 0;
    for (uint32_t i = from; i < to; i++) {
        count += arena->slots[i] == PSC_SLOT_CACHED;
    }
    return count;
}

/* The cached pages of an arena, by where the slots lie that they are of. */
static void add_cached(struct ranges *ranges, const struct psc_arena *arena, uint64_t slot_bytes) {
    uint64_t in_range = ranges->bytes / slot_bytes;
    uint32_t step = in_range == 0 ? 1 : in_range < PSC_ARENA_SLOTS ? (uint32_t)in_range : PSC_ARENA_SLOTS;
    uint32_t slots = cached_slots(arena, 0, PSC_ARENA_SLOTS), seen = 0;
    uint64_t left = arena->cached_bytes;
    for (uint32_t from = 0; from < PSC_ARENA_SLOTS && seen < slots; from += step) {
        uint32_t here = cached_slots(arena, from, from + step);
        uint64_t bytes = left * here / (slots - seen);
        add(ranges, arena->base + from * slot_bytes, bytes, 0, 0);
        left -= bytes;
        seen += here;
    }
}

/* One row for each range. */
static void merge(struct ranges *ranges) {
    size_t kept = 0;
    if (ranges->count == 0) {
        return;
    }
    qsort(ranges->all, ranges->count, sizeof(*ranges->all), by_number);
    for (size_t i = 1; i < ranges->count; i++) {
        struct range *last = &ranges->all[kept], *next = &ranges->all[i];
        if (next->number == last->number) {
            last->committed_bytes += next->committed_bytes;
            last->live_bytes += next->live_bytes;
            last->live_blocks += next->live_blocks;
        } else {
            ranges->all[++kept] = *next;
        }
    }
    ranges->count = kept + 1;
}

static struct ranges ranges_of(const struct psc_load *load, uint64_t bytes, enum psc_piece_unit unit) {
    const struct psc_load_blame *blame = load->blame;
    const struct psc_model *model = load->model;
    size_t parts = bytes < model->arena_bytes ? model->arena_bytes / bytes : 1;
    struct ranges ranges = {.bytes = bytes};
    ranges.all = psc_array_new(blame->piece_count + model->arena_count * parts, sizeof(*ranges.all));
    for (size_t i = 0; i < blame->piece_count; i++) {
        const struct psc_piece *piece = &blame->pieces[i];
        if ((piece->units & unit) != 0) {
            add(&ranges, piece->base, piece->committed_bytes, piece->live_bytes, piece->live_blocks);
        }
    }
    for (size_t i = 0; i < model->arena_count; i++) {
        add_cached(&ranges, &model->arenas[i], model->slot_bytes);
    }
    merge(&ranges);
    return ranges;
}

static uint64_t free_bytes_of(const struct range *range) {
    return range->live_blocks != 0 ? range->committed_bytes - range->live_bytes : 0;
}

static double share_in(const struct ranges *ranges, uint64_t address) {
    struct range key = {.number = address / ranges->bytes};
    const struct range *range = bsearch(&key, ranges->all, ranges->count, sizeof(key), by_number);
    return range != NULL && range->live_blocks != 0 ? (double)free_bytes_of(range) / (double)range->live_blocks : 0;
}

static uint64_t sum_of(const struct ranges *ranges) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        sum += free_bytes_of(&ranges->all[i]);
    }
    return sum;
}

static void charge(struct psc_load_blame *blame, const struct ranges *arenas, const struct ranges *huges) {
    for (size_t i = 0; i < blame->piece_count; i++) {
        const struct psc_piece *piece = &blame->pieces[i];
        double arena = (piece->units & PSC_PIECE_ARENA) != 0 ? share_in(arenas, piece->base) : 0;
        double huge = (piece->units & PSC_PIECE_HUGE) != 0 ? share_in(huges, piece->base) : 0;
        const struct psc_holder *holders = psc_piece_holders(blame, piece);
        for (uint32_t k = 0; k < piece->holder_count; k++) {
            struct psc_shares *shares = &blame->shares[holders[k].site];
            shares->arena += arena * holders[k].blocks;
            shares->huge += huge * holders[k].blocks;
        }
    }
}

void psc_blame_ranges(struct psc_load *load) {
    struct psc_fragmentation *sums = &load->model->fragmentation;
    if (load->model->arena_bytes == 0) { /* damaged: it is not known what an arena is */
        return;
    }
    struct ranges arenas = ranges_of(load, load->model->arena_bytes, PSC_PIECE_ARENA);
    struct ranges huges = ranges_of(load, PSC_HUGE_BYTES, PSC_PIECE_HUGE);
    charge(load->blame, &arenas, &huges);
    sums->pinned_arena_bytes += sum_of(&arenas);
    sums->pinned_huge_bytes += sum_of(&huges);
    free(arenas.all);
    free(huges.all);
}
