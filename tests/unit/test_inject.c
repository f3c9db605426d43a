/* Each call of the kernel that the heap and the tracker make fails in turn: alone, and with all that follow. The linker puts
 * the functions below between core and libc (Makefile): those of libc that core calls, and syscall(), by which it makes
 * the calls of core/base/call.h. The last test sees that the scenarios came to each of them. Each run is a process of its
 * own, from the first call on. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/os.h"
#include "core/heap/heap.h"
#include "core/heap/internal.h"
#include "core/track/track.h"
#include "core/track/types.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#define CALLS_MOST 2000 /* no scenario makes more */

/* ---- calls that fail ------------------------------------------------------------------------------------------- */

#define EACH_CALL(X)                                                                                                   \
    X(mmap)                                                                                                            \
    X(munmap)                                                                                                          \
    X(mremap)                                                                                                          \
    X(mprotect)                                                                                                        \
    X(madvise)                                                                                                         \
    X(mincore)                                                                                                         \
    X(ftruncate)                                                                                                       \
    X(fchmod)                                                                                                          \
    X(fstat)                                                                                                           \
    X(readlink)                                                                                                        \
    X(openat)                                                                                                          \
    X(read)                                                                                                            \
    X(pread64)                                                                                                         \
    X(pwrite64)                                                                                                        \
    X(fallocate)                                                                                                       \
    X(process_madvise)

#define AS_CONSTANT(name) call_##name,
#define AS_TEXT(name) #name,
enum call { EACH_CALL(AS_CONSTANT) CALL_KINDS, call_other };
static const char *const call_names[] = {EACH_CALL(AS_TEXT)};

static struct tally {
    uint32_t calls;                   /* of this run so far, from 1 on */
    uint32_t reached[CALL_KINDS];     /* in all runs */
} before_main, *tally = &before_main; /* then shared with children */

static uint32_t fails_from, fails_until;
static int with_error = ENOMEM;
static bool counts; /* the scenario is running */

static bool fails(enum call call) {
    if (!counts) {
        return false;
    }
    tally->reached[call]++;
    uint32_t number = ++tally->calls;
    bool now = number >= fails_from && number < fails_until;
    errno = now ? with_error : errno;
    return now;
}

#define WRAPPED(type, name, failed, parameters, arguments)                                                             \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters {                                                                                    \
        return fails(call_##name) ? (failed) : __real_##name arguments;                                                \
    }

WRAPPED(void *, mmap, MAP_FAILED, (void *at, size_t n, int prot, int flags, int fd, off_t offset),
        (at, n, prot, flags, fd, offset))
WRAPPED(int, munmap, -1, (void *at, size_t n), (at, n))
WRAPPED(int, mprotect, -1, (void *at, size_t n, int prot), (at, n, prot))
WRAPPED(int, madvise, -1, (void *at, size_t n, int advice), (at, n, advice))
WRAPPED(int, mincore, -1, (void *at, size_t n, unsigned char *there), (at, n, there))
WRAPPED(int, ftruncate, -1, (int fd, off_t bytes), (fd, bytes))
WRAPPED(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
WRAPPED(int, fstat, -1, (int fd, struct stat *status), (fd, status))
WRAPPED(ssize_t, readlink, -1, (const char *path, char *buffer, size_t n), (path, buffer, n))

void *__real_mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...);
void *__wrap_mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...);
void *__wrap_mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...) {
    va_list list;
    va_start(list, flags);
    void *to = (flags & MREMAP_FIXED) != 0 ? va_arg(list, void *) : NULL;
    va_end(list);
    return fails(call_mremap) ? MAP_FAILED : __real_mremap(old, old_bytes, bytes, flags, to);
}

/* The others of core's cannot fail, or what they say is not looked at. */
static enum call call_of(long number) {
    switch (number) {
    case SYS_openat: return call_openat;
    case SYS_read: return call_read;
    case SYS_pread64: return call_pread64;
    case SYS_pwrite64: return call_pwrite64;
    case SYS_fallocate: return call_fallocate;
    case SYS_process_madvise: return call_process_madvise;
    default: return call_other;
    }
}

