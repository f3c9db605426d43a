/* Who keeps free memory from going back to the kernel, and what moving a site would give: part of the model's maker.
 *
 * Shares. Memory goes back in units: an OS page, a pool, an arena, a huge page. What is free inside a unit can go back
 * when the last live block in it dies, and no sooner. As a game of n blocks in which only all together win the free
 * bytes F, each has the Shapley value F / n (L. S. Shapley, "A value for n-person games", 1953). So each live block is
 * charged F / n by every unit that it lies in, and a site the sum over its blocks. Sums are kept as fractions and
 * rounded once, by largest remainders, so that the sites add up to the unit's total exactly. With c the committed
 * bytes in a unit and l the bytes of them that live blocks cover, F = c - l where a block is live, 0 where none is:
 *
 *   page   a page of PSC_MODEL_PAGE_BYTES among those that the carved blocks of a pool reach into: c is the page
 *   pool   c = the carved pages and those left from an earlier pool
 *   arena  the aligned range of model.arena_bytes: c = all its pools and spans, empty ones included, and its cached
 *          pages
 *   huge   the aligned range of PSC_HUGE_BYTES: c as of an arena. A pool on the border of two counts in each with the
 *          pages and blocks there; its pages from an earlier pool are taken to lie behind its carved ones, and an
 *          arena's cached pages to be spread evenly over its cached slots
 *
 * A block on the border of two units is one of the blocks of each. A block without a tag is of PSC_SITE_UNKNOWN; where
 * in its pool it lies is not known, and it is taken for the lowest places without a tag. A large block with a mapping
 * of its own is its own pool, arena and huge page, and has no free bytes in its pages. What pages are charged with is
 * never more than what pools are, nor that more than what arenas are.
 *
 * Moving a site. Of the pools with something pinned: a pool is a site's alone if all its live blocks are. `sole` are
 * these. If the site had had pools of its own from the start, its places would be missing in the pools of others, whose
 * blocks would lie closer; and its blocks would lie in pools among places that its own dead have left. Per size class,
 * with the P pools that hold L live blocks of the site, and O of others, among D free carved places:
 *
 *   f = (ages of the site's freed blocks, summed) / (those of all freed blocks of the class)
 *   s = mean over the pools of (l + f d) / carved
 *   T = P / (1 - exp(-x)), where x / (1 - exp(-x)) = L / P; at most the pools that the class had at any snapshot
 *   W = T (L + f D) / P; at most L + freed blocks of the site
 *   apart = the pages of W places, packed, of those pools in which a block lives: of k places 1 - (1 - L / W)^k
 *   others = (1 - s) (1 - c) (1 - e^(1 / (1 - s))), where e = (sole / P - c) / (1 - c) = exp(-O / P / (1 - c)); c >= 0
 *   saving = committed of the P pools * (1 - others) - apart, summed over the classes; a negative one is 0
 *
 * f: the summed age is how long a site's blocks have taken places up (J. D. C. Little, "A proof for the queuing formula
 * L = lambda W", 1961), so it tells whose the free places were, and l + f d how many places of a pool the site takes.
 * Books count frees by site and not by class: a site's are shared out as its pinning blocks are; those of a site
 * without any go to the class of their mean size, and what is more there than the threads have freed in that class, to
 * the classes that have too few. T: the pools that the site has had blocks in; where these survive independently of
 * each other, so many hold none any more (the mean of a Poisson distribution of mean x without its zeros is L / P). So
 * it is with `apart` (A. F. Cardenas, "Analysis and performance of inverted data base structures", 1975) and with
 * `others`: the part of the pools in which others still live. e is the chance that none does in a pool, but for a part
 * c of the pools, in which they all died together and which makes up for what chance does not explain; blocks that lie
 * closer by 1 - s leave fewer pools, and fewer of them empty.
 * So a site whose survivors lie among its own dead saves nothing by pools of its own, and one whose survivors lie
 * among the dead of others saves nearly all that it pins.
 *
 * Pairs. Of the PSC_PAIR_SITES sites that pin most, two and two: the sparse pools (a quarter pinned or more) in which
 * both have blocks. They are ranked by pinned * (1 - shorter lifetime / longer lifetime), the lifetimes being medians;
 * of a site of which too many blocks still live to say, the median of what they have reached. saving = committed of
 * those sparse pools in which only these two have blocks - what these blocks take apart.
 *
 * Together. Of the same sites, a set S of at most PSC_TOGETHER_MAX: saving(S) = committed of the pools in which only
 * sites of S have blocks - what the pinning blocks of S take apart, each site in pools of its own. S begins empty, and as
 * long as that raises saving(S), the sites of the pools with which it is highest join it.
 *
 * Of a sampled trace nothing of this is known but an estimate of the pools' shares (report/samples.c). */
#ifndef PSC_REPORT_BLAME_H
#define PSC_REPORT_BLAME_H

#include <stddef.h>
#include <stdint.h>

#include "report/load.h"

#define PSC_HUGE_BYTES (2u << 20)
#define PSC_PAIR_SITES 64                                    /* considered */
#define PSC_PAIRS_MAX 16                                     /* kept */
#define PSC_HOLDERS_MAX (PSC_CHUNK_BYTES / sizeof(uint64_t)) /* of one pool */

/* The live blocks that one site has in a pool. */
struct psc_holder {
    uint32_t site;
    uint32_t blocks; /* > 0 */
};

/* A live block of a pool: its place, and the holder that it is of. */
struct psc_spot {
    uint32_t index;
    uint32_t holder;
};

/* The live blocks of a pool, each site once, and each block once in the order of their places. */
struct psc_held {
    const struct psc_holder *holders;
    const struct psc_spot *spots;
    uint32_t holder_count;
    uint32_t spot_count;
};

/* What is free in the pages of the live blocks. Adds to shares[holder] what each is charged. */
uint64_t psc_blame_pages(const struct psc_pool *pool, const struct psc_held *held, double *shares);

/* In this order; none does anything in a sampled trace. Pools come in the order of model->pools, before they are sorted,
 * and finish after the lifetimes. */
void psc_load_blame_begin(struct psc_load *load);
void psc_load_blame_pool(struct psc_load *load, const struct psc_pool *pool, const struct psc_held *held);
void psc_load_blame_large(struct psc_load *load, const struct psc_large *large, uint64_t stale_bytes);
void psc_load_blame_finish(struct psc_load *load);

#endif
