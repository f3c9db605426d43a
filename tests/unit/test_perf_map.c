/* Maps of code that a program made at run time, honest ones and others. */
#include "report/perf_map.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/symbols.h"

#define SECOND UINT64_C(1000000000)

static char scratch[] = "/tmp/test_perf_map.XXXXXX";
static char path[64];
static struct psc_perf_map_source source;

static void setup(void) {
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    snprintf(path, sizeof(path), "%s/perf-77.map", scratch);
    source = (struct psc_perf_map_source){.path = path, .not_after_ns = UINT64_MAX};
}

static void teardown(void) {
    unlink(path);
    ck_assert_int_eq(rmdir(scratch), 0);
}

static void write_map(const char *text, size_t bytes) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static struct psc_perf_map *open_text(const char *text) {
    write_map(text, strlen(text));
    struct psc_perf_map *map = psc_perf_map_open(&source);
    ck_assert_ptr_nonnull(map);
    return map;
}

static void expect(const struct psc_perf_map *map, uint64_t address, const char *name) {
    const char *found = psc_perf_map_find(map, address);
    if (name == NULL) {
        ck_assert_ptr_null(found);
    } else {
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found, name);
    }
}

START_TEST(an_address_has_the_name_of_its_line) {
    struct psc_perf_map *map = open_text("3000 10 third one\n1000 10 first\n0x2000 0x10 second\n");
    expect(map, 0x0fff, NULL);
    expect(map, 0x1000, "first");
    expect(map, 0x100f, "first");
    expect(map, 0x1010, NULL);
    expect(map, 0x2008, "second");
    expect(map, 0x300f, "third one");
    expect(map, 0, NULL);
    expect(map, UINT64_MAX, NULL);
    psc_perf_map_close(map);
}
END_TEST

START_TEST(later_lines_replace_what_they_overlap) {
    struct psc_perf_map *map =
        open_text("1000 10 a\n1010 10 b\n1020 10 c\n1008 10 over a and b\n1030 10 d\n1030 8 e\n");
    expect(map, 0x1000, NULL);
    expect(map, 0x1008, "over a and b");
    expect(map, 0x1017, "over a and b");
    expect(map, 0x1018, NULL);
    expect(map, 0x1020, "c");
    expect(map, 0x1030, "e");
    expect(map, 0x1038, NULL);
    psc_perf_map_close(map);
}
END_TEST

START_TEST(lines_that_are_none_are_left_out) {
    struct psc_perf_map *map = open_text("\n \n1000\n1000 10\n1000 10 \n1000 0 empty\nxyz 10 a\n-1000 10 b\n1000 -1 c\n"
                                         "11112222333344445 10 d\n1000  10 e\nffffffffffffffff 10 beyond\n"
                                         "2000 10 good\n3000 10 not whole");
    expect(map, 0x1000, NULL);
    expect(map, 0x1001, NULL);
    expect(map, 0xfffffffffffffff8, NULL);
    expect(map, 0x2000, "good");
    expect(map, 0x3000, NULL);
    psc_perf_map_close(map);
}
END_TEST

START_TEST(long_lines_are_left_out) {
    char *text = calloc(1, 20000);
    snprintf(text, 20000, "1000 10 %010000d\n2000 10 good\n", 7);
    struct psc_perf_map *map = open_text(text);
    expect(map, 0x1000, NULL);
    expect(map, 0x2000, "good");
    psc_perf_map_close(map);
    free(text);
}
END_TEST

