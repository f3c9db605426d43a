#include "report/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "report/prefix.h"

#define FIRST_NS 500000000u
#define STEP_NS 100000000u

static struct {
    bool asked;
    bool terminal;
    bool shown;
    uint64_t next_ns;
} line;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool wanted(void) {
    if (!line.asked) {
        line.asked = true;
        line.terminal = isatty(STDERR_FILENO) == 1;
        line.next_ns = now_ns() + FIRST_NS;
    }
    return line.terminal;
}

void psc_progress_disable(void) {
    line.asked = true;
    line.terminal = false;
}

void psc_progress_show(const char *what, uint64_t done, uint64_t total) {
    if (!wanted() || total == 0) {
        return;
    }
    uint64_t now = now_ns();
    if (now >= line.next_ns) {
        line.next_ns = now + STEP_NS;
        line.shown = true;
        fprintf(stderr, "\r\033[Kpoolscope %s: %s %3.0f %%", psc_prefix_name(), what,
                100.0 * (double)done / (double)total);
        fflush(stderr);
    }
}

void psc_progress_clear(void) {
    if (line.shown) {
        line.shown = false;
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
