/* Comparisons of traces made by hand, whose differences are known: which sites are the same, what changed by how much and
 * with which error, and what the command says. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/diff.h"
#include "report/diff_match.h"
#include "report/emit.h"
#include "tests/unit/support_model.h"

#define PROGRAM "/opt/old/bin/victim"
#define KIB 1024

/* ---- names ----------------------------------------------------------------------------------------------------- */

START_TEST(modules_have_no_version) {
    static const char *const names[][2] = {{"/usr/lib/libz.so.1.2.13", "libz.so"},
                                           {"/usr/lib/libz.so", "libz.so"},
                                           {"/lib/libc-2.31.so", "libc.so"},
                                           {"/lib/libglib-2.0.so.0.7400", "libglib.so"},
                                           {"/usr/lib/libz3.so.4", "libz3.so"},
                                           {"/usr/bin/python3.11", "python"},
                                           {"/usr/bin/tool-12", "tool"},
                                           {"/usr/bin/bzip2", "bzip2"},
                                           {"/opt/3.11", "3.11"},
                                           {"/opt/x.source", "x.source"},
                                           {"perf-4242.map", "perf.map"},
                                           {"[vdso]", "[vdso]"},
                                           {"a/", "a/"},
                                           {"/opt/bin/server-1.2", ""}};
    char exe[] = "/opt/bin/server-1.2", buffer[PSC_DIFF_NAME_BYTES];
    const struct psc_model model = {.process.exe = exe};
    for (size_t i = 0; i < PSC_COUNT_OF(names); i++) {
        ck_assert_str_eq(psc_diff_match_module(buffer, &model, names[i][0]), names[i][1]);
    }
}
END_TEST

START_TEST(functions_have_no_marks) {
    static const char *const names[][2] = {{"parse", "parse"},
                                           {"parse.constprop.0", "parse"},
                                           {"parse.isra.0.cold", "parse"},
                                           {"parse.part.3", "parse"},
                                           {"memcpy@@GLIBC_2.14", "memcpy"},
                                           {"std::sort(int*, int*) [clone .isra.0]", "std::sort(int*, int*)"},
                                           {"core::ops::call::h0123456789abcdef", "core::ops::call"},
                                           {"core::ops::call::h0123456789abcdeg", "core::ops::call::h0123456789abcdeg"},
                                           {"::h0123456789abcdef", "::h0123456789abcdef"},
                                           {"main.main.func1", "main.main.func1"},
                                           {".cold", ".cold"},
                                           {"", ""}};
    char buffer[PSC_DIFF_NAME_BYTES];
    for (size_t i = 0; i < PSC_COUNT_OF(names); i++) {
        ck_assert_str_eq(psc_diff_match_function(buffer, names[i][0]), names[i][1]);
    }
}
END_TEST

/* The number of a stack of two frames, of which the inner one is given. */
static uint32_t number_of(struct psc_diff_matcher *matcher, struct psc_frame inner) {
    static const struct psc_model model = {.process.exe = PROGRAM};
    struct psc_frame frames[] = {
        {.function = "malloc", .module = "/x/libpoolscope.so"}, inner, {.function = "main", .module = PROGRAM}};
    const struct psc_site site = {.frames = frames, .frame_count = PSC_COUNT_OF(frames)};
    return psc_diff_match_site(matcher, &model, &site);
}

START_TEST(stacks_are_the_same_by_their_functions) {
    struct psc_diff_matcher *matcher = psc_diff_match_open(false);
    const struct psc_frame frame = {
        .function = "f", .module = "/lib/liba.so.1", .file = "a.c", .line = 10, .address = 100};
    struct psc_frame same = frame, other = frame, elsewhere = frame;
    same = (struct psc_frame){.function = "f", .module = "/opt/liba.so.2", .file = "b.c", .line = 11, .address = 200};
    other.function = "g";
    elsewhere.module = "/lib/libb.so.1";
    uint32_t number = number_of(matcher, frame);
    ck_assert_uint_eq(number_of(matcher, same), number);
    ck_assert_uint_ne(number_of(matcher, other), number);
    ck_assert_uint_ne(number_of(matcher, elsewhere), number);
    ck_assert_uint_eq(number_of(matcher, frame), number);
    psc_diff_match_close(matcher);
    matcher = psc_diff_match_open(true);
    ck_assert_uint_ne(number_of(matcher, frame), number_of(matcher, same));
    same.file = "/elsewhere/a.c";
    same.line = 10;
    ck_assert_uint_eq(number_of(matcher, frame), number_of(matcher, same));
    psc_diff_match_close(matcher);
}
END_TEST

