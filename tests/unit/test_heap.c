/* The heap against a shadow model, see support_shadow.h, with its invariants tested after every step; then what a model
 * of single operations does not tell. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/os.h"
#include "core/heap/heap.h"
#include "core/heap/internal.h"
#include "core/heap/misuse.h"
#include "core/heap/order.h"
#include "tests/unit/support_shadow.h"

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

/* ---- random operations against the shadow model ---------------------------------------------------------------- */

/* Where a thread leaves a block of its model for another's. */
struct mailbox {
    pthread_mutex_t lock;
    struct psc_shadow_block block;
};

#define EXCHANGES 64

struct player {
    struct random random;
    struct psc_shadow *shadow;
    struct mailbox *exchanges; /* NULL: plays for itself */
    uint32_t shift;            /* most sizes are in the upper half of 1 << shift */
    bool grows;
};

static void change_phase(struct player *player) {
    struct random *random = &player->random;
    player->shift = 4 + draw(random, 12);
    player->grows = draw(random, 2) == 0;
    psc_heap_set_purge(draw(random, 2) == 0 ? 0 : 1000);
    if (draw(random, 4) == 0) {
        psc_heap_trim();
    }
}

/* Few classes in a phase, so that pools become full and empty; now and then any, or whole pages, or a mapping. */
static size_t draw_size(struct player *player) {
    struct random *random = &player->random;
    uint32_t kind = draw(random, 32);
    uint32_t most = 1u << (kind == 0 ? 16 + draw(random, 6) : player->shift);
    return kind > 0 && kind < 4 ? draw(random, 2000) : most - draw(random, most / 2);
}

static void make(struct player *player, uint32_t slot) {
    size_t bytes = draw_size(player);
    switch (draw(&player->random, 8)) {
    case 0: psc_shadow_alloc_zeroed(player->shadow, slot, bytes); break;
    case 1: psc_shadow_alloc_aligned(player->shadow, slot, (size_t)1 << draw(&player->random, 17), bytes); break;
    case 2: psc_shadow_alloc_in(player->shadow, slot, draw(&player->random, PSC_HEAP_GROUPS), 1, bytes); break;
    default: psc_shadow_alloc(player->shadow, slot, bytes); break;
    }
}

static void exchange(struct player *player, uint32_t slot) {
    struct mailbox *mailbox = &player->exchanges[draw(&player->random, EXCHANGES)];
    struct psc_shadow_block mine = psc_shadow_hand_over(player->shadow, slot);
    pthread_mutex_lock(&mailbox->lock);
    struct psc_shadow_block got = mailbox->block;
    mailbox->block = mine;
    pthread_mutex_unlock(&mailbox->lock);
    if (got.p != NULL) {
        psc_shadow_adopt(player->shadow, slot, &got);
    }
}

/* Any, or one to which it may be resized where it is. */
static size_t draw_new_size(struct player *player, uint32_t slot) {
    size_t bytes = player->shadow->blocks[slot].bytes;
    bool near = bytes < 3000000 && draw(&player->random, 2) == 0;
    return near ? bytes / 2 + draw(&player->random, (uint32_t)bytes + 1) : draw_size(player);
}

static void change(struct player *player, uint32_t slot) {
    switch (draw(&player->random, 4)) {
    case 0: psc_shadow_resize(player->shadow, slot, draw_new_size(player, slot)); break;
    case 1: psc_shadow_realloc(player->shadow, slot, draw_new_size(player, slot)); break;
    default:
        if (player->exchanges != NULL) {
            exchange(player, slot);
        }
    }
}

static void play_step(struct player *player) {
    uint32_t slot = draw(&player->random, player->shadow->slots);
    if (!psc_shadow_has(player->shadow, slot)) {
        make(player, slot);
    } else if (draw(&player->random, 4) == 0) {
        change(player, slot);
    } else if (player->grows && draw(&player->random, 4) != 0) {
        psc_shadow_look(player->shadow, slot);
    } else {
        psc_shadow_free(player->shadow, slot);
    }
}

