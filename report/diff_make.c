/* What grew and what shrank: figures of two models side by side. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/diff.h"
#include "report/diff_match.h"
#include "report/diff_warn.h"
#include "report/estimate.h"
#include "report/progress.h"

/* ---- figures --------------------------------------------------------------------------------------------------- */

/* Where a figure lies in a site; its range is there of those that have one. */
struct figure {
    const char *name;
    const char *bytes_key;
    const char *count_key;
    size_t bytes;
    size_t count;
    size_t range;
};

#define FIGURE(name, bytes, count, range)                                                                              \
    { name, #bytes, #count, offsetof(struct psc_site, bytes), offsetof(struct psc_site, count), range }
#define RANGE(field) offsetof(struct psc_site, field)
#define NO_RANGE SIZE_MAX

static const struct figure figures[PSC_DIFF_FIGURES] = {
    [PSC_DIFF_LIVE] = FIGURE("live", live_bytes, live_count, RANGE(live_bytes_range)),
    [PSC_DIFF_PEAK] = FIGURE("peak", peak_live_bytes, peak_live_count, NO_RANGE),
    [PSC_DIFF_PINNED] = FIGURE("pinned", pinned_bytes, pinning_blocks, RANGE(pinned_bytes_range)),
    [PSC_DIFF_ALLOC] = FIGURE("alloc", alloc_bytes, alloc_count, RANGE(alloc_bytes_range)),
};

const char *psc_diff_figure_name(enum psc_diff_figure figure) {
    return figures[figure].name;
}

const char *psc_diff_bytes_key(enum psc_diff_figure figure) {
    return figures[figure].bytes_key;
}

const char *psc_diff_count_key(enum psc_diff_figure figure) {
    return figures[figure].count_key;
}

static uint64_t number_at(const struct psc_site *site, size_t offset) {
    uint64_t number;
    memcpy(&number, (const char *)site + offset, sizeof(number));
    return number;
}

/* A range that does not hold its figure is damage, and tells nothing. */
static struct psc_diff_value value_in(uint64_t bytes, struct psc_range range) {
    struct psc_diff_value value = {.bytes = bytes};
    if (range.low <= bytes && bytes <= range.high) {
        double below = (double)(bytes - range.low), above = (double)(range.high - bytes);
        value.below = below * below;
        value.above = above * above;
    }
    return value;
}

static struct psc_diff_value value_of(const struct psc_site *site, const struct figure *figure) {
    struct psc_diff_value value = {.bytes = number_at(site, figure->bytes)};
    if (figure->range != NO_RANGE) {
        struct psc_range range;
        memcpy(&range, (const char *)site + figure->range, sizeof(range));
        value = value_in(value.bytes, range);
    }
    value.count = number_at(site, figure->count);
    return value;
}

static void add_value(struct psc_diff_value *sum, struct psc_diff_value value) {
    sum->bytes += value.bytes;
    sum->count += value.count;
    sum->below += value.below;
    sum->above += value.above;
}

struct psc_diff_change psc_diff_change_of(const struct psc_diff_value *old, const struct psc_diff_value *new) {
    bool shrank = new->bytes < old->bytes;
    struct psc_diff_change change = {.amount = shrank ? old->bytes - new->bytes : new->bytes - old->bytes,
                                     .shrank = shrank};
    double down = sqrt(new->below + old->above), up = sqrt(new->above + old->below);
    change.error = psc_estimate_round((down + up) / 2);
    change.within = down + up > 0 && (shrank ? up : down) >= (double)change.amount;
    return change;
}

struct psc_diff_change psc_diff_site_change(const struct psc_diff_site *site, enum psc_diff_figure figure) {
    return psc_diff_change_of(&site->values[PSC_DIFF_OLD][figure], &site->values[PSC_DIFF_NEW][figure]);
}

bool psc_diff_site_changed(const struct psc_diff_site *site) {
    for (int i = 0; i < PSC_DIFF_FIGURES; i++) {
        const struct psc_diff_value *old = &site->values[PSC_DIFF_OLD][i], *new = &site->values[PSC_DIFF_NEW][i];
        if (old->bytes != new->bytes || old->count != new->count) {
            return true;
        }
    }
    return false;
}

bool psc_diff_is_sampled(const struct psc_diff *diff) {
    return psc_model_is_sampled(diff->models[PSC_DIFF_OLD]) || psc_model_is_sampled(diff->models[PSC_DIFF_NEW]);
}

/* ---- sites ----------------------------------------------------------------------------------------------------- */

static void add_site(struct psc_diff_site *row, enum psc_diff_side side, const struct psc_site *site) {
    for (int i = 0; i < PSC_DIFF_FIGURES; i++) {
        add_value(&row->values[side][i], value_of(site, &figures[i]));
    }
    row->merged[side]++;
    row->ids[side] = site->id;
}

static void add_sites(struct psc_diff *diff, enum psc_diff_side side, struct psc_diff_matcher *matcher,
                      struct psc_diff_warner *warner, size_t *capacity) {
    struct psc_model *model = diff->models[side];
    for (size_t i = 0; i < model->site_count; i++) {
        struct psc_site *site = &model->sites[i];
        if (!psc_site_is_used(site)) {
            continue;
        }
        psc_model_symbolize(model, site);
        uint32_t number = psc_diff_match_site(matcher, model, site);
        psc_diff_warn_site(warner, side, site);
        psc_model_forget_frames(site);
        diff->sites = psc_array_reserve(diff->sites, number + (size_t)1, capacity, sizeof(*diff->sites));
        diff->site_count = number >= diff->site_count ? number + (size_t)1 : diff->site_count;
        add_site(&diff->sites[number], side, site);
        psc_progress_show("names of functions", i + 1, model->site_count);
    }
    psc_progress_clear();
}

/* In samples, nothing is not zero: as many of the blocks that the other trace has are easily missed. */
static void bound_missing(struct psc_diff_value *missing, const struct psc_diff_value *other,
                          const struct psc_diff_value *blocks, uint64_t interval) {
    if (missing->bytes != 0 || missing->above > 0 || other->bytes == 0 || blocks->bytes == 0 || blocks->count == 0) {
        return;
    }
    double bytes = (double)blocks->bytes / (double)blocks->count;
    double weight = psc_sample_weight_of_ratio(bytes / (double)(interval != 0 ? interval : 1));
    double each = (double)other->bytes / (double)blocks->count;
    double limit = psc_estimate_of_none(weight, each).high;
    missing->above = limit * limit;
}

static void bound_side(struct psc_diff_site *row, enum psc_diff_side side, uint64_t interval) {
    enum psc_diff_side there = side == PSC_DIFF_OLD ? PSC_DIFF_NEW : PSC_DIFF_OLD;
    struct psc_diff_value *missing = row->values[side];
    const struct psc_diff_value *other = row->values[there];
    bound_missing(&missing[PSC_DIFF_LIVE], &other[PSC_DIFF_LIVE], &other[PSC_DIFF_LIVE], interval);
    bound_missing(&missing[PSC_DIFF_PINNED], &other[PSC_DIFF_PINNED], &other[PSC_DIFF_LIVE], interval);
    bound_missing(&missing[PSC_DIFF_ALLOC], &other[PSC_DIFF_ALLOC], &other[PSC_DIFF_ALLOC], interval);
}

static void bound_all(struct psc_diff *diff) {
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        const struct psc_model *model = diff->models[side];
        for (size_t i = 0; psc_model_is_sampled(model) && i < diff->site_count; i++) {
            bound_side(&diff->sites[i], side, model->sampling.interval_bytes);
        }
    }
}

