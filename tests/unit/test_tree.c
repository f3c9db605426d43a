/* Several processes: who comes from whom, in which order they stand, and what they hold together. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/report.h"
#include "tests/unit/support_trace.h"

#define SECOND 1000000000ull
#define PAGE 4096u

static char dir[] = "/tmp/test_tree.XXXXXX";

static void make_dir(void) {
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void) {
    struct psc_paths found = {0};
    psc_find_add(&found, dir);
    for (size_t i = 0; i < found.count; i++) {
        unlink(found.paths[i]);
    }
    psc_find_release(&found);
    ck_assert_int_eq(rmdir(dir), 0);
}

/* A process of the test: times in seconds, memory in pages of a large block that is live at the end. */
struct process {
    uint32_t pid, ppid;
    uint64_t start, end;
    uint64_t ticks;
    uint32_t how; /* enum psc_end */
    uint32_t pages;
    const char *exe;
};

static void put(const char *name, const struct process *process) {
    struct psc_fake fake;
    char path[64];
    psc_fake_init(&fake, 20);
    struct psc_wire_header *header = psc_fake_header(&fake);
    header->pid = process->pid;
    header->ppid = process->ppid;
    header->start_ns = process->start * SECOND;
    header->end_ns = process->end * SECOND;
    header->start_ticks = process->ticks;
    header->end = process->how;
    snprintf(header->exe, sizeof(header->exe), "%s", process->exe != NULL ? process->exe : "/bin/x");
    if (process->pages != 0) {
        uint32_t site = psc_fake_site(&fake, (uint64_t[]){0x1000}, 1, 0);
        psc_fake_live(psc_fake_large(&fake, 0x7f1000000000, process->pages * PAGE), 0, site, process->pages * PAGE,
                      psc_fake_book(&fake, site));
    }
    snprintf(path, sizeof(path), "%s/%s.trace", dir, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(fake.bytes, 1, psc_fake_bytes(&fake), file), psc_fake_bytes(&fake));
    ck_assert_int_eq(fclose(file), 0);
    psc_fake_release(&fake);
}

static struct psc_tree read_dir(struct psc_paths *found) {
    *found = (struct psc_paths){0};
    ck_assert(psc_find_add(found, dir));
    return psc_tree_read(found);
}

/* A shell starts two, of which the first becomes another program and starts a third; later the number of the first is used
 * again, by a process of a parent that nobody watched. */
static const struct process family[] = {
    {100, 1, 10, 100, 5, PSC_END_EXIT, 4, "/bin/sh"},   {101, 100, 20, 29, 7, PSC_END_EXEC, 1, "/bin/sh"},
    {101, 100, 30, 50, 7, PSC_END_EXIT, 16, "/bin/cc"}, {102, 100, 35, 60, 8, PSC_END_EXIT, 2, "/bin/ls"},
    {103, 101, 40, 45, 9, PSC_END_EXIT, 8, "/bin/as"},  {101, 77, 70, 80, 11, PSC_END_EXIT, 1, "/bin/ps"},
};

static void put_family(void) {
    for (size_t i = 0; i < PSC_COUNT_OF(family); i++) {
        char name[] = {(char)('z' - i), '\0'}; /* names tell nothing of the order */
        put(name, &family[i]);
    }
}

START_TEST(parents_are_found) {
    static const size_t parents[] = {SIZE_MAX, 0, 1, 0, 2, SIZE_MAX};
    struct psc_paths found;
    put_family();
    struct psc_tree tree = read_dir(&found);
    ck_assert_uint_eq(tree.count, PSC_COUNT_OF(parents));
    for (size_t i = 0; i < tree.count; i++) {
        ck_assert_uint_eq(tree.rows[i].pid, family[i].pid);
        ck_assert_str_eq(tree.rows[i].exe, family[i].exe);
        ck_assert_uint_eq(tree.rows[i].live_bytes, family[i].pages * PAGE);
        ck_assert_uint_eq(tree.rows[i].parent, parents[i]);
    }
    psc_tree_release(&tree);
    psc_find_release(&found);
}
END_TEST

/* Without an end by exec, or with another start, the same number is another process. */
START_TEST(numbers_are_used_again) {
    static const struct process again[] = {{100, 1, 10, 20, 5, PSC_END_EXEC, 0, NULL},
                                           {100, 1, 30, 40, 6, PSC_END_EXIT, 0, NULL},
                                           {100, 1, 50, 60, 6, PSC_END_EXIT, 0, NULL},
                                           {100, 100, 70, 80, 0, PSC_END_EXIT, 0, NULL}};
    struct psc_paths found;
    for (size_t i = 0; i < PSC_COUNT_OF(again); i++) {
        put((char[]){(char)('a' + i), '\0'}, &again[i]);
    }
    struct psc_tree tree = read_dir(&found);
    for (size_t i = 0; i < tree.count; i++) {
        ck_assert_uint_eq(tree.rows[i].parent, SIZE_MAX);
    }
    psc_tree_release(&tree);
    psc_find_release(&found);
}
END_TEST

