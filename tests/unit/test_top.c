/* poolscope top without a terminal: rates, order, lines, and what a user chooses; of traces whose truth is known. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "tests/unit/support_model.h"
#include "tools/top_find.h"
#include "tools/top_panel.h"

#define SECOND 1000000000ull

/* Three sites in a process that runs: this one. */
static struct psc_fake fake;
static uint32_t sites[3];
static struct psc_wire_row *rows[3];
static struct psc_top top;

static uint64_t ticks_of(pid_t pid) {
    char path[40], line[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    ck_assert(file != NULL && fgets(line, sizeof(line), file) != NULL);
    fclose(file);
    char *field = strrchr(line, ')');
    for (int i = 2; i < 22; i++) {
        field = strchr(field + 1, ' ');
    }
    return strtoull(field, NULL, 10);
}

static void run_as(uint32_t pid) {
    struct psc_wire_header *header = psc_fake_header(&fake);
    header->end = PSC_END_NONE;
    header->end_ns = 0;
    header->pid = pid;
    header->start_ticks = ticks_of(getpid());
    header->start_ns = psc_top_now_ns() - 10 * SECOND;
}

static void allocate(size_t site, uint64_t count, uint64_t bytes) {
    rows[site]->alloc_count += count;
    rows[site]->alloc_bytes += bytes;
}

static void set_up(void) {
    psc_fake_init(&fake, 60);
    psc_fake_module(&fake, 0x1000, 0x9000, "/nowhere/program");
    for (size_t i = 0; i < PSC_COUNT_OF(sites); i++) {
        uint64_t stack[] = {0x1100 + 0x100 * i, 0x8000};
        sites[i] = psc_fake_site(&fake, stack, 2, 1);
        rows[i] = psc_fake_book(&fake, sites[i]);
    }
    /* blocks of 64 bytes: two of site 0, one of site 1, which alone pins its pool */
    struct psc_wire_extent *full = psc_fake_pool(&fake, 3, 0x100000, 2, 2);
    struct psc_wire_extent *sparse = psc_fake_pool(&fake, 3, 0x104000, 128, 128);
    psc_fake_live(full, 0, sites[0], 64, rows[0]);
    psc_fake_live(full, 1, sites[0], 64, rows[0]);
    psc_fake_live(sparse, 5, sites[1], 60, rows[1]);
    run_as((uint32_t)getpid());
    psc_top_init(&top, -1, "test", 0);
}

static void tear_down(void) {
    psc_top_release(&top);
    psc_fake_release(&fake);
}

static void take(uint64_t now_ns) {
    psc_top_take(&top, psc_fake_read(&fake), now_ns);
}

/* ---- readings ---------------------------------------------------------------------------------------------------- */

START_TEST(first_rates_are_of_the_whole_run) {
    allocate(2, 1000, 5000);
    rows[2]->free_count = 1000;
    rows[2]->free_bytes = 5000;
    take(psc_top_now_ns());
    ck_assert(top.whole_run);
    ck_assert_uint_ge(top.rate_ns, 10 * SECOND);
    double seconds = (double)top.rate_ns / SECOND;
    ck_assert_double_eq_tol(top.total.allocs * seconds, 1003, 1e-6);
    ck_assert_double_eq_tol(top.sites[sites[2]].bytes * seconds, 5000, 1e-6);
    ck_assert_double_eq_tol(top.sites[sites[2]].frees * seconds, 1000, 1e-6);
}
END_TEST

START_TEST(rates_are_what_changed) {
    take(100 * SECOND);
    allocate(1, 300, 6000);
    allocate(2, 10, 90000);
    take(102 * SECOND);
    ck_assert(!top.whole_run);
    ck_assert_uint_eq(top.rate_ns, 2 * SECOND);
    ck_assert_double_eq(top.total.allocs, 155);
    ck_assert_double_eq(top.total.bytes, 48000);
    ck_assert_double_eq(top.sites[sites[0]].allocs, 0);
    ck_assert_double_eq(top.sites[sites[1]].allocs, 150);
    ck_assert_double_eq(top.sites[sites[2]].bytes, 45000);
}
END_TEST

/* Estimates may go down: no rate is below 0. A site that is new has all of its counts from this time. */
START_TEST(rates_of_what_shrinks_and_appears) {
    allocate(1, 300, 6000);
    take(100 * SECOND);
    rows[1]->alloc_count -= 100;
    rows[1]->alloc_bytes -= 100;
    uint64_t stack[] = {0x2000};
    uint32_t site = psc_fake_site(&fake, stack, 1, 1);
    psc_fake_book(&fake, site)->alloc_count = 8;
    take(104 * SECOND);
    ck_assert_double_eq(top.sites[sites[1]].allocs, 0);
    ck_assert_double_eq(top.sites[sites[1]].bytes, 0);
    ck_assert_double_eq(top.sites[site].allocs, 2);
}
END_TEST

START_TEST(end_is_the_whole_run) {
    take(100 * SECOND);
    ck_assert_int_eq(top.end, PSC_PROCESS_RUNNING);
    struct psc_wire_header *header = psc_fake_header(&fake);
    header->end = PSC_END_EXIT;
    header->end_ns = header->start_ns + 4 * SECOND;
    allocate(2, 37, 37);
    take(101 * SECOND);
    ck_assert_int_eq(top.end, PSC_PROCESS_EXIT);
    ck_assert(top.whole_run);
    ck_assert_double_eq(top.total.allocs, 10);
}
END_TEST

/* The number in the trace may be that of another pid namespace; killed is what no longer runs under either. */
START_TEST(process_is_found_by_either_number) {
    psc_fake_header(&fake)->pid = 0x7fffffff;
    take(100 * SECOND);
    ck_assert_int_eq(top.end, PSC_PROCESS_KILLED);
    top.pid = (uint32_t)getpid();
    take(psc_top_now_ns());
    ck_assert_int_eq(top.end, PSC_PROCESS_RUNNING);
    ck_assert_uint_ge(top.run_ns, 10 * SECOND);
    ck_assert_uint_gt(top.rss_bytes, 0);
    psc_fake_header(&fake)->start_ticks++;
    take(psc_top_now_ns());
    ck_assert_int_eq(top.end, PSC_PROCESS_KILLED);
}
END_TEST

/* One that has ended and was not waited for has a number still. */
START_TEST(zombie_has_ended) {
    siginfo_t info;
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    ck_assert(!psc_process_runs((uint32_t)child, ticks_of(child)));
    ck_assert(psc_process_runs((uint32_t)getpid(), ticks_of(getpid())));
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED), 0);
}
END_TEST

