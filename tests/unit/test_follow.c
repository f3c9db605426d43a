/* Following a stack against walking it: at each of many random places, both must give the same addresses. */
#include <alloca.h>
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "core/track/unwind.h"

#ifdef __clang__
#define WITH_FRAME_POINTER
#else
#define WITH_FRAME_POINTER __attribute__((optimize("no-omit-frame-pointer")))
#endif

/* That sanitizer keeps stacks of its own, of at most 65,536 frames. */
#ifdef __SANITIZE_THREAD__
#define HAS_SHALLOW_LIMIT true
#else
#define HAS_SHALLOW_LIMIT false
#endif

static struct psc_unwind_stack stack;
static uint32_t max_depth = PSC_UNWIND_DEPTH_MAX;
static unsigned compared;
static unsigned differing_hashes;
static unsigned cut_stacks;
static bool in_abyss;
static unsigned by_memo;
static uint64_t state = 1;
static volatile unsigned sink;

static uint32_t draw(uint32_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % below);
}

/* One hash for each list of addresses, as far as one word of memory can tell. */
static void check_hash(const uint64_t *addresses, uint32_t depth, uint32_t flags, uint64_t hash) {
    enum { SLOTS = 1 << 16 };
    static struct {
        uint64_t sum;
        uint64_t hash;
    } seen[SLOTS];
    uint64_t sum = (uint64_t)flags << 32 | depth;
    for (uint32_t i = 0; i < depth; i++) {
        sum = (sum ^ addresses[i]) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    if (seen[sum % SLOTS].sum == sum && seen[sum % SLOTS].hash != hash) {
        ck_abort_msg("the same stack has two hashes");
    }
    differing_hashes += seen[sum % SLOTS].hash != hash;
    seen[sum % SLOTS].sum = sum;
    seen[sum % SLOTS].hash = hash;
}

/* Of a stack that is deeper than a walk goes, following may know the outermost frames, or not. */
static bool is_same(const uint64_t *followed, const uint64_t *walked, uint32_t depth, uint32_t flags) {
    uint32_t common = psc_site_inner(max_depth);
    if (((flags ^ stack.flags) & PSC_SITE_CUT) == 0) {
        return stack.depth == depth && stack.flags == flags && memcmp(followed, walked, depth * sizeof walked[0]) == 0;
    }
    return in_abyss && depth >= common && stack.depth >= common &&
           memcmp(followed, walked, common * sizeof walked[0]) == 0;
}

static PSC_NOINLINE void compare(void) {
    static uint64_t walked[PSC_UNWIND_DEPTH_MAX];
    struct psc_unwind_start start;
    uint32_t flags;
    psc_unwind_capture(&start);
    uint64_t hash = psc_unwind_follow(&stack, max_depth, &start);
    uint32_t depth = psc_unwind_walk(walked, max_depth, &start, &flags);
    const uint64_t *followed = psc_unwind_addresses(&stack);
    if (!is_same(followed, walked, depth, flags)) {
        ck_abort_msg("comparison %u: %u frames (flags %u) followed, %u (flags %u) walked", compared, stack.depth,
                     stack.flags, depth, flags);
    }
    check_hash(followed, stack.depth, stack.flags, hash);
    cut_stacks += (flags & PSC_SITE_CUT) != 0;
    by_memo += stack.memo != NULL;
    compared++;
}

static PSC_NOINLINE void wander(uint32_t depth);

static PSC_NOINLINE void plain(uint32_t depth) {
    wander(depth);
    sink++;
    if (draw(3) == 0) {
        wander(depth); /* the same frame, another line */
    }
    sink++;
}

WITH_FRAME_POINTER static PSC_NOINLINE void with_frame_pointer(uint32_t depth) {
    wander(depth);
    sink++;
}

static PSC_NOINLINE void with_alloca(uint32_t depth) {
    char *p = alloca(16 + draw(4) * 16);
    p[0] = (char)depth;
    wander(depth);
    sink += (unsigned)p[0];
}

static PSC_NOINLINE void aligned(uint32_t depth) {
    _Alignas(128) char p[128];
    memset(p, (int)depth, sizeof p);
    wander(depth);
    sink += (unsigned)p[sink % 128];
}

static int by_qsort(const void *a, const void *b) {
    (void)b;
    wander(*(const uint32_t *)a);
    return 0;
}

static PSC_NOINLINE void through_libc(uint32_t depth) {
    uint32_t pair[2] = {depth, depth};
    qsort(pair, 2, sizeof pair[0], by_qsort);
    sink++;
}

static void choose(uint32_t depth) {
    switch (draw(8)) {
    case 0: with_frame_pointer(depth); break;
    case 1: with_alloca(depth); break;
    case 2: aligned(depth); break;
    case 3: through_libc(depth); break;
    default: plain(depth); break;
    }
}

static PSC_NOINLINE void wander(uint32_t depth) {
    compare();
    if (depth > 0 && draw(8) != 0) {
        choose(depth - 1);
    }
    if (draw(4) == 0) {
        compare();
    }
}

static void wander_often(unsigned comparisons, uint32_t depth) {
    for (compared = 0; compared < comparisons;) {
        wander(depth);
    }
}

START_TEST(random_stacks) {
    wander_often(200000, 40);
    ck_assert_uint_gt(differing_hashes, 1000); /* there were many stacks */
    ck_assert_uint_gt(by_memo, 1000);
}
END_TEST

START_TEST(stacks_deeper_than_kept) {
    max_depth = 12;
    wander_often(100000, 40);
}
END_TEST

#ifdef __x86_64__
/* A function that aligns its stack as gcc makes one, called from two places of another whose stack pointers differ by
 * less than the alignment takes: its frame pointer is the same in both, and the old return address may still stand
 * where it stood. Only the word at rbp - 8 tells. */
void follow_realigned(void);
void follow_two_sites(unsigned which);
void follow_compare(void);

PSC_NOINLINE void follow_compare(void) {
    compare();
    sink++;
}

__asm__(".text\n"
        "follow_realigned:\n"
        "    .cfi_startproc\n"
        "    leaq 8(%rsp), %r10\n"
        "    .cfi_def_cfa 10, 0\n"
        "    andq $-64, %rsp\n"
        "    pushq -8(%r10)\n"
        "    pushq %rbp\n"
        "    movq %rsp, %rbp\n"
        "    .cfi_escape 0x10, 0x6, 0x2, 0x76, 0\n"
        "    pushq %r10\n"
        "    .cfi_escape 0xf, 0x3, 0x76, 0x78, 0x6\n"
        "    subq $40, %rsp\n"
        "    call follow_compare\n"
        "    addq $40, %rsp\n"
        "    popq %r10\n"
        "    .cfi_def_cfa 10, 0\n"
        "    popq %rbp\n"
        "    leaq -8(%r10), %rsp\n"
        "    .cfi_def_cfa 7, 8\n"
        "    ret\n"
        "    .cfi_endproc\n"
        "follow_two_sites:\n"
        "    .cfi_startproc\n"
        "    pushq %rbx\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset 3, -16\n"
        "    testl $1, %edi\n"
        "    jne 1f\n"
        "    call follow_realigned\n"
        "    jmp 2f\n"
        "1:  subq $16, %rsp\n"
        "    .cfi_adjust_cfa_offset 16\n"
        "    call follow_realigned\n"
        "    addq $16, %rsp\n"
        "    .cfi_adjust_cfa_offset -16\n"
        "2:  popq %rbx\n"
        "    .cfi_def_cfa_offset 8\n"
        "    ret\n"
        "    .cfi_endproc\n");

static PSC_NOINLINE void at_offset(unsigned words, unsigned which) {
    volatile char *p = alloca(words * 16 + 16);
    p[0] = 0;
    follow_two_sites(which);
    sink++;
}

START_TEST(functions_that_align_their_stack) {
    for (unsigned i = 0; i < 4000; i++) {
        at_offset(draw(5), draw(2));
    }
    ck_assert_uint_gt(by_memo, 1000);
}
END_TEST
#endif

/* Up and down by hundreds of frames, all of them alike but for a line now and then. */
static PSC_NOINLINE void dive(uint32_t depth, uint32_t turn) {
    if (depth % 64 == 0) {
        compare();
    }
    if (depth > 0) {
        if (turn == depth) {
            dive(depth - 1, draw(2) * draw(depth));
        } else {
            dive(depth - 1, turn);
        }
    }
    sink++;
    if (depth % 97 == 0) {
        compare();
        wander(3);
    }
}

static void dive_often(uint32_t max, uint32_t deepest, unsigned dives) {
    max_depth = max;
    for (unsigned i = 0; i < dives; i++) {
        dive(draw(deepest), draw(deepest));
    }
}

START_TEST(deep_stacks) {
    dive_often(PSC_UNWIND_DEPTH_MAX, 3 * PSC_UNWIND_WINDOW, 400);
    ck_assert_uint_gt(compared, 10000);
}
END_TEST

START_TEST(deep_stacks_kept_short) {
    dive_often(20, 2 * PSC_UNWIND_WINDOW, 400);
}
END_TEST

START_TEST(only_innermost_frames_kept) {
    dive_often(3, 2 * PSC_UNWIND_WINDOW, 200);
}
END_TEST

START_TEST(deeper_than_a_walk_goes) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    if (HAS_SHALLOW_LIMIT || setrlimit(RLIMIT_STACK, &limit) != 0) {
        return; /* not ours to raise */
    }
    in_abyss = true;
    dive(70000, 0);
    ck_assert_uint_ne(cut_stacks, 0);
}
END_TEST

