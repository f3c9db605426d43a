/* Shares of pinned bytes, and quantiles of lifetimes. */
#include <check.h>
#include <string.h>

#include "report/blame.h"
#include "report/format.h"
#include "report/lifetime.h"
#include "report/model.h"

static uint64_t charged(const struct psc_blame *blames, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += blames[i].charged_bytes;
    }
    return sum;
}

static const struct psc_blame *of_site(const struct psc_blame *blames, size_t count, uint32_t site) {
    for (size_t i = 0; i < count; i++) {
        if (blames[i].site == site) {
            return &blames[i];
        }
    }
    ck_abort_msg("site %u is gone", site);
    return NULL;
}

START_TEST(shares_follow_blocks) {
    struct psc_blame blames[] = {{.site = 5, .blocks = 3}, {.site = 9, .blocks = 1}};
    psc_blame_share(blames, 2, 4000);
    ck_assert_uint_eq(of_site(blames, 2, 5)->charged_bytes, 3000);
    ck_assert_uint_eq(of_site(blames, 2, 9)->charged_bytes, 1000);
}
END_TEST

START_TEST(largest_remainder_then_lowest_site) {
    struct psc_blame blames[] = {{.site = 8, .blocks = 2}, {.site = 4, .blocks = 1}, {.site = 3, .blocks = 2}};
    /* 1.6, 0.8, 1.6 of 4: the remainder of site 4 is largest, then sites 3 and 8 are equal */
    psc_blame_share(blames, 3, 4);
    ck_assert_uint_eq(of_site(blames, 3, 4)->charged_bytes, 1);
    ck_assert_uint_eq(of_site(blames, 3, 3)->charged_bytes, 2);
    ck_assert_uint_eq(of_site(blames, 3, 8)->charged_bytes, 1);
}
END_TEST

START_TEST(shares_always_add_up) {
    struct psc_blame blames[64];
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 5000; round++) {
        size_t count = 1 + (size_t)round % 64;
        for (size_t i = 0; i < count; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            blames[i] = (struct psc_blame){.site = (uint32_t)i, .blocks = 1 + (uint32_t)(state % 500)};
        }
        uint64_t pinned = state >> 40;
        psc_blame_share(blames, count, pinned);
        ck_assert_uint_eq(charged(blames, count), pinned);
    }
}
END_TEST

START_TEST(order_does_not_matter) {
    struct psc_blame there[40], back[40];
    for (uint32_t i = 0; i < 40; i++) {
        there[i] = (struct psc_blame){.site = i, .blocks = 1 + i % 7};
        back[39 - i] = there[i];
    }
    psc_blame_share(there, 40, 12345);
    psc_blame_share(back, 40, 12345);
    for (uint32_t site = 0; site < 40; site++) {
        ck_assert_uint_eq(of_site(there, 40, site)->charged_bytes, of_site(back, 40, site)->charged_bytes);
    }
}
END_TEST

START_TEST(lifetimes_of_the_dead) {
    struct psc_lifetime lifetime = {.freed = {[0] = 50, [3] = 50}};
    ck_assert_uint_eq(psc_lifetime_quantile(&lifetime, 0.25), 256);
    ck_assert_uint_eq(psc_lifetime_quantile(&lifetime, 0.5), 512);
    ck_assert_uint_eq(psc_lifetime_quantile(&lifetime, 0.75), 2896); /* 2^11.5 */
    ck_assert_uint_eq(psc_lifetime_quantile(&lifetime, 0.999999), 4095);
}
END_TEST

/* 40 of 100 died young; 40 are still alive and were last seen at an age in bucket 5; of the 20 that were seen longer,
 * 10 died in bucket 8. Survival is then 0.6 and 0.3: counting the living as dead would give 0.1. */
START_TEST(lifetimes_with_the_living) {
    struct psc_lifetime lifetime = {.freed = {[0] = 40, [8] = 10}, .alive = {[5] = 40, [9] = 10}};
    uint64_t median = psc_lifetime_quantile(&lifetime, 0.5);
    ck_assert_uint_ge(median, 1 << 16);
    ck_assert_uint_lt(median, 1 << 17);
    ck_assert_uint_eq(psc_lifetime_quantile(&lifetime, 0.9), PSC_LIFETIME_UNKNOWN);
}
END_TEST