#define PHASE_STEPS 250

/* `alone`: no other thread is using the heap, and no block is alive but the model's. */
static void play(uint64_t seed, int steps, bool alone) {
    struct psc_shadow shadow;
    psc_shadow_init(&shadow, 500);
    struct player player = {.random = {seed}, .shadow = &shadow};
    for (int step = 0; step < steps; step++) {
        if (step % PHASE_STEPS == 0) {
            change_phase(&player);
        }
        play_step(&player);
        if (alone) {
            psc_shadow_check_heap(&shadow);
        }
    }
    psc_shadow_free_all(&shadow);
    if (alone) {
        psc_shadow_check_heap(&shadow);
    }
    psc_shadow_release(&shadow);
}

/* Loop tests: once, or a few times, with the heap as it is, then with the hardened one. */
static void harden_from(int round, int i) {
    if (i >= round) {
        psc_shadow_harden();
    }
}

START_TEST(random_operations_keep_all_promises) {
    psc_shadow_watch_notes();
    harden_from(2, _i);
    play((uint64_t)_i + 1, STEPS(20000), true);
}
END_TEST

/* ---- the same by four threads that exchange blocks --------------------------------------------------------------- */

#define TEAM 4
#define TEAM_SLOTS 500

static struct {
    pthread_barrier_t still;
    struct psc_shadow shadows[TEAM]; /* outlive the threads that play with them */
    struct mailbox exchanges[EXCHANGES];
} team;

static void adopt_all(struct psc_shadow *all, const struct psc_shadow_block *blocks, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (blocks[i].p != NULL) {
            psc_shadow_adopt(all, all->live, &blocks[i]);
        }
    }
}

/* All threads stand still: together the blocks of all of them are one model. */
static void check_team(void) {
    struct psc_shadow all;
    psc_shadow_init(&all, TEAM * TEAM_SLOTS + EXCHANGES);
    for (int i = 0; i < TEAM; i++) {
        adopt_all(&all, team.shadows[i].blocks, TEAM_SLOTS);
    }
    for (int i = 0; i < EXCHANGES; i++) {
        adopt_all(&all, &team.exchanges[i].block, 1);
    }
    psc_shadow_check_heap(&all);
    psc_shadow_release(&all);
}

static void *play_in_team(void *index) {
    uintptr_t i = (uintptr_t)index;
    struct player player = {
        .random = {i % TEAM + 100 * i}, .shadow = &team.shadows[i % TEAM], .exchanges = team.exchanges};
    for (int round = 0; round < STEPS(48); round++) {
        change_phase(&player);
        for (int step = 0; step < PHASE_STEPS; step++) {
            play_step(&player);
        }
        if (pthread_barrier_wait(&team.still) == PTHREAD_BARRIER_SERIAL_THREAD) {
            check_team();
            psc_heap_set_purge(round % 2 == 0 ? 0 : 1000);
        }
        pthread_barrier_wait(&team.still);
    }
    psc_heap_thread_end();
    return NULL;
}

static void begin_team(void) {
    pthread_barrier_init(&team.still, NULL, TEAM);
    for (int i = 0; i < TEAM; i++) {
        psc_shadow_init(&team.shadows[i], TEAM_SLOTS);
    }
    for (int i = 0; i < EXCHANGES; i++) {
        pthread_mutex_init(&team.exchanges[i].lock, NULL);
    }
}

/* The last blocks are freed by a thread that has made none of them. */
static void end_team(void) {
    for (int i = 0; i < TEAM; i++) {
        psc_shadow_free_all(&team.shadows[i]);
    }
    for (int i = 0; i < EXCHANGES; i++) {
        psc_heap_free(team.exchanges[i].block.p);
        team.exchanges[i].block.p = NULL;
    }
    check_team();
    for (int i = 0; i < TEAM; i++) {
        psc_shadow_release(&team.shadows[i]);
    }
}

