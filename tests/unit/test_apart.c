/* Groups of sites: rules told in files, and which sites they are about. The sites are those of this very program. Check
 * runs each test in a process of its own. */
#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/track/track.h"
#include "core/track/types.h"
#include "core/wire/apart.h"
#include "report/symbols_find.h"
#include "tests/unit/support_directory.h"

static char directory[] = "/tmp/psc-apart-XXXXXX";
static char rules_path[64];
static char self_path[4096];
static struct psc_module self;

/* ---- sites ------------------------------------------------------------------------------------------------------ */

/* Their calls are not their last acts, so that each has a frame; and no two are the same code, so that none stands for
 * another. */
#define SITE PSC_NOINLINE static uint32_t

SITE ask(void) {
    struct psc_unwind_start start;
    psc_unwind_capture(&start);
    uint32_t group = psc_track_group(&start);
    __asm__ volatile("");
    return group;
}

SITE psc_test_first(void) {
    uint32_t group = ask();
    __asm__ volatile("# one of its own");
    return group;
}

SITE psc_test_second(void) {
    uint32_t group = ask();
    __asm__ volatile("# and another");
    return group;
}

/* Asks below `depth` frames of its own. */
SITE psc_test_deep(uint32_t depth) {
    uint32_t group = depth > 1 ? psc_test_deep(depth - 1) : ask();
    __asm__ volatile("");
    return group;
}

SITE psc_test_outermost(uint32_t depth) {
    uint32_t group = psc_test_deep(depth);
    __asm__ volatile("");
    return group;
}

/* ---- rules ------------------------------------------------------------------------------------------------------ */

static FILE *rules;

static void describe(struct psc_wire_snapshot *snapshot, struct psc_wire_map *map) {
    (void)snapshot, (void)map;
}

static void describe_resident(struct psc_wire_snapshot *snapshot) {
    (void)snapshot;
}

static void reregister(void) {
}

static const uint32_t class_bytes[] = {16};
static const struct psc_track_host host = {.arena_bytes = 4u << 20,
                                           .slot_bytes = 16384,
                                           .class_count = 1,
                                           .class_bytes = class_bytes,
                                           .describe = describe,
                                           .describe_resident = describe_resident,
                                           .reregister = reregister};

static void open_rules(void) {
    rules = fopen(rules_path, "w");
    ck_assert_ptr_nonnull(rules);
    fprintf(rules, "%s\n", PSC_APART_MAGIC);
}

static void write_module(const struct psc_module *module) {
    fputs("module ", rules);
    for (uint32_t i = 0; i < module->build_id_bytes; i++) {
        fprintf(rules, "%02x", module->build_id[i]);
    }
    fprintf(rules, module->build_id_bytes > 0 ? " %s\n" : "- %s\n", module->path);
}

static void write_range(void *number, uint64_t start, uint64_t end) {
    fprintf(rules, "range %x %llx %llx\n", *(unsigned *)number, (unsigned long long)start, (unsigned long long)end);
}

static void write_function(unsigned module, const char *name) {
    struct psc_symbols *symbols = psc_symbols_open(&self, 1);
    ck_assert_uint_gt(psc_symbols_find_function(symbols, 0, name, write_range, &module), 0);
    psc_symbols_close(symbols);
}

static bool begin(void) {
    struct psc_options options = {.mode = PSC_MODE_EXACT, .depth = 256, .snapshots = 256};
    fclose(rules);
    strcpy(options.out, directory);
    strcpy(options.apart, rules_path);
    ck_assert(psc_track_start(&options, &host));
    return psc_track_has_groups();
}

static void setup(void) {
    struct rlimit limit;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(rules_path, sizeof rules_path, "%s/rules", directory);
    ck_assert_int_gt(readlink("/proc/self/exe", self_path, sizeof self_path - 1), 0);
    ck_assert(psc_symbols_describe_file(self_path, &self));
    ck_assert_uint_gt(self.build_id_bytes, 0);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = (rlim_t)64 << 20; /* a small trace: sanitizers look at all of it */
    setrlimit(RLIMIT_FSIZE, &limit);
    open_rules();
}