START_TEST(nobody_died) {
    struct psc_lifetime lifetime = {.alive = {[2] = 7}};
    ck_assert_uint_eq(psc_lifetime_quantile(&lifetime, 0.5), PSC_LIFETIME_UNKNOWN);
    memset(&lifetime, 0, sizeof(lifetime));
    ck_assert_uint_eq(psc_lifetime_quantile(&lifetime, 0.5), PSC_LIFETIME_UNKNOWN);
}
END_TEST

START_TEST(sizes_have_their_buckets) {
    for (uint64_t size = 1; size < 1 << 20; size += size / 7 + 1) {
        uint32_t bucket = psc_size_bucket_of(size);
        ck_assert_uint_le(psc_size_bucket_start(bucket), size);
        uint32_t next = bucket + 1;
        while (psc_size_bucket_of(psc_size_bucket_start(next)) != next) {
            next++; /* numbers that no size has: 4 to 7 */
        }
        ck_assert_uint_gt(psc_size_bucket_start(next), size);
    }
    ck_assert_uint_lt(psc_size_bucket_of(UINT64_MAX), PSC_SIZE_BUCKETS);
}
END_TEST

START_TEST(figures_in_words) {
    ck_assert_str_eq(psc_format_bytes(0).s, "0 B");
    ck_assert_str_eq(psc_format_bytes(1023).s, "1023 B");
    ck_assert_str_eq(psc_format_bytes(400000).s, "391 KiB");
    ck_assert_str_eq(psc_format_bytes((1 << 20) - 1).s, "1.00 MiB");
    ck_assert_str_eq(psc_format_bytes(16000000).s, "15.3 MiB");
    ck_assert_str_eq(psc_format_bytes(UINT64_MAX).s, "16.0 EiB");
    ck_assert_str_eq(psc_format_count(999).s, "999");
    ck_assert_str_eq(psc_format_count(6250).s, "6,250");
    ck_assert_str_eq(psc_format_count(UINT64_MAX).s, "18,446,744,073,709,551,615");
    ck_assert_str_eq(psc_format_share(1, 3).s, "33.3 %");
    ck_assert_str_eq(psc_format_share(1, 0).s, "-");
    ck_assert_str_eq(psc_format_duration(12345000000).s, "12.3 s");
    ck_assert_str_eq(psc_format_duration(3600000000000).s, "1 h 0 min");
}
END_TEST

START_TEST(plain_text_is_cut_whole) {
    char text[12];
    ck_assert_str_eq(psc_format_plain(text, sizeof(text), "a\tb"), "a\\x09b");
    ck_assert_str_eq(psc_format_plain(text, sizeof(text), "0123456\xc3\xa4\xc3\xb6"), "0123456...");
    ck_assert_str_eq(psc_format_plain(text, sizeof(text), "\xe2\x80\xae"), "\\u{202e}");
    ck_assert_str_eq(psc_format_plain(text, sizeof(text), "\xed\xa0\x80"), "\\xed\\xa0...");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report_blame");
    TCase *shares = tcase_create("shares");
    tcase_add_test(shares, shares_follow_blocks);
    tcase_add_test(shares, largest_remainder_then_lowest_site);
    tcase_add_test(shares, shares_always_add_up);
    tcase_add_test(shares, order_does_not_matter);
    suite_add_tcase(suite, shares);
    TCase *figures = tcase_create("figures");
    tcase_add_test(figures, lifetimes_of_the_dead);
    tcase_add_test(figures, lifetimes_with_the_living);
    tcase_add_test(figures, nobody_died);
    tcase_add_test(figures, sizes_have_their_buckets);
    tcase_add_test(figures, figures_in_words);
    tcase_add_test(figures, plain_text_is_cut_whole);
    suite_add_tcase(suite, figures);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
