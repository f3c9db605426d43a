/* Prints what a program can see of its own state, at its begin, after much allocation, in a thread, in a forked child and
 * at its end: signals, timers, descriptors, limits, directory, environment. The same with and without a profiler. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/victims/expect.h"

extern char **environ;

static void print_signals(void) {
    sigset_t mask, pending;
    stack_t stack;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigpending(&pending);
    for (int number = 1; number < 65; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0) {
            dprintf(1, "%d:%s%d%d ", number,
                    action.sa_handler == SIG_DFL   ? "d"
                    : action.sa_handler == SIG_IGN ? "i"
                                                   : "h",
                    sigismember(&mask, number), sigismember(&pending, number));
        }
    }
    sigaltstack(NULL, &stack);
    dprintf(1, "\nstack %d\n", stack.ss_flags);
}

static void print_timers(void) {
    for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
        struct itimerval timer;
        getitimer(which, &timer);
        dprintf(1, "timer %d %ld %ld\n", which, (long)timer.it_interval.tv_sec, (long)timer.it_interval.tv_usec);
    }
}

/* Below a thousand: where descriptors are few, and by name above. */
static void print_descriptors(void) {
    for (int fd = 0; fd < 1000; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0) {
            dprintf(1, "descriptor %d %d %d\n", fd, flags, fcntl(fd, F_GETFL) & O_ACCMODE);
        }
    }
    for (int fd = 1000; fd < 1100; fd++) {
        int flags = fcntl(fd, F_GETFD);
        EXPECT(flags == -1 || flags == FD_CLOEXEC);
    }
}

static void print_limits(void) {
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        getrlimit((__rlimit_resource_t)which, &limit);
        dprintf(1, "limit %d %lx %lx\n", which, (long)limit.rlim_cur, (long)limit.rlim_max);
    }
}

static void print_process(void) {
    static const int asked[] = {PR_GET_DUMPABLE,    PR_GET_KEEPCAPS,   PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP,
                                PR_GET_THP_DISABLE, PR_GET_TIMERSLACK, PR_GET_SECUREBITS,   PR_MCE_KILL_GET};
    char name[16] = "", directory[4096] = "";
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        dprintf(1, "prctl %d %d\n", asked[i], prctl(asked[i], 0, 0, 0, 0));
    }
    int death = -1, reaper = -1;
    prctl(PR_GET_PDEATHSIG, &death);
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    prctl(PR_GET_NAME, name);
    mode_t mask = umask(0);
    umask(mask);
    dprintf(1, "%d %d '%s' umask %o in %s\n", death, reaper, name, mask, getcwd(directory, sizeof directory));
    dprintf(1, "personality %x priority %d policy %d locale %s\n", (unsigned)personality(0xffffffff),
            getpriority(PRIO_PROCESS, 0), sched_getscheduler(0), setlocale(LC_ALL, NULL));
}

static void print_environment(void) {
    for (char **entry = environ; *entry != NULL; entry++) {
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0 && strncmp(*entry, "POOLSCOPE=", 10) != 0) {
            dprintf(1, "%s\n", *entry);
        }
    }
}

static void print_threads(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks != NULL && readdir(tasks) != NULL) {
        count++;
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    dprintf(1, "threads %d\n", count - 2);
}

static void print_all(const char *when) {
    errno = 77;
    free(malloc(5000000));
    int kept = errno;
    dprintf(1, "---- %s %d\n", when, kept);
    print_signals();
    print_timers();
    print_descriptors();
    print_limits();
    print_process();
    print_environment();
    print_threads();
}

__attribute__((noinline, noclone)) static void allocate(size_t depth) {
    for (size_t i = 1; i < 400; i++) {
        errno = (int)i;
        void *p = malloc(i * depth);
        EXPECT(errno == (int)i);
        p = realloc(p, i * 100);
        EXPECT(errno == (int)i);
        free(calloc(i, 30));
        EXPECT(errno == (int)i);
        free(p);
        EXPECT(errno == (int)i);
    }
    if (depth > 1) {
        allocate(depth - 1);
    }
}

static void *in_thread(void *unused) {
    allocate(20);
    print_all("thread");
    return unused;
}

int main(void) {
    pthread_t thread;
    print_all("begin");
    signal(SIGUSR1, SIG_IGN);
    umask(0027);
    allocate(60);
    print_all("main");
    EXPECT(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        allocate(20);
        print_all("child");
        exit(expect_failures != 0);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    print_all("end");
    return expect_end();
}