START_TEST(four_threads_keep_all_promises) {
    psc_shadow_watch_notes();
    harden_from(1, _i);
    begin_team();
    for (uintptr_t generation = 0; generation < (_i == 0 ? 3 : 2);
         generation++) { /* heaps and blocks of earlier ones are taken over */
        pthread_t threads[TEAM];
        for (uintptr_t i = 0; i < TEAM; i++) {
            ck_assert_int_eq(pthread_create(&threads[i], NULL, play_in_team, (void *)(generation * TEAM + i)), 0);
        }
        for (int i = 0; i < TEAM; i++) {
            pthread_join(threads[i], NULL);
        }
        check_team();
    }
    end_team();
}
END_TEST

/* ---- blocks that other threads free ------------------------------------------------------------------------------ */

#define MAILBOXES 512

/* A block that begins with what is known of it. */
struct parcel {
    unsigned char *p;
    size_t bytes;
    unsigned char fill;
};

static void fill(struct parcel *parcel, struct random *random) {
    parcel->fill = (unsigned char)draw(random, 256);
    memset(parcel->p, parcel->fill, parcel->bytes);
}

static void verify(const struct parcel *parcel) {
    for (size_t i = 0; i < parcel->bytes; i++) {
        if (parcel->p[i] != parcel->fill) {
            ck_abort_msg("block %p of %zu bytes: byte %zu changed", (const void *)parcel, parcel->bytes, i);
        }
    }
}

static struct parcel *mailboxes[MAILBOXES];

/* Puts blocks into mailboxes and frees what it takes out of them, mostly blocks of others. */
static void *swap_blocks(void *seed) {
    struct random random = {(uintptr_t)seed};
    for (int step = 0; step < STEPS(20000); step++) {
        size_t bytes = sizeof(struct parcel) + draw(&random, 600);
        struct parcel *mine = psc_heap_alloc(bytes);
        EXPECT(mine != NULL);
        *mine = (struct parcel){.p = (unsigned char *)(mine + 1), .bytes = bytes - sizeof *mine};
        fill(mine, &random);
        struct parcel *got = __atomic_exchange_n(&mailboxes[draw(&random, MAILBOXES)], mine, __ATOMIC_ACQ_REL);
        if (got != NULL) {
            verify(got);
            psc_heap_free(got);
        }
    }
    psc_heap_thread_end();
    return NULL;
}

START_TEST(blocks_go_back_to_their_owners) {
    harden_from(1, _i);
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
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.live_blocks, 0);
    ck_assert_uint_eq(figures.cached_bytes, 0);
}
END_TEST

/* ---- one makes, another frees ------------------------------------------------------------------------------------ */

enum { PARCELS = 16, PARCEL = 256 };

static struct {
    void *blocks[PARCEL];
    bool full; /* atomic */
} parcels[PARCELS];

static uint32_t parcels_in_all(void) {
    return STEPS(20000);
}

static void await(uint32_t i, bool full) {
    while (__atomic_load_n(&parcels[i % PARCELS].full, __ATOMIC_ACQUIRE) != full) {
        sched_yield();
    }
}

static void *free_parcels(void *unused) {
    for (uint32_t i = 0; i < parcels_in_all(); i++) {
        await(i, true);
        for (uint32_t k = 0; k < PARCEL; k++) {
            psc_heap_free(parcels[i % PARCELS].blocks[k]);
        }
        __atomic_store_n(&parcels[i % PARCELS].full, false, __ATOMIC_RELEASE);
    }
    psc_heap_thread_end();
    return unused;
}

/* While the owner goes from one word of free blocks to the next, who frees must not take a live block for a free one. */
START_TEST(a_live_block_is_never_taken_for_a_free_one) {
    struct random random = {5};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, free_parcels, NULL), 0);
    for (uint32_t i = 0; i < parcels_in_all(); i++) {
        await(i, false);
        for (uint32_t k = 0; k < PARCEL; k++) {
            parcels[i % PARCELS].blocks[k] = psc_heap_alloc(draw(&random, 1024));
        }
        __atomic_store_n(&parcels[i % PARCELS].full, true, __ATOMIC_RELEASE);
    }
    pthread_join(thread, NULL);
    psc_heap_trim();
    ck_assert_ptr_null(psc_heap_check());
    struct psc_heap_figures figures;
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.live_blocks, 0);
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
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.live_blocks, 0);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