static void remove_directory(void) {
    psc_test_remove_directory(directory);
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

START_TEST(functions_have_groups) {
    struct psc_module named = self;
    if (_i == 0) {
        named.build_id_bytes = 0; /* the path tells */
    } else {
        named.path = "/of/no/matter";
    }
    write_module(&named);
    fputs("group one\n", rules);
    write_function(0, "psc_test_first");
    fputs("# what people read\n\ngroup two\n", rules);
    write_function(0, "psc_test_second");
    ck_assert(begin());
    for (int again = 0; again < 3; again++) {
        ck_assert_uint_eq(psc_test_first(), 1);
        ck_assert_uint_eq(psc_test_second(), 2);
        ck_assert_uint_eq(psc_test_deep(1), 0);
    }
}
END_TEST

START_TEST(the_first_rule_that_fits_holds) {
    write_module(&self);
    fputs("group one\n", rules);
    write_function(0, "psc_test_outermost");
    fputs("group two\n", rules);
    write_function(0, "psc_test_deep");
    ck_assert(begin());
    ck_assert_uint_eq(psc_test_outermost(2), 1);
    ck_assert_uint_eq(psc_test_deep(2), 2);
}
END_TEST

START_TEST(a_function_is_met_within_eight_frames) {
    write_module(&self);
    fputs("group one\n", rules);
    write_function(0, "psc_test_outermost");
    ck_assert(begin());
    for (uint32_t depth = 1; depth < 2 * PSC_APART_FRAMES; depth++) {
        ck_assert_uint_eq(psc_test_outermost(depth), depth < PSC_APART_FRAMES);
    }
}
END_TEST

START_TEST(another_build_is_not_meant) {
    struct psc_module other = self;
    other.build_id[0] ^= 1;
    write_module(&other);
    fputs("group one\n", rules);
    write_function(0, "psc_test_first");
    ck_assert(begin());
    ck_assert_uint_eq(psc_test_first(), 0);
}
END_TEST

START_TEST(a_forked_child_has_the_rules_too) {
    write_module(&self);
    fputs("group one\n", rules);
    write_function(0, "psc_test_second");
    ck_assert(begin());
    ck_assert_uint_eq(psc_test_second(), 1);
    psc_track_fork_prepare();
    pid_t child = fork();
    if (child == 0) {
        psc_track_fork_child();
        bool good = psc_track_epoch() != 0 && psc_test_first() == 0 && psc_test_second() == 1;
        _exit(good ? 0 : 1);
    }
    psc_track_fork_parent();
    int status;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(psc_test_second(), 1);
}
END_TEST

/* ---- stacks ------------------------------------------------------------------------------------------------------ */

/* A module for each frame: that one of them comes twice does no harm. */
static void write_frame(uint32_t number, uint64_t frame) {
    struct dl_find_object found;
    struct psc_module module;
    ck_assert_int_eq(_dl_find_object((void *)(uintptr_t)(frame - 1), &found), 0);
    const struct link_map *map = found.dlfo_link_map;
    ck_assert(psc_symbols_describe_file(map->l_name[0] != '\0' ? map->l_name : self_path, &module));
    write_module(&module);
    fprintf(rules, "frame %x %llx\n", number, (unsigned long long)(frame - map->l_addr));
}

/* The stack that `ask` finds in place of this function, as a rule. */
SITE write_stack(void) {
    uint64_t frames[256];
    uint32_t flags;
    struct psc_unwind_start start;
    psc_unwind_capture(&start);
    uint32_t depth = psc_unwind_walk(frames, 256, &start, &flags);
    fputs("stack\n", rules);
    for (uint32_t i = 0; i < depth; i++) {
        write_frame(i, frames[i]);
    }
    return 0;
}

static uint32_t (*volatile at_place)(void);

/* Both calls come from the same place. */
SITE psc_test_place(uint32_t depth) {
    uint32_t group = depth > 0 ? psc_test_place(depth - 1) : at_place();
    __asm__ volatile("");
    return group;
}

START_TEST(a_stack_is_met_as_a_whole) {
    psc_unwind_init();
    fputs("group one\n", rules);
    for (volatile int turn = 0; turn < 2; turn++) { /* from the same place: a rule is made, then asked for */
        at_place = turn == 0 ? write_stack : ask;
        ck_assert(turn == 0 || begin());
        ck_assert_int_eq(psc_test_place(3), turn);
    }
    ck_assert_uint_eq(psc_test_place(3), 0); /* from another place */
    ck_assert_uint_eq(psc_test_place(2), 0);
    ck_assert_uint_eq(psc_test_place(4), 0);
}
END_TEST

/* ---- files that cannot be ---------------------------------------------------------------------------------------- */

static const char *const refused[] = {
    "range 0 1 2\n",                                       /* no module, no group */
    "module - /a\nrange 0 1 2\n",                          /* no group */
    "module - /a\ngroup g\nrange 1 1 2\n",                 /* no such module */
    "module - /a\ngroup g\nrange 0 1\n",                   /* no end */
    "module - /a\ngroup g\nrange 0 1 2 3\n",               /* too many words */
    "module - /a\ngroup g\nrange 0 0x1 2\n",               /* no number */
    "module - /a\ngroup g\nrange 0 1 10000000000000000\n", /* more than 64 bits */
    "module abc /a\n",                                     /* half a byte */
    "module xy /a\n",
    "module 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0011223344 /a\n",
    "frame -\n", /* of no stack */
    "group g\nframe -\n",
    "stack\n", /* no group */
    "group g\nstack 1\n",
    "group g\nstack\nframe 0 1\n", /* no such module */
    "group 1\ngroup 2\ngroup 3\ngroup 4\ngroup 5\ngroup 6\ngroup 7\ngroup 8\n",
    "neither\n",
};

START_TEST(a_wrong_file_has_no_rules) {
    fputs(refused[_i], rules);
    ck_assert(!begin());
    ck_assert_uint_eq(psc_test_first(), 0);
}
END_TEST

START_TEST(a_file_without_its_first_line_has_no_rules) {
    rewind(rules);
    ck_assert_int_eq(ftruncate(fileno(rules), 0), 0);
    fputs(_i == 0 ? "" : "poolscope-apart 2\n", rules);
    ck_assert(!begin());
}
END_TEST

START_TEST(a_missing_file_has_no_rules) {
    strcat(rules_path, "-elsewhere");
    ck_assert(!begin());
    ck_assert_uint_eq(psc_test_first(), 0);
}
END_TEST

START_TEST(more_than_there_is_room_for_is_refused) {
    static const struct {
        const char *before;
        const char *line;
        unsigned most;
    } kinds[] = {
        {"", "module - /a\n", PSC_APART_MODULES_MAX},
        {"module - /a\ngroup g\n", "range 0 1 2\n", PSC_APART_RANGES_MAX},
        {"group g\n", "stack\n", PSC_APART_STACKS_MAX},
        {"group g\nstack\n", "frame -\n", PSC_TRACK_FRAMES_MAX},
        {"", "# nothing\n", PSC_APART_BYTES_MAX / 10},
    };
    fputs(kinds[_i / 2].before, rules);
    for (unsigned i = 0; i < kinds[_i / 2].most + (_i % 2 == 0 ? 0 : 1) - (_i == 8 ? 10 : 0); i++) {
        fputs(kinds[_i / 2].line, rules);
    }
    ck_assert_int_eq(begin(), _i % 2 == 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("apart");
    TCase *cases[] = {tcase_create("sites"), tcase_create("files")};
    for (size_t i = 0; i < PSC_COUNT_OF(cases); i++) {
        tcase_add_checked_fixture(cases[i], setup, remove_directory);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_loop_test(cases[0], functions_have_groups, 0, 2);
    tcase_add_test(cases[0], the_first_rule_that_fits_holds);
    tcase_add_test(cases[0], a_function_is_met_within_eight_frames);
    tcase_add_test(cases[0], another_build_is_not_meant);
    tcase_add_test(cases[0], a_forked_child_has_the_rules_too);
    tcase_add_test(cases[0], a_stack_is_met_as_a_whole);
    tcase_add_loop_test(cases[1], a_wrong_file_has_no_rules, 0, (int)PSC_COUNT_OF(refused));
    tcase_add_loop_test(cases[1], a_file_without_its_first_line_has_no_rules, 0, 2);
    tcase_add_test(cases[1], a_missing_file_has_no_rules);
    tcase_add_loop_test(cases[1], more_than_there_is_room_for_is_refused, 0, 10);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
