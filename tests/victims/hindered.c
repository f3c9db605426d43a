/* A program that the machine hinders, or that hinders the library: hindered HOW FILE. It allocates, lets it happen, allocates
 * on, and writes what it was asked to FILE, where no byte may be but its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define KEPT 20000

static void *kept[KEPT];

static void allocate(unsigned from) {
    for (size_t i = 0; i < KEPT; i++) {
        size_t bytes = (i * 37 + from) % 3000 + 1;
        free(kept[i]);
        kept[i] = malloc(bytes);
        EXPECT(kept[i] != NULL);
        fill(kept[i], bytes, (unsigned)i);
    }
}

/* Its own file stands on each of our numbers by now, and on stderr's. */
static void take_descriptors(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0 && write(fd, "own\n", 4) == 4);
    for (int i = 2; i < 1100; i++) {
        if (i != fd) {
            dup2(fd, i);
        }
    }
}

static void limit(__rlimit_resource_t what, size_t bytes) {
    struct rlimit limit;
    getrlimit(what, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    EXPECT(setrlimit(what, &limit) == 0);
}

static void has_a_child(void) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        allocate(5);
        exit(3);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && status == 3 << 8);
}

/* So many mappings that the kernel has none left. */
static size_t map_until_full(char **pages, size_t most) {
    size_t count = 0;
    for (; count < most; count++) {
        int protection = count % 2 == 0 ? PROT_READ : PROT_NONE;
        pages[count] = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages[count] == MAP_FAILED) {
            break;
        }
    }
    return count;
}

/* Each gives a block, or NULL and ENOMEM. */
static void allocate_or_not(size_t bytes) {
    enum { BLOCKS = 20 };
    void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        errno = 0;
        blocks[i] = i % 3 == 2 ? calloc(1, bytes) : malloc(bytes);
        EXPECT(blocks[i] != NULL || errno == ENOMEM);
        if (blocks[i] != NULL) {
            fill(blocks[i], bytes, (unsigned)i);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        void *p = realloc(blocks[i], bytes + bytes / 2);
        EXPECT(blocks[i] == NULL || is_filled(p != NULL ? p : blocks[i], bytes, (unsigned)i));
        blocks[i] = p != NULL ? p : blocks[i];
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i * 7 % BLOCKS]);
    }
}

/* Whatever fails. */
static int allocate_at_all(void) {
    int status = -1;
    static const size_t sizes[] = {50, 5000, 300000, 1500000};
    for (size_t i = 0; i < 4; i++) {
        allocate_or_not(sizes[i]);
    }
    pid_t child = fork();
    if (child == 0) {
        allocate_or_not(500);
        exit(expect_failures);
    }
    EXPECT(child < 0 || (waitpid(child, &status, 0) == child && status == 0));
    allocate_or_not(700);
    return expect_end();
}

static void run_out_of_mappings(void) {
    enum { MOST = 200000 };
    char **pages = mmap(NULL, MOST * sizeof *pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t count = map_until_full(pages, MOST);
    for (size_t bytes = 100; bytes < 10000000; bytes *= 3) {
        allocate_or_not(bytes);
    }
    for (size_t i = 0; i < count; i++) {
        munmap(pages[i], 4096);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    const char *how = argv[1];
    if (strcmp(how, "refused") == 0) {
        return allocate_at_all();
    }
    if (strcmp(how, "descriptors") == 0) {
        take_descriptors(argv[2]);
    } else if (strcmp(how, "closed") == 0) {
        close_range(2, ~0u, 0);
        take_descriptors(argv[2]);
    }
    allocate(0);
    if (strcmp(how, "file_size") == 0) {
        limit(RLIMIT_FSIZE, 0);
    } else if (strcmp(how, "no_descriptors") == 0) {
        limit(RLIMIT_NOFILE, 0);
    } else if (strcmp(how, "root") == 0) {
        EXPECT(chroot(argv[2]) == 0 && chdir("/") == 0);
    } else if (strcmp(how, "user") == 0) {
        EXPECT(setgid(65534) == 0 && setuid(65534) == 0);
    } else if (strcmp(how, "removed") == 0) {
        EXPECT(rename(argv[2], "moved") == 0);
    } else if (strcmp(how, "mappings") == 0) {
        run_out_of_mappings();
    }
    allocate(1000);
    has_a_child();
    allocate(2000);
    allocate_or_not(1500000);
    limit(RLIMIT_FSIZE, SIZE_MAX); /* stdout may be a file */
    return expect_end();
}