START_TEST(order_follows_sort) {
    static const struct {
        enum psc_top_sort sort;
        size_t first;
    } cases[] = {{PSC_TOP_LIVE, 0},  {PSC_TOP_PINNED, 1}, {PSC_TOP_RATE, 2},
                 {PSC_TOP_COUNT, 0}, {PSC_TOP_PEAK, 0},   {PSC_TOP_ALLOCS, 1}};
    take(100 * SECOND);
    allocate(1, 300, 300);
    rows[1]->free_count += 300;
    rows[1]->free_bytes += 300;
    allocate(2, 10, 90000);
    rows[2]->free_count += 10;
    rows[2]->free_bytes += 90000;
    take(102 * SECOND);
    for (size_t i = 0; i < PSC_COUNT_OF(cases); i++) {
        psc_top_order(&top, cases[i].sort);
        ck_assert_uint_eq(top.order_count, 3);
        ck_assert_uint_eq(psc_top_site(&top, 0)->id, sites[cases[i].first]);
    }
}
END_TEST

START_TEST(costly_reading_waits_longer) {
    top.delay_ns = 2 * SECOND;
    top.cost_ns = SECOND / 10;
    ck_assert_uint_eq(psc_top_wait_ns(&top), 2 * SECOND);
    top.cost_ns = SECOND / 2;
    ck_assert_uint_eq(psc_top_wait_ns(&top), 5 * SECOND);
}
END_TEST

/* Names are looked up once, also where a later reading has more modules. */
START_TEST(names_are_kept) {
    take(100 * SECOND);
    psc_model_symbolize(top.model, &top.model->sites[sites[0]]);
    ck_assert_str_eq(top.model->sites[sites[0]].frames[0].function, "program+0x100");
    const struct psc_symbols *symbols = top.model->symbols;
    const char *name = top.model->sites[sites[0]].frames[0].function;
    psc_fake_module(&fake, 0x10000, 0x20000, "/nowhere/plugin");
    uint64_t stack[] = {0x10100};
    uint32_t site = psc_fake_site(&fake, stack, 1, 2);
    take(102 * SECOND);
    ck_assert_ptr_eq(top.model->symbols, symbols);
    psc_model_symbolize(top.model, &top.model->sites[sites[0]]);
    psc_model_symbolize(top.model, &top.model->sites[site]);
    ck_assert_ptr_eq(top.model->sites[sites[0]].frames[0].function, name);
    ck_assert_str_eq(top.model->sites[site].frames[0].function, "plugin+0x100");
}
END_TEST