START_TEST(frames_without_names) {
    struct psc_diff_matcher *matcher = psc_diff_match_open(false);
    const struct psc_frame offset = {.function = "liba.so.1+0x10", .module = "/lib/liba.so.1"};
    const struct psc_frame same = {.function = "liba.so.2+0x10", .module = "/lib/liba.so.2"};
    const struct psc_frame other = {.function = "liba.so.2+0x20", .module = "/lib/liba.so.2"};
    const struct psc_frame named = {.function = "+0x10", .module = "/lib/liba.so.2"};
    const struct psc_frame nowhere = {.function = "0x7f0012340000"}, anywhere = {.function = "0x7f0056780000"};
    const struct psc_frame jitted = {.function = "loop", .module = "perf-1.map"};
    const struct psc_frame again = {.function = "loop", .module = "perf-22.map"};
    ck_assert_uint_eq(number_of(matcher, offset), number_of(matcher, same));
    ck_assert_uint_ne(number_of(matcher, offset), number_of(matcher, other));
    ck_assert_uint_ne(number_of(matcher, offset), number_of(matcher, named));
    ck_assert_uint_eq(number_of(matcher, nowhere), number_of(matcher, anywhere));
    ck_assert_uint_ne(number_of(matcher, nowhere), number_of(matcher, offset));
    ck_assert_uint_eq(number_of(matcher, jitted), number_of(matcher, again));
    psc_diff_match_close(matcher);
}
END_TEST

/* More than the tables begin with, and than are remembered. */
START_TEST(many_stacks_have_many_numbers) {
    enum { MANY = 10000 };
    static char names[MANY][8];
    struct psc_diff_matcher *matcher = psc_diff_match_open(false);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < MANY * 2; i++) {
        char *name = names[i % MANY];
        snprintf(name, sizeof(names[0]), "f%u", i % MANY);
        wrong += number_of(matcher, (struct psc_frame){.function = name, .module = PROGRAM}) != i % MANY;
    }
    ck_assert_uint_eq(wrong, 0);
    psc_diff_match_close(matcher);
}
END_TEST

/* ---- two traces whose difference is known ----------------------------------------------------------------------- */

/* Where the program and a library lie, and how they are called. */
struct place {
    const char *exe;
    const char *library;
    uint64_t program_at;
    uint64_t library_at;
};

static const struct place old_place = {PROGRAM, "/usr/lib/libx.so.1.2", 0x400000, 0x7fff00000000};
static const struct place new_place = {"/srv/victim", "/opt/libx.so.2", 0x555500000000, 0x7ffe00000000};

struct builder {
    struct psc_fake fake;
    const struct place *place;
    struct psc_wire_row *row;
    struct psc_wire_extent *pool;
    uint32_t next;
};

static void begin(struct builder *builder, const struct place *place) {
    *builder = (struct builder){.place = place};
    psc_fake_init(&builder->fake, 60);
    snprintf(psc_fake_header(&builder->fake)->exe, sizeof(psc_fake_header(&builder->fake)->exe), "%s", place->exe);
    psc_fake_module(&builder->fake, 0, 0, ""); /* a row not in use */
    psc_fake_module(&builder->fake, place->program_at, place->program_at + 0x10000, place->exe);
    psc_fake_module(&builder->fake, place->library_at, place->library_at + 0x10000, place->library);
    builder->pool = psc_fake_pool(&builder->fake, 3, 0x100000000, 256, 256);
}

/* Blocks of 64 bytes made at these offsets of the library and the program. `passing` of them were freed. */
static uint32_t make(struct builder *builder, uint64_t in_library, uint64_t in_program, uint32_t blocks,
                     uint32_t passing) {
    uint64_t stack[] = {builder->place->library_at + in_library, builder->place->program_at + in_program};
    uint32_t id = psc_fake_site(&builder->fake, stack, 2, 3);
    struct psc_wire_row *row = psc_fake_book(&builder->fake, id);
    for (uint32_t i = 0; i < blocks; i++) {
        psc_fake_live(builder->pool, builder->next++, id, 64, row);
    }
    row->alloc_count += passing;
    row->alloc_bytes += passing * 64;
    row->free_count += passing;
    row->free_bytes += passing * 64;
    return id;
}

