#include "core/base/random.h"

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15) /* 2^64 over the golden ratio */
#define LN_2 0.69314718055994531
#define SQRT_2 1.4142135623730951
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t psc_random_seed(uint64_t seed, uint64_t number) {
    return mix(mix(seed + GOLDEN) + number * GOLDEN);
}

uint64_t psc_random_next(uint64_t *state) {
    return mix(__atomic_add_fetch(state, GOLDEN, __ATOMIC_RELAXED));
}

/* Natural logarithm of x > 0, normal: of the mantissa, between sqrt(1/2) and sqrt(2), by ln m = 2 artanh((m - 1) / (m +
 * 1)), whose series is cut off at 2e-11. */
static double logarithm(double x) {
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> MANTISSA_BITS) - EXPONENT_BIAS;
    bits = (bits & ((UINT64_C(1) << MANTISSA_BITS) - 1)) | (uint64_t)EXPONENT_BIAS << MANTISSA_BITS;
    double mantissa;
    __builtin_memcpy(&mantissa, &bits, sizeof mantissa);
    if (mantissa > SQRT_2) {
        mantissa /= 2;
        exponent++;
    }
    double z = (mantissa - 1) / (mantissa + 1), square = z * z, sum = 0;
    for (int odd = 13; odd >= 1; odd -= 2) {
        sum = sum * square + 1.0 / odd;
    }
    return exponent * LN_2 + 2 * z * sum;
}

double psc_random_exponential(uint64_t *state, double mean) {
    double uniform = (double)((psc_random_next(state) >> 11) + 1) * 0x1p-53; /* in (0, 1] */
    return -logarithm(uniform) * mean;
}
