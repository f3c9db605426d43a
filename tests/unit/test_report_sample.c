/* Sampled traces made by hand: what the report makes of their samples, and of the heap's own totals beside them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/wire/options.h"
#include "report/report.h"
#include "tests/unit/support_model.h"

static struct psc_model *model_of(const struct psc_fake *fake) {
    struct psc_model *model = psc_fake_read(fake);
    for (size_t i = 0; i < model->note_count; i++) {
        ck_assert_msg(!model->notes[i].warning, "%s", model->notes[i].text);
    }
    return model;
}

static bool has_note(const struct psc_model *model, const char *part) {
    for (size_t i = 0; i < model->note_count; i++) {
        if (strstr(model->notes[i].text, part) != NULL) {
            return true;
        }
    }
    return false;
}

static char *summary_of(struct psc_model *model) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    psc_summary_write(model, out, 10);
    fclose(out);
    return text;
}

static char *json_of(struct psc_model *model) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    psc_json_write(model, out, 0);
    fclose(out);
    return text;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* What sites and the rest add up to. */
struct whole {
    uint64_t live_count, live_bytes, pinned_bytes, alloc_count;
    uint64_t class_blocks, class_requested, class_pinned, class_allocs;
};

static struct whole whole_of(const struct psc_model *model) {
    struct whole whole = {.live_count = model->not_sampled.live_count,
                          .live_bytes = model->not_sampled.live_bytes,
                          .pinned_bytes = model->not_sampled.pinned_bytes};
    for (size_t i = 0; i < model->site_count; i++) {
        whole.live_count += model->sites[i].live_count;
        whole.live_bytes += model->sites[i].live_bytes;
        whole.pinned_bytes += model->sites[i].pinned_bytes;
        whole.alloc_count += model->sites[i].alloc_count;
    }
    for (size_t i = 0; i < PSC_CLASSES_MAX; i++) {
        whole.class_blocks += model->classes[i].live_blocks;
        whole.class_requested += model->classes[i].live_requested_bytes;
        whole.class_pinned += model->classes[i].pinned_bytes;
    }
    return whole;
}

static void check_sums(const struct psc_model *model) {
    const struct psc_fragmentation *f = &model->fragmentation;
    struct whole whole = whole_of(model);
    ck_assert_uint_eq(whole.live_count, model->totals.live_count);
    ck_assert_uint_eq(whole.live_bytes, model->totals.live_bytes);
    ck_assert_uint_eq(whole.alloc_count, model->totals.alloc_count);
    ck_assert_uint_eq(whole.pinned_bytes, f->pinned_bytes);
    ck_assert_uint_eq(whole.class_pinned, f->pinned_bytes);
    ck_assert_uint_eq(whole.class_requested, f->live_requested_bytes);
    ck_assert_uint_eq(f->committed_bytes, f->live_requested_bytes + f->internal_bytes + f->free_blocks_bytes +
                                              f->tail_bytes + f->empty_pools_bytes + f->cached_bytes);
    if (model->sampling.calibrated) {
        ck_assert_uint_eq(whole.class_blocks, model->totals.live_count);
        ck_assert_uint_eq(f->live_requested_bytes, model->totals.live_bytes);
    }
}

/* 16 samples in a class of which the heap has 19,200 blocks: 4 of them are a quarter. */
START_TEST(sites_share_what_the_heap_counted) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    struct psc_model *model = model_of(&fake);
    const struct psc_site *most = &model->sites[2], *less = &model->sites[3];
    check_sums(model);
    ck_assert(model->sampling.calibrated);
    ck_assert_uint_eq(model->sampling.samples, 17);
    ck_assert_uint_eq(less->live_count, 4800);
    ck_assert_uint_eq(less->live_bytes, 4800 * 60);
    ck_assert_uint_eq(most->live_count, 14401);
    ck_assert_uint_eq(most->live_bytes, 14400 * 60 + (1 << 20) - 100);
    ck_assert_uint_eq(less->tagged_count, 4);
    ck_assert_uint_eq(model->totals.live_count, 19301);
    ck_assert(less->live_count_range.low < 2500 && less->live_count_range.low > 1200);
    ck_assert(less->live_count_range.high > 8500 && less->live_count_range.high < 11000);
    ck_assert_uint_gt(less->live_bytes_range.high, less->live_bytes);
    ck_assert_uint_lt(less->live_bytes_range.low, less->live_bytes);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* What is pinned in a class falls on its samples; the class of 16 bytes has none. */