START_TEST(files_of_other_times_are_not_used) {
    write_map("1000 10 a\n", 10);
    struct timespec times[2] = {{.tv_sec = 5000}, {.tv_sec = 5000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    source.not_before_ns = 5002 * SECOND;
    ck_assert_ptr_null(psc_perf_map_open(&source));
    source.not_before_ns = 4000 * SECOND;
    source.not_after_ns = 4998 * SECOND;
    ck_assert_ptr_null(psc_perf_map_open(&source));
    source.not_after_ns = 5000 * SECOND;
    struct psc_perf_map *map = psc_perf_map_open(&source);
    expect(map, 0x1000, "a");
    psc_perf_map_close(map);
}
END_TEST

START_TEST(other_kinds_of_files_are_not_used) {
    char target[80];
    ck_assert_ptr_null(psc_perf_map_open(&source)); /* nothing there */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_ptr_null(psc_perf_map_open(&source));
    unlink(path);
    snprintf(target, sizeof(target), "%s/target", scratch);
    write_map("1000 10 a\n", 10);
    ck_assert_int_eq(rename(path, target), 0);
    ck_assert_int_eq(symlink(target, path), 0);
    ck_assert_ptr_null(psc_perf_map_open(&source));
    unlink(path);
    ck_assert_int_eq(rename(target, path), 0);
    ck_assert_int_eq(truncate(path, (off_t)1 << 30), 0);
    ck_assert_ptr_null(psc_perf_map_open(&source));
    if (geteuid() == 0) {
        write_map("1000 10 a\n", 10);
        ck_assert_int_eq(chown(path, 12345, 12345), 0);
        struct psc_perf_map *map = psc_perf_map_open(&source);
        ck_assert_ptr_null(map);
    }
}
END_TEST

/* Whatever the bytes are, some answer comes. */
START_TEST(any_bytes_give_an_answer) {
    static const char alphabet[] = "0123456789abcdef \n\nx\0Z";
    char text[600];
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof(text); i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            text[i] = i % 29 == 8 ? '\n' : alphabet[state % (sizeof(alphabet) - 1)];
        }
        write_map(text, sizeof(text));
        struct psc_perf_map *map = psc_perf_map_open(&source);
        ck_assert_ptr_nonnull(map);
        for (uint64_t address = 0; address < 0x1000; address += 7) {
            const char *name = psc_perf_map_find(map, address);
            ck_assert(name == NULL || name[0] != '\0');
        }
        psc_perf_map_close(map);
    }
}
END_TEST

START_TEST(frames_are_named_by_the_map) {
    const struct psc_frame *frames;
    write_map("1000 10 made\x1b[31m_here\n", 23);
    struct psc_module module = {.start = 0x5000, .end = 0x6000, .path = "/nowhere"};
    struct psc_symbols *symbols = psc_symbols_open(&module, 1);
    psc_symbols_use_map(symbols, &source);
    ck_assert_uint_eq(psc_symbols_resolve(symbols, 0x1010, PSC_MODULE_NONE, &frames), 1);
    ck_assert_str_eq(frames[0].function, "made\\x1b[31m_here");
    ck_assert_str_eq(frames[0].module, "perf-77.map");
    ck_assert_uint_eq(frames[0].line, 0);
    ck_assert_uint_eq(psc_symbols_resolve(symbols, 0x1011, PSC_MODULE_NONE, &frames), 1);
    ck_assert_str_eq(frames[0].function, "0x1011");
    ck_assert_ptr_null(frames[0].module);
    ck_assert_uint_eq(psc_symbols_resolve(symbols, 0x1008, 0, &frames), 1); /* in a module */
    ck_assert_str_ne(frames[0].function, "made\\x1b[31m_here");
    psc_symbols_close(symbols);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("perf_map");
    TCase *tests = tcase_create("perf_map");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, an_address_has_the_name_of_its_line);
    tcase_add_test(tests, later_lines_replace_what_they_overlap);
    tcase_add_test(tests, lines_that_are_none_are_left_out);
    tcase_add_test(tests, long_lines_are_left_out);
    tcase_add_test(tests, files_of_other_times_are_not_used);
    tcase_add_test(tests, other_kinds_of_files_are_not_used);
    tcase_add_test(tests, any_bytes_give_an_answer);
    tcase_add_test(tests, frames_are_named_by_the_map);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