/* Same, grown (two sites of old are one of new with other blocks), shrunk, gone and new; a large block is new. */
static void make_pair(struct psc_model *models[2]) {
    struct builder builder;
    begin(&builder, &old_place);
    make(&builder, 0x100, 0x10, 5, 0);
    make(&builder, 0x200, 0x10, 10, 7);
    make(&builder, 0x300, 0x10, 40, 0);
    make(&builder, 0x400, 0x10, 3, 0);
    models[0] = psc_fake_read(&builder.fake);
    psc_fake_release(&builder.fake);
    begin(&builder, &new_place);
    make(&builder, 0x600, 0x10, 20, 0);
    make(&builder, 0x300, 0x10, 30, 0);
    uint32_t id = make(&builder, 0x200, 0x10, 60, 8);
    make(&builder, 0x100, 0x10, 5, 0);
    struct psc_wire_row *row = psc_fake_book(&builder.fake, id);
    psc_fake_live(psc_fake_large(&builder.fake, 0x7f1000000000, 64 * KIB), 0, id, 50000, row);
    models[1] = psc_fake_read(&builder.fake);
    psc_fake_release(&builder.fake);
}

static void close_pair(struct psc_model *models[2]) {
    psc_model_close(models[0]);
    psc_model_close(models[1]);
}

static const struct psc_diff_total *total_named(const struct psc_diff *diff, const char *key) {
    for (size_t i = 0; i < diff->total_count; i++) {
        if (strcmp(diff->totals[i].key, key) == 0) {
            return &diff->totals[i];
        }
    }
    ck_abort_msg("no total %s", key);
}

static void check_change(const struct psc_diff_site *site, enum psc_diff_figure figure, int64_t bytes, int64_t count) {
    const struct psc_diff_value *old = &site->values[PSC_DIFF_OLD][figure], *new = &site->values[PSC_DIFF_NEW][figure];
    struct psc_diff_change change = psc_diff_site_change(site, figure);
    ck_assert_int_eq(change.shrank ? -(int64_t)change.amount : (int64_t)change.amount, bytes);
    ck_assert_int_eq((int64_t)(new->count - old->count), count);
    ck_assert_uint_eq(change.error, 0);
    ck_assert(!change.within);
}

START_TEST(sites_are_known_again_elsewhere) {
    struct psc_model *models[2];
    make_pair(models);
    struct psc_diff *diff = psc_diff_make(models[0], models[1], PSC_DIFF_LIVE, false);
    /* grown, new, shrunk, gone, same; offsets: the traces are said to be of one build */
    ck_assert_uint_eq(diff->site_count, 5);
    check_change(&diff->sites[0], PSC_DIFF_LIVE, 50 * 64 + 50000, 51);
    check_change(&diff->sites[0], PSC_DIFF_ALLOC, 51 * 64 + 50000, 52);
    check_change(&diff->sites[1], PSC_DIFF_LIVE, 20 * 64, 20);
    check_change(&diff->sites[2], PSC_DIFF_LIVE, -10 * 64, -10);
    check_change(&diff->sites[3], PSC_DIFF_LIVE, -3 * 64, -3);
    check_change(&diff->sites[4], PSC_DIFF_LIVE, 0, 0);
    static const uint32_t merged[5][2] = {{1, 1}, {0, 1}, {1, 1}, {1, 0}, {1, 1}};
    for (size_t i = 0; i < 5; i++) {
        ck_assert_mem_eq(diff->sites[i].merged, merged[i], sizeof(merged[i]));
    }
    ck_assert(psc_diff_site_changed(&diff->sites[3]));
    ck_assert(!psc_diff_is_sampled(diff));
    ck_assert_uint_eq(diff->warning_count, 0);
    psc_diff_free(diff);
    close_pair(models);
}
END_TEST

