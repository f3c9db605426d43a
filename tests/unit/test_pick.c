/* Blocks that the heap picks: as many as their sizes say, whatever the program does between. All draws are by fixed
 * seeds: what holds once holds always. */
#include <check.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/random.h"
#include "core/heap/fast.h"
#include "core/wire/sample.h"

#define ROOM 4096

static uint64_t mean = 8192;
static unsigned picked;
static void *blocks[ROOM];
static bool is_picked[ROOM];
static struct psc_note *freed_note;
static unsigned told_freed;
static unsigned left; /* picked blocks that are not freed */

static bool on_picked_freed(struct psc_note *note, uint32_t index, uint32_t class_index, size_t block_bytes) {
    (void)index;
    (void)class_index;
    ck_assert_uint_gt(block_bytes, 0);
    freed_note = note;
    told_freed++;
    return left > 0;
}

static void begin(uint64_t seed) {
    struct psc_heap_hooks hooks = {.picked_freed = on_picked_freed};
    psc_heap_set_hooks(&hooks);
    psc_heap_pick(mean, seed);
    psc_heap_unwatch();
}

/* As the preload does it. */
static void make(uint32_t place, size_t bytes) {
    void *p;
    is_picked[place] = false;
    if (!psc_fast_alloc(psc_heap_open, bytes, &p)) {
        p = psc_heap_alloc(bytes);
        is_picked[place] = psc_heap_take_picked(p);
        if (is_picked[place] && psc_heap_take_picked(p)) {
            ck_abort_msg("a block was picked twice");
        }
    }
    picked += is_picked[place];
    left += is_picked[place];
    blocks[place] = p;
}

static void drop(uint32_t place) {
    if (is_picked[place]) {
        left--;
        is_picked[place] = false;
    }
    if (!psc_fast_free(psc_heap_open, blocks[place])) {
        psc_heap_free_slowly(blocks[place]);
    }
    blocks[place] = NULL;
}

/* Of `made` blocks, about as many were picked as is likely: within four times the standard deviation. */
static void expect_picked(unsigned made, size_t bytes) {
    double chance = 1 / psc_sample_weight(bytes, mean);
    double expected = made * chance, deviation = sqrt(made * chance * (1 - chance));
    if (fabs(picked - expected) > 4 * deviation + 0.5) {
        ck_abort_msg("%u of %u blocks of %zu bytes were picked, not about %.1f (standard deviation %.1f)", picked, made,
                     bytes, expected, deviation);
    }
    picked = 0;
}

static const size_t sizes[] = {16, 48, 320, 1024, 8192, 32768};

