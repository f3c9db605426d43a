/* Traces that are cut off, damaged or lie: the report says what it can, in bounded time and memory, and its sums hold.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/report.h"
#include "report/symbol_file.h"
#include "report/symbols.h"
#include "tests/unit/support_trace.h"

#define TRACE_SECONDS_MAX 5.0

#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE(address_sanitizer) ||                 \
    HAS_FEATURE(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define FLIPS (SANITIZED ? 500 : 3000)
#define CUT_STEP (SANITIZED ? 1021 : 257)

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check_range(struct psc_range range, uint64_t value) {
    ck_assert_uint_le(range.low, value);
    ck_assert_uint_ge(range.high, value);
}

static void check_sums(const struct psc_model *model) {
    const struct psc_fragmentation *f = &model->fragmentation;
    uint64_t site_pinned = model->not_sampled.pinned_bytes;
    for (size_t i = 0; i < model->site_count; i++) {
        site_pinned += model->sites[i].pinned_bytes;
    }
    ck_assert_uint_eq(site_pinned, f->pinned_bytes);
    for (size_t i = 0; i < model->site_count; i++) {
        check_range(model->sites[i].live_bytes_range, model->sites[i].live_bytes);
        check_range(model->sites[i].live_count_range, model->sites[i].live_count);
        check_range(model->sites[i].alloc_bytes_range, model->sites[i].alloc_bytes);
        check_range(model->sites[i].pinned_bytes_range, model->sites[i].pinned_bytes);
    }
    ck_assert_uint_eq(f->committed_bytes, f->live_requested_bytes + f->internal_bytes + f->free_blocks_bytes +
                                              f->tail_bytes + f->empty_pools_bytes + f->cached_bytes);
}

static size_t warnings_of(const struct psc_model *model) {
    size_t count = 0;
    for (size_t i = 0; i < model->note_count; i++) {
        count += model->notes[i].warning;
    }
    return count;
}

/* Reads the trace and writes both answers. Returns the warnings, or -1 if it was refused. */
static int read_all(int fd) {
    const char *error = NULL;
    double start = seconds_now();
    struct psc_model *model = psc_model_open_fd(fd, "damaged", &error);
    int warnings = -1;
    if (model == NULL) {
        ck_assert_ptr_nonnull(error);
    } else {
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        check_sums(model);
        warnings = (int)warnings_of(model);
        psc_json_write(model, out, 0);
        psc_summary_write(model, out, 10);
        fclose(out);
        free(text);
        psc_model_close(model);
    }
    ck_assert_msg(seconds_now() - start < TRACE_SECONDS_MAX, "took too long");
    return warnings;
}

static int read_bytes(const void *bytes, size_t size) {
    int fd = psc_fake_open(bytes, size);
    int warnings = read_all(fd);
    close(fd);
    return warnings;
}

