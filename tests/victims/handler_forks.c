/* handler_forks [THREADS [fork]]: a signal handler forks at any moment of malloc and free, 60 times; every tenth child
 * becomes another program, the others end at once. With THREADS, others allocate meanwhile; by _Fork then, as
 * libc's own fork may wait for ever for what was interrupted, or by fork all the same. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define FORKS 60

static volatile sig_atomic_t forks;
static int stop, by_fork = 1;
static pthread_t forker;

static void in_child(int number) {
    static char *const argv[] = {"true", NULL}, *const environment[] = {NULL};
    if (number % 10 == 0) {
        execve("/bin/true", argv, environment);
    }
    _exit(0);
}

static void handler(int number) {
    (void)number;
    int status = -1;
    if (forks >= FORKS || !pthread_equal(pthread_self(), forker)) {
        return;
    }
    pid_t pid = by_fork ? fork() : _Fork();
    if (pid == 0) {
        in_child(forks);
    }
    while (waitpid(pid, &status, 0) != pid) {
    }
    EXPECT(status == 0);
    forks++;
}

/* Little else than what takes locks. */
static void allocate(size_t turn) {
    static __thread void *blocks[64];
    static const size_t sizes[] = {20, 40000, 300000, 600000, 2000000, 3000};
    void **block = &blocks[turn * 7 % 64];
    free(*block);
    *block = malloc(sizes[turn % 6] + turn % 50);
    if (turn % 20 == 0) {
        malloc_trim(0);
    }
}

static void *allocates(void *unused) {
    for (size_t turn = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); turn++) {
        allocate(turn);
    }
    return unused;
}

static void begin_timer(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
    sigset_t alarm;
    EXPECT(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 0;
    pthread_t threads[8];
    sigset_t alarm;
    by_fork = count == 0 || argc > 2;
    forker = pthread_self();
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL); /* in the threads, too */
    for (int i = 0; i < count; i++) {
        EXPECT(pthread_create(&threads[i], NULL, allocates, NULL) == 0);
    }
    begin_timer();
    for (size_t turn = 0; forks < FORKS; turn++) {
        allocate(turn);
    }
    stop = 1;
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    return expect_end();
}
