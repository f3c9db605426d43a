/* What a sampled trace says: estimates of live blocks by site from the samples among them, corrected by the heap's own
 * totals where those are of the same moment; formulas in report/estimate.h. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "report/array.h"
#include "report/estimate.h"
#include "report/load.h"

#define SUM_MAX (1ull << 56) /* bytes: more than an address space holds, and sums of a few fit */
#define INTERVAL_MAX (1ull << 40)
#define GROUP_OF_FEW PSC_CLASSES_MAX /* size classes with too few samples, together */
#define GROUPS (PSC_CLASSES_MAX + 1)
/* By how much what is unseen in that group may be corrected upwards. */
#define FEW_RATIO_MAX 2
/* A snapshot is as good as one of now if since then less was allocated and freed than this part of the standard error of
 * all live bytes: an offset of a fifth of the error leaves of an interval of 95 % one of 94.5 %. */
#define STALE_PART 0.2

/* Sums over live samples: of one site in one size class, or of several. */
struct cell {
    uint32_t site;
    uint32_t next; /* of the same site: index in `cells`; 0: none */
    uint32_t class_index;
    uint64_t samples;
    struct psc_estimate blocks;
    struct psc_estimate block_bytes;
    struct psc_estimate requested;
    struct psc_estimate pinned; /* free bytes of its pool that a block is charged with */
    double cross;               /* w (w - 1) * block bytes * requested */
};

/* What the heap has of a figure, and whether its samples are to add up to it. */
struct total {
    double whole;
    bool corrects;
};

/* Size classes whose totals are known together. */
struct group {
    struct cell sum;
    struct total blocks;
    struct total block_bytes;
    struct total pinned;
};

struct psc_load_samples {
    struct psc_load *load;
    struct cell *cells; /* from 1 on */
    size_t cell_count;
    size_t cell_capacity;
    uint32_t *first;                          /* per site: index in `cells` */
    const struct psc_wire_snapshot *snapshot; /* the last; NULL: none */
    struct cell classes[PSC_CLASSES_MAX];
    uint32_t group_of[PSC_CLASSES_MAX];
    struct group groups[GROUPS];
};

/* The estimates of one site. */
struct sums {
    struct psc_corrected blocks;
    struct psc_corrected block_bytes;
    struct psc_corrected pinned;
    double requested;
    double slack_variance; /* of requested, given block_bytes */
};

/* ---- taking samples ---------------------------------------------------------------------------------------------- */

static uint64_t sane_interval(struct psc_load *load) {
    uint64_t said = load->header->interval_bytes;
    uint64_t interval = said == 0 ? 1 : said > INTERVAL_MAX ? INTERVAL_MAX : said;
    if (interval != said) {
        psc_load_warn(load, "header: samples cannot be %" PRIu64 " bytes apart; read as %" PRIu64, said, interval);
    }
    return interval;
}

void psc_load_samples_begin(struct psc_load *load) {
    struct psc_model *model = load->model;
    if (model->sampling.mode > PSC_MODE_OFF) {
        psc_load_warn(load, "header: mode %" PRIu32 " has no meaning; read as a trace of all allocations",
                      model->sampling.mode);
    }
    if (!psc_model_is_sampled(model)) {
        return;
    }
    model->sampling.interval_bytes = sane_interval(load);
    struct psc_load_samples *samples = psc_array_new(1, sizeof(*samples));
    samples->load = load;
    samples->first = psc_array_new(model->site_count, sizeof(*samples->first));
    samples->cell_count = 1;
    load->samples = samples;
}

static struct cell *cell_of(struct psc_load_samples *samples, uint32_t site, uint32_t class_index) {
    uint32_t at = samples->first[site];
    while (at != 0 && samples->cells[at].class_index != class_index) {
        at = samples->cells[at].next;
    }
    if (at == 0) {
        samples->cells = psc_array_reserve(samples->cells, samples->cell_count + 1, &samples->cell_capacity,
                                           sizeof(*samples->cells));
        at = (uint32_t)samples->cell_count++;
        samples->cells[at] = (struct cell){.site = site, .class_index = class_index, .next = samples->first[site]};
        samples->first[site] = at;
    }
    return &samples->cells[at];
}

