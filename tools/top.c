/* `poolscope top`: what the user asked for; on a terminal top_screen.c goes on, else the text is written here. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "report/format.h"
#include "report/progress.h"
#include "tools/command.h"
#include "tools/top_find.h"
#include "tools/top_screen.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

#define BATCH_COLUMNS 160
#define BATCH_ROWS 20
#define ROWS_MOST 100000

struct request {
    const char *target;
    bool batch;
    bool help;
    uint64_t readings; /* 0: not given */
    uint64_t delay_ns; /* 0: not given */
    uint64_t rows;
    uint64_t sort;
    uint64_t view;
    char path[PATH_MAX];
    uint32_t pid; /* 0: a trace was named */
};

static const char help_text[] =
    "Usage: poolscope top [OPTION]... PID|TRACE\n"
    "Shows which stacks hold, pin and allocate the memory of a process while it runs, from the trace that it writes.\n"
    "Of a process that has ended: its last state, with rates over the whole run. The key h tells the keys.\n"
    "\n"
    "  -d, --delay=SECONDS   between readings (default: 2)\n"
    "  -n, --iterations=N    end after N readings (default: when told to; 1 where stdout is no terminal)\n"
    "  -b, --batch           plain text on stdout, as is done where stdout is no terminal; ends with the process\n"
    "      --sort=KEY        live (default), pinned, rate, allocs, count or peak\n"
    "      --view=VIEW       sites (default), classes, pools or threads\n"
    "      --top=N           rows of the plain text (default: 20)\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit status: 0 done, 1 something failed, 2 wrong use.\n";

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int complain(const char *what, const char *value) {
    fprintf(stderr, "poolscope top: %s%s\nTry 'poolscope top --help'.\n", what, value);
    return USAGE;
}

static bool parse_number(const char *text, uint64_t most, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *number >= 1 && *number <= most;
}

static int take_number(const char *value, const char *what, uint64_t most, uint64_t *number) {
    return parse_number(value, most, number) ? DONE : complain(what, value);
}

static int take_name(const char *value, const char *what, const char *const *names, size_t count, uint64_t *index) {
    for (*index = 0; *index < count; ++*index) {
        if (strcmp(names[*index], value) == 0) {
            return DONE;
        }
    }
    return complain(what, value);
}

static int take_option(struct request *request, int option, char **argv) {
    switch (option) {
    case 'b': request->batch = true; return DONE;
    case 'h': request->help = true; return DONE;
    case 'd':
        return psc_top_parse_delay(optarg, &request->delay_ns) ? DONE : complain(PSC_TOP_DELAY_WORDS ", not ", optarg);
    case 'n': return take_number(optarg, "--iterations takes a number from 1 on, not ", INT_MAX, &request->readings);
    case 't': return take_number(optarg, "--top takes a number from 1 to 100000, not ", ROWS_MOST, &request->rows);
    case 'o':
        return take_name(optarg, "--sort is live, pinned, rate, allocs, count or peak, not ", psc_top_sort_names,
                         PSC_TOP_SORT_COUNT, &request->sort);
    case 'v':
        return take_name(optarg, "--view is sites, classes, pools or threads, not ", psc_top_view_names, PSC_TOP_VIEWS,
                         &request->view);
    case ':': return complain("a value is missing after ", argv[optind - 1]);
    default: return complain("unknown option ", argv[optind - 1]);
    }
}