/* A row and its place before sorting, which decides between equals. */
struct rank {
    uint64_t amount;
    size_t index;
};

static int most_first(const void *left, const void *right) {
    const struct rank *a = left, *b = right;
    return a->amount != b->amount ? (a->amount > b->amount ? -1 : 1) : (a->index < b->index ? -1 : a->index > b->index);
}

static void sort_sites(struct psc_diff *diff) {
    struct rank *ranks = psc_array_new(diff->site_count, sizeof(*ranks));
    struct psc_diff_site *sorted = psc_array_new(diff->site_count, sizeof(*sorted));
    for (size_t i = 0; i < diff->site_count; i++) {
        ranks[i] = (struct rank){psc_diff_site_change(&diff->sites[i], diff->by).amount, i};
    }
    qsort(ranks, diff->site_count, sizeof(*ranks), most_first);
    for (size_t i = 0; i < diff->site_count; i++) {
        sorted[i] = diff->sites[ranks[i].index];
    }
    free(ranks);
    free(diff->sites);
    diff->sites = sorted;
}

struct psc_site *psc_diff_site_frames(const struct psc_diff *diff, const struct psc_diff_site *site) {
    enum psc_diff_side side = site->merged[PSC_DIFF_NEW] != 0 ? PSC_DIFF_NEW : PSC_DIFF_OLD;
    struct psc_site *shown = &diff->models[side]->sites[site->ids[side]];
    psc_model_symbolize(diff->models[side], shown);
    return shown;
}