void psc_load_sample(struct psc_load *load, uint32_t site, uint32_t class_index, uint64_t block_bytes,
                     uint64_t requested_bytes, double pinned_bytes) {
    struct cell *cell = cell_of(load->samples, site, class_index);
    double weight = psc_sample_weight(block_bytes, load->model->sampling.interval_bytes);
    cell->samples++;
    psc_estimate_add(&cell->blocks, weight, 1);
    psc_estimate_add(&cell->block_bytes, weight, (double)block_bytes);
    psc_estimate_add(&cell->requested, weight, (double)requested_bytes);
    psc_estimate_add(&cell->pinned, weight, pinned_bytes);
    cell->cross += weight * (weight - 1) * (double)block_bytes * (double)requested_bytes;
}

static void merge(struct cell *sum, const struct cell *other) {
    sum->samples += other->samples;
    psc_estimate_merge(&sum->blocks, &other->blocks);
    psc_estimate_merge(&sum->block_bytes, &other->block_bytes);
    psc_estimate_merge(&sum->requested, &other->requested);
    psc_estimate_merge(&sum->pinned, &other->pinned);
    sum->cross += other->cross;
}

/* ---- the heap's own figures -------------------------------------------------------------------------------------- */

static double bytes_in_pools(const struct psc_model *model, const struct psc_wire_snapshot *snapshot) {
    double sum = 0;
    for (uint32_t i = 0; i < model->class_count; i++) {
        sum += (double)snapshot->classes[i].live_blocks * (double)model->classes[i].block_bytes;
    }
    return sum;
}

/* The last snapshot, if its figures can be. */
static void find_snapshot(struct psc_load_samples *samples) {
    struct psc_load *load = samples->load;
    const struct psc_model *model = load->model;
    if (model->snapshot_count == 0) {
        return;
    }
    const struct psc_wire_snapshot *last = &model->snapshots[model->snapshot_count - 1];
    double sum = bytes_in_pools(model, last) + (double)last->large_bytes + (double)last->pinned_bytes +
                 (double)last->empty_bytes + (double)last->cached_bytes;
    if (sum > (double)SUM_MAX) {
        psc_load_warn(load, "snapshots: the last one holds more than an address space, and is not used");
        return;
    }
    if (bytes_in_pools(model, last) + (double)last->large_bytes != (double)last->block_bytes) {
        psc_load_warn(load, "snapshots: the size classes of the last one do not add up to its blocks");
    }
    samples->snapshot = last;
}

static void take_class(struct psc_class *class, const struct psc_wire_snapshot_class *wire) {
    uint64_t committed = (uint64_t)wire->committed_pages * PSC_MODEL_PAGE_BYTES;
    class->pools = wire->pools;
    class->empty_pools = wire->live_blocks == 0 ? wire->pools : 0;
    class->live_blocks = wire->live_blocks;
    class->capacity_blocks = wire->capacity_blocks;
    class->live_block_bytes = wire->live_blocks * class->block_bytes;
    class->committed_bytes = committed > class->live_block_bytes ? committed : class->live_block_bytes;
}

static void take_large(struct psc_class *class, const struct psc_wire_snapshot *snapshot) {
    class->pools = class->live_blocks = class->capacity_blocks = snapshot->large_blocks;
    class->live_block_bytes = class->committed_bytes = snapshot->large_bytes;
}

/* What a class holds beyond its live blocks is pinned, or in empty pools; only the sums of both over all classes are
 * known. Where there are empty pools, each class that has live blocks is taken to have the same share of them. What the
 * classes do not account for lies behind large blocks. */
static void share_pinned(struct psc_model *model, const struct psc_wire_snapshot *snapshot) {
    double beyond[PSC_CLASSES_MAX] = {0};
    double rest = (double)snapshot->pinned_bytes + (double)snapshot->empty_bytes;
    uint64_t pinned[PSC_CLASSES_MAX];
    for (uint32_t i = 0; i < model->class_count; i++) {
        const struct psc_class *class = &model->classes[i];
        double excess = (double)(class->committed_bytes - class->live_block_bytes);
        beyond[i] = class->live_blocks != 0 ? excess : 0;
        rest -= excess;
    }
    beyond[PSC_CLASS_LARGE] = rest > 0 ? rest : 0;
    psc_estimate_share(beyond, PSC_CLASSES_MAX, snapshot->pinned_bytes, pinned);
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        model->classes[i].pinned_bytes = pinned[i];
        model->fragmentation.pinned_bytes += pinned[i];
    }
    model->classes[PSC_CLASS_LARGE].committed_bytes += pinned[PSC_CLASS_LARGE];
}

