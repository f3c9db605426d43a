#include "tools/top_find.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/model.h"
#include "report/trace.h"

/* A file that is mapped shared. */
struct mapping {
    uint64_t start;
    uint64_t end;
    ino_t inode;
    const char *path;
};

/* What was seen in the maps of the process. */
struct search {
    uint32_t pid;
    bool any;      /* it has memory: it has not ended */
    bool library;  /* libpoolscope.so is loaded */
    bool of_other; /* a trace is mapped, but not this process's own */
    int error;     /* of a trace that could not be opened */
    char *path;
    size_t path_bytes;
};

static bool parse(char *line, struct mapping *mapping) {
    char flags[5];
    uint64_t inode;
    int at = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %" SCNu64 " %n", &mapping->start, &mapping->end, flags,
               &inode, &at) != 4 ||
        at == 0) {
        return false;
    }
    mapping->inode = (ino_t)inode;
    mapping->path = line + at;
    return flags[3] == 's' && inode != 0;
}

static bool is_mapped_file(const struct stat *status, const struct mapping *mapping) {
    return S_ISREG(status->st_mode) && status->st_ino == mapping->inode;
}

/* Only the file that is mapped will do, not another that has its name by now; and no device, which to open may mean
 * something. */
static int open_same(const char *path, const struct mapping *mapping) {
    struct stat status;
    if (stat(path, &status) != 0) {
        return -1;
    }
    errno = ENOENT;
    int fd = is_mapped_file(&status, mapping) ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
    if (fd >= 0 && (fstat(fd, &status) != 0 || !is_mapped_file(&status, mapping))) {
        close(fd);
        errno = ENOENT;
        return -1;
    }
    return fd;
}

/* By its name, by its name as the process sees it, or without one, which takes root. errno is what the first says. */
static int open_mapped(const struct search *search, const struct mapping *mapping) {
    char seen[PATH_MAX + 64], nameless[64];
    snprintf(seen, sizeof(seen), "/proc/%" PRIu32 "/root%s", search->pid, mapping->path);
    snprintf(nameless, sizeof(nameless), "/proc/%" PRIu32 "/map_files/%" PRIx64 "-%" PRIx64, search->pid,
             mapping->start, mapping->end);
    const char *const paths[] = {mapping->path, seen, nameless};
    int error = 0, fd = -1;
    for (size_t i = 0; i < PSC_COUNT_OF(paths) && fd < 0; i++) {
        fd = open_same(paths[i], mapping);
        error = i == 0 ? errno : error;
    }
    errno = error;
    return fd;
}

/* What the process knows as its number: the last of them, if it lives in a pid namespace. */
static uint32_t own_number(uint32_t pid) {
    char path[40], line[256];
    uint32_t number = pid;
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/status", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *last = strncmp(line, "NSpid:", strlen("NSpid:")) == 0 ? strrchr(line, '\t') : NULL;
        number = last != NULL ? (uint32_t)strtoul(last, NULL, 10) : number;
    }
    if (file != NULL) {
        fclose(file);
    }
    return number;
}

/* A forked child has its parent's trace mapped until it records something itself. */
static bool is_own(const struct search *search, int fd, bool *is_trace) {
    const char *error;
    struct psc_trace trace;
    *is_trace = psc_trace_open_fd(&trace, fd, &error);
    if (!*is_trace) {
        return false;
    }
    uint64_t start_ticks = trace.header.start_ticks;
    bool named = trace.header.pid == own_number(search->pid);
    psc_trace_close(&trace);
    return named && psc_process_runs(search->pid, start_ticks);
}

/* The descriptor if this line of the maps is the trace; else -1. */
static int look_at(struct search *search, char *line) {
    struct mapping mapping;
    bool is_trace;
    search->any = true;
    search->library |= strstr(line, "/libpoolscope") != NULL;
    if (!parse(line, &mapping)) {
        return -1;
    }
    int fd = open_mapped(search, &mapping);
    if (fd < 0) {
        search->error = strstr(mapping.path, ".trace") != NULL ? errno : search->error;
        return -1;
    }
    if (is_own(search, fd, &is_trace)) {
        snprintf(search->path, search->path_bytes, "%s", mapping.path);
        return fd;
    }
    search->of_other |= is_trace;
    close(fd);
    return -1;
}

static int look_through(struct search *search, FILE *maps) {
    char *line = NULL;
    size_t room = 0;
    int fd = -1;
    while (fd < 0 && getline(&line, &room, maps) > 0) {
        fd = look_at(search, line);
    }
    free(line);
    return fd;
}

static void explain(const struct search *search, char *error, size_t bytes) {
    if (!search->any) {
        snprintf(error, bytes, "process %" PRIu32 " has ended", search->pid);
    } else if (search->of_other) {
        snprintf(error, bytes, "process %" PRIu32 " was forked, and has recorded nothing of its own yet", search->pid);
    } else if (search->library && search->error != 0) {
        snprintf(error, bytes, "the trace of process %" PRIu32 " cannot be opened: %s", search->pid,
                 strerror(search->error));
    } else if (search->library) {
        snprintf(error, bytes,
                 "process %" PRIu32 " runs under poolscope but writes no trace: mode=off, or recording could not begin",
                 search->pid);
    } else {
        snprintf(error, bytes, "process %" PRIu32 " does not run under poolscope; start it by: poolscope run -- CMD",
                 search->pid);
    }
}

static void explain_maps(uint32_t pid, int why, char *error, size_t bytes) {
    if (why == ENOENT || why == ESRCH) {
        snprintf(error, bytes, "there is no process %" PRIu32, pid);
    } else {
        snprintf(error, bytes, "process %" PRIu32 " is not yours to look into: %s", pid, strerror(why));
    }
}

int psc_top_find(uint32_t pid, char *path, size_t path_bytes, char *error, size_t error_bytes) {
    char maps_path[40];
    struct search search = {.pid = pid, .path = path, .path_bytes = path_bytes};
    snprintf(maps_path, sizeof(maps_path), "/proc/%" PRIu32 "/maps", pid);
    FILE *maps = fopen(maps_path, "re");
    if (maps == NULL) {
        explain_maps(pid, errno, error, error_bytes);
        return -1;
    }
    int fd = look_through(&search, maps);
    if (fd < 0 && ferror(maps)) {
        explain_maps(pid, errno, error, error_bytes);
    } else if (fd < 0) {
        explain(&search, error, error_bytes);
    }
    fclose(maps);
    return fd;
}
