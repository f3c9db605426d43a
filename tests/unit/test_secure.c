/* What the hardened heap promises, property by property; that it keeps the promises of any heap is tested in
 * test_heap.c. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/os.h"
#include "core/heap/internal.h"
#include "core/heap/quarantine.h"
#include "core/heap/secure.h"

#define MANY_MAPPINGS 10000

static void harden(uint64_t secret, uint64_t mappings) {
    const uint64_t both[2] = {secret, ~secret};
    psc_heap_secure(both, mappings);
}

static void set_up(void) {
    harden(1, MANY_MAPPINGS);
}

static volatile char *make(size_t bytes) {
    volatile char *p = psc_heap_alloc(bytes);
    ck_assert_ptr_nonnull((const void *)p);
    return p;
}

static void release(volatile char *p) {
    psc_heap_free((void *)(uintptr_t)p);
}

/* Of pools, at the ends of their blocks and before; of mappings whose last page is not full. */
static const size_t sizes[] = {0, 1, 8, 9, 15, 24, 100, 1000, 4088, 5000, 30000, 32700, 32760, 50000, 1000000, 5000001};
#define SIZES ((int)PSC_COUNT_OF(sizes))
/* Whole pages: the next byte is on another one. */
static const size_t paged[] = {65536, 1 << 20, 5 << 20};
#define PAGED ((int)PSC_COUNT_OF(paged))

/* ---- what is found ------------------------------------------------------------------------------------------------- */

START_TEST(a_string_end_behind_a_block_is_found) {
    volatile char *p = make(sizes[_i]);
    p[sizes[_i]] = 0;
    release(p);
}
END_TEST

START_TEST(any_byte_behind_a_block_is_found) {
    for (int i = 0; i < 255; i++) {
        volatile char *p = make(40);
        p[40] = (char)i; /* one of these is what stood there */
        if (fork() == 0) {
            release(p);
            _exit(0);
        }
    }
    int quiet = 0, status;
    while (wait(&status) > 0) {
        quiet += WIFEXITED(status);
    }
    ck_assert_int_le(quiet, 1);
}
END_TEST

START_TEST(eight_bytes_behind_a_block_are_found) {
    volatile char *p = make(sizes[_i]);
    memset((void *)(uintptr_t)(p + sizes[_i]), 'x', 8);
    release(p);
}
END_TEST

/* Of spans, and of mappings without guards, whole pages or not. */
START_TEST(without_guards_a_write_behind_a_block_is_found) {
    static const size_t large[] = {50000, 65536, 1 << 20, 5 << 20, 5000001};
    harden(1, 0);
    volatile char *p = make(large[_i]);
    p[large[_i]] = 0;
    release(p);
}
END_TEST

START_TEST(a_byte_behind_whole_pages_cannot_be_touched) {
    volatile char *p = make(paged[_i]);
    p[paged[_i] - 1] = 1;
    p[paged[_i]] = 1;
}
END_TEST

START_TEST(a_byte_before_a_large_block_cannot_be_touched) {
    volatile char *p = make(paged[_i]);
    p[0] = 1;
    p[-1] = 1;
}
END_TEST

START_TEST(a_large_block_that_grew_or_shrank_has_guards) {
    volatile char *p = make(1 << 20);
    p[100] = 7;
    p = psc_heap_resize((void *)(uintptr_t)p, (size_t)1 << (_i == 0 ? 22 : 17));
    ck_assert_ptr_nonnull((const void *)p);
    ck_assert_int_eq(p[100], 7);
    p[psc_heap_usable((void *)(uintptr_t)p) - 1] = 1;
    p[psc_heap_usable((void *)(uintptr_t)p)] = 1;
}
END_TEST

START_TEST(a_freed_large_block_cannot_be_touched) {
    volatile char *p = make(paged[_i]);
    release(p);
    for (int i = 0; i < 100; i++) {
        ck_assert_ptr_ne((const void *)make(paged[_i]), (const void *)p);
    }
    (void)*p;
}
END_TEST

START_TEST(a_resize_finds_a_write_behind_the_block) {
    volatile char *p = make(sizes[_i]);
    p[sizes[_i]] = 0;
    psc_heap_resize((void *)(uintptr_t)p, sizes[_i] + 1);
}
END_TEST

START_TEST(asking_for_its_size_finds_a_write_behind_the_block) {
    volatile char *p = make(100);
    p[100] = 0;
    psc_heap_usable((void *)(uintptr_t)p);
}
END_TEST

START_TEST(a_write_to_a_freed_block_is_found) {
    volatile char *p = make(100);
    release(p);
    p[_i] = 1;
    for (int i = 0; i < 5000; i++) {
        release(make(100));
    }
}
END_TEST