static void take_snapshot(struct psc_model *model, const struct psc_wire_snapshot *snapshot) {
    struct psc_fragmentation *sums = &model->fragmentation;
    for (uint32_t i = 0; i < model->class_count; i++) {
        take_class(&model->classes[i], &snapshot->classes[i]);
        sums->live_block_bytes += model->classes[i].live_block_bytes;
    }
    take_large(&model->classes[PSC_CLASS_LARGE], snapshot);
    share_pinned(model, snapshot);
    sums->live_block_bytes += snapshot->large_bytes;
    sums->large_bytes = snapshot->large_bytes;
    sums->free_blocks_bytes = sums->pinned_bytes;
    sums->empty_pools_bytes = snapshot->empty_bytes;
    sums->committed_bytes = sums->live_block_bytes + sums->pinned_bytes + sums->empty_pools_bytes;
}

/* Without a snapshot nobody knows what pools hold beside live blocks. */
static void take_no_snapshot(struct psc_load_samples *samples) {
    struct psc_model *model = samples->load->model;
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        struct psc_class *class = &model->classes[i];
        double bytes = psc_estimate_value(&samples->classes[i].block_bytes);
        class->live_blocks = psc_estimate_round(psc_estimate_value(&samples->classes[i].blocks));
        class->live_block_bytes = bytes < (double)SUM_MAX ? psc_estimate_round(bytes) : SUM_MAX;
        class->committed_bytes = class->live_block_bytes;
        model->fragmentation.live_block_bytes += class->live_block_bytes;
    }
    model->fragmentation.large_bytes = model->classes[PSC_CLASS_LARGE].live_block_bytes;
    model->fragmentation.committed_bytes = model->fragmentation.live_block_bytes;
}

/* Whether snapshot and tags tell of the same blocks, but for what the estimates do not notice. */
static bool is_current(const struct psc_load_samples *samples, double variance) {
    const struct psc_wire_counters *now = &samples->load->header->counters;
    const struct psc_wire_snapshot *then = samples->snapshot;
    if (then->flags & PSC_SNAPSHOT_LAST) {
        return true;
    }
    double allocated = (double)now->clock_bytes - (double)then->clock_bytes;
    double freed = allocated - ((double)now->live_bytes - (double)then->live_bytes);
    return fabs(allocated) + fabs(freed) <= STALE_PART * sqrt(variance);
}

/* Blocks that could not become samples are in the heap's totals only: those that a child inherited, and those made
 * after the recording had stopped. */
static bool can_correct(const struct psc_load_samples *samples) {
    const uint32_t others = PSC_TRACE_FORKED | PSC_TRACE_STOPPED | PSC_TRACE_PASSIVE;
    double variance = 0;
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        variance += samples->classes[i].block_bytes.variance;
    }
    return samples->snapshot != NULL && (samples->load->header->flags & others) == 0 && is_current(samples, variance);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static void sum_classes(struct psc_load_samples *samples) {
    for (size_t i = 1; i < samples->cell_count; i++) {
        merge(&samples->classes[samples->cells[i].class_index], &samples->cells[i]);
    }
}

/* A few samples do not answer for much more than they stand for: what is left belongs to blocks of other sizes. */
static bool is_near(const struct psc_estimate *sum, double whole) {
    return whole <= psc_estimate_scaled(sum, FEW_RATIO_MAX);
}

/* What is pinned depends little on the size of blocks: a block that pins much is easily missed, and what it pins is not
 * the fault of one that was met. Too much is put right at any rate. */
static bool pinned_corrects(const struct group *group) {
    const struct psc_estimate *sum = &group->sum.pinned;
    double value = psc_estimate_value(sum);
    return value > group->pinned.whole || value * value >= PSC_ESTIMATE_STRATUM * sum->variance;
}

static void decide(struct psc_load_samples *samples) {
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct group *group = &samples->groups[i];
        bool enough = group->sum.samples >= PSC_ESTIMATE_STRATUM && i != GROUP_OF_FEW;
        bool calibrated = samples->load->model->sampling.calibrated;
        group->blocks.corrects = calibrated && (enough || is_near(&group->sum.blocks, group->blocks.whole));
        group->block_bytes.corrects =
            calibrated && (enough || is_near(&group->sum.block_bytes, group->block_bytes.whole));
        group->pinned.corrects = calibrated && pinned_corrects(group);
    }
}

