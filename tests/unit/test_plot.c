/* Plots and page of a model made by hand, with names that try to be more than names. */
#include "report/plot.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/lifetime.h"
#include "report/page.h"
#include "report/page_part.h"
#include "report/plot_text.h"

#define SNAPSHOTS 12
#define POOLS 64
#define SLOT 16384u
#define MIB (1u << 20)

static char dir[32];
static struct psc_model model;
static struct psc_frame frames[3];
static struct psc_site sites[4];
static uint32_t ids[2] = {2, 3};
static struct psc_pool pools[POOLS];
static struct psc_arena arena;
static struct psc_wire_snapshot snapshots[SNAPSHOTS];
static struct psc_pool_map maps[SNAPSHOTS];
static struct psc_lifetime lifetimes[4];
static char *arguments[] = {(char[]){"prog<ram>"}, (char[]){"\"&'\n"}, NULL};
static struct psc_note notes[] = {{true, (char[]){"</script><script>alert(4)</script>"}}};

/* Would leave a file named "owned" in the directory of the plots if any program took it for its own language. */
static const char hostile[] =
    "'; system('touch owned'); `touch owned`; \"$(touch owned)\"\t\n%s@^_{}\\n</code><script>alert(1)";

static void make_pools(void) {
    arena.base = 0x7f0000000000;
    arena.pool_count = POOLS;
    for (uint32_t i = 0; i < POOLS; i++) {
        pools[i] = (struct psc_pool){.base = arena.base + i * 2 * SLOT,
                                     .block_bytes = 64,
                                     .capacity = SLOT / 64,
                                     .carved = SLOT / 64,
                                     .tagged = i * 4,
                                     .committed_bytes = SLOT,
                                     .pinned_bytes = i == 0 ? 0 : SLOT - i * 4 * 64};
        arena.slots[i * 2] = PSC_SLOT_POOL;
        arena.slots[i * 2 + 1] = i % 2 == 0 ? PSC_SLOT_CACHED : PSC_SLOT_FREE;
    }
    model.pools = pools;
    model.pool_count = POOLS;
    model.arenas = &arena;
    model.arena_count = 1;
    model.classes[0] = (struct psc_class){.block_bytes = 64,
                                          .pools = POOLS,
                                          .live_blocks = 8064,
                                          .capacity_blocks = POOLS * SLOT / 64,
                                          .live_block_bytes = 8064 * 64,
                                          .live_requested_bytes = 8064 * 60};
    model.class_count = 1;
}

static void make_snapshots(void) {
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        snapshots[i] = (struct psc_wire_snapshot){.sequence = i + 1,
                                                  .time_ns = (i + 1) * 100000000ull,
                                                  .live_bytes = (i + 1) * MIB,
                                                  .block_bytes = (i + 1) * MIB + 4096,
                                                  .clock_bytes = (i + 1) * (i + 1) * MIB,
                                                  .pinned_bytes = MIB,
                                                  .tail_bytes = 48576,
                                                  .committed_bytes = 16 * MIB,
                                                  .resident_bytes = 16678912,
                                                  .tracker_anon_bytes = 16384,
                                                  .shared_bytes = 4 * MIB + 16384,
                                                  .trace_bytes = 16384,
                                                  .rss_bytes = 20 * MIB,
                                                  .flags = i == 6 ? PSC_SNAPSHOT_PEAK : 0};
        snapshots[i].classes[0] = (struct psc_wire_snapshot_class){POOLS, 100 * i, 16384, 256};
        snapshots[i].occupancy[10] = i;
    }
    model.snapshots = snapshots;
    model.snapshot_count = SNAPSHOTS;
}

/* In the first half one pool, in slots 4 to 7; in the second it is empty, and slots of the second arena are cached. */
static void make_maps(void) {
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        maps[i] = (struct psc_pool_map){.sequence = i + 1, .slots = 4};
        maps[i].cells[1] = i < SNAPSHOTS / 2 ? 128 : PSC_MAP_EMPTY;
        maps[i].cells[64] = i < SNAPSHOTS / 2 ? 0 : PSC_MAP_CACHED;
        maps[i].cells[65] = 255;
    }
    model.maps = maps;
    model.map_count = SNAPSHOTS;
}

