/* Lifetimes against distributions whose survival is known. */
#include "report/lifetime.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "report/model.h"

static uint64_t quantile_of(const struct psc_lifetime *lifetime, double quantile) {
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    return psc_survival_quantile(points, psc_lifetime_curve(lifetime, 1, points), quantile);
}

START_TEST(lifetimes_of_the_dead) {
    struct psc_lifetime lifetime = {.freed = {[0] = {50, 0, 0}, [3] = {50, 10, 2}}};
    ck_assert_uint_eq(quantile_of(&lifetime, 0.25), 256);
    ck_assert_uint_eq(quantile_of(&lifetime, 0.5), 512);
    ck_assert_uint_eq(quantile_of(&lifetime, 0.75), 2457); /* 2048 * (1 + 10/50): all are there */
    ck_assert_uint_eq(quantile_of(&lifetime, 0.999999), 2457);
    lifetime.freed[3] = (struct psc_age_sums){50, 25, 17}; /* as if spread evenly over more than the bucket */
    ck_assert_uint_eq(quantile_of(&lifetime, 0.75), 3072);
    ck_assert_uint_eq(quantile_of(&lifetime, 0.999999), 4095);
}
END_TEST

/* 40 of 100 died young; 40 are still alive and were last seen at an age in bucket 5; of the 20 that were seen longer,
 * 10 died in bucket 8. Survival is then 0.6 and 0.3: counting the living as dead would give 0.1. */
START_TEST(lifetimes_with_the_living) {
    struct psc_lifetime lifetime = {.freed = {[0] = {40, 0, 0}, [8] = {10, 5, 3}},
                                    .alive = {[5] = {40, 20, 10}, [9] = {10, 5, 3}}};
    uint64_t median = quantile_of(&lifetime, 0.5);
    ck_assert_uint_ge(median, 1 << 16);
    ck_assert_uint_lt(median, 1 << 17);
    ck_assert_uint_eq(quantile_of(&lifetime, 0.9), PSC_LIFETIME_UNKNOWN);
}
END_TEST

START_TEST(nobody_died) {
    struct psc_lifetime lifetime = {.alive = {[2] = {7, 3, 2}}};
    ck_assert_uint_eq(quantile_of(&lifetime, 0.5), PSC_LIFETIME_UNKNOWN);
    memset(&lifetime, 0, sizeof(lifetime));
    ck_assert_uint_eq(quantile_of(&lifetime, 0.5), PSC_LIFETIME_UNKNOWN);
}
END_TEST

/* ---- survival against distributions that are known --------------------------------------------------------------- */

#define BLOCKS 20000

static void let_die(struct psc_lifetime *lifetime, double age) {
    uint64_t bytes = (uint64_t)age;
    struct psc_age_sums *freed = &lifetime->freed[psc_age_bucket(bytes)];
    uint32_t place = psc_age_place(bytes), count = (uint32_t)freed->count++;
    freed->places += psc_age_round(place, count);
    freed->squares += psc_age_round(psc_age_square(place), count);
}

static void check_median(const struct psc_lifetime *lifetime, double truth) {
    double found = (double)quantile_of(lifetime, 0.5);
    ck_assert_msg(fabs(found - truth) <= 0.02 * truth, "median %g for %g", found, truth);
}

/* The i-th of BLOCKS evenly spaced shares. */
static double share_of(uint32_t i) {
    return (i + 0.5) / BLOCKS;
}

/* Ages from all over an octave, and its bounds. */
START_TEST(median_of_equal_lifetimes) {
    for (double age = 1 << 20; age <= 1 << 21; age += 30011) {
        struct psc_lifetime lifetime = {0};
        for (uint32_t i = 0; i < BLOCKS; i++) {
            let_die(&lifetime, age);
        }
        check_median(&lifetime, age);
    }
}
END_TEST

