/* Poisson sampling by bytes, and what a sample stands for. Guest and reader use the same sums.
 *
 * Each byte that is allocated is hit with the same small chance, independently, so that hits lie `interval` bytes apart
 * on average; a block is a sample if one of its bytes is hit. A block of b bytes is one with the probability
 *
 *   p(b) = 1 - exp(-b / interval)
 *
 * b being the bytes that the block measures, not those that were asked for. A sample stands for w(b) = 1 / p(b) blocks:
 * sums of w over samples are unbiased, and their variance is the sum of (1 - p) w^2 over the samples (D. G. Horvitz, D.
 * J. Thompson, "A generalization of sampling without replacement from a finite universe", 1952).
 *
 * No libm: the guest does not need it for more. */
#ifndef PSC_CORE_WIRE_SAMPLE_H
#define PSC_CORE_WIRE_SAMPLE_H

#include <stdint.h>

/* Counts of a sampled trace are sums of weights, kept as integers in this unit of a block. */
#define PSC_SAMPLE_UNIT 65536u

/* 1 / (1 - exp(-x)) for x > 0: up to 1 by its series with Bernoulli's numbers, whose next term is below 2e-8; beyond by
 * halving x, as f(2x) = f(x) / (2 - 1 / f(x)). */
static inline double psc_sample_weight_of_ratio(double x) {
    int doublings = 0;
    if (x > 40) {
        return 1;
    }
    for (; x > 1; x /= 2) {
        doublings++;
    }
    double square = x * x;
    double weight = 1 / x + 0.5 + x * (1.0 / 12 - square * (1.0 / 720 - square * (1.0 / 30240 - square / 1209600)));
    for (; doublings > 0; doublings--) {
        weight /= 2 - 1 / weight;
    }
    return weight;
}

/* w(block_bytes), at least 1. Both above 0. */
static inline double psc_sample_weight(uint64_t block_bytes, uint64_t interval_bytes) {
    return psc_sample_weight_of_ratio((double)block_bytes / (double)interval_bytes);
}

/* The weight as counts have it. */
static inline uint64_t psc_sample_units(double weight) {
    return (uint64_t)(weight * PSC_SAMPLE_UNIT + 0.5);
}

/* What a sample adds to a sum of bytes. */
static inline uint64_t psc_sample_bytes(double weight, uint64_t bytes) {
    return (uint64_t)(weight * (double)bytes + 0.5);
}

/* What it adds to the variance of that sum. */
static inline double psc_sample_variance(double weight, uint64_t bytes) {
    return (1 - 1 / weight) * weight * weight * (double)bytes * (double)bytes;
}

#endif