/* Sanitizers make each round many times slower. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUNDS 40000
#else
#define ROUNDS 300000
#endif

START_TEST(pairs) {
    begin(1);
    for (size_t i = 0; i < PSC_COUNT_OF(sizes); i++) {
        for (unsigned round = 0; round < ROUNDS; round++) {
            make(0, sizes[i]);
            drop(0);
        }
        expect_picked(ROUNDS, sizes[i]);
    }
}
END_TEST

START_TEST(large_blocks) {
    static const size_t large[] = {(size_t)64 << 10, (size_t)1 << 20, (size_t)2 << 20};
    mean = (size_t)1 << 20;
    begin(9);
    for (size_t i = 0; i < PSC_COUNT_OF(large); i++) {
        for (unsigned round = 0; round < 1500; round++) {
            make(0, large[i]);
            drop(0);
        }
        expect_picked(1500, large[i]);
    }
}
END_TEST

/* Pools that are nearly full: words with a block or two. */
START_TEST(random_frees) {
    uint64_t random = 2;
    begin(2);
    for (size_t i = 0; i < PSC_COUNT_OF(sizes); i++) {
        uint32_t room = sizes[i] > 8192 ? 64 : ROOM, made = room;
        for (uint32_t place = 0; place < room; place++) {
            make(place, sizes[i]);
        }
        for (; made < ROUNDS; made++) {
            uint32_t place = (uint32_t)(psc_random_next(&random) % room);
            drop(place);
            make(place, sizes[i]);
        }
        expect_picked(made, sizes[i]);
        for (uint32_t place = 0; place < room; place++) {
            drop(place);
        }
    }
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

START_TEST(waves) {
    begin(3);
    unsigned made = 0;
    for (unsigned wave = 0; wave < 200; wave++) {
        for (uint32_t place = 0; place < ROOM; place++, made++) {
            make(place, 100);
        }
        for (uint32_t place = ROOM; place-- > 0;) {
            drop(place);
        }
    }
    expect_picked(made, 112);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

/* How many blocks lie between two picks has the geometric distribution: its variance is (1 - p) / p^2. */
START_TEST(distances) {
    enum { PICKS = 20000 };
    double sum = 0, squares = 0, distance = 0, chance = 1 / psc_sample_weight(512, mean);
    begin(4);
    for (picked = 0; picked < PICKS;) {
        unsigned before = picked;
        make(0, 512);
        drop(0);
        distance++;
        if (picked > before) {
            sum += distance;
            squares += distance * distance;
            distance = 0;
        }
    }
    double average = sum / PICKS, variance = squares / PICKS - average * average;
    ck_assert_double_eq_tol(average * chance, 1, 0.03);
    ck_assert_double_eq_tol(variance * chance * chance / (1 - chance), 1, 0.06);
}
END_TEST

/* Only as long as a pool has a picked block do its frees come by the slow way. */
START_TEST(marks_go) {
    begin(5);
    uint32_t place = 0;
    do {
        make(place++, 64);
    } while (left == 0 && place < ROOM);
    ck_assert_uint_eq(left, 1);
    make(place, 64);
    void *p = blocks[place];
    ck_assert(!psc_fast_free(psc_heap_open, p));
    drop(place);
    ck_assert_uint_eq(told_freed, 1);
    drop(place - 1); /* the picked one */
    ck_assert_uint_eq(told_freed, 2);
    ck_assert_ptr_nonnull(freed_note);
    left = 0;
    make(place, 64);
    if (left == 0) {
        ck_assert(psc_fast_free(psc_heap_open, blocks[place]));
    }
    ck_assert_uint_eq(told_freed, 2);
}
END_TEST

/* A program may have made inexact results a trap, or look later whether there were any. */
START_TEST(floating_point_state_is_the_programs) {
    begin(10);
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_INEXACT | FE_OVERFLOW | FE_INVALID);
    for (unsigned i = 0; i < 10000; i++) {
        make(0, i % 2 == 0 ? 512 : 100000);
        drop(0);
    }
    int raised = fetestexcept(FE_ALL_EXCEPT), traps = fedisableexcept(FE_ALL_EXCEPT);
    ck_assert_int_eq(raised, 0);
    ck_assert_int_eq(traps, FE_INEXACT | FE_OVERFLOW | FE_INVALID);
    ck_assert_uint_gt(picked, 0);
}
END_TEST

static uint64_t first_picks(void) {
    uint64_t picks = 0;
    for (unsigned i = 0; i < 64; i++) {
        unsigned before = picked;
        make(0, 2048);
        drop(0);
        picks = picks << 1 | (picked > before);
    }
    return picks;
}

START_TEST(a_child_draws_anew) {
    int ends[2];
    uint64_t theirs;
    begin(6);
    first_picks();
    ck_assert_int_eq(pipe(ends), 0);
    psc_heap_fork_prepare();
    pid_t child = fork();
    if (child == 0) {
        psc_heap_fork_child();
        uint64_t picks = first_picks();
        _exit(write(ends[1], &picks, sizeof picks) == sizeof picks ? 0 : 1);
    }
    psc_heap_fork_parent();
    uint64_t ours = first_picks();
    ck_assert_int_eq(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_uint_ne(ours, theirs);
    ck_assert_uint_ne(ours, 0);
    ck_assert_uint_ne(theirs, 0);
}
END_TEST

START_TEST(a_seed_tells_the_picks) {
    begin(7);
    uint64_t picks = first_picks();
    psc_heap_pick(mean, 7);
    ck_assert_uint_eq(first_picks(), picks);
    psc_heap_pick(mean, 8);
    ck_assert_uint_ne(first_picks(), picks);
}
END_TEST

START_TEST(exponential) {
    enum { DRAWS = 1000000, STEPS = 40 };
    static unsigned counts[STEPS + 1];
    uint64_t state = psc_random_seed(1, 2);
    double sum = 0, chi = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        double x = psc_random_exponential(&state, 3);
        unsigned step = (unsigned)(x / 3 * 10);
        ck_assert(x >= 0 && x < 3 * 37.5);
        sum += x;
        counts[step < STEPS ? step : STEPS]++;
    }
    ck_assert_double_eq_tol(sum / DRAWS, 3, 0.012); /* four standard deviations */
    for (unsigned step = 0; step <= STEPS; step++) {
        double from = exp(-0.1 * step), to = step < STEPS ? exp(-0.1 * (step + 1)) : 0;
        double expected = DRAWS * (from - to);
        chi += (counts[step] - expected) * (counts[step] - expected) / expected;
    }
    ck_assert_double_lt(chi, 40 + 4 * sqrt(80));
}
END_TEST

START_TEST(weights) {
    for (double x = 1e-7; x < 50; x *= 1.07) {
        ck_assert_double_eq_tol(psc_sample_weight_of_ratio(x) * -expm1(-x), 1, 1e-7);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pick");
    TCase *tests = tcase_create("pick");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, pairs);
    tcase_add_test(tests, large_blocks);
    tcase_add_test(tests, random_frees);
    tcase_add_test(tests, waves);
    tcase_add_test(tests, distances);
    tcase_add_test(tests, marks_go);
    tcase_add_test(tests, floating_point_state_is_the_programs);
    tcase_add_test(tests, a_child_draws_anew);
    tcase_add_test(tests, a_seed_tells_the_picks);
    tcase_add_test(tests, exponential);
    tcase_add_test(tests, weights);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
