/* children HOW [COUNT]: a program whose threads allocate all the time makes children in one of these ways, COUNT where that matters; they allocate at
 * once, end at once, or become other programs. Prints how many of them are to leave a trace. */
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define STACK_BYTES ((size_t)64 << 10)

extern char **environ;
static char *true_argv[] = {"true", NULL};
static char *no_environment[] = {NULL};
static int stop, traces, count = 100;
static void *inherited[200];

__attribute__((noinline, noclone)) static void allocate(void) {
    void *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = malloc(i % 20 == 0 ? i * 5000 : i * 30);
    }
    for (size_t i = 0; i < 100; i++) {
        free(blocks[i]);
    }
}

static void *allocates(void *unused) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        allocate();
        usleep(100); /* the others come to turn, too */
    }
    return unused;
}

static int free_inherited(void) {
    int sound = 1;
    for (size_t i = 0; i < 200; i++) {
        sound &= is_filled(inherited[i], i * 40, (unsigned)i);
        free(inherited[i]);
    }
    allocate();
    return sound ? 0 : 1;
}

static void expect_status(pid_t pid, int want) {
    int status = -1;
    EXPECT(pid > 0 && waitpid(pid, &status, __WALL) == pid && status == want);
}

/* ---- storms --------------------------------------------------------------------------------------------------- */

#define STORMERS 3
#define STORM 12

/* The children of several threads at once. */
static void *storms(void *number) {
    for (int i = 0; i < STORM; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(free_inherited());
        }
        expect_status(pid, 0);
    }
    return number;
}

static void make_storm(void) {
    pthread_t threads[STORMERS];
    for (int i = 0; i < STORMERS; i++) {
        EXPECT(pthread_create(&threads[i], NULL, storms, NULL) == 0);
    }
    for (int i = 0; i < STORMERS; i++) {
        pthread_join(threads[i], NULL);
    }
    traces += STORMERS * STORM;
}

/* Many that have nothing to tell. */
static void make_short(void) {
    for (int i = 0; i < count; i += 50) {
        pid_t pids[50];
        for (int k = 0; k < 50; k++) {
            pids[k] = fork();
            if (pids[k] == 0) {
                _exit(k);
            }
        }
        for (int k = 0; k < 50; k++) {
            expect_status(pids[k], k << 8);
        }
    }
}

/* ---- in the parent's memory ----------------------------------------------------------------------------------- */

static int in_shared_memory(void *unused) {
    (void)unused;
    allocate();
    execve("/bin/true", true_argv, no_environment);
    _exit(1);
}

/* The first word of thread-local storage is its own address, and is zero here. */
static int without_storage(void *unused) {
    (void)unused;
    _exit(5);
}

static void make_without_storage(char *stack) {
    static char storage[4096] __attribute__((aligned(64)));
    int flags = CLONE_VM | CLONE_VFORK | CLONE_SETTLS | SIGCHLD;
    expect_status(clone(without_storage, stack, flags, NULL, NULL, storage + sizeof storage / 2, NULL), 5 << 8);
}

static void make_shared(void) {
    static char stack[STACK_BYTES] __attribute__((aligned(16)));
    for (int i = 0; i < 20; i++) {
        expect_status(clone(in_shared_memory, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL), 0);
        pid_t pid = vfork();
        if (pid == 0) {
            _exit(i);
        }
        expect_status(pid, i << 8);
    }
    make_without_storage(stack + sizeof stack);
}

static void make_spawned(void) {
    for (int i = 0; i < 10; i++) {
        pid_t pid = -1;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t all;
        sigfillset(&all);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        posix_spawn_file_actions_addclosefrom_np(&actions, 0);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
        EXPECT(posix_spawn(&pid, "/bin/true", &actions, &attributes, true_argv, no_environment) == 0);
        expect_status(pid, 0);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
}

/* ---- without fork's handlers ---------------------------------------------------------------------------------- */

static pid_t clone3_raw(void) {
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* By a program without threads only: what threads were at would stay undone. */
static void make_raw(void) {
    for (int i = 0; i < 15; i++) {
        pid_t pid = i % 3 == 0 ? _Fork() : i % 3 == 1 ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : clone3_raw();
        if (pid == 0) {
            _exit(free_inherited());
        }
        expect_status(pid, 0);
        traces++;
    }
}

/* ---- sessions, users, namespaces ------------------------------------------------------------------------------ */

/* Runs `act` in a child; one that may not do so is done at once. */
static void make_one(int (*act)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        if (act() == 0) {
            pid = fork();
            if (pid == 0) {
                _exit(free_inherited());
            }
            expect_status(pid, 0);
        }
        _exit(free_inherited() | (expect_failures != 0));
    }
    expect_status(pid, 0);
}

static int become_daemon(void) {
    return setsid() < 0 || chdir("/") != 0 || fork() != 0 ? -1 : 0; /* the middle one goes, and does not wait */
}

static int become_nobody(void) {
    return getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0) ? -1 : 0;
}

static int become_lone(void) {
    return unshare(CLONE_NEWUSER);
}

static int become_first(void) {
    return unshare(CLONE_NEWPID);
}

static int become_secret(void) {
    return prctl(PR_SET_DUMPABLE, 0);
}

static void make_others(void) {
    int ends[2];
    char byte;
    EXPECT(pipe(ends) == 0); /* all that come hold it, until they have gone */
    make_one(become_daemon);
    make_one(become_nobody);
    make_one(become_lone);
    make_one(become_first);
    make_one(become_secret);
    pid_t pid = fork();
    if (pid == 0) {
        if (daemon(0, 0) == 0 && free_inherited() == 0) {
            write(ends[1], "d", 1);
        }
        _exit(0);
    }
    close(ends[1]);
    EXPECT(read(ends[0], &byte, 1) == 1 && byte == 'd');
    EXPECT(read(ends[0], &byte, 1) == 0); /* a daemon's trace is whole by now */
    close(ends[0]);
    expect_status(pid, 0);
    traces = -1; /* as the system allows */
}

/* ---------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *how;
    void (*make)(void);
    int threads;
} ways[] = {
    {"storm", make_storm, 2},     {"short", make_short, 1}, {"shared", make_shared, 1},
    {"spawned", make_spawned, 2}, {"raw", make_raw, 0},     {"others", make_others, 0},
};

static void run(void (*make)(void), int others) {
    pthread_t threads[4];
    stop = 0;
    for (int i = 0; i < others; i++) {
        EXPECT(pthread_create(&threads[i], NULL, allocates, NULL) == 0);
    }
    make();
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < others; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(int argc, char **argv) {
    count = argc > 2 ? atoi(argv[2]) : count;
    for (size_t i = 0; i < 200; i++) {
        inherited[i] = malloc(i * 40);
        fill(inherited[i], i * 40, (unsigned)i);
    }
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        if (argc > 1 && strcmp(argv[1], ways[way].how) == 0) {
            run(ways[way].make, ways[way].threads);
        }
    }
    dprintf(1, "%d\n", traces);
    return expect_end();
}
