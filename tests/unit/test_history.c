/* What a trace tells of the course of a run: the parts of RSS, walks over tags, pool maps. */
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/model.h"
#include "report/rss.h"
#include "tests/unit/support_model.h"

#define BASE 0x7f0000000000ull
#define SECOND 1000000000ull

/* ---- RSS ------------------------------------------------------------------------------------------------------- */

static const struct psc_wire_snapshot plain = {
    .live_bytes = 1000,
    .block_bytes = 1300,
    .committed_bytes = 10300,
    .pinned_bytes = 5000,
    .empty_bytes = 3000,
    .cached_bytes = 1000,
    .large_bytes = 500,
    .rss_bytes = 50000,
    .shared_bytes = 20000,
    .resident_bytes = 9300,
    .metadata_resident_bytes = 2000,
    .tracker_anon_bytes = 3000,
    .trace_bytes = 8000,
    .tail_bytes = 700,
    .large_rounding_bytes = 100,
};

static uint64_t sum_of(const struct psc_rss *rss) {
    uint64_t sum = (uint64_t)rss->residue_bytes;
    for (size_t i = 0; i < PSC_RSS_PART_COUNT; i++) {
        sum += i == PSC_RSS_absent ? -rss->parts[i] : rss->parts[i];
    }
    return sum;
}

START_TEST(parts_of_rss) {
    struct psc_rss rss = psc_rss_of(&plain);
    ck_assert(rss.known);
    static const uint64_t wanted[] = {
        [PSC_RSS_requested] = 1000,
        [PSC_RSS_rounding] = 200,
        [PSC_RSS_large_rounding] = 100,
        [PSC_RSS_free_blocks] = 4300,
        [PSC_RSS_tail] = 700,
        [PSC_RSS_empty_pools] = 3000,
        [PSC_RSS_cached] = 1000,
        [PSC_RSS_absent] = 1000,
        [PSC_RSS_metadata] = 2000,
        [PSC_RSS_tracker] = 11000,
        [PSC_RSS_other_anonymous] = 30000 - 9300 - 2000 - 3000,
        [PSC_RSS_file] = 12000,
    };
    for (size_t i = 0; i < PSC_RSS_PART_COUNT; i++) {
        ck_assert_msg(rss.parts[i] == wanted[i], "%s: %lu", psc_rss_key(i), (unsigned long)rss.parts[i]);
    }
    ck_assert_int_eq(rss.residue_bytes, 0);
    ck_assert_uint_eq(sum_of(&rss), 50000);
}
END_TEST

/* The kernel counts less than was counted one by one. */
START_TEST(residue_of_rss) {
    struct psc_wire_snapshot snapshot = plain;
    snapshot.rss_bytes = 20000 + 9300 + 2000 + 3000 - 400;
    struct psc_rss rss = psc_rss_of(&snapshot);
    ck_assert_uint_eq(rss.parts[PSC_RSS_other_anonymous], 0);
    ck_assert_int_eq(rss.residue_bytes, -400);
    ck_assert_uint_eq(sum_of(&rss), snapshot.rss_bytes);
}
END_TEST

START_TEST(rss_is_not_known) {
    struct psc_wire_snapshot snapshot = plain;
    snapshot.resident_bytes = 0;
    ck_assert(!psc_rss_of(&snapshot).known);
    snapshot = plain;
    snapshot.rss_bytes = 0;
    ck_assert(!psc_rss_of(&snapshot).known);
}
END_TEST

/* Whatever the figures: the parts add up. */
START_TEST(damaged_rss_adds_up) {
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 10000; round++) {
        struct psc_wire_snapshot snapshot = {0};
        uint64_t *const fields[] = {
            &snapshot.live_bytes,         &snapshot.block_bytes,         &snapshot.committed_bytes,
            &snapshot.pinned_bytes,       &snapshot.empty_bytes,         &snapshot.cached_bytes,
            &snapshot.rss_bytes,          &snapshot.shared_bytes,        &snapshot.resident_bytes,
            &snapshot.trace_bytes,        &snapshot.tail_bytes,          &snapshot.metadata_resident_bytes,
            &snapshot.tracker_anon_bytes, &snapshot.large_rounding_bytes};
        for (size_t i = 0; i < PSC_COUNT_OF(fields); i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            *fields[i] = state >> (state % 64);
        }
        struct psc_rss rss = psc_rss_of(&snapshot);
        ck_assert(!rss.known || sum_of(&rss) == snapshot.rss_bytes);
    }
}
END_TEST

