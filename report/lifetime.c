#include "report/lifetime.h"

#include <math.h>

#include "report/estimate.h"
#include "report/model.h"

static double start_of(unsigned bucket) {
    return bucket == 0 ? 0 : exp2(bucket + 8);
}

static double end_of(unsigned bucket) {
    return exp2(bucket + 9);
}

/* ---- inside a bucket --------------------------------------------------------------------------------------------- */

/* Where a bucket's ages lie: from `from` on, over `width`, the share x of it holding the share
 * (1 - exp(-rate x)) / (1 - exp(-rate)) of them. */
struct stretch {
    double from;
    double width;
    double rate;
};

#define RATE_MOST 500.0 /* the mean is then a 500th away from the end */
#define RATE_EVEN 1e-5  /* below, the ages lie evenly */

static double mean_of_rate(double rate) {
    return fabs(rate) < RATE_EVEN ? 0.5 : 1 / rate - 1 / expm1(rate);
}

/* The rate at which the mean share is `mean`, by halving. */
static double rate_of_mean(double mean) {
    double low = -RATE_MOST, high = RATE_MOST;
    for (int i = 0; i < 36; i++) {
        double middle = (low + high) / 2;
        *(mean_of_rate(middle) > mean ? &low : &high) = middle;
    }
    return (low + high) / 2;
}

/* Ages in bucket 0 are below the clock's unit. */
static struct stretch find_stretch(const struct psc_age_sums *sums, unsigned bucket) {
    double start = start_of(bucket), width = end_of(bucket) - start;
    if (bucket == 0 || sums->count <= 0) {
        return (struct stretch){start, width, 0};
    }
    double mean = fmin(sums->places / sums->count, 1);
    double variance = fmax(sums->squares / sums->count - mean * mean, 0);
    double reach = sqrt(3 * variance); /* even from -r to r: the variance is r^2 / 3 */
    double share = fmin(2 * reach, 1);
    double from = fmin(fmax(mean - reach, 0), 1 - share);
    double rate = share < 1e-6 ? 0 : rate_of_mean((mean - from) / share);
    return (struct stretch){start + width * from, width * share, rate};
}

/* The age at which the share `fraction` of the ages has come. */
static double age_at(const struct stretch *stretch, double fraction) {
    double rate = stretch->rate;
    double share = fabs(rate) < RATE_EVEN ? fraction : -log1p(fraction * expm1(-rate)) / rate;
    return stretch->from + stretch->width * fmin(fmax(share, 0), 1);
}

/* The share of the ages below `age`. */
static double share_below(const struct stretch *stretch, double age) {
    if (age <= stretch->from) {
        return 0;
    }
    if (age >= stretch->from + stretch->width) {
        return 1;
    }
    double share = (age - stretch->from) / stretch->width;
    return fabs(stretch->rate) < RATE_EVEN ? share : expm1(-stretch->rate * share) / expm1(-stretch->rate);
}

/* ---- the curve --------------------------------------------------------------------------------------------------- */

struct curve {
    struct psc_survival_point *points;
    size_t count;
    double weight;
    double at_risk;
    double alive;
    double variance; /* of `alive`, by its square, were the weight 1 */
};

/* Where nobody is left, no variance can be told: what the upper limit was before, it may still be. */
static void add_point(struct curve *curve, double age_bytes) {
    double high = curve->count == 0 ? 1 : curve->points[curve->count - 1].high;
    struct psc_survival_point point = {age_bytes, curve->alive, 0, high, fmax(curve->at_risk, 0)};
    if (curve->alive > 0) {
        double deviation = sqrt(curve->variance * curve->weight);
        double width = curve->alive < 1 ? PSC_ESTIMATE_Z * deviation / -log(curve->alive) : 0;
        point.low = pow(curve->alive, exp(width));
        point.high = pow(curve->alive, exp(-width));
    }
    curve->points[curve->count++] = point;
}