/* Names of another trace are not taken over. */
START_TEST(names_of_other_modules_are_not_kept) {
    take(100 * SECOND);
    psc_model_symbolize(top.model, &top.model->sites[sites[0]]);
    struct psc_fake other;
    psc_fake_init(&other, 60);
    psc_fake_module(&other, 0x1000, 0x9000, "/nowhere/else");
    psc_fake_release(&fake);
    fake = other;
    psc_top_take(&top, psc_fake_read(&fake), 102 * SECOND);
    ck_assert_ptr_null(top.model->symbols);
}
END_TEST

START_TEST(delays_that_are_numbers) {
    static const char *const bad[] = {"", "x", "0", "0.05", "-1", "1x", "nan", "inf", "3601", " 1"};
    uint64_t delay_ns = 7;
    for (size_t i = 0; i < PSC_COUNT_OF(bad); i++) {
        ck_assert_msg(!psc_top_parse_delay(bad[i], &delay_ns), "%s", bad[i]);
    }
    ck_assert_uint_eq(delay_ns, 7);
    ck_assert(psc_top_parse_delay("0.5", &delay_ns));
    ck_assert_uint_eq(delay_ns, SECOND / 2);
}
END_TEST

/* ---- lines ------------------------------------------------------------------------------------------------------- */

START_TEST(lines_are_clipped_and_plain) {
    struct psc_top_line line;
    psc_top_line_begin(&line, 10, true);
    psc_top_line_put(&line, "a\033[2Jb");
    ck_assert_str_eq(line.text, "a\\x1b[2Jb");
    psc_top_line_put(&line, "ö€z");
    ck_assert_str_eq(line.text, "a\\x1b[2Jbö");
    ck_assert_uint_eq(line.width, 10);
    psc_top_line_begin(&line, 20, false);
    psc_top_line_put(&line, "ö ← 1 ± 2 …");
    ck_assert_str_eq(line.text, "? < 1 +- 2 ~");
}
END_TEST

START_TEST(inks_take_no_room) {
    struct psc_top_line line;
    psc_top_line_begin(&line, 2, true);
    psc_top_line_ink(&line, PSC_INK_LIVE);
    psc_top_line_put(&line, "\001a");
    psc_top_line_ink(&line, PSC_INK_PLAIN);
    ck_assert_uint_eq(line.width, 2);
    psc_top_line_strip(&line);
    ck_assert_str_eq(line.text, "\\x");
}
END_TEST

static bool head_has(unsigned columns, const char *text) {
    static struct psc_top_line lines[PSC_TOP_HEAD_MOST];
    size_t count = psc_top_head(&top, columns, true, lines, PSC_TOP_HEAD_MOST);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_le(lines[i].width, columns);
        psc_top_line_strip(&lines[i]);
        found = found || strstr(lines[i].text, text) != NULL;
    }
    return found;
}

START_TEST(head_tells_the_parts) {
    take(psc_top_now_ns());
    for (unsigned columns = 60; columns <= 200; columns += 20) {
        ck_assert(head_has(columns, "held 12.0 KiB"));
        ck_assert(head_has(columns, "# live 188 B"));
        ck_assert(head_has(columns, "running for"));
        ck_assert(head_has(columns, "averages of the whole run"));
    }
    take(top.read_ns + SECOND);
    ck_assert(head_has(80, "(of the last 1.00 s)"));
    top.cost_ns = SECOND;
    ck_assert(head_has(80, "every 10.0 s (to read it takes 1.00 s)"));
    for (unsigned columns = 0; columns < 60; columns++) {
        head_has(columns, "");
    }
}
END_TEST

static const char *row_of(enum psc_top_view view, size_t row, unsigned columns) {
    static struct psc_top_line line;
    struct psc_top_table table;
    psc_top_table_make(&table, &top, view, sites[1]);
    ck_assert_uint_lt(row, table.count);
    psc_top_line_begin(&line, columns, true);
    psc_top_table_row(&table, row, &line);
    ck_assert_uint_le(line.width, columns);
    psc_top_table_release(&table);
    psc_top_line_strip(&line);
    return line.text;
}

