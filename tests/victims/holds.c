/* Holds 1,000 blocks of 1,000 bytes until its input ends; for each line of it, makes and frees 5,000 of 100 bytes. Says
 * when each is done. With "fork" there is a child first that does nothing and is named by its number. */
#include "tests/victims/expect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEPT 1000

static void *kept[KEPT];

__attribute__((noinline)) void makes_kept(size_t i) {
    kept[i] = malloc(1000);
}

__attribute__((noinline)) void makes_passing(void) {
    free(malloc(100));
}

static void say(const char *word) {
    if (write(STDOUT_FILENO, word, strlen(word)) < 0) {
        _exit(1);
    }
}

static pid_t fork_idle(void) {
    char text[32];
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            pause();
        }
    }
    snprintf(text, sizeof(text), "%d\n", (int)child);
    say(text);
    return child;
}

int main(int argc, char **argv) {
    char line[64];
    pid_t child = 0;
    for (size_t i = 0; i < KEPT; i++) {
        makes_kept(i);
    }
    if (argc > 1 && strcmp(argv[1], "fork") == 0) {
        child = fork_idle();
    }
    say("ready\n");
    while (read(STDIN_FILENO, line, sizeof(line)) > 0) {
        for (int i = 0; i < 5000; i++) {
            makes_passing();
        }
        say("done\n");
    }
    if (child != 0) {
        kill(child, SIGKILL);
    }
    return 0;
}
