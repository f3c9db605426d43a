/* Children of all kinds, in an order that is always the same; prints who is to leave a trace. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

static void *kept[1000];

__attribute__((noinline)) void parent_makes(void) {
    for (size_t i = 0; i < 1000; i++) {
        kept[i] = malloc(64);
    }
}

__attribute__((noinline)) void child_makes(size_t blocks) {
    for (size_t i = 0; i < blocks; i++) {
        void *volatile p = malloc(200);
        (void)p;
    }
}

static void wait_for(pid_t pid) {
    int status = -1;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void child_that_allocates(size_t blocks) {
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < 500; i++) {
            free(kept[i]); /* the parent's stay the parent's */
        }
        child_makes(blocks);
        _exit(0);
    }
    wait_for(pid);
    dprintf(1, "child %d %zu\n", pid, blocks);
}

/* exec at once, and exit at once: nothing to tell, no trace. The program that comes by exec is not watched. */
static void children_that_do_nothing(void) {
    static char *const argv[] = {"true", NULL};
    static char *const environment[] = {NULL};
    for (int i = 0; i < 20; i++) {
        pid_t pid = i % 4 == 0 ? vfork() : fork();
        if (pid == 0) {
            if (i % 2 == 0) {
                execve("/bin/true", argv, environment);
            }
            _exit(0);
        }
        wait_for(pid);
    }
}

int main(void) {
    parent_makes();
    child_that_allocates(100);
    child_that_allocates(300);
    children_that_do_nothing();
    dprintf(1, "parent %d 1000\n", getpid());
    return expect_failures != 0;
}