START_TEST(rows_tell_the_figures) {
    take(100 * SECOND);
    take(101 * SECOND);
    ck_assert_str_eq(row_of(PSC_TOP_SITES, 0, 70), "     128 B  3.88 KiB       0 B  program+0x100 ← program+0x7000");
    ck_assert_str_eq(row_of(PSC_TOP_SITES, 1, 40), "      60 B  7.94 KiB       0 B  program+");
    ck_assert_str_eq(row_of(PSC_TOP_CLASSES, 0, 60), "      64 B          3   2.3 %     188 B  11.8 KiB  12.0 KiB");
    ck_assert_str_eq(row_of(PSC_TOP_POOLS, 1, 60), "     1-10 %           1  ##############################");
    ck_assert_str_eq(row_of(PSC_TOP_STACK, 0, 60), "live      60 B in 1 block");
    ck_assert_str_eq(row_of(PSC_TOP_STACK, 6, 60), "   0  program+0x200");
}
END_TEST

/* No width and no view of any kind writes beyond what it has. */
START_TEST(any_width_will_do) {
    take(100 * SECOND);
    for (unsigned columns = 0; columns < 300; columns += 7) {
        for (int view = PSC_TOP_SITES; view <= PSC_TOP_HELP; view++) {
            struct psc_top_table table;
            psc_top_table_make(&table, &top, (enum psc_top_view)view, sites[0]);
            size_t count = table.count;
            psc_top_table_release(&table);
            for (size_t row = 0; row < count; row++) {
                row_of((enum psc_top_view)view, row, columns);
            }
        }
    }
}
END_TEST

/* ---- what the user chooses --------------------------------------------------------------------------------------- */

static struct psc_top_panel panel;

static void type(const char *text) {
    for (; *text != '\0'; text++) {
        psc_top_panel_type(&panel, *text);
    }
}

START_TEST(selection_stays_with_its_site) {
    take(100 * SECOND);
    psc_top_panel_init(&panel, &top, PSC_TOP_SITES, 0);
    psc_top_panel_move(&panel, PSC_TOP_DOWN);
    ck_assert_uint_eq(top.order[panel.selected], sites[1]);
    psc_top_panel_show_over(&panel, PSC_TOP_STACK);
    ck_assert_uint_eq(panel.table.site, sites[1]);
    psc_top_panel_move(&panel, PSC_TOP_END);
    psc_top_order(&top, PSC_TOP_PINNED);
    psc_top_panel_leave(&panel);
    ck_assert(!panel.quit);
    ck_assert_uint_eq(panel.selected, 0);
    ck_assert_uint_eq(top.order[panel.selected], sites[1]);
    psc_top_panel_leave(&panel);
    ck_assert(panel.quit);
    psc_top_panel_release(&panel);
}
END_TEST

START_TEST(rows_are_scrolled_to) {
    take(100 * SECOND);
    psc_top_panel_init(&panel, &top, PSC_TOP_HELP, 0);
    panel.page = 5;
    size_t count = panel.table.count;
    psc_top_panel_move(&panel, PSC_TOP_END);
    psc_top_panel_scroll(&panel);
    ck_assert_uint_eq(panel.first, count - 5);
    psc_top_panel_move(&panel, PSC_TOP_PAGE_UP);
    psc_top_panel_scroll(&panel);
    ck_assert_uint_eq(panel.selected, count - 5);
    psc_top_panel_move(&panel, PSC_TOP_HOME);
    psc_top_panel_scroll(&panel);
    ck_assert_uint_eq(panel.first, 0);
    panel.first = 100;
    panel.selected = 1000;
    panel.page = 1000;
    psc_top_panel_scroll(&panel);
    ck_assert_uint_eq(panel.first, 0);
    ck_assert_uint_eq(panel.selected, count - 1);
    psc_top_panel_release(&panel);
}
END_TEST

START_TEST(keys_choose_the_order) {
    take(100 * SECOND);
    psc_top_panel_init(&panel, &top, PSC_TOP_SITES, 0);
    psc_top_panel_sort(&panel, 'P');
    ck_assert_int_eq(top.sort, PSC_TOP_PINNED);
    psc_top_panel_sort(&panel, '<');
    psc_top_panel_sort(&panel, '<');
    ck_assert_int_eq(top.sort, PSC_TOP_LIVE);
    psc_top_panel_sort(&panel, 'K');
    psc_top_panel_sort(&panel, '>');
    ck_assert_int_eq(top.sort, PSC_TOP_PEAK);
    psc_top_panel_sort(&panel, '\0');
    psc_top_panel_sort(&panel, 'Z');
    psc_top_panel_sort(&panel, -1);
    psc_top_panel_sort(&panel, 'L' + 0x100);
    ck_assert_int_eq(top.sort, PSC_TOP_PEAK);
    psc_top_panel_release(&panel);
}
END_TEST

