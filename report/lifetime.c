#include "report/lifetime.h"

#include <math.h>

#include "report/model.h"

/* Bucket 0 begins at 0, so that its ages are spread evenly; bucket k spans [2^(k+8), 2^(k+9)). */
static uint64_t age_within(unsigned bucket, double fraction) {
    return (uint64_t)(bucket == 0 ? fraction * PSC_TAG_BIRTH_UNIT : exp2(bucket + 8 + fraction));
}

uint64_t psc_lifetime_quantile(const struct psc_lifetime *lifetime, double quantile) {
    double at_risk = 0;
    for (unsigned k = 0; k < PSC_AGE_BUCKETS; k++) {
        at_risk += (double)lifetime->freed[k] + lifetime->alive[k];
    }
    double surviving = 1;
    for (unsigned k = 0; k < PSC_AGE_BUCKETS && at_risk > 0; k++) {
        double after = surviving * (1 - (double)lifetime->freed[k] / at_risk);
        /* the tolerance: 1 - 9/10 is a little more than 0.1 */
        if (after <= 1 - quantile + 1e-12 && after < surviving) {
            double fraction = (surviving - (1 - quantile)) / (surviving - after);
            return age_within(k, fraction < 1 ? fraction : 1);
        }
        surviving = after;
        at_risk -= (double)lifetime->freed[k] + lifetime->alive[k];
    }
    return PSC_LIFETIME_UNKNOWN;
}

/* Ages spread evenly between their logarithms have the mean (end - start) / ln(end / start). */
static double mean_age(unsigned bucket) {
    return bucket == 0 ? PSC_TAG_BIRTH_UNIT / 2.0 : exp2(bucket + 8) / M_LN2;
}

double psc_lifetime_sum(const struct psc_lifetime *lifetime) {
    double sum = 0;
    for (unsigned k = 0; k < PSC_AGE_BUCKETS; k++) {
        sum += ((double)lifetime->freed[k] + lifetime->alive[k]) * mean_age(k);
    }
    return sum;
}