static void make_groups(struct psc_load_samples *samples) {
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        const struct psc_class *class = &samples->load->model->classes[i];
        const struct cell *sum = &samples->classes[i];
        samples->group_of[i] = sum->samples >= PSC_ESTIMATE_STRATUM ? i : GROUP_OF_FEW;
        struct group *group = &samples->groups[samples->group_of[i]];
        merge(&group->sum, sum);
        group->blocks.whole += (double)class->live_blocks;
        group->block_bytes.whole += (double)class->live_block_bytes;
        group->pinned.whole += (double)class->pinned_bytes;
    }
    decide(samples);
}

/* ---- sites ------------------------------------------------------------------------------------------------------- */

static double ratio_of(const struct psc_estimate *group, const struct total *total) {
    return total->corrects ? psc_estimate_ratio(group, total->whole) : 1;
}

static void add_figure(struct psc_corrected *figure, const struct psc_estimate *part, const struct psc_estimate *group,
                       const struct total *total) {
    if (total->corrects) {
        psc_estimate_correct(figure, part, group, total->whole);
    } else {
        psc_estimate_bound(figure, part, group, total->whole);
    }
}

/* Requested bytes vary with block bytes, and have an error of their own about what those say. */
static void add_requested(struct sums *sums, const struct cell *part, const struct group *group) {
    const struct total *total = &group->block_bytes;
    double ratio = ratio_of(&group->sum.block_bytes, total);
    double squared = total->corrects ? psc_estimate_ratio_squared(&group->sum.block_bytes, total->whole) : 1;
    double bytes = psc_estimate_scaled(&part->block_bytes, ratio);
    double requested = psc_estimate_scaled(&part->requested, ratio);
    double share = bytes > 0 ? requested / bytes : 0;
    sums->requested += requested;
    sums->slack_variance +=
        squared * (part->requested.variance - 2 * share * part->cross + share * share * part->block_bytes.variance);
}

static void add_part(const struct psc_load_samples *samples, struct sums *sums, const struct cell *part,
                     const struct group *group) {
    if (part->samples == 0) {
        return;
    }
    add_requested(sums, part, group);
    if (samples->load->model->sampling.calibrated) {
        add_figure(&sums->blocks, &part->blocks, &group->sum.blocks, &group->blocks);
        add_figure(&sums->block_bytes, &part->block_bytes, &group->sum.block_bytes, &group->block_bytes);
        add_figure(&sums->pinned, &part->pinned, &group->sum.pinned, &group->pinned);
    } else {
        psc_estimate_take(&sums->blocks, &part->blocks);
        psc_estimate_take(&sums->block_bytes, &part->block_bytes);
        psc_estimate_take(&sums->pinned, &part->pinned);
    }
}

static struct sums sums_of(const struct psc_load_samples *samples, uint32_t site) {
    struct sums sums = {.requested = 0};
    struct cell few = {.samples = 0};
    for (uint32_t at = samples->first[site]; at != 0; at = samples->cells[at].next) {
        const struct cell *cell = &samples->cells[at];
        if (samples->group_of[cell->class_index] == GROUP_OF_FEW) {
            merge(&few, cell);
        } else {
            add_part(samples, &sums, cell, &samples->groups[cell->class_index]);
        }
    }
    add_part(samples, &sums, &few, &samples->groups[GROUP_OF_FEW]);
    return sums;
}

/* In whole numbers that hold the value. */
static struct psc_range range_of(struct psc_limits limits, uint64_t value) {
    uint64_t low = psc_estimate_round(ceil(limits.low)), high = psc_estimate_round(floor(limits.high));
    return (struct psc_range){low < value ? low : value, high > value ? high : value};
}

/* Limits of block bytes as those of the bytes requested in them. */
static struct psc_limits requested_limits(const struct sums *sums) {
    struct psc_limits limits = psc_estimate_limits(&sums->block_bytes);
    double share = sums->block_bytes.value > 0 ? sums->requested / sums->block_bytes.value : 0;
    limits = (struct psc_limits){limits.low * share, limits.high * share};
    return psc_estimate_widen(limits, sums->requested, sums->slack_variance);
}