/* Site 2 lets a thousand blocks die at 64 KiB, and has as many alive at 1 MiB; site 3 has blocks that live longer. */
static void make_ages(void) {
    memset(lifetimes, 0, sizeof(lifetimes));
    lifetimes[2].freed[psc_age_bucket(64 << 10)] = (struct psc_age_sums){1000, 0, 0};
    lifetimes[2].alive[psc_age_bucket(1 << 20)] = (struct psc_age_sums){1000, 0, 0};
    lifetimes[3].freed[psc_age_bucket(3 << 20)] = (struct psc_age_sums){100, 50, 33};
    model.lifetimes = lifetimes;
    model.age_occupancy[12][1] = (struct psc_age_cell){200, 9000, 3000};
    model.age_occupancy[14][10] = (struct psc_age_cell){100, 5000, 1000};
}

static void make_sites(void) {
    frames[0] =
        (struct psc_frame){.function = hostile, .file = "/src/<b>.c", .line = 7, .module = "/bin/a", .inlined = true};
    frames[1] = (struct psc_frame){.function = "=cmd|' /C calc'!A0", .module = "/bin/a"};
    frames[2] = (struct psc_frame){.function = "main", .file = "", .module = "/bin/a"};
    for (uint32_t i = 2; i < 4; i++) {
        sites[i] = (struct psc_site){.id = i,
                                     .alloc_count = 10,
                                     .alloc_bytes = 1000 * i,
                                     .lifetime_p50 = 64 << 10,
                                     .live_bytes = 1000 * i,
                                     .pinned_bytes = 500 * i,
                                     .frames = frames,
                                     .frame_count = PSC_COUNT_OF(frames)};
    }
    model.sites = sites;
    model.site_count = PSC_COUNT_OF(sites);
    model.by_live = model.by_pinned = ids;
    model.by_live_count = model.by_pinned_count = PSC_COUNT_OF(ids);
}

