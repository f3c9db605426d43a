/* Random numbers for drawing samples: of good quality, and no secret. No libm. */
#ifndef PSC_CORE_BASE_RANDOM_H
#define PSC_CORE_BASE_RANDOM_H

#include "core/base/compiler.h"

/* Makes a state of its own of a seed and a number: of a thread, say. */
uint64_t psc_random_seed(uint64_t seed, uint64_t number);
/* 64 random bits (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014). *state moves on
 * by a constant, atomically: threads may share it. */
uint64_t psc_random_next(uint64_t *state);
/* Drawn from the exponential distribution with this mean. At most 37 times the mean. */
double psc_random_exponential(uint64_t *state, double mean);

#endif