START_TEST(an_ended_thread_still_allocates) {
    harden_from(1, _i);
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
    psc_heap_measure(&figures, NULL);
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
    enum { FREED = 16 }; /* so many that the pools are worth taking up again */
    for (int i = 0; i < FREED; i++) {
        psc_heap_free(blocks[700 + i]); /* of a full pool */
        psc_heap_free(blocks[300 + i]); /* of a lower one */
    }
    void *p = NULL;
    for (int i = 0; i < 256 && p != blocks[300]; i++) { /* at most the rest of the current pool comes before */
        p = psc_heap_alloc(64);
    }
    ck_assert_ptr_eq(p, blocks[300]);
    for (int i = 1; i < FREED; i++) {
        ck_assert_ptr_eq(psc_heap_alloc(64), blocks[300 + i]);
    }
    ck_assert_ptr_eq(psc_heap_alloc(64), blocks[700]);
}
END_TEST

/* 100 pools filled and dropped again and again: once it is known that they go round, no new ones are made. */
START_TEST(pools_that_go_round_are_kept) {
    enum { BLOCKS = 12000, ROUNDS = 20 };
    static void *blocks[BLOCKS];
    uint32_t made = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = psc_heap_alloc(128);
        }
        for (int i = 0; i < BLOCKS; i++) {
            psc_heap_free(blocks[i]);
        }
        made = round < ROUNDS / 2 ? psc_heap_self->made : made;
        EXPECT(psc_heap_check() == NULL);
    }
    ck_assert_uint_eq(psc_heap_self->made, made);
    ck_assert_uint_gt(psc_heap_self->kept_slots, 0);
    psc_heap_trim();
    ck_assert_uint_eq(psc_heap_self->kept_slots, 0);
    struct psc_heap_figures figures;
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.cached_bytes + figures.empty_bytes, 0);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

/* ---- groups --------------------------------------------------------------------------------------------------------
 */

/* As a program does whose cache grows while it works: of what is made between its blocks nothing stays. */
START_TEST(a_group_keeps_no_pools_of_others) {
    enum { BLOCKS = 200000, EACH = 256 };
    static void *passing[BLOCKS];
    struct psc_heap_figures figures;
    psc_heap_set_purge(0);
    for (int i = 0; i < BLOCKS; i++) {
        passing[i] = psc_heap_alloc(64);
        if (i % EACH == 0) {
            EXPECT(psc_heap_alloc_in(1, 1, 64) != NULL);
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        psc_heap_free(passing[i]);
    }
    psc_heap_trim();
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.live_blocks, (BLOCKS + EACH - 1) / EACH);
    uint64_t committed = figures.live_block_bytes + figures.pinned_bytes + figures.empty_bytes;
    ck_assert_uint_le(committed, psc_round_up(figures.live_block_bytes, PSC_SLOT_BYTES));
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

struct visit {
    uint32_t group;
    char *block;
};

static void *make_in_group(void *context) {
    struct visit *visit = context;
    visit->block = psc_heap_alloc_in(visit->group, 1, 64);
    psc_heap_thread_end();
    return NULL;
}

/* Where the block of a thread that has ended meanwhile lies. */
static uintptr_t slot_of_visitor(uint32_t group) {
    struct visit visit = {.group = group};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, make_in_group, &visit), 0);
    pthread_join(thread, NULL);
    ck_assert_ptr_null(psc_heap_check());
    return (uintptr_t)visit.block >> PSC_SLOT_SHIFT;
}