/* Arguments that were not given are whatever was in their places, as they are to libc's own. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    long a[6];
    va_list list;
    va_start(list, number);
    for (size_t i = 0; i < 6; i++) {
        a[i] = va_arg(list, long);
    }
    va_end(list);
    enum call call = call_of(number);
    return call != call_other && fails(call) ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- each in turn ---------------------------------------------------------------------------------------------- */

enum end { PASSED_UNTOUCHED = 0, PASSED = 1 }; /* status of a run; anything else is wrong */

/* What does not hold ends the run. */
#define HOLDS(condition) ((condition) ? (void)0 : fail_run(#condition, __LINE__))

static int told = STDERR_FILENO; /* where */

static void fail_run(const char *condition, int line) {
    dprintf(told, "line %d, calls %u to %u fail (%s): not so: %s\n", line, fails_from, fails_until - 1,
            strerror(with_error), condition);
    _exit(9);
}

static int run(void (*scenario)(void), uint32_t from, uint32_t until) {
    int status;
    tally->calls = 0;
    pid_t child = fork();
    if (child == 0) {
        fails_from = from;
        fails_until = until;
        scenario();
        _exit(tally->calls >= from ? PASSED : PASSED_UNTOUCHED);
    }
    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) <= PASSED, "calls from %u until %u fail: status %x", from,
                  until, status);
    return WEXITSTATUS(status);
}

/* Sanitizers make each run many times slower. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 11
#else
#define STRIDE 1
#endif

/* Runs of `count` calls that fail, each run beginning `stride` later than the one before. */
static void each_in_turn(void (*scenario)(void), uint32_t count, uint32_t stride) {
    uint32_t from = 1;
    while (run(scenario, from, from + count) == PASSED) {
        from += stride * STRIDE;
        ck_assert_uint_lt(from, CALLS_MOST);
    }
    ck_assert_uint_gt(from, 10);
}

/* ---- the heap -------------------------------------------------------------------------------------------------- */

#define BLOCKS 16
#define END_BYTES 64 /* so much is filled at both ends of a block: the runs are many */

static struct block {
    unsigned char *p;
    size_t bytes;
} blocks[BLOCKS];

static const size_t sizes[] = {16, 200, 3000, 20000, 100000, 700000, 1500000, 3000000};

static void check_heap(void) {
    const char *wrong = psc_heap_check();
    if (wrong != NULL) {
        fail_run(wrong, __LINE__);
    }
}

static bool is_filled(const struct block *block) {
    size_t ends = block->bytes < END_BYTES ? block->bytes : END_BYTES;
    unsigned char value = (unsigned char)(block - blocks + 1);
    for (size_t i = 0; i < ends; i++) {
        if (block->p[i] != value || block->p[block->bytes - 1 - i] != value) {
            return false;
        }
    }
    return true;
}

static void keep(struct block *block, void *p, size_t bytes) {
    *block = (struct block){p, p != NULL ? bytes : 0};
    if (p != NULL) {
        size_t ends = bytes < END_BYTES ? bytes : END_BYTES;
        memset(p, (int)(block - blocks + 1), ends);
        memset(block->p + bytes - ends, (int)(block - blocks + 1), ends);
    } else {
        HOLDS(errno == ENOMEM);
        check_heap();
    }
    errno = 0;
}

static void *get(uint32_t how, size_t bytes) {
    switch (how % 4) {
    case 0: return psc_heap_alloc(bytes);
    case 1: {
        unsigned char *p = psc_heap_alloc_zeroed(bytes);
        for (size_t i = 0; p != NULL && i < bytes; i += 4080) {
            HOLDS(p[i] == 0);
        }
        return p;
    }
    case 2: return psc_heap_alloc_aligned(bytes > 100000 ? 1 << 16 : 256, bytes);
    default: return psc_heap_alloc_in(1, 1, bytes);
    }
}

static void drop(struct block *block) {
    HOLDS(block->p == NULL || is_filled(block));
    errno = 77;
    psc_heap_free(block->p);
    HOLDS(errno == 77);
    *block = (struct block){0};
}

