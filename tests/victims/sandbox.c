/* A program that forbids itself all system calls but such as OpenSSH's sandbox allows, each other one on pain of death; then
 * its heap grows, becomes full of holes and shrinks, again and again, in this thread and in one that was there before and
 * allocates for the first time. sandbox [exit | fork]: ends by exit(); has a child too. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

#define DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))

static struct sock_filter filter[] = {
    NUMBER,
    ALLOW(SYS_brk),
    ALLOW(SYS_mmap),
    ALLOW(SYS_munmap),
    ALLOW(SYS_mremap),
    ALLOW(SYS_mprotect),
    ALLOW(SYS_futex),
    ALLOW(SYS_getpid),
    ALLOW(SYS_getrandom),
    ALLOW(SYS_clock_gettime),
    ALLOW(SYS_write),
    ALLOW(SYS_exit),
    ALLOW(SYS_exit_group),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 5),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
    ALLOW(MADV_DONTNEED),
    ALLOW(MADV_FREE),
    DENY,
};

/* What fork() and waitpid() of libc call beside these. */
static struct sock_filter forking[] = {
    NUMBER,
    ALLOW(SYS_clone),
    ALLOW(SYS_wait4),
    ALLOW(SYS_set_robust_list),
    ALLOW(SYS_gettid),
    ALLOW(SYS_rt_sigprocmask),
};

enum { FILTER = sizeof filter / sizeof *filter, FORKING = sizeof forking / sizeof *forking };

static int enter_sandbox(int with_fork) {
    static struct sock_filter both[FILTER + FORKING];
    size_t first = with_fork ? FORKING : 0;
    memcpy(both, forking, first * sizeof *both);
    memcpy(both + first, filter, sizeof filter);
    struct sock_fprog program = {(unsigned short)(first + FILTER), both};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { BLOCKS = 30000 };

static void *blocks[BLOCKS];

static void grow_and_shrink(size_t bytes) {
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(bytes);
        fill(blocks[i], bytes, (unsigned)i);
    }
    for (size_t i = 0; i < BLOCKS; i++) { /* all over the place, so that pages go back in many small runs */
        free(blocks[i * 7919 % BLOCKS]);
    }
}

static sem_t go, done;

static void *allocates_later(void *unused) {
    (void)unused;
    sem_wait(&go);
    for (size_t i = 0; i < 1000; i++) {
        free(malloc(i * 100));
    }
    sem_post(&done);
    for (;;) {
        sem_wait(&go);
    }
    return NULL;
}

static void has_a_child(void) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        grow_and_shrink(700);
        _exit(7);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && status == 7 << 8);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    sem_init(&go, 0, 0);
    sem_init(&done, 0, 0);
    EXPECT(pthread_create(&thread, NULL, allocates_later, NULL) == 0);
    grow_and_shrink(1000); /* what is tried out once has been tried out */
    if (!enter_sandbox(strcmp(how, "fork") == 0)) {
        puts("ok"); /* no sandboxes here */
        return 0;
    }
    sem_post(&go);
    sem_wait(&done);
    for (size_t bytes = 500; bytes < 4000; bytes += 1500) {
        grow_and_shrink(bytes);
        free(realloc(malloc(3000000), 9000000));
    }
    if (strcmp(how, "fork") == 0) {
        has_a_child();
    } else if (strcmp(how, "misuse") == 0) { /* where it is ignored */
        void *p = malloc(100);
        free(p);
        free(p);
        free((char *)malloc(100) + 8);
    }
    EXPECT(write(STDOUT_FILENO, "ok\n", 3) == 3);
    if (strcmp(how, "exit") == 0) {
        exit(0);
    }
    _exit(0);
}