/* ---- size classes ---------------------------------------------------------------------------------------------- */

static const struct psc_class no_class;

static bool is_used(const struct psc_class *class) {
    return (class->pools | class->alloc_count | class->committed_bytes) != 0;
}

/* A class is known by the size of its blocks: another version of the library may have others. */
static struct psc_diff_class *class_of(struct psc_diff *diff, uint64_t block_bytes, bool large) {
    for (size_t i = 0; i < diff->class_count; i++) {
        if (diff->classes[i].block_bytes == block_bytes && diff->classes[i].large == large) {
            return &diff->classes[i];
        }
    }
    struct psc_diff_class *class = &diff->classes[diff->class_count++];
    *class = (struct psc_diff_class){.block_bytes = block_bytes, .large = large, .sides = {&no_class, &no_class}};
    return class;
}

static bool class_changed(const struct psc_diff_class *class) {
    const struct psc_class *old = class->sides[PSC_DIFF_OLD], *new = class->sides[PSC_DIFF_NEW];
    return old->pools != new->pools || old->live_blocks != new->live_blocks ||
           old->committed_bytes != new->committed_bytes || old->live_requested_bytes != new->live_requested_bytes ||
           old->pinned_bytes != new->pinned_bytes;
}

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

static int class_by_change(const void *left, const void *right) {
    const struct psc_diff_class *a = left, *b = right;
    uint64_t a_change = distance(a->sides[PSC_DIFF_OLD]->committed_bytes, a->sides[PSC_DIFF_NEW]->committed_bytes);
    uint64_t b_change = distance(b->sides[PSC_DIFF_OLD]->committed_bytes, b->sides[PSC_DIFF_NEW]->committed_bytes);
    if (a_change != b_change) {
        return a_change > b_change ? -1 : 1;
    }
    return a->block_bytes != b->block_bytes ? (a->block_bytes < b->block_bytes ? -1 : 1) : 0;
}

static void compare_classes(struct psc_diff *diff) {
    diff->classes = psc_array_new(PSC_DIFF_SIDES * PSC_CLASSES_MAX, sizeof(*diff->classes));
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        const struct psc_class *classes = diff->models[side]->classes;
        for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
            if (is_used(&classes[i])) {
                class_of(diff, classes[i].block_bytes, i == PSC_CLASS_LARGE)->sides[side] = &classes[i];
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < diff->class_count; i++) {
        if (class_changed(&diff->classes[i])) {
            diff->classes[kept++] = diff->classes[i];
        }
    }
    diff->class_count = kept;
    qsort(diff->classes, kept, sizeof(*diff->classes), class_by_change);
}

/* ---- totals ---------------------------------------------------------------------------------------------------- */

/* Where a total lies in a model. */
struct total {
    const char *key;
    const char *name;
    size_t offset;
    size_t range; /* or NO_RANGE */
    bool counts;
    bool zero_is_unknown;
};

#define IN_TOTALS(field) offsetof(struct psc_model, totals.field)
#define IN_FRAGMENTATION(field) offsetof(struct psc_model, fragmentation.field)

