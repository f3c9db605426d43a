/* Estimates against truths: programs whose blocks are known are sampled a thousand times, by drawing where the hits
 * fall, and the intervals have to hold the truth in 93 to 97 % of the runs. Few outcomes are counted out instead. */
#include "report/estimate.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/compiler.h"
#include "core/wire/sample.h"

#define INTERVAL (512u << 10)
#define MIB (1u << 20)
#define RUNS 1000
#define LEAST 930
#define MOST 970
#define PIECES_MAX 8

/* Blocks of one size that one site has. Those of the same class have a known total together. */
struct piece {
    unsigned site;
    unsigned class;
    uint64_t blocks;
    uint64_t bytes;
};

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

static uint64_t state;

static double uniform(void) {
    state += 0x9e3779b97f4a7c15;
    uint64_t mixed = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return ((double)((mixed ^ mixed >> 31) >> 11) + 0.5) * 0x1p-53;
}

/* How many of the blocks, one behind the other, are hit at least once. */
static uint64_t draw(const struct piece *piece) {
    uint64_t hit = 0, last = UINT64_MAX;
    double end = (double)piece->blocks * (double)piece->bytes;
    for (double at = -log(uniform()) * INTERVAL; at < end; at += -log(uniform()) * INTERVAL) {
        uint64_t block = (uint64_t)(at / (double)piece->bytes);
        hit += block != last;
        last = block;
    }
    return hit;
}

static struct psc_estimate sum_of(uint64_t samples, double weight, double x) {
    struct psc_estimate one = {0}, sum = {0};
    psc_estimate_add(&one, weight, x);
    double n = (double)samples;
    sum = (struct psc_estimate){n * one.seen, n * one.unseen, n * one.variance};
    return sum;
}

/* ---- coverage ---------------------------------------------------------------------------------------------------- */

struct program {
    const struct piece *pieces;
    size_t count;
    double weight_error; /* 1: the right weights */
    bool totals_known;
};

struct result {
    unsigned held;     /* runs whose interval held the truth */
    double mean;       /* of the estimates / the truth */
    double mean_width; /* of the intervals / the truth */
};

static double truth_of(const struct program *program, unsigned site) {
    double bytes = 0;
    for (size_t i = 0; i < program->count; i++) {
        const struct piece *piece = &program->pieces[i];
        bytes += piece->site == site ? (double)(piece->blocks * piece->bytes) : 0;
    }
    return bytes;
}

static double class_bytes(const struct program *program, unsigned class) {
    double bytes = 0;
    for (size_t i = 0; i < program->count; i++) {
        const struct piece *piece = &program->pieces[i];
        bytes += piece->class == class ? (double)(piece->blocks * piece->bytes) : 0;
    }
    return bytes;
}

static struct psc_corrected estimate_site(const struct program *program, const struct psc_estimate *sums,
                                          unsigned site) {
    struct psc_estimate classes[PIECES_MAX] = {{0}};
    struct psc_corrected estimate = {0};
    for (size_t i = 0; i < program->count; i++) {
        psc_estimate_merge(&classes[program->pieces[i].class], &sums[i]);
    }
    for (size_t i = 0; i < program->count; i++) {
        unsigned class = program->pieces[i].class;
        if (program->pieces[i].site != site) {
            continue;
        }
        if (program->totals_known) {
            psc_estimate_correct(&estimate, &sums[i], &classes[class], class_bytes(program, class));
        } else {
            psc_estimate_take(&estimate, &sums[i]);
        }
    }
    return estimate;
}

static struct psc_limits run_once(const struct program *program, unsigned site, double *value) {
    struct psc_estimate sums[PIECES_MAX];
    for (size_t i = 0; i < program->count; i++) {
        const struct piece *piece = &program->pieces[i];
        double weight = psc_sample_weight(piece->bytes, INTERVAL) * program->weight_error;
        sums[i] = sum_of(draw(piece), weight, (double)piece->bytes);
    }
    struct psc_corrected estimate = estimate_site(program, sums, site);
    *value = estimate.value;
    return psc_estimate_limits(&estimate);
}

