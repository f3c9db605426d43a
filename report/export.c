/* `poolscope export`: which trace, which format, and where to. */
#include "report/export.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/export_part.h"
#include "report/file.h"
#include "report/find.h"
#include "report/format.h"
#include "report/prefix.h"
#include "report/tree.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

static const struct format {
    const char *name;
    psc_export_writer *write;
    bool binary;
    bool has_figure; /* --value= means something */
} formats[] = {
    {"pprof", psc_export_pprof, true, false},           {"collapsed", psc_export_collapsed, false, true},
    {"speedscope", psc_export_speedscope, false, true}, {"jemalloc", psc_export_jemalloc, false, false},
    {"massif", psc_export_massif, false, false},        {"dhat", psc_export_dhat, false, false},
};

struct request {
    struct psc_paths paths;
    const struct format *format;
    struct psc_export_options options;
    const char *output; /* NULL: standard output */
    bool help;
};

static const char help_text[] =
    "Usage: poolscope export --to=FORMAT [OPTION]... [TRACE|DIRECTORY]\n"
    "Writes what a trace says in a format that another tool reads.\n"
    "Without a TRACE: the newest run in the current directory. Of several traces: the one that held most.\n"
    "\n"
    "  -t, --to=FORMAT      pprof       for pprof: all figures, compressed\n"
    "                       collapsed   a line for each stack, for flame graphs\n"
    "                       speedscope  JSON for speedscope.app\n"
    "                       jemalloc    a heap profile for jeprof\n"
    "                       massif      for ms_print and massif-visualizer\n"
    "                       dhat        JSON for DHAT's viewer dh_view.html\n"
    "      --value=VALUE    of collapsed and speedscope: live (default), alloc, peak, pinned (bytes); live-count,\n"
    "                       alloc-count, peak-count, temporary (blocks); speedscope has the bytes of all without it\n"
    "  -o, --output=FILE    write FILE rather than the standard output\n"
    "  -h, --help           this text\n"
    "\n"
    "Exit status: 0 done, 1 something failed, 2 wrong use.\n";

/* ---- options --------------------------------------------------------------------------------------------------- */

static int complain(const char *what, const char *value) {
    fprintf(stderr, "poolscope export: %s%s\nTry 'poolscope export --help'.\n", what, value);
    return USAGE;
}

static int take_format(struct request *request, const char *name) {
    for (size_t i = 0; i < PSC_COUNT_OF(formats); i++) {
        if (strcmp(formats[i].name, name) == 0) {
            request->format = &formats[i];
            return DONE;
        }
    }
    return complain("--to is pprof, collapsed, speedscope, jemalloc, massif or dhat, not ", name);
}

static int take_figure(struct request *request, const char *name) {
    for (enum psc_export_figure k = 0; k < PSC_EXPORT_FIGURE_COUNT; k++) {
        if (strcmp(psc_export_figures[k].name, name) == 0) {
            request->options.figure = k;
            return DONE;
        }
    }
    return complain("--value is live, alloc, peak, pinned, live-count, alloc-count, peak-count or temporary, not ",
                    name);
}

static int take_option(struct request *request, int option, char **argv) {
    switch (option) {
    case 't': return take_format(request, optarg);
    case 'v': return take_figure(request, optarg);
    case 'o': request->output = strcmp(optarg, "-") == 0 ? NULL : optarg; return DONE;
    case 'h': request->help = true; return DONE;
    case ':': return complain("a value is missing after ", argv[optind - 1]);
    default: return complain("unknown option ", argv[optind - 1]);
    }
}

/* What the options say together. */
static int check_request(const struct request *request) {
    if (request->help) {
        return DONE;
    }
    if (request->format == NULL) {
        return complain("say which format with --to=FORMAT", "");
    }
    if (request->options.figure != PSC_EXPORT_FIGURE_COUNT && !request->format->has_figure) {
        return complain("--value is for collapsed and speedscope, not for ", request->format->name);
    }
    if (request->format->binary && request->output == NULL && isatty(STDOUT_FILENO)) {
        fprintf(stderr, "poolscope export: %s is not for a terminal: write it to a file with -o FILE\n",
                request->format->name);
        return USAGE;
    }
    return DONE;
}