/* Of a site none of whose live blocks was met: as many of its usual size as are easily missed. */
static void bound_none(const struct psc_model *model, struct psc_site *site) {
    if (site->alloc_count != 0 && site->alloc_bytes != 0) {
        uint64_t bytes = site->alloc_bytes / site->alloc_count;
        double weight = psc_sample_weight(bytes != 0 ? bytes : 1, model->sampling.interval_bytes);
        site->live_count_range = range_of(psc_estimate_of_none(weight, 1), 0);
        site->live_bytes_range = range_of(psc_estimate_of_none(weight, (double)bytes), 0);
    }
}

static void bound_site(const struct psc_model *model, struct psc_site *site, const struct sums *sums) {
    if (site->tagged_count == 0) {
        bound_none(model, site);
        return;
    }
    site->live_count_range = range_of(psc_estimate_limits(&sums->blocks), site->live_count);
    site->live_bytes_range = range_of(requested_limits(sums), site->live_bytes);
    site->pinned_bytes_range = range_of(psc_estimate_limits(&sums->pinned), site->pinned_bytes);
}

static void bound_allocated(struct psc_site *site) {
    struct psc_corrected allocated = {.value = (double)site->alloc_bytes,
                                      .variance = site->alloc_bytes_variance,
                                      .whole = INFINITY,
                                      .whole_variance = site->alloc_bytes_variance};
    site->alloc_bytes_range = range_of(psc_estimate_limits(&allocated), site->alloc_bytes);
}

/* ---- whole numbers that add up ----------------------------------------------------------------------------------- */

/* Columns of figures by site, before they are rounded. */
struct columns {
    double *blocks;
    double *requested;
    double *pinned;
    uint64_t *shares;
    double block_sum;
    double block_bytes_sum;
    double requested_sum;
    double pinned_sum;
};

static void add_column(const struct sums *sums, struct columns *columns, size_t site) {
    columns->blocks[site] = sums->blocks.value;
    columns->requested[site] = sums->requested;
    columns->pinned[site] = sums->pinned.value;
    columns->block_sum += sums->blocks.value;
    columns->block_bytes_sum += sums->block_bytes.value;
    columns->requested_sum += sums->requested;
    columns->pinned_sum += sums->pinned.value;
}

static uint64_t beyond(uint64_t whole, double part) {
    uint64_t rounded = psc_estimate_round(part);
    return whole > rounded ? whole - rounded : 0;
}

static uint64_t class_sum(const struct psc_model *model, size_t offset) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        sum += *(const uint64_t *)(const void *)((const char *)&model->classes[i] + offset);
    }
    return sum;
}

/* The part of block bytes that was requested: of the group's samples; in full, where they do not stand for all. */
static double requested_part(const struct group *group, bool calibrated) {
    double ratio = ratio_of(&group->sum.block_bytes, &group->block_bytes);
    double bytes = psc_estimate_scaled(&group->sum.block_bytes, ratio), whole = group->block_bytes.whole;
    double part = bytes > 0 ? fmin(psc_estimate_scaled(&group->sum.requested, ratio) / bytes, 1) : 1;
    double covered = calibrated && whole > bytes ? bytes / whole : 1;
    return covered * part + 1 - covered;
}

static void share_requested(struct psc_load_samples *samples) {
    struct psc_model *model = samples->load->model;
    double requested[PSC_CLASSES_MAX], sum = 0;
    uint64_t shares[PSC_CLASSES_MAX];
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        const struct group *group = &samples->groups[samples->group_of[i]];
        double part = requested_part(group, model->sampling.calibrated);
        requested[i] = (double)model->classes[i].live_block_bytes * part;
        sum += requested[i];
    }
    psc_estimate_share(requested, PSC_CLASSES_MAX, psc_estimate_round(sum), shares);
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        struct psc_class *class = &model->classes[i];
        class->live_requested_bytes = shares[i] < class->live_block_bytes ? shares[i] : class->live_block_bytes;
        model->fragmentation.live_requested_bytes += class->live_requested_bytes;
    }
}

/* Sites, and what no sample tells of, add up to what the heap has. Where the heap's totals are of another moment, the
 * sites stand alone; charges may not exceed what is pinned. */
