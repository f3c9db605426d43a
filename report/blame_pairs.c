/* Which two sites share sparse pools, though their blocks live differently long: report/blame.h has the formulas. */
#include <stdlib.h>

#include "report/array.h"
#include "report/blame_part.h"
#include "report/estimate.h"

#define NOT_CONSIDERED UINT8_MAX

/* What two sites have in common; blocks[0] are those of the one that pins more. */
struct common {
    uint64_t pools;
    uint64_t pinned_bytes;
    uint64_t only_committed_bytes; /* of pools of these two alone */
    uint64_t only_blocks[2];
};

struct pairs {
    struct psc_load *load;
    uint32_t sites[PSC_PAIR_SITES]; /* by pinned bytes, most first */
    uint32_t count;
    uint8_t *ranks;                                       /* by site: index in `sites`, or NOT_CONSIDERED */
    struct common common[PSC_PAIR_SITES][PSC_PAIR_SITES]; /* [a][b], a < b */
};

/* ---- the sites ------------------------------------------------------------------------------------------------- */

/* Puts it where it belongs in the list of those that pin most. */
static uint32_t consider(const struct psc_model *model, uint32_t *ids, uint32_t count, uint32_t id) {
    const struct psc_site *sites = model->sites;
    uint32_t at = count;
    while (at > 0 && sites[ids[at - 1]].pinned_bytes < sites[id].pinned_bytes) {
        at--;
    }
    if (at == PSC_PAIR_SITES) {
        return count;
    }
    count += count < PSC_PAIR_SITES;
    for (uint32_t i = count - 1; i > at; i--) {
        ids[i] = ids[i - 1];
    }
    ids[at] = id;
    return count;
}

uint32_t psc_blame_most_pinning(const struct psc_model *model, uint32_t *ids) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->site_count; i++) {
        if (i != PSC_SITE_UNKNOWN && model->sites[i].pinned_bytes != 0) {
            count = consider(model, ids, count, i);
        }
    }
    return count;
}

static void choose_sites(struct pairs *pairs) {
    const struct psc_model *model = pairs->load->model;
    for (uint32_t i = 0; i < model->site_count; i++) {
        pairs->ranks[i] = NOT_CONSIDERED;
    }
    pairs->count = psc_blame_most_pinning(model, pairs->sites);
    for (uint32_t i = 0; i < pairs->count; i++) {
        pairs->ranks[pairs->sites[i]] = (uint8_t)i;
    }
}

/* ---- the pools ------------------------------------------------------------------------------------------------- */

static bool is_sparse(const struct psc_pool *pool) {
    return pool->pinned_bytes != 0 && pool->pinned_bytes >= pool->committed_bytes / 4;
}

/* The holders of a pool that are considered, by rank. */
struct present {
    uint8_t rank;
    uint32_t blocks;
};

static uint32_t find_present(const struct pairs *pairs, const struct psc_piece *piece, struct present *present) {
    const struct psc_holder *holders = psc_piece_holders(pairs->load->blame, piece);
    uint32_t count = 0;
    for (uint32_t i = 0; i < piece->holder_count; i++) {
        uint8_t rank = pairs->ranks[holders[i].site];
        uint32_t at = count;
        if (rank == NOT_CONSIDERED) {
            continue;
        }
        for (; at > 0 && present[at - 1].rank > rank; at--) {
            present[at] = present[at - 1];
        }
        present[at] = (struct present){rank, holders[i].blocks};
        count++;
    }
    return count;
}

static void add_pool(struct pairs *pairs, const struct psc_piece *piece) {
    struct present present[PSC_PAIR_SITES];
    const struct psc_pool *pool = psc_piece_pool(pairs->load, piece);
    uint32_t count = find_present(pairs, piece, present);
    for (uint32_t a = 0; a < count; a++) {
        for (uint32_t b = a + 1; b < count; b++) {
            struct common *common = &pairs->common[present[a].rank][present[b].rank];
            common->pools++;
            common->pinned_bytes += pool->pinned_bytes;
            if (piece->holder_count == 2) {
                common->only_committed_bytes += pool->committed_bytes;
                common->only_blocks[0] += present[a].blocks;
                common->only_blocks[1] += present[b].blocks;
            }
        }
    }
}

