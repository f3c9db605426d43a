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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/footprint.h"

static uint64_t us_of(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static uint64_t max(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static int write_results(const char *path, const struct psc_footprint *memory, const struct rusage *used,
                         uint64_t wall) {
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
    uint64_t start = psc_footprint_now_us(), deadline = start + strtoull(argv[3], NULL, 10) * 1000000;
    struct psc_footprint memory = {.since_us = start};
    struct rusage used;
    int status, late = 0;

    while (wait4(child, &status, WNOHANG, &used) == 0) {
        if (!late && psc_footprint_now_us() > deadline) {
            late = 1;
            kill(-child, SIGKILL);
        }
        psc_footprint_sample(&memory);
        doze(child_ended, strtol(argv[2], NULL, 10));
    }
    psc_footprint_sample(&memory);
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
