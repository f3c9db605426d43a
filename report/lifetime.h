/* How long blocks live, on the allocation clock: the survival function of Kaplan and Meier over the buckets of
 * psc_age_bucket, in which a block that is still alive counts as one that lived at least as long as it is old. */
#ifndef PSC_REPORT_LIFETIME_H
#define PSC_REPORT_LIFETIME_H

#include <stdint.h>

#include "core/wire/trace.h"

struct psc_lifetime {
    uint64_t freed[PSC_AGE_BUCKETS];
    uint32_t alive[PSC_AGE_BUCKETS];
};

/* The age at which the share of blocks that are dead reaches `quantile` (0 < quantile < 1), in bytes, interpolated
 * geometrically in its bucket. PSC_LIFETIME_UNKNOWN where too many still live to say. */
uint64_t psc_lifetime_quantile(const struct psc_lifetime *lifetime, double quantile);
/* All ages together, each the mean of its bucket, geometrically as above. */
double psc_lifetime_sum(const struct psc_lifetime *lifetime);

#endif