START_TEST(median_of_exponential_lifetimes) {
    for (double mean = 1 << 20; mean <= 1 << 21; mean *= 1.07) {
        struct psc_lifetime lifetime = {0};
        for (uint32_t i = 0; i < BLOCKS; i++) {
            let_die(&lifetime, -mean * log(share_of(i)));
        }
        check_median(&lifetime, mean * log(2));
    }
}
END_TEST

/* Two kinds of blocks: three in five short-lived, or two in five. Each kind lives about as long as its own kind. */
START_TEST(median_of_two_kinds) {
    for (uint32_t short_lived = 2; short_lived <= 3; short_lived++) {
        struct psc_lifetime lifetime = {0};
        for (uint32_t i = 0; i < BLOCKS; i++) {
            double scale = 0.9 + 0.2 * share_of(i / 5 * 5);
            let_die(&lifetime, scale * (i % 5 < short_lived ? 200e3 : 30e6));
        }
        double share = short_lived == 3 ? 0.5 / 0.6 : (0.5 - 0.4) / 0.6;
        check_median(&lifetime, (0.9 + 0.2 * share) * (short_lived == 3 ? 200e3 : 30e6));
    }
}
END_TEST

/* Blocks of an exponential distribution come at an even rate, and half of them are seen for less than their life. */
static void watch(struct psc_lifetime *lifetime, double mean, double seen) {
    for (uint32_t i = 0; i < BLOCKS; i++) {
        double life = -mean * log(share_of(i));
        double watched = seen * fmod(i * 0.6180339887498949, 1);
        if (life <= watched) {
            let_die(lifetime, life);
        } else {
            struct psc_age_sums *alive = &lifetime->alive[psc_age_bucket((uint64_t)watched)];
            double place = psc_age_place((uint64_t)watched) / 0x1p32;
            *alive = (struct psc_age_sums){alive->count + 1, alive->places + place, alive->squares + place * place};
        }
    }
}

START_TEST(median_with_half_alive) {
    for (double mean = 1 << 20; mean <= 1 << 21; mean *= 1.3) {
        struct psc_lifetime lifetime = {0};
        double alive = 0;
        watch(&lifetime, mean, 1.6 * mean);
        for (uint32_t k = 0; k < PSC_AGE_BUCKETS; k++) {
            alive += lifetime.alive[k].count;
        }
        ck_assert_double_gt(alive, BLOCKS * 0.4);
        check_median(&lifetime, mean * log(2));
    }
}
END_TEST

/* S and the band of so many independent blocks, which without living ones is that of the binomial distribution. */
START_TEST(curve_of_exponential_lifetimes) {
    struct psc_lifetime lifetime = {0};
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    const double mean = 1 << 20, z = 1.959963984540054;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        let_die(&lifetime, -mean * log(share_of(i)));
    }
    size_t count = psc_lifetime_curve(&lifetime, 1, points), checked = 0;
    ck_assert_double_eq(points[0].alive, 1);
    ck_assert_double_eq(points[count - 1].alive, 0);
    for (size_t i = 1; i < count; i++) {
        double truth = exp(-points[i].age_bytes / mean), found = points[i].alive;
        ck_assert_double_ge(points[i].age_bytes, points[i - 1].age_bytes);
        if (truth > 0.98 || truth < 0.02) {
            continue; /* too close to the clock's unit, or to the last block */
        }
        checked++;
        ck_assert_double_eq_tol(found, truth, 0.005);
        ck_assert_double_eq_tol(points[i].at_risk, found * BLOCKS, 1);
        double width = z * sqrt((1 - found) / (found * BLOCKS)) / -log(found);
        ck_assert_double_eq_tol(points[i].low, pow(found, exp(width)), 1e-6);
        ck_assert_double_eq_tol(points[i].high, pow(found, exp(-width)), 1e-6);
    }
    ck_assert_uint_ge(checked, 40);
}
END_TEST

