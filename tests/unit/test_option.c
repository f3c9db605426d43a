#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/option.h"

struct heard {
    int count;
    char last[600];
};

static struct psc_options options;
static struct heard heard;

static void hear(void *context, const char *message) {
    struct heard *into = context;
    into->count++;
    strncpy(into->last, message, sizeof(into->last) - 1);
}

static void set_up(void) {
    memset(&heard, 0, sizeof(heard));
    psc_option_defaults(&options);
}

static bool parse(const char *text) {
    return psc_option_parse(&options, text, hear, &heard);
}

static const struct psc_option *row(const char *name) {
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        if (strcmp(option->name, name) == 0) {
            return option;
        }
    }
    ck_abort_msg("no option %s", name);
}

static void check_refused(const char *text, const char *part_of_message) {
    struct psc_options before = options;
    int count = heard.count;
    ck_assert_msg(!parse(text), "'%s' was taken", text);
    ck_assert_int_eq(heard.count, count + 1);
    ck_assert_msg(strstr(heard.last, part_of_message) != NULL, "'%s' does not say '%s'", heard.last, part_of_message);
    ck_assert_msg(memcmp(&before, &options, sizeof(before)) == 0, "'%s' changed an option", text);
}

START_TEST(defaults_are_those_of_the_table) {
    ck_assert_uint_eq(options.mode, PSC_MODE_EXACT);
    ck_assert_str_eq(options.out, ".");
    ck_assert_uint_eq(options.depth, 256);
    ck_assert_uint_eq(options.purge, 1000);
    ck_assert_uint_eq(options.verbose, 0);
}
END_TEST

START_TEST(nothing_is_a_list) {
    struct psc_options before = options;
    ck_assert(parse(""));
    ck_assert(parse(",,"));
    ck_assert(memcmp(&before, &options, sizeof(before)) == 0);
    ck_assert_int_eq(heard.count, 0);
}
END_TEST

START_TEST(each_kind_is_read) {
    ck_assert(parse("mode=off,out=/tmp/x,depth=12,verbose=on"));
    ck_assert_uint_eq(options.mode, PSC_MODE_OFF);
    ck_assert_str_eq(options.out, "/tmp/x");
    ck_assert_uint_eq(options.depth, 12);
    ck_assert_uint_eq(options.verbose, 1);
    ck_assert_int_eq(heard.count, 0);
}
END_TEST

START_TEST(the_last_of_two_holds) {
    ck_assert(parse("depth=1,depth=2,"));
    ck_assert_uint_eq(options.depth, 2);
}
END_TEST

START_TEST(numbers_take_units) {
    ck_assert(parse("snapshots=1k,purge=2s"));
    ck_assert_uint_eq(options.snapshots, 1024);
    ck_assert_uint_eq(options.purge, 2000);
    ck_assert(parse("snapshots=2K,purge=70ms"));
    ck_assert_uint_eq(options.snapshots, 2048);
    ck_assert_uint_eq(options.purge, 70);
    ck_assert(parse("purge=0"));
    ck_assert_uint_eq(options.purge, 0);
    ck_assert(parse("purge=0s,purge=5"));
    ck_assert_uint_eq(options.purge, 5);
}
END_TEST

START_TEST(limits_are_taken_and_no_more) {
    const struct psc_option *depth = row("depth");
    char text[64];
    for (uint32_t value = depth->min - 1; value <= depth->max + 1; value++) {
        bool inside = value >= depth->min && value <= depth->max;
        snprintf(text, sizeof(text), "depth=%u", value);
        ck_assert_msg(parse(text) == inside, "%s", text);
    }
}
END_TEST

START_TEST(malformed_numbers_are_refused) {
    static const char *const values[] = {"",           "x",
                                         "-1",         "+1",
                                         " 1",         "1 ",
                                         "1x",         "1kk",
                                         "0x10",       "1.5",
                                         "1ms",        "0q",
                                         "4294967297", "18446744073709551617",
                                         "4g",         "99999999999999999999999k"};
    for (size_t i = 0; i < PSC_COUNT_OF(values); i++) {
        char text[64];
        snprintf(text, sizeof(text), "depth=%s", values[i]);
        check_refused(text, "it takes a number from 1 to 256");
    }
    check_refused("purge=1k", "500ms");
    check_refused("purge=3601s", "3600000");
    check_refused("purge=1m", "a time");
}
END_TEST

START_TEST(choices_must_be_whole_words) {
    check_refused("mode=exac", "option mode cannot be 'exac'; it takes exact, sample or off");
    check_refused("mode=exact|off", "exact, sample or off");
    check_refused("mode=", "exact, sample or off");
    check_refused("mode", "option mode cannot be ''");
    check_refused("verbose=yes", "off or on");
}
END_TEST

START_TEST(unknown_names_are_named_with_the_valid_ones) {
    check_refused("colour=red", "there is no option 'colour'; options are mode, interval, ");
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        ck_assert_ptr_nonnull(strstr(heard.last, option->name));
    }
    check_refused("=1", "no option ''");
    check_refused("Mode=off", "no option 'Mode'");
}
END_TEST