START_TEST(pinned_bytes_are_shared_too) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    struct psc_model *model = model_of(&fake);
    uint64_t pinned = 600 * 4096 - 19200 * 64;
    ck_assert_uint_eq(model->sites[3].pinned_bytes, pinned / 4);
    ck_assert_uint_eq(model->sites[2].pinned_bytes, pinned / 4 * 3);
    ck_assert_uint_eq(model->not_sampled.pinned_bytes, 4096 - 1600);
    ck_assert_uint_eq(model->not_sampled.live_count, 100);
    ck_assert_uint_eq(model->not_sampled.live_bytes, 1600);
    ck_assert_uint_eq(model->classes[3].pools, 150);
    ck_assert_uint_eq(model->classes[3].pinned_bytes, pinned);
    ck_assert(has_note(model, "No sample tells whose 100 live blocks (1.56 KiB) are"));
    ck_assert(has_note(model, "on fewer than 5 samples: 1."));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* Of the counts in the books, one part in 65536 is a block. */
START_TEST(books_count_in_parts_of_a_block) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    struct psc_model *model = model_of(&fake);
    double weight = psc_sample_weight(64, 64 << 10);
    ck_assert_uint_eq(model->sites[3].alloc_count, (uint64_t)(4 * weight + 3 + 0.5));
    ck_assert_uint_eq(model->sites[3].free_count, 3);
    ck_assert_uint_eq(model->sites[3].peak_live_count, (uint64_t)(4 * weight + 0.5));
    double deviation = 60 * sqrt(4 * weight * (weight - 1));
    ck_assert_uint_gt(model->sites[3].alloc_bytes_range.high,
                      model->sites[3].alloc_bytes + (uint64_t)(1.9 * deviation));
    ck_assert(!has_note(model, "differ by"));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(lost_samples_are_noticed) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    struct psc_wire_extent *extents = (void *)(fake.bytes + (size_t)fake.open[PSC_CHUNK_EXTENTS] * PSC_CHUNK_BYTES);
    ck_assert_uint_ne(extents->tags[15], 0);
    extents->tags[15] = 0;
    struct psc_model *model = model_of(&fake);
    ck_assert(has_note(model, "differ by 1,025 live blocks in 1 sites"));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* ---- when the totals fit ----------------------------------------------------------------------------------------- */

static struct psc_wire_snapshot *last_snapshot(struct psc_fake *fake) {
    return (void *)(fake->bytes + (size_t)fake->open[PSC_CHUNK_SNAPSHOTS] * PSC_CHUNK_BYTES);
}

/* Killed right after a snapshot: it is as good as the last one. Long after: the samples stand alone. */
START_TEST(old_snapshots_correct_nothing) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    psc_fake_header(&fake)->end = PSC_END_NONE;
    last_snapshot(&fake)->flags = 0;
    struct psc_model *model = model_of(&fake);
    ck_assert(model->sampling.calibrated);
    psc_model_close(model);
    psc_fake_header(&fake)->counters.clock_bytes += 8 << 20;
    psc_fake_header(&fake)->counters.last_event_ns = last_snapshot(&fake)->time_ns + 2000000000;
    model = model_of(&fake);
    check_sums(model);
    double weight = psc_sample_weight(64, 64 << 10);
    ck_assert(!model->sampling.calibrated);
    ck_assert_uint_eq(model->sampling.snapshot_age_ns, 2000000000);
    ck_assert_uint_eq(model->sites[3].live_count, (uint64_t)(4 * weight + 0.5));
    ck_assert_uint_eq(model->not_sampled.live_count, 0);
    ck_assert_uint_eq(model->classes[3].live_blocks, 19200);
    ck_assert(has_note(model, "those of its last snapshot, 2.00 s before the end"));
    char *text = summary_of(model);
    ck_assert_ptr_nonnull(strstr(text, "Memory at the last snapshot"));
    free(text);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* As much was freed as allocated: the clock shows it. */
START_TEST(churn_makes_a_snapshot_old) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    last_snapshot(&fake)->flags = 0;
    psc_fake_header(&fake)->counters.clock_bytes += 20 << 10;
    struct psc_model *model = model_of(&fake);
    ck_assert(model->sampling.calibrated); /* a fraction of the 260 KiB or so that the estimate may be off */
    psc_model_close(model);
    psc_fake_header(&fake)->counters.clock_bytes += 100 << 10;
    model = model_of(&fake);
    ck_assert(!model->sampling.calibrated);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(inherited_blocks_correct_nothing) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    psc_fake_header(&fake)->flags = PSC_TRACE_FORKED;
    struct psc_model *model = model_of(&fake);
    check_sums(model);
    ck_assert(!model->sampling.calibrated);
    ck_assert(has_note(model, "Blocks that it inherited from process 4000"));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(no_snapshot_is_told) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    last_snapshot(&fake)->sequence = 0;
    struct psc_model *model = model_of(&fake);
    check_sums(model);
    double weight = psc_sample_weight(64, 64 << 10);
    ck_assert(!model->sampling.has_snapshot && !model->sampling.calibrated);
    ck_assert_uint_eq(model->classes[3].live_blocks, (uint64_t)(16 * weight + 0.5));
    ck_assert_uint_eq(model->fragmentation.pinned_bytes, 0);
    ck_assert(has_note(model, "holds no snapshot"));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* One sample, in a class of which the heap has far more than it stands for: the rest is not its fault. */
