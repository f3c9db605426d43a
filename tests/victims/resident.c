/* resident: holds memory of each kind, prints what the kernel says of it in /proc/self/smaps, and ends at once.
 *   rss BYTES, anonymous BYTES, file BYTES (of files other than traces), trace BYTES, own BYTES (its own mmap),
 *   absent BYTES (large blocks that it never touched) */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/victims/expect.h"

#define MIB ((size_t)1 << 20)
#define OWN (20 * MIB)
#define LARGE (64 * MIB)

struct sums {
    unsigned long rss, anonymous, file, trace;
};

static char text[4 * MIB];

static size_t read_all(const char *path) {
    size_t length = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY);
    EXPECT(fd >= 0);
    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0) {
        length += (size_t)got;
    }
    close(fd);
    text[length] = '\0';
    return length;
}

static unsigned long figure(const char *entry, const char *end, const char *key) {
    const char *found = strstr(entry, key);
    return found != NULL && found < end ? strtoul(found + strlen(key), NULL, 10) * 1024 : 0;
}

/* An entry ends with its flags. Of a file's pages, those that were written to are anonymous. */
static struct sums sum_smaps(void) {
    struct sums sums = {0};
    read_all("/proc/self/smaps");
    const char *end;
    for (const char *entry = text; (end = strstr(entry, "VmFlags:")) != NULL; entry = strchr(end, '\n') + 1) {
        unsigned long rss = figure(entry, end, "\nRss:"), anonymous = figure(entry, end, "\nAnonymous:");
        const char *trace = strstr(entry, ".trace\n");
        sums.rss += rss;
        sums.anonymous += anonymous;
        *(trace != NULL && trace < end ? &sums.trace : &sums.file) += rss - anonymous;
    }
    return sums;
}

int main(void) {
    memset(text, 1, sizeof text); /* its pages are there before they are counted */
    for (size_t i = 0; i < 100000; i++) {
        char *volatile small = malloc(100);
        EXPECT(small != NULL);
        memset(small, 1, 100);
        if (i % 3 != 0) {
            free(small);
        }
    }
    char *volatile large = malloc(LARGE);
    EXPECT(large != NULL);
    memset(large, 1, LARGE / 2);
    char *own = mmap(NULL, OWN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(own != MAP_FAILED);
    memset(own, 1, OWN);
    printf(".\n"); /* stdio has its buffer */
    struct sums sums = sum_smaps();
    printf("rss %lu\nanonymous %lu\nfile %lu\ntrace %lu\nown %zu\nabsent %zu\n", sums.rss, sums.anonymous, sums.file,
           sums.trace, OWN, LARGE / 2);
    return 0;
}