static struct result run_all(const struct program *program, unsigned site) {
    struct result result = {0};
    double truth = truth_of(program, site);
    for (unsigned run = 0; run < RUNS; run++) {
        double value;
        state = run * 7919u + site;
        struct psc_limits limits = run_once(program, site, &value);
        ck_assert(limits.low <= value && value <= limits.high);
        result.held += limits.low <= truth && truth <= limits.high;
        result.mean += value / truth / RUNS;
        result.mean_width += (limits.high - limits.low) / truth / RUNS;
    }
    return result;
}

static struct result check_coverage(const struct program *program, unsigned site) {
    struct result result = run_all(program, site);
    ck_assert_msg(result.held >= LEAST && result.held <= MOST, "site %u: %u of %u intervals hold the truth", site,
                  result.held, RUNS);
    ck_assert_msg(fabs(result.mean - 1) < result.mean_width / 30, "site %u: the mean is %f of the truth", site,
                  result.mean);
    return result;
}

static const struct piece small_and_large[] = {{0, 0, 1u << 22, 16}, {1, 1, 64, MIB}};

START_TEST(small_blocks_and_large_ones) {
    struct program program = {small_and_large, PSC_COUNT_OF(small_and_large), 1, false};
    check_coverage(&program, 0);
    check_coverage(&program, 1);
}
END_TEST

/* A fifth off, and the estimates are where the intervals are not. */
START_TEST(wrong_weights_are_noticed) {
    for (double error = 0.8; error < 1.3; error += 0.45) {
        struct program program = {small_and_large, PSC_COUNT_OF(small_and_large), error, false};
        ck_assert_uint_lt(run_all(&program, 0).held, LEAST);
        ck_assert_uint_lt(run_all(&program, 1).held, LEAST);
    }
}
END_TEST

/* Two sites in one class, whose total is known: the intervals are narrower and still right. */
static const struct piece one_class[] = {{0, 0, 1u << 20, 64}, {1, 0, 1u << 18, 64}, {2, 0, 1u << 14, 64}};

START_TEST(known_totals_make_it_better) {
    struct program known = {one_class, PSC_COUNT_OF(one_class), 1, true};
    struct program unknown = {one_class, PSC_COUNT_OF(one_class), 1, false};
    struct result most = check_coverage(&known, 0), less = check_coverage(&known, 1);
    ck_assert(most.mean_width < 0.6 * check_coverage(&unknown, 0).mean_width);
    ck_assert(less.mean_width < check_coverage(&unknown, 1).mean_width);
}
END_TEST

/* Where totals are known, a wrong weight that all samples share is put right. */
START_TEST(known_totals_mend_weights) {
    struct program program = {one_class, PSC_COUNT_OF(one_class), 1.2, true};
    ck_assert(fabs(run_all(&program, 0).mean - 1) < 0.01);
}
END_TEST

/* Of known total and blocks that are nearly all samples, what is left to guess is little. */
START_TEST(known_totals_of_large_blocks) {
    static const struct piece pieces[] = {{0, 0, 100, MIB / 4}, {1, 0, 300, MIB / 4}};
    struct program known = {pieces, PSC_COUNT_OF(pieces), 1, true};
    check_coverage(&known, 0);
    check_coverage(&known, 1);
}
END_TEST

static const struct piece mixed[] = {{0, 0, 1u << 20, 16},   {0, 1, 1u << 18, 48}, {0, 2, 1u << 14, 1024},
                                     {0, 3, 200, 64u << 10}, {1, 0, 1u << 21, 16}, {1, 1, 1u << 19, 48},
                                     {1, 2, 1u << 13, 1024}, {1, 3, 40, 64u << 10}};

START_TEST(mixed_sizes) {
    struct program unknown = {mixed, PSC_COUNT_OF(mixed), 1, false};
    struct program known = {mixed, PSC_COUNT_OF(mixed), 1, true};
    for (unsigned site = 0; site < 2; site++) {
        check_coverage(&unknown, site);
        check_coverage(&known, site);
    }
}
END_TEST

/* ---- counted out ------------------------------------------------------------------------------------------------- */

static double binomial(unsigned n, unsigned k, double p) {
    return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) + (n - k) * log1p(-p));
}