START_TEST(what_a_thread_leaves_is_taken_over_within_its_group) {
    uintptr_t of_1 = slot_of_visitor(1), of_2 = slot_of_visitor(2), of_none = slot_of_visitor(0);
    EXPECT(of_1 != of_2 && of_1 != of_none && of_2 != of_none);
    ck_assert_uint_eq(slot_of_visitor(2), of_2);
    ck_assert_uint_eq(slot_of_visitor(1), of_1);
    ck_assert_uint_eq(slot_of_visitor(0), of_none);
    /* a thread that lives takes single pools */
    ck_assert_uint_eq((uintptr_t)psc_heap_alloc_in(2, 1, 64) >> PSC_SLOT_SHIFT, of_2);
    ck_assert_uint_eq((uintptr_t)psc_heap_alloc_in(1, 1, 64) >> PSC_SLOT_SHIFT, of_1);
    ck_assert_uint_eq((uintptr_t)psc_heap_alloc(64) >> PSC_SLOT_SHIFT, of_none);
    ck_assert_ptr_null(psc_heap_check());
    psc_heap_thread_end();
    ck_assert_uint_eq((uintptr_t)psc_heap_alloc_in(2, 1, 64) >> PSC_SLOT_SHIFT, of_2);
    ck_assert_ptr_null(psc_heap_check());
}
END_TEST

START_TEST(blocks_of_a_group_are_freed_like_others) {
    harden_from(1, _i);
    enum { BLOCKS = 1000 };
    void *blocks[BLOCKS];
    struct psc_heap_figures figures;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks[i] = psc_heap_alloc_in(i % PSC_HEAP_GROUPS, 1 << i % 13, i * 7);
        EXPECT((uintptr_t)blocks[i] % (1 << i % 13) == 0);
    }
    for (int i = 0; i < BLOCKS; i++) {
        psc_heap_free(blocks[i]);
    }
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.live_blocks, 0);
    ck_assert_ptr_null(psc_heap_check());
    psc_heap_trim();
    psc_heap_measure(&figures, NULL);
    ck_assert_uint_eq(figures.empty_bytes, 0);
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

/* Where the product that tells a block's index comes out as if a second block began there. */
START_TEST(each_place_inside_a_span_is_told_from_its_start) {
    for (size_t bytes = 36864; bytes <= PSC_SPAN_MAX; bytes += PSC_PAGE_BYTES) {
        char *p = psc_heap_alloc(bytes);
        uint32_t reciprocal = (uint32_t)((((uint64_t)1 << 32) + bytes - 1) / bytes);
        size_t offset = (size_t)((((uint64_t)1 << 32) + reciprocal - 1) / reciprocal);
        if (offset < bytes) {
            pid_t child = fork();
            if (child == 0) {
                signal(SIGABRT, SIG_DFL);
                psc_heap_free(p + offset);
                _exit(0);
            }
            int status;
            waitpid(child, &status, 0);
            EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        }
        psc_heap_free(p);
    }
}
END_TEST

START_TEST(a_second_free_of_a_block_of_a_group_aborts) {
    void *p = psc_heap_alloc_in(3, 1, 48);
    psc_heap_free(p);
    psc_heap_free(p);
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

/* A block that was freed, and then taken out of the pool's bits to be handed out soon. */
static void *free_and_bring_to_hand(void) {
    enum { BLOCKS = 256 };
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = psc_heap_alloc(64);
    }
    psc_heap_free(blocks[10]);
    psc_heap_free(blocks[20]);
    while (psc_heap_alloc(64) != blocks[10]) {
        continue;
    }
    return blocks[20];
}

START_TEST(a_second_free_of_a_block_at_hand_aborts) {
    psc_heap_free(free_and_bring_to_hand());
}
END_TEST

START_TEST(a_second_free_of_a_block_at_hand_by_another_thread_aborts) {
    pthread_t thread;
    pthread_create(&thread, NULL, free_in_thread, free_and_bring_to_hand());
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_second_free_by_another_thread_aborts) {
    void *p = psc_heap_alloc(48);
    pthread_t thread;
    pthread_create(&thread, NULL, free_in_thread, p);
    pthread_join(thread, NULL);
    psc_heap_free(p);
}
END_TEST

