/* A handler on an alternate stack of 8 KiB, raised where no allocation is under way, allocates, and leaves by return
 * or by siglongjmp. */
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include "tests/victims/expect.h"

static sigjmp_buf back;
static void *from_handler;
static int leaves;

static void handler(int number) {
    EXPECT(number == SIGUSR1);
    void *p = malloc(500);
    fill(p, 500, 2);
    free(from_handler);
    from_handler = p;
    if (leaves) {
        siglongjmp(back, 1);
    }
}

static void set_up(void) {
    size_t bytes = 8192;
    long least = sysconf(_SC_MINSIGSTKSZ);
    if (least > 0 && bytes < (size_t)least + 6144) {
        bytes = (size_t)least + 6144; /* the registers of a large processor take their share first */
    }
    stack_t stack = {.ss_sp = malloc(bytes), .ss_size = bytes};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    EXPECT(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
}

int main(void) {
    set_up();
    for (volatile int i = 0; i < 1000; i++) {
        leaves = i % 2;
        if (sigsetjmp(back, 1) == 0) {
            raise(SIGUSR1);
        }
        EXPECT(is_filled(from_handler, 500, 2));
        free(malloc((size_t)i * 10));
    }
    return expect_end();
}