/* Sums of parts are not exact: the last to die may be some more or less than all. */
static void pass(struct curve *curve, double died, double left_alive) {
    double exposed = curve->at_risk - left_alive / 2;
    double share = exposed > 0 ? died / exposed : 0;
    if (share > 1 - 1e-9) {
        curve->alive = 0;
    } else if (share > 0) {
        curve->alive *= 1 - share;
        curve->variance += share / (exposed * (1 - share));
    }
    curve->at_risk -= died + left_alive;
}

/* The deaths of a bucket come in equal parts, each with the living that are left at an age in its time. */
static void add_bucket(struct curve *curve, const struct psc_age_sums *freed, const struct psc_age_sums *alive,
                       unsigned bucket) {
    struct stretch deaths = find_stretch(freed, bucket), living = find_stretch(alive, bucket);
    double begun = share_below(&living, deaths.from), died = freed->count / PSC_SURVIVAL_PARTS;
    pass(curve, 0, begun * alive->count);
    add_point(curve, deaths.from);
    for (int i = 1; i <= PSC_SURVIVAL_PARTS; i++) {
        double age = age_at(&deaths, (double)i / PSC_SURVIVAL_PARTS);
        double share = share_below(&living, age);
        pass(curve, died, (share - begun) * alive->count);
        add_point(curve, age);
        begun = share;
    }
    pass(curve, 0, (1 - begun) * alive->count);
}

size_t psc_lifetime_curve(const struct psc_lifetime *lifetime, double weight,
                          struct psc_survival_point points[PSC_SURVIVAL_POINTS]) {
    struct curve curve = {.points = points, .weight = weight, .alive = 1};
    unsigned buckets = 0;
    for (unsigned k = 0; k < PSC_AGE_BUCKETS; k++) {
        double blocks = lifetime->freed[k].count + lifetime->alive[k].count;
        curve.at_risk += blocks;
        buckets = blocks > 0 ? k + 1 : buckets;
    }
    if (buckets == 0) {
        return 0;
    }
    add_point(&curve, 0);
    for (unsigned k = 0; k < buckets; k++) {
        if (lifetime->freed[k].count > 0) {
            add_bucket(&curve, &lifetime->freed[k], &lifetime->alive[k], k);
        } else {
            pass(&curve, 0, lifetime->alive[k].count);
        }
    }
    add_point(&curve, end_of(buckets - 1));
    return curve.count;
}

uint64_t psc_survival_quantile(const struct psc_survival_point *points, size_t count, double quantile) {
    double left = 1 - quantile;
    for (size_t i = 1; i < count; i++) {
        const struct psc_survival_point *before = &points[i - 1], *after = &points[i];
        /* the tolerance: 1 - 9/10 is a little more than 0.1 */
        if (after->alive <= left + 1e-9 && after->alive < before->alive) {
            double share = fmin((before->alive - left) / (before->alive - after->alive), 1);
            return (uint64_t)(before->age_bytes + share * (after->age_bytes - before->age_bytes));
        }
    }
    return PSC_LIFETIME_UNKNOWN;
}

static double sum_of_bucket(const struct psc_age_sums *sums, unsigned bucket) {
    double width = end_of(bucket) - start_of(bucket);
    return sums->count * start_of(bucket) + (bucket == 0 ? sums->count / 2 : sums->places) * width;
}

static double sum_of(const struct psc_age_sums buckets[PSC_AGE_BUCKETS]) {
    double sum = 0;
    for (unsigned k = 0; k < PSC_AGE_BUCKETS; k++) {
        sum += buckets[k].count != 0 ? sum_of_bucket(&buckets[k], k) : 0;
    }
    return sum;
}

double psc_lifetime_freed_sum(const struct psc_lifetime *lifetime) {
    return sum_of(lifetime->freed);
}

double psc_lifetime_sum(const struct psc_lifetime *lifetime) {
    return sum_of(lifetime->freed) + sum_of(lifetime->alive);
}
