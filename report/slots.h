/* The pools of a model as a person sees them: how full they are, and what lies in the slots of an arena. */
#ifndef PSC_REPORT_SLOTS_H
#define PSC_REPORT_SLOTS_H

#include "report/model.h"

/* Unsampled: of a pool that had no sample, all that a sampled trace tells is where it is. */
enum psc_slot_kind { PSC_CELL_FREE, PSC_CELL_CACHED, PSC_CELL_EMPTY, PSC_CELL_POOL, PSC_CELL_UNSAMPLED };

struct psc_slot_cell {
    uint8_t kind;    /* enum psc_slot_kind */
    uint8_t percent; /* live blocks of the pool that lies here / its capacity */
};

/* Pools by occupancy, as in psc_wire_snapshot.occupancy. A sampled trace has only the pools that had a sample: there it
 * is what the last snapshot counted. */
void psc_slots_count_pools(const struct psc_model *model, uint64_t bins[PSC_OCCUPANCY_BINS]);

/* What lies in each slot of an arena. Slots of large blocks are full pools. */
void psc_slots_fill(const struct psc_model *model, const struct psc_arena *arena,
                    struct psc_slot_cell cells[PSC_ARENA_SLOTS]);

#endif
