/* The heap against a shadow model: contents, alignment, no overlap, usable size, notes; its invariants after every few
 * steps. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/os.h"
#include "core/heap/heap.h"
#include "core/heap/internal.h"
#include "core/heap/order.h"

/* ck_assert writes to a pipe each time it holds; this does so only when it does not. */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            ck_abort_msg("does not hold: %s", #condition);                                                             \
        }                                                                                                              \
    } while (0)

/* Sanitizers make each step many times slower. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STEPS(n) ((n) / 8)
#else
#define STEPS(n) (n)
#endif

struct random {
    uint64_t state;
};

static uint32_t draw(struct random *random, uint32_t below) {
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random->state >> 33) % below);
}

/* Mostly small, some medium, a few of whole pages, fewer with a mapping of their own. */
static size_t draw_size(struct random *random) {
    switch (draw(random, 16)) {
    case 0: return draw(random, draw(random, 32) == 0 ? 3000000 : 200000);
    case 1:
    case 2:
    case 3: return draw(random, 40000);
    default: return draw(random, 1u << (4 + draw(random, 7)));
    }
}

struct shadow {
    unsigned char *p;
    size_t bytes;
    unsigned char fill;
};

static void fill(struct shadow *shadow, struct random *random) {
    shadow->fill = (unsigned char)draw(random, 256);
    memset(shadow->p, shadow->fill, shadow->bytes);
}

static void verify(const struct shadow *shadow) {
    for (size_t i = 0; i < shadow->bytes; i++) {
        if (shadow->p[i] != shadow->fill) {
            ck_abort_msg("block %p of %zu bytes: byte %zu changed", (void *)shadow->p, shadow->bytes, i);
        }
    }
}

static void verify_zero(const unsigned char *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        EXPECT(p[i] == 0);
    }
}

static void make(struct shadow *shadow, struct random *random) {
    shadow->bytes = draw_size(random);
    switch (draw(random, 8)) {
    case 0:
        shadow->p = psc_heap_alloc_zeroed(shadow->bytes);
        verify_zero(shadow->p, shadow->bytes);
        break;
    case 1: {
        size_t alignment = (size_t)1 << draw(random, 17);
        shadow->p = psc_heap_alloc_aligned(alignment, shadow->bytes);
        EXPECT((uintptr_t)shadow->p % alignment == 0);
        break;
    }
    default: shadow->p = psc_heap_alloc(shadow->bytes); break;
    }
    EXPECT(shadow->p != NULL);
    EXPECT((uintptr_t)shadow->p % 16 == 0);
    EXPECT(psc_heap_usable(shadow->p) >= shadow->bytes);
    fill(shadow, random);
}

static void change_size(struct shadow *shadow, struct random *random) {
    size_t bytes = draw_size(random) + 1;
    unsigned char *p = psc_heap_resize(shadow->p, bytes);
    if (p == NULL) {
        return;
    }
    shadow->p = p;
    shadow->bytes = bytes < shadow->bytes ? bytes : shadow->bytes;
    verify(shadow);
    shadow->bytes = bytes;
    fill(shadow, random);
}

#define SHADOWS 4000

static void play(uint64_t seed, int steps, bool alone) {
    struct random random = {seed};
    struct shadow *shadows = psc_os_map(SHADOWS * sizeof *shadows);
    for (int step = 0; step < steps; step++) {
        struct shadow *shadow = &shadows[draw(&random, SHADOWS)];
        if (shadow->p == NULL) {
            make(shadow, &random);
        } else if (draw(&random, 8) == 0) {
            change_size(shadow, &random);
        } else {
            verify(shadow);
            psc_heap_free(shadow->p);
            shadow->p = NULL;
        }
        if (alone && step % 500 == 0) {
            EXPECT(psc_heap_check() == NULL);
        }
    }
    for (int i = 0; i < SHADOWS; i++) {
        if (shadows[i].p != NULL) {
            verify(&shadows[i]);
            psc_heap_free(shadows[i].p);
        }
    }
    psc_os_unmap(shadows, SHADOWS * sizeof *shadows);
}