/* ---- the pairs ------------------------------------------------------------------------------------------------- */

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void add_ages(struct psc_age_sums *sums, const struct psc_age_sums *more) {
    sums->count += more->count;
    sums->places += more->places;
    sums->squares += more->squares;
}

/* The ages that blocks have reached, as if they had died now. */
static uint64_t median_reached(struct psc_lifetime lifetime) {
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    for (unsigned k = 0; k < PSC_AGE_BUCKETS; k++) {
        add_ages(&lifetime.freed[k], &lifetime.alive[k]);
        lifetime.alive[k] = (struct psc_age_sums){.count = 0};
    }
    return psc_survival_quantile(points, psc_lifetime_curve(&lifetime, 1, points), 0.5);
}

/* The median; of a site that has too many live blocks, that of what its blocks have reached. Quantiles are spread over
 * buckets, of which the last may end behind the clock. */
static uint64_t lifetime_of(const struct psc_load *load, uint32_t site, bool *at_least) {
    uint64_t median = load->model->sites[site].lifetime_p50;
    *at_least = median == PSC_LIFETIME_UNKNOWN;
    return smaller(*at_least ? median_reached(load->model->lifetimes[site]) : median, load->clock_bytes);
}

static double difference(const struct psc_pair *pair) {
    double a = (double)pair->lifetime_bytes[0], b = (double)pair->lifetime_bytes[1];
    double shorter = a < b ? a : b, longer = a < b ? b : a;
    return longer > 0 ? 1 - shorter / longer : 0;
}

static double rank_of(const struct psc_pair *pair) {
    return (double)pair->pinned_bytes * difference(pair);
}

/* What the blocks of the pair take apart, of the pools that are theirs alone. */
static double apart_bytes(const struct psc_site *site, uint64_t blocks) {
    return site->pinning_blocks == 0 ? 0 : (double)site->apart_bytes * (double)blocks / (double)site->pinning_blocks;
}

static struct psc_pair make_pair(const struct pairs *pairs, uint32_t a, uint32_t b) {
    const struct common *common = &pairs->common[a][b];
    const struct psc_site *sites = pairs->load->model->sites;
    struct psc_pair pair = {
        .sites = {pairs->sites[a], pairs->sites[b]}, .pools = common->pools, .pinned_bytes = common->pinned_bytes};
    double apart = apart_bytes(&sites[pair.sites[0]], common->only_blocks[0]) +
                   apart_bytes(&sites[pair.sites[1]], common->only_blocks[1]);
    pair.saving_bytes = psc_estimate_round((double)common->only_committed_bytes - apart);
    for (unsigned i = 0; i < 2; i++) {
        pair.lifetime_bytes[i] = lifetime_of(pairs->load, pair.sites[i], &pair.lives_longer[i]);
    }
    return pair;
}

static void keep_best(struct psc_model *model, const struct psc_pair *pair) {
    size_t at = model->pair_count;
    while (at > 0 && rank_of(&model->pairs[at - 1]) < rank_of(pair)) {
        at--;
    }
    if (at == PSC_PAIRS_MAX || rank_of(pair) <= 0) {
        return;
    }
    model->pair_count += model->pair_count < PSC_PAIRS_MAX;
    for (size_t i = model->pair_count - 1; i > at; i--) {
        model->pairs[i] = model->pairs[i - 1];
    }
    model->pairs[at] = *pair;
}

void psc_blame_pairs(struct psc_load *load) {
    const struct psc_load_blame *blame = load->blame;
    struct pairs *pairs = psc_array_new(1, sizeof(*pairs));
    pairs->load = load;
    pairs->ranks = psc_array_new(load->model->site_count, sizeof(*pairs->ranks));
    choose_sites(pairs);
    for (size_t i = 0; i < blame->piece_count; i++) {
        const struct psc_pool *pool = psc_piece_pool(load, &blame->pieces[i]);
        if (pool != NULL && blame->pieces[i].holder_count > 1 && is_sparse(pool)) {
            add_pool(pairs, &blame->pieces[i]);
        }
    }
    load->model->pairs = psc_array_new(PSC_PAIRS_MAX, sizeof(*load->model->pairs));
    for (uint32_t a = 0; a < pairs->count; a++) {
        for (uint32_t b = a + 1; b < pairs->count; b++) {
            struct psc_pair pair = make_pair(pairs, a, b);
            keep_best(load->model, &pair);
        }
    }
    free(pairs->ranks);
    free(pairs);
}
