/* `poolscope diff`: what the user asked for, and what grew too much. */
#include "report/diff.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/diff_traces.h"
#include "report/format.h"
#include "report/prefix.h"

enum { DONE = 0, FAILED = 1, USAGE = 2, OVER = 3 };

#define LIMITS_MAX 16

/* How much a figure may grow. */
struct limit {
    enum psc_diff_figure figure;
    uint64_t bytes;
};

struct request {
    enum psc_diff_figure by;
    size_t top; /* 0: not given */
    struct limit limits[LIMITS_MAX];
    size_t limit_count;
    bool json;
    bool lines;
    bool help;
};

static const char help_text[] =
    "Usage: poolscope diff [OPTION]... OLD NEW\n"
    "Says what grew and what shrank from one trace to another: in all, by size class and by site. Sites are matched "
    "by\n"
    "the names of their functions, so that the traces may be of different builds.\n"
    "OLD and NEW are traces, or directories of which the process that held most is taken, of the same program in "
    "both.\n"
    "\n"
    "      --by=FIGURE           what sites are sorted by: live (default), peak, pinned or alloc\n"
    "      --top=N               sites and size classes that are shown (default: 10; with json: all that changed)\n"
    "      --lines               sites are the same only if files and lines are\n"
    "      --format=FORMAT       text (default) or json\n"
    "      --fail-over=[FIGURE:]BYTES\n"
    "                            exit with status 3 if FIGURE (default: live) grew by more than BYTES in all, which "
    "may\n"
    "                            end in K, M or G (powers of 1024); may be given several times\n"
    "  -h, --help                this text\n"
    "\n"
    "Exit status: 0 done, 1 something failed, 2 wrong use, 3 grown by more than --fail-over allows.\n";

/* ---- options --------------------------------------------------------------------------------------------------- */

static int complain(const char *what, const char *value) {
    fprintf(stderr, "poolscope diff: %s%s\nTry 'poolscope diff --help'.\n", what, value);
    return USAGE;
}

/* The figure that the first `length` characters name. */
static bool find_figure(const char *name, size_t length, enum psc_diff_figure *figure) {
    for (enum psc_diff_figure i = 0; i < PSC_DIFF_FIGURES; i++) {
        const char *known = psc_diff_figure_name(i);
        if (strlen(known) == length && strncmp(known, name, length) == 0) {
            *figure = i;
            return true;
        }
    }
    return false;
}

/* By how many bits the unit that ends a size moves it; -1: no unit. */
static int shift_of(const char *unit) {
    static const char units[] = "kmg";
    if (*unit == '\0') {
        return 0;
    }
    const char *known = strchr(units, *unit | 0x20);
    return unit[1] == '\0' && known != NULL && *known != '\0' ? 10 * (int)(known - units + 1) : -1;
}

static bool read_size(const char *text, uint64_t *size) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    int shift = shift_of(end);
    if (errno != 0 || *text < '0' || *text > '9' || shift < 0 || number > UINT64_MAX >> shift) {
        return false;
    }
    *size = (uint64_t)number << shift;
    return true;
}

static int take_limit(struct request *request, const char *value) {
    const char *colon = strchr(value, ':');
    struct limit *limit = &request->limits[request->limit_count];
    if (request->limit_count == LIMITS_MAX) {
        return complain("too many of --fail-over, at ", value);
    }
    if (colon != NULL && !find_figure(value, (size_t)(colon - value), &limit->figure)) {
        return complain("--fail-over takes live:, peak:, pinned: or alloc: before the bytes, not ", value);
    }
    if (!read_size(colon != NULL ? colon + 1 : value, &limit->bytes)) {
        return complain("--fail-over takes bytes, or K, M or G of them, not ", value);
    }
    request->limit_count++;
    return DONE;
}

static int take_top(struct request *request, const char *value) {
    uint64_t top;
    if (!read_size(value, &top) || top == 0 || top > 100000) {
        return complain("--top takes a number from 1 to 100000, not ", value);
    }
    request->top = (size_t)top;
    return DONE;
}

static int take_option(struct request *request, int option, char **argv) {
    switch (option) {
    case 'b':
        return find_figure(optarg, strlen(optarg), &request->by)
                   ? DONE
                   : complain("--by is live, peak, pinned or alloc, not ", optarg);
    case 'f':
        request->json = strcmp(optarg, "json") == 0;
        return request->json || strcmp(optarg, "text") == 0 ? DONE : complain("--format is text or json, not ", optarg);
    case 't': return take_top(request, optarg);
    case 'o': return take_limit(request, optarg);
    case 'l': request->lines = true; return DONE;
    case 'h': request->help = true; return DONE;
    case ':': return complain("a value is missing after ", argv[optind - 1]);
    default: return complain("unknown option ", argv[optind - 1]);
    }
}

