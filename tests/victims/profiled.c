/* A program with signal handlers of its own: SIGPROF and an alarm a thousand times a second, whose handler unwinds the
 * stack that it interrupted, or allocates where the thread is not inside malloc; faults that a handler leaves by
 * siglongjmp; a small alternate stack. Threads allocate all the time. */
#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define THREADS 3
#define TURNS 6000

static int unwound, allocated;
static __thread volatile sig_atomic_t outside; /* of malloc, for sure */
static char *no_access;

static void on_profile(int number) {
    void *frames[64];
    (void)number;
    if (backtrace(frames, 64) > 1) {
        __atomic_fetch_add(&unwound, 1, __ATOMIC_RELAXED);
    }
    if (outside) {
        void *p = malloc(700);
        fill(p, 700, 9);
        EXPECT(is_filled(p, 700, 9));
        free(p);
        __atomic_fetch_add(&allocated, 1, __ATOMIC_RELAXED);
    }
}

static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_fault;

static void on_fault(int number) {
    EXPECT(number == SIGSEGV && may_fault);
    if (!may_fault) {
        _exit(9);
    }
    siglongjmp(back, 1);
}

/* As a collector of garbage or a virtual machine does it. */
static int faults(const char *p) {
    int faulted = 1;
    may_fault = 1;
    if (sigsetjmp(back, 1) == 0) {
        free(malloc((size_t) * (const volatile char *)p + 100));
        faulted = 0;
    }
    may_fault = 0;
    return faulted;
}

__attribute__((noinline, noclone)) static void allocate(size_t turn, size_t depth) {
    char *p = malloc(turn % 37 == 0 ? 50000 : turn % 900 + 8);
    outside = 1;
    for (size_t i = 0; i < 8; i++) {
        ((volatile char *)p)[i] = (char)i;
    }
    outside = 0;
    if (depth > 0) {
        allocate(turn + depth, depth - 1);
    }
    free(p);
}

static void *body(void *unused) {
    stack_t stack = {.ss_size = (size_t)SIGSTKSZ + 8192};
    stack.ss_sp = malloc(stack.ss_size);
    EXPECT(sigaltstack(&stack, NULL) == 0);
    for (size_t turn = 0; turn < TURNS; turn++) {
        allocate(turn, turn % 8);
        if (turn % 50 == 0) {
            EXPECT(faults(no_access) && !faults((const char *)body));
        }
    }
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    free(stack.ss_sp);
    return unused;
}

static void set_handler(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};
    EXPECT(sigaction(number, &action, NULL) == 0);
}

int main(void) {
    pthread_t threads[THREADS];
    void *frames[8];
    struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
    backtrace(frames, 8); /* loads the unwinder, which a handler must not */
    no_access = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    set_handler(SIGPROF, on_profile, 0);
    set_handler(SIGALRM, on_profile, SA_ONSTACK);
    set_handler(SIGSEGV, on_fault, SA_ONSTACK);
    setitimer(ITIMER_PROF, &often, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < THREADS; i++) {
        EXPECT(pthread_create(&threads[i], NULL, body, NULL) == 0);
    }
    body(NULL);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    while (__atomic_load_n(&unwound, __ATOMIC_RELAXED) < 10 || __atomic_load_n(&allocated, __ATOMIC_RELAXED) < 2) {
        allocate(1, 8);
    }
    memset(&often, 0, sizeof often);
    setitimer(ITIMER_PROF, &often, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    return expect_end();
}
