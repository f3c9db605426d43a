/* poolscope run: a program under the preload, as env(1) would start it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/option.h"
#include "tools/apart.h"
#include "tools/command.h"
#include "tools/outcome.h"
#include "tools/settings.h"

#define STATUS_FAILED 125
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127
#define STATUS_SIGNAL 128

#define APART "--apart="

enum stage { STAGE_READY, STAGE_PREPARE, STAGE_EXEC };

/* What the child tells before it becomes the program; a second one follows only if that fails. */
struct word {
    enum stage stage;
    int error;
    char out[PATH_MAX]; /* where the traces go, absolute */
};

struct run {
    struct psc_settings settings;
    struct psc_apart apart;
    char *apart_text; /* NULL: there is none */
    char **command;
    uint64_t start_ns;  /* CLOCK_REALTIME */
    bool own_directory; /* made for this run */
    struct word word;
};

/* ---- the child -------------------------------------------------------------------------------------------------- */

/* For a directory's name: no more than that of the program, and no sign that a shell or a person could mistake. */
static void plain_name(const char *command, char *name, size_t bytes) {
    const char *slash = strrchr(command, '/');
    snprintf(name, bytes, "%s", slash == NULL ? command : slash + 1);
    for (char *c = name; *c != '\0'; c++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-", *c) == NULL) {
            *c = '_';
        }
    }
}

/* Fits the option `out`, or fails with errno set. */
static bool format_path(char path[PATH_MAX], const char *format, ...) PSC_PRINTF(2, 3);

static bool format_path(char path[PATH_MAX], const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path, PATH_MAX, format, args);
    va_end(args);
    errno = ENAMETOOLONG;
    return length >= 0 && length < PSC_OPTION_TEXT_MAX;
}

/* A new directory poolscope-CMD-PID below `here`. False with errno set. */
static bool make_directory(const char *here, const char *command, char path[PATH_MAX]) {
    char name[64];
    plain_name(command, name, sizeof(name));
    for (int again = 0; again < 100; again++) {
        char suffix[16] = "";
        if (again > 0) {
            snprintf(suffix, sizeof(suffix), "-%d", again);
        }
        if (!format_path(path, "%s/poolscope-%s-%d%s", strcmp(here, "/") == 0 ? "" : here, name, getpid(), suffix)) {
            return false;
        }
        if (mkdir(path, 0700) == 0) {
            return true;
        }
        if (errno != EEXIST) {
            return false;
        }
    }
    return false;
}

/* Doubles each percent sign: the library takes what follows one for a directive. */
static void protect_percent(const char *path, char protected[2 * PATH_MAX]) {
    for (; *path != '\0'; path++) {
        *protected ++ = *path;
        if (*path == '%') {
            *protected ++ = '%';
        }
    }
    *protected = '\0';
}

/* What POOLSCOPE is to say for a directory. */
static bool hand_down_directory(const char *path, char handed[PATH_MAX]) {
    char protected[2 * PATH_MAX];
    if (strchr(path, '%') == NULL) {
        return format_path(handed, "%s", path);
    }
    protect_percent(path, protected);
    return format_path(handed, "%s/poolscope-%%p.trace", protected);
}

/* Where the traces go: sets word.out, and what POOLSCOPE is to say so that it holds wherever the program goes.
 * False with errno set. */
static bool choose_place(struct run *run, char handed[PATH_MAX]) {
    const char *given = run->settings.options.out;
    char *out = run->word.out;
    char here[PATH_MAX];
    char protected[2 * PATH_MAX];
    if (getcwd(here, sizeof(here)) == NULL) {
        return false;
    }
    if (run->own_directory) {
        return make_directory(here, run->command[0], out) && hand_down_directory(out, handed);
    }
    if (!psc_settings_names_files(given) && run->settings.options.mode != PSC_MODE_OFF) {
        mkdir(given, 0700); /* if it cannot be made, the library says so and the program runs unrecorded */
    }
    if (given[0] == '/') {
        return format_path(out, "%s", given) && format_path(handed, "%s", given);
    }
    if (!psc_settings_names_files(given)) {
        bool fits = strcmp(given, ".") == 0 ? format_path(out, "%s", here) : format_path(out, "%s/%s", here, given);
        return fits && hand_down_directory(out, handed);
    }
    protect_percent(here, protected);
    return format_path(out, "%s/%s", protected, given) && format_path(handed, "%s", out);
}