static int read_options(struct request *request, int argc, char **argv) {
    static const struct option options[] = {
        {"batch", no_argument, NULL, 'b'},       {"iterations", required_argument, NULL, 'n'},
        {"delay", required_argument, NULL, 'd'}, {"sort", required_argument, NULL, 'o'},
        {"view", required_argument, NULL, 'v'},  {"top", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    int status = DONE;
    optind = 0;
    opterr = 0;
    for (int option; status == DONE && (option = getopt_long(argc, argv, ":bn:d:h", options, NULL)) != -1;) {
        status = take_option(request, option, argv);
    }
    if (status != DONE || request->help) {
        return status;
    }
    if (argc - optind != 1) {
        return complain(argc == optind ? "which process? Name its PID or its trace" : "one process at a time", "");
    }
    request->target = argv[optind];
    return DONE;
}

/* ---- the trace --------------------------------------------------------------------------------------------------- */

static int open_process(struct request *request) {
    char error[PATH_MAX];
    int fd = psc_top_find(request->pid, request->path, sizeof(request->path), error, sizeof(error));
    if (fd < 0) {
        fprintf(stderr, "poolscope top: %s\n", error);
    }
    return fd;
}

static int open_trace(struct request *request) {
    int fd = open(request->target, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        fprintf(stderr, "poolscope top: cannot open %s: %s\n", request->target, strerror(errno));
    }
    snprintf(request->path, sizeof(request->path), "%s", request->target);
    return fd;
}

/* A name of digits alone is a PID. */
static int open_target(struct request *request) {
    uint64_t pid;
    if (request->target[strspn(request->target, "0123456789")] != '\0') {
        return open_trace(request);
    }
    if (!parse_number(request->target, INT_MAX, &pid)) {
        fprintf(stderr, "poolscope top: there is no process %s\n", request->target);
        return -1;
    }
    request->pid = (uint32_t)pid;
    return open_process(request);
}

/* ---- plain text -------------------------------------------------------------------------------------------------- */

static unsigned batch_columns(void) {
    uint64_t columns;
    const char *wanted = getenv("COLUMNS");
    return wanted != NULL && parse_number(wanted, 10000, &columns) ? (unsigned)columns : BATCH_COLUMNS;
}

static void print_line(struct psc_top_line *line) {
    psc_top_line_strip(line);
    while (line->length > 0 && line->text[line->length - 1] == ' ') {
        line->text[--line->length] = '\0';
    }
    puts(line->text);
}

static void print_rows(const struct psc_top_table *table, unsigned columns, size_t most) {
    struct psc_top_line line;
    psc_top_line_begin(&line, columns, true);
    psc_top_table_title(table, &line);
    print_line(&line);
    for (size_t row = 0; row < table->count && row < most; row++) {
        psc_top_line_begin(&line, columns, true);
        psc_top_table_row(table, row, &line);
        print_line(&line);
    }
    if (table->count > most) {
        printf("... and %s more\n", psc_format_count(table->count - most).s);
    }
}

static void print_reading(const struct request *request, struct psc_top *top) {
    static struct psc_top_line lines[PSC_TOP_HEAD_MOST];
    struct psc_top_table table;
    unsigned columns = batch_columns();
    size_t count = psc_top_head(top, columns, true, lines, PSC_TOP_HEAD_MOST);
    for (size_t i = 0; i < count; i++) {
        print_line(&lines[i]);
    }
    putchar('\n');
    psc_top_table_make(&table, top, (enum psc_top_view)request->view, 0);
    print_rows(&table, columns, request->rows != 0 ? request->rows : BATCH_ROWS);
    psc_top_table_release(&table);
}

static void sleep_ns(uint64_t ns) {
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static int finish(int status) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "poolscope top: cannot write: %s\n", strerror(errno));
        return FAILED;
    }
    return status;
}

/* Nothing new comes from a process that has ended. */
static int run_batch(const struct request *request, struct psc_top *top, uint64_t readings) {
    const char *error;
    for (uint64_t i = 1;; i++) {
        print_reading(request, top);
        int status = finish(DONE);
        if (status != DONE || i == readings || top->end != PSC_PROCESS_RUNNING) {
            return status;
        }
        sleep_ns(psc_top_wait_ns(top));
        putchar('\n');
        if (!psc_top_read(top, &error)) {
            fprintf(stderr, "poolscope top: cannot read %s: %s\n", request->path, error);
            return FAILED;
        }
    }
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int watch(const struct request *request, struct psc_top *top) {
    const char *error;
    if (!psc_top_read(top, &error)) {
        fprintf(stderr, "poolscope top: cannot read %s: %s\n", request->path, error);
        return FAILED;
    }
    if (request->batch) {
        return run_batch(request, top, request->readings);
    }
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
        return run_batch(request, top, request->readings != 0 ? request->readings : 1);
    }
    return psc_top_screen(top, (enum psc_top_view)request->view, request->readings);
}

static int run(struct request *request) {
    struct psc_top top;
    int fd = open_target(request);
    if (fd < 0) {
        return FAILED;
    }
    psc_progress_disable();
    psc_top_init(&top, fd, request->path, request->pid);
    top.sort = (enum psc_top_sort)request->sort;
    top.delay_ns = request->delay_ns != 0 ? request->delay_ns : top.delay_ns;
    int status = watch(request, &top);
    psc_top_release(&top);
    close(fd);
    return status;
}

int psc_top_main(int argc, char **argv) {
    struct request request = {.target = NULL};
    int status = read_options(&request, argc, argv);
    if (status == DONE && request.help) {
        fputs(help_text, stdout);
        return finish(DONE);
    }
    return status == DONE ? run(&request) : status;
}
