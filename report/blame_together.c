/* Which few sites keep the same pools, so that only all of them together can give these back: report/blame.h has the
 * formulas. */
#include <stdlib.h>

#include "report/array.h"
#include "report/blame_part.h"

#define NOT_CONSIDERED UINT8_MAX
#define SETS_MAX 4096 /* looked at */
#define SEEDS_MAX 64  /* tried to be added at a time */

/* The pools in which just these sites have blocks: bit k is the site of rank k. */
struct set {
    uint64_t members;
    uint64_t pools;
    uint64_t committed_bytes;
};

struct together {
    struct psc_load *load;
    uint32_t sites[PSC_PAIR_SITES]; /* by pinned bytes, most first */
    uint32_t site_count;
    uint8_t *ranks; /* by site: index in `sites`, or NOT_CONSIDERED */
    struct set *sets;
    size_t set_count;
};

static void choose_sites(struct together *together) {
    together->site_count = psc_blame_most_pinning(together->load->model, together->sites);
    for (size_t i = 0; i < together->load->model->site_count; i++) {
        together->ranks[i] = NOT_CONSIDERED;
    }
    for (uint32_t i = 0; i < together->site_count; i++) {
        together->ranks[together->sites[i]] = (uint8_t)i;
    }
}

/* ---- sets ------------------------------------------------------------------------------------------------------ */

static uint32_t size_of(uint64_t members) {
    return (uint32_t)__builtin_popcountll(members);
}

/* The holders of a piece; 0 if one of them is not considered, or if they are too many. */
static uint64_t members_of(const struct together *together, const struct psc_piece *piece) {
    const struct psc_holder *holders = psc_piece_holders(together->load->blame, piece);
    uint64_t members = 0;
    for (uint32_t i = 0; i < piece->holder_count; i++) {
        uint8_t rank = together->ranks[holders[i].site];
        if (rank == NOT_CONSIDERED) {
            return 0;
        }
        members |= 1ull << rank;
    }
    return size_of(members) <= PSC_TOGETHER_MAX ? members : 0;
}

static int by_members(const void *left, const void *right) {
    const struct set *a = left, *b = right;
    return a->members < b->members ? -1 : a->members > b->members;
}

static int by_committed(const void *left, const void *right) {
    const struct set *a = left, *b = right;
    if (a->committed_bytes != b->committed_bytes) {
        return a->committed_bytes > b->committed_bytes ? -1 : 1;
    }
    return by_members(left, right);
}

/* Pools of the same members become one set; the largest come first. */
static void merge_sets(struct together *together) {
    struct set *sets = together->sets;
    size_t kept = 0;
    qsort(sets, together->set_count, sizeof(*sets), by_members);
    for (size_t i = 1; i < together->set_count; i++) {
        if (sets[i].members == sets[kept].members) {
            sets[kept].pools += sets[i].pools;
            sets[kept].committed_bytes += sets[i].committed_bytes;
        } else {
            sets[++kept] = sets[i];
        }
    }
    together->set_count = together->set_count != 0 ? kept + 1 : 0;
    qsort(sets, together->set_count, sizeof(*sets), by_committed);
    together->set_count = together->set_count < SETS_MAX ? together->set_count : SETS_MAX;
}

static void make_sets(struct together *together) {
    const struct psc_load_blame *blame = together->load->blame;
    together->sets = psc_array_new(blame->piece_count, sizeof(*together->sets));
    for (size_t i = 0; i < blame->piece_count; i++) {
        const struct psc_piece *piece = &blame->pieces[i];
        const struct psc_pool *pool = psc_piece_pool(together->load, piece);
        uint64_t members = pool != NULL && pool->pinned_bytes != 0 ? members_of(together, piece) : 0;
        if (members != 0) {
            together->sets[together->set_count++] = (struct set){members, 1, pool->committed_bytes};
        }
    }
    merge_sets(together);
}

/* ---- the best union -------------------------------------------------------------------------------------------- */

static struct psc_together weigh(const struct together *together, uint64_t members) {
    struct psc_together sum = {.site_count = 0};
    for (size_t i = 0; i < together->set_count; i++) {
        if ((together->sets[i].members & ~members) == 0) {
            sum.pools += together->sets[i].pools;
            sum.committed_bytes += together->sets[i].committed_bytes;
        }
    }
    for (uint64_t rest = members; rest != 0; rest &= rest - 1) {
        uint32_t site = together->sites[__builtin_ctzll(rest)];
        sum.sites[sum.site_count++] = site;
        sum.apart_bytes += together->load->model->sites[site].apart_bytes;
    }
    sum.saving_bytes = sum.committed_bytes > sum.apart_bytes ? sum.committed_bytes - sum.apart_bytes : 0;
    return sum;
}

/* Adds the set to `members` that gives most. False: none gives anything. */
static bool grow(const struct together *together, uint64_t *members, struct psc_together *best) {
    uint64_t start = *members;
    for (size_t i = 0; i < together->set_count && i < SEEDS_MAX; i++) {
        uint64_t more = start | together->sets[i].members;
        if (more != start && size_of(more) <= PSC_TOGETHER_MAX) {
            struct psc_together sum = weigh(together, more);
            if (sum.saving_bytes > best->saving_bytes) {
                *best = sum;
                *members = more;
            }
        }
    }
    return *members != start;
}

void psc_blame_together(struct psc_load *load) {
    struct together together = {.load = load, .ranks = psc_array_new(load->model->site_count, sizeof(uint8_t))};
    struct psc_together best = {.site_count = 0};
    uint64_t members = 0;
    choose_sites(&together);
    make_sets(&together);
    while (grow(&together, &members, &best)) {
    }
    load->model->together = best;
    free(together.sets);
    free(together.ranks);
}