/* The curve's area from 0 on is the mean lifetime. */
START_TEST(curve_keeps_the_mean) {
    struct psc_lifetime lifetime = {0};
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    double sum = 0, area = 0;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        double age = 512 * floor(1e4 * share_of(i) * share_of(i)) + 512;
        let_die(&lifetime, age);
        sum += age;
    }
    size_t count = psc_lifetime_curve(&lifetime, 1, points);
    for (size_t i = 1; i < count; i++) {
        area += (points[i].age_bytes - points[i - 1].age_bytes) * (points[i].alive + points[i - 1].alive) / 2;
    }
    ck_assert_double_eq_tol(area, sum / BLOCKS, 0.001 * sum / BLOCKS);
}
END_TEST

START_TEST(curve_of_few) {
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    struct psc_lifetime nobody = {0}, lives = {.alive = {[6] = {3, 1, 1}}};
    ck_assert_uint_eq(psc_lifetime_curve(&nobody, 1, points), 0);
    ck_assert_uint_eq(psc_lifetime_curve(&lives, 1, points), 2);
    ck_assert_double_eq(points[1].alive, 1);
    ck_assert_double_eq(points[1].age_bytes, 1 << 15);
}
END_TEST

/* Sums that no ages have. */
START_TEST(curve_of_damage) {
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    for (int damage = 0; damage < 4; damage++) {
        struct psc_lifetime lifetime;
        struct psc_age_sums sums = {1, damage & 1 ? 1e18 : 0, damage & 2 ? 1e18 : 0};
        for (size_t k = 0; k < PSC_AGE_BUCKETS; k++) {
            lifetime.freed[k] = lifetime.alive[k] = sums;
        }
        size_t count = psc_lifetime_curve(&lifetime, 1, points);
        ck_assert_uint_eq(count, PSC_SURVIVAL_POINTS);
        for (size_t i = 0; i < count; i++) {
            const struct psc_survival_point *point = &points[i];
            ck_assert(point->low >= 0 && point->low <= point->alive && point->alive <= point->high && point->high <= 1);
            ck_assert(i == 0 || point->age_bytes >= points[i - 1].age_bytes);
        }
    }
}
END_TEST

/* Of samples that stand for 4 blocks each, the band is as wide as that of a quarter of the blocks. */
START_TEST(band_of_samples) {
    struct psc_survival_point few[PSC_SURVIVAL_POINTS], weighted[PSC_SURVIVAL_POINTS];
    struct psc_lifetime small = {.freed = {[4] = {10, 2, 1}, [7] = {20, 9, 5}}, .alive = {[7] = {8, 4, 3}}};
    struct psc_lifetime large = {.freed = {[4] = {40, 8, 4}, [7] = {80, 36, 20}}, .alive = {[7] = {32, 16, 12}}};
    size_t count = psc_lifetime_curve(&small, 1, few);
    ck_assert_uint_eq(psc_lifetime_curve(&large, 4, weighted), count);
    ck_assert_double_lt(few[3].low, few[3].alive - 0.01);
    for (size_t i = 0; i < count; i++) {
        ck_assert_double_eq_tol(weighted[i].low, few[i].low, 1e-12);
        ck_assert_double_eq_tol(weighted[i].high, few[i].high, 1e-12);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lifetime");
    TCase *tests = tcase_create("lifetime");
    tcase_add_test(tests, lifetimes_of_the_dead);
    tcase_add_test(tests, lifetimes_with_the_living);
    tcase_add_test(tests, nobody_died);
    tcase_add_test(tests, median_of_equal_lifetimes);
    tcase_add_test(tests, median_of_exponential_lifetimes);
    tcase_add_test(tests, median_of_two_kinds);
    tcase_add_test(tests, median_with_half_alive);
    tcase_add_test(tests, curve_of_exponential_lifetimes);
    tcase_add_test(tests, curve_keeps_the_mean);
    tcase_add_test(tests, curve_of_few);
    tcase_add_test(tests, curve_of_damage);
    tcase_add_test(tests, band_of_samples);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