/* ---- walks ----------------------------------------------------------------------------------------------------- */

/* A pool of 256 blocks of 64 bytes, a quarter of which two sites have: 12 KiB are pinned. */
struct scene {
    struct psc_fake fake;
    uint32_t sites[2];
    struct psc_wire_extent *pool;
};

static void set_scene(struct scene *scene) {
    psc_fake_init(&scene->fake, 20);
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t address = 0x400123 + i;
        scene->sites[i] = psc_fake_site(&scene->fake, &address, 1, 0);
    }
    scene->pool = psc_fake_pool(&scene->fake, 3, BASE, 256, 256);
    struct psc_wire_row *rows[] = {psc_fake_book(&scene->fake, scene->sites[0]),
                                   psc_fake_book(&scene->fake, scene->sites[1])};
    for (uint32_t i = 0; i < 64; i++) {
        psc_fake_live(scene->pool, i, scene->sites[i % 4 == 3], 64, rows[i % 4 == 3]);
    }
}

/* 3 s after the start. */
static void set_walks(struct scene *scene, uint64_t worst_bytes, uint64_t window_ns) {
    struct psc_wire_header *header = psc_fake_header(&scene->fake);
    header->walks = (struct psc_wire_walks){.count = 9,
                                            .last_ns = header->start_ns + 2 * SECOND,
                                            .worst_bytes = worst_bytes,
                                            .worst_ns = header->start_ns + SECOND,
                                            .window_ns = window_ns};
    struct psc_wire_pins *rows = psc_fake_row(&scene->fake, PSC_CHUNK_PINS, 4 * sizeof(*rows));
    rows[scene->sites[0]] = (struct psc_wire_pins){.now_bytes = 500, .worst_bytes = 100000, .byte_ns_low = 7 * SECOND};
    rows[scene->sites[1]] = (struct psc_wire_pins){.byte_ns_high = 1};
}

START_TEST(the_end_is_a_walk) {
    struct scene scene;
    set_scene(&scene);
    set_walks(&scene, 1ull << 40, 0);
    struct psc_model *model = psc_fake_read(&scene.fake);
    const struct psc_site *site = &model->sites[scene.sites[0]];
    ck_assert_uint_eq(psc_fake_warnings(model), 0);
    ck_assert_uint_eq(model->fragmentation.pinned_bytes, 12288);
    ck_assert_uint_eq(site->pinned_bytes, 9216);
    ck_assert_uint_eq(model->walks.count, 10);
    ck_assert_uint_eq(model->walks.worst_bytes, 1ull << 40);
    ck_assert_uint_eq(model->walks.worst_ns, SECOND);
    ck_assert_uint_eq(site->worst_pinned_bytes, 100000);
    double rest = 9216.0 * (double)(model->process.duration_ns - 2 * SECOND);
    ck_assert_double_eq_tol(site->pinned_byte_ns, 7e9 + rest, 1);
    ck_assert_double_ge(model->sites[scene.sites[1]].pinned_byte_ns, 18446744073709551616.0);
    ck_assert(!model->walks.has_window);
    ck_assert_uint_eq(model->fragmentation.lasting_bytes, 0);
    psc_model_close(model);
    psc_fake_release(&scene.fake);
}
END_TEST