/* End of what the golden trace uses of its chunk: cuts behind it change nothing. */
static bool is_zero(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

START_TEST(cut_anywhere) {
    struct psc_fake fake;
    psc_fake_small(&fake);
    size_t size = psc_fake_bytes(&fake);
    ck_assert_int_eq(read_bytes(fake.bytes, size), 0);
    for (size_t cut = 0; cut < size; cut += cut < 64 ? 1 : is_zero(fake.bytes + cut, 4096) ? 16 * CUT_STEP : CUT_STEP) {
        int warnings = read_bytes(fake.bytes, cut);
        if (cut < sizeof(struct psc_wire_header)) {
            ck_assert_int_eq(warnings, -1);
        } else {
            ck_assert_int_ge(warnings, 1);
        }
    }
    psc_fake_release(&fake);
}
END_TEST

/* Bytes that hold something, so that a change of one means something. */
static size_t list_bytes(const struct psc_fake *fake, size_t *places) {
    size_t count = 0, size = psc_fake_bytes(fake);
    for (size_t i = 0; i < size; i++) {
        if (!is_zero(fake->bytes + (i & ~(size_t)31), 32)) {
            places[count++] = i;
        }
    }
    return count;
}

static void change_any_byte(struct psc_fake fake) {
    size_t size = psc_fake_bytes(&fake);
    size_t *places = calloc(size, sizeof(*places));
    size_t count = list_bytes(&fake, places);
    uint64_t state = 2463534242u;
    int fd = psc_fake_open(fake.bytes, size);
    for (int i = 0; i < FLIPS; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        size_t place = state >> 32 & 7 ? places[state % count] : state % size;
        unsigned char changed = fake.bytes[place] ^ (unsigned char)(1 + (state >> 40) % 255);
        ck_assert_int_eq(pwrite(fd, &changed, 1, (off_t)place), 1);
        read_all(fd);
        ck_assert_int_eq(pwrite(fd, &fake.bytes[place], 1, (off_t)place), 1);
    }
    ck_assert_int_eq(read_all(fd), 0);
    close(fd);
    free(places);
}

START_TEST(any_byte_changed) {
    struct psc_fake fake;
    psc_fake_small(&fake);
    change_any_byte(fake);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(any_byte_of_a_sampled_trace_changed) {
    struct psc_fake fake;
    psc_fake_small_sampled(&fake);
    change_any_byte(fake);
    psc_fake_release(&fake);
}
END_TEST

static void damage_interval(struct psc_fake *fake) {
    psc_fake_header(fake)->interval_bytes = 0;
}

static void damage_interval_upwards(struct psc_fake *fake) {
    psc_fake_header(fake)->interval_bytes = UINT64_MAX;
}

static void damage_mode(struct psc_fake *fake) {
    psc_fake_header(fake)->mode = 77;
}

/* The books are one chunk, those of two sites in it. */
static struct psc_wire_row *first_row(struct psc_fake *fake) {
    struct psc_wire_book *books = (void *)(fake->bytes + (size_t)fake->open[PSC_CHUNK_BOOKS] * PSC_CHUNK_BYTES);
    return &books[0].rows[PSC_SITE_FIRST];
}

static void damage_variance(struct psc_fake *fake) {
    first_row(fake)->alloc_bytes_variance = __builtin_nan("");
}

static void damage_weights(struct psc_fake *fake) {
    first_row(fake)->alloc_count = UINT64_MAX / 2;
    first_row(fake)->alloc_bytes = UINT64_MAX / 2;
    first_row(fake)->alloc_bytes_variance = 1e308;
}

static void damage_snapshot(struct psc_fake *fake) {
    struct psc_wire_snapshot *last = (void *)(fake->bytes + (size_t)fake->open[PSC_CHUNK_SNAPSHOTS] * PSC_CHUNK_BYTES);
    last->classes[3] = (struct psc_wire_snapshot_class){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    last->pinned_bytes = UINT64_MAX;
}

/* Whatever is wrong, the sums hold (check_sums) and it is said. */
START_TEST(damaged_samples_are_told) {
    static void (*const damages[])(struct psc_fake *) = {damage_interval, damage_interval_upwards, damage_mode,
                                                         damage_variance, damage_weights,          damage_snapshot};
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct psc_fake fake;
        psc_fake_small_sampled(&fake);
        ck_assert_int_eq(read_bytes(fake.bytes, psc_fake_bytes(&fake)), 0);
        damages[i](&fake);
        int warnings = read_bytes(fake.bytes, psc_fake_bytes(&fake));
        ck_assert_msg(warnings > 0 || damages[i] == damage_weights, "damage %zu: %d warnings", i, warnings);
        psc_fake_release(&fake);
    }
}
END_TEST

/* Every chunk of the largest file that can be claims to be of one kind, and nearly all are holes. */
START_TEST(holes_cost_nothing) {
    struct psc_fake fake;
    psc_fake_small(&fake);
    /* address space, since nothing else would show what was asked for; sanitizers need much of it for themselves */
    struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    if (!SANITIZED) {
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    }
    unsigned char *directory = calloc(1, PSC_CHUNKS_MAX);
    memcpy(directory, fake.bytes + PSC_CHUNK_BYTES, PSC_CHUNKS_MAX);
    int fd = psc_fake_open(fake.bytes, psc_fake_bytes(&fake));
    ck_assert_int_eq(ftruncate(fd, (off_t)PSC_CHUNKS_MAX * PSC_CHUNK_BYTES), 0);
    for (int kind = PSC_CHUNK_MODULES; kind < PSC_CHUNK_KINDS; kind++) {
        memset(directory + fake.chunks, kind, PSC_CHUNKS_MAX - fake.chunks);
        ck_assert_int_eq(pwrite(fd, directory, PSC_CHUNKS_MAX, PSC_CHUNK_BYTES), PSC_CHUNKS_MAX);
        ck_assert_int_ge(read_all(fd), 1);
    }
    close(fd);
    free(directory);
    psc_fake_release(&fake);
}
END_TEST

START_TEST(stacks_may_not_share_frames) {
    struct psc_fake fake;
    psc_fake_init(&fake, 40);
    uint64_t stack[256];
    for (uint64_t i = 0; i < 256; i++) {
        stack[i] = 0x1000 + i;
    }
    uint32_t first = psc_fake_site(&fake, stack, 256, 0);
    struct psc_wire_site *rows = (void *)(fake.bytes + (size_t)fake.open[PSC_CHUNK_SITES] * PSC_CHUNK_BYTES);
    for (uint32_t i = first + 1; i < PSC_CHUNK_BYTES / sizeof(*rows); i++) {
        rows[i] = rows[first];
    }
    int fd = psc_fake_open(fake.bytes, psc_fake_bytes(&fake));
    const char *error;
    struct psc_model *model = psc_model_open_fd(fd, "test", &error);
    uint64_t frames = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        frames += model->sites[i].raw.count;
    }
    ck_assert_uint_le(frames, PSC_CHUNK_BYTES / sizeof(uint64_t));
    ck_assert_uint_ge(warnings_of(model), 1);
    psc_model_close(model);
    close(fd);
    psc_fake_release(&fake);
}
END_TEST

/* Figures that would overflow a sum. */
START_TEST(absurd_pools_are_left_out) {
    struct psc_fake fake;
    psc_fake_init(&fake, 40);
    for (int i = 0; i < 1200; i++) {
        struct psc_wire_extent *large = psc_fake_large(&fake, 0x10000, 1ull << 47);
        psc_fake_tag(large, 0, PSC_SITE_UNKNOWN, 1ull << 47);
    }
    psc_fake_large(&fake, 0x10000, UINT64_MAX);
    psc_fake_pool(&fake, 3, 0x10000, 8, 9);
    psc_fake_pool(&fake, 3, 0x10000, 8, 4)->untagged = 100;
    psc_fake_pool(&fake, 70, 0x10000, 8, 4);
    psc_fake_pool(&fake, 3, 0, 8, 4);
    ck_assert_int_ge(read_bytes(fake.bytes, psc_fake_bytes(&fake)), 5);
    psc_fake_release(&fake);
}
END_TEST

/* ---- names beside a trace ---------------------------------------------------------------------------------------- */

#define NAMES_PATH_BYTES 64

struct names {
    struct psc_model *model; /* of the golden trace, with nothing resolved but its first stack */
    char path[NAMES_PATH_BYTES];
    char text[4096]; /* sound names of that stack */
    size_t bytes;
};

static struct psc_site *site_with_frames(struct psc_model *model) {
    for (size_t i = 0; i < model->site_count; i++) {
        if (model->sites[i].raw.count > 0) {
            return &model->sites[i];
        }
    }
    ck_abort_msg("the golden trace has no stacks");
}

static void open_model(struct names *names) {
    const char *error;
    struct psc_fake fake;
    psc_fake_small(&fake);
    int fd = psc_fake_open(fake.bytes, psc_fake_bytes(&fake));
    names->model = psc_model_open_fd(fd, "damaged", &error);
    ck_assert_ptr_nonnull(names->model);
    struct psc_site *site = site_with_frames(names->model);
    psc_model_symbolize(names->model, site);
    psc_model_forget_frames(site);
    close(fd);
    psc_fake_release(&fake);
}

static void put_names(const struct names *names, const char *text, size_t bytes) {
    FILE *file = fopen(names->path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
}

/* The head comes from a file without names, which are then put behind it. */
static void make_names(struct names *names) {
    size_t written;
    memset(names, 0, sizeof(*names));
    open_model(names);
    strcpy(names->path, "/tmp/test_report_damage.XXXXXX");
    close(mkstemp(names->path));
    ck_assert(psc_symbol_file_write(names->model, names->path, &written));
    ck_assert_uint_eq(written, 0);
    FILE *file = fopen(names->path, "r");
    names->bytes = fread(names->text, 1, sizeof(names->text), file);
    fclose(file);
    ck_assert_str_eq(names->text + names->bytes - 6, "end 0\n");
    names->bytes -= 6;
    names->bytes += (size_t)snprintf(names->text + names->bytes, sizeof(names->text) - names->bytes,
                                     "text inner\ntext /src/file.c\ntext outer\ntext /bin/program\n"
                                     "address abcdef01 - 2\nframe 1 2 10 4 1\nframe 3 2 20 4 0\n"
                                     "address abcdef02 0 1\nframe 3 0 0 0 0\nend 2\n");
}

static void release_names(struct names *names) {
    unlink(names->path);
    psc_model_close(names->model);
}

/* Reads these bytes with a fresh model. What was refused gave nothing. */
static bool read_names(struct names *names, const char *text, size_t bytes) {
    const char *error = NULL;
    put_names(names, text, bytes);
    psc_model_close(names->model);
    open_model(names);
    bool read = psc_symbol_file_read(names->model, names->path, &error);
    size_t named;
    struct psc_symbols_named *list = psc_symbols_list_named(names->model->symbols, &named);
    ck_assert(read ? error == NULL : error != NULL && named == 0);
    for (size_t i = 0; i < named; i++) {
        ck_assert_uint_ge(list[i].count, 1);
        for (uint32_t k = 0; k < list[i].count; k++) {
            ck_assert_ptr_nonnull(list[i].frames[k].function);
        }
    }
    free(list);
    return read;
}

START_TEST(sound_names_are_taken) {
    struct names names;
    const struct psc_frame *frames;
    make_names(&names);
    ck_assert(read_names(&names, names.text, names.bytes));
    ck_assert_uint_eq(psc_symbols_resolve(names.model->symbols, 0xabcdef01, PSC_MODULE_NONE, &frames), 2);
    ck_assert_str_eq(frames[0].function, "inner");
    ck_assert_str_eq(frames[0].file, "/src/file.c");
    ck_assert_uint_eq(frames[0].line, 10);
    ck_assert(frames[0].inlined && !frames[1].inlined);
    ck_assert_str_eq(frames[1].module, "/bin/program");
    ck_assert_uint_eq(frames[1].address, 0xabcdef01);
    ck_assert_uint_eq(psc_symbols_resolve(names.model->symbols, 0xabcdef02, 0, &frames), 1);
    ck_assert_str_eq(frames[0].function, "outer");
    ck_assert_ptr_null(frames[0].file);
    release_names(&names);
}
END_TEST

START_TEST(names_that_are_cut_off_are_refused) {
    struct names names;
    make_names(&names);
    for (size_t cut = 0; cut < names.bytes; cut++) {
        ck_assert(!read_names(&names, names.text, cut));
    }
    release_names(&names);
}
END_TEST

START_TEST(any_byte_of_names_changed) {
    struct names names;
    uint64_t state = 2463534242u;
    make_names(&names);
    for (int i = 0; i < FLIPS / 2; i++) {
        char changed[sizeof(names.text)];
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        memcpy(changed, names.text, names.bytes);
        changed[state % names.bytes] = (state >> 40) % 3 == 0 ? (char)(state >> 48) : "0123 -\nframe"[state >> 50 & 7];
        read_names(&names, changed, names.bytes);
    }
    release_names(&names);
}
END_TEST

START_TEST(names_that_lie_are_refused) {
    static const char *const bodies[] = {
        "end 1\n",
        "end 0\nend 0\n",
        "end -1\n",
        "text a\naddress 10 - 1\nframe 2 0 0 0 0\nend 1\n",                /* no such text */
        "text a\naddress 10 - 1\nframe 0 0 0 0 0\nend 1\n",                /* no function */
        "text a\naddress 10 - 0\nend 1\n",                                 /* no frames */
        "text a\naddress 10 - 66\nend 1\n",                                /* too many */
        "text a\naddress 10 - 2\nframe 1 0 0 0 0\nend 1\n",                /* too few */
        "text a\naddress 10 4000000000 1\nframe 1 0 0 0 0\nend 1\n",       /* no such module */
        "text a\naddress 10 - 1\nframe 1 0 4294967296 0 0\nend 1\n",       /* line too large */
        "text a\naddress 10 - 1\nframe 1 0 0 0 2\nend 1\n",                /* neither true nor false */
        "text a\naddress 11112222333344445 - 1\nframe 1 0 0 0 0\nend 1\n", /* too many digits */
        "text a\naddress 10 - 1 9\nframe 1 0 0 0 0\nend 1\n",              /* something behind it */
        "address 10 - 1\nframe 1 0 0 0 0\ntext a\nend 1\n",                /* another order */
        "text a\naddress 10 - 1\nframe  1 0 0 0 0\nend 1\n",
        "text a\naddress 0x10 - 1\nframe 1 0 0 0 0\nend 1\n",
    };
    struct names names;
    make_names(&names);
    size_t head = (size_t)(strstr(names.text, "text inner") - names.text);
    for (size_t i = 0; i < PSC_COUNT_OF(bodies); i++) {
        strcpy(names.text + head, bodies[i]);
        ck_assert_msg(!read_names(&names, names.text, strlen(names.text)), "%s", bodies[i]);
    }
    strcpy(names.text + head, "text a\x1b]0;b\naddress 10 - 1\nframe 1 0 0 0 0\nend 1\n");
    ck_assert(read_names(&names, names.text, strlen(names.text)));
    const struct psc_frame *frames;
    ck_assert_uint_eq(psc_symbols_resolve(names.model->symbols, 0x10, PSC_MODULE_NONE, &frames), 1);
    ck_assert_str_eq(frames[0].function, "a\\x1b]0;b");
    release_names(&names);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report_damage");
    TCase *damage = tcase_create("damage");
    tcase_set_timeout(damage, 60);
    tcase_add_test(damage, cut_anywhere);
    tcase_add_test(damage, any_byte_changed);
    tcase_add_test(damage, any_byte_of_a_sampled_trace_changed);
    tcase_add_test(damage, damaged_samples_are_told);
    tcase_add_test(damage, holes_cost_nothing);
    tcase_add_test(damage, stacks_may_not_share_frames);
    tcase_add_test(damage, absurd_pools_are_left_out);
    tcase_add_test(damage, sound_names_are_taken);
    tcase_add_test(damage, names_that_are_cut_off_are_refused);
    tcase_add_test(damage, any_byte_of_names_changed);
    tcase_add_test(damage, names_that_lie_are_refused);
    suite_add_tcase(suite, damage);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
