/*
 * measure OUT INTERVAL_US TIMEOUT_S [NAME=VALUE...] -- CMD ARG...
 *
 * Runs CMD with the variables added to its environment, and writes to the file OUT what it used: lines "name value",
 * times in microseconds, memory in KiB. Resident memory is sampled over CMD and its descendants and added up (pages
 * that they share count for each). The peak is the larger one of the samples' and of what the kernel noted for the
 * largest single process. Passes the status of CMD on, 128 + signal if it was killed; 124 after TIMEOUT_S seconds, all
 * of CMD's process group having been killed.
 *
 * A program of its own, and a small static one, because the kernel's peak of a process begins at the size of the
 * process that it was forked from, and because a sample is to cost little.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct memory {
    uint64_t pages, peak_pages, last_pages; /* of the newest sample, of the largest, of the last that was not 0 */
    double page_us;                         /* integral over time */
    uint64_t since_us, samples;
};

static uint64_t now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Returns text, empty if the file cannot be read. */
static const char *slurp(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);

    if (fd >= 0) {
        close(fd);
    }
    text[got > 0 ? got : 0] = 0;
    return text;
}

/* Resident pages of pid and of the descendants that its processes' first threads started. */
static uint64_t tree_pages(long pid, int depth) {
    char path[64], text[4096];
    uint64_t pages = 0;
    char *at;

    snprintf(path, sizeof path, "/proc/%ld/statm", pid);
    at = strchr(slurp(path, text, sizeof text), ' ');
    if (at) {
        pages = strtoull(at, NULL, 10);
    }
    if (depth == 0) {
        return pages;
    }
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", pid, pid);
    for (at = (char *)slurp(path, text, sizeof text); *at >= '0' && *at <= '9'; at += strspn(at, " ")) {
        pages += tree_pages(strtol(at, &at, 10), depth - 1);
    }
    return pages;
}

/* What was there at the last sample is taken to have been there until now. */
static void sample(struct memory *memory, pid_t pid) {
    uint64_t now = now_us();

    memory->page_us += (double)memory->pages * (double)(now - memory->since_us);
    memory->since_us = now;
    memory->pages = tree_pages(pid, 4);
    memory->samples++;
    if (memory->pages > memory->peak_pages) {
        memory->peak_pages = memory->pages;
    }
    if (memory->pages) {
        memory->last_pages = memory->pages;
    }
}

static uint64_t us_of(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static uint64_t max(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static int write_results(const char *path, const struct memory *memory, const struct rusage *used, uint64_t wall) {
    uint64_t page_kib = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    FILE *out = fopen(path, "w");

    if (!out) {
        return -1;
    }
    fprintf(out, "user_us %llu\nsystem_us %llu\nwall_us %llu\n", (unsigned long long)us_of(used->ru_utime),
            (unsigned long long)us_of(used->ru_stime), (unsigned long long)wall);
    fprintf(out, "peak_kib %llu\n", (unsigned long long)max(memory->peak_pages * page_kib, (uint64_t)used->ru_maxrss));
    fprintf(out, "average_kib %llu\n",
            (unsigned long long)(wall ? memory->page_us / (double)wall * (double)page_kib : 0));
    fprintf(out, "end_kib %llu\n", (unsigned long long)(memory->last_pages * page_kib));
    fprintf(out, "minor_faults %ld\nmajor_faults %ld\nsamples %llu\n", used->ru_minflt, used->ru_majflt,
            (unsigned long long)memory->samples);
    return fclose(out);
}

static void run_child(char **words, const sigset_t *mask) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* an interrupt from the keyboard does not reach another process group */
    sigprocmask(SIG_SETMASK, mask, NULL);
    for (; strcmp(*words, "--"); words++) {
        putenv(*words);
    }
    execvp(words[1], words + 1);
    fprintf(stderr, "measure: %s: %s\n", words[1], strerror(errno));
    _exit(127);
}

/* Sleeps until the interval is over or a child has ended. */
static void doze(const sigset_t *child_ended, long interval_us) {
    struct timespec interval = {interval_us / 1000000, interval_us % 1000000 * 1000};

    sigtimedwait(child_ended, NULL, &interval);
}

static int watch(pid_t child, const sigset_t *child_ended, char **argv) {
    uint64_t start = now_us(), deadline = start + strtoull(argv[3], NULL, 10) * 1000000;
    struct memory memory = {.since_us = start};
    struct rusage used;
    int status, late = 0;

    while (wait4(child, &status, WNOHANG, &used) == 0) {
        if (!late && now_us() > deadline) {
            late = 1;
            kill(-child, SIGKILL);
        }
        sample(&memory, child);
        doze(child_ended, strtol(argv[2], NULL, 10));
    }
    sample(&memory, child);
    if (write_results(argv[1], &memory, &used, memory.since_us - start)) {
        perror(argv[1]);
        return 125;
    }
    if (late) {
        return 124;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int has_command(int argc, char **argv) {
    for (int i = 4; i < argc - 1; i++) {
        if (!strcmp(argv[i], "--")) {
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    sigset_t child_ended, before;
    pid_t child;

    if (!has_command(argc, argv)) {
        fprintf(stderr, "usage: measure OUT INTERVAL_US TIMEOUT_S [NAME=VALUE...] -- CMD ARG...\n");
        return 2;
    }
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, &before);
    child = fork();
    if (child < 0) {
        perror("fork");
        return 125;
    }
    if (child == 0) {
        run_child(argv + 4, &before);
    }
    return watch(child, &child_ended, argv);
}
