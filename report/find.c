#include "report/find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/array.h"
#include "report/file.h"
#include "report/format.h"
#include "report/prefix.h"

void psc_find_release(struct psc_paths *found) {
    for (size_t i = 0; i < found->count; i++) {
        free(found->paths[i]);
    }
    free(found->paths);
    *found = (struct psc_paths){0};
}

static void add(struct psc_paths *found, const char *path) {
    found->paths = psc_array_reserve(found->paths, found->count + 1, &found->capacity, sizeof(*found->paths));
    found->paths[found->count++] = psc_array_text(path);
}

static char *join(const char *directory, const char *name) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        return psc_array_text(name);
    }
    return path;
}

static int by_name(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* What may be a trace, by name and type; links are not followed, since nobody named them. */
static bool is_trace(const char *path, const char *name) {
    struct stat status;
    return fnmatch("*.trace", name, FNM_PERIOD) == 0 && lstat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* A process that was killed while it made its trace leaves a file without a header. */
static bool has_begun(const char *path) {
    uint64_t magic = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    bool begun = fd < 0 || (psc_file_read(fd, &magic, sizeof(magic), 0) > 0 && magic != 0);
    if (fd >= 0) {
        close(fd);
    }
    return begun; /* what cannot be opened is told of when it is read */
}

/* Adds the traces of a directory. Returns how many; -1 if it cannot be read (errno). */
static long add_directory(struct psc_paths *found, const char *directory) {
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        return -1;
    }
    size_t before = found->count;
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        char *path = join(directory, entry->d_name);
        if (is_trace(path, entry->d_name) && has_begun(path)) {
            add(found, path);
        } else if (is_trace(path, entry->d_name)) {
            found->empty++;
        }
        free(path);
    }
    closedir(stream);
    if (found->count > before) {
        qsort(found->paths + before, found->count - before, sizeof(*found->paths), by_name);
    }
    return (long)(found->count - before);
}

bool psc_find_add(struct psc_paths *found, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        add(found, path); /* what is wrong with it is said when it is opened */
        return true;
    }
    size_t empty = found->empty;
    long count = add_directory(found, path);
    if (found->empty > empty) {
        fprintf(stderr, "poolscope %s: left out of %s: %zu without contents, whose processes ended as they began\n",
                psc_prefix_name(), psc_format_path(path).s, found->empty - empty);
    }
    if (count < 0) {
        fprintf(stderr, "poolscope %s: cannot read %s: %s\n", psc_prefix_name(), psc_format_path(path).s,
                strerror(errno));
    } else if (count == 0) {
        fprintf(stderr, "poolscope %s: no trace (*.trace) in %s\n", psc_prefix_name(), psc_format_path(path).s);
    }
    return count > 0;
}

static bool is_newer(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* The traces of a candidate, and when the latest of them was written: the directory's own time does not tell. */
static bool take_candidate(struct psc_paths *traces, const char *name, struct timespec *newest) {
    struct stat status;
    if (fnmatch("poolscope-*", name, 0) != 0 || lstat(name, &status) != 0) {
        return false;
    }
    if (S_ISDIR(status.st_mode)) {
        add_directory(traces, name);
    } else if (is_trace(name, name) && has_begun(name)) {
        add(traces, name);
    }
    *newest = (struct timespec){0};
    for (size_t i = 0; i < traces->count; i++) {
        if (lstat(traces->paths[i], &status) == 0 && is_newer(&status.st_mtim, newest)) {
            *newest = status.st_mtim;
        }
    }
    return traces->count != 0;
}

static void search(struct psc_paths *best, DIR *stream) {
    struct timespec best_time = {0};
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        struct psc_paths traces = {0};
        struct timespec time;
        if (take_candidate(&traces, entry->d_name, &time) && is_newer(&time, &best_time)) {
            struct psc_paths worse = *best;
            *best = traces;
            traces = worse;
            best_time = time;
        }
        psc_find_release(&traces);
    }
}

bool psc_find_newest(struct psc_paths *found) {
    DIR *stream = opendir(".");
    if (stream == NULL) {
        fprintf(stderr, "poolscope report: cannot read the current directory: %s\n", strerror(errno));
        return false;
    }
    search(found, stream);
    closedir(stream);
    if (found->count == 0) {
        fputs("poolscope report: no trace given, and no poolscope-*/ or poolscope-*.trace in the current directory\n",
              stderr);
    }
    return found->count != 0;
}