/* Whatever the figure, the changes of all sites make that of the total. */
START_TEST(changes_add_up) {
    struct psc_model *models[2];
    make_pair(models);
    for (enum psc_diff_figure figure = 0; figure < PSC_DIFF_FIGURES; figure++) {
        struct psc_diff *diff = psc_diff_make(models[0], models[1], figure, false);
        const struct psc_diff_total *total = psc_diff_total_of(diff, figure);
        uint64_t sums[2] = {0, 0}, before = UINT64_MAX;
        for (size_t i = 0; i < diff->site_count; i++) {
            struct psc_diff_change change = psc_diff_site_change(&diff->sites[i], figure);
            ck_assert_uint_le(change.amount, before);
            before = change.amount;
            sums[0] += diff->sites[i].values[PSC_DIFF_OLD][figure].bytes;
            sums[1] += diff->sites[i].values[PSC_DIFF_NEW][figure].bytes;
        }
        if (figure != PSC_DIFF_PEAK) { /* of these traces only the whole is known */
            ck_assert_uint_eq(sums[0], total->sides[PSC_DIFF_OLD].bytes);
            ck_assert_uint_eq(sums[1], total->sides[PSC_DIFF_NEW].bytes);
        }
        psc_diff_free(diff);
    }
    close_pair(models);
}
END_TEST

START_TEST(totals_and_classes) {
    struct psc_model *models[2];
    make_pair(models);
    struct psc_diff *diff = psc_diff_make(models[0], models[1], PSC_DIFF_PINNED, false);
    const struct psc_diff_total *live = total_named(diff, "live_bytes"), *rss = total_named(diff, "rss_bytes");
    ck_assert_uint_eq(live->sides[PSC_DIFF_OLD].bytes, 58 * 64);
    ck_assert_uint_eq(live->sides[PSC_DIFF_NEW].bytes, 115 * 64 + 50000);
    ck_assert(live->known[PSC_DIFF_OLD] && !rss->known[PSC_DIFF_OLD] && !rss->known[PSC_DIFF_NEW]);
    ck_assert_uint_eq(total_named(diff, "live_count")->sides[PSC_DIFF_NEW].bytes, 116);
    ck_assert_uint_eq(total_named(diff, "pinned_bytes")->sides[PSC_DIFF_OLD].bytes, 16384 - 58 * 64);
    /* the large block's class is in new alone; that of the pool has other blocks in as many bytes */
    ck_assert_uint_eq(diff->class_count, 2);
    ck_assert(diff->classes[0].large);
    ck_assert_uint_eq(diff->classes[0].sides[PSC_DIFF_OLD]->committed_bytes, 0);
    ck_assert_uint_eq(diff->classes[0].sides[PSC_DIFF_NEW]->committed_bytes, 64 * KIB);
    ck_assert_uint_eq(diff->classes[1].block_bytes, 64);
    ck_assert_uint_eq(diff->classes[1].sides[PSC_DIFF_NEW]->live_blocks, 115);
    psc_diff_free(diff);
    close_pair(models);
}
END_TEST

START_TEST(a_trace_is_like_itself) {
    struct psc_model *models[2], *again[2];
    make_pair(models);
    make_pair(again);
    struct psc_diff *diff = psc_diff_make(models[1], again[1], PSC_DIFF_LIVE, true);
    for (size_t i = 0; i < diff->site_count; i++) {
        ck_assert(!psc_diff_site_changed(&diff->sites[i]));
    }
    ck_assert_uint_eq(diff->site_count, 4);
    ck_assert_uint_eq(diff->class_count, 0);
    ck_assert_uint_eq(diff->warning_count, 0);
    psc_diff_free(diff);
    close_pair(models);
    close_pair(again);
}
END_TEST

/* Two stacks that are one by their functions: here, because their code lies in no module. */
START_TEST(sites_that_fall_together_are_summed) {
    struct psc_model *models[2];
    for (int side = 0; side < 2; side++) {
        struct psc_fake fake;
        psc_fake_init(&fake, 20);
        struct psc_wire_extent *pool = psc_fake_pool(&fake, 3, 0x100000000, 256, 256);
        for (uint32_t i = 0; i < 2u + (uint32_t)side; i++) {
            uint32_t id = psc_fake_site(&fake, (uint64_t[]){0x7000 + 0x1000 * i}, 1, 0);
            psc_fake_live(pool, i, id, 50, psc_fake_book(&fake, id));
        }
        models[side] = psc_fake_read(&fake);
        psc_fake_release(&fake);
    }
    struct psc_diff *diff = psc_diff_make(models[0], models[1], PSC_DIFF_LIVE, false);
    ck_assert_uint_eq(diff->site_count, 1);
    ck_assert_uint_eq(diff->sites[0].merged[PSC_DIFF_OLD], 2);
    ck_assert_uint_eq(diff->sites[0].merged[PSC_DIFF_NEW], 3);
    check_change(&diff->sites[0], PSC_DIFF_LIVE, 50, 1);
    psc_diff_free(diff);
    close_pair(models);
}
END_TEST