START_TEST(search_goes_round) {
    take(100 * SECOND);
    psc_top_panel_init(&panel, &top, PSC_TOP_SITES, 0);
    psc_top_panel_ask(&panel, PSC_TOP_ASK_SEARCH);
    type("PROGRAM+0x20€");
    psc_top_panel_erase(&panel);
    psc_top_panel_enter(&panel);
    ck_assert_uint_eq(top.order[panel.selected], sites[1]);
    psc_top_panel_search(&panel);
    ck_assert_uint_eq(top.order[panel.selected], sites[1]);
    ck_assert_str_eq(panel.message, "");
    psc_top_panel_ask(&panel, PSC_TOP_ASK_SEARCH);
    type("nothing");
    psc_top_panel_enter(&panel);
    ck_assert_str_eq(panel.message, "no site has 'nothing'");
    psc_top_panel_release(&panel);
}
END_TEST

START_TEST(delay_is_asked_for) {
    take(100 * SECOND);
    psc_top_panel_init(&panel, &top, PSC_TOP_SITES, 0);
    psc_top_panel_ask(&panel, PSC_TOP_ASK_DELAY);
    type("5");
    psc_top_panel_enter(&panel);
    ck_assert_uint_eq(top.delay_ns, 5 * SECOND);
    ck_assert_str_eq(panel.message, "");
    psc_top_panel_ask(&panel, PSC_TOP_ASK_DELAY);
    type("5 s");
    psc_top_panel_enter(&panel);
    ck_assert_uint_eq(top.delay_ns, 5 * SECOND);
    ck_assert_str_ne(panel.message, "");
    psc_top_panel_release(&panel);
}
END_TEST

START_TEST(last_reading_ends_it) {
    take(100 * SECOND);
    top.fd = psc_fake_open(fake.bytes, psc_fake_bytes(&fake));
    psc_top_panel_init(&panel, &top, PSC_TOP_SITES, 2);
    uint64_t read_ns = top.read_ns;
    psc_top_panel_read(&panel);
    ck_assert(!panel.quit);
    ck_assert_uint_ne(top.read_ns, read_ns);
    psc_top_panel_read(&panel);
    ck_assert(panel.quit);
    psc_top_panel_release(&panel);
    close(top.fd);
}
END_TEST

/* A trace that cannot be read leaves what there was. */
START_TEST(failed_reading_changes_nothing) {
    take(100 * SECOND);
    top.fd = psc_fake_open("no trace", 8);
    psc_top_panel_init(&panel, &top, PSC_TOP_SITES, 0);
    psc_top_panel_read(&panel);
    ck_assert_uint_eq(panel.table.count, 2);
    ck_assert_str_ne(panel.message, "");
    psc_top_panel_release(&panel);
    close(top.fd);
}
END_TEST

/* ---- from a process to its trace --------------------------------------------------------------------------------- */

START_TEST(processes_without_a_trace) {
    char path[64], error[256];
    ck_assert_int_eq(psc_top_find((uint32_t)getpid(), path, sizeof(path), error, sizeof(error)), -1);
    ck_assert(strstr(error, "does not run under poolscope") != NULL);
    ck_assert_int_eq(psc_top_find(0x7fffffff, path, sizeof(path), error, sizeof(error)), -1);
    ck_assert_str_eq(error, "there is no process 2147483647");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("top");
    TCase *tests = tcase_create("top");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, first_rates_are_of_the_whole_run);
    tcase_add_test(tests, rates_are_what_changed);
    tcase_add_test(tests, rates_of_what_shrinks_and_appears);
    tcase_add_test(tests, end_is_the_whole_run);
    tcase_add_test(tests, process_is_found_by_either_number);
    tcase_add_test(tests, zombie_has_ended);
    tcase_add_test(tests, order_follows_sort);
    tcase_add_test(tests, costly_reading_waits_longer);
    tcase_add_test(tests, names_are_kept);
    tcase_add_test(tests, names_of_other_modules_are_not_kept);
    tcase_add_test(tests, delays_that_are_numbers);
    tcase_add_test(tests, lines_are_clipped_and_plain);
    tcase_add_test(tests, inks_take_no_room);
    tcase_add_test(tests, head_tells_the_parts);
    tcase_add_test(tests, rows_tell_the_figures);
    tcase_add_test(tests, any_width_will_do);
    tcase_add_test(tests, selection_stays_with_its_site);
    tcase_add_test(tests, rows_are_scrolled_to);
    tcase_add_test(tests, keys_choose_the_order);
    tcase_add_test(tests, search_goes_round);
    tcase_add_test(tests, delay_is_asked_for);
    tcase_add_test(tests, last_reading_ends_it);
    tcase_add_test(tests, failed_reading_changes_nothing);
    tcase_add_test(tests, processes_without_a_trace);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
