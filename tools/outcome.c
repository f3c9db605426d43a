#include "tools/outcome.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/wire/trace.h"
#include "tools/program.h"

/* ---- traces ----------------------------------------------------------------------------------------------------- */

static bool read_header(int directory, const char *name, struct psc_wire_header *header) {
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    struct stat status;
    bool good = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                read(fd, header, sizeof(*header)) == (ssize_t)sizeof(*header) &&
                memcmp(header->magic, PSC_TRACE_MAGIC, sizeof(header->magic)) == 0;
    close(fd);
    return good;
}

/* A file name as a pattern for fnmatch, where each % directive stands for anything, and so does what may follow. */
static void make_pattern(const char *name, char *pattern, size_t bytes) {
    size_t length = 0;
    for (; *name != '\0' && length + 4 < bytes; name++) {
        if (name[0] == '%' && name[1] != '\0') {
            pattern[length++] = '*';
            name++;
        } else {
            if (strchr("*?[\\", *name) != NULL) {
                pattern[length++] = '\\';
            }
            pattern[length++] = *name;
        }
    }
    /* A name that is taken gets a number before its suffix. */
    if (length > 6 && memcmp(pattern + length - 6, ".trace", 6) == 0) {
        length -= 6;
    }
    memcpy(pattern + length, "*", 2);
}

/* The directory of a path that names files, in which %% stands for %. */
static void directory_of(const char *out, char directory[PATH_MAX]) {
    const char *slash = strrchr(out, '/');
    const char *end = slash == NULL ? out : slash + 1;
    size_t length = 0;
    for (const char *c = out; c < end && length < PATH_MAX - 2; c++) {
        directory[length++] = *c;
        c += c[0] == '%' && c[1] == '%';
    }
    if (length == 0) {
        directory[length++] = '.';
    }
    directory[length] = '\0';
}

static void count(struct psc_outcome *outcome, DIR *entries, const char *pattern, uint64_t since_ns, char *name) {
    struct psc_wire_header *header = calloc(1, sizeof(*header));
    for (struct dirent *entry; header != NULL && (entry = readdir(entries)) != NULL;) {
        if (fnmatch(pattern, entry->d_name, 0) == 0 && read_header(dirfd(entries), entry->d_name, header) &&
            header->start_realtime_ns >= since_ns) {
            outcome->traces++;
            outcome->passive += (header->flags & PSC_TRACE_PASSIVE) != 0;
            strcpy(name, entry->d_name);
        }
    }
    free(header);
}

void psc_outcome_find(struct psc_outcome *outcome, const char *out, uint64_t since_ns) {
    char name[NAME_MAX + 1] = "";
    char pattern[PATH_MAX] = "*";
    *outcome = (struct psc_outcome){.traces = 0};
    snprintf(outcome->place, sizeof(outcome->place), "%s", out);
    DIR *entries = opendir(out);
    bool files = entries == NULL;
    if (files) {
        const char *slash = strrchr(out, '/');
        make_pattern(slash == NULL ? out : slash + 1, pattern, sizeof(pattern));
        directory_of(out, outcome->place);
        entries = opendir(outcome->place);
    }
    if (entries != NULL) {
        count(outcome, entries, pattern, since_ns, name);
        closedir(entries);
    }
    size_t length = strlen(outcome->place);
    if (files && outcome->traces == 1) {
        snprintf(outcome->place + length, sizeof(outcome->place) - length, "%s", name);
    }
}

/* ---- programs that are not seen --------------------------------------------------------------------------------- */

static const char *why_not_elf(int fd) {
    ElfW(Ehdr) header;
    ElfW(Ehdr) own;
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool own_read = self >= 0 && psc_program_read(self, &own, sizeof(own), 0);
    if (self >= 0) {
        close(self);
    }
    if (!psc_program_read(fd, &header, sizeof(header), 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        return "it is not an ELF program";
    }
    if (own_read && (header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] || header.e_machine != own.e_machine)) {
        return "it is a program for another kind of machine (such as 32 bit) than poolscope was built for";
    }
    char loader[256];
    psc_program_read_loader(fd, loader, sizeof(loader));
    if (loader[0] == '\0') {
        return "it is linked statically: no loader runs that would bring the library in";
    }
    if (strstr(loader, "musl") != NULL) {
        return "it uses musl, and the library needs glibc";
    }
    return NULL;
}

static bool gains_rights(int fd) {
    struct stat status;
    return (fstat(fd, &status) == 0 && (status.st_mode & (S_ISUID | S_ISGID)) != 0) ||
           fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

static const char *why_file(const char *path, int scripts_left) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return "it cannot be read, and may be a program that the loader does not trust the environment for";
    }
    char start[256] = "";
    char interpreter[PATH_MAX];
    const char *why;
    if (pread(fd, start, sizeof(start) - 1, 0) > 0 && psc_program_interpreter(start, interpreter)) {
        why = scripts_left > 0 ? why_file(interpreter, scripts_left - 1) : NULL;
    } else if (gains_rights(fd)) {
        why = "it is set-user-ID, set-group-ID or has capabilities: the loader then ignores LD_PRELOAD";
    } else {
        why = why_not_elf(fd);
    }
    close(fd);
    return why;
}

const char *psc_outcome_why_not_loaded(const char *command) {
    char path[PATH_MAX];
    return psc_program_find(command, path) ? why_file(path, 4) : NULL;
}

const char *psc_outcome_why_nothing(const char *command) {
    const char *why = psc_outcome_why_not_loaded(command);
    return why != NULL ? why
                       : "no trace could be written, or it ended before its first line, or it dropped LD_PRELOAD "
                         "(verbose=on tells more)";
}
