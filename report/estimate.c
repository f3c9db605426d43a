#include "report/estimate.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "report/array.h"

#define LARGEST 0x1p62
/* Closer to 1 than this, a share is that of the whole: sums differ by rounding. */
#define WHOLE_SHARE (1 - 1e-9)

static const double z = PSC_ESTIMATE_Z;

/* ---- sums -------------------------------------------------------------------------------------------------------- */

void psc_estimate_add(struct psc_estimate *sum, double weight, double x) {
    sum->seen += x;
    sum->unseen += (weight - 1) * x;
    sum->variance += weight * (weight - 1) * x * x;
}

void psc_estimate_merge(struct psc_estimate *sum, const struct psc_estimate *other) {
    sum->seen += other->seen;
    sum->unseen += other->unseen;
    sum->variance += other->variance;
}

double psc_estimate_value(const struct psc_estimate *sum) {
    return sum->seen + sum->unseen;
}

/* ---- a known total ----------------------------------------------------------------------------------------------- */

double psc_estimate_ratio(const struct psc_estimate *group, double whole) {
    return group->unseen > 0 && whole > group->seen ? (whole - group->seen) / group->unseen : 0;
}

double psc_estimate_scaled(const struct psc_estimate *part, double ratio) {
    return part->seen + part->unseen * ratio;
}

double psc_estimate_ratio_squared(const struct psc_estimate *group, double whole) {
    double ratio = psc_estimate_ratio(group, whole);
    return ratio > 0 ? ratio * whole / psc_estimate_value(group) : 0;
}

void psc_estimate_correct(struct psc_corrected *sum, const struct psc_estimate *part, const struct psc_estimate *group,
                          double whole) {
    double ratio = psc_estimate_ratio(group, whole);
    double scale = psc_estimate_ratio_squared(group, whole);
    double value = psc_estimate_scaled(part, ratio);
    double share = whole > 0 ? fmin(value / whole, 1) : 1;
    double others = fmax(group->variance - part->variance, 0);
    sum->value += value;
    sum->least += part->seen;
    sum->variance += scale * ((1 - share) * (1 - share) * part->variance + share * share * others);
    sum->whole += fmax(whole, value);
    sum->whole_variance += scale * group->variance;
}

void psc_estimate_bound(struct psc_corrected *sum, const struct psc_estimate *part, const struct psc_estimate *group,
                        double whole) {
    double value = psc_estimate_value(part);
    sum->value += value;
    sum->least += part->seen;
    sum->variance += part->variance;
    sum->whole += fmax(whole, value);
    sum->whole_variance += group->variance;
}

void psc_estimate_take(struct psc_corrected *sum, const struct psc_estimate *part) {
    sum->value += psc_estimate_value(part);
    sum->least += part->seen;
    sum->variance += part->variance;
    sum->whole = INFINITY;
    sum->whole_variance += part->variance;
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

/* Of what is estimated as `value` with a variance that grows with the truth. */
static struct psc_limits growing(double value, double variance) {
    double step = variance / value;
    double middle = value + step * z * z / 2;
    double half = z * sqrt(variance + step * step * z * z / 4);
    return (struct psc_limits){middle - half, middle + half};
}

/* Wilson's, of the share of `whole` in `n` samples. */
static struct psc_limits within(double share, double n, double whole) {
    double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
    double half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n);
    return (struct psc_limits){(middle - half) * whole, (middle + half) * whole};
}

static struct psc_limits raw_limits(const struct psc_corrected *estimate) {
    if (isinf(estimate->whole)) {
        return growing(estimate->value, estimate->variance);
    }
    double whole = estimate->whole;
    double share = estimate->value / whole;
    bool is_whole = share >= WHOLE_SHARE || estimate->variance <= 0;
    double n =
        is_whole ? whole * whole / estimate->whole_variance : whole * whole * share * (1 - share) / estimate->variance;
    return within(is_whole ? fmin(share, 1) : share, n, whole);
}

struct psc_limits psc_estimate_limits(const struct psc_corrected *estimate) {
    double value = estimate->value;
    if (!(value > 0) || !(estimate->whole_variance > 0) || !isfinite(estimate->whole_variance)) {
        return (struct psc_limits){value, value};
    }
    struct psc_limits limits = raw_limits(estimate);
    limits.low = fmin(fmax(limits.low, estimate->least), value);
    limits.high = fmax(limits.high, value);
    return limits;
}

struct psc_limits psc_estimate_of_none(double weight, double x) {
    return (struct psc_limits){0, (weight - 1) * x * z * z};
}

struct psc_limits psc_estimate_widen(struct psc_limits limits, double value, double variance) {
    double error = variance > 0 ? z * sqrt(variance) : 0;
    return (struct psc_limits){fmax(value - hypot(value - limits.low, error), 0),
                               value + hypot(limits.high - value, error)};
}

/* ---- whole numbers ----------------------------------------------------------------------------------------------- */

uint64_t psc_estimate_round(double value) {
    return !(value > 0) ? 0 : value >= LARGEST ? (uint64_t)LARGEST : (uint64_t)(value + 0.5);
}

struct remainder {
    double part;
    size_t index;
};

static int largest_first(const void *left, const void *right) {
    const struct remainder *a = left, *b = right;
    if (a->part != b->part) {
        return a->part > b->part ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

static double plain(double value) {
    return value > 0 && isfinite(value) ? value : 0;
}

/* Rounds down, and lists what was cut off. Returns what is left of `total`. */
static uint64_t round_down(const double *values, size_t count, double scale, uint64_t total, uint64_t *shares,
                           struct remainder *remainders) {
    uint64_t left = total;
    for (size_t i = 0; i < count; i++) {
        double exact = plain(values[i]) * scale;
        uint64_t share = exact >= LARGEST ? (uint64_t)LARGEST : (uint64_t)exact;
        shares[i] = share < left ? share : left;
        remainders[i] = (struct remainder){exact - (double)shares[i], i};
        left -= shares[i];
    }
    return left;
}

/* Beyond 2^53 a double has no remainders: then the first takes what is left. */
void psc_estimate_share(const double *values, size_t count, uint64_t total, uint64_t *shares) {
    struct remainder *remainders = psc_array_new(count, sizeof(*remainders));
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += plain(values[i]);
    }
    double scale = sum > 0 && isfinite(sum) ? (double)total / sum : 0;
    uint64_t left = round_down(values, count, scale, scale > 0 ? total : 0, shares, remainders);
    if (count > 1) {
        qsort(remainders, count, sizeof(*remainders), largest_first);
    }
    for (size_t i = 0; i < count && left != 0 && remainders[i].part > 0; i++, left--) {
        shares[remainders[i].index]++;
    }
    if (left != 0) {
        shares[remainders[0].index] += left;
    }
    free(remainders);
}
