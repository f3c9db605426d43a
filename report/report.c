/* `poolscope report`: what the user asked for, and in which order. */
#include "report/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/find.h"
#include "report/format.h"
#include "report/log.h"
#include "report/page.h"
#include "report/prefix.h"
#include "report/symbol_file.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

#define MANY_FRAMES 200000 /* from about 40 MB of JSON on */

struct request {
    struct psc_paths paths;
    const char *directory; /* of the page, or NULL */
    size_t top;            /* 0: not given */
    bool json;
    bool events;
    bool png;
    bool embed;
    bool help;
};

static const char help_text[] =
    "Usage: poolscope report [OPTION]... [TRACE|DIRECTORY]...\n"
    "Says where the memory of a process is, and which stacks are to blame.\n"
    "Without a TRACE: the newest run (poolscope-*/ or poolscope-*.trace) in the current directory.\n"
    "Of several traces: a table of the processes, then the one that held most.\n"
    "\n"
    "  -o, --output=DIR     also write an HTML page with plots into DIR\n"
    "      --png            the plots as PNG too\n"
    "      --format=FORMAT  text (default), json, or events: the log of all events, one a line\n"
    "      --top=N          sites in each list (default: 10) and processes in the table (default: 20), the rest "
    "summed\n"
    "                       up; with json: only the sites that stand among the first N of a list (default: all)\n"
    "      --embed          also write the names of all functions beside each trace, to TRACE.symbols, so that it "
    "reads\n"
    "                       the same on another machine\n"
    "  -h, --help           this text\n"
    "\n"
    "Exit status: 0 done, 1 something failed, 2 wrong use.\n";

/* ---- options --------------------------------------------------------------------------------------------------- */

static int complain(const char *what, const char *value) {
    fprintf(stderr, "poolscope report: %s%s\nTry 'poolscope report --help'.\n", what, value);
    return USAGE;
}

static int take_format(struct request *request, const char *value) {
    request->json = strcmp(value, "json") == 0;
    request->events = strcmp(value, "events") == 0;
    bool known = request->json || request->events || strcmp(value, "text") == 0;
    return known ? DONE : complain("--format is text, json or events, not ", value);
}

static int take_top(struct request *request, const char *value) {
    char *end;
    errno = 0;
    unsigned long top = strtoul(value, &end, 10);
    if (errno != 0 || *end != '\0' || *value < '0' || *value > '9' || top == 0 || top > 100000) {
        return complain("--top takes a number from 1 to 100000, not ", value);
    }
    request->top = top;
    return DONE;
}

static int take_option(struct request *request, int option, char **argv) {
    switch (option) {
    case 'o': request->directory = optarg; return DONE;
    case 'f': return take_format(request, optarg);
    case 't': return take_top(request, optarg);
    case 'p': request->png = true; return DONE;
    case 'e': request->embed = true; return DONE;
    case 'h': request->help = true; return DONE;
    case ':': return complain("a value is missing after ", argv[optind - 1]);
    default: return complain("unknown option ", argv[optind - 1]);
    }
}

static int read_options(struct request *request, int argc, char **argv) {
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"top", required_argument, NULL, 't'},
                                            {"png", no_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"embed", no_argument, NULL, 'e'},
                                            {NULL, 0, NULL, 0}};
    int status = DONE;
    optind = 0; /* the launcher may have used getopt before */
    opterr = 0;
    for (int option; status == DONE && (option = getopt_long(argc, argv, ":o:h", options, NULL)) != -1;) {
        status = take_option(request, option, argv);
    }
    if (status == DONE && request->png && request->directory == NULL) {
        status = complain("--png needs -o DIR", "");
    }
    return status;
}

static bool find_traces(struct request *request, int argc, char **argv) {
    if (optind == argc) {
        return psc_find_newest(&request->paths);
    }
    bool all = true;
    for (int i = optind; i < argc; i++) {
        all &= psc_find_add(&request->paths, argv[i]);
    }
    return all;
}

/* ---- names beside the traces ----------------------------------------------------------------------------------- */

static int embed(const char *trace) {
    const char *error;
    size_t written;
    struct psc_model *model = psc_model_open(trace, &error);
    if (model == NULL) {
        return FAILED; /* the answer says why */
    }
    char *path = psc_symbol_file_path(trace);
    bool done = psc_symbol_file_write(model, path, &written);
    if (done) {
        fprintf(stderr, "poolscope report: the names of %s addresses are in %s\n", psc_format_count(written).s,
                psc_format_path(path).s);
    } else {
        fprintf(stderr, "poolscope report: cannot write %s: %s\n", psc_format_path(path).s, strerror(errno));
    }
    free(path);
    psc_model_close(model);
    return done ? DONE : FAILED;
}

