/* How long blocks live, on the allocation clock.
 *
 * Ages are known by the buckets of psc_age_bucket, and of each bucket the mean and the mean square of its ages. A block
 * that is still alive lived at least as long as it is old.
 *
 * Survival S is estimated piece by piece of the time of life: of n blocks that came to a piece, of which d died in it and
 * c are alive at an age in it, the share q = d / (n - c/2) dies, for those that are alive were under observation for half
 * of the piece on average; S at its end is the product of all 1 - q up to there. This is the actuarial estimator (S. J.
 * Cutler, F. Ederer, "Maximum utilization of the life table method in analyzing survival", J. Chronic Dis. 8, 1958). With
 * pieces so short that none has both it is that of E. L. Kaplan and P. Meier ("Nonparametric estimation from incomplete
 * observations", J. Amer. Statist. Assoc. 53, 1958). The pieces are parts of buckets, in each of which an equal share of
 * the bucket's deaths came.
 *
 * Inside a bucket ages are spread over a stretch that has their standard deviation, if they were spread evenly over it,
 * and lies about their mean, as near as the bucket's bounds allow; and in this stretch so that their mean is right and
 * nothing else is assumed: exponentially (the distribution of greatest entropy: E. T. Jaynes, "Information theory and
 * statistical mechanics", Phys. Rev. 106, 1957). So blocks that all live equally long are found where they are, and the
 * medians of exponential, normal and other smooth distributions come out within 1 %. Ages are whole units of
 * PSC_TAG_BIRTH_UNIT bytes, and none of this holds below some tens of those.
 *
 * The band about S holds the truth in 19 of 20 cases at each age. The variance of the estimate, by the square of S, is that
 * of M. Greenwood ("The natural duration of cancer", Reports on Public Health and Medical Subjects 33, 1926), the sum of
 * q / ((n - c/2) (1 - q)); the limits are those of log(-log S), which keeps them between 0 and 1 (J. D. Kalbfleisch, R. L.
 * Prentice, "The statistical analysis of failure time data", 1980, chapter 1). */
#ifndef PSC_REPORT_LIFETIME_H
#define PSC_REPORT_LIFETIME_H

#include <stddef.h>
#include <stdint.h>

#include "core/wire/trace.h"

struct psc_age_sums {
    double count;
    double places; /* sums as in psc_wire_places */
    double squares;
};

struct psc_lifetime {
    struct psc_age_sums freed[PSC_AGE_BUCKETS]; /* ages when they were freed */
    struct psc_age_sums alive[PSC_AGE_BUCKETS]; /* ages now */
};

/* Between two points the curve is a straight line, or nearly. */
struct psc_survival_point {
    double age_bytes;
    double alive; /* the share of blocks that live so long, and its band */
    double low;
    double high;
    double at_risk; /* blocks that are known to have lived so long */
};

#define PSC_SURVIVAL_PARTS 8 /* of the deaths in a bucket */
#define PSC_SURVIVAL_POINTS ((PSC_SURVIVAL_PARTS + 1) * PSC_AGE_BUCKETS + 2)

/* The curve from age 0 to the end of the last bucket that has a block; `weight` is how many blocks a block that was seen
 * stands for. Returns how many points there are; 0: there was no block. */
size_t psc_lifetime_curve(const struct psc_lifetime *lifetime, double weight,
                          struct psc_survival_point points[PSC_SURVIVAL_POINTS]);

/* The age at which the share of blocks that are dead reaches `quantile` (0 < quantile < 1), in bytes.
 * PSC_LIFETIME_UNKNOWN where too many still live to say. */
uint64_t psc_survival_quantile(const struct psc_survival_point *points, size_t count, double quantile);
/* All ages together, in bytes; and those of the freed ones. */
double psc_lifetime_freed_sum(const struct psc_lifetime *lifetime);
double psc_lifetime_sum(const struct psc_lifetime *lifetime);

#endif
