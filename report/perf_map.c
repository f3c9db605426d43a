#include "report/perf_map.h"

#include <fcntl.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Limits that no honest file comes near. */
#define FILE_BYTES_MAX ((off_t)64 << 20)
#define LINES_MAX 2000000
#define LINE_BYTES_MAX 4096
/* File times are read from a clock that ticks slowly, and some file systems keep whole seconds. */
#define TIME_SLACK_NS UINT64_C(1000000000)

/* A line. */
struct code {
    uint64_t start;
    uint64_t end; /* above start */
    const char *name;
};

struct psc_perf_map {
    char *text;         /* the file, lines ended by NUL */
    struct code *codes; /* all lines, in their order */
    size_t count;
    void *tree; /* of those that were not replaced: no two of them overlap */
};

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static uint64_t written_ns(const struct stat *status) {
    return status->st_mtim.tv_sec < 0
               ? 0
               : (uint64_t)status->st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)status->st_mtim.tv_nsec;
}

static bool is_usable(const struct stat *status, const struct psc_perf_map_source *source) {
    uint64_t written = written_ns(status);
    bool in_time = written + TIME_SLACK_NS >= source->not_before_ns &&
                   (written < TIME_SLACK_NS || written - TIME_SLACK_NS <= source->not_after_ns);
    return S_ISREG(status->st_mode) && (status->st_uid == geteuid() || status->st_uid == 0) &&
           status->st_size <= FILE_BYTES_MAX && in_time;
}

static bool read_whole(int fd, char *text, size_t bytes, size_t *got) {
    ssize_t more;
    *got = 0;
    while (*got < bytes && (more = read(fd, text + *got, bytes - *got)) > 0) {
        *got += (size_t)more;
    }
    return *got == bytes || more == 0;
}

/* The bytes of the file, to be freed; NULL: none that can be used. */
static char *read_file(const struct psc_perf_map_source *source, size_t *bytes) {
    struct stat status;
    char *text = NULL;
    int fd = open(source->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &status) == 0 && is_usable(&status, source)) {
        text = malloc((size_t)status.st_size + 1);
    }
    if (text != NULL && !read_whole(fd, text, (size_t)status.st_size, bytes)) {
        free(text);
        text = NULL;
    }
    close(fd);
    return text;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static int digit_of(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A hexadecimal number and the space behind it. */
static bool take_number(const char **at, uint64_t *value) {
    const char *digits = *at + ((*at)[0] == '0' && (*at)[1] == 'x' ? 2 : 0);
    const char *end = digits;
    *value = 0;
    for (; digit_of(*end) >= 0 && end - digits < 17; end++) {
        *value = *value << 4 | (uint64_t)digit_of(*end);
    }
    *at = end + 1;
    return end > digits && end - digits <= 16 && *end == ' ';
}

static bool read_line(const char *line, struct code *code) {
    uint64_t size;
    if (!take_number(&line, &code->start) || !take_number(&line, &size)) {
        return false;
    }
    code->name = line;
    return *line != '\0' && size != 0 && !__builtin_add_overflow(code->start, size, &code->end);
}

/* Lines that overlap are equal to each other, and the tree has only lines that do not. */
static int compare(const void *left, const void *right) {
    const struct code *a = left, *b = right;
    return a->end <= b->start ? -1 : a->start >= b->end;
}

static bool put(struct psc_perf_map *map, struct code *code) {
    struct code **replaced;
    while ((replaced = tfind(code, &map->tree, compare)) != NULL) {
        tdelete(*replaced, &map->tree, compare);
    }
    return tsearch(code, &map->tree, compare) != NULL;
}

/* Whole lines alone: the last one may still be on its way. */
static bool read_lines(struct psc_perf_map *map, size_t bytes) {
    size_t lines = 0;
    for (size_t i = 0; i < bytes; i++) {
        lines += map->text[i] == '\n';
    }
    map->codes = lines <= LINES_MAX ? calloc(lines + 1, sizeof(*map->codes)) : NULL;
    if (map->codes == NULL) {
        return false;
    }
    char *line = map->text;
    for (char *end; (end = memchr(line, '\n', bytes - (size_t)(line - map->text))) != NULL; line = end + 1) {
        struct code *code = &map->codes[map->count];
        *end = '\0';
        if (end - line <= LINE_BYTES_MAX && read_line(line, code)) {
            map->count++;
            if (!put(map, code)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- face -------------------------------------------------------------------------------------------------------- */

struct psc_perf_map *psc_perf_map_open(const struct psc_perf_map_source *source) {
    size_t bytes;
    char *text = read_file(source, &bytes);
    struct psc_perf_map *map = text != NULL ? calloc(1, sizeof(*map)) : NULL;
    if (map == NULL) {
        free(text);
        return NULL;
    }
    map->text = text;
    if (!read_lines(map, bytes)) {
        psc_perf_map_close(map);
        return NULL;
    }
    return map;
}

static void keep(void *code) {
    (void)code; /* lies in map->codes */
}

void psc_perf_map_close(struct psc_perf_map *map) {
    if (map != NULL) {
        tdestroy(map->tree, keep);
        free(map->codes);
        free(map->text);
        free(map);
    }
}

const char *psc_perf_map_find(const struct psc_perf_map *map, uint64_t address) {
    struct code place = {.start = address, .end = address + 1};
    struct code **found = address != UINT64_MAX ? tfind(&place, &map->tree, compare) : NULL;
    return found != NULL ? (*found)->name : NULL;
}
