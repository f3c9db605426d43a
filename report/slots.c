#include "report/slots.h"

/* A sampled trace has only the pools that had a sample; the last snapshot counted all. */
static void count_pools_of_snapshot(const struct psc_model *model, uint64_t bins[PSC_OCCUPANCY_BINS]) {
    for (size_t i = 0; i < PSC_OCCUPANCY_BINS && model->snapshot_count != 0; i++) {
        bins[i] = model->snapshots[model->snapshot_count - 1].occupancy[i];
    }
}

void psc_slots_count_pools(const struct psc_model *model, uint64_t bins[PSC_OCCUPANCY_BINS]) {
    if (psc_model_is_sampled(model)) {
        count_pools_of_snapshot(model, bins);
        return;
    }
    for (size_t i = 0; i < model->pool_count; i++) {
        bins[psc_pool_tenth(&model->pools[i])]++;
    }
}

/* A pool's memory begins at its first slot and may take several. */
static void fill_pool(const struct psc_model *model, const struct psc_arena *arena, const struct psc_pool *pool,
                      struct psc_slot_cell *cells) {
    uint64_t bytes = (uint64_t)pool->capacity * pool->block_bytes;
    uint64_t offset = pool->base - arena->base;
    uint64_t last = bytes == 0 ? offset : offset + bytes - 1;
    uint64_t live = psc_pool_live(pool);
    uint64_t share = live * 100 / (pool->capacity == 0 ? 1 : pool->capacity);
    for (uint64_t slot = offset / model->slot_bytes; slot <= last / model->slot_bytes && slot < PSC_ARENA_SLOTS;
         slot++) {
        cells[slot].kind = live == 0 ? PSC_CELL_EMPTY : PSC_CELL_POOL;
        cells[slot].percent = (uint8_t)(share > 100 ? 100 : share);
    }
}

void psc_slots_fill(const struct psc_model *model, const struct psc_arena *arena,
                    struct psc_slot_cell cells[PSC_ARENA_SLOTS]) {
    for (size_t slot = 0; slot < PSC_ARENA_SLOTS; slot++) {
        bool pooled = arena->slots[slot] == PSC_SLOT_POOL; /* by a large block, unless a pool is found below */
        uint8_t kind = psc_model_is_sampled(model) ? PSC_CELL_UNSAMPLED : PSC_CELL_POOL;
        cells[slot].kind = arena->slots[slot] == PSC_SLOT_CACHED ? PSC_CELL_CACHED : pooled ? kind : PSC_CELL_FREE;
        cells[slot].percent = pooled && kind == PSC_CELL_POOL ? 100 : 0;
    }
    for (size_t i = 0; i < arena->pool_count; i++) {
        fill_pool(model, arena, &model->pools[arena->first_pool + i], cells);
    }
}