/* Beside the traces; where their names are a pattern in which a directory is one too, in the current directory. */
static bool apart_path(const struct run *run, pid_t pid, char path[PATH_MAX]) {
    char directory[PATH_MAX];
    char here[PATH_MAX];
    snprintf(directory, sizeof(directory), "%s", run->word.out);
    if (!run->own_directory && psc_settings_names_files(run->settings.options.out)) {
        *strrchr(directory, '/') = '\0';
        if (strchr(directory, '%') != NULL) {
            if (getcwd(here, sizeof(here)) == NULL) {
                return false;
            }
            snprintf(directory, sizeof(directory), "%s", here);
        }
    }
    return format_path(path, "%s/poolscope-%d.apart", directory, pid);
}

/* The rules of --apart go to a file that the program and all that it starts can read, wherever they go. */
static bool hand_down_apart(struct run *run) {
    char path[PATH_MAX];
    char flag[PATH_MAX + 16];
    if (run->apart_text == NULL) {
        return true;
    }
    if (!apart_path(run, getpid(), path) || !psc_apart_write(path, run->apart_text)) {
        return false;
    }
    snprintf(flag, sizeof(flag), "--apart=%s", path);
    return psc_settings_take_flag(&run->settings, flag);
}

static void tell(int fd, struct word *word, enum stage stage, int error) {
    word->stage = stage;
    word->error = error;
    if (write(fd, word, sizeof(*word)) != (ssize_t)sizeof(*word)) {
        _exit(STATUS_FAILED);
    }
}