static int read_options(struct request *request, int argc, char **argv) {
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"value", required_argument, NULL, 'v'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int status = DONE;
    optind = 0; /* the launcher may have used getopt before */
    opterr = 0;
    for (int option; status == DONE && (option = getopt_long(argc, argv, ":t:o:h", options, NULL)) != -1;) {
        status = take_option(request, option, argv);
    }
    return status == DONE ? check_request(request) : status;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

static int end_output(bool done, const char *name) {
    if (!done) {
        fprintf(stderr, "poolscope export: cannot write %s: %s\n", name, strerror(errno));
    }
    return done ? DONE : FAILED;
}

/* A pipe, a device or a link is what the user means: only a file is replaced. */
static bool is_special(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

static bool write_stream(const struct request *request, struct psc_model *model, FILE *out) {
    return request->format->write(model, &request->options, out) && fflush(out) == 0 && !ferror(out);
}

static bool write_special(const struct request *request, struct psc_model *model) {
    FILE *out = fopen(request->output, "we");
    bool done = out != NULL && write_stream(request, model, out);
    int saved = errno;
    if (out != NULL && fclose(out) != 0 && done) {
        return false;
    }
    errno = saved;
    return done;
}

static bool write_file(const struct request *request, struct psc_model *model) {
    struct psc_file_new file;
    if (is_special(request->output)) {
        return write_special(request, model);
    }
    return psc_file_begin(&file, request->output, psc_file_user_mode()) &&
           psc_file_end(&file, request->output, write_stream(request, model, file.out));
}

static int export_one(const struct request *request, const char *path) {
    const char *error;
    struct psc_model *model = psc_model_open(path, &error);
    if (model == NULL) {
        fprintf(stderr, "poolscope export: cannot open %s: %s\n", psc_format_path(path).s, error);
        return FAILED;
    }
    int status = request->output != NULL ? end_output(write_file(request, model), request->output)
                                         : end_output(write_stream(request, model, stdout), "the standard output");
    psc_model_close(model);
    return status;
}

/* ---- traces ---------------------------------------------------------------------------------------------------- */

static int export_largest(const struct request *request) {
    struct psc_tree tree = psc_tree_read(&request->paths);
    const struct psc_tree_row *largest = psc_tree_sum(&tree).most_held;
    int status = FAILED;
    if (largest != NULL) {
        fprintf(stderr, "poolscope export: %zu traces; this is of the one that held most: %s\n", tree.count,
                psc_format_path(largest->path).s);
        status = export_one(request, largest->path);
    }
    status = tree.failed != 0 ? FAILED : status;
    psc_tree_release(&tree);
    return status;
}

static int export_found(struct request *request, int argc, char **argv) {
    bool found = optind == argc ? psc_find_newest(&request->paths) : true;
    for (int i = optind; i < argc; i++) {
        found &= psc_find_add(&request->paths, argv[i]);
    }
    int status = request->paths.count == 0   ? FAILED
                 : request->paths.count == 1 ? export_one(request, request->paths.paths[0])
                                             : export_largest(request);
    return found ? status : FAILED;
}

int psc_export_main(int argc, char **argv) {
    struct request request = {.options.figure = PSC_EXPORT_FIGURE_COUNT};
    psc_prefix_set("export");
    int status = read_options(&request, argc, argv);
    if (status == DONE && request.help) {
        fputs(help_text, stdout);
        status = end_output(fflush(stdout) == 0 && !ferror(stdout), "the standard output");
    } else if (status == DONE) {
        status = export_found(&request, argc, argv);
    }
    psc_find_release(&request.paths);
    return status;
}
