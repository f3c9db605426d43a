/* The report's figures: of traces whose truth is known, of the golden trace, and as JSON. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/lifetime.h"
#include "report/report.h"
#include "report/tree.h"
#include "tests/unit/support_model.h"

#define GOLDEN_TRACE "tests/golden/small.trace.hex"
#define GOLDEN_JSON "tests/golden/small.json"
#define FUZZ_SEED "tests/fuzz/fuzz_trace.corpus/small"
#define FUZZ_SEED_SAMPLED "tests/fuzz/fuzz_trace.corpus/sampled"

/* Every tagged block of a pool has its age, and pins as much as each other block of the pool. */
static void check_ages(const struct psc_model *model) {
    double blocks = 0, bytes = 0, pinned = 0, truth = 0;
    uint64_t tagged = 0, requested = 0;
    for (size_t i = 0; i < PSC_AGE_BUCKETS * PSC_OCCUPANCY_BINS; i++) {
        const struct psc_age_cell *cell = &model->age_occupancy[i / PSC_OCCUPANCY_BINS][i % PSC_OCCUPANCY_BINS];
        blocks += cell->blocks;
        bytes += cell->bytes;
        pinned += cell->pinned_bytes;
    }
    for (size_t i = 0; i < model->pool_count; i++) {
        const struct psc_pool *pool = &model->pools[i];
        tagged += pool->tagged;
        requested += pool->live_requested_bytes - pool->untagged * pool->block_bytes;
        truth += pool->tagged == 0 ? 0 : (double)pool->pinned_bytes * pool->tagged / (double)psc_pool_live(pool);
    }
    ck_assert_double_eq(blocks, (double)tagged);
    ck_assert_double_eq(bytes, (double)requested);
    ck_assert_double_eq_tol(pinned, truth, 0.001);
}

static void check_sums(const struct psc_model *model) {
    const struct psc_fragmentation *f = &model->fragmentation;
    uint64_t site_pinned = model->not_sampled.pinned_bytes, pool_pinned = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        site_pinned += model->sites[i].pinned_bytes;
    }
    for (size_t i = 0; i < model->pool_count; i++) {
        pool_pinned += model->pools[i].pinned_bytes;
    }
    ck_assert_uint_eq(site_pinned, f->pinned_bytes);
    ck_assert_uint_eq(pool_pinned, f->pinned_bytes);
    ck_assert_uint_eq(f->pinned_bytes, f->free_blocks_bytes + f->tail_bytes);
    ck_assert_uint_eq(f->external_bytes, f->pinned_bytes + f->empty_pools_bytes + f->cached_bytes);
    ck_assert_uint_eq(f->live_block_bytes, f->live_requested_bytes + f->internal_bytes);
    ck_assert_uint_eq(f->committed_bytes, f->live_block_bytes + f->external_bytes);
    check_ages(model);
}

