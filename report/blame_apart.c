/* What a site holds alone, and what pools of its own would take and give: report/blame.h has the formulas. */
#include <math.h>
#include <stdlib.h>

#include "report/array.h"
#include "report/blame_part.h"
#include "report/estimate.h"

/* One site's blocks of one size class, in pools with something pinned. */
struct cell {
    uint32_t site;
    uint64_t pools;
    uint64_t sole_pools;
    uint64_t committed_bytes; /* of these pools */
    uint64_t blocks;
    uint64_t other_blocks; /* live, in the same pools */
    uint64_t free_places;  /* carved, in the same pools */
    double by_live;        /* sum over pools of committed * l / carved */
    double by_free;        /* ... committed * d / carved */
};

/* Frees by class, and the ages of what was freed, summed. */
struct freed {
    double count;
    double age;
};

struct apart {
    struct psc_load *load;
    double *gains; /* by site: saving, which may be negative */
    double *ages;  /* by site: of what was freed, summed */
    struct psc_piece **by_class;
    size_t class_start[PSC_CLASSES_MAX + 1]; /* in by_class */
    struct cell *cells;                      /* by class */
    size_t cell_start[PSC_CLASSES_MAX + 1];
    size_t cell_count;
    size_t cell_capacity;
    uint32_t *slots; /* by site: index in cells, valid if that cell is of the site and the class at work */
    struct freed pinning[PSC_CLASSES_MAX]; /* of sites with cells */
    struct freed others[PSC_CLASSES_MAX];
    double pools_most[PSC_CLASSES_MAX]; /* at any snapshot */
};

/* ---- pools in the order of their classes ----------------------------------------------------------------------- */

static const struct psc_pool *pinned_pool(const struct apart *apart, const struct psc_piece *piece) {
    const struct psc_pool *pool = psc_piece_pool(apart->load, piece);
    return pool != NULL && pool->pinned_bytes != 0 ? pool : NULL;
}

static void sort_by_class(struct apart *apart) {
    struct psc_load_blame *blame = apart->load->blame;
    size_t next[PSC_CLASSES_MAX], *start = apart->class_start;
    for (size_t i = 0; i < blame->piece_count; i++) {
        const struct psc_pool *pool = pinned_pool(apart, &blame->pieces[i]);
        if (pool != NULL) {
            start[pool->class_index + 1]++;
        }
    }
    for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
        start[class + 1] += start[class];
        next[class] = start[class];
    }
    apart->by_class = psc_array_new(start[PSC_CLASSES_MAX], sizeof(*apart->by_class));
    for (size_t i = 0; i < blame->piece_count; i++) {
        const struct psc_pool *pool = pinned_pool(apart, &blame->pieces[i]);
        if (pool != NULL) {
            apart->by_class[next[pool->class_index]++] = &blame->pieces[i];
        }
    }
}

static struct cell *cell_of(struct apart *apart, uint32_t class, uint32_t site) {
    size_t slot = apart->slots[site];
    if (slot < apart->cell_start[class] || slot >= apart->cell_count || apart->cells[slot].site != site) {
        slot = apart->cell_count++;
        apart->cells = psc_array_reserve(apart->cells, apart->cell_count, &apart->cell_capacity, sizeof(*apart->cells));
        apart->slots[site] = (uint32_t)slot;
        apart->cells[slot] = (struct cell){.site = site};
    }
    return &apart->cells[slot];
}

static void add_holder(struct apart *apart, const struct psc_pool *pool, const struct psc_holder *holder, bool sole) {
    struct psc_site *site = &apart->load->model->sites[holder->site];
    struct cell *cell = cell_of(apart, pool->class_index, holder->site);
    uint32_t live = pool->tagged + pool->untagged, free_places = pool->carved - live;
    double place_bytes = (double)pool->committed_bytes / pool->carved;
    cell->pools++;
    cell->sole_pools += sole;
    cell->committed_bytes += pool->committed_bytes;
    cell->blocks += holder->blocks;
    cell->other_blocks += live - holder->blocks;
    cell->free_places += free_places;
    cell->by_live += place_bytes * holder->blocks;
    cell->by_free += place_bytes * free_places;
    site->pinned_pools++;
    site->pinned_pools_bytes += pool->committed_bytes;
    site->pinning_blocks += holder->blocks;
    site->pinning_bytes += holder->blocks * pool->block_bytes;
    site->sole_pools += sole;
    site->sole_bytes += sole ? pool->pinned_bytes : 0;
}

