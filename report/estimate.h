/* Estimates from samples, and how far off they may be. Only sums and formulas: knows no trace and no model.
 *
 * The samples. Block i was recorded with the known chance p = 1/w, independently of all others (core/wire/sample.h), so
 * that a figure x, summed over blocks, is estimated by the sum of w x over the samples, with the variance
 *     A = sum of w (w - 1) x^2 over the samples
 * (D. G. Horvitz, D. J. Thompson, "A generalization of sampling without replacement from a finite universe", J. Amer.
 * Statist. Assoc. 47, 1952; for independent draws: C.-E. Särndal, B. Swensson, J. Wretman, "Model Assisted Survey
 * Sampling", 1992). The samples themselves are no guess: what is estimated is the unseen part, sum of (w - 1) x.
 *
 * The group. Where the total B of x over a group of blocks is known from elsewhere, it corrects the estimates of its
 * parts: the unseen part of each is multiplied by
 *     r = (B - seen) / unseen
 * so that the parts add up to B. With one weight for all this is the ratio estimate B * (samples of the part) / (samples
 * of the group) (W. G. Cochran, "Sampling Techniques", 3rd ed. 1977, chapter 6; as stratification after the selection,
 * chapter 5A), and the samples of a part are, given their number, drawn without replacement. A part with the share R of
 * B then has the variance
 *     V = (1 - R)^2 A(part) + R^2 A(rest of the group)
 * (that of the residuals x - R x', Cochran, chapter 6). Each A is multiplied by r B / (estimate of B), which makes V that
 * of the hypergeometric distribution, B^2 R (1 - R) / n * (1 - n / B), where all weights are the same (Cochran, chapter
 * 3). The correction pays where the group has enough samples: that their number is left to chance costs about one part
 * in that number of the variance (Cochran, chapter 5A). From PSC_ESTIMATE_STRATUM samples on, which makes a tenth at
 * most, a size class is a group; those with fewer are one group together.
 *
 * The interval. All limits are those of the score test: the values of the truth of which the estimate is less than 1.96
 * of the truth's own standard deviations away. They are lopsided as the truth is, and good for few samples, where
 * estimate +- 1.96 sqrt(V) is not. Without a known total the variance grows with the truth, by s = A / estimate, and the
 * limits are
 *     estimate + s z^2 / 2 +- z sqrt(A + s^2 z^2 / 4)
 * which for equal weights is the score interval of N, of which Binomial(N, p) were seen, and for small p that of the
 * mean of a Poisson distribution. With a known total, R has the interval of E. B. Wilson ("Probable inference, the law of
 * succession, and statistical inference", J. Amer. Statist. Assoc. 22, 1927) for so many samples as would give V:
 *     n = B^2 R (1 - R) / V
 * (their merits: L. D. Brown, T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Statist. Sci. 16,
 * 2001). Where n is 0/0, because the part is the whole, n = B^2 / A.
 *
 * Two errors that do not depend on each other add up squared, on each side (G. Y. Zou, A. Donner, "Construction of
 * confidence limits about effect measures", Statist. Med. 27, 2008).
 *
 * No function fails; with sums that are not finite or below 0 (damage) the results mean nothing but are finite. */
#ifndef PSC_REPORT_ESTIMATE_H
#define PSC_REPORT_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

#define PSC_ESTIMATE_Z 1.959963984540054 /* 95 % of a normal distribution lie within */
#define PSC_ESTIMATE_STRATUM 10          /* samples from which on a group's total corrects its parts */
#define PSC_ESTIMATE_FEW 5               /* an estimate from fewer samples is said to be rough */

/* Sums over samples of one figure x. */
struct psc_estimate {
    double seen;     /* x */
    double unseen;   /* (w - 1) x */
    double variance; /* w (w - 1) x^2: A */
};

struct psc_limits {
    double low;
    double high;
};

/* An estimate that was corrected, on its way to its limits. Parts of one thing in several groups are added up. */
struct psc_corrected {
    double value;
    double least;          /* seen */
    double variance;       /* V; A where the total is not known */
    double whole;          /* B, INFINITY where not known */
    double whole_variance; /* A of all samples of the groups */
};

void psc_estimate_add(struct psc_estimate *sum, double weight, double x);
void psc_estimate_merge(struct psc_estimate *sum, const struct psc_estimate *other);
double psc_estimate_value(const struct psc_estimate *sum);

/* r of a group; 0 where the samples alone are as much as the whole, or nothing is unseen. */
double psc_estimate_ratio(const struct psc_estimate *group, double whole);
/* r B / (estimate of B): by what variances change. */
double psc_estimate_ratio_squared(const struct psc_estimate *group, double whole);
/* The part's unseen times `ratio`. */
double psc_estimate_scaled(const struct psc_estimate *part, double ratio);
/* Adds a part of a group whose total is known, corrected, to `sum`. */
void psc_estimate_correct(struct psc_corrected *sum, const struct psc_estimate *part, const struct psc_estimate *group,
                          double whole);
/* Adds a part of a group whose total is known but has too few samples to correct it. */
void psc_estimate_bound(struct psc_corrected *sum, const struct psc_estimate *part, const struct psc_estimate *group,
                        double whole);
/* Adds a part of a group of which nothing is known. */
void psc_estimate_take(struct psc_corrected *sum, const struct psc_estimate *part);

/* The 95 % interval; holds `value` and is not below `least`. */
struct psc_limits psc_estimate_limits(const struct psc_corrected *estimate);
/* That of nothing seen, of blocks of this weight and x each. */
struct psc_limits psc_estimate_of_none(double weight, double x);
/* Widens the limits about `value` by an error of this variance. */
struct psc_limits psc_estimate_widen(struct psc_limits limits, double value, double variance);

/* As a whole number from 0 to 2^62, whatever `value` is. */
uint64_t psc_estimate_round(double value);
/* Whole numbers in proportion to `values` that add up to `total`, or to 0 if all values are 0: rounded down, what is
 * left by the largest remainders. What is below 0 or not finite counts as 0. */
void psc_estimate_share(const double *values, size_t count, uint64_t total, uint64_t *shares);

#endif