START_TEST(the_rest_of_the_list_is_read) {
    ck_assert(!parse("depth=3,nonsense,mode=maybe,purge=1s,=,verbose=on"));
    ck_assert_int_eq(heard.count, 3);
    ck_assert_uint_eq(options.depth, 3);
    ck_assert_uint_eq(options.purge, 1000);
    ck_assert_uint_eq(options.verbose, 1);
    ck_assert_uint_eq(options.mode, PSC_MODE_EXACT);
}
END_TEST

START_TEST(backslashes_protect) {
    ck_assert(parse("out=a\\,b,depth=7"));
    ck_assert_str_eq(options.out, "a,b");
    ck_assert_uint_eq(options.depth, 7);
    ck_assert(parse("out=a\\\\,depth=8"));
    ck_assert_str_eq(options.out, "a\\");
    ck_assert_uint_eq(options.depth, 8);
    ck_assert(parse("out=a\\b=c\\"));
    ck_assert_str_eq(options.out, "a\\b=c\\");
}
END_TEST

START_TEST(long_texts_are_refused_not_cut) {
    char text[8192] = "out=";
    size_t start = strlen(text);
    memset(text + start, 'a', PSC_OPTION_TEXT_MAX - 1);
    ck_assert(parse(text));
    ck_assert_uint_eq(strlen(options.out), PSC_OPTION_TEXT_MAX - 1);
    set_up();
    text[start + PSC_OPTION_TEXT_MAX - 1] = 'a';
    check_refused(text, "1 to 1023 bytes");
    memset(text + start, 'b', sizeof(text) - start - 1);
    check_refused(text, "1 to 1023 bytes");
    memset(text, 'n', sizeof(text) - 1);
    check_refused(text, "no option 'nnnn");
    check_refused("out=", "1 to 1023 bytes");
}
END_TEST

START_TEST(messages_hold_nothing_that_a_terminal_obeys) {
    check_refused("mo\x1b]2;x\ade=off", "no option 'mo?]2;x?de'");
    check_refused("mode=\nx", "'?x'");
}
END_TEST

START_TEST(set_takes_the_value_as_it_is) {
    ck_assert(psc_option_set(&options, "out", "a,b\\,c", hear, &heard));
    ck_assert_str_eq(options.out, "a,b\\,c");
    ck_assert(!psc_option_set(&options, "depth", "0", hear, &heard));
    ck_assert(!psc_option_set(&options, "dept", "1", NULL, NULL));
    ck_assert_int_eq(heard.count, 1);
    ck_assert_uint_eq(options.depth, 256);
}
END_TEST

/* What help and manual show can be typed in, and gives the default. */
START_TEST(initial_values_read_back) {
    struct psc_options read;
    memset(&read, 0xff, sizeof(read));
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        char value[PSC_OPTION_TEXT_MAX];
        psc_option_initial(option, value, sizeof(value));
        ck_assert_msg(psc_option_set(&read, option->name, value, hear, &heard), "%s", heard.last);
        if (option->kind != PSC_OPTION_IS_TEXT) {
            ck_assert_mem_eq((char *)&read + option->offset, (char *)&options + option->offset, sizeof(uint32_t));
        }
    }
    ck_assert_str_eq(read.out, options.out);
}
END_TEST

START_TEST(initial_values_are_short) {
    char value[64];
    ck_assert_str_eq(psc_option_initial(row("mode"), value, sizeof(value)), "exact");
    ck_assert_str_eq(psc_option_initial(row("purge"), value, sizeof(value)), "1s");
    ck_assert_str_eq(psc_option_initial(row("depth"), value, sizeof(value)), "256");
    ck_assert_str_eq(psc_option_initial(row("verbose"), value, sizeof(value)), "off");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("option");
    TCase *tests = tcase_create("option");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, defaults_are_those_of_the_table);
    tcase_add_test(tests, nothing_is_a_list);
    tcase_add_test(tests, each_kind_is_read);
    tcase_add_test(tests, the_last_of_two_holds);
    tcase_add_test(tests, numbers_take_units);
    tcase_add_test(tests, limits_are_taken_and_no_more);
    tcase_add_test(tests, malformed_numbers_are_refused);
    tcase_add_test(tests, choices_must_be_whole_words);
    tcase_add_test(tests, unknown_names_are_named_with_the_valid_ones);
    tcase_add_test(tests, the_rest_of_the_list_is_read);
    tcase_add_test(tests, backslashes_protect);
    tcase_add_test(tests, long_texts_are_refused_not_cut);
    tcase_add_test(tests, messages_hold_nothing_that_a_terminal_obeys);
    tcase_add_test(tests, set_takes_the_value_as_it_is);
    tcase_add_test(tests, initial_values_read_back);
    tcase_add_test(tests, initial_values_are_short);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