/* As realloc does it: where it is, or by a copy. */
static void resize(struct block *block, size_t bytes) {
    errno = 0;
    void *p = psc_heap_resize(block->p, bytes);
    if (p == NULL && (p = psc_heap_alloc(bytes)) != NULL) {
        memcpy(p, block->p, bytes < block->bytes ? bytes : block->bytes);
        psc_heap_free(block->p);
    }
    if (p == NULL) {
        HOLDS(errno == ENOMEM && is_filled(block));
        return;
    }
    unsigned char value = (unsigned char)(block - blocks + 1);
    HOLDS(*(unsigned char *)p == value);
    HOLDS(bytes < block->bytes || ((unsigned char *)p)[block->bytes - 1] == value);
    keep(block, p, bytes);
}

static void use_heap(void) {
    for (uint32_t i = 0; i < BLOCKS; i++) {
        keep(&blocks[i], get(i / 8 + i, sizes[i % 8]), sizes[i % 8]);
    }
    check_heap();
    for (uint32_t i = 0; i < BLOCKS; i += 3) {
        if (blocks[i].p != NULL) {
            resize(&blocks[i], blocks[i].bytes * (i % 2 == 0 ? 3 : 1) / 2 + 1);
        }
    }
    check_heap();
    for (uint32_t i = 0; i < BLOCKS; i += 2) {
        drop(&blocks[i]);
    }
    check_heap();
    psc_heap_trim();
    for (uint32_t i = 0; i < BLOCKS; i += 4) {
        keep(&blocks[i], get(i, 50000), 50000);
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        drop(&blocks[i]);
    }
    check_heap();
}

/* Afterwards the heap gives what it always does. */
static void heap_scenario(void) {
    counts = true;
    use_heap();
    psc_heap_set_purge(0);
    use_heap();
    psc_heap_thread_end();
    counts = false;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        keep(&blocks[i], get(i / 8 + i, sizes[i % 8]), sizes[i % 8]);
        HOLDS(blocks[i].p != NULL);
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        drop(&blocks[i]);
    }
    check_heap();
}

START_TEST(heap_one_call_fails) {
    each_in_turn(heap_scenario, 1, 1);
}
END_TEST

START_TEST(heap_three_calls_fail) {
    each_in_turn(heap_scenario, 3, 3);
}
END_TEST

START_TEST(heap_all_calls_fail) {
    each_in_turn(heap_scenario, CALLS_MOST, 3);
}
END_TEST

/* ---- the tracker ----------------------------------------------------------------------------------------------- */

#define POOLS 40
#define CAPACITY 300
#define STAT_NUMBERS_BETWEEN                                                                                           \
    " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s" /* fields 4 to 21 */

static char directory[64];
static struct psc_tags pools[POOLS];

static void describe(struct psc_wire_snapshot *snapshot, struct psc_wire_map *map) {
    snapshot->committed_bytes = 1 << 20;
    map->slots = 1;
}

static void describe_resident(struct psc_wire_snapshot *snapshot) {
    snapshot->resident_bytes = snapshot->committed_bytes;
}

static void nothing(void) {
}

static void record(void) {
    static const uint64_t bits[PSC_ARENA_SLOTS / 64];
    psc_track_arena(0, 0x10000, bits, bits, 0);
    for (uint32_t i = 0; i < POOLS; i++) {
        uint64_t *tags = psc_track_attach(&pools[i], 3, 0x10000 + i * 0x10000, 64, CAPACITY, CAPACITY, 0);
        for (uint32_t k = 0; k < CAPACITY; k++) {
            psc_track_alloc(tags, k, 3, 60, 64);
        }
        for (uint32_t k = 0; k < CAPACITY && tags != NULL; k += 2) {
            psc_track_free(tags, k, 3, 64);
        }
    }
    for (uint32_t i = 0; i < POOLS; i += 2) {
        psc_track_detach(&pools[i]);
    }
}

static void record_in_child(void) {
    int status;
    psc_track_fork_prepare();
    pid_t child = fork();
    if (child != 0) {
        psc_track_fork_parent();
        HOLDS(child > 0 && waitpid(child, &status, 0) == child && status == 0);
        return;
    }
    psc_track_fork_child();
    psc_track_epoch();
    record();
    psc_track_enter_sandbox(); /* where it calls no more than it must */
    psc_track_end(PSC_END_EXIT);
    _exit(0);
}