START_TEST(few_samples_answer_for_few_blocks) {
    struct psc_fake fake;
    psc_fake_init(&fake, 20);
    psc_fake_sampled(&fake, 64 << 10);
    uint64_t stack[] = {0x1000};
    uint32_t site = psc_fake_site(&fake, stack, 1, 0);
    struct psc_wire_extent *pool = psc_fake_pool(&fake, 7, 0x10000, 128, 128);
    psc_fake_sample(&fake, pool, 0, site, 128, psc_fake_book(&fake, site));
    pool->untagged = 127;
    psc_fake_hold(&fake, psc_fake_snapshot(&fake, PSC_SNAPSHOT_LAST), 7, 100, 10000, 400);
    struct psc_model *model = model_of(&fake);
    double weight = psc_sample_weight(128, 64 << 10);
    check_sums(model);
    ck_assert_uint_eq(model->sites[site].live_count, (uint64_t)(weight + 0.5));
    ck_assert_uint_gt(model->sites[site].live_count_range.high, (uint64_t)(4 * weight));
    ck_assert_uint_lt(model->sites[site].live_count_range.low, (uint64_t)(weight / 3));
    ck_assert_uint_eq(model->not_sampled.live_count, 10000 - model->sites[site].live_count);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* ---- through the whole reader ------------------------------------------------------------------------------------ */

static uint64_t state;

static double uniform(void) {
    state += 0x9e3779b97f4a7c15;
    uint64_t mixed = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return ((double)((mixed ^ mixed >> 31) >> 11) + 0.5) * 0x1p-53;
}

#define DRAWS 300
#define DRAW_INTERVAL (64u << 10)

/* `blocks` blocks of 64 bytes, requested as 49, 50 ... 64 in turn; a pool for each sample, in which all are live. */
static void draw_site(struct psc_fake *fake, uint32_t site, uint64_t blocks, uint64_t *base) {
    struct psc_wire_row *row = psc_fake_book(fake, site);
    double end = (double)blocks * 64;
    for (double at = -log(uniform()) * DRAW_INTERVAL; at < end; at += -log(uniform()) * DRAW_INTERVAL) {
        struct psc_wire_extent *pool = psc_fake_pool(fake, 3, *base, 16, 16);
        psc_fake_sample(fake, pool, 0, site, 49 + (uint64_t)(at / 64) % 16, row);
        pool->untagged = 15;
        *base += PSC_FAKE_SLOT_BYTES;
    }
}

/* Returns which of the intervals of a drawn trace hold the truth: 1 of live blocks, 2 of live bytes. */
static unsigned draw_trace(unsigned seed, uint64_t truths[2]) {
    struct psc_fake fake;
    unsigned held = 0;
    uint64_t base = 0x10000000;
    state = seed;
    psc_fake_init(&fake, 30);
    psc_fake_sampled(&fake, DRAW_INTERVAL);
    uint64_t stacks[2][1] = {{0x1000}, {0x2000}};
    uint32_t sites[2] = {psc_fake_site(&fake, stacks[0], 1, 0), psc_fake_site(&fake, stacks[1], 1, 0)};
    draw_site(&fake, sites[0], truths[0], &base);
    draw_site(&fake, sites[1], truths[1], &base);
    uint32_t blocks = (uint32_t)(truths[0] + truths[1]);
    psc_fake_hold(&fake, psc_fake_snapshot(&fake, PSC_SNAPSHOT_LAST), 3, blocks / 16, blocks, blocks / 64);
    struct psc_model *model = model_of(&fake);
    const struct psc_site *site = &model->sites[sites[0]];
    check_sums(model);
    held |= site->live_count_range.low <= truths[0] && truths[0] <= site->live_count_range.high;
    uint64_t bytes = truths[0] * (49 + 64) / 2;
    held |= (site->live_bytes_range.low <= bytes && bytes <= site->live_bytes_range.high) << 1;
    psc_model_close(model);
    psc_fake_release(&fake);
    return held;
}

START_TEST(intervals_hold_the_truth) {
    uint64_t truths[2] = {48 * 1024, 80 * 1024};
    unsigned blocks = 0, bytes = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        unsigned held = draw_trace(i * 7919 + 3, truths);
        blocks += held & 1;
        bytes += held >> 1;
    }
    ck_assert_msg(blocks >= DRAWS * 93 / 100 && blocks <= DRAWS * 97 / 100, "blocks: %u of %d", blocks, DRAWS);
    ck_assert_msg(bytes >= DRAWS * 93 / 100 && bytes <= DRAWS * 97 / 100, "bytes: %u of %d", bytes, DRAWS);
}
END_TEST