/* ---- errors ---------------------------------------------------------------------------------------------------- */

START_TEST(errors_add_up_squared) {
    const struct psc_diff_value old = {.bytes = 1000, .below = 30 * 30, .above = 120 * 120};
    struct psc_diff_value new = {.bytes = 1090, .below = 50 * 50, .above = 40 * 40};
    struct psc_diff_change change = psc_diff_change_of(&old, &new);
    /* down by hypot(50, 120) = 130, up by hypot(40, 30) = 50 */
    ck_assert_uint_eq(change.amount, 90);
    ck_assert_uint_eq(change.error, 90);
    ck_assert(!change.shrank && change.within);
    new.bytes = 1131;
    ck_assert(!psc_diff_change_of(&old, &new).within);
    new.bytes = 951;
    change = psc_diff_change_of(&old, &new);
    ck_assert(change.shrank && change.within);
    new.bytes = 949;
    ck_assert(!psc_diff_change_of(&old, &new).within);
}
END_TEST

/* The largest figures there are: of damaged traces. */
START_TEST(changes_have_no_limit) {
    const struct psc_diff_value nothing = {.bytes = 0}, all = {.bytes = UINT64_MAX};
    ck_assert_uint_eq(psc_diff_change_of(&nothing, &all).amount, UINT64_MAX);
    ck_assert(psc_diff_change_of(&all, &nothing).shrank);
    char *text;
    size_t size;
    struct psc_emit emit;
    FILE *out = open_memstream(&text, &size);
    psc_emit_init(&emit, out, 0);
    psc_emit_open(&emit, NULL, '[');
    psc_emit_difference(&emit, NULL, UINT64_MAX, 0);
    psc_emit_difference(&emit, NULL, 7, 7);
    psc_emit_difference(&emit, NULL, 7, 10);
    psc_emit_close(&emit, '[');
    fclose(out);
    ck_assert_str_eq(text, "[-18446744073709551615, 0, 3]\n");
    free(text);
}
END_TEST

/* Samples of the same small site in both, and one more site that only one of them has met. */
static struct psc_model *sampled_model(bool with_other) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    if (with_other) {
        uint32_t id = psc_fake_site(&fake, (uint64_t[]){0x1000, 0x2000, 0x3000}, 3, 0);
        struct psc_wire_row *row = psc_fake_book(&fake, id);
        psc_fake_sample(&fake, psc_fake_pool(&fake, 3, 0x7f0000100000, 128, 128), 0, id, 60, row);
    }
    struct psc_model *model = psc_fake_read(&fake);
    psc_fake_release(&fake);
    return model;
}

START_TEST(samples_that_one_trace_has_not_met) {
    struct psc_model *models[2] = {sampled_model(false), sampled_model(true)};
    struct psc_diff *diff = psc_diff_make(models[0], models[1], PSC_DIFF_LIVE, false);
    ck_assert(psc_diff_is_sampled(diff));
    const struct psc_diff_site *other = NULL;
    for (size_t i = 0; i < diff->site_count; i++) {
        if (diff->sites[i].merged[PSC_DIFF_OLD] == 0) {
            other = &diff->sites[i];
        }
    }
    ck_assert_ptr_nonnull(other);
    /* one sample is no news: of as many blocks nothing would have been seen as often as not */
    struct psc_diff_change change = psc_diff_site_change(other, PSC_DIFF_LIVE);
    ck_assert_uint_gt(change.amount, 0);
    ck_assert(!change.shrank && change.within);
    ck_assert(other->values[PSC_DIFF_OLD][PSC_DIFF_LIVE].above > 0);
    ck_assert(psc_diff_site_change(other, PSC_DIFF_ALLOC).within);
    /* and the other way round */
    struct psc_diff *back = psc_diff_make(models[1], models[0], PSC_DIFF_LIVE, false);
    for (size_t i = 0; i < back->site_count; i++) {
        if (back->sites[i].merged[PSC_DIFF_NEW] == 0) {
            struct psc_diff_change gone = psc_diff_site_change(&back->sites[i], PSC_DIFF_LIVE);
            ck_assert(gone.shrank && gone.within);
            ck_assert_uint_eq(gone.amount, change.amount);
            ck_assert_uint_eq(gone.error, change.error);
        }
    }
    psc_diff_free(back);
    psc_diff_free(diff);
    close_pair(models);
}
END_TEST