static void find_totals(struct psc_load_samples *samples, const struct columns *columns, struct psc_totals *sites) {
    struct psc_model *model = samples->load->model;
    struct psc_not_sampled *rest = &model->not_sampled;
    uint64_t pinned = model->fragmentation.pinned_bytes;
    rest->pinned_bytes = beyond(pinned, columns->pinned_sum);
    sites->live_count = psc_estimate_round(columns->block_sum);
    sites->live_bytes = psc_estimate_round(columns->requested_sum);
    if (model->sampling.calibrated) {
        uint64_t blocks = class_sum(model, offsetof(struct psc_class, live_blocks));
        uint64_t requested = model->fragmentation.live_requested_bytes;
        rest->live_count = beyond(blocks, columns->block_sum);
        rest->live_bytes = beyond(model->fragmentation.live_block_bytes, columns->block_bytes_sum);
        rest->live_bytes = rest->live_bytes < requested ? rest->live_bytes : requested;
        sites->live_count = blocks - rest->live_count;
        sites->live_bytes = requested - rest->live_bytes;
    }
}

static void round_column(const struct psc_load_samples *samples, const struct columns *columns, const double *values,
                         uint64_t total, size_t offset) {
    struct psc_model *model = samples->load->model;
    psc_estimate_share(values, model->site_count, total, columns->shares);
    for (size_t i = 0; i < model->site_count; i++) {
        *(uint64_t *)(void *)((char *)&model->sites[i] + offset) = columns->shares[i];
    }
}

static void round_columns(struct psc_load_samples *samples, const struct columns *columns) {
    struct psc_model *model = samples->load->model;
    struct psc_totals sites = {.live_count = 0};
    find_totals(samples, columns, &sites);
    round_column(samples, columns, columns->blocks, sites.live_count, offsetof(struct psc_site, live_count));
    round_column(samples, columns, columns->requested, sites.live_bytes, offsetof(struct psc_site, live_bytes));
    round_column(samples, columns, columns->pinned, model->fragmentation.pinned_bytes - model->not_sampled.pinned_bytes,
                 offsetof(struct psc_site, pinned_bytes));
    model->totals.live_count = sites.live_count + model->not_sampled.live_count;
    model->totals.live_bytes = sites.live_bytes + model->not_sampled.live_bytes;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* Books and tags count the same samples, by the same weights. */
static void compare_books(const struct psc_load_samples *samples, size_t index) {
    const struct psc_site *site = &samples->load->model->sites[index];
    double tagged = 0;
    for (uint32_t at = samples->first[index]; at != 0; at = samples->cells[at].next) {
        tagged += psc_estimate_value(&samples->cells[at].blocks);
    }
    double differ = fabs((double)site->live_count / PSC_SAMPLE_UNIT - tagged);
    if (differ > 0.5 + (double)site->tagged_count / PSC_SAMPLE_UNIT) {
        samples->load->differing_blocks += psc_estimate_round(differ) >> 20 == 0 ? psc_estimate_round(differ) : 1 << 20;
        samples->load->differing_sites++;
    }
}

/* Counts of books are in parts of a block. */
static void scale_counts(struct psc_load_samples *samples, double *values, uint64_t *shares, size_t offset,
                         uint64_t *total) {
    struct psc_model *model = samples->load->model;
    double sum = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        const void *figure = (const char *)&model->sites[i] + offset;
        values[i] = (double)*(const uint64_t *)figure / PSC_SAMPLE_UNIT;
        sum += values[i];
    }
    *total = psc_estimate_round(sum);
    psc_estimate_share(values, model->site_count, *total, shares);
    for (size_t i = 0; i < model->site_count; i++) {
        *(uint64_t *)(void *)((char *)&model->sites[i] + offset) = shares[i];
    }
}

static void scale_all_counts(struct psc_load_samples *samples, struct columns *columns) {
    struct psc_totals *totals = &samples->load->model->totals;
    uint64_t peak;
    scale_counts(samples, columns->blocks, columns->shares, offsetof(struct psc_site, alloc_count),
                 &totals->alloc_count);
    scale_counts(samples, columns->blocks, columns->shares, offsetof(struct psc_site, free_count), &totals->free_count);
    scale_counts(samples, columns->blocks, columns->shares, offsetof(struct psc_site, peak_live_count), &peak);
}

