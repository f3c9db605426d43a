/* Traces that are cut off, damaged or lie: the report says what it can, in bounded time and memory, and its sums hold.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "report/report.h"
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
    suite_add_tcase(suite, damage);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