static void find_most_pools(struct apart *apart) {
    const struct psc_model *model = apart->load->model;
    for (size_t i = 0; i < model->snapshot_count; i++) {
        for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
            apart->pools_most[class] = fmax(apart->pools_most[class], model->snapshots[i].classes[class].pools);
        }
    }
}

static void make_cells(struct apart *apart) {
    for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
        apart->cell_start[class] = apart->cell_count;
        for (size_t i = apart->class_start[class]; i < apart->class_start[class + 1]; i++) {
            const struct psc_piece *piece = apart->by_class[i];
            const struct psc_holder *holders = psc_piece_holders(apart->load->blame, piece);
            for (uint32_t k = 0; k < piece->holder_count; k++) {
                add_holder(apart, psc_piece_pool(apart->load, piece), &holders[k], piece->holder_count == 1);
            }
        }
    }
    apart->cell_start[PSC_CLASSES_MAX] = apart->cell_count;
}

/* ---- whose the free places were ---------------------------------------------------------------------------------- */

static double *freed_ages(const struct psc_model *model) {
    double *ages = psc_array_new(model->site_count, sizeof(*ages));
    for (size_t i = 0; i < model->site_count; i++) {
        ages[i] = model->sites[i].free_count != 0 ? psc_lifetime_freed_sum(&model->lifetimes[i]) : 0;
    }
    return ages;
}

static uint32_t class_of_size(const struct psc_model *model, uint64_t bytes) {
    uint32_t class = 0;
    while (class < model->class_count && model->classes[class].block_bytes < bytes) {
        class ++;
    }
    return class < model->class_count ? class : PSC_CLASS_LARGE;
}

/* The part of the site that is of this class. */
static double part_of(const struct apart *apart, const struct cell *cell) {
    return (double)cell->blocks / apart->load->blame->shares[cell->site].pinning_blocks;
}

static void sum_pinning(struct apart *apart) {
    for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
        for (size_t i = apart->cell_start[class]; i < apart->cell_start[class + 1]; i++) {
            const struct cell *cell = &apart->cells[i];
            double part = part_of(apart, cell);
            apart->pinning[class].count += (double)apart->load->model->sites[cell->site].free_count * part;
            apart->pinning[class].age += apart->ages[cell->site] * part;
        }
    }
}

/* All of a site to the class of its mean size: right where it has one size. */
static void sum_others(struct apart *apart) {
    const struct psc_model *model = apart->load->model;
    for (size_t i = 0; i < model->site_count; i++) {
        const struct psc_site *site = &model->sites[i];
        if (site->free_count != 0 && apart->load->blame->shares[i].pinning_blocks == 0) {
            struct freed *freed = &apart->others[class_of_size(model, site->free_bytes / site->free_count)];
            freed->count += (double)site->free_count;
            freed->age += apart->ages[i];
        }
    }
}

/* How many frees of a class the sites do not account for; below 0: how many more they have than it. */
static double unaccounted(const struct apart *apart, uint32_t class) {
    double counted = (double)apart->load->model->classes[class].free_count;
    return counted - apart->pinning[class].count - apart->others[class].count;
}

/* Takes from each class what is too much for it, and returns it. */
static double take_surplus(struct apart *apart) {
    double age = 0;
    for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
        struct freed *freed = &apart->others[class];
        double surplus = fmin(-unaccounted(apart, class), freed->count);
        if (surplus > 0) {
            double part = freed->age * surplus / freed->count;
            age += part;
            freed->age -= part;
        }
    }
    return age;
}

/* What is too much for a class was of other sizes: it goes to the classes that have too little, if there are any. */
static void spread_others(struct apart *apart) {
    double missing[PSC_CLASSES_MAX], sum = 0;
    for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
        missing[class] = fmax(unaccounted(apart, class), 0);
        sum += missing[class];
    }
    double age = sum > 0 ? take_surplus(apart) : 0;
    for (uint32_t class = 0; class < PSC_CLASSES_MAX && sum > 0; class ++) {
        apart->others[class].age += age * missing[class] / sum;
    }
}

/* ---- pools of its own -------------------------------------------------------------------------------------------- */

static double pages_of(double bytes) {
    return ceil(bytes / PSC_MODEL_PAGE_BYTES) * PSC_MODEL_PAGE_BYTES;
}

/* The chance that of `places` at least one is live. */
static double chance_kept(double alive, double places) {
    return alive >= 1 ? 1 : 1 - pow(1 - alive, places);
}