static void setup(void) {
    memset(&model, 0, sizeof(model));
    model.path = "<trace>";
    model.process = (struct psc_process){
        .pid = 1, .exe = "/bin/<i>x", .argv = arguments, .argc = 2, .end = PSC_PROCESS_EXIT, .duration_ns = 1300000000};
    model.page_bytes = 4096;
    model.slot_bytes = SLOT;
    model.arena_bytes = 256 * SLOT;
    strcpy(dir, "/tmp/test_plot.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void fill(void) {
    make_pools();
    make_snapshots();
    make_maps();
    make_sites();
    make_ages();
    model.notes = notes;
    model.note_count = 1;
}

static void teardown(void) {
    char command[PATH_MAX];
    snprintf(command, sizeof(command), "/bin/rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static const char *path_of(const char *name, const char *suffix) {
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
    return path;
}

static bool exists(const char *name, const char *suffix) {
    return access(path_of(name, suffix), F_OK) == 0;
}

/* The whole file; to be freed. */
static char *contents(const char *name) {
    FILE *file = fopen(path_of(name, ""), "re");
    ck_assert_ptr_nonnull(file);
    char *text = calloc(1, 4 * MIB);
    size_t length = fread(text, 1, 4 * MIB - 1, file);
    ck_assert_uint_gt(length, 0);
    fclose(file);
    return text;
}

START_TEST(every_plot_is_drawn) {
    struct psc_plots plots;
    fill();
    ck_assert_int_eq(psc_plot_draw(&model, dir, true, &plots), 0);
    for (int i = 0; i < PSC_PLOT_COUNT; i++) {
        ck_assert_msg(plots.items[i].drawn, "%s: %s", plots.items[i].name, plots.items[i].reason);
        ck_assert(exists(plots.items[i].name, ".svg"));
        ck_assert(exists(plots.items[i].name, ".png"));
        ck_assert(exists(plots.items[i].name, ".tsv"));
    }
    ck_assert(!plots.gnuplot_missing);
    ck_assert(!exists("owned", ""));
}
END_TEST

START_TEST(data_say_what_was_given) {
    struct psc_plots plots;
    fill();
    ck_assert_int_eq(psc_plot_draw(&model, dir, false, &plots), 0);
    char *memory = contents("memory.tsv");
    ck_assert_ptr_nonnull(strstr(memory, "seconds\tlive_bytes\trounding_bytes\tfree_blocks_bytes\ttail_bytes\t"));
    ck_assert_ptr_nonnull(
        strstr(memory, "\n0.300000\t3145728\t4096\t1000000\t48576\t0\t0\t0\t32768\t65536\t4194304\t20971520\n"));
    char *bins = contents("pools.tsv");
    ck_assert_ptr_nonnull(strstr(bins, "\nempty\t0\t1\n"));
    ck_assert_ptr_nonnull(strstr(bins, "\n1–10 %\t0\t6\n"));
    char *map = contents("arenas.tsv");
    ck_assert_ptr_nonnull(strstr(map, "\n0\t0x7f0000000000\t0\t1\tempty\t2\t0\n"));
    ck_assert_ptr_nonnull(strstr(map, "\n0\t0x7f0000000000\t1\t2\tcached\t1\t0\n"));
    ck_assert_ptr_nonnull(strstr(map, "\n0\t0x7f0000000000\t64\t65\tpool\t3\t50\n"));
    free(memory);
    free(bins);
    free(map);
}
END_TEST

START_TEST(maps_say_where_pools_were) {
    struct psc_plots plots;
    fill();
    ck_assert_int_eq(psc_plot_draw(&model, dir, false, &plots), 0);
    char *peak = contents("arenas_peak.tsv"), *time = contents("map_time.tsv");
    ck_assert_ptr_nonnull(strstr(peak, "\n0\t0x0\t0\t4\tcached\t1\t0\n0\t0x0\t4\t8\tpool\t3\t100\n"));
    ck_assert_ptr_nonnull(strstr(peak, "\n1\t0x7f0000000000\t4\t8\tempty\t2\t0\n"));
    ck_assert_ptr_nonnull(strstr(time, "seconds\tto_seconds\tarena\tfrom_slot\tto_slot\tvalue\n"
                                       "0.097500\t0.695500\t0\t4\t8\t49\n0.097500\t0.695500\t1\t4\t8\t100\n"
                                       "0.695500\t1.300000\t0\t4\t8\t-5\n0.695500\t1.300000\t1\t0\t4\t-15\n"));
    free(peak);
    free(time);
}
END_TEST

/* Bytes are those between two snapshots, by the time between them: those of one column in the beginning and later. */
START_TEST(rates_are_differences) {
    struct psc_plots plots;
    fill();
    model.totals.clock_bytes = 144 * MIB;
    model.totals.live_bytes = 12 * MIB;
    ck_assert_int_eq(psc_plot_draw(&model, dir, false, &plots), 0);
    char *rates = contents("rate.tsv");
    double from, to, allocated, freed, sum = 0, sum_freed = 0;
    const char *line = strchr(rates, '\n');
    for (; sscanf(line, "%lf %lf %lf %lf", &from, &to, &allocated, &freed) == 4; line = strchr(line + 1, '\n')) {
        sum += allocated * (to - from);
        sum_freed += freed * (to - from);
        if (from > 0.301 && to < 0.4) {
            ck_assert_double_eq_tol(allocated, 70.0 * MIB, 200);
            ck_assert_double_eq_tol(freed, 60.0 * MIB, 200);
        }
    }
    ck_assert_double_eq_tol(sum, 144.0 * MIB, 100);
    ck_assert_double_eq_tol(sum_freed, 132.0 * MIB, 100);
    free(rates);
}
END_TEST

START_TEST(ages_and_lifetimes_are_the_models) {
    struct psc_plots plots;
    fill();
    ck_assert_int_eq(psc_plot_draw(&model, dir, false, &plots), 0);
    char *cells = contents("age_occupancy.tsv"), *curves = contents("survival.tsv");
    ck_assert_ptr_nonnull(strstr(cells, "\n12\t1\t1048576\t2097152\t200\t9000\t3000\t75.00\n"
                                        "14\t10\t4194304\t8388608\t100\t5000\t1000\t25.00\n"));
    /* most bytes first: site 3 */
    ck_assert_ptr_nonnull(strstr(curves, "\n0\t3\t0\t100.000\t100.000\t100.000\t100\t#3 "));
    ck_assert_ptr_nonnull(strstr(curves, "\t2,000 blocks, 50.0 % alive; half live to 64.0 KiB\n"));
    ck_assert_ptr_nonnull(strstr(curves, "\n1\t2\t65536\t50.000\t47.788\t52.169\t1000\t\t\n"));
    free(cells);
    free(curves);
}
END_TEST

START_TEST(classes_and_sites_are_the_models) {
    struct psc_plots plots;
    fill();
    model.classes[0].committed_bytes = POOLS * SLOT;
    model.classes[0].pinned_bytes = 12345;
    ck_assert_int_eq(psc_plot_draw(&model, dir, false, &plots), 0);
    char *classes = contents("classes.tsv"), *sites_found = contents("pinned_live.tsv");
    ck_assert_ptr_nonnull(strstr(classes, "\n64 B\t64\t1\t6\t6\t7\t6\t7\t6\t6\t7\t6\t6\t1048576\t12345\n"));
    ck_assert_ptr_nonnull(strstr(sites_found, "\n2\t2000\t1000\t0\t#2 "));
    ck_assert_ptr_nonnull(strstr(sites_found, "\n3\t3000\t1500\t1\t#3 "));
    free(classes);
    free(sites_found);
}
END_TEST

/* Pools without a sample are not taken for full ones, nor for none: the snapshot counts all. */
START_TEST(sampled_traces_say_so) {
    struct psc_plots plots;
    fill();
    model.sampling = (struct psc_sampling){.mode = PSC_MODE_SAMPLE, .interval_bytes = 512 << 10, .has_snapshot = true};
    model.sampling.samples = 12345;
    sites[3].live_bytes_range = (struct psc_range){2000, 5000};
    sites[3].tagged_count = 77;
    lifetimes[3].freed[20].count = 1e6;
    arena.slots[150] = PSC_SLOT_POOL;
    ck_assert_int_eq(psc_page_write(&model, dir, false), 0);
    ck_assert_int_eq(psc_plot_draw(&model, dir, false, &plots), 0);
    for (int i = 0; i < PSC_PLOT_COUNT; i++) {
        if (i != PSC_PLOT_classes) {
            ck_assert_msg(plots.items[i].drawn, "%s: %s", plots.items[i].name, plots.items[i].reason);
        }
    }
    ck_assert_str_eq(plots.items[PSC_PLOT_classes].reason,
                     "of a sampled run only the pools that had a sample are known");
    ck_assert(!exists("classes", ".tsv"));
    char *map = contents("arenas.tsv"), *bins = contents("pools.tsv"), *bars = contents("sites_live.tsv");
    char *picture = contents("sites_live.svg"), *page = contents("index.html");
    ck_assert_ptr_nonnull(strstr(map, "\t150\t151\tunsampled\t4\t0\n"));
    ck_assert_ptr_nonnull(strstr(bins, "\n91–100 %\t6\t11\n"));
    ck_assert_ptr_nonnull(strstr(bars, "2.93 KiB ± 1.46"));
    ck_assert_ptr_nonnull(strstr(picture, "Sites with most live bytes (sampled, one in 512 KiB)"));
    ck_assert_ptr_nonnull(strstr(page, "12,345 samples are live"));
    ck_assert_ptr_nonnull(strstr(page, "\"values\":[2000,3000],\"errors\":[0,1500]"));
    ck_assert_ptr_nonnull(strstr(page, "\"name\":\"samples\""));
    ck_assert_ptr_nonnull(strstr(page, "\"values\":[0,77]"));
    ck_assert_ptr_null(strstr(page, "\"name\":\"temporary\""));
    free(map);
    free(bins);
    free(bars);
    free(picture);
    free(page);
}
END_TEST

START_TEST(nothing_to_show_is_left_out_with_a_reason) {
    struct psc_plots plots;
    close(open(path_of("memory", ".svg"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(psc_plot_draw(&model, dir, false, &plots), 0);
    for (int i = 0; i < PSC_PLOT_COUNT; i++) {
        ck_assert(!plots.items[i].drawn);
        ck_assert_str_ne(plots.items[i].reason, "");
    }
    ck_assert(!exists("memory", ".svg"));
    ck_assert_int_eq(psc_page_write(&model, dir, false), 0);
    ck_assert(exists("index", ".html"));
}
END_TEST

START_TEST(without_gnuplot_the_page_comes_still) {
    struct psc_plots plots;
    fill();
    char *path = strdup(getenv("PATH"));
    setenv("PATH", dir, 1);
    int said = open(path_of("said", ""), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    int kept = dup(STDERR_FILENO);
    dup2(said, STDERR_FILENO);
    int status = psc_plot_draw(&model, dir, false, &plots);
    dup2(kept, STDERR_FILENO);
    ck_assert_int_eq(status, 0);
    ck_assert(plots.gnuplot_missing);
    char *words = contents("said");
    ck_assert_str_eq(words, "poolscope report: gnuplot not found: plots are left out; install it with: apt-get install "
                            "gnuplot-nox\n");
    for (int i = 0; i < PSC_PLOT_COUNT; i++) {
        ck_assert_str_eq(plots.items[i].reason, "gnuplot is not installed");
    }
    dup2(said, STDERR_FILENO);
    int page = psc_page_write(&model, path_of("deeper", ""), false);
    dup2(kept, STDERR_FILENO);
    ck_assert_int_eq(page, 0);
    ck_assert(exists("deeper/index", ".html"));
    setenv("PATH", path, 1);
    close(said);
    close(kept);
    free(words);
    free(path);
}
END_TEST

/* What the page holds of markup is its own. */
START_TEST(page_escapes_names) {
    fill();
    ck_assert_int_eq(psc_page_write(&model, dir, false), 0);
    char *page = contents("index.html");
    ck_assert_ptr_null(strstr(page, "<script>"));
    ck_assert_ptr_null(strstr(page, "<b>.c"));
    ck_assert_ptr_null(strstr(page, "<i>x"));
    ck_assert_ptr_null(strstr(page, "<trace>"));
    ck_assert_ptr_null(strstr(page, "prog<ram>"));
    ck_assert_ptr_nonnull(strstr(page, "&lt;/script&gt;&lt;script&gt;alert(4)"));
    ck_assert_ptr_nonnull(strstr(page, "\\n\\u003c/code>\\u003cscript>alert(1)\""));
    ck_assert_ptr_nonnull(strstr(page, "\"program\":\"\\u003ci>x\""));
    ck_assert_ptr_nonnull(strstr(page, "prog&lt;ram&gt; &quot;&amp;&#39;"));
    char *script = strstr(page, "<script nonce=");
    ck_assert_ptr_nonnull(script);
    ck_assert_ptr_null(strstr(script + 1, "<script"));
    ck_assert_ptr_null(strstr(page, "http://"));
    ck_assert_ptr_null(strstr(page, "https://"));
    ck_assert_ptr_nonnull(strstr(page, "default-src 'none'"));
    free(page);
}
END_TEST

START_TEST(a_directory_that_cannot_be_made_fails) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int kept = dup(STDERR_FILENO);
    close(open(path_of("file", ""), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    dup2(null, STDERR_FILENO);
    int below_file = psc_page_write(&model, path_of("file/below", ""), false);
    int is_file = psc_page_write(&model, path_of("file", ""), false);
    dup2(kept, STDERR_FILENO);
    ck_assert_int_eq(below_file, -1);
    ck_assert_int_eq(is_file, -1);
    close(null);
    close(kept);
}
END_TEST

START_TEST(functions_get_short) {
    static const char *const rows[][2] = {
        {"main", "main"},
        {"a::b(int, char)", "a::b"},
        {"std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector<…>::push_back"},
        {"void f<int>(int)", "f<…>"},
        {"(anonymous namespace)::g(int)", "(anonymous namespace)::g"},
        {"h(int)::{lambda(int)#1}::operator()(int) const", "h::{lambda#1}::operator()"},
        {"std::ostream& operator<< <char>(std::ostream&, char)", "operator<< <…>"},
        {"operator new(unsigned long)", "operator new"},
        {"a::operator->()", "a::operator->"},
        {"<lambda>", "<lambda>"},
        {"(", "("},
        {"<<<<", "<<…>"},
        {"f<", "f<…>"},
        {"", ""},
    };
    for (size_t i = 0; i < PSC_COUNT_OF(rows); i++) {
        char text[256];
        psc_text_function(rows[i][0], text, sizeof(text));
        ck_assert_str_eq(text, rows[i][1]);
        char tiny[4];
        psc_text_function(rows[i][0], tiny, sizeof(tiny));
        ck_assert_uint_lt(strlen(tiny), sizeof(tiny));
    }
}
END_TEST

START_TEST(text_is_clipped_by_characters) {
    static const struct {
        const char *text;
        size_t columns;
        const char *clipped;
    } rows[] = {
        {"abcdef", 6, "abcdef"}, {"abcdefg", 6, "abcde…"}, {"äöüäöü", 4, "äöü…"}, {"äöü", 3, "äöü"}, {"", 3, ""}};
    for (size_t i = 0; i < PSC_COUNT_OF(rows); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s", rows[i].text);
        psc_text_clip(text, sizeof(text), rows[i].columns);
        ck_assert_str_eq(text, rows[i].clipped);
    }
}
END_TEST

START_TEST(site_is_named_by_the_program) {
    struct psc_frame stack[] = {
        {.function = "operator new(unsigned long)", .module = "/lib/libstdc++.so.6"},
        {.function = "std::vector<int>::resize()", .file = "/usr/include/c++/12/bits/stl_vector.h", .line = 5},
        {.function = "app::fill(int)", .file = "/src/app.cc", .line = 12},
        {.function = "main", .file = "/src/app.cc", .line = 40},
    };
    struct psc_site site = {.id = 9, .frames = stack, .frame_count = PSC_COUNT_OF(stack)};
    char text[1024];
    psc_text_site(&site, 60, text, sizeof(text));
    ck_assert_str_eq(text, "#9 app::fill app.cc:12 ← main");
    site.frame_count = 2;
    psc_text_site(&site, 60, text, sizeof(text));
    ck_assert_str_eq(text, "#9 std::vector<…>::resize stl_vector.h:5");
    site.frame_count = 0;
    psc_text_site(&site, 60, text, sizeof(text));
    ck_assert_str_eq(text, "#9 (unknown: no stack)");
}
END_TEST

START_TEST(units_fit_the_axis) {
    ck_assert_str_eq(psc_scale_bytes(0).unit, "B");
    ck_assert_str_eq(psc_scale_bytes(1023).unit, "B");
    ck_assert_str_eq(psc_scale_bytes(1024).unit, "KiB");
    ck_assert_str_eq(psc_scale_bytes(3ull << 30).unit, "GiB");
    ck_assert_str_eq(psc_scale_time(1999999999).unit, "ms");
    ck_assert_str_eq(psc_scale_time(2000000000).unit, "s");
    ck_assert_str_eq(psc_scale_time(3600000000000).unit, "min");
    ck_assert_str_eq(psc_scale_time(UINT64_MAX).unit, "h");
}
END_TEST

START_TEST(base64_of_every_length) {
    static const char *const rows[][2] = {{"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < PSC_COUNT_OF(rows); i++) {
        char *text = NULL;
        size_t length = 0;
        FILE *in = fmemopen((void *)(uintptr_t)rows[i][0], strlen(rows[i][0]), "r");
        FILE *out = open_memstream(&text, &length);
        ck_assert_int_eq(psc_html_base64(out, in), 0);
        fclose(in);
        fclose(out);
        ck_assert_str_eq(text, rows[i][1]);
        free(text);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plot");
    TCase *tests = tcase_create("plot");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, every_plot_is_drawn);
    tcase_add_test(tests, sampled_traces_say_so);
    tcase_add_test(tests, data_say_what_was_given);
    tcase_add_test(tests, maps_say_where_pools_were);
    tcase_add_test(tests, rates_are_differences);
    tcase_add_test(tests, ages_and_lifetimes_are_the_models);
    tcase_add_test(tests, classes_and_sites_are_the_models);
    tcase_add_test(tests, nothing_to_show_is_left_out_with_a_reason);
    tcase_add_test(tests, without_gnuplot_the_page_comes_still);
    tcase_add_test(tests, page_escapes_names);
    tcase_add_test(tests, a_directory_that_cannot_be_made_fails);
    tcase_add_test(tests, functions_get_short);
    tcase_add_test(tests, text_is_clipped_by_characters);
    tcase_add_test(tests, site_is_named_by_the_program);
    tcase_add_test(tests, units_fit_the_axis);
    tcase_add_test(tests, base64_of_every_length);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