static ucontext_t main_context, coroutine_context;

static void coroutine(void) {
    for (;;) {
        wander(10);
        swapcontext(&coroutine_context, &main_context);
    }
}

START_TEST(two_stacks_by_turns) {
    static char memory[256 * 1024] __attribute__((aligned(16)));
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = memory;
    coroutine_context.uc_stack.ss_size = sizeof memory;
    makecontext(&coroutine_context, coroutine, 0);
    for (compared = 0; compared < 50000;) {
        wander(10);
        swapcontext(&main_context, &coroutine_context);
    }
}
END_TEST

static void on_signal(int number) {
    (void)number;
    wander(5);
}

START_TEST(stacks_with_a_signal) {
    ck_assert_ptr_ne(signal(SIGUSR1, on_signal), SIG_ERR);
    for (compared = 0; compared < 20000;) {
        wander(5);
        raise(SIGUSR1);
    }
}
END_TEST

int main(void) {
    psc_unwind_init();
    Suite *suite = suite_create("follow");
    TCase *tests = tcase_create("follow");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, random_stacks);
    tcase_add_test(tests, stacks_deeper_than_kept);
#ifdef __x86_64__
    tcase_add_test(tests, functions_that_align_their_stack);
#endif
    tcase_add_test(tests, deep_stacks);
    tcase_add_test(tests, deep_stacks_kept_short);
    tcase_add_test(tests, only_innermost_frames_kept);
    tcase_add_test(tests, deeper_than_a_walk_goes);
    tcase_add_test(tests, two_stacks_by_turns);
    tcase_add_test(tests, stacks_with_a_signal);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
