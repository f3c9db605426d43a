#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/workloads/bench.h"

static size_t table_bytes;

size_t bench_scaled(double scale, size_t n) {
    double scaled = (double)n * scale;

    return scaled < 1 ? 1 : (size_t)scaled;
}

void *bench_table(size_t bytes) {
    void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (table == MAP_FAILED) {
        bench_fail("no memory for a table");
    }
    table_bytes += bytes;
    return table;
}

/* smaps_rollup walks the page tables; the counters behind statm are off by up to a few hundred KiB. */
static size_t rollup(const char *key) {
    char text[2048];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    const char *line;

    if (fd >= 0) {
        close(fd);
    }
    if (got <= 0) {
        bench_fail("cannot read /proc/self/smaps_rollup");
    }
    text[got] = 0;
    line = strstr(text, key);
    return line ? strtoull(line + strlen(key), NULL, 10) * 1024 - table_bytes : 0;
}

size_t bench_rss(void) {
    return rollup("Rss:");
}

size_t bench_anonymous(void) {
    return rollup("\nAnonymous:");
}

void bench_figure(const char *name, double value) {
    char line[128];
    int length = snprintf(line, sizeof line, "figure %s %.4f\n", name, value);

    if (write(STDERR_FILENO, line, (size_t)length) != length) {
        _exit(1);
    }
}

void bench_fail(const char *what) {
    char line[128];
    int length = snprintf(line, sizeof line, "workloads: %s\n", what);

    if (write(STDERR_FILENO, line, (size_t)length) != length) {
        _exit(2);
    }
    _exit(1);
}

void bench_sleep_ms(unsigned ms) {
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000L};

    while (nanosleep(&rest, &rest)) {
        continue;
    }
}

void *bench_make_full(size_t bytes, uint32_t tag) {
    void *block = malloc(bytes);

    if (block) {
        memset(block, (int)(tag & 0xff), bytes);
    }
    return bench_stamped(block, bytes, tag);
}