START_TEST(the_end_is_the_worst) {
    struct scene scene;
    set_scene(&scene);
    set_walks(&scene, 12287, 0);
    struct psc_model *model = psc_fake_read(&scene.fake);
    ck_assert_uint_eq(psc_fake_warnings(model), 2); /* the two rows tell of more than all together */
    ck_assert_uint_eq(model->walks.worst_bytes, 12288);
    ck_assert_uint_eq(model->walks.worst_ns, model->process.duration_ns);
    ck_assert_uint_eq(model->sites[scene.sites[0]].worst_pinned_bytes, 9216);
    psc_model_close(model);
    psc_fake_release(&scene.fake);
}
END_TEST

START_TEST(lasting_is_the_lowest) {
    static const uint32_t lows[][3] = {{4000, 8000, 4000}, {8000, 4000, 4000}, {20000, 90000, 12288}, {0, 8000, 0}};
    for (size_t i = 0; i < PSC_COUNT_OF(lows); i++) {
        struct scene scene;
        set_scene(&scene);
        set_walks(&scene, 100000, psc_fake_header(&scene.fake)->start_ns + SECOND / 2);
        scene.pool->low_now = lows[i][0];
        scene.pool->low_before = lows[i][1];
        struct psc_model *model = psc_fake_read(&scene.fake);
        ck_assert(model->walks.has_window);
        ck_assert_uint_eq(model->walks.window_ns, SECOND / 2);
        ck_assert_uint_eq(model->fragmentation.lasting_bytes, lows[i][2]);
        ck_assert_uint_eq(model->sites[scene.sites[0]].lasting_bytes, lows[i][2] * 3 / 4);
        ck_assert_uint_eq(model->sites[scene.sites[1]].lasting_bytes, lows[i][2] / 4);
        psc_model_close(model);
        psc_fake_release(&scene.fake);
    }
}
END_TEST

/* ---- maps ------------------------------------------------------------------------------------------------------ */

static void add_map(struct psc_fake *fake, uint64_t sequence, uint32_t slots, uint8_t first) {
    struct psc_wire_map *map = psc_fake_row(fake, PSC_CHUNK_MAPS, sizeof(*map));
    *map = (struct psc_wire_map){.sequence = sequence, .slots = slots, .cells = {first}};
}

START_TEST(maps_belong_to_snapshots) {
    struct psc_fake fake;
    psc_fake_init(&fake, 30);
    for (uint32_t i = 0; i < 3; i++) {
        psc_fake_snapshot(&fake, i == 2 ? PSC_SNAPSHOT_LAST : 0)->time_ns -= (2 - i) * SECOND;
    }
    add_map(&fake, 3, 2, 30);
    add_map(&fake, 0, 1, 99);
    add_map(&fake, 1, 4, 10);
    add_map(&fake, 2, 3, 20); /* no power of two: damaged */
    struct psc_model *model = psc_fake_read(&fake);
    ck_assert_uint_eq(model->snapshot_count, 3);
    ck_assert_uint_eq(model->map_count, 2);
    ck_assert_uint_eq(psc_fake_warnings(model), 1);
    const struct psc_pool_map *first = psc_model_map_of(model, &model->snapshots[0]);
    const struct psc_pool_map *last = psc_model_map_of(model, &model->snapshots[2]);
    ck_assert(first != NULL && first->slots == 4 && first->cells[0] == 10);
    ck_assert(last != NULL && last->slots == 2 && last->cells[0] == 30);
    ck_assert_ptr_null(psc_model_map_of(model, &model->snapshots[1]));
    psc_model_close(model);
    psc_fake_release(&fake);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("history");
    TCase *rss = tcase_create("rss");
    tcase_add_test(rss, parts_of_rss);
    tcase_add_test(rss, residue_of_rss);
    tcase_add_test(rss, rss_is_not_known);
    tcase_add_test(rss, damaged_rss_adds_up);
    suite_add_tcase(suite, rss);
    TCase *walks = tcase_create("walks");
    tcase_add_test(walks, the_end_is_a_walk);
    tcase_add_test(walks, the_end_is_the_worst);
    tcase_add_test(walks, lasting_is_the_lowest);
    suite_add_tcase(suite, walks);
    TCase *maps = tcase_create("maps");
    tcase_add_test(maps, maps_belong_to_snapshots);
    suite_add_tcase(suite, maps);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