static int embed_all(const struct psc_paths *paths) {
    int status = DONE;
    for (size_t i = 0; i < paths->count; i++) {
        status = embed(paths->paths[i]) == DONE ? status : FAILED;
    }
    return status;
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

const char *psc_report_mode_name(uint32_t mode) {
#define IGNORE_NUMBER(name, initial, min, max, unit, help)
#define IGNORE_TEXT(name, initial, help)
#define CHOICES_OF(name, initial, choices, help) {#name, choices},
    static const char *const rows[][2] = {PSC_OPTIONS(CHOICES_OF, IGNORE_NUMBER, IGNORE_TEXT)};
    static char name[32];
    for (size_t i = 0; i < PSC_COUNT_OF(rows); i++) {
        const char *choice = rows[i][1];
        if (strcmp(rows[i][0], "mode") != 0) {
            continue;
        }
        for (; mode > 0 && choice != NULL; mode--) {
            choice = strchr(choice, '|');
            choice = choice != NULL ? choice + 1 : NULL;
        }
        if (choice != NULL) {
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(choice, "|"), choice);
            return name;
        }
    }
    return "unknown";
}

/* Every frame is spelt out at every site: deep stacks make JSON that few programs like to read. */
static void hint_at_size(const struct psc_model *model) {
    uint64_t frames = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        frames += model->sites[i].raw.count;
    }
    if (frames > MANY_FRAMES) {
        fprintf(stderr,
                "poolscope report: all sites with %s frames were written; --top=N writes the first N of each list, "
                "and the sum of the others\n",
                psc_format_count(frames).s);
    }
}

static void write_json(const struct request *request, struct psc_model *model, const struct psc_tree *tree) {
    psc_json_write_many(model, tree, stdout, request->top);
    if (request->top == 0) {
        hint_at_size(model);
    }
}

/* Who reads the text may stop reading (less, head), which ends this process: the page is written before it. */
static int write_answer(const struct request *request, struct psc_model *model, const struct psc_tree *tree) {
    int status = DONE;
    if (request->directory != NULL) {
        psc_model_symbolize_top(model, request->top != 0 ? request->top : PSC_REPORT_TOP);
        status = psc_page_write(model, request->directory, request->png) == 0 ? DONE : FAILED;
    }
    if (request->events) {
        return psc_log_write(model, stdout) ? status : FAILED;
    }
    if (request->json) {
        write_json(request, model, tree);
    } else {
        psc_summary_write(model, stdout, request->top);
        if (request->directory != NULL && status == DONE) {
            fprintf(stdout, "\nThe page with the plots: %s/index.html\n", psc_format_path(request->directory).s);
        }
    }
    return status;
}

/* `tree`: the processes of which this is one, or NULL. */
static int report_one(const struct request *request, const char *path, const struct psc_tree *tree) {
    const char *error;
    struct psc_model *model = psc_model_open(path, &error);
    if (model == NULL) {
        fprintf(stderr, "poolscope report: cannot open %s: %s\n", psc_format_path(path).s, error);
        return FAILED;
    }
    int status = write_answer(request, model, tree);
    psc_model_close(model);
    return status;
}

/* Of all processes the table, then of the one that held most all there is. */
static void write_table(const struct request *request, const struct psc_tree *tree) {
    struct psc_tree_totals totals = psc_tree_sum(tree);
    psc_tree_write(tree, request->top != 0 ? request->top : PSC_REPORT_PROCESSES, stdout);
    bool both = totals.most_pinned == totals.most_held;
    if (totals.most_pinned != NULL && !both) {
        fprintf(stdout, "\nThe one that pins most: %s\n", psc_format_path(totals.most_pinned->path).s);
    }
    fprintf(stdout, "\nThe one that held most%s: %s\n", both ? ", and pins most" : "",
            psc_format_path(totals.most_held->path).s);
}

static int report_many(const struct request *request) {
    struct psc_tree tree = psc_tree_read(&request->paths);
    const struct psc_tree_row *largest = psc_tree_sum(&tree).most_held;
    int status = FAILED;
    if (largest != NULL) {
        if (request->events) {
            fprintf(stderr, "poolscope report: %zu traces; this is of the one that held most: %s\n", tree.count,
                    psc_format_path(largest->path).s);
        } else if (!request->json) {
            write_table(request, &tree);
        }
        status = report_one(request, largest->path, &tree);
    }
    status = tree.failed != 0 ? FAILED : status;
    psc_tree_release(&tree);
    return status;
}

static int finish(int status) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "poolscope report: cannot write: %s\n", strerror(errno));
        return FAILED;
    }
    return status;
}

int psc_report_main(int argc, char **argv) {
    struct request request = {.top = 0};
    psc_prefix_set("report");
    int status = read_options(&request, argc, argv);
    if (status == DONE && request.help) {
        fputs(help_text, stdout);
        return finish(DONE);
    }
    if (status == DONE) {
        bool found = find_traces(&request, argc, argv);
        bool embedded = !request.embed || embed_all(&request.paths) == DONE;
        int shown = request.paths.count == 0   ? FAILED
                    : request.paths.count == 1 ? report_one(&request, request.paths.paths[0], NULL)
                                               : report_many(&request);
        status = finish(found && embedded ? shown : FAILED);
    }
    psc_find_release(&request.paths);
    return status;
}
