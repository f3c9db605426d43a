/* A program whose threads allocate all the time forks 200 times; the children allocate, free what they inherited, start
 * threads, and fork again. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define FORKS 200
static int stop;
static void *inherited[100];

static void *allocates(void *unused) {
    void *blocks[64] = {NULL};
    for (size_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc(i % 97 == 0 ? 100000 : i % 3000);
    }
    for (size_t i = 0; i < 64; i++) {
        free(blocks[i]);
    }
    return unused;
}

static void *in_child_thread(void *unused) {
    for (size_t i = 0; i < 500; i++) {
        free(malloc(i * 10));
    }
    return unused;
}

static int child(int number) {
    for (size_t i = 0; i < 100; i++) {
        EXPECT(is_filled(inherited[i], i * 50, (unsigned)i));
        inherited[i] = realloc(inherited[i], i * 100 + 1);
        EXPECT(is_filled(inherited[i], i * 50, (unsigned)i));
        free(inherited[i]);
    }
    in_child_thread(NULL);
    if (number % 10 == 0) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, in_child_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
        int status = -1;
        pid_t grandchild = fork();
        if (grandchild == 0) {
            in_child_thread(NULL);
            _exit(0);
        }
        EXPECT(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    }
    return expect_failures != 0;
}

int main(void) {
    for (size_t i = 0; i < 100; i++) {
        inherited[i] = malloc(i * 50);
        fill(inherited[i], i * 50, (unsigned)i);
    }
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        EXPECT(pthread_create(&threads[i], NULL, allocates, NULL) == 0);
    }
    for (int i = 0; i < FORKS; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            _exit(child(i));
        }
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    return expect_end();
}