/* ---- how it is said ---------------------------------------------------------------------------------------------- */

START_TEST(summary_and_json_say_that_it_is_sampled) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    struct psc_model *model = model_of(&fake);
    char *text = summary_of(model), *json = json_of(model);
    static const char *const said[] = {"Sampled, every 64.0 KiB on average: 17 samples are live.",
                                       " in 4,800 ± ",
                                       "from 4 samples",
                                       "281 KiB ± ",
                                       "(not sampled)",
                                       "free memory in pools with live blocks (pinned)"};
    static const char *const written[] = {"\"mode\": \"sample\"", "\"interval_bytes\": 65536", "\"samples\": 17",
                                          "\"samples\": 4",       "\"live_bytes_low\": ",      "\"not_sampled\": {",
                                          "\"calibrated\": true"};
    for (size_t i = 0; i < PSC_COUNT_OF(said); i++) {
        ck_assert_msg(strstr(text, said[i]) != NULL, "no '%s' in:\n%s", said[i], text);
    }
    for (size_t i = 0; i < PSC_COUNT_OF(written); i++) {
        ck_assert_msg(strstr(json, written[i]) != NULL, "no '%s' in:\n%s", written[i], json);
    }
    ck_assert_ptr_null(strstr(text, "without a record"));
    ck_assert_ptr_null(strstr(json, "\"live_bytes_error\": 0,"));
    free(text);
    free(json);
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

/* ---- stacks with a gap ------------------------------------------------------------------------------------------- */

static struct psc_model *model_of_deep_stack(struct psc_fake *fake, uint16_t depth, uint32_t *site) {
    uint64_t stack[256];
    psc_fake_init(fake, 20);
    psc_fake_header(fake)->depth = depth;
    for (uint16_t i = 0; i < depth; i++) {
        stack[i] = 0x1000 + i;
    }
    *site = psc_fake_site(fake, stack, depth, 0);
    struct psc_wire_site *rows = (void *)(fake->bytes + (size_t)fake->open[PSC_CHUNK_SITES] * PSC_CHUNK_BYTES);
    rows[*site].flags = PSC_SITE_SKIPPED;
    psc_fake_live(psc_fake_pool(fake, 3, 0x10000, 4, 1), 0, *site, 60, psc_fake_book(fake, *site));
    return model_of(fake);
}

START_TEST(gaps_in_stacks_are_shown) {
    static const uint16_t depths[] = {256, 6, 1};
    for (size_t i = 0; i < PSC_COUNT_OF(depths); i++) {
        struct psc_fake fake;
        uint32_t id;
        struct psc_model *model = model_of_deep_stack(&fake, depths[i], &id);
        struct psc_site *site = &model->sites[id];
        uint32_t inner = psc_site_inner(depths[i]);
        psc_model_symbolize(model, site);
        ck_assert_uint_eq(site->frame_count, depths[i] + 1u);
        for (size_t k = 0; k < site->frame_count; k++) {
            ck_assert_int_eq(psc_frame_is_gap(&site->frames[k]), k == inner);
        }
        char *json = json_of(model), *text = summary_of(model);
        ck_assert_ptr_nonnull(strstr(json, "{\"function\": \"(frames left out)\", \"file\": null, \"line\": 0"));
        ck_assert_ptr_nonnull(strstr(json, "\"skipped\": true"));
        ck_assert_ptr_nonnull(
            strstr(text, depths[i] > 6 ? "called through 250 more, and some that were left out" : "(frames left out)"));
        ck_assert(has_note(model, "some in their middle are left out"));
        free(json);
        free(text);
        psc_model_close(model);
        psc_fake_release(&fake);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report_sample");
    TCase *sums = tcase_create("sums");
    tcase_add_test(sums, sites_share_what_the_heap_counted);
    tcase_add_test(sums, pinned_bytes_are_shared_too);
    tcase_add_test(sums, books_count_in_parts_of_a_block);
    tcase_add_test(sums, lost_samples_are_noticed);
    tcase_add_test(sums, few_samples_answer_for_few_blocks);
    suite_add_tcase(suite, sums);
    TCase *moments = tcase_create("moments");
    tcase_add_test(moments, old_snapshots_correct_nothing);
    tcase_add_test(moments, churn_makes_a_snapshot_old);
    tcase_add_test(moments, inherited_blocks_correct_nothing);
    tcase_add_test(moments, no_snapshot_is_told);
    suite_add_tcase(suite, moments);
    TCase *output = tcase_create("output");
    tcase_set_timeout(output, 60);
    tcase_add_test(output, intervals_hold_the_truth);
    tcase_add_test(output, summary_and_json_say_that_it_is_sampled);
    tcase_add_test(output, gaps_in_stacks_are_shown);
    suite_add_tcase(suite, output);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
