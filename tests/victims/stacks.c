/* Allocation on small stacks: the smallest that a thread may have, 16 KiB, and coroutines of makecontext. */
#include <limits.h>
#include <pthread.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define COROUTINES 20
static ucontext_t scheduler, coroutines[COROUTINES];
static int turns;

static void work(void) {
    for (size_t i = 0; i < 300; i++) {
        void *p = malloc(i * 200);
        p = realloc(p, i * 300 + 1);
        EXPECT(p != NULL);
        free(p);
        free(calloc(3, i));
    }
}

static void *in_thread(void *unused) {
    work();
    return unused;
}

static void run_on(size_t bytes) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    EXPECT(pthread_attr_setstacksize(&attributes, bytes) == 0);
    EXPECT(pthread_create(&thread, &attributes, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&attributes);
}

static void coroutine(int number) {
    for (int turn = 0; turn < 10; turn++) {
        void *p = malloc(1000);
        fill(p, 1000, (unsigned)number);
        work();
        swapcontext(&coroutines[number], &scheduler);
        EXPECT(is_filled(p, 1000, (unsigned)number));
        free(p);
        turns++;
    }
}

static void run_coroutines(void) {
    static char stacks[COROUTINES][16384] __attribute__((aligned(16)));
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&coroutines[i]);
        coroutines[i].uc_stack.ss_sp = stacks[i];
        coroutines[i].uc_stack.ss_size = sizeof stacks[i];
        coroutines[i].uc_link = &scheduler;
        makecontext(&coroutines[i], (void (*)(void))coroutine, 1, i);
    }
    for (int turn = 0; turn <= 10; turn++) {
        for (int i = 0; i < COROUTINES; i++) {
            swapcontext(&scheduler, &coroutines[i]);
        }
    }
    EXPECT(turns == COROUTINES * 10);
}

int main(void) {
    long least = sysconf(_SC_THREAD_STACK_MIN);
    for (int i = 0; i < 10; i++) {
        run_on(least > 0 ? (size_t)least : (size_t)PTHREAD_STACK_MIN);
        run_on(least > 16384 ? (size_t)least : 16384);
        run_on(65536);
    }
    run_coroutines();
    return expect_end();
}
