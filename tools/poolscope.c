/* poolscope COMMAND ...: one front for all commands. */
#include <stdio.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/diff.h"
#include "report/export.h"
#include "report/report.h"
#include "tools/command.h"

#define STATUS_USAGE 2

static int help_main(int argc, char **argv);

static const struct command {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *arguments;
    const char *help;
} commands[] = {
    {"run", psc_run_main, "[--name=value ...] [--] CMD ARG...", "runs CMD and records what it allocates"},
    {"report", psc_report_main, "[TRACE...] [-o DIR]", "says where the memory is; with -o, writes a page"},
    {"compare", psc_compare_main, "[OPTION...] [--] CMD ARG...", "runs CMD under several allocators, side by side"},
    {"top", psc_top_main, "PID|TRACE", "the same of a process while it runs, again and again"},
    {"diff", psc_diff_main, "[OPTION...] OLD NEW", "says what grew and what shrank between two traces"},
    {"export", psc_export_main, "--to=FORMAT [TRACE] [-o FILE]", "writes a trace in the format of another tool"},
    {"help", help_main, "[COMMAND]", "shows this, or how to use COMMAND"},
};

static const char *self = "poolscope";

const char *psc_command_self(void) {
    return strchr(self, '/') != NULL ? self : "poolscope";
}

static const struct command *find(const char *name) {
    for (size_t i = 0; i < PSC_COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int refuse(const char *name) {
    fprintf(stderr, "poolscope: there is no command '%s'; commands are", name);
    for (size_t i = 0; i < PSC_COUNT_OF(commands); i++) {
        fprintf(stderr, "%s %s", i == 0 ? "" : ",", commands[i].name);
    }
    fputc('\n', stderr);
    return STATUS_USAGE;
}

static void print_usage(FILE *file) {
    fputs("Shows which lines of a program hold its memory, and which keep free memory from going back.\n\n", file);
    for (size_t i = 0; i < PSC_COUNT_OF(commands); i++) {
        fprintf(file, "  poolscope %-7s %-36s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    }
    fputs("\npoolscope COMMAND --help says more; so does man poolscope.\n", file);
}

static int help_main(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "help") == 0 || argv[1][0] == '-') {
        print_usage(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    if (command == NULL) {
        return refuse(argv[1]);
    }
    char option[] = "--help";
    char *arguments[] = {argv[1], option, NULL};
    return command->main(2, arguments);
}

int main(int argc, char **argv) {
    if (argc > 0) {
        self = argv[0];
    }
    if (argc < 2) {
        print_usage(stderr);
        return STATUS_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("poolscope " PSC_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    return command == NULL ? refuse(argv[1]) : command->main(argc - 1, argv + 1);
}
