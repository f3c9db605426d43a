#include "tools/program.h"

#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_file(const char *path) {
    struct stat status;
    return access(path, X_OK) == 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

bool psc_program_find(const char *command, char path[PATH_MAX]) {
    if (strchr(command, '/') != NULL) {
        snprintf(path, PATH_MAX, "%s", command);
        return is_file(path);
    }
    const char *place = getenv("PATH");
    while (place != NULL) {
        size_t length = strcspn(place, ":");
        snprintf(path, PATH_MAX, "%.*s/%s", length == 0 ? 1 : (int)length, length == 0 ? "." : place, command);
        if (is_file(path)) {
            return true;
        }
        place = place[length] == ':' ? place + length + 1 : NULL;
    }
    return false;
}

bool psc_program_interpreter(const char *start, char path[PATH_MAX]) {
    if (strncmp(start, "#!", 2) != 0) {
        return false;
    }
    start += 2 + strspn(start + 2, " \t");
    snprintf(path, PATH_MAX, "%.*s", (int)strcspn(start, " \t\r\n"), start);
    return true;
}

bool psc_program_read(int fd, void *buffer, size_t bytes, uint64_t offset) {
    return offset <= INT64_MAX && pread(fd, buffer, bytes, (off_t)offset) == (ssize_t)bytes;
}

void psc_program_read_loader(int fd, char *loader, size_t bytes) {
    ElfW(Ehdr) header;
    loader[0] = '\0';
    if (!psc_program_read(fd, &header, sizeof(header), 0)) {
        return;
    }
    for (unsigned i = 0; i < header.e_phnum && header.e_phentsize == sizeof(ElfW(Phdr)); i++) {
        ElfW(Phdr) segment;
        if (!psc_program_read(fd, &segment, sizeof(segment), header.e_phoff + (uint64_t)i * sizeof(segment))) {
            return;
        }
        if (segment.p_type == PT_INTERP && segment.p_filesz < bytes &&
            psc_program_read(fd, loader, segment.p_filesz, segment.p_offset)) {
            loader[segment.p_filesz] = '\0';
            return;
        }
    }
}

/* ---- what is loaded --------------------------------------------------------------------------------------------- */

#define SCRIPTS_MOST 4 /* whose interpreter is a script, as the kernel has it */

/* False: the file is no script. */
static bool follow_script(char path[PATH_MAX]) {
    char start[256] = "";
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool script = fd >= 0 && pread(fd, start, sizeof(start) - 1, 0) > 0 && psc_program_interpreter(start, path);
    if (fd >= 0) {
        close(fd);
    }
    return script;
}

bool psc_program_executable(const char *command, char path[PATH_MAX]) {
    char found[PATH_MAX];
    if (!psc_program_find(command, found)) {
        return false;
    }
    for (int i = 0; i < SCRIPTS_MOST && follow_script(found); i++) {
    }
    return realpath(found, path) != NULL;
}

/* A line of the loader's: a name, an arrow and a path, or a path alone; then the address in brackets. */
static const char *path_in_line(char *line) {
    char *arrow = strstr(line, " => ");
    char *path = arrow != NULL ? arrow + 4 : line + strspn(line, "\t ");
    char *address = strstr(path, " (0x");
    if (path[0] != '/' || address == NULL) {
        return NULL;
    }
    *address = '\0';
    return path;
}

static pid_t start_listing(const char *loader, const char *executable, FILE **lines) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        unsetenv("LD_PRELOAD");
        execl(loader, loader, "--list", executable, (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    *lines = child > 0 ? fdopen(ends[0], "r") : NULL;
    if (*lines == NULL) {
        close(ends[0]);
    }
    return child;
}

void psc_program_each_library(const char *executable, void (*visit)(void *context, const char *path), void *context) {
    char loader[256] = "";
    char *line = NULL;
    size_t room = 0;
    FILE *lines = NULL;
    int fd = open(executable, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        psc_program_read_loader(fd, loader, sizeof(loader));
        close(fd);
    }
    pid_t child = loader[0] == '/' ? start_listing(loader, executable, &lines) : -1;
    while (lines != NULL && getline(&line, &room, lines) >= 0) {
        const char *path = path_in_line(line);
        if (path != NULL) {
            visit(context, path);
        }
    }
    free(line);
    if (lines != NULL) {
        fclose(lines);
    }
    if (child > 0) {
        waitpid(child, NULL, 0);
    }
}
