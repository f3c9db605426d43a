/* The stack walker against libunwind, frame by frame, and its table reader against damaged tables. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define UNW_LOCAL_ONLY

#include "core/track/unwind.h"

#include <alloca.h>
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <libunwind.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include "core/track/unwind_cfi.h"
#include "core/track/unwind_expression.h"
#include "core/track/unwind_rows.h"

#define FRAMES_MAX 512

#ifdef __clang__
#define WITH_FRAME_POINTER
#define WITHOUT_FRAME_POINTER
#else
#define WITH_FRAME_POINTER __attribute__((optimize("no-omit-frame-pointer")))
#define WITHOUT_FRAME_POINTER __attribute__((optimize("omit-frame-pointer")))
#endif

static void setup(void) {
    psc_unwind_init();
}

/* ---- the same walk by both --------------------------------------------------------------------------------------- */

struct both {
    uint64_t ours[FRAMES_MAX];
    uint64_t theirs[FRAMES_MAX];
    uint32_t depth;
    uint32_t their_depth;
    uint32_t flags;
};

static struct both last;
static struct both odd; /* the first one that differed */
static volatile unsigned compared;
static unsigned different;

/* Without the frame that the context was taken in. */
static uint32_t walk_theirs(unw_context_t *context, uint64_t *frames) {
    unw_cursor_t cursor;
    uint32_t depth = 0;
    unw_init_local(&cursor, context);
    for (;;) {
        unw_word_t pc;
        if (depth == FRAMES_MAX || unw_step(&cursor) <= 0) {
            return depth;
        }
        unw_get_reg(&cursor, UNW_REG_IP, &pc);
        if (pc == 0) {
            return depth;
        }
        frames[depth++] = pc + (unw_is_signal_frame(&cursor) > 0);
    }
}

/* Walks the stack of its caller with both, into `last`. */
static PSC_NOINLINE void walk_both(uint32_t max) {
    struct psc_unwind_start start;
    unw_context_t context;
    psc_unwind_capture(&start);
    last.depth = psc_unwind_walk(last.ours, max, &start, &last.flags);
    unw_getcontext(&context);
    last.their_depth = walk_theirs(&context, last.theirs);
}

static bool is_same(void) {
    return last.flags == 0 && last.depth == last.their_depth &&
           memcmp(last.ours, last.theirs, last.depth * sizeof(uint64_t)) == 0;
}

/* Also called in signal handlers, so what it finds is asserted later: by assert_same. */
static PSC_NOINLINE void compare(void) {
    int saved_errno = errno; /* which libunwind changes */
    walk_both(FRAMES_MAX);
    errno = saved_errno;
    compared++;
    if (!is_same() && different++ == 0) {
        odd = last;
    }
}

static void assert_same(unsigned expected) {
    ck_assert_uint_eq(odd.flags, 0);
    ck_assert_uint_eq(odd.depth, odd.their_depth);
    for (uint32_t i = 0; i < odd.depth; i++) {
        ck_assert_uint_eq(odd.ours[i], odd.theirs[i]);
    }
    ck_assert_uint_eq(different, 0);
    ck_assert_uint_ge(compared, expected);
}

/* ---- kinds of functions ------------------------------------------------------------------------------------------ */

static volatile unsigned sink; /* work after a call, so that it is no tail call */

WITH_FRAME_POINTER static PSC_NOINLINE void recurse_with_fp(unsigned depth) {
    if (depth == 0) {
        compare();
    } else {
        recurse_with_fp(depth - 1);
    }
    sink++;
}

WITHOUT_FRAME_POINTER static PSC_NOINLINE void recurse_without_fp(unsigned depth) {
    if (depth == 0) {
        compare();
    } else {
        recurse_without_fp(depth - 1);
    }
    sink++;
}

static PSC_NOINLINE void use_alloca(unsigned bytes) {
    volatile char *memory = alloca(bytes);
    memory[0] = 1;
    recurse_without_fp(3);
    sink += (unsigned)memory[0];
}

static PSC_NOINLINE void align_stack(unsigned depth) {
    _Alignas(64) volatile char memory[128];
    ck_assert_uint_eq((uintptr_t)memory % 64, 0);
    memory[depth % 128] = 1;
    if (depth == 0) {
        compare();
    } else {
        align_stack(depth - 1);
    }
    sink += (unsigned)memory[depth % 128];
}