static uint32_t misuses;
static const void *misused_start; /* NULL: of no block */

static void note_misuse(const struct psc_block *block, const void *start, bool telling) {
    (void)telling;
    misuses++;
    misused_start = block != NULL ? start : NULL;
}

static void ignore_misuse(void) {
    const struct psc_heap_hooks hooks = {.misused = note_misuse};
    psc_heap_set_hooks(&hooks);
    psc_misuse_ignore(true);
}

static void expect_refused(const void *start) {
    EXPECT(misuses == 1);
    EXPECT(misused_start == start);
    EXPECT(errno == 4711);
    misuses = 0;
}

START_TEST(misuse_that_is_ignored_changes_nothing) {
    static const size_t sizes[] = {48, 100000, 5000000};
    ignore_misuse();
    errno = 4711;
    for (size_t i = 0; i < PSC_COUNT_OF(sizes); i++) {
        bool mapped = sizes[i] > PSC_SPAN_MAX;
        struct psc_block block;
        char *p = psc_heap_alloc(sizes[i]);
        psc_heap_free(p + 16);
        expect_refused(p);
        EXPECT(psc_heap_usable(p + 16) == 0);
        expect_refused(p);
        EXPECT(psc_heap_resize(p + 16, 20) == NULL);
        expect_refused(p);
        EXPECT(!psc_heap_block(p + 16, &block) && psc_heap_block(p, &block) && misuses == 0);
        psc_heap_free(p);
        EXPECT(misuses == 0);
        psc_heap_free(p);
        expect_refused(mapped ? NULL : p);
        EXPECT(psc_heap_usable(p) == 0);
        expect_refused(mapped ? NULL : p);
        EXPECT(psc_heap_resize(p, 2 * sizes[i]) == NULL);
        expect_refused(mapped ? NULL : p);
        EXPECT(psc_heap_check() == NULL);
    }
    psc_heap_free(&errno);
    expect_refused(NULL);
}
END_TEST

/* The owner and another thread freed a block at a time: each found it live. */
START_TEST(a_block_that_two_freed_at_a_time_is_free_once) {
    ignore_misuse();
    char *p = psc_heap_alloc(48), *other = psc_heap_alloc(48);
    struct psc_block block, beside;
    EXPECT(psc_heap_block(p, &block) && psc_heap_block(other, &beside));
    struct psc_pool *pool = psc_arena_pool_at(psc_radix_arena(p), p);
    psc_heap_free(p);
    psc_pool_remote(pool)[block.index / 64] |= (uint64_t)1 << block.index % 64;
    psc_pool_remote(pool)[beside.index / 64] |= (uint64_t)1 << beside.index % 64;
    EXPECT(psc_pool_merge(pool) == 1);
    EXPECT(misuses == 1 && misused_start == p);
    EXPECT(psc_heap_check() == NULL);
}
END_TEST

/* Of a size that led to the block, by whichever way. */
START_TEST(no_right_size_is_refused) {
    ignore_misuse();
    for (size_t bytes = 0; bytes < 3 * PSC_SPAN_MAX; bytes += bytes < 3000 ? 1 : bytes / 50) {
        for (size_t alignment = 1; alignment <= 65536; alignment *= 4) {
            char *p = psc_heap_alloc_aligned(alignment, bytes);
            EXPECT(psc_misuse_is_sized(p, alignment, bytes) && psc_misuse_is_sized(p, 1, bytes));
            size_t resized = bytes - bytes / 3;
            if (resized > 0 && psc_heap_resize(p, resized) == p) {
                EXPECT(psc_misuse_is_sized(p, 1, resized));
            }
            psc_heap_free(p);
        }
    }
    EXPECT(misuses == 0);
}
END_TEST