/* ---- output ---------------------------------------------------------------------------------------------------- */

static char *written(const struct psc_diff *diff, bool json, size_t top) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (json) {
        psc_diff_write_json(diff, out, top);
    } else {
        psc_diff_write(diff, out, top);
    }
    fclose(out);
    return text;
}

static void check_says(const char *text, const char *part) {
    ck_assert_msg(strstr(text, part) != NULL, "no '%s' in:\n%s", part,
                  strlen(text) > 3000 ? text + strlen(text) - 3000 : text);
}

START_TEST(text_names_what_changed) {
    struct psc_model *models[2];
    make_pair(models);
    struct psc_diff *diff = psc_diff_make(models[0], models[1], PSC_DIFF_LIVE, false);
    char *text = written(diff, false, 2);
    check_says(text, "\nnew: victim (process 4242, exit, 3.00 s): test\n");
    check_says(text, " +53,648 ");
    check_says(text, "Sites by change of live bytes: +53.2 KiB at 2, -832 B at 2 sites\n");
    check_says(text, "   1. +52.0 KiB live (+51 blocks); from 640 B to 52.6 KiB (+53,200 bytes)\n");
    check_says(text, "        libx.so.2+0x200  ");
    check_says(text, "   2. new: +1.25 KiB live (+20 blocks)");
    check_says(text, "\n      -832 B at 2 more sites (--top=N shows more)\n");
    ck_assert_ptr_null(strstr(text, "gone"));
    free(text);
    text = written(diff, false, 0);
    check_says(text, "   4. gone: -192 B live (-3 blocks)");
    check_says(text, "        libx.so.1.2+0x400");
    free(text);
    psc_diff_free(diff);
    close_pair(models);
}
END_TEST

START_TEST(json_adds_up) {
    struct psc_model *models[2];
    make_pair(models);
    struct psc_diff *diff = psc_diff_make(models[0], models[1], PSC_DIFF_LIVE, false);
    char *text = written(diff, true, 0);
    check_says(text, "\"live_bytes_old\": 3712,");
    check_says(text, "\"live_bytes_change\": 53648,");
    check_says(text, "{\"state\": \"both\", \"change\": 53200, \"change_error\": 0, ");
    check_says(text, "{\"state\": \"gone\", \"change\": -192, ");
    check_says(text, "\"within_error\": false, ");
    check_says(text, "\"sites_left_out\": {\n    \"count\": 0,");
    free(text);
    text = written(diff, true, 1);
    check_says(
        text, "\"sites_left_out\": {\n    \"count\": 4,\n    \"live_bytes_old\": 3072,\n    \"live_bytes_new\": 3520,");
    free(text);
    psc_diff_free(diff);
    close_pair(models);
}
END_TEST