/* The committed bytes of `live` blocks that are spread over `places` places of their own. */
static double spread_bytes(const struct psc_class *class, double live, double places) {
    double capacity = fmax(floor((double)class->capacity_blocks / (double)class->pools), 1);
    double full = floor(places / capacity), rest = places - full * capacity, alive = live / places;
    double block = (double)class->block_bytes;
    return full * chance_kept(alive, capacity) * pages_of(capacity * block) +
           chance_kept(alive, rest) * pages_of(rest * block);
}

/* In how many pools the site has had blocks, of which they live in cell->pools now: so many that they would live in so
 * many of them by chance. */
static double pools_spanned(const struct apart *apart, uint32_t class, const struct cell *cell) {
    double pools = (double)cell->pools, most = fmax(apart->pools_most[class], pools);
    double mean = (double)cell->blocks / pools, low = 0, high = mean;
    for (int i = 0; i < 30; i++) { /* the mean of a Poisson distribution without its zeros is x / (1 - exp(-x)) */
        double x = (low + high) / 2;
        bool is_less = x < mean * (1 - exp(-x));
        low = is_less ? x : low;
        high = is_less ? high : x;
    }
    return fmin(pools / (1 - exp(-high)), most);
}

/* Of pools without the site's blocks, what would be kept by others: `share` of the places would not be there, and the
 * others' blocks lie closer. In a part of the pools, `cleared`, the others died together; in the rest they survived
 * independently of each other, so that so many hold none as do now. */
static double kept_by_others(const struct cell *cell, double share) {
    double pools = (double)cell->pools, empty = (double)cell->sole_pools / pools;
    double others = (double)cell->other_blocks / pools, low = 0, high = empty;
    if (empty >= 1 || share >= 1) {
        return 0;
    }
    for (int i = 0; i < 30 && empty > exp(-others); i++) {
        double cleared = (low + high) / 2;
        bool is_less = cleared + (1 - cleared) * exp(-others / (1 - cleared)) < empty;
        low = is_less ? cleared : low;
        high = is_less ? high : cleared;
    }
    double rest = 1 - low, empty_of_rest = (empty - low) / rest;
    return (1 - share) * rest * (1 - pow(empty_of_rest, 1 / (1 - share)));
}

static void finish_cell(struct apart *apart, uint32_t class, const struct cell *cell) {
    struct psc_site *site = &apart->load->model->sites[cell->site];
    double part = part_of(apart, cell), committed = (double)cell->committed_bytes;
    double freed = apart->pinning[class].age + apart->others[class].age;
    double own = freed > 0 ? apart->ages[cell->site] * part / freed : 0;
    double places = ((double)cell->blocks + own * (double)cell->free_places) / (double)cell->pools;
    double spanned = places * pools_spanned(apart, class, cell);
    double most = (double)cell->blocks + (double)site->free_count * part;
    double share = (cell->by_live + own * cell->by_free) / committed;
    double bytes = spread_bytes(&apart->load->model->classes[class], (double)cell->blocks, fmin(spanned, most));
    site->apart_bytes += psc_estimate_round(bytes);
    apart->gains[cell->site] += committed * (1 - kept_by_others(cell, share)) - bytes;
}

void psc_blame_apart(struct psc_load *load) {
    struct psc_model *model = load->model;
    struct apart apart = {.load = load,
                          .gains = psc_array_new(model->site_count, sizeof(double)),
                          .ages = freed_ages(model),
                          .slots = psc_array_new(model->site_count, sizeof(uint32_t))};
    sort_by_class(&apart);
    make_cells(&apart);
    find_most_pools(&apart);
    sum_pinning(&apart);
    sum_others(&apart);
    spread_others(&apart);
    for (uint32_t class = 0; class < PSC_CLASSES_MAX; class ++) {
        for (size_t i = apart.cell_start[class]; i < apart.cell_start[class + 1]; i++) {
            finish_cell(&apart, class, &apart.cells[i]);
        }
    }
    for (size_t i = 0; i < model->site_count; i++) {
        model->sites[i].saving_bytes = psc_estimate_round(apart.gains[i]);
    }
    model->sites[PSC_SITE_UNKNOWN].apart_bytes = 0; /* of many sites: nothing can be said of all of them */
    model->sites[PSC_SITE_UNKNOWN].saving_bytes = 0;
    free(apart.gains);
    free(apart.ages);
    free(apart.by_class);
    free(apart.cells);
    free(apart.slots);
}