/* The block has long gone back to its pool. */
START_TEST(a_late_second_free_is_found) {
    volatile char *p = make(100);
    release(p);
    for (int i = 0; i < 3000; i++) {
        release(make(200));
    }
    release(p);
}
END_TEST

START_TEST(a_second_free_is_found_whatever_was_written_there) {
    volatile char *p = make(100);
    char copy[112];
    memcpy(copy, (void *)(uintptr_t)p, sizeof copy);
    release(p);
    memcpy((void *)(uintptr_t)p, copy, sizeof copy);
    release(p);
}
END_TEST

START_TEST(outside_an_arena_nothing_can_be_touched) {
    volatile char *p = make(100);
    const struct psc_arena *arena = psc_radix_arena((const void *)p);
    volatile char *base = arena->base;
    (void)(_i == 0 ? base[PSC_ARENA_BYTES] : base[-1]);
}
END_TEST

/* ---- what reads as zero, and what is usable ------------------------------------------------------------------------ */

START_TEST(freed_blocks_read_as_zero) {
    for (size_t bytes = 0; bytes < PSC_SMALL_MAX; bytes += 1 + bytes / 3) {
        char *p = psc_heap_alloc(bytes);
        struct psc_block block;
        psc_heap_block(p, &block);
        memset(p, 'x', bytes);
        psc_heap_free(p);
        for (size_t i = 0; i < block.bytes; i++) {
            ck_assert_int_eq(p[i], 0);
        }
    }
}
END_TEST

START_TEST(exactly_what_was_asked_for_is_usable) {
    for (uint32_t i = 0; i < PSC_COUNT_OF(sizes); i++) {
        char *p = psc_heap_alloc(sizes[i]);
        ck_assert_uint_eq(psc_heap_usable(p), sizes[i]);
        memset(p, 'x', sizes[i]);
        psc_heap_free(p);
    }
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

/* ---- where blocks lie ---------------------------------------------------------------------------------------------- */

START_TEST(a_freed_block_waits) {
    static const size_t of[] = {16, 100, 2000};
    void *p = psc_heap_alloc(of[_i]);
    psc_heap_free(p);
    for (uint32_t i = 0; i < PSC_QUEUED_MOST; i++) {
        void *q = psc_heap_alloc(of[_i]);
        ck_assert_ptr_ne(p, q);
        psc_heap_free(q);
    }
}
END_TEST

START_TEST(quarantine_is_bounded) {
    struct psc_heap_figures figures;
    for (int i = 0; i < 20000; i++) {
        psc_heap_free(psc_heap_alloc((size_t)i % PSC_SMALL_MAX));
    }
    ck_assert_ptr_null(psc_heap_check());
    ck_assert_uint_le(psc_heap_self->quarantine->bytes, PSC_QUARANTINE_BYTES_MOST);
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.live_blocks, 0);
    psc_heap_trim();
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.pinned_bytes + figures.empty_bytes + figures.cached_bytes, 0);
}
END_TEST

#define PLACES 100