START_TEST(children_stand_below_their_parents) {
    static const struct psc_tree_step steps[] = {{0, 0}, {1, 1}, {2, 2}, {4, 3}, {3, 1}, {5, 0}};
    struct psc_paths found;
    put_family();
    struct psc_tree tree = read_dir(&found);
    struct psc_tree_step *walked = psc_tree_walk(&tree);
    for (size_t i = 0; i < PSC_COUNT_OF(steps); i++) {
        ck_assert_uint_eq(walked[i].row, steps[i].row);
        ck_assert_uint_eq(walked[i].depth, steps[i].depth);
    }
    free(walked);
    psc_tree_release(&tree);
    psc_find_release(&found);
}
END_TEST

START_TEST(chains_and_crowds_are_walked) {
    enum { MANY = 3000 };
    struct psc_tree tree = {.rows = calloc(MANY, sizeof(*tree.rows)), .count = MANY};
    size_t wrong = 0;
    for (size_t i = 0; i < MANY; i++) {
        tree.rows[i].parent = i == 0 ? SIZE_MAX : i < MANY / 2 ? i - 1 : 0;
    }
    struct psc_tree_step *walked = psc_tree_walk(&tree);
    for (size_t i = 0; i < MANY; i++) {
        wrong += walked[i].row != i || walked[i].depth != (i < MANY / 2 ? i : 1);
    }
    ck_assert_uint_eq(wrong, 0);
    free(walked);
    psc_tree_release(&tree);
    walked = psc_tree_walk(&tree);
    free(walked);
}
END_TEST

START_TEST(sums_are_of_all) {
    struct psc_paths found;
    put_family();
    struct psc_tree tree = read_dir(&found);
    struct psc_tree_totals totals = psc_tree_sum(&tree);
    ck_assert_uint_eq(totals.alloc_count, 6);
    ck_assert_uint_eq(totals.live_bytes, 32 * PAGE);
    ck_assert_uint_eq(totals.committed_bytes, 32 * PAGE);
    /* in second 40 run the shell, the compiler, ls and as */
    ck_assert_uint_eq(totals.peak_committed_bytes, (4 + 16 + 2 + 8) * PAGE);
    ck_assert_uint_eq(totals.running, 0);
    ck_assert_uint_eq(totals.most_held->pid, 101);
    ck_assert_ptr_null(totals.most_pinned);
    psc_tree_release(&tree);
    psc_find_release(&found);
    totals = psc_tree_sum(&tree);
    ck_assert_ptr_null(totals.most_held);
}
END_TEST

static void put_junk(const char *name) {
    char path[64];
    snprintf(path, sizeof(path), "%s/%s.trace", dir, name);
    FILE *file = fopen(path, "w");
    fputs("not a trace", file);
    fclose(file);
}

START_TEST(what_cannot_be_read_is_counted) {
    static const struct process damaged = {100, 1, 20000000000, 5, 5, PSC_END_EXIT, 1, NULL};
    struct psc_paths found;
    put_family();
    put("damaged", &damaged);
    put_junk("junk");
    put_junk("more");
    struct psc_tree tree = read_dir(&found);
    ck_assert_uint_eq(tree.count, PSC_COUNT_OF(family) + 1);
    ck_assert_uint_eq(tree.failed, 2);
    ck_assert_uint_eq(psc_tree_sum(&tree).peak_committed_bytes, (4 + 16 + 2 + 8) * PAGE);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    psc_tree_write(&tree, 3, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "7 processes; 2 more traces could not be read\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n       all "));
    ck_assert_ptr_nonnull(strstr(text, "\n       103       as "));
    free(text);
    psc_tree_release(&tree);
    psc_find_release(&found);
    char *argv[] = {(char *)"report", dir, NULL};
    ck_assert_int_eq(psc_report_main(2, argv), 1);
}
END_TEST

START_TEST(json_has_all_processes) {
    struct psc_paths found;
    put_family();
    struct psc_tree tree = read_dir(&found);
    const char *error;
    struct psc_model *model = psc_model_open(psc_tree_sum(&tree).most_held->path, &error);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    psc_json_write_many(model, &tree, out, 0);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "{\"pid\": 101, \"ppid\": 100, \"parent\": 1, \"exe\": \"/bin/cc\", \"end\": "
                                       "\"exit\", \"duration_ns\": 20000000000, \"alloc_count\": 1, "));
    ck_assert_ptr_nonnull(strstr(text, "{\"pid\": 101, \"ppid\": 77, \"parent\": null, "));
    ck_assert_ptr_nonnull(strstr(text, "\"most_held\": 2,\n    \"most_pinned\": null\n"));
    ck_assert_ptr_nonnull(strstr(text, "\"processes_total\": {\n    \"count\": 6,\n    \"failed\": 0,"));
    free(text);
    psc_model_close(model);
    psc_tree_release(&tree);
    psc_find_release(&found);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tree");
    TCase *processes = tcase_create("processes");
    tcase_add_checked_fixture(processes, make_dir, remove_dir);
    tcase_add_test(processes, parents_are_found);
    tcase_add_test(processes, numbers_are_used_again);
    tcase_add_test(processes, children_stand_below_their_parents);
    tcase_add_test(processes, chains_and_crowds_are_walked);
    tcase_add_test(processes, sums_are_of_all);
    tcase_add_test(processes, what_cannot_be_read_is_counted);
    tcase_add_test(processes, json_has_all_processes);
    suite_add_tcase(suite, processes);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
