#include "report/demangle.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of libstdc++, which has no header for C. */
extern char *__cxa_demangle(const char *name, char *buffer, size_t *length, int *status);

#define NAME_MAX_BYTES 2048
#define TEXT_MAX_BYTES 16384
/* A reference to an earlier part can at most double the text: with so many the text stays below a megabyte. */
#define REFERENCES_DIRECT 8
#define CHILD_PATIENCE_MS 300
#define CHILD_MEMORY_BYTES (64u << 20)
#define CHILD_DEATHS_MAX 4

struct psc_demangler {
    pid_t child; /* 0: none */
    int socket;
    int deaths;
};

struct psc_demangler *psc_demangle_open(void) {
    return calloc(1, sizeof(struct psc_demangler));
}

static void end_child(struct psc_demangler *demangler) {
    if (demangler->child == 0) {
        return;
    }
    close(demangler->socket);
    kill(demangler->child, SIGKILL);
    waitpid(demangler->child, NULL, 0);
    demangler->child = 0;
}

void psc_demangle_close(struct psc_demangler *demangler) {
    if (demangler != NULL) {
        end_child(demangler);
        free(demangler);
    }
}

static char *demangle_here(const char *name) {
    int status = 0;
    char *text = __cxa_demangle(name, NULL, NULL, &status);
    if (status != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Substitutions (S_, S0_, T_, ...) count one each. Pack expansions multiply, so that two are already too many. */
static bool could_explode(const char *name) {
    int references = 0;
    for (const char *c = name; *c != '\0'; c++) {
        if ((c[0] == 'S' || c[0] == 'T') &&
            (c[1] == '_' || (c[1] >= '0' && c[1] <= '9') || (c[1] >= 'A' && c[1] <= 'Z'))) {
            references++;
        } else if ((c[0] == 'D' && c[1] == 'p') || (c[0] == 's' && c[1] == 'p')) {
            references += REFERENCES_DIRECT / 2;
        }
    }
    return references > REFERENCES_DIRECT;
}

/* ---- the child --------------------------------------------------------------------------------------------------- */

static void limit_memory(void) {
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL && fscanf(statm, "%lu", &pages) == 1) {
        rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + CHILD_MEMORY_BYTES;
        struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
        setrlimit(RLIMIT_AS, &limit);
    }
    if (statm != NULL) {
        fclose(statm);
    }
}

static void answer(int fd, const char *name) {
    char *text = demangle_here(name);
    size_t length = text == NULL ? 0 : strnlen(text, TEXT_MAX_BYTES);
    /* An empty packet looks like the end to the other side, so a refusal is one NUL. */
    if (length == 0) {
        send(fd, "", 1, MSG_NOSIGNAL);
    } else {
        send(fd, text, length, MSG_NOSIGNAL);
    }
    free(text);
}

static void serve(int fd) {
    char name[NAME_MAX_BYTES + 1];
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    limit_memory();
    for (;;) {
        ssize_t length = recv(fd, name, NAME_MAX_BYTES, 0);
        if (length <= 0) {
            _exit(0);
        }
        name[length] = '\0';
        answer(fd, name);
    }
}

static bool start_child(struct psc_demangler *demangler) {
    int ends[2];
    if (demangler->child != 0) {
        return true;
    }
    if (demangler->deaths >= CHILD_DEATHS_MAX || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        serve(ends[1]);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return false;
    }
    demangler->child = child;
    demangler->socket = ends[0];
    return true;
}

static ssize_t receive(int fd, char *text) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, CHILD_PATIENCE_MS) == 1 ? recv(fd, text, TEXT_MAX_BYTES, 0) : -1;
}

static char *demangle_in_child(struct psc_demangler *demangler, const char *name, size_t length) {
    char text[TEXT_MAX_BYTES];
    if (!start_child(demangler)) {
        return NULL;
    }
    ssize_t got = send(demangler->socket, name, length, MSG_NOSIGNAL) < 0 ? -1 : receive(demangler->socket, text);
    if (got <= 0) {
        end_child(demangler);
        demangler->deaths++;
        return NULL;
    }
    return text[0] == '\0' ? NULL : strndup(text, (size_t)got);
}

char *psc_demangle_name(struct psc_demangler *demangler, const char *name) {
    size_t length = strnlen(name, NAME_MAX_BYTES);
    if (strncmp(name, "_Z", 2) != 0 || length == NAME_MAX_BYTES) {
        return NULL;
    }
    return could_explode(name) ? demangle_in_child(demangler, name, length) : demangle_here(name);
}