static PSC_NOINLINE void align_and_alloca(unsigned bytes) {
    _Alignas(128) volatile char memory[256];
    volatile char *more = alloca(bytes);
    memory[bytes % 256] = more[0] = 1;
    recurse_with_fp(2);
    sink += (unsigned)memory[bytes % 256] + (unsigned)more[0];
}

static PSC_NOINLINE void take_many(unsigned count, ...) {
    va_list arguments;
    va_start(arguments, count);
    while (count-- > 0) {
        sink += va_arg(arguments, unsigned);
    }
    compare();
    va_end(arguments);
}

/* Larger than rows can say: the tables are read for every step. */
static PSC_NOINLINE void use_large_frame(void) {
    volatile char memory[9 << 20];
    memory[0] = 1;
    recurse_without_fp(2);
    sink += (unsigned)memory[0];
}

#ifdef __x86_64__
/* Its frame ends at a distance from rbx, as in the loader's trampolines. */
void test_frame_from_rbx(void (*call)(void));
__asm__(".text\n"
        ".globl test_frame_from_rbx\n.type test_frame_from_rbx, @function\n"
        "test_frame_from_rbx:\n"
        ".cfi_startproc\n"
        "pushq %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbx, 0\n"
        "movq %rsp, %rbx\n.cfi_def_cfa_register %rbx\n"
        "andq $-64, %rsp\nsubq $192, %rsp\n"
        "call *%rdi\n"
        "movq %rbx, %rsp\n.cfi_def_cfa_register %rsp\n"
        "popq %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\n"
        "ret\n.cfi_endproc\n"
        ".size test_frame_from_rbx, . - test_frame_from_rbx\n");
#endif

START_TEST(test_frame_pointers) {
    recurse_with_fp(40);
    recurse_without_fp(40);
    assert_same(2);
    ck_assert_uint_gt(last.depth, 40);
}
END_TEST