_Noreturn static void become_program(struct run *run, int fd) {
    struct word *word = &run->word;
    char handed[PATH_MAX];
    if (!choose_place(run, handed) || !hand_down_apart(run) || !psc_settings_apply(&run->settings, handed)) {
        tell(fd, word, STAGE_PREPARE, errno);
        _exit(STATUS_FAILED);
    }
    tell(fd, word, STAGE_READY, 0);
    execvp(run->command[0], run->command);
    int error = errno;
    tell(fd, word, STAGE_EXEC, error);
    _exit(error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static volatile pid_t forward_to;

static void forward(int number) {
    int error = errno;
    if (forward_to > 0) {
        kill(forward_to, number);
    }
    errno = error;
}

/* Those of the terminal reach the program by themselves; those meant for the launcher are for the program. */
static const struct {
    int number;
    void (*handler)(int number);
} signals[] = {{SIGINT, SIG_IGN}, {SIGQUIT, SIG_IGN}, {SIGTERM, forward}, {SIGHUP, forward}};

struct guard {
    sigset_t mask;
    struct sigaction actions[PSC_COUNT_OF(signals)];
};

/* Blocks the four, so that none gets lost before the child's pid is known, and sets what the launcher does on them. */
static void guard_begin(struct guard *guard) {
    sigset_t all;
    sigemptyset(&all);
    for (size_t i = 0; i < PSC_COUNT_OF(signals); i++) {
        sigaddset(&all, signals[i].number);
    }
    sigprocmask(SIG_BLOCK, &all, &guard->mask);
    for (size_t i = 0; i < PSC_COUNT_OF(signals); i++) {
        struct sigaction action = {.sa_handler = signals[i].handler, .sa_flags = SA_RESTART};
        sigaction(signals[i].number, NULL, &guard->actions[i]);
        if (guard->actions[i].sa_handler != SIG_IGN) {
            sigaction(signals[i].number, &action, NULL);
        }
    }
}

static void guard_end(const struct guard *guard) {
    for (size_t i = 0; i < PSC_COUNT_OF(signals); i++) {
        sigaction(signals[i].number, &guard->actions[i], NULL);
    }
    sigprocmask(SIG_SETMASK, &guard->mask, NULL);
}

/* ---- the parent ------------------------------------------------------------------------------------------------- */

static int fail(const char *what, int error) {
    fprintf(stderr, "poolscope: %s: %s\n", what, strerror(error));
    return STATUS_FAILED;
}

/* Reads what the child tells until it has become the program or is gone. */
static void listen_to_child(int fd, struct word *word) {
    struct word heard;
    word->stage = STAGE_PREPARE;
    word->error = EPIPE;
    for (;;) {
        ssize_t got = read(fd, &heard, sizeof(heard));
        if (got == (ssize_t)sizeof(heard)) {
            *word = heard;
        } else if (got >= 0 || errno != EINTR) {
            return;
        }
    }
}

static int wait_for(pid_t child) {
    siginfo_t info;
    int status;
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    forward_to = 0; /* from here on the number may come to mean another process */
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return fail("cannot wait for the program", errno);
        }
    }
    return WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* A path as one word of a shell command; `text` is at least 4 times as long. */
static const char *quoted(const char *path, char *text) {
    if (path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-/%,:=@")] == '\0') {
        return path;
    }
    char *end = text;
    *end++ = '\'';
    for (; *path != '\0'; path++) {
        end = *path == '\'' ? stpcpy(end, "'\\''") : (*end = *path, end + 1);
    }
    strcpy(end, "'");
    return text;
}

static void say_nothing_recorded(const struct run *run) {
    bool off = run->settings.options.mode == PSC_MODE_OFF;
    const char *why = off ? "mode is off" : psc_outcome_why_nothing(run->command[0]);
    fprintf(stderr, "poolscope: nothing was recorded of %s: %s\n", run->command[0], why);
}

/* True if there is something to report on. */
static bool say_outcome(const struct run *run) {
    const char *out = run->word.out;
    struct psc_outcome outcome;
    psc_outcome_find(&outcome, out, run->own_directory ? 0 : run->start_ns);
    if (outcome.traces == 0) {
        say_nothing_recorded(run);
        return false;
    }
    if (outcome.passive == outcome.traces) {
        fprintf(stderr, "poolscope: nothing was recorded of %s: it brings its own malloc\n", run->command[0]);
        return true;
    }
    char words[4 * PATH_MAX];
    const char *shown = quoted(run->own_directory ? strrchr(out, '/') + 1 : outcome.place, words);
    fprintf(stderr, "poolscope: %u trace%s in %s; next: %s report %s\n", outcome.traces, outcome.traces == 1 ? "" : "s",
            shown, psc_command_self(), shown);
    return true;
}

static void say_not_started(const struct run *run) {
    if (run->word.stage == STAGE_EXEC) {
        fprintf(stderr, "poolscope: cannot run %s: %s\n", run->command[0], strerror(run->word.error));
    } else {
        fprintf(stderr, "poolscope: cannot prepare the directory for traces: %s\n", strerror(run->word.error));
    }
}

static int supervise(struct run *run, pid_t child, int fd) {
    listen_to_child(fd, &run->word);
    close(fd);
    int status = wait_for(child);
    bool recorded = false;
    if (run->word.stage == STAGE_READY) {
        recorded = say_outcome(run);
    } else {
        say_not_started(run);
    }
    char apart[PATH_MAX];
    if (!recorded && run->apart_text != NULL && run->word.stage != STAGE_PREPARE && apart_path(run, child, apart)) {
        unlink(apart);
    }
    if (run->own_directory && run->word.stage != STAGE_PREPARE) {
        rmdir(run->word.out); /* goes only if it is empty */
    }
    return status;
}

static int start(struct run *run) {
    struct timespec now;
    struct guard guard;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return fail("cannot make a pipe", errno);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    run->start_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    guard_begin(&guard);
    pid_t child = fork();
    if (child == 0) {
        guard_end(&guard);
        become_program(run, ends[1]);
    }
    int error = errno;
    forward_to = child;
    sigprocmask(SIG_SETMASK, &guard.mask, NULL);
    close(ends[1]);
    if (child > 0) {
        return supervise(run, child, ends[0]);
    }
    return fail("cannot fork", error);
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

static void print_options(void) {
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        char initial[PSC_OPTION_TEXT_MAX];
        char left[256];
        const char *value = option->choices != NULL ? option->choices : option->unit == NULL ? "TEXT" : "NUMBER";
        if (option->unit != NULL && option->unit[0] != '\0') {
            value = "TIME";
        }
        if (strcmp(option->name, "apart") == 0) {
            value = "FUNCTION";
        }
        bool is_out = strcmp(option->name, "out") == 0;
        snprintf(left, sizeof(left), "--%s=%s", option->name, value);
        printf("  %-22s %s [%s]\n", left, option->help,
               is_out ? "poolscope-CMD-PID" : psc_option_initial(option, initial, sizeof(initial)));
    }
}

static int print_help(void) {
    puts("poolscope run [--name=value ...] [--] CMD ARG...\n\n"
         "Runs CMD with poolscope's allocator and records what it allocates. The status of CMD is passed on;\n"
         "125: poolscope itself failed, 126: CMD cannot be run, 127: CMD was not found.\n");
    print_options();
    puts("\nThe same options can stand in POOLSCOPE=name=value,... where a comma in a value is written \\, .\n"
         "Flags win over POOLSCOPE. POOLSCOPE_LIB names libpoolscope.so if it lies elsewhere.");
    return 0;
}

static int refuse(const char *argument) {
    fprintf(stderr, "poolscope: '%s' is no option of run; options are written --name=value, and are:\n", argument);
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        fprintf(stderr, "%s --%s", option == psc_option_table ? "poolscope:" : "", option->name);
    }
    fputc('\n', stderr);
    return STATUS_FAILED;
}