START_TEST(random_operations_keep_contents) {
    play((uint64_t)_i + 1, STEPS(60000), true);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

static void *play_in_thread(void *seed) {
    play((uintptr_t)seed, STEPS(40000), false);
    psc_heap_thread_end();
    return NULL;
}

START_TEST(four_threads_keep_contents) {
    for (int round = 0; round < 3; round++) {
        pthread_t threads[4];
        for (uintptr_t i = 0; i < 4; i++) {
            ck_assert_int_eq(pthread_create(&threads[i], NULL, play_in_thread, (void *)(i + 100)), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
        ck_assert_ptr_null(psc_heap_check());
    }
}
END_TEST

/* ---- blocks that other threads free ------------------------------------------------------------------------------ */

#define MAILBOXES 512

static struct shadow *mailboxes[MAILBOXES];

/* Puts blocks into mailboxes and frees what it takes out of them, mostly blocks of others. */
static void *swap_blocks(void *seed) {
    struct random random = {(uintptr_t)seed};
    for (int step = 0; step < STEPS(60000); step++) {
        size_t bytes = sizeof(struct shadow) + draw(&random, 600);
        struct shadow *mine = psc_heap_alloc(bytes);
        EXPECT(mine != NULL);
        *mine = (struct shadow){.p = (unsigned char *)(mine + 1), .bytes = bytes - sizeof *mine};
        fill(mine, &random);
        struct shadow *got = __atomic_exchange_n(&mailboxes[draw(&random, MAILBOXES)], mine, __ATOMIC_ACQ_REL);
        if (got != NULL) {
            verify(got);
            psc_heap_free(got);
        }
    }
    psc_heap_thread_end();
    return NULL;
}

START_TEST(blocks_go_back_to_their_owners) {
    pthread_t threads[4];
    for (int round = 0; round < 4; round++) { /* later rounds take over the heaps of earlier ones */
        for (uintptr_t i = 0; i < 4; i++) {
            ck_assert_int_eq(pthread_create(&threads[i], NULL, swap_blocks, (void *)(i + 7)), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    for (int i = 0; i < MAILBOXES; i++) {
        psc_heap_free(mailboxes[i]);
        mailboxes[i] = NULL;
    }
    psc_heap_trim();
    ck_assert_ptr_null(psc_heap_check());
    struct psc_heap_figures figures;
    psc_heap_measure(&figures);
    ck_assert_uint_eq(figures.live_blocks, 0);
    ck_assert_uint_eq(figures.cached_bytes, 0);
}
END_TEST

static void *allocate_many(void *blocks) {
    void **p = blocks;
    for (int i = 0; i < 10000; i++) {
        p[i] = psc_heap_alloc(100);
    }
    psc_heap_thread_end();
    return NULL;
}

START_TEST(pools_of_ended_threads_are_used_and_emptied) {
    static void *blocks[10000];
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, allocate_many, blocks), 0);
    pthread_join(thread, NULL);
    for (int i = 0; i < 10000; i += 2) {
        psc_heap_free(blocks[i]);
    }
    void *p = psc_heap_alloc(100);
    bool reused = false;
    for (int i = 0; i < 10000; i += 2) {
        reused |= p == blocks[i];
    }
    ck_assert_msg(reused, "a block of the ended thread was not used again");
    psc_heap_free(p);
    for (int i = 1; i < 10000; i += 2) {
        psc_heap_free(blocks[i]);
    }
    psc_heap_trim();
    struct psc_heap_figures figures;
    psc_heap_measure(&figures);
    ck_assert_uint_eq(figures.live_blocks, 0);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

START_TEST(an_ended_thread_still_allocates) {
    psc_heap_free(psc_heap_alloc(10));
    psc_heap_thread_end();
    void *p = psc_heap_alloc(10);
    ck_assert_ptr_nonnull(p);
    memset(p, 1, 10);
    void *q = psc_heap_alloc(10);
    ck_assert_ptr_ne(p, q);
    psc_heap_free(p);
    psc_heap_free(q);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

/* ---- memory that goes back -----------------------------------------------------------------------------------------
 */

START_TEST(empty_pools_give_pages_back) {
    enum { BLOCKS = 200000 };
    static void *blocks[BLOCKS];
    psc_heap_set_purge(0);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = psc_heap_alloc(256);
        memset(blocks[i], 1, 256);
    }
    for (int i = 0; i < BLOCKS; i++) {
        if (i % 10000 != 0) {
            psc_heap_free(blocks[i]);
        }
    }
    struct psc_heap_figures figures;
    psc_heap_measure(&figures);
    ck_assert_uint_eq(figures.live_blocks, BLOCKS / 10000);
    ck_assert_uint_eq(figures.cached_bytes, 0);
    ck_assert_uint_le(figures.pinned_bytes + figures.empty_bytes, (BLOCKS / 10000 + 2) * 16384);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

START_TEST(the_lowest_room_is_used_first) {
    void *blocks[3000];
    for (int i = 0; i < 3000; i++) {
        blocks[i] = psc_heap_alloc(64);
        if (i > 0) {
            EXPECT((uintptr_t)blocks[i] > (uintptr_t)blocks[i - 1]);
        }
    }
    psc_heap_free(blocks[700]); /* of a full pool */
    psc_heap_free(blocks[300]); /* of a lower one */
    void *p = NULL;
    for (int i = 0; i < 256 && p != blocks[300]; i++) { /* at most the rest of the current pool comes before */
        p = psc_heap_alloc(64);
    }
    ck_assert_ptr_eq(p, blocks[300]);
    ck_assert_ptr_eq(psc_heap_alloc(64), blocks[700]);
}
END_TEST

/* ---- arithmetic ----------------------------------------------------------------------------------------------------
 */

START_TEST(classes_round_by_an_eighth_at_most) {
    for (uint32_t bytes = 0; bytes <= PSC_SMALL_MAX; bytes++) {
        uint32_t class_index = psc_class_of(bytes);
        uint32_t block = psc_class_bytes(class_index);
        EXPECT(class_index < PSC_CLASS_COUNT);
        EXPECT(block >= bytes);
        EXPECT(class_index == 0 || psc_class_bytes(class_index - 1) < bytes);
        EXPECT(bytes <= 128 || (block - bytes) * 8 < block);
    }
}
END_TEST

START_TEST(reciprocals_divide_exactly) {
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        uint32_t block = psc_class_bytes(i);
        uint32_t reciprocal = (uint32_t)((((uint64_t)1 << 32) + block - 1) / block);
        for (uint32_t offset = 0; offset < PSC_POOL_SLOTS_MAX * PSC_SLOT_BYTES; offset++) {
            if ((uint32_t)(((uint64_t)offset * reciprocal) >> 32) != offset / block) {
                ck_abort_msg("offset %u of class %u", offset, block);
            }
        }
    }
}
END_TEST

START_TEST(the_tree_gives_pools_in_order) {
    enum { POOLS = 500 };
    static struct psc_pool pools[POOLS];
    struct psc_pool *root = NULL;
    struct random random = {3};
    bool in[POOLS] = {false};
    for (int step = 0; step < 50000; step++) {
        uint32_t i = draw(&random, POOLS);
        pools[i].order = i;
        if (in[i]) {
            psc_order_remove(&root, &pools[i]);
        } else {
            psc_order_insert(&root, &pools[i]);
        }
        in[i] = !in[i];
        uint32_t lowest = 0;
        while (lowest < POOLS && !in[lowest]) {
            lowest++;
        }
        EXPECT(root == (lowest < POOLS ? &pools[lowest] : NULL));
    }
}
END_TEST

START_TEST(sizes_beyond_reason_fail) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, PTRDIFF_MAX - 4096};
    for (size_t i = 0; i < PSC_COUNT_OF(sizes); i++) {
        errno = 0;
        ck_assert_ptr_null(psc_heap_alloc(sizes[i]));
        ck_assert_int_eq(errno, ENOMEM);
        errno = 0;
        ck_assert_ptr_null(psc_heap_alloc_aligned((size_t)1 << 40, sizes[i]));
        ck_assert_int_eq(errno, ENOMEM);
    }
}
END_TEST

/* ---- misuse --------------------------------------------------------------------------------------------------------
 */

START_TEST(a_second_free_aborts) {
    void *p = psc_heap_alloc(48);
    psc_heap_free(p);
    psc_heap_free(p);
}
END_TEST

START_TEST(an_interior_pointer_aborts) {
    char *p = psc_heap_alloc(48);
    psc_heap_free(p + 16);
}
END_TEST

START_TEST(a_block_never_handed_out_aborts) {
    char *p = psc_heap_alloc(48);
    psc_heap_free(p + 48 * 200);
}
END_TEST

START_TEST(a_foreign_pointer_aborts) {
    int local;
    psc_heap_free(&local);
}
END_TEST

START_TEST(a_wild_pointer_aborts) {
    psc_heap_free((void *)0xdeadbeefdeadbeefu);
}
END_TEST

START_TEST(a_second_free_of_a_span_aborts) {
    void *p = psc_heap_alloc(100000);
    psc_heap_free(p);
    psc_heap_free(p);
}
END_TEST

START_TEST(a_place_inside_a_span_aborts) {
    char *p = psc_heap_alloc(100000);
    psc_heap_free(p + 16384);
}
END_TEST

START_TEST(a_second_free_of_a_large_block_aborts) {
    void *p = psc_heap_alloc(5000000);
    psc_heap_free(p);
    psc_heap_free(p);
}
END_TEST

static void *free_in_thread(void *p) {
    psc_heap_free(p);
    return NULL;
}

START_TEST(a_second_free_by_another_thread_aborts) {
    void *p = psc_heap_alloc(48);
    pthread_t thread;
    pthread_create(&thread, NULL, free_in_thread, p);
    pthread_join(thread, NULL);
    psc_heap_free(p);
}
END_TEST

/* ---- fork ----------------------------------------------------------------------------------------------------------
 */

static void *churn(void *stop) {
    void *blocks[64] = {NULL};
    for (unsigned i = 0; !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED); i++) {
        psc_heap_free(blocks[i % 64]);
        blocks[i % 64] = psc_heap_alloc(i * 37 % 3000);
    }
    for (int i = 0; i < 64; i++) {
        psc_heap_free(blocks[i]);
    }
    psc_heap_thread_end();
    return NULL;
}

START_TEST(a_forked_child_has_a_sound_heap) {
    bool stop = false;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, churn, &stop);
    }
    for (int round = 0; round < STEPS(100); round++) {
        psc_heap_fork_prepare();
        pid_t child = fork();
        if (child == 0) {
            psc_heap_fork_child();
            play((uint64_t)round, 2000, false);
            _exit(0);
        }
        psc_heap_fork_parent();
        int status;
        waitpid(child, &status, 0);
        ck_assert_int_eq(status, 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("heap");
    TCase *model = tcase_create("model");
    tcase_set_timeout(model, 120);
    tcase_add_loop_test(model, random_operations_keep_contents, 0, 3);
    tcase_add_test(model, four_threads_keep_contents);
    tcase_add_test(model, blocks_go_back_to_their_owners);
    tcase_add_test(model, pools_of_ended_threads_are_used_and_emptied);
    tcase_add_test(model, an_ended_thread_still_allocates);
    tcase_add_test(model, empty_pools_give_pages_back);
    tcase_add_test(model, the_lowest_room_is_used_first);
    tcase_add_test(model, a_forked_child_has_a_sound_heap);
    suite_add_tcase(suite, model);
    TCase *arithmetic = tcase_create("arithmetic");
    tcase_set_timeout(arithmetic, 60);
    tcase_add_test(arithmetic, classes_round_by_an_eighth_at_most);
    tcase_add_test(arithmetic, reciprocals_divide_exactly);
    tcase_add_test(arithmetic, the_tree_gives_pools_in_order);
    tcase_add_test(arithmetic, sizes_beyond_reason_fail);
    suite_add_tcase(suite, arithmetic);
    TCase *misuse = tcase_create("misuse");
    tcase_add_test_raise_signal(misuse, a_second_free_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, an_interior_pointer_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_block_never_handed_out_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_foreign_pointer_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_wild_pointer_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_second_free_of_a_span_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_place_inside_a_span_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_second_free_of_a_large_block_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_second_free_by_another_thread_aborts, SIGABRT);
    suite_add_tcase(suite, misuse);
    return suite;
}

int main(void) {
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