static void scale_class_counts(struct psc_model *model, size_t offset) {
    double values[PSC_CLASSES_MAX], sum = 0;
    uint64_t shares[PSC_CLASSES_MAX];
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        const void *figure = (const char *)&model->classes[i] + offset;
        values[i] = (double)*(const uint64_t *)figure / PSC_SAMPLE_UNIT;
        sum += values[i];
    }
    psc_estimate_share(values, PSC_CLASSES_MAX, psc_estimate_round(sum), shares);
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        *(uint64_t *)(void *)((char *)&model->classes[i] + offset) = shares[i];
    }
}

static void scale_threads(struct psc_model *model) {
    for (size_t i = 0; i < model->thread_count; i++) {
        struct psc_thread *thread = &model->threads[i];
        thread->alloc_count = psc_estimate_round((double)thread->alloc_count / PSC_SAMPLE_UNIT);
        thread->free_count = psc_estimate_round((double)thread->free_count / PSC_SAMPLE_UNIT);
    }
}

static void estimate_sites(struct psc_load_samples *samples, struct columns *columns) {
    struct psc_model *model = samples->load->model;
    for (uint32_t i = 0; i < model->site_count; i++) {
        struct sums sums = sums_of(samples, i);
        add_column(&sums, columns, i);
    }
    share_requested(samples);
    round_columns(samples, columns);
    for (uint32_t i = 0; i < model->site_count; i++) {
        struct sums sums = sums_of(samples, i);
        bound_site(model, &model->sites[i], &sums);
        bound_allocated(&model->sites[i]);
    }
}

/* All sites as one: where the total of block bytes is known, only what was not requested of them is estimated. */
static void bound_totals(const struct psc_load_samples *samples) {
    struct psc_model *model = samples->load->model;
    struct sums sums = {.requested = 0};
    struct psc_site all = {.alloc_bytes = model->totals.alloc_bytes};
    for (uint32_t i = 0; i < GROUPS; i++) {
        add_part(samples, &sums, &samples->groups[i].sum, &samples->groups[i]);
    }
    for (size_t i = 0; i < model->site_count; i++) {
        all.alloc_bytes_variance += model->sites[i].alloc_bytes_variance;
    }
    if (model->sampling.calibrated) {
        sums.block_bytes.whole_variance = 0;
    }
    bound_allocated(&all);
    model->totals.alloc_bytes_range = all.alloc_bytes_range;
    model->totals.live_bytes_range = range_of(requested_limits(&sums), model->totals.live_bytes);
}

static void find_figures(struct psc_load_samples *samples) {
    struct psc_model *model = samples->load->model;
    find_snapshot(samples);
    if (samples->snapshot != NULL) {
        uint64_t end = model->process.duration_ns, at = samples->snapshot->time_ns;
        model->sampling.has_snapshot = true;
        model->sampling.snapshot_age_ns = end > at ? end - at : 0;
        samples->load->cached_bytes = samples->snapshot->cached_bytes;
        take_snapshot(model, samples->snapshot);
    } else {
        take_no_snapshot(samples);
    }
    model->sampling.calibrated = can_correct(samples);
}

void psc_load_samples_finish(struct psc_load *load) {
    struct psc_load_samples *samples = load->samples;
    if (samples == NULL) {
        return;
    }
    struct psc_model *model = load->model;
    struct columns columns = {.blocks = psc_array_new(model->site_count, sizeof(double)),
                              .requested = psc_array_new(model->site_count, sizeof(double)),
                              .pinned = psc_array_new(model->site_count, sizeof(double)),
                              .shares = psc_array_new(model->site_count, sizeof(uint64_t))};
    for (size_t i = 0; i < model->site_count; i++) {
        compare_books(samples, i);
    }
    sum_classes(samples);
    find_figures(samples);
    make_groups(samples);
    scale_all_counts(samples, &columns);
    scale_class_counts(model, offsetof(struct psc_class, alloc_count));
    scale_class_counts(model, offsetof(struct psc_class, free_count));
    scale_threads(model);
    estimate_sites(samples, &columns);
    bound_totals(samples);
    model->sampling.samples = model->totals.recorded_blocks;
    free(columns.blocks);
    free(columns.requested);
    free(columns.pinned);
    free(columns.shares);
    free(samples->cells);
    free(samples->first);
    free(samples);
    load->samples = NULL;
}
