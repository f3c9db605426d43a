/* Children of each kind of end, while other threads allocate and free each other's blocks all the time: by exit in main, in
 * another thread, in a handler of an alarm, by quick_exit, _exit, abort in a handler, exec; by pthread_exit of main, and of
 * the last thread. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define ROUNDS 2
#define THREADS 3

static void *handed[256];
static int rounds_left = -1; /* of the allocating threads; below 0: for ever */

static void allocate(size_t turn) {
    void **place = &handed[turn * 31 % 256];
    void *p = malloc(turn % 41 == 0 ? 70000 : turn % 2000);
    free(__atomic_exchange_n(place, p, __ATOMIC_ACQ_REL));
}

static void *allocates(void *number) {
    for (size_t turn = (size_t)number; rounds_left < 0 || turn < (size_t)rounds_left; turn++) {
        allocate(turn);
    }
    return NULL;
}

static void at_end(void) {
    for (size_t turn = 0; turn < 100; turn++) {
        allocate(turn);
    }
}

static void on_signal(int number) {
    number == SIGUSR1 ? abort() : _exit(7);
}

static void *exits(void *unused) {
    (void)unused;
    exit(2);
}

static void by_return(void) {
    exit(1);
}

static void by_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, exits, NULL);
    for (;;) {
        pause();
    }
}

static void by_quick_exit(void) {
    quick_exit(3);
}

static void by_abort(void) {
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
}

static void by_handler(void) {
    signal(SIGALRM, on_signal);
    ualarm(3000, 0);
    allocates(NULL);
}

static void by_exec(void) {
    execl("/bin/sh", "sh", "-c", "exit 4", (char *)NULL);
}

/* The process goes on until the last thread has ended, which is as exit(0). */
static void by_last_thread(void) {
    rounds_left = 3000;
    pthread_exit(NULL);
}

static void by_fault(void) {
    raise(SIGSEGV);
}

static const struct {
    void (*end)(void);
    int status;
} ends[] = {
    {by_return, 1 << 8},  {by_thread, 2 << 8}, {by_quick_exit, 3 << 8}, {by_abort, SIGABRT},
    {by_handler, 7 << 8}, {by_exec, 4 << 8},   {by_last_thread, 0},     {by_fault, SIGSEGV},
};

static void in_child(void (*end)(void)) {
    alarm(60);
    at_end(); /* the trace has begun before anything can cut that short */
    free(malloc(3000000));
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, allocates, (void *)i) == 0);
    }
    usleep(2000);
    end();
}

int main(void) {
    atexit(at_end);
    at_quick_exit(at_end);
    for (size_t i = 0; i < ROUNDS * sizeof ends / sizeof *ends; i++) {
        int status = -1, way = (int)(i % (sizeof ends / sizeof *ends));
        pid_t pid = fork();
        if (pid == 0) {
            in_child(ends[way].end);
            _exit(99);
        }
        EXPECT(waitpid(pid, &status, 0) == pid && status == ends[way].status);
        if (status != ends[way].status) {
            dprintf(2, "end %d: %x\n", way, status);
        }
    }
    return expect_end();
}