/* The places of blocks of a new heap, by a child, so that each begins alike. */
static void find_places(uint64_t secret, uint64_t pick_mean, uint32_t *places) {
    pid_t child = fork();
    if (child == 0) {
        harden(secret, MANY_MAPPINGS);
        if (pick_mean != 0) {
            psc_heap_pick(pick_mean, 1);
        }
        for (int i = 0; i < PLACES; i++) {
            struct psc_block block;
            void *p = psc_heap_alloc(64);
            psc_heap_block(p, &block);
            places[i] = block.index;
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static uint32_t (*shared_places(void))[PLACES] {
    void *map = mmap(NULL, 2 * sizeof(uint32_t[PLACES]), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    return map;
}

/* Neighbours are as seldom as chance has it: of 100 out of 255, hardly a fifth. */
START_TEST(places_cannot_be_foretold) {
    uint32_t(*places)[PLACES] = shared_places(), neighbours = 0, same = 0;
    find_places(1, 0, places[0]);
    find_places(2, 0, places[1]);
    for (int i = 0; i < PLACES; i++) {
        same += places[0][i] == places[1][i];
        neighbours += i > 0 && places[0][i] == places[0][i - 1] + 1;
    }
    ck_assert_uint_lt(same, PLACES / 5);
    ck_assert_uint_lt(neighbours, PLACES / 5);
}
END_TEST

START_TEST(sampling_does_not_move_blocks) {
    uint32_t(*places)[PLACES] = shared_places();
    find_places(1, 0, places[0]);
    find_places(1, 100, places[1]);
    ck_assert_mem_eq(places[0], places[1], sizeof places[0]);
}
END_TEST

/* 64 KiB between samples, blocks of 1024 bytes: one in 64.5; five deviations to both sides. */
START_TEST(samples_are_as_many_as_they_should_be) {
    enum { BLOCKS = 100000 };
    int picked = 0;
    psc_heap_pick(65536, 7);
    for (int i = 0; i < BLOCKS; i++) {
        void *p = psc_heap_alloc(1000);
        picked += psc_heap_take_picked(p);
        psc_heap_free(p);
    }
    ck_assert_int_gt(picked, 1550 - 5 * 39);
    ck_assert_int_lt(picked, 1550 + 5 * 39);
}
END_TEST

/* ---- with what was there before ------------------------------------------------------------------------------------ */

START_TEST(blocks_from_before_are_freed_as_ever) {
    enum { BLOCKS = 3000 };
    static void *before[BLOCKS];
    struct psc_heap_figures figures;
    for (int i = 0; i < BLOCKS; i++) {
        before[i] = psc_heap_alloc((size_t)i * 30);
        memset(before[i], 'x', (size_t)i * 30);
    }
    for (int i = 0; i < BLOCKS; i += 2) {
        psc_heap_free(before[i]);
    }
    harden(1, MANY_MAPPINGS);
    for (int i = 1; i < BLOCKS; i += 2) {
        psc_heap_free(before[i]);
        before[i] = psc_heap_alloc((size_t)i * 30);
    }
    for (int i = 1; i < BLOCKS; i += 2) {
        psc_heap_free(before[i]);
    }
    ck_assert_ptr_null(psc_heap_check());
    psc_heap_trim();
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.live_blocks + figures.large_blocks + figures.empty_bytes, 0);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("secure");
    TCase *found = tcase_create("found");
    tcase_set_timeout(found, 60);
    tcase_add_checked_fixture(found, set_up, NULL);
    tcase_add_loop_test_raise_signal(found, a_string_end_behind_a_block_is_found, SIGABRT, 0, SIZES);
    tcase_add_loop_test_raise_signal(found, eight_bytes_behind_a_block_are_found, SIGABRT, 0, SIZES);
    tcase_add_loop_test_raise_signal(found, a_resize_finds_a_write_behind_the_block, SIGABRT, 0, SIZES);
    tcase_add_test_raise_signal(found, asking_for_its_size_finds_a_write_behind_the_block, SIGABRT);
    tcase_add_loop_test_raise_signal(found, a_write_to_a_freed_block_is_found, SIGABRT, 0, 112);
    tcase_add_test_raise_signal(found, a_late_second_free_is_found, SIGABRT);
    tcase_add_test_raise_signal(found, a_second_free_is_found_whatever_was_written_there, SIGABRT);
    tcase_add_test(found, any_byte_behind_a_block_is_found);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which take SIGSEGV for themselves */
    tcase_add_loop_test_raise_signal(found, a_byte_behind_whole_pages_cannot_be_touched, SIGSEGV, 0, PAGED);
    tcase_add_loop_test_raise_signal(found, a_byte_before_a_large_block_cannot_be_touched, SIGSEGV, 0, PAGED);
    tcase_add_loop_test_raise_signal(found, a_large_block_that_grew_or_shrank_has_guards, SIGSEGV, 0, 2);
    tcase_add_loop_test_raise_signal(found, a_freed_large_block_cannot_be_touched, SIGSEGV, 0, PAGED);
    tcase_add_loop_test_raise_signal(found, outside_an_arena_nothing_can_be_touched, SIGSEGV, 0, 2);
#endif
    suite_add_tcase(suite, found);
    TCase *kept = tcase_create("kept");
    tcase_set_timeout(kept, 60);
    tcase_add_checked_fixture(kept, set_up, NULL);
    tcase_add_test(kept, freed_blocks_read_as_zero);
    tcase_add_test(kept, exactly_what_was_asked_for_is_usable);
    tcase_add_loop_test(kept, a_freed_block_waits, 0, 3);
    tcase_add_test(kept, quarantine_is_bounded);
    tcase_add_test(kept, samples_are_as_many_as_they_should_be);
    suite_add_tcase(suite, kept);
    TCase *begun = tcase_create("begun");
    tcase_set_timeout(begun, 60);
    tcase_add_loop_test_raise_signal(begun, without_guards_a_write_behind_a_block_is_found, SIGABRT, 0, 5);
    tcase_add_test(begun, places_cannot_be_foretold);
    tcase_add_test(begun, sampling_does_not_move_blocks);
    tcase_add_test(begun, blocks_from_before_are_freed_as_ever);
    suite_add_tcase(suite, begun);
    return suite;
}

int main(void) {
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
