/* Children made without fork's handlers, or in the parent's memory: vfork, posix_spawn, system, SYS_fork, clone. */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

extern char **environ;
static char *true_argv[] = {"true", NULL};

static int status_of(pid_t pid) {
    int status = -1;
    return pid > 0 && waitpid(pid, &status, __WALL) == pid ? status : -1;
}

static void allocate(void) {
    for (size_t i = 0; i < 2000; i++) {
        void *p = malloc(i * 20);
        memset(p, 1, i * 20);
        free(p);
    }
}

static int in_clone(void *block) {
    allocate();
    return is_filled(block, 1000, 1) ? 0 : 1;
}

static void check_vfork(void) {
    for (int i = 0; i < 50; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execvp(true_argv[0], true_argv);
            _exit(127);
        }
        EXPECT(status_of(pid) == 0);
    }
    pid_t pid = vfork();
    if (pid == 0) {
        _exit(3);
    }
    EXPECT(status_of(pid) == 3 << 8);
}

static void check_spawn(void) {
    for (int i = 0; i < 20; i++) {
        pid_t pid = -1;
        EXPECT(posix_spawnp(&pid, "true", NULL, NULL, true_argv, environ) == 0 && status_of(pid) == 0);
    }
    EXPECT(system("exit 5") == 5 << 8);
    FILE *pipe = popen("echo text", "r");
    char text[16] = "";
    EXPECT(fgets(text, sizeof text, pipe) != NULL && strcmp(text, "text\n") == 0 && pclose(pipe) == 0);
}

static void check_raw(void *block) {
    for (int i = 0; i < 20; i++) {
        pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0) {
            _exit(in_clone(block));
        }
        EXPECT(status_of(pid) == 0);
    }
    size_t bytes = 256 << 10;
    char *stack = malloc(bytes);
    EXPECT(status_of(clone(in_clone, stack + bytes, SIGCHLD, block)) == 0);
    free(stack);
}

int main(void) {
    void *block = malloc(1000);
    fill(block, 1000, 1);
    check_vfork();
    check_spawn();
    check_raw(block);
    allocate();
    EXPECT(is_filled(block, 1000, 1));
    return expect_end();
}