/* The chance that the interval holds the number of blocks, over all numbers of samples that may come. */
static double exact_coverage(unsigned blocks, double p) {
    double chance = 0;
    for (unsigned samples = 0; samples <= blocks; samples++) {
        struct psc_estimate sum = sum_of(samples, 1 / p, 1);
        struct psc_corrected estimate = {0};
        psc_estimate_take(&estimate, &sum);
        struct psc_limits limits = samples == 0 ? psc_estimate_of_none(1 / p, 1) : psc_estimate_limits(&estimate);
        chance += limits.low <= blocks && blocks <= limits.high ? binomial(blocks, samples, p) : 0;
    }
    return chance;
}

START_TEST(few_outcomes_counted_out) {
    double p = 1 / psc_sample_weight(MIB, INTERVAL), mean = 0;
    double coverage = exact_coverage(64, p);
    ck_assert_msg(coverage > 0.93 && coverage < 0.97, "64 blocks: %f", coverage);
    for (unsigned blocks = 30; blocks < 130; blocks++) {
        coverage = exact_coverage(blocks, p);
        ck_assert_msg(coverage > 0.92 && coverage < 0.98, "%u blocks: %f", blocks, coverage);
        mean += coverage / 100;
    }
    ck_assert_msg(mean > 0.94 && mean < 0.96, "mean %f", mean);
}
END_TEST

/* About 1 to 5 samples: no interval is near 95 % for all truths, but none is far off. */
START_TEST(few_samples_counted_out) {
    for (unsigned expected = 1; expected <= 5; expected++) {
        double coverage = exact_coverage(expected * 100, 0.01);
        ck_assert_msg(coverage > 0.91 && coverage < 0.985, "%u samples expected: %f", expected, coverage);
    }
}
END_TEST

/* The closed form is the solution of (samples - N p)^2 = z^2 N p (1 - p). */
START_TEST(limits_solve_the_score_test) {
    static const double chances[] = {0.001, 0.2, 0.8647};
    for (size_t i = 0; i < PSC_COUNT_OF(chances); i++) {
        double p = chances[i], samples = 40;
        struct psc_estimate sum = sum_of(40, 1 / p, 1);
        struct psc_corrected estimate = {0};
        psc_estimate_take(&estimate, &sum);
        struct psc_limits limits = psc_estimate_limits(&estimate);
        const double truths[] = {fmax(limits.low, 40), limits.high};
        for (size_t k = 0; k < 2; k++) {
            double deviation = fabs(samples - truths[k] * p) / sqrt(truths[k] * p * (1 - p));
            ck_assert(fabs(deviation - PSC_ESTIMATE_Z) < 1e-6 || truths[k] == 40);
        }
    }
}
END_TEST

/* ---- edges ------------------------------------------------------------------------------------------------------- */

START_TEST(one_sample_says_something) {
    struct psc_estimate sum = sum_of(1, 1000, 1);
    struct psc_corrected estimate = {0};
    psc_estimate_take(&estimate, &sum);
    struct psc_limits limits = psc_estimate_limits(&estimate);
    ck_assert(limits.low > 100 && limits.low < 300);
    ck_assert(limits.high > 4000 && limits.high < 6000);
    struct psc_limits none = psc_estimate_of_none(1000, 1);
    ck_assert(none.low == 0 && none.high > 3000 && none.high < 4000);
}
END_TEST

/* All samples of a class are one site's: another may have been missed. */
START_TEST(all_samples_are_not_all_blocks) {
    struct psc_estimate group = sum_of(12, 1000, 1);
    struct psc_corrected estimate = {0};
    psc_estimate_correct(&estimate, &group, &group, 15000);
    struct psc_limits limits = psc_estimate_limits(&estimate);
    ck_assert_double_eq_tol(estimate.value, 15000, 1e-6);
    ck_assert_double_eq_tol(limits.high, 15000, 1e-6);
    ck_assert(limits.low > 15000 * 0.7 && limits.low < 15000 * 0.85);
}
END_TEST