/* The index of CMD, or -1: `*status` is the end. */
static int read_arguments(struct run *run, int argc, char **argv, int *status) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *status = print_help();
            return -1;
        }
        if (strncmp(argv[i], APART, strlen(APART)) == 0) {
            if (!psc_apart_add(&run->apart, argv[i] + strlen(APART))) {
                return -1;
            }
        } else if (!psc_settings_take_flag(&run->settings, argv[i])) {
            *status = refuse(argv[i]);
            return -1;
        }
    }
    if (i < argc) {
        return i;
    }
    fputs("poolscope: run what? poolscope run [--name=value ...] [--] CMD ARG...\n", stderr);
    *status = STATUS_FAILED;
    return -1;
}

/* False: said why on stderr. */
static bool read_apart(struct run *run) {
    if (run->apart.count == 0) {
        return true;
    }
    if (run->settings.options.mode != PSC_MODE_EXACT) {
        fputs("poolscope: --apart needs --mode=exact: else a block's site is not known before the block is made\n",
              stderr);
        return false;
    }
    run->apart_text = psc_apart_compile(&run->apart, run->command[0]);
    return run->apart_text != NULL;
}

int psc_run_main(int argc, char **argv) {
    struct run run = {.command = NULL};
    int status = STATUS_FAILED;
    if (!psc_settings_init(&run.settings)) {
        return status;
    }
    int first = read_arguments(&run, argc, argv, &status);
    if (first > 0) {
        run.command = argv + first;
    }
    if (first > 0 && psc_settings_find_library(&run.settings) && read_apart(&run)) {
        run.own_directory = run.settings.options.out[0] == '\0';
        status = start(&run);
    }
    psc_settings_release(&run.settings);
    free(run.apart_text);
    return status;
}