static bool warns(const struct psc_diff *diff, const char *part) {
    for (size_t i = 0; i < diff->warning_count; i++) {
        if (strstr(diff->warnings[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

START_TEST(what_cannot_be_compared_is_said) {
    struct psc_fake fakes[2];
    for (int side = 0; side < 2; side++) {
        struct builder builder;
        begin(&builder, side == 0 ? &old_place : &new_place);
        make(&builder, 0x100, 0x10, 1, 0);
        fakes[side] = builder.fake;
    }
    struct psc_wire_header *header = psc_fake_header(&fakes[1]);
    header->mode = 7;
    header->depth = 9;
    header->flags = PSC_TRACE_STOPPED;
    strcpy(header->exe, "/srv/\033[2Jother");
    struct psc_wire_module *module = psc_fake_module(&fakes[1], 0x10000, 0x11000, "/opt/unused.so");
    module->build_id_bytes = 77; /* damage */
    struct psc_model *models[2] = {psc_fake_read(&fakes[0]), psc_fake_read(&fakes[1])};
    models[1]->modules[2].build_id[0] ^= 1;
    struct psc_diff *diff = psc_diff_make(models[0], models[1], PSC_DIFF_LIVE, false);
    ck_assert(warns(diff, "OLD is of the program victim, NEW of "));
    ck_assert(warns(diff, "mode=exact, NEW with mode=unknown"));
    ck_assert(warns(diff, "OLD keeps 256 frames of a stack, NEW 9"));
    ck_assert(warns(diff, "the recording of NEW stopped"));
    ck_assert(warns(diff, "OLD has no names for functions of /usr/lib/libx.so.1.2 (its file is gone)"));
    ck_assert(warns(diff, "NEW has no names for functions of /opt/libx.so.2"));
    char *text = written(diff, false, 0), *json = written(diff, true, 0);
    ck_assert_ptr_null(strchr(text, '\033'));
    ck_assert_ptr_null(strchr(json, '\033'));
    free(text);
    free(json);
    psc_diff_free(diff);
    close_pair(models);
    psc_fake_release(&fakes[0]);
    psc_fake_release(&fakes[1]);
}
END_TEST

/* ---- the command ----------------------------------------------------------------------------------------------- */

static char old_file[] = "/tmp/test_diff_old.XXXXXX", new_file[] = "/tmp/test_diff_new.XXXXXX";

static void put_file(char *path, const struct psc_fake *fake) {
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, fake->bytes, psc_fake_bytes(fake)), (ssize_t)psc_fake_bytes(fake));
    close(fd);
}

static void make_files(void) {
    struct builder builder;
    begin(&builder, &old_place);
    make(&builder, 0x100, 0x10, 5, 0);
    put_file(old_file, &builder.fake);
    psc_fake_release(&builder.fake);
    begin(&builder, &new_place);
    make(&builder, 0x100, 0x10, 21, 100);
    put_file(new_file, &builder.fake);
    psc_fake_release(&builder.fake);
}

static void remove_files(void) {
    unlink(old_file);
    unlink(new_file);
}

static int run(const char *first, const char *second, const char *third, const char *fourth) {
    char *argv[] = {(char *)"diff", (char *)first, (char *)second, (char *)third, (char *)fourth, NULL};
    int argc = 1;
    while (argv[argc] != NULL) {
        argc++;
    }
    return psc_diff_main(argc, argv);
}

START_TEST(wrong_use_has_a_status) {
    static const char *const options[] = {"--no-such-option",
                                          "--by=rss",
                                          "--by=",
                                          "--format=xml",
                                          "--top=0",
                                          "--top=x",
                                          "--top=-1",
                                          "--fail-over=",
                                          "--fail-over=x",
                                          "--fail-over=1T",
                                          "--fail-over=1KiB",
                                          "--fail-over=-1",
                                          "--fail-over=rss:1",
                                          "--fail-over=live:",
                                          "--fail-over=99999999999999999G",
                                          "--fail-over= 1",
                                          "--top"};
    for (size_t i = 0; i < PSC_COUNT_OF(options); i++) {
        ck_assert_msg(run(options[i], old_file, new_file, NULL) == 2, "%s", options[i]);
    }
    ck_assert_int_eq(run(NULL, NULL, NULL, NULL), 2);
    ck_assert_int_eq(run(old_file, NULL, NULL, NULL), 2);
    ck_assert_int_eq(run(old_file, new_file, new_file, NULL), 2);
}
END_TEST

START_TEST(traces_that_cannot_be_read_have_a_status) {
    ck_assert_int_eq(run(old_file, "/nonexistent/x.trace", NULL, NULL), 1);
    ck_assert_int_eq(run("/dev/zero", new_file, NULL, NULL), 1);
    ck_assert_int_eq(run("tests/unit/test_diff.c", new_file, NULL, NULL), 1);
    ck_assert_int_eq(run("tests/unit", new_file, NULL, NULL), 1);
    ck_assert_int_eq(run("--fail-over=1", "/nonexistent", new_file, NULL), 1);
}
END_TEST

/* 5 blocks of 64 bytes live became 21: 1024 bytes more; 116 were made more, and 1024 fewer are pinned. */
START_TEST(growth_has_a_status) {
    static const struct {
        const char *option;
        int status;
    } cases[] = {{"--by=pinned", 0},
                 {"--fail-over=1024", 0},
                 {"--fail-over=1023", 3},
                 {"--fail-over=1K", 0},
                 {"--fail-over=1k", 0},
                 {"--fail-over=0", 3},
                 {"--fail-over=live:1000", 3},
                 {"--fail-over=peak:1023", 3},
                 {"--fail-over=peak:1M", 0},
                 {"--fail-over=pinned:0", 0},
                 {"--fail-over=alloc:7423", 3},
                 {"--fail-over=alloc:7424", 0},
                 {"--fail-over=1G", 0},
                 {"--help", 0}};
    for (size_t i = 0; i < PSC_COUNT_OF(cases); i++) {
        ck_assert_msg(run(cases[i].option, old_file, new_file, NULL) == cases[i].status, "%s", cases[i].option);
    }
    ck_assert_int_eq(run("--fail-over=1G", "--fail-over=pinned:0", old_file, new_file), 0);
    ck_assert_int_eq(run("--fail-over=1G", "--fail-over=alloc:1", old_file, new_file), 3);
    ck_assert_int_eq(run("--fail-over=0", new_file, old_file, NULL), 0);
    ck_assert_int_eq(run("--fail-over=pinned:1023", new_file, old_file, NULL), 3);
}
END_TEST

/* ---- damage ---------------------------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Bytes of all rows are turned to what they are not: nothing is promised but an answer. */
START_TEST(damaged_traces_are_compared) {
    uint32_t state = (uint32_t)_i + 1;
    struct psc_fake fakes[2];
    psc_fake_small(&fakes[0]);
    psc_fake_small_sampled(&fakes[1]);
    for (int i = 0; i < 200; i++) {
        struct psc_fake *fake = &fakes[i % 2];
        uint32_t chunk = PSC_FIRST_DATA_CHUNK + next_random(&state) % (fake->chunks - PSC_FIRST_DATA_CHUNK);
        uint32_t range = next_random(&state) % 2 != 0 ? 512 : PSC_CHUNK_BYTES;
        uint32_t at = next_random(&state) % range;
        fake->bytes[(size_t)chunk * PSC_CHUNK_BYTES + at] = (unsigned char)next_random(&state);
    }
    struct psc_model *models[2] = {psc_fake_read(&fakes[0]), psc_fake_read(&fakes[1])};
    for (int turn = 0; turn < 2; turn++) {
        struct psc_diff *diff = psc_diff_make(models[turn], models[1 - turn], (enum psc_diff_figure)(_i % 4), true);
        char *text = written(diff, false, 0), *json = written(diff, true, 0);
        check_says(text, "\nTotals ");
        check_says(json, "\n}\n");
        free(text);
        free(json);
        psc_diff_free(diff);
    }
    close_pair(models);
    psc_fake_release(&fakes[0]);
    psc_fake_release(&fakes[1]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("diff");
    TCase *names = tcase_create("names");
    tcase_add_test(names, modules_have_no_version);
    tcase_add_test(names, functions_have_no_marks);
    tcase_add_test(names, stacks_are_the_same_by_their_functions);
    tcase_add_test(names, frames_without_names);
    tcase_add_test(names, many_stacks_have_many_numbers);
    suite_add_tcase(suite, names);
    TCase *figures = tcase_create("figures");
    tcase_add_test(figures, sites_are_known_again_elsewhere);
    tcase_add_test(figures, changes_add_up);
    tcase_add_test(figures, totals_and_classes);
    tcase_add_test(figures, a_trace_is_like_itself);
    tcase_add_test(figures, sites_that_fall_together_are_summed);
    tcase_add_test(figures, errors_add_up_squared);
    tcase_add_test(figures, changes_have_no_limit);
    tcase_add_test(figures, samples_that_one_trace_has_not_met);
    tcase_add_loop_test(figures, damaged_traces_are_compared, 0, 20);
    suite_add_tcase(suite, figures);
    TCase *output = tcase_create("output");
    tcase_add_test(output, text_names_what_changed);
    tcase_add_test(output, json_adds_up);
    tcase_add_test(output, what_cannot_be_compared_is_said);
    suite_add_tcase(suite, output);
    TCase *command = tcase_create("command");
    tcase_add_unchecked_fixture(command, make_files, remove_files);
    tcase_add_test(command, wrong_use_has_a_status);
    tcase_add_test(command, traces_that_cannot_be_read_have_a_status);
    tcase_add_test(command, growth_has_a_status);
    suite_add_tcase(suite, command);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
