/* The allocator takes no descriptor that the program could meet, and does without those that are closed under it. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/victims/expect.h"

static int is_open(int fd) {
    return fcntl(fd, F_GETFD) != -1;
}

static void allocate(void) {
    for (size_t i = 0; i < 3000; i++) {
        void *p = malloc(i * 20);
        memset(p, 1, i * 20);
        if (i % 2 == 0) {
            free(p);
        }
    }
}

int main(int argc, char **argv) {
    int stdin_is_closed = argc > 1 && strcmp(argv[1], "closed") == 0;
    EXPECT(is_open(0) == !stdin_is_closed);
    allocate();
    EXPECT(is_open(0) == !stdin_is_closed);
    for (int fd = 3; fd < 1000; fd++) {
        EXPECT(!is_open(fd));
    }
    int first = open("/dev/null", O_RDONLY);
    EXPECT(first == (stdin_is_closed ? 0 : 3));
    int status = 0;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = 3; fd < (int)limit.rlim_cur && fd < 70000; fd++) {
        close(fd);
    }
    allocate();
    status = expect_end();
    close(1);
    close(2);
    allocate(); /* more than was ever taken: tables grow without them */
    return status;
}
