/* What the page's script is given: stacks as a tree, names that try to be more than names, and a limit to all of it. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/emit.h"
#include "report/page_part.h"
#include "report/page_stacks.h"

#define PAGE_BYTES_MAX (50u << 20)

static char *text;
static size_t text_bytes;
static FILE *out;

static void setup(void) {
    out = open_memstream(&text, &text_bytes);
    ck_assert_ptr_nonnull(out);
}

static void teardown(void) {
    free(text);
}

/* What was written so far, which is all. */
static const char *written(void) {
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

static const char *embedded(const char *name) {
    struct psc_emit emit;
    psc_emit_init_embedded(&emit, out);
    psc_emit_open(&emit, NULL, '[');
    psc_emit_text(&emit, NULL, name);
    psc_emit_number(&emit, NULL, 7);
    psc_emit_close(&emit, '[');
    return written();
}

START_TEST(markup_cannot_end_the_script) {
    ck_assert_str_eq(embedded("</script><!--\"\\'&"), "[\"\\u003c/script>\\u003c!--\\\"\\\\'&\",7]\n");
}
END_TEST

START_TEST(bytes_that_are_no_text_are_replaced) {
    ck_assert_str_eq(embedded("a\x01\n\xff\xc3\xa9\xe2\x80\xa8\xe2\x80\xae"),
                     "[\"a\\u0001\\u000a\\ufffd\xc3\xa9\\u2028\\u202e\",7]\n");
}
END_TEST

START_TEST(json_for_programs_stays_as_it_was) {
    struct psc_emit emit;
    psc_emit_init(&emit, out, 0);
    psc_emit_open(&emit, NULL, '{');
    psc_emit_text(&emit, "a", "v<int>");
    psc_emit_number(&emit, "b", 7);
    psc_emit_close(&emit, '{');
    ck_assert_str_eq(written(), "{\"a\": \"v<int>\", \"b\": 7}\n");
}
END_TEST

START_TEST(stacks_share_what_is_outside) {
    const char *const names[] = {"main", "f(int)", "g"};
    struct psc_frame main_frame = {.function = names[0], .file = "m.c", .line = 3, .module = "/m"};
    struct psc_frame f = {.function = names[1], .file = main_frame.file, .line = 1u << 31, .module = main_frame.module};
    struct psc_frame g = {.function = names[2], .module = main_frame.module, .inlined = true};
    struct psc_frame first[] = {g, f, main_frame}, second[] = {g, main_frame};
    struct psc_stacks *stacks = psc_stacks_new();
    struct psc_emit emit;
    psc_stacks_add(stacks, first, 3);
    psc_stacks_add(stacks, second, 2);
    psc_stacks_add(stacks, first + 1, 2);
    psc_stacks_add(stacks, first, 3);
    psc_stacks_add(stacks, first, 0);
    ck_assert_uint_eq(psc_stacks_function(stacks, names[2]), 3);
    ck_assert_uint_eq(psc_stacks_function(stacks, NULL), 0);
    psc_emit_init_embedded(&emit, out);
    psc_emit_open(&emit, NULL, '{');
    psc_stacks_emit(stacks, &emit);
    psc_emit_close(&emit, '{');
    psc_stacks_release(stacks);
    /* Places: 1 main, 2 f in it, 3 g in that; 4 g in main. */
    ck_assert_str_eq(written(),
                     "{\"functions\":[\"\",\"main\",\"f(int)\",\"g\"],\"short\":[null,null,\"f\",null],"
                     "\"files\":[\"\",\"m.c\"],\"modules\":[\"\",\"/m\"],"
                     "\"frames\":{\"function\":[1,2,3],\"file\":[1,1,0],\"line\":[3,2147483648,0],\"module\":[1,1,1],"
                     "\"inlined\":[0,0,1]},"
                     "\"stacks\":{\"from\":[0,1,2,3,0],\"length\":[3,1,0,0,0],\"frames\":[0,1,2,2]}}\n");
}
END_TEST

/* The sum of the numbers in the array that begins at `at`. */
static uint64_t sum_of(const char *at) {
    uint64_t sum = 0;
    for (char *end; *at != ']'; at = *end == ',' ? end + 1 : end) {
        sum += strtoull(at, &end, 10);
        ck_assert_ptr_ne(at, end);
    }
    return sum;
}

static uint64_t sum_of_column(const char *page, const char *name) {
    static const char values[] = "\"values\":[";
    char key[64];
    snprintf(key, sizeof(key), "\"name\":\"%s\"", name);
    const char *column = strstr(page, key);
    ck_assert_ptr_nonnull(column);
    const char *array = strstr(column, values);
    ck_assert_ptr_nonnull(array);
    return sum_of(array + sizeof(values) - 1);
}

/* Every site's stack is a window on one long row of frames, so that they are all different. */
START_TEST(what_is_too_much_is_summed_up) {
    enum { SITES = 16000, DEPTH = 500, NAMES = 1000 };
    static struct psc_frame row[SITES + DEPTH];
    static char names[NAMES][8];
    struct psc_model model = {.process = {.exe = "/bin/x"}};
    model.sites = calloc(SITES, sizeof(*model.sites));
    model.site_count = SITES;
    uint64_t live = 0;
    for (size_t i = 0; i < SITES + DEPTH; i++) {
        snprintf(names[i % NAMES], sizeof(names[0]), "f%zu", i % NAMES);
        row[i] = (struct psc_frame){.function = names[(i * 2654435761u >> 16) % NAMES], .line = (uint32_t)(i % 7)};
    }
    for (uint32_t i = 0; i < SITES; i++) {
        model.sites[i] = (struct psc_site){.id = i, .alloc_count = 2, .alloc_bytes = i + 1, .live_bytes = i % 100};
        model.sites[i].frames = row + i;
        model.sites[i].frame_count = DEPTH;
        live += model.sites[i].live_bytes;
    }
    ck_assert(psc_page_has_sites(&model));
    psc_page_sites(&model, out);
    const char *page = written();
    ck_assert_uint_lt(text_bytes, PAGE_BYTES_MAX);
    ck_assert_uint_gt(text_bytes, PAGE_BYTES_MAX / 2);
    ck_assert_ptr_nonnull(strstr(page, " of 16,000 sites are shown"));
    ck_assert_ptr_nonnull(strstr(page, "\"(other sites)\""));
    ck_assert_uint_eq(sum_of_column(page, "live"), live);
    ck_assert_uint_eq(sum_of_column(page, "allocations"), 2 * SITES);
    free(model.sites);
}
END_TEST

START_TEST(sites_without_a_stack_are_shown) {
    struct psc_site site = {.id = 0, .alloc_count = 1, .live_bytes = 5};
    struct psc_model model = {.process = {.exe = ""}, .sites = &site, .site_count = 1};
    psc_page_sites(&model, out);
    ck_assert_ptr_nonnull(strstr(written(), "\"(unknown: no stack)\""));
    ck_assert_uint_eq(sum_of_column(text, "live"), 5);
}
END_TEST

START_TEST(without_sites_there_is_nothing) {
    struct psc_model model = {.process = {.exe = ""}};
    ck_assert(!psc_page_has_sites(&model));
    psc_page_sites(&model, out);
    ck_assert_str_eq(written(), "");
}
END_TEST

/* The files stand within an HTML document, which ends a script at the first of these. */
START_TEST(assets_do_not_end_early) {
    static const char *const ends[] = {"</", "<!--", "<script"};
    for (size_t i = 0; i < PSC_COUNT_OF(ends); i++) {
        ck_assert_ptr_null(strstr(psc_page_script, ends[i]));
        ck_assert_ptr_null(strstr(psc_page_style, ends[i]));
    }
    ck_assert_ptr_null(strstr(psc_page_widgets, "<script"));
    ck_assert_ptr_nonnull(strstr(psc_page_script, "new Page();\n"));
    ck_assert_ptr_nonnull(strstr(psc_page_style, "@media print"));
    ck_assert_ptr_null(strstr(psc_page_script, "innerHTML"));
    fclose(out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("page");
    TCase *tests = tcase_create("page");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, markup_cannot_end_the_script);
    tcase_add_test(tests, bytes_that_are_no_text_are_replaced);
    tcase_add_test(tests, json_for_programs_stays_as_it_was);
    tcase_add_test(tests, stacks_share_what_is_outside);
    tcase_add_test(tests, what_is_too_much_is_summed_up);
    tcase_add_test(tests, sites_without_a_stack_are_shown);
    tcase_add_test(tests, without_sites_there_is_nothing);
    tcase_add_test(tests, assets_do_not_end_early);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