static const struct total totals[] = {
    {"live_bytes", "live, as requested", IN_TOTALS(live_bytes), IN_TOTALS(live_bytes_range), false, false},
    {"peak_live_bytes", "  at the peak", IN_TOTALS(peak_live_bytes), NO_RANGE, false, false},
    {"live_count", "live blocks", IN_TOTALS(live_count), NO_RANGE, true, false},
    {"committed_bytes", "held by the heap (committed)", IN_TOTALS(committed_bytes), NO_RANGE, false, false},
    {"peak_committed_bytes", "  at the peak", IN_TOTALS(peak_committed_bytes), NO_RANGE, false, false},
    {"pinned_bytes", "pinned", IN_FRAGMENTATION(pinned_bytes), NO_RANGE, false, false},
    {"internal_bytes", "rounding of live blocks (internal)", IN_FRAGMENTATION(internal_bytes), NO_RANGE, false, false},
    {"empty_pools_bytes", "empty pools", IN_FRAGMENTATION(empty_pools_bytes), NO_RANGE, false, false},
    {"cached_bytes", "cached", IN_FRAGMENTATION(cached_bytes), NO_RANGE, false, false},
    {"rss_bytes", "whole process, resident (RSS)", IN_TOTALS(rss_bytes), NO_RANGE, false, true},
    {"peak_rss_bytes", "  at the peak", IN_TOTALS(peak_rss_bytes), NO_RANGE, false, true},
    {"alloc_bytes", "allocated in all", IN_TOTALS(alloc_bytes), IN_TOTALS(alloc_bytes_range), false, false},
    {"alloc_count", "allocations", IN_TOTALS(alloc_count), NO_RANGE, true, false},
};

static struct psc_diff_value total_in(const struct psc_model *model, const struct total *total) {
    struct psc_diff_value value = {0};
    memcpy(&value.bytes, (const char *)model + total->offset, sizeof(value.bytes));
    if (total->range != NO_RANGE) {
        struct psc_range range;
        memcpy(&range, (const char *)model + total->range, sizeof(range));
        value = value_in(value.bytes, range);
    }
    return value;
}

static void compare_totals(struct psc_diff *diff) {
    diff->total_count = PSC_COUNT_OF(totals);
    diff->totals = psc_array_new(diff->total_count, sizeof(*diff->totals));
    for (size_t i = 0; i < diff->total_count; i++) {
        struct psc_diff_total *total = &diff->totals[i];
        *total = (struct psc_diff_total){.key = totals[i].key,
                                         .name = totals[i].name,
                                         .counts = totals[i].counts,
                                         .estimated = totals[i].range != NO_RANGE};
        for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
            total->sides[side] = total_in(diff->models[side], &totals[i]);
            total->known[side] = !totals[i].zero_is_unknown || total->sides[side].bytes != 0;
        }
    }
}

const struct psc_diff_total *psc_diff_total_of(const struct psc_diff *diff, enum psc_diff_figure figure) {
    for (size_t i = 0; i < diff->total_count; i++) {
        if (strcmp(diff->totals[i].key, figures[figure].bytes_key) == 0) {
            return &diff->totals[i];
        }
    }
    return NULL; /* never: every figure has its total */
}

/* ---- whole ----------------------------------------------------------------------------------------------------- */

struct psc_diff *psc_diff_make(struct psc_model *old, struct psc_model *new, enum psc_diff_figure by, bool lines) {
    struct psc_diff *diff = psc_array_new(1, sizeof(*diff));
    struct psc_diff_matcher *matcher = psc_diff_match_open(lines);
    struct psc_diff_warner *warner = psc_diff_warn_open(diff);
    size_t capacity = 0;
    diff->models[PSC_DIFF_OLD] = old;
    diff->models[PSC_DIFF_NEW] = new;
    diff->by = by;
    add_sites(diff, PSC_DIFF_OLD, matcher, warner, &capacity);
    add_sites(diff, PSC_DIFF_NEW, matcher, warner, &capacity);
    bound_all(diff);
    sort_sites(diff);
    compare_classes(diff);
    compare_totals(diff);
    psc_diff_warn_finish(warner);
    psc_diff_match_close(matcher);
    return diff;
}

void psc_diff_free(struct psc_diff *diff) {
    for (size_t i = 0; i < diff->warning_count; i++) {
        free(diff->warnings[i]);
    }
    free(diff->warnings);
    free(diff->sites);
    free(diff->classes);
    free(diff->totals);
    free(diff);
}