/* 200,000 blocks of 64 bytes dropped, one of another site kept after every 256th. */
START_TEST(keeper_is_blamed) {
    struct psc_fake fake;
    psc_fake_init(&fake, 200);
    uint64_t keep_stack[] = {0x1000}, drop_stack[] = {0x2000};
    uint32_t keep = psc_fake_site(&fake, keep_stack, 1, 0), drop = psc_fake_site(&fake, drop_stack, 1, 0);
    struct psc_wire_row *kept = psc_fake_book(&fake, keep), *dropped = psc_fake_book(&fake, drop);
    uint32_t total = 200000 + 200000 / 256;
    for (uint32_t block = 0; block < total; block += 256) {
        uint32_t carved = total - block < 256 ? total - block : 256;
        struct psc_wire_extent *pool = psc_fake_pool(&fake, 3, 0x100000000 + block * 64ull, 256, carved);
        for (uint32_t i = 0; i < carved; i++) {
            if ((block + i) % 257 == 256) {
                psc_fake_live(pool, i, keep, 64, kept);
            }
        }
    }
    dropped->alloc_count = dropped->free_count = 200000;
    dropped->alloc_bytes = dropped->free_bytes = 200000 * 64;
    struct psc_model *model = psc_fake_read(&fake);
    check_sums(model);
    ck_assert_uint_eq(psc_fake_warnings(model), 0);
    ck_assert_uint_eq(model->totals.alloc_count, 200781);
    ck_assert_uint_eq(model->totals.live_count, 781);
    ck_assert_uint_eq(model->totals.live_bytes, 781 * 64);
    ck_assert_uint_eq(model->sites[keep].pinned_bytes, model->fragmentation.pinned_bytes);
    ck_assert_uint_eq(model->sites[drop].pinned_bytes, 0);
    ck_assert_uint_eq(model->by_pinned[0], keep);
    ck_assert_uint_eq(model->fragmentation.live_requested_bytes, 781 * 64);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(parts_of_a_pool) {
    struct psc_fake fake;
    psc_fake_init(&fake, 40);
    uint64_t stack[] = {0x1000};
    uint32_t site = psc_fake_site(&fake, stack, 1, 0);
    struct psc_wire_row *row = psc_fake_book(&fake, site);
    /* blocks of 48 bytes, 100 carved: 4800 bytes, two pages */
    struct psc_wire_extent *pool = psc_fake_pool(&fake, 2, 0x10000, 341, 100);
    psc_fake_live(pool, 0, site, 40, row);
    psc_fake_live(pool, 99, site, 48, row);
    pool->untagged = 3;
    psc_fake_pool(&fake, 2, 0x14000, 341, 86); /* empty: 4128 bytes, two pages */
    struct psc_model *model = psc_fake_read(&fake);
    const struct psc_fragmentation *f = &model->fragmentation;
    check_sums(model);
    ck_assert_uint_eq(f->committed_bytes, 16384);
    ck_assert_uint_eq(f->live_block_bytes, 5 * 48);
    ck_assert_uint_eq(f->live_requested_bytes, 40 + 48 + 3 * 48);
    ck_assert_uint_eq(f->internal_bytes, 8);
    ck_assert_uint_eq(f->free_blocks_bytes, 95 * 48);
    ck_assert_uint_eq(f->tail_bytes, 8192 - 4800);
    ck_assert_uint_eq(f->empty_pools_bytes, 8192);
    ck_assert_uint_eq(f->pinned_bytes, 8192 - 240);
    /* 7952 in five shares of 1590.4: two and three of them */
    ck_assert_uint_eq(model->sites[site].pinned_bytes, 3181);
    ck_assert_uint_eq(model->sites[PSC_SITE_UNKNOWN].pinned_bytes, 4771);
    ck_assert_uint_eq(model->sites[site].pinned_pools_bytes, 8192);
    ck_assert_uint_eq(model->sites[site].pinning_bytes, 96);
    ck_assert_uint_eq(model->totals.unrecorded_blocks, 3);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

static bool has_note(const struct psc_model *model, const char *part) {
    for (size_t i = 0; i < model->note_count; i++) {
        if (strstr(model->notes[i].text, part) != NULL) {
            return true;
        }
    }
    return false;
}

/* A block freed by another thread than its maker makes a row of one book "negative". */
START_TEST(books_are_summed_over_threads) {
    struct psc_fake fake;
    psc_fake_init(&fake, 40);
    uint64_t stack[] = {0x1000};
    uint32_t site = psc_fake_site(&fake, stack, 1, 0);
    struct psc_wire_row *maker = psc_fake_book(&fake, site), *freer = psc_fake_book(&fake, site);
    psc_fake_header(&fake)->counters.peak_epoch = 7;
    psc_fake_header(&fake)->counters.peak_live_bytes = 1000;
    *maker = (struct psc_wire_row){.alloc_count = 10, .alloc_bytes = 1000}; /* not changed since the peak */
    *freer = (struct psc_wire_row){
        .free_count = 9, .free_bytes = 900, .peak_epoch = 7, .at_peak_count = UINT64_MAX, .at_peak_bytes = 0 - 100ull};
    struct psc_model *model = psc_fake_read(&fake);
    ck_assert_uint_eq(model->sites[site].live_count, 1);
    ck_assert_uint_eq(model->sites[site].live_bytes, 100);
    ck_assert_uint_eq(model->sites[site].peak_live_count, 9);
    ck_assert_uint_eq(model->sites[site].peak_live_bytes, 900);
    ck_assert_uint_eq(model->totals.peak_live_bytes, 1000);
    ck_assert_uint_eq(psc_fake_warnings(model), 0);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* What outgrew 32 bits: ages were halved, temporary blocks have a carry. */
START_TEST(books_of_many_events) {
    struct psc_fake fake;
    psc_fake_init(&fake, 40);
    uint64_t stack[] = {0x1000};
    uint32_t site = psc_fake_site(&fake, stack, 1, 0);
    struct psc_wire_row *row = psc_fake_book(&fake, site);
    *row = (struct psc_wire_row){.alloc_count = 10000000000, .free_count = 10000000000, .temporary_count = 5};
    row->ages[0] = 3000000000;
    row->ages[7] = 1000000000;
    psc_fake_places(row, site)[0].sum = 2;
    psc_fake_places(row, site)[7].sum = 400000000;
    psc_fake_header(&fake)->counters.clock_bytes = (uint64_t)1 << 40;
    struct psc_model *model = psc_fake_read(&fake);
    ck_assert_uint_eq(model->sites[site].temporary_count, (UINT64_C(2) << 32) + 5);
    ck_assert_double_eq_tol(model->lifetimes[site].freed[0].count, 7.5e9, 1);
    ck_assert_double_eq_tol(model->lifetimes[site].freed[7].count, 2.5e9, 1);
    ck_assert_double_eq_tol(model->lifetimes[site].freed[7].places, 1e9, 1);
    ck_assert(has_note(model, "Ages are known modulo 256 GiB of allocation, of which there were 1.00 TiB"));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(site_ids_count_over_chunks) {
    struct psc_fake fake;
    psc_fake_init(&fake, 60);
    uint32_t per_chunk = PSC_CHUNK_BYTES / sizeof(struct psc_wire_site), last = 0;
    for (uint32_t i = 0; i < per_chunk + 10; i++) {
        uint64_t stack[] = {0x1000 + i};
        last = psc_fake_site(&fake, stack, 1, 0);
    }
    ck_assert_uint_eq(last, per_chunk + 11);
    psc_fake_book(&fake, last)->alloc_count = 5;
    struct psc_model *model = psc_fake_read(&fake);
    ck_assert_uint_eq(model->site_count, last + 1);
    ck_assert_uint_eq(model->sites[last].alloc_count, 5);
    ck_assert_uint_eq(model->sites[last].raw.count, 1);
    ck_assert_uint_eq(model->sites[last].raw.addresses[0], 0x1000 + per_chunk + 9);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* Of modules that hold an address, the newest that was known when the site was first seen counts. */
START_TEST(module_of_its_time) {
    struct psc_fake fake;
    psc_fake_init(&fake, 40);
    psc_fake_module(&fake, 0x10000, 0x20000, "/first.so");
    psc_fake_module(&fake, 0x18000, 0x28000, "/second.so");
    uint64_t stack[] = {0x19000, 0x20000, 0x28000, 0x28001};
    uint32_t early = psc_fake_site(&fake, stack, 4, 1), late = psc_fake_site(&fake, stack, 4, 2);
    struct psc_model *model = psc_fake_read(&fake);
    const uint32_t none = PSC_MODULE_NONE;
    const uint32_t expected[2][4] = {{0, 0, none, none}, {1, 1, 1, none}}; /* a call stands before its return address */
    ck_assert_mem_eq(model->sites[early].raw.modules, expected[0], sizeof(expected[0]));
    ck_assert_mem_eq(model->sites[late].raw.modules, expected[1], sizeof(expected[1]));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(notes_say_what_is_missing) {
    struct psc_fake fake;
    psc_fake_init(&fake, 40);
    struct psc_wire_header *header = psc_fake_header(&fake);
    header->flags = PSC_TRACE_PASSIVE | PSC_TRACE_STOPPED | PSC_TRACE_FORKED;
    header->stop_reason = PSC_STOP_DISK;
    header->counters.dropped_events = 1234;
    header->counters.misuse_count = 2;
    header->end = PSC_END_NONE;
    struct psc_wire_snapshot *snapshot = psc_fake_row(&fake, PSC_CHUNK_SNAPSHOTS, sizeof(*snapshot));
    snapshot->sequence = 1;
    snapshot->time_ns = 2000000000;
    snapshot->classes[3].live_blocks = 5000;
    struct psc_model *model = psc_fake_read(&fake);
    ck_assert(has_note(model, "brings its own malloc"));
    ck_assert(has_note(model, "no room on the disk"));
    ck_assert(has_note(model, "1,234 allocations"));
    ck_assert(has_note(model, "misused the heap 2 times"));
    ck_assert(has_note(model, "5,000 blocks (312 KiB) that it inherited from process 4000"));
    ck_assert_int_eq(model->process.end, PSC_PROCESS_KILLED);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* ---- golden ---------------------------------------------------------------------------------------------------- */

static char *json_of(struct psc_model *model, size_t *size, size_t top) {
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    psc_json_write(model, out, top);
    fclose(out);
    return text;
}

/* The figure after the first `"key": ` behind `from`. */
static uint64_t figure_of(const char *text, const char *from, const char *key) {
    char quoted[64];
    const char *at = strstr(text, from);
    ck_assert_ptr_nonnull(at);
    snprintf(quoted, sizeof(quoted), "\"%s\": ", key);
    at = strstr(at, quoted);
    ck_assert_ptr_nonnull(at);
    return strtoull(at + strlen(quoted), NULL, 10);
}

/* The sum over the sites that are written one by one. */
static uint64_t live_of_sites(const char *text) {
    uint64_t live = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (strncmp(text + i, "{\"id\"", 5) == 0) {
            live += figure_of(text + i, "{\"id\"", "live_bytes");
        }
    }
    return live;
}

/* What tells who had a block last is no live block's. */
START_TEST(tags_of_freed_blocks_change_nothing) {
    struct psc_fake fake;
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        size_t size;
        psc_fake_small(&fake);
        struct psc_wire_extent *extent = (void *)(fake.bytes + (size_t)fake.open[PSC_CHUNK_EXTENTS] * PSC_CHUNK_BYTES);
        for (uint32_t j = 0; i == 1 && j < extent->capacity; j++) {
            extent->tags[j] = extent->tags[j] != 0 ? extent->tags[j] : psc_tag_of_freed(psc_tag_make(2, 3, 4096));
        }
        struct psc_model *model = psc_fake_read(&fake);
        texts[i] = json_of(model, &size, 0);
        psc_model_close(model);
        psc_fake_release(&fake);
    }
    ck_assert_str_eq(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}
END_TEST

static unsigned char *read_file(const char *path, size_t *size) {
    FILE *in = fopen(path, "re");
    ck_assert_msg(in != NULL, "cannot open %s: run from the top of the source tree", path);
    unsigned char *text = calloc(1, 1 << 20);
    *size = fread(text, 1, (1 << 20) - 1, in);
    fclose(in);
    return text;
}

static void write_sampled_seed(void) {
    struct psc_fake fake;
    FILE *seed = fopen(FUZZ_SEED_SAMPLED, "we");
    psc_fake_small_sampled(&fake);
    psc_fake_shorten(&fake, seed);
    fclose(seed);
    psc_fake_release(&fake);
}

/* What POOLSCOPE_GOLDEN=write makes anew, after a change of the format that is meant. */
static void write_golden(const struct psc_fake *fake) {
    FILE *trace = fopen(GOLDEN_TRACE, "we"), *json = fopen(GOLDEN_JSON, "we"), *seed = fopen(FUZZ_SEED, "we");
    struct psc_model *model = psc_fake_read(fake);
    psc_fake_dump(fake->bytes, psc_fake_bytes(fake), trace);
    psc_json_write(model, json, 0);
    psc_model_close(model);
    psc_fake_shorten(fake, seed);
    fclose(trace);
    fclose(json);
    fclose(seed);
    write_sampled_seed();
}

START_TEST(golden_trace) {
    struct psc_fake fake;
    psc_fake_small(&fake);
    if (getenv("POOLSCOPE_GOLDEN") != NULL) {
        write_golden(&fake);
    }
    size_t size, expected_size, json_size;
    FILE *in = fopen(GOLDEN_TRACE, "re");
    ck_assert_msg(in != NULL, "cannot open " GOLDEN_TRACE);
    unsigned char *bytes = psc_fake_undump(in, &size);
    fclose(in);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(size, psc_fake_bytes(&fake));
    ck_assert_msg(memcmp(bytes, fake.bytes, size) == 0, "the format has changed: see core/wire/trace.h");
    memcpy(fake.bytes, bytes, size);
    struct psc_model *model = psc_fake_read(&fake);
    check_sums(model);
    char *json = json_of(model, &json_size, 0);
    unsigned char *expected = read_file(GOLDEN_JSON, &expected_size);
    ck_assert_str_eq(json, (char *)expected);
    free(json);
    free(expected);
    free(bytes);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* ---- output ---------------------------------------------------------------------------------------------------- */

START_TEST(summary_takes_no_orders) {
    struct psc_fake fake;
    psc_fake_small(&fake);
    static const char evil[] = "ev\x1b]0;il\x07\nname\xff\0--\xc2\x9b"
                               "31m\0";
    memcpy(psc_fake_header(&fake)->argv, evil, sizeof(evil));
    struct psc_model *model = psc_fake_read(&fake);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    psc_summary_write(model, out, 10);
    fclose(out);
    for (size_t i = 0; i < size; i++) {
        ck_assert_msg((unsigned char)text[i] >= 0x20 || text[i] == '\n', "byte %zu is %d", i, text[i]);
    }
    ck_assert_ptr_nonnull(
        strstr(text, "ev\\x1b]0;il\\x07\\x0aname\\xff --\\u{9b}31m (process 4242) exited after 3.00 s"));
    ck_assert_ptr_nonnull(strstr(text, "keeps 1 pool (16.0 KiB) from going back with 4 blocks (256 B)"));
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(top_sites_and_the_rest_make_the_whole) {
    struct psc_fake fake;
    size_t size;
    psc_fake_small(&fake);
    struct psc_model *model = psc_fake_read(&fake);
    char *all = json_of(model, &size, 0), *top = json_of(model, &size, 1);
    ck_assert_uint_eq(figure_of(all, "sites_left_out", "count"), 0);
    ck_assert_uint_gt(figure_of(top, "sites_left_out", "count"), 0);
    ck_assert_uint_gt(strlen(all), strlen(top));
    uint64_t live = figure_of(top, "sites_left_out", "live_bytes");
    ck_assert_uint_eq(live + live_of_sites(top), model->totals.live_bytes);
    free(all);
    free(top);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(time_of_snapshots_is_told) {
    struct psc_fake fake;
    size_t size;
    psc_fake_small(&fake);
    psc_fake_header(&fake)->counters.snapshot_ns = 1234567;
    struct psc_model *model = psc_fake_read(&fake);
    char *json = json_of(model, &size, 0);
    ck_assert_uint_eq(figure_of(json, "totals", "snapshot_ns"), 1234567);
    free(json);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* Of 40 processes, the two that held most and those that they come from. */
START_TEST(table_of_many_names_the_largest) {
    struct psc_tree_row rows[40] = {{.path = "0"}};
    const struct psc_tree tree = {.rows = rows, .count = PSC_COUNT_OF(rows)};
    for (size_t i = 0; i < PSC_COUNT_OF(rows); i++) {
        rows[i] = (struct psc_tree_row){
            .path = "x", .pid = (uint32_t)(1000 + i), .parent = i == 0 ? SIZE_MAX : 0, .peak_committed_bytes = 100 + i};
    }
    rows[39].parent = 7;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    psc_tree_write(&tree, 2, out);
    fclose(out);
    static const char *const shown[] = {"40 processes\n", " 1000 ", " 1007 ",
                                        " 1038 ",         " 1039 ", "... and 36 more that held 137 B at most"};
    for (size_t i = 0; i < PSC_COUNT_OF(shown); i++) {
        ck_assert_msg(strstr(text, shown[i]) != NULL, "no '%s' in:\n%s", shown[i], text);
    }
    ck_assert_ptr_null(strstr(text, " 1001 "));
    free(text);
}
END_TEST

static int run_report(char *path) {
    char *argv[] = {(char *)"report", path, NULL};
    return psc_report_main(2, argv);
}

START_TEST(errors_have_a_status) {
    ck_assert_int_eq(run_report((char *)"/nonexistent/x.trace"), 1);
    ck_assert_int_eq(run_report((char *)"/dev/zero"), 1);
    ck_assert_int_eq(run_report((char *)"tests/unit/test_report.c"), 1);
    ck_assert_int_eq(run_report((char *)"--no-such-option"), 2);
    ck_assert_int_eq(run_report((char *)"--format=xml"), 2);
    ck_assert_int_eq(run_report((char *)"--top=x"), 2);
    ck_assert_int_eq(run_report((char *)"--top=0"), 2);
    ck_assert_int_eq(run_report((char *)"--png"), 2);
}
END_TEST

START_TEST(other_versions_are_refused) {
    struct psc_fake fake;
    const char *error = NULL;
    psc_fake_small(&fake);
    psc_fake_header(&fake)->version = PSC_TRACE_VERSION + 1;
    int fd = psc_fake_open(fake.bytes, psc_fake_bytes(&fake));
    ck_assert_ptr_null(psc_model_open_fd(fd, "test", &error));
    ck_assert_ptr_nonnull(strstr(error, "version 3"));
    close(fd);
    psc_fake_release(&fake);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report");
    TCase *figures = tcase_create("figures");
    tcase_add_test(figures, keeper_is_blamed);
    tcase_add_test(figures, parts_of_a_pool);
    tcase_add_test(figures, books_are_summed_over_threads);
    tcase_add_test(figures, books_of_many_events);
    tcase_add_test(figures, site_ids_count_over_chunks);
    tcase_add_test(figures, module_of_its_time);
    tcase_add_test(figures, notes_say_what_is_missing);
    tcase_add_test(figures, time_of_snapshots_is_told);
    suite_add_tcase(suite, figures);
    TCase *output = tcase_create("output");
    tcase_add_test(output, golden_trace);
    tcase_add_test(output, tags_of_freed_blocks_change_nothing);
    tcase_add_test(output, summary_takes_no_orders);
    tcase_add_test(output, top_sites_and_the_rest_make_the_whole);
    tcase_add_test(output, table_of_many_names_the_largest);
    tcase_add_test(output, errors_have_a_status);
    tcase_add_test(output, other_versions_are_refused);
    suite_add_tcase(suite, output);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