static int read_options(struct request *request, int argc, char **argv) {
    static const struct option options[] = {{"by", required_argument, NULL, 'b'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"top", required_argument, NULL, 't'},
                                            {"lines", no_argument, NULL, 'l'},
                                            {"fail-over", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int status = DONE;
    optind = 0; /* the launcher may have used getopt before */
    opterr = 0;
    for (int option; status == DONE && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        status = take_option(request, option, argv);
    }
    if (status == DONE && !request->help && argc - optind != 2) {
        status = argc - optind < 2 ? complain("OLD and NEW are needed", "")
                                   : complain("OLD and NEW are all that is taken, not ", argv[optind + 2]);
    }
    return status;
}

/* ---- limits ---------------------------------------------------------------------------------------------------- */

/* The site of which a figure grew most; NULL if none grew. */
static const struct psc_diff_site *find_grown(const struct psc_diff *diff, enum psc_diff_figure figure) {
    const struct psc_diff_site *most = NULL;
    uint64_t most_bytes = 0;
    for (size_t i = 0; i < diff->site_count; i++) {
        struct psc_diff_change change = psc_diff_site_change(&diff->sites[i], figure);
        if (!change.shrank && change.amount > most_bytes) {
            most = &diff->sites[i];
            most_bytes = change.amount;
        }
    }
    return most;
}

static void blame(const struct psc_diff *diff, enum psc_diff_figure figure) {
    char function[256], file[256];
    const struct psc_diff_site *most = find_grown(diff, figure);
    if (most == NULL) {
        return;
    }
    struct psc_site *site = psc_diff_site_frames(diff, most);
    fprintf(stderr, "; most at ");
    if (site->frame_count == 0) {
        fputs("(unknown)", stderr);
    } else {
        const struct psc_frame *frame = &site->frames[psc_site_skip(site)];
        fputs(psc_format_plain(function, sizeof(function), frame->function), stderr);
        if (frame->file != NULL && *frame->file != '\0') {
            fprintf(stderr, " (%s:%" PRIu32 ")", psc_format_plain(file, sizeof(file), frame->file), frame->line);
        }
    }
    fprintf(stderr, ": +%s", psc_format_count(psc_diff_site_change(most, figure).amount).s);
    psc_model_forget_frames(site);
}

static bool is_over(const struct psc_diff *diff, const struct limit *limit) {
    const struct psc_diff_total *total = psc_diff_total_of(diff, limit->figure);
    struct psc_diff_change change = psc_diff_change_of(&total->sides[PSC_DIFF_OLD], &total->sides[PSC_DIFF_NEW]);
    if (change.shrank || change.amount <= limit->bytes) {
        return false;
    }
    fprintf(stderr, "poolscope diff: %s bytes grew by %s (%s), more than %s", psc_diff_figure_name(limit->figure),
            psc_format_count(change.amount).s,
            change.error != 0 ? psc_format_bytes_error(change.amount, change.error).s
                              : psc_format_bytes(change.amount).s,
            psc_format_count(limit->bytes).s);
    blame(diff, limit->figure);
    fputc('\n', stderr);
    return true;
}

static int check_limits(const struct request *request, const struct psc_diff *diff) {
    bool over = false;
    for (size_t i = 0; i < request->limit_count; i++) {
        over |= is_over(diff, &request->limits[i]);
    }
    return over ? OVER : DONE;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static struct psc_model *open_model(const char *path) {
    const char *error;
    struct psc_model *model = psc_model_open(path, &error);
    if (model == NULL) {
        fprintf(stderr, "poolscope diff: cannot open %s: %s\n", psc_format_path(path).s, error);
    }
    return model;
}

/* The answer is complete before anything is said of it. */
static int answer(const struct request *request, const struct psc_diff *diff) {
    char text[1200];
    if (request->json) {
        psc_diff_write_json(diff, stdout, request->top);
    } else {
        psc_diff_write(diff, stdout, request->top);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "poolscope diff: cannot write: %s\n", strerror(errno));
        return FAILED;
    }
    for (size_t i = 0; i < diff->warning_count; i++) {
        fprintf(stderr, "poolscope diff: %s\n", psc_format_plain(text, sizeof(text), diff->warnings[i]));
    }
    return check_limits(request, diff);
}

static int compare(const struct request *request, const char *old_path, const char *new_path) {
    struct psc_model *old = open_model(old_path), *new = open_model(new_path);
    int status = FAILED;
    if (old != NULL && new != NULL) {
        struct psc_diff *diff = psc_diff_make(old, new, request->by, request->lines);
        status = answer(request, diff);
        psc_diff_free(diff);
    }
    psc_model_close(old);
    psc_model_close(new);
    return status;
}

int psc_diff_main(int argc, char **argv) {
    struct request request = {.by = PSC_DIFF_LIVE};
    struct psc_diff_traces traces = {.failed = 0};
    psc_prefix_set("diff");
    int status = read_options(&request, argc, argv);
    if (status == DONE && request.help) {
        fputs(help_text, stdout);
        return fflush(stdout) == 0 ? DONE : FAILED;
    }
    if (status == DONE) {
        status = psc_diff_traces_find(&traces, argv[optind], argv[optind + 1])
                     ? compare(&request, traces.chosen[PSC_DIFF_OLD], traces.chosen[PSC_DIFF_NEW])
                     : FAILED;
        status = status == DONE && traces.failed != 0 ? FAILED : status;
    }
    psc_diff_traces_release(&traces);
    return status;
}
