/* A program that forbids itself all system calls but such as OpenSSH's sandbox allows, each other one on pain of death; then its heap grows, becomes full of holes and shrinks, again and again. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
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
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
    ALLOW(MADV_DONTNEED),
    ALLOW(MADV_FREE),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static int enter_sandbox(void) {
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
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

int main(void) {
    grow_and_shrink(1000); /* what is tried out once has been tried out */
    if (!enter_sandbox()) {
        puts("ok"); /* no sandboxes here */
        return 0;
    }
    for (size_t bytes = 500; bytes < 4000; bytes += 700) {
        grow_and_shrink(bytes);
        free(realloc(malloc(3000000), 9000000));
    }
    EXPECT(write(STDOUT_FILENO, "ok\n", 3) == 3);
    _exit(0);
}
