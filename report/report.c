/* `poolscope report`: what the user asked for, and in which order. */
#include "report/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/find.h"
#include "report/page.h"
#include "report/tree.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct request {
    struct psc_paths paths;
    const char *directory; /* of the page, or NULL */
    size_t top;
    bool json;
    bool png;
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
    "      --format=FORMAT  text (default) or json\n"
    "      --top=N          sites in each list (default 10)\n"
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
    return request->json || strcmp(value, "text") == 0 ? DONE : complain("--format is text or json, not ", value);
}

static int take_top(struct request *request, const char *value) {
    char *end;
    errno = 0;
    unsigned long top = strtoul(value, &end, 10);
    if (errno != 0 || *end != '\0' || *value < '0' || *value > '9' || top > 100000) {
        return complain("--top takes a number up to 100000, not ", value);
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
    case 'h': request->help = true; return DONE;
    case ':': return complain("a value is missing after ", argv[optind - 1]);
    default: return complain("unknown option ", argv[optind - 1]);
    }
}

static int read_options(struct request *request, int argc, char **argv) {
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'}, {"format", required_argument, NULL, 'f'},
        {"top", required_argument, NULL, 't'},    {"png", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
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

static int write_answer(const struct request *request, struct psc_model *model) {
    if (request->json) {
        psc_json_write(model, stdout);
    } else {
        psc_summary_write(model, stdout, request->top);
    }
    if (request->directory == NULL) {
        return DONE;
    }
    fflush(stdout);
    psc_model_symbolize_top(model, request->top);
    return psc_page_write(model, request->directory, request->png) == 0 ? DONE : FAILED;
}

static int report_one(const struct request *request, const char *path) {
    const char *error;
    struct psc_model *model = psc_model_open(path, &error);
    if (model == NULL) {
        fprintf(stderr, "poolscope report: cannot open %s: %s\n", path, error);
        return FAILED;
    }
    int status = write_answer(request, model);
    psc_model_close(model);
    return status;
}

/* JSON speaks of one process: the table is for people. */
static int report_many(const struct request *request) {
    size_t failed;
    struct psc_tree tree = psc_tree_read(&request->paths, &failed);
    const struct psc_tree_row *largest = psc_tree_largest(&tree);
    int status = FAILED;
    if (largest != NULL) {
        if (!request->json) {
            psc_tree_write(&tree, stdout);
            fprintf(stdout, "\nThe one that held most: %s\n", largest->path);
        }
        status = report_one(request, largest->path);
    }
    psc_tree_release(&tree);
    return failed != 0 ? FAILED : status;
}

static int finish(int status) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "poolscope report: cannot write: %s\n", strerror(errno));
        return FAILED;
    }
    return status;
}

int psc_report_main(int argc, char **argv) {
    struct request request = {.top = PSC_REPORT_TOP};
    int status = read_options(&request, argc, argv);
    if (status == DONE && request.help) {
        fputs(help_text, stdout);
        return finish(DONE);
    }
    if (status == DONE) {
        bool found = find_traces(&request, argc, argv);
        int shown = request.paths.count == 0   ? FAILED
                    : request.paths.count == 1 ? report_one(&request, request.paths.paths[0])
                                               : report_many(&request);
        status = finish(found ? shown : FAILED);
    }
    psc_find_release(&request.paths);
    return status;
}
