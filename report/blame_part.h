/* What the files blame*.c share. */
#ifndef PSC_REPORT_BLAME_PART_H
#define PSC_REPORT_BLAME_PART_H

#include "report/blame.h"

#define PSC_PIECE_NO_POOL UINT32_MAX

/* Units that a piece counts in. */
enum psc_piece_unit { PSC_PIECE_ARENA = 1, PSC_PIECE_HUGE = 2 };

/* A pool, a span, or the part of one on one side of a border. */
struct psc_piece {
    uint64_t base;
    uint64_t committed_bytes;
    uint64_t live_bytes;
    uint64_t live_blocks;
    size_t first_holder;
    uint32_t holder_count;
    uint32_t pool; /* index in model->pools, or PSC_PIECE_NO_POOL */
    uint32_t units;
};

/* Of one site, before they are rounded. */
struct psc_shares {
    double page;
    double pool;
    double lasting;
    double arena;
    double huge;
    double pinning_blocks; /* in pools with something pinned */
};

struct psc_load_blame {
    struct psc_shares *shares; /* by site */
    struct psc_holder *holders;
    size_t holder_count;
    size_t holder_capacity;
    struct psc_piece *pieces;
    size_t piece_count;
    size_t piece_capacity;
    uint64_t *arena_bases; /* sorted */
};

static inline const struct psc_pool *psc_piece_pool(const struct psc_load *load, const struct psc_piece *piece) {
    return piece->pool == PSC_PIECE_NO_POOL ? NULL : &load->model->pools[piece->pool];
}

/* Those of a piece; NULL if it has none. */
static inline const struct psc_holder *psc_piece_holders(const struct psc_load_blame *blame,
                                                         const struct psc_piece *piece) {
    return piece->holder_count == 0 ? NULL : blame->holders + piece->first_holder;
}

/* Charges what is free in arenas and huge pages, and sums it. */
void psc_blame_ranges(struct psc_load *load);
/* The fields of sites from pinned_pools to saving_bytes. */
void psc_blame_apart(struct psc_load *load);
/* model->pairs. After all other figures of sites. */
void psc_blame_pairs(struct psc_load *load);
/* model->together. After all figures of sites. */
void psc_blame_together(struct psc_load *load);
/* The PSC_PAIR_SITES sites that pin most, most first; returns how many there are. */
uint32_t psc_blame_most_pinning(const struct psc_model *model, uint32_t *ids);

#endif
