/* Frees what a library made before our constructors; allocates in its own, and in all that runs at exit. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

extern void *early_block __attribute__((weak));
static void *from_constructor;

__attribute__((constructor)) static void begin(void) {
    from_constructor = malloc(100);
}

__attribute__((destructor)) static void end(void) {
    void *p = malloc(100);
    EXPECT(p != NULL);
    free(p);
    free(from_constructor);
    dprintf(1, expect_failures == 0 ? "destructor ok\n" : "destructor failed\n");
}

static void at_exit(void) {
    void *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = malloc(i * 100);
    }
    for (size_t i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    dprintf(1, "atexit ok\n");
}

int main(void) {
    atexit(at_exit);
    EXPECT(from_constructor != NULL);
    if (&early_block != NULL) {
        EXPECT(((char *)early_block)[999] == 7);
        free(early_block);
    }
    alarm(10); /* the library's handlers allocate around the fork */
    pid_t child = fork();
    if (child == 0) {
        free(malloc(1000));
        _exit(0);
    }
    int status = 1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    return expect_end();
}
