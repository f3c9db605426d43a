#include "tools/footprint.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 16

struct walk {
    bool all_threads;
    psc_footprint_visit *visit;
    void *context;
};

static uint64_t walk_children(const struct walk *walk, long pid, int depth);

uint64_t psc_footprint_now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Returns text, empty if the file cannot be read. */
static char *slurp(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);

    if (fd >= 0) {
        close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static uint64_t pages_of(long pid) {
    char path[64], text[128];

    snprintf(path, sizeof(path), "/proc/%ld/statm", pid);
    char *at = strchr(slurp(path, text, sizeof(text)), ' ');
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static uint64_t walk_process(const struct walk *walk, long pid, int depth) {
    uint64_t pages = pages_of(pid);

    if (walk->visit != NULL) {
        walk->visit(walk->context, (pid_t)pid, pages);
    }
    return pages + walk_children(walk, pid, depth);
}

/* A number that the buffer's end cuts off would be another process's. */
static void drop_cut_number(char *text, size_t room) {
    size_t length = strlen(text);
    while (length == room && length > 0 && text[length - 1] != ' ') {
        text[--length] = '\0';
        room--;
    }
}

/* Those that one thread started; of very many, those that the buffer holds. */
static uint64_t walk_thread(const struct walk *walk, long pid, long tid, int depth) {
    char path[96], text[16384];
    uint64_t pages = 0;

    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", pid, tid);
    slurp(path, text, sizeof(text));
    drop_cut_number(text, sizeof(text) - 1);
    for (char *at = text; *at >= '0' && *at <= '9'; at += strspn(at, " ")) {
        pages += walk_process(walk, strtol(at, &at, 10), depth - 1);
    }
    return pages;
}

/* A directory has two links and one for each that is in it. */
static bool has_threads(const char *tasks) {
    struct stat status;

    return stat(tasks, &status) == 0 && status.st_nlink > 3;
}

static uint64_t walk_children(const struct walk *walk, long pid, int depth) {
    char tasks[64];
    uint64_t pages = 0;

    if (depth == 0) {
        return 0;
    }
    snprintf(tasks, sizeof(tasks), "/proc/%ld/task", pid);
    DIR *entries = walk->all_threads && has_threads(tasks) ? opendir(tasks) : NULL;
    if (entries == NULL) {
        return walk_thread(walk, pid, pid, depth);
    }
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] != '.') {
            pages += walk_thread(walk, pid, strtol(entry->d_name, NULL, 10), depth);
        }
    }
    closedir(entries);
    return pages;
}

uint64_t psc_footprint_walk(bool all_threads, psc_footprint_visit *visit, void *context) {
    struct walk walk = {all_threads, visit, context};

    return walk_children(&walk, getpid(), DEPTH_MAX);
}

void psc_footprint_sample(struct psc_footprint *footprint) {
    uint64_t now = psc_footprint_now_us();

    footprint->page_us += (double)footprint->pages * (double)(now - footprint->since_us);
    footprint->since_us = now;
    footprint->pages = psc_footprint_walk(footprint->all_threads, footprint->visit, footprint->context);
    footprint->samples++;
    if (footprint->pages > footprint->peak_pages) {
        footprint->peak_pages = footprint->pages;
    }
    if (footprint->pages != 0) {
        footprint->last_pages = footprint->pages;
    }
}