START_TEST(wrong_sizes_and_alignments_are_refused) {
    static const struct {
        size_t bytes, told;
    } wrong[] = {{100, 113}, {800, 200}, {800, 0}, {40000, 41000}, {40000, 20000}, {3000000, 1000000}, {16, SIZE_MAX}};
    ignore_misuse();
    errno = 4711;
    for (size_t i = 0; i < PSC_COUNT_OF(wrong); i++) {
        char *p = psc_heap_alloc(wrong[i].bytes);
        EXPECT(!psc_misuse_is_sized(p, 1, wrong[i].told));
        expect_refused(p);
        EXPECT(!psc_misuse_is_sized(p, 24, wrong[i].bytes));
        expect_refused(p);
        EXPECT(!psc_misuse_is_sized(p, (size_t)1 << 46, wrong[i].bytes));
        expect_refused(p);
        EXPECT(psc_misuse_is_sized(p + 16, 1, wrong[i].told) && misuses == 0); /* free is to tell */
    }
}
END_TEST

/* ---- fork ----------------------------------------------------------------------------------------------------------
 */

static void *churn(void *stop) {
    void *blocks[64] = {NULL};
    for (unsigned i = 0; !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED); i++) {
        psc_heap_free(blocks[i % 64]);
        blocks[i % 64] = psc_heap_alloc_in(i % 5 == 0 ? i % PSC_HEAP_GROUPS : 0, 1, i * 37 % 3000);
    }
    for (int i = 0; i < 64; i++) {
        psc_heap_free(blocks[i]);
    }
    psc_heap_thread_end();
    return NULL;
}

START_TEST(a_forked_child_has_a_sound_heap) {
    harden_from(1, _i);
    bool stop = false;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, churn, &stop);
    }
    for (int round = 0; round < STEPS(_i == 0 ? 100 : 32); round++) {
        psc_heap_free(psc_heap_alloc_in((uint32_t)round % PSC_HEAP_GROUPS, 1, 100));
        psc_heap_fork_prepare();
        pid_t child = fork();
        if (child == 0) {
            psc_heap_fork_child();
            play((uint64_t)round, 2000, false);
            psc_heap_trim();
            _exit(psc_heap_check() != NULL);
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
    tcase_add_loop_test(model, random_operations_keep_all_promises, 0, 4);
    tcase_add_loop_test(model, four_threads_keep_all_promises, 0, 2);
    tcase_add_loop_test(model, blocks_go_back_to_their_owners, 0, 2);
    tcase_add_test(model, pools_of_ended_threads_are_used_and_emptied);
    tcase_add_loop_test(model, an_ended_thread_still_allocates, 0, 2);
    tcase_add_test(model, empty_pools_give_pages_back);
    tcase_add_test(model, the_lowest_room_is_used_first);
    tcase_add_test(model, pools_that_go_round_are_kept);
    tcase_add_test(model, each_place_inside_a_span_is_told_from_its_start);
    tcase_add_test(model, a_live_block_is_never_taken_for_a_free_one);
    tcase_add_test(model, a_group_keeps_no_pools_of_others);
    tcase_add_test(model, what_a_thread_leaves_is_taken_over_within_its_group);
    tcase_add_loop_test(model, blocks_of_a_group_are_freed_like_others, 0, 2);
    tcase_add_loop_test(model, a_forked_child_has_a_sound_heap, 0, 2);
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
    tcase_add_test_raise_signal(misuse, a_second_free_of_a_block_of_a_group_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_second_free_of_a_large_block_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_second_free_of_a_block_at_hand_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_second_free_of_a_block_at_hand_by_another_thread_aborts, SIGABRT);
    tcase_add_test_raise_signal(misuse, a_second_free_by_another_thread_aborts, SIGABRT);
    tcase_add_test(misuse, misuse_that_is_ignored_changes_nothing);
    tcase_add_test(misuse, a_block_that_two_freed_at_a_time_is_free_once);
    tcase_add_test(misuse, no_right_size_is_refused);
    tcase_add_test(misuse, wrong_sizes_and_alignments_are_refused);
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
