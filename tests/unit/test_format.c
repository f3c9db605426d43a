/* Figures in words, and sizes in buckets. */
#include <check.h>

#include "report/format.h"
#include "report/model.h"

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
    Suite *suite = suite_create("format");
    TCase *figures = tcase_create("figures");
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