START_TEST(test_odd_frames) {
    use_alloca(100);
    use_alloca(100000);
    align_stack(0);
    align_stack(5);
    align_and_alloca(300);
    take_many(9, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    assert_same(6);
}
END_TEST

#ifdef __x86_64__
static void recurse_some(void) {
    recurse_with_fp(3);
    sink++;
}

START_TEST(test_frame_from_another_register) {
    test_frame_from_rbx(compare);
    test_frame_from_rbx(recurse_some);
    assert_same(2);
}
END_TEST
#endif

/* ---- through libc and the loader --------------------------------------------------------------------------------- */

static int compare_numbers(const void *left, const void *right) {
    if (compared < 8) {
        compare();
    }
    return *(const int *)left - *(const int *)right;
}

static int at_object(struct dl_phdr_info *info, size_t bytes, void *data) {
    (void)info, (void)bytes, (void)data;
    compare();
    return compared >= 3;
}

START_TEST(test_callbacks) {
    int numbers[] = {5, 3, 9, 1, 7, 2, 8, 6};
    qsort(numbers, sizeof(numbers) / sizeof(numbers[0]), sizeof(numbers[0]), compare_numbers);
    ck_assert_int_eq(numbers[0], 1);
    assert_same(8);
    compared = 0;
    dl_iterate_phdr(at_object, NULL);
    assert_same(1);
}
END_TEST

/* ---- stacks ------------------------------------------------------------------------------------------------------ */

static void *in_thread(void *function) {
    recurse_with_fp(10);
    recurse_without_fp(10);
    align_stack(2);
    if (function != NULL) {
        ((void (*)(void))function)();
    }
    return NULL;
}

static void run_thread(size_t stack_bytes, void (*function)(void)) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    ck_assert_int_eq(pthread_create(&thread, &attributes, in_thread, (void *)function), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

START_TEST(test_threads) {
    run_thread(64 << 10, NULL);
    run_thread(1 << 20, NULL);
    run_thread(32 << 20, use_large_frame);
    assert_same(10);
}
END_TEST

static ucontext_t outer, inner;

static void in_coroutine(void) {
    recurse_with_fp(5);
    recurse_without_fp(5);
    swapcontext(&inner, &outer);
    align_stack(3);
}

START_TEST(test_coroutine) {
    static char stack[64 << 10];
    getcontext(&inner);
    inner.uc_stack.ss_sp = stack;
    inner.uc_stack.ss_size = sizeof(stack);
    inner.uc_link = &outer;
    makecontext(&inner, in_coroutine, 0);
    swapcontext(&outer, &inner);
    swapcontext(&outer, &inner);
    assert_same(3);
}
END_TEST

/* What the header promises holds for release builds. */
#if defined(PSC_DEBUG) && PSC_DEBUG == 0
#define STACK_BYTES_PROMISED 2048

static uintptr_t walk_began;
static uint32_t walk_flags;

static void walk_cold(void) {
    static uint64_t frames[FRAMES_MAX];
    struct psc_unwind_start start;
    walk_began = (uintptr_t)__builtin_frame_address(0);
    psc_unwind_capture(&start);
    psc_unwind_walk(frames, FRAMES_MAX, &start, &walk_flags);
}

static size_t count_untouched(const unsigned char *stack) {
    size_t bytes = 0;
    while (stack[bytes] == 0xa5) {
        bytes++;
    }
    return bytes;
}

START_TEST(test_stack_use) {
    static unsigned char stack[64 << 10];
    psc_unwind_forget(0, UINT64_MAX);
    memset(stack, 0xa5, sizeof(stack));
    getcontext(&inner);
    inner.uc_stack.ss_sp = stack;
    inner.uc_stack.ss_size = sizeof(stack);
    inner.uc_link = &outer;
    makecontext(&inner, walk_cold, 0);
    swapcontext(&outer, &inner);
    ck_assert_uint_eq(walk_flags, 0);
    ck_assert_uint_lt(walk_began - (uintptr_t)(stack + count_untouched(stack)), STACK_BYTES_PROMISED);
}
END_TEST
#endif

static void on_signal(int signal) {
    (void)signal;
    recurse_with_fp(2);
    recurse_without_fp(2);
}

static void handle(int signal, int flags, void (*handler)(int)) {
    struct sigaction action = {.sa_flags = flags, .sa_handler = handler};
    sigaction(signal, &action, NULL);
}

START_TEST(test_signal_handler) {
    handle(SIGUSR1, 0, on_signal);
    raise(SIGUSR1);
    assert_same(2);
}
END_TEST

START_TEST(test_alternate_stack) {
    static char memory[64 << 10];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    sigaltstack(&stack, NULL);
    handle(SIGUSR1, SA_ONSTACK, on_signal);
    raise(SIGUSR1);
    assert_same(2);
}
END_TEST

static PSC_NOINLINE int churn(unsigned rounds) {
    char text[64];
    int numbers[16];
    for (unsigned i = 0; i < 16; i++) {
        numbers[i] = (int)(i * 7919 % 97 + rounds % 3);
    }
    qsort(numbers, 16, sizeof(numbers[0]), compare_numbers);
    memset(text, 'x', sizeof(text) - 1);
    text[63] = 0;
    return numbers[3] + (int)strtol("12345", NULL, 10) + (int)strlen(text);
}

static void on_timer(int signal) {
    (void)signal;
    compare();
}

/* Stops at any instruction: prologues, epilogues, stubs of the linker, functions of libc written in assembly. */
START_TEST(test_interrupted_anywhere) {
    struct itimerval every = {{0, 97}, {0, 97}}, never = {{0, 0}, {0, 0}};
    handle(SIGALRM, SA_RESTART, on_timer);
    compared = 8; /* keeps compare_numbers quiet */
    setitimer(ITIMER_REAL, &every, NULL);
    for (unsigned i = 0; compared < 2000; i++) {
        sink += (unsigned)churn(i);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    assert_same(2000);
}
END_TEST

/* ---- where a walk ends ------------------------------------------------------------------------------------------- */

static PSC_NOINLINE void walk_deep(unsigned depth, uint32_t max) {
    if (depth == 0) {
        walk_both(max);
    } else {
        walk_deep(depth - 1, max);
    }
    sink++;
}

START_TEST(test_cut) {
    walk_deep(100, 64);
    ck_assert_uint_eq(last.depth, 64);
    ck_assert_uint_eq(last.flags, PSC_SITE_SKIPPED);
    ck_assert_int_eq(memcmp(last.ours, last.theirs, 48 * sizeof(uint64_t)), 0);
    walk_deep(0, FRAMES_MAX);
    uint32_t whole = last.depth;
    walk_deep(0, whole);
    ck_assert_uint_eq(last.flags, 0);
    walk_deep(0, whole - 1);
    ck_assert_uint_eq(last.flags, PSC_SITE_SKIPPED);
    walk_deep(50, 3);
    ck_assert_uint_eq(last.depth, 3);
    ck_assert_uint_eq(last.flags, PSC_SITE_CUT);
    walk_deep(0, 0);
    ck_assert_uint_eq(last.depth, 0);
    ck_assert_uint_eq(last.flags, PSC_SITE_CUT);
}
END_TEST

START_TEST(test_errno_is_kept) {
    uint64_t frames[8];
    uint32_t flags;
    struct psc_unwind_start start;
    errno = 4711;
    psc_unwind_init();
    psc_unwind_capture(&start);
    psc_unwind_walk(frames, 8, &start, &flags);
    ck_assert_int_eq(errno, 4711);
}
END_TEST

#ifdef __x86_64__
static void walk_all(void) {
    walk_both(FRAMES_MAX);
}

/* A function without tables, as just-in-time compilers make them, that calls its argument. */
static void (*make_code(const char *code, size_t bytes))(void (*)(void)) {
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    memcpy(memory, code, bytes);
    ck_assert_int_eq(mprotect(memory, 4096, PROT_READ | PROT_EXEC), 0);
    return (void (*)(void (*)(void)))(uintptr_t)memory;
}

static bool walked_through(void (*code)(void (*)(void))) {
    for (uint32_t i = 0; i < last.depth; i++) {
        if (last.ours[i] - (uintptr_t)code < 4096) {
            return i + 1 < last.depth;
        }
    }
    return false;
}

/* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
#define KEEPS_CHAIN "\x55\x48\x89\xe5\xff\xd7\x5d\xc3"
/* push %rbp; mov $0x1234, %ebp; call *%rdi; pop %rbp; ret */
#define BREAKS_CHAIN "\x55\xbd\x34\x12\x00\x00\xff\xd7\x5d\xc3"

START_TEST(test_code_without_tables) {
    void (*code)(void (*)(void)) = make_code(KEEPS_CHAIN, sizeof(KEEPS_CHAIN));
    code(walk_all);
    ck_assert_uint_eq(last.flags, 0);
    ck_assert(walked_through(code));
    ck_assert_uint_eq(last.ours[last.depth - 1], last.theirs[last.their_depth - 1]);
    code = make_code(BREAKS_CHAIN, sizeof(BREAKS_CHAIN));
    code(walk_all);
    ck_assert_uint_eq(last.flags, PSC_SITE_BROKEN);
    ck_assert(!walked_through(code));
    ck_assert_uint_lt(last.ours[last.depth - 1] - (uintptr_t)code, 4096);
}
END_TEST

static void (*coroutine_code)(void (*)(void));

static void call_code(void) {
    coroutine_code(walk_all);
    sink++;
}

/* Where the stack's end is not known, a frame pointer is not believed. */
START_TEST(test_code_without_tables_in_coroutine) {
    size_t bytes = 256 << 10;
    char *stack = mmap((void *)(UINT64_C(1) << 40), bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    coroutine_code = make_code(KEEPS_CHAIN, sizeof(KEEPS_CHAIN));
    getcontext(&inner);
    inner.uc_stack.ss_sp = stack;
    inner.uc_stack.ss_size = bytes;
    inner.uc_link = &outer;
    makecontext(&inner, call_code, 0);
    swapcontext(&outer, &inner);
    ck_assert_uint_eq(last.flags, PSC_SITE_BROKEN);
}
END_TEST
#endif

/* ---- the cache --------------------------------------------------------------------------------------------------- */

#define PLACE UINT64_C(0x123456789000)

static void put(uint64_t at, uint32_t row) {
    psc_rows_put(at, row, psc_rows_epoch());
}

START_TEST(test_rows) {
    for (uint64_t i = 0; i < 1000; i++) {
        put(PLACE + i, (uint32_t)i + 1);
    }
    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(psc_rows_find(PLACE + i), i + 1);
    }
    psc_unwind_forget(PLACE + 10, PLACE + 20);
    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(psc_rows_find(PLACE + i), i >= 10 && i < 20 ? 0 : i + 1);
    }
    put(UINT64_MAX - 1, 1);
    ck_assert_uint_eq(psc_rows_find(UINT64_MAX - 1), 0);
}
END_TEST

START_TEST(test_rows_are_replaced) {
    unsigned found = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        put(PLACE + 5 * i, (uint32_t)i + 1);
    }
    for (uint64_t i = 0; i < 200000; i++) {
        uint32_t row = psc_rows_find(PLACE + 5 * i);
        ck_assert(row == 0 || row == i + 1);
        found += row != 0;
    }
    ck_assert_uint_gt(found, 20000);
}
END_TEST

START_TEST(test_rows_go_with_their_module) {
    struct psc_rows_module first = {PLACE, PLACE + 0x10000, PLACE + 0x2000};
    struct psc_rows_module other = {PLACE + 0x8000, PLACE + 0x20000, PLACE + 0x9000};
    psc_rows_meet(&first);
    put(PLACE + 0x100, 1);
    put(PLACE + 0x9100, 2);
    psc_rows_meet(&first);
    ck_assert_uint_eq(psc_rows_find(PLACE + 0x100), 1);
    ck_assert_uint_eq(psc_rows_find(PLACE + 0x9100), 2);
    psc_rows_meet(&other);
    ck_assert_uint_eq(psc_rows_find(PLACE + 0x9100), 0);
    put(PLACE + 0x9100, 3);
    psc_rows_meet(&first);
    ck_assert_uint_eq(psc_rows_find(PLACE + 0x9100), 0);
}
END_TEST

static struct psc_rows_module still_there;

static bool find_still_there(uint64_t at, struct psc_rows_module *module) {
    *module = still_there;
    return at >= still_there.start && at < still_there.end;
}

START_TEST(test_rows_of_modules_that_went) {
    struct psc_rows_module goes = {PLACE + 0x40000, PLACE + 0x50000, PLACE + 0x42000};
    still_there = (struct psc_rows_module){PLACE + 0x60000, PLACE + 0x70000, PLACE + 0x62000};
    psc_rows_meet(&goes);
    psc_rows_meet(&still_there);
    put(PLACE + 0x40100, 1);
    put(PLACE + 0x60100, 2);
    uint64_t generation = psc_rows_generation();
    psc_rows_forget_gone(find_still_there);
    ck_assert_uint_eq(psc_rows_find(PLACE + 0x40100), 0);
    ck_assert_uint_eq(psc_rows_find(PLACE + 0x60100), 2);
    ck_assert_uint_ne(psc_rows_generation(), generation);
    generation = psc_rows_generation();
    psc_rows_forget_gone(find_still_there);
    ck_assert_uint_eq(psc_rows_generation(), generation);
}
END_TEST

START_TEST(test_row_that_comes_late) {
    uint64_t epoch = psc_rows_epoch();
    psc_unwind_forget(PLACE, PLACE + 1);
    psc_rows_put(PLACE, 1, epoch);
    ck_assert_uint_eq(psc_rows_find(PLACE), 0);
}
END_TEST

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* A copy of the program's own tables, with memory that cannot be read on both sides. Addresses in them are relative, so
 * in the copy they are all off by the same distance. */
static struct {
    struct psc_cfi_tables tables;
    uint8_t *bytes;
    const uint8_t *original;
    size_t size;
    uint64_t distance;
} copy;

static int find_tables(struct dl_phdr_info *info, size_t size, void *data) {
    const ElfW(Phdr) *segments = info->dlpi_phdr;
    uint64_t header = 0;
    (void)size, (void)data;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (segments[i].p_type == PT_GNU_EH_FRAME) {
            header = segments[i].p_vaddr;
        }
    }
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (segments[i].p_type != PT_LOAD || header - segments[i].p_vaddr >= segments[i].p_filesz) {
            continue;
        }
        copy.original = (const uint8_t *)(uintptr_t)(info->dlpi_addr + segments[i].p_vaddr);
        copy.size = segments[i].p_filesz;
        copy.tables.header = (const uint8_t *)(uintptr_t)(info->dlpi_addr + header);
    }
    return 1; /* the first one is the program */
}

