/* Holds 1,000 blocks of 64 bytes and ends in the way that it is told. */
#include <signal.h>
#include <unistd.h>

#include "tests/victims/expect.h"

void *kept[1000];

__attribute__((noinline)) static void keep(void) {
    for (int i = 0; i < 1000; i++) {
        kept[i] = malloc(64);
    }
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "return";
    keep();
    dprintf(1, "%s\n", how);
    if (strcmp(how, "exit") == 0) {
        exit(3);
    } else if (strcmp(how, "_exit") == 0) {
        _exit(4);
    } else if (strcmp(how, "_Exit") == 0) {
        _Exit(5);
    } else if (strcmp(how, "quick_exit") == 0) {
        quick_exit(6);
    } else if (strcmp(how, "abort") == 0) {
        abort();
    } else if (strcmp(how, "kill") == 0) {
        kill(getpid(), SIGKILL);
    } else if (strcmp(how, "segv") == 0) {
        raise(SIGSEGV);
    } else if (strcmp(how, "exec") == 0) {
        execl("/proc/self/exe", argv[0], "return", (char *)NULL);
    }
    return 2;
}