static uint64_t own_start_ticks(void) {
    static char text[1024];
    unsigned long long ticks = 0;
    FILE *file = fopen("/proc/self/stat", "r");
    HOLDS(file != NULL && fgets(text, sizeof text, file) != NULL && fclose(file) == 0);
    const char *after_name = strrchr(text, ')');
    HOLDS(after_name != NULL);
    HOLDS(sscanf(after_name + 1, " %*c" STAT_NUMBERS_BETWEEN " %llu", &ticks) == 1);
    return ticks;
}

/* As if this process had been another program until now: the tracker marks the file as one that exec ended. */
static void leave_earlier_trace(void) {
    char path[sizeof directory + 64];
    struct psc_wire_header header = {.version = PSC_TRACE_VERSION,
                                     .pid = (uint32_t)getpid(),
                                     .start_ticks = own_start_ticks(),
                                     .chunks_used = PSC_FIRST_DATA_CHUNK};
    memcpy(header.magic, PSC_TRACE_MAGIC, sizeof header.magic);
    snprintf(path, sizeof path, "%s/poolscope-%d.trace", directory, (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    HOLDS(fd >= 0 && write(fd, &header, sizeof header) == (ssize_t)sizeof header);
    HOLDS(ftruncate(fd, (off_t)(PSC_FIRST_DATA_CHUNK + 1) * PSC_CHUNK_BYTES) == 0 && close(fd) == 0);
}

static void track_scenario(void) {
    static const uint32_t class_bytes[] = {16, 32, 48, 64};
    struct psc_track_host host = {.arena_bytes = 1 << 22,
                                  .slot_bytes = 1 << 14,
                                  .class_count = 4,
                                  .class_bytes = class_bytes,
                                  .describe = describe,
                                  .describe_resident = describe_resident,
                                  .count_untagged = nothing,
                                  .reregister = nothing};
    struct psc_options options = {.mode = PSC_MODE_EXACT, .depth = 32, .snapshots = 8, .events = 1, .events_limit = 16};
    snprintf(options.out, sizeof options.out, "%s", directory);
    told = dup(STDERR_FILENO); /* what the tracker says is not of interest */
    HOLDS(told >= 0 && freopen("/dev/null", "w", stderr) != NULL);
    leave_earlier_trace();
    errno = 55;
    counts = true;
    psc_track_start(&options, &host);
    HOLDS(errno == 55);
    record();
    HOLDS(errno == 55);
    record_in_child();
    psc_track_thread_end();
    psc_track_end(PSC_END_EXIT);
    counts = false;
}

static void make_directory(void) {
    strcpy(directory, "/tmp/test_inject.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(tracker_one_call_fails) {
    static const int errors[] = {ENOMEM, EPERM, ENOSPC};
    with_error = errors[_i];
    make_directory();
    each_in_turn(track_scenario, 1, with_error == ENOMEM ? 1 : 2);
    remove_directory();
}
END_TEST

START_TEST(tracker_all_calls_fail) {
    make_directory();
    each_in_turn(track_scenario, CALLS_MOST, 2);
    remove_directory();
}
END_TEST

/* Else what the tests above say of a call would be nothing: it has another name by now, or none comes to it. */
START_TEST(each_was_reached) {
    psc_os_look_for_sandbox(); /* under a filter of somebody's, these two are not made */
    bool filtered = !psc_os_may_ask_resident();
    for (uint32_t i = 0; i < CALL_KINDS; i++) {
        bool may_lack = filtered && (i == call_mincore || i == call_process_madvise);
        ck_assert_msg(tally->reached[i] > 0 || may_lack, "no scenario makes the call %s", call_names[i]);
    }
}
END_TEST

int main(void) {
    void *shared = mmap(NULL, PSC_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return 1;
    }
    tally = shared;
    Suite *suite = suite_create("inject");
    TCase *tcase = tcase_create("each in turn");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, heap_one_call_fails);
    tcase_add_test(tcase, heap_three_calls_fail);
    tcase_add_test(tcase, heap_all_calls_fail);
#if !defined(                                                                                                          \
    __SANITIZE_ADDRESS__) /* beside whose mappings the tracker takes thousands of calls for what are hundreds */
    tcase_add_loop_test(tcase, tracker_one_call_fails, 0, 3);
    tcase_add_test(tcase, tracker_all_calls_fail);
    tcase_add_test(tcase, each_was_reached);
#endif
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