/* The segment holds the program's constants too, and the guards that a sanitizer has put between them. */
__attribute__((no_sanitize("address"))) static void copy_bytes(uint8_t *to, const uint8_t *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        ((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)from)[i];
    }
}

static PSC_NOINLINE void copy_tables(void) {
    dl_iterate_phdr(find_tables, NULL);
    size_t pages = (copy.size + 4095) / 4096 * 4096;
    uint8_t *memory = mmap(NULL, pages + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ck_assert_int_eq(mprotect(memory + 4096, pages, PROT_READ | PROT_WRITE), 0);
    copy.bytes = memory + 4096 + pages - copy.size;
    copy_bytes(copy.bytes, copy.original, copy.size);
    copy.tables.header = copy.bytes + (copy.tables.header - copy.original);
    copy.tables.start = copy.bytes;
    copy.tables.end = copy.bytes + copy.size;
    copy.distance = (uintptr_t)copy.bytes - (uintptr_t)copy.original;
}

static uint64_t random_state = 1;

static uint64_t random_number(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

START_TEST(test_tables_found) {
    struct psc_cfi_rules rules;
    copy_tables();
    uint64_t at = (uintptr_t)recurse_with_fp + copy.distance;
    ck_assert_int_eq(psc_cfi_find(&copy.tables, at, &rules), PSC_CFI_FOUND);
    ck_assert_int_eq(rules.registers[PSC_REG_PC].kind, PSC_CFI_SAVED);
    ck_assert_int_eq(psc_cfi_find(&copy.tables, 4096, &rules), PSC_CFI_NONE);
    ck_assert_int_eq(psc_cfi_find(&copy.tables, UINT64_MAX, &rules), PSC_CFI_NONE);
}
END_TEST

/* Whatever the rules say, a step reads nothing but the stack. */
static void step_by(const struct psc_cfi_rules *rules) {
    struct psc_unwind_cursor cursor = {.limit = (uintptr_t)__builtin_frame_address(0) + 64};
    cursor.registers[PSC_REG_SP] = (uintptr_t)&cursor;
    cursor.registers[PSC_REG_FP] = random_number() % 2 ? (uintptr_t)&cursor + 16 : random_number();
    psc_row_step(&cursor, psc_row_pack(rules));
}

static uint64_t random_function(void) {
    static void (*const functions[])(void) = {(void (*)(void))align_stack, (void (*)(void))take_many,
                                              (void (*)(void))walk_deep,   (void (*)(void))use_alloca,
                                              (void (*)(void))churn,       (void (*)(void))copy_tables};
    return (uintptr_t)functions[random_number() % 6] + random_number() % 64;
}

START_TEST(test_damaged_tables) {
    struct psc_cfi_rules rules;
    unsigned found = 0, lost = 0;
    copy_tables();
    size_t header = (size_t)(copy.tables.header - copy.bytes);
    for (unsigned round = 0; round < 30000; round++) {
        for (unsigned i = 0; i < 1 + round % 40; i++) {
            copy.bytes[header + random_number() % (copy.size - header)] = (uint8_t)random_number();
        }
        for (unsigned i = 0; i < 8; i++) {
            bool is_found = psc_cfi_find(&copy.tables, random_function() + copy.distance, &rules) == PSC_CFI_FOUND;
            if (is_found) {
                step_by(&rules);
            }
            found += is_found, lost += !is_found;
        }
        if (round % 50 == 49) {
            copy_bytes(copy.bytes + header, copy.original + header, copy.size - header);
        }
    }
    ck_assert_uint_gt(found, 1000);
    ck_assert_uint_gt(lost, 1000);
}
END_TEST

START_TEST(test_tables_cut_short) {
    struct psc_cfi_rules rules;
    unsigned found = 0;
    copy_tables();
    size_t header = (size_t)(copy.tables.header - copy.bytes);
    for (size_t kept = 0; kept < copy.size - header; kept += 1 + kept / 64) {
        copy.tables.start = copy.bytes + copy.size - kept;
        copy.tables.header = copy.tables.start;
        copy_bytes(copy.bytes + copy.size - kept, copy.original + header, kept);
        uint64_t distance = (uintptr_t)copy.tables.header - (uintptr_t)(copy.original + header);
        for (unsigned i = 0; i < 8; i++) {
            found += psc_cfi_find(&copy.tables, random_function() + distance, &rules) == PSC_CFI_FOUND;
        }
    }
    ck_assert_uint_gt(found, 0);
}
END_TEST

#ifdef __x86_64__
static struct psc_cfi_rule rule_from(const char *bytes, size_t size, uint64_t at, enum psc_expression_use use) {
    struct psc_reader reader = {(const uint8_t *)bytes, (const uint8_t *)bytes + size, false};
    return psc_expression_rule(reader, at, use);
}

#define RULE(bytes, at, use) rule_from(bytes, sizeof(bytes) - 1, at, use)

static void assert_rule(struct psc_cfi_rule rule, enum psc_cfi_rule_kind kind, unsigned reg, int32_t offset) {
    ck_assert_int_eq(rule.kind, kind);
    ck_assert_uint_eq(rule.reg, reg);
    ck_assert_int_eq(rule.offset, offset);
}

START_TEST(test_expressions) {
    /* The linker's stubs: rsp + 8 + ((rip & 15) >= 11) * 8 */
    const char stub[] = "\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22";
    assert_rule(RULE(stub, 0x1000, PSC_EXPRESSION_CFA), PSC_CFI_REGISTER, PSC_REG_SP, 8);
    assert_rule(RULE(stub, 0x100a, PSC_EXPRESSION_CFA), PSC_CFI_REGISTER, PSC_REG_SP, 8);
    assert_rule(RULE(stub, 0x100b, PSC_EXPRESSION_CFA), PSC_CFI_REGISTER, PSC_REG_SP, 16);
    /* An aligned stack: *(rbp - 8), and rbp saved at rbp + 0 */
    assert_rule(RULE("\x76\x78\x06", 0, PSC_EXPRESSION_CFA), PSC_CFI_MEMORY, PSC_REG_FP, -8);
    assert_rule(RULE("\x76\x00", 0, PSC_EXPRESSION_ADDRESS), PSC_CFI_MEMORY, PSC_REG_FP, 0);
    /* CFA - 16, as an address and as a value */
    assert_rule(RULE("\x40\x1c", 0, PSC_EXPRESSION_ADDRESS), PSC_CFI_SAVED, PSC_REGS, -16);
    assert_rule(RULE("\x40\x1c", 0, PSC_EXPRESSION_VALUE), PSC_CFI_CFA, PSC_REGS, -16);
    /* too many levels, an empty stack, an operation that does not exist, a cut off one, too much on the stack */
    ck_assert_int_eq(RULE("\x76\x78\x06\x06", 0, PSC_EXPRESSION_CFA).kind, PSC_CFI_UNKNOWN);
    ck_assert_int_eq(RULE("", 0, PSC_EXPRESSION_CFA).kind, PSC_CFI_UNKNOWN);
    ck_assert_int_eq(RULE("\x30\x31\xff", 0, PSC_EXPRESSION_CFA).kind, PSC_CFI_UNKNOWN);
    ck_assert_int_eq(RULE("\x77", 0, PSC_EXPRESSION_CFA).kind, PSC_CFI_UNKNOWN);
    ck_assert_int_eq(RULE("\x77\x00\x12\x12\x12\x12\x12\x12\x12\x12", 0, PSC_EXPRESSION_CFA).kind, PSC_CFI_UNKNOWN);
}
END_TEST
#endif

/* ------------------------------------------------------------------------------------------------------------------ */

static TCase *make_case(const char *name) {
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_set_timeout(tests, 60);
    return tests;
}

static TCase *walk_tests(void) {
    TCase *tests = make_case("walk");
    tcase_add_test(tests, test_frame_pointers);
    tcase_add_test(tests, test_odd_frames);
    tcase_add_test(tests, test_callbacks);
    tcase_add_test(tests, test_threads);
    tcase_add_test(tests, test_coroutine);
#ifdef STACK_BYTES_PROMISED
    tcase_add_test(tests, test_stack_use);
#endif
    tcase_add_test(tests, test_signal_handler);
    tcase_add_test(tests, test_alternate_stack);
    tcase_add_test(tests, test_interrupted_anywhere);
    tcase_add_test(tests, test_cut);
    tcase_add_test(tests, test_errno_is_kept);
#ifdef __x86_64__
    tcase_add_test(tests, test_frame_from_another_register);
    tcase_add_test(tests, test_code_without_tables);
    tcase_add_test(tests, test_code_without_tables_in_coroutine);
#endif
    return tests;
}

static TCase *table_tests(void) {
    TCase *tests = make_case("tables");
    tcase_add_test(tests, test_rows);
    tcase_add_test(tests, test_rows_are_replaced);
    tcase_add_test(tests, test_rows_go_with_their_module);
    tcase_add_test(tests, test_rows_of_modules_that_went);
    tcase_add_test(tests, test_row_that_comes_late);
    tcase_add_test(tests, test_tables_found);
    tcase_add_test(tests, test_damaged_tables);
    tcase_add_test(tests, test_tables_cut_short);
#ifdef __x86_64__
    tcase_add_test(tests, test_expressions);
#endif
    return tests;
}

int main(void) {
    Suite *suite = suite_create("unwind");
    suite_add_tcase(suite, walk_tests());
    suite_add_tcase(suite, table_tests());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
