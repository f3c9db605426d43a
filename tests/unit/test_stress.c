/* tests/victims/stress.c over the whole of preload/, core/heap and core/track as they are composed there, in a program of
 * its own for each way to run, so that sanitizers see all three at work. The heap's invariants are tested at the end. */
#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/heap/heap.h"
#include "tests/unit/support_directory.h"
#include "tests/unit/support_guest.h"

/* ---- what preload/ asks of the process ------------------------------------------------------------------------- */

#define IS_STRESS "PSC_TEST_STRESS" /* in the environment of the program that plays */

void *psc_guest_dlsym(void *handle, const char *name);
unsigned long psc_guest_getauxval(unsigned long type);

/* There is no malloc before ours, and the next of any name is the program's. */
void *psc_guest_dlsym(void *handle, const char *name) {
    (void)handle;
    return strcmp(name, "malloc") == 0 ? NULL : dlsym(RTLD_DEFAULT, name);
}

/* The test itself is not recorded. */
unsigned long psc_guest_getauxval(unsigned long type) {
    return type == AT_SECURE ? getenv(IS_STRESS) == NULL : getauxval(type);
}

/* ---- the program that plays -------------------------------------------------------------------------------------- */

static unsigned threads_now(void) {
    unsigned number = 0;
    DIR *dir = opendir("/proc/self/task");
    while (dir != NULL && readdir(dir) != NULL) {
        number++;
    }
    closedir(dir);
    return number - 2; /* . and .. */
}

/* The detached ones may still be dying, and a sanitizer has one of its own: two readings that agree. */
static void await_threads(void) {
    for (unsigned before = 0, now; (now = threads_now()) > 1 && now != before; before = now) {
        usleep(300000);
    }
}

static int play_stress(int argc, char **argv) {
    int status = psc_guest_stress(argc, argv);
    await_threads();
    const char *sentence = psc_heap_check();
    if (sentence != NULL) {
        fprintf(stderr, "the heap's invariants: %s\n", sentence);
        return 1;
    }
    return status;
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define PLAY_SECONDS "3"
#else
#define PLAY_SECONDS "1"
#endif

static const char *const ways[] = {
    "mode=off",
    "mode=exact,purge=0,snapshots=8",
    "mode=exact,events=on,events_limit=4",
    "mode=sample,interval=4k",
};

/* Sanitizers look at all of a mapping: the trace is to be a small one. */
static _Noreturn void execute(const char *options) {
    struct rlimit limit = {.rlim_cur = (rlim_t)256 << 20, .rlim_max = RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    setenv("POOLSCOPE", options, 1);
    setenv(IS_STRESS, "1", 1);
    execl("/proc/self/exe", "stress", PLAY_SECONDS, "4", "20261124", (char *)NULL);
    _exit(127);
}

START_TEST(random_calls_keep_all_promises) {
    char directory[] = "/tmp/psc-stress-XXXXXX", options[256];
    int status = -1;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(options, sizeof options, "%s,out=%s", ways[_i], directory);
    pid_t child = fork();
    if (child == 0) {
        execute(options);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    psc_test_remove_directory(directory);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(int argc, char **argv) {
    if (getenv(IS_STRESS) != NULL) {
        return play_stress(argc, argv);
    }
    Suite *suite = suite_create("stress");
    TCase *tcase = tcase_create("composed");
    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, random_calls_keep_all_promises, 0, (int)PSC_COUNT_OF(ways));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