/* Blocks that are all samples are known, whatever the total says. */
START_TEST(seen_is_certain) {
    struct psc_estimate sum = sum_of(7, 1, 4096);
    struct psc_corrected estimate = {0};
    psc_estimate_take(&estimate, &sum);
    struct psc_limits limits = psc_estimate_limits(&estimate);
    ck_assert(estimate.value == 7 * 4096 && limits.low == estimate.value && limits.high == estimate.value);
    struct psc_estimate some = sum_of(7, 1.01, 1);
    estimate = (struct psc_corrected){0};
    psc_estimate_take(&estimate, &some);
    ck_assert(psc_estimate_limits(&estimate).low >= 7);
}
END_TEST

START_TEST(parts_add_up_to_the_total) {
    static const double values[] = {1.2, 3.3, 0, 2.5, 1e-9, 7.9};
    uint64_t shares[PSC_COUNT_OF(values)], sum = 0;
    psc_estimate_share(values, PSC_COUNT_OF(values), 15, shares);
    for (size_t i = 0; i < PSC_COUNT_OF(values); i++) {
        sum += shares[i];
        ck_assert(fabs((double)shares[i] - values[i]) < 1);
    }
    ck_assert_uint_eq(sum, 15);
    ck_assert_uint_eq(shares[2], 0);
    static const double whole[] = {5, 1000000007, 3};
    psc_estimate_share(whole, PSC_COUNT_OF(whole), 1000000015, shares);
    ck_assert_uint_eq(shares[0], 5);
    ck_assert_uint_eq(shares[1], 1000000007);
    static const double nothing[] = {0, 0};
    psc_estimate_share(nothing, PSC_COUNT_OF(nothing), 9, shares);
    ck_assert_uint_eq(shares[0] + shares[1], 0);
}
END_TEST

/* Figures of a damaged trace may be anything; what comes out is finite, bounded, and still adds up. */
START_TEST(absurd_sums_stay_finite) {
    static const double values[] = {NAN, INFINITY, -5, 1e300, 1e-300, 0, 7};
    uint64_t shares[PSC_COUNT_OF(values)], sum = 0;
    for (size_t i = 0; i < PSC_COUNT_OF(values); i++) {
        for (size_t k = 0; k < PSC_COUNT_OF(values); k++) {
            struct psc_corrected estimate = {values[i], 0, values[k], k % 2 ? INFINITY : values[i], values[k]};
            struct psc_limits limits = psc_estimate_limits(&estimate);
            ck_assert_uint_le(psc_estimate_round(limits.low), 1ull << 62);
            ck_assert_uint_le(psc_estimate_round(limits.high), 1ull << 62);
        }
    }
    psc_estimate_share(values, PSC_COUNT_OF(values), 1000, shares);
    for (size_t i = 0; i < PSC_COUNT_OF(values); i++) {
        sum += shares[i];
    }
    ck_assert_uint_eq(sum, 1000);
    ck_assert_uint_eq(psc_estimate_round(NAN), 0);
    ck_assert_uint_eq(psc_estimate_round(INFINITY), 1ull << 62);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("estimate");
    TCase *coverage = tcase_create("coverage");
    tcase_add_test(coverage, small_blocks_and_large_ones);
    tcase_add_test(coverage, wrong_weights_are_noticed);
    tcase_add_test(coverage, known_totals_make_it_better);
    tcase_add_test(coverage, known_totals_mend_weights);
    tcase_add_test(coverage, known_totals_of_large_blocks);
    tcase_add_test(coverage, mixed_sizes);
    suite_add_tcase(suite, coverage);
    TCase *counted = tcase_create("counted out");
    tcase_add_test(counted, few_outcomes_counted_out);
    tcase_add_test(counted, few_samples_counted_out);
    tcase_add_test(counted, limits_solve_the_score_test);
    suite_add_tcase(suite, counted);
    TCase *edges = tcase_create("edges");
    tcase_add_test(edges, one_sample_says_something);
    tcase_add_test(edges, all_samples_are_not_all_blocks);
    tcase_add_test(edges, seen_is_certain);
    tcase_add_test(edges, parts_add_up_to_the_total);
    tcase_add_test(edges, absurd_sums_stay_finite);
    suite_add_tcase(suite, edges);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
