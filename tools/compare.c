/* `poolscope compare`: CMD under several allocators, side by side. */
#include "tools/compare.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/array.h"
#include "report/format.h"
#include "report/prefix.h"
#include "report/progress.h"
#include "tools/command.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

#define WORDS_SHOWN 5 /* lines of what a failing CMD said */

static const char help_text[] =
    "Usage: poolscope compare [OPTION]... [--] CMD [ARG]...\n"
    "Runs CMD under the C library's allocator, under those of others that are on this machine, and under poolscope, "
    "and\n"
    "puts CPU time, wall time and resident memory side by side. CMD reads nothing, and its output is not shown.\n"
    "\n"
    "      --allocator=NAME       only this one and the baseline; may be repeated\n"
    "      --allocator=NAME=PATH  also the library PATH, under that name\n"
    "      --baseline=NAME        what the others are measured against (default: glibc)\n"
    "      --runs=N               runs under each, in turn (default: 3)\n"
    "      --warmup=N             runs under the baseline before that, which do not count (default: 1)\n"
    "      --timeout=SECONDS      a run that takes longer is ended, and has failed (default: none)\n"
    "      --stdin=FILE           what CMD reads\n"
    "      --ignore-status        a CMD that ends with another status than 0 has not failed\n"
    "  -o, --output=DIR           also write all runs (runs.tsv), plots, and what CMD wrote, into DIR\n"
    "      --png                  the plots as PNG too\n"
    "      --format=FORMAT        text (default) or json\n"
    "  -h, --help                 this text\n"
    "\n"
    "Exit status: 0 done, 1 CMD failed or did not load an allocator, 2 wrong use.\n";

/* ---- options ---------------------------------------------------------------------------------------------------- */

struct request {
    struct psc_compare compare;
    const char *baseline;
    bool help;
};

static int complain(const char *what, const char *value) {
    fprintf(stderr, "poolscope compare: %s%s\nTry 'poolscope compare --help'.\n", what, value);
    return USAGE;
}

static int take_count(unsigned *count, const char *value, unsigned least, const char *what) {
    char *end;
    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (errno != 0 || *end != '\0' || *value < '0' || *value > '9' || number < least || number > PSC_COMPARE_RUNS_MAX) {
        return complain(what, value);
    }
    *count = (unsigned)number;
    return DONE;
}

static int take_timeout(struct psc_compare *compare, const char *value) {
    char *end;
    compare->timeout_s = strtod(value, &end);
    bool good = *end == '\0' && end != value && compare->timeout_s > 0 && compare->timeout_s < 1e9;
    return good ? DONE : complain("--timeout takes seconds, not ", value);
}

static int take_format(struct psc_compare *compare, const char *value) {
    compare->json = strcmp(value, "json") == 0;
    return compare->json || strcmp(value, "text") == 0 ? DONE : complain("--format is text or json, not ", value);
}

static int take_option(struct request *request, int option, char **argv) {
    struct psc_compare *compare = &request->compare;
    switch (option) {
    case 'a': return psc_contenders_take(compare, optarg) ? DONE : USAGE;
    case 'b': request->baseline = optarg; return DONE;
    case 'r': return take_count(&compare->runs, optarg, 1, "--runs takes a number from 1 to 1000, not ");
    case 'w': return take_count(&compare->warmup, optarg, 0, "--warmup takes a number from 0 to 1000, not ");
    case 't': return take_timeout(compare, optarg);
    case 's': compare->stdin_path = optarg; return DONE;
    case 'i': compare->ignore_status = true; return DONE;
    case 'o': compare->directory = optarg; return DONE;
    case 'p': compare->png = true; return DONE;
    case 'f': return take_format(compare, optarg);
    case 'h': request->help = true; return DONE;
    case ':': return complain("a value is missing after ", argv[optind - 1]);
    default: return complain("unknown option ", argv[optind - 1]);
    }
}

static int read_options(struct request *request, int argc, char **argv) {
    static const struct option options[] = {{"allocator", required_argument, NULL, 'a'},
                                            {"baseline", required_argument, NULL, 'b'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"warmup", required_argument, NULL, 'w'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"stdin", required_argument, NULL, 's'},
                                            {"ignore-status", no_argument, NULL, 'i'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"png", no_argument, NULL, 'p'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int status = DONE;
    optind = 0;
    opterr = 0;
    for (int option; status == DONE && (option = getopt_long(argc, argv, "+:o:h", options, NULL)) != -1;) {
        status = take_option(request, option, argv);
    }
    if (status != DONE || request->help) {
        return status;
    }
    request->compare.command = argv + optind;
    if (optind == argc) {
        return complain("compare what? poolscope compare [OPTION]... [--] CMD [ARG]...", "");
    }
    return request->compare.png && request->compare.directory == NULL ? complain("--png needs -o DIR", "") : DONE;
}

/* ---- places ----------------------------------------------------------------------------------------------------- */

static int fail(const char *what, const char *path) {
    fprintf(stderr, "poolscope compare: cannot %s %s: %s\n", what, path, strerror(errno));
    return FAILED;
}

/* The library takes a percent sign in `out` for a directive. */
static bool make_scratch(struct psc_compare *compare) {
    const char *place = getenv("TMPDIR");
    if (place == NULL || place[0] != '/' || strchr(place, '%') != NULL || strlen(place) > PATH_MAX / 2) {
        place = "/tmp";
    }
    snprintf(compare->scratch, sizeof(compare->scratch), "%s/poolscope-compare-XXXXXX", place);
    return mkdtemp(compare->scratch) != NULL;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    remove(path);
    return 0;
}

static void remove_scratch(const struct psc_compare *compare) {
    nftw(compare->scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void name_traces(const struct psc_compare *compare, const struct psc_contender *contender, size_t run,
                        char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%.3000s/%s-%zu", compare->scratch, contender->name, run);
}

/* Runs that do not count leave their traces beside those that do. */
static bool make_places(const struct psc_compare *compare, const struct psc_contender *contender, bool counts,
                        struct psc_run_places *places) {
    const char *directory = compare->directory != NULL ? compare->directory : compare->scratch;
    snprintf(places->out, sizeof(places->out), "%.3000s/%s.out", directory, contender->name);
    snprintf(places->err, sizeof(places->err), "%.3000s/%s.err", directory, contender->name);
    name_traces(compare, contender, counts ? contender->run_count : compare->runs, places->traces);
    return mkdir(places->traces, 0700) == 0 || errno == EEXIST;
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

static bool went_well(const struct psc_compare *compare, const struct psc_run *run) {
    return run->end == PSC_RUN_EXIT && (run->value == 0 || compare->ignore_status);
}

static void say_failure(const struct psc_compare *compare, struct psc_contender *contender, const struct psc_run *run) {
    char *text = contender->failure;
    size_t room = sizeof(contender->failure);
    switch (run->end) {
    case PSC_RUN_EXIT: snprintf(text, room, "CMD ended with exit status %d", run->value); break;
    case PSC_RUN_SIGNAL: snprintf(text, room, "CMD was killed: %s", strsignal(run->value)); break;
    case PSC_RUN_TIMEOUT: snprintf(text, room, "CMD took longer than %g s", compare->timeout_s); break;
    case PSC_RUN_NOT_STARTED: snprintf(text, room, "CMD cannot be run: %s", strerror(run->value)); break;
    case PSC_RUN_INTERRUPTED: snprintf(text, room, "interrupted"); break;
    }
}

/* The last lines that CMD wrote to standard error. */
static void show_words(const char *path) {
    char text[2048], plain[400];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    if (fseek(file, -(long)sizeof(text) + 1, SEEK_END) != 0) {
        rewind(file);
    }
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    size_t lines = 0;
    char *from = text + length;
    while (from > text && (from[-1] != '\n' || from == text + length || ++lines < WORDS_SHOWN)) {
        from--;
    }
    for (char *rest = from, *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (line[0] != '\0') {
            fprintf(stderr, "    | %s\n", psc_format_plain(plain, sizeof(plain), line));
        }
    }
}

/* Runs CMD; *run is the caller's. False: `contender` has a failure now, which was said. */
static bool run_once(struct psc_compare *compare, struct psc_contender *contender, bool counts, struct psc_run *run) {
    struct psc_run_places places;
    *run = (struct psc_run){.end = PSC_RUN_NOT_STARTED};
    if (!make_places(compare, contender, counts, &places)) {
        run->value = errno;
    } else {
        *run = psc_run_once(compare, contender, &places);
    }
    if (went_well(compare, run)) {
        return true;
    }
    say_failure(compare, contender, run);
    psc_progress_clear();
    char plain[200];
    fprintf(stderr, "poolscope compare: %s: under %s: %s\n",
            psc_format_plain(plain, sizeof(plain), compare->command[0]), contender->name, contender->failure);
    if (run->end == PSC_RUN_EXIT || run->end == PSC_RUN_SIGNAL) {
        show_words(places.err);
    }
    return false;
}

/* False: interrupted, or CMD cannot be run at all; *signal is the one to end by, or 0. */
static bool run_one(struct psc_compare *compare, struct psc_contender *contender, bool counts, int *signal) {
    struct psc_run run;
    bool good = run_once(compare, contender, counts, &run);
    *signal = run.end == PSC_RUN_INTERRUPTED ? run.value : 0;
    if (good && counts) {
        contender->runs[contender->run_count++] = run;
    } else {
        free(run.points);
    }
    return run.end != PSC_RUN_INTERRUPTED && run.end != PSC_RUN_NOT_STARTED &&
           (good || contender != &compare->contenders[compare->baseline]);
}

static void show_progress(const struct psc_contender *contender, size_t run, size_t all) {
    char words[96];
    snprintf(words, sizeof(words), "run %zu of %zu (%s),", run + 1, all, contender->name);
    psc_progress_show(words, run, all);
}

/* Rounds, each of which begins with another one. False as run_one. */
static bool run_all(struct psc_compare *compare, int *signal) {
    size_t all = compare->warmup + (size_t)compare->runs * compare->count;
    size_t done = 0;
    for (unsigned i = 0; i < compare->warmup; i++) {
        struct psc_contender *baseline = &compare->contenders[compare->baseline];
        show_progress(baseline, done++, all);
        if (!run_one(compare, baseline, false, signal)) {
            return false;
        }
    }
    for (unsigned round = 0; round < compare->runs; round++) {
        for (size_t i = 0; i < compare->count; i++) {
            struct psc_contender *contender = &compare->contenders[(round + i) % compare->count];
            show_progress(contender, done++, all);
            if (contender->failure[0] == '\0' && !run_one(compare, contender, true, signal)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static void read_traces(struct psc_compare *compare, struct psc_contender *contender) {
    for (size_t run = 0; contender->traced && run < contender->run_count; run++) {
        char path[PATH_MAX];
        name_traces(compare, contender, run, path);
        psc_compare_read_traces(contender, &contender->runs[run], path);
    }
}

static void judge(struct psc_compare *compare) {
    bool own_malloc = false;
    for (size_t i = 0; i < compare->count; i++) {
        read_traces(compare, &compare->contenders[i]);
        own_malloc |= compare->contenders[i].own_malloc;
    }
    for (size_t i = 0; i < compare->count; i++) {
        compare->contenders[i].own_malloc = own_malloc;
        psc_loaded_judge(&compare->contenders[i], compare->command[0]);
    }
}

static int write_answer(const struct psc_compare *compare) {
    int status = DONE;
    if (compare->directory != NULL && !(psc_compare_write_runs(compare) && psc_compare_draw(compare))) {
        status = fail("write into", compare->directory);
    }
    (compare->json ? psc_compare_write_json : psc_compare_write_table)(compare, stdout);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return fail("write", "the answer");
    }
    for (size_t i = 0; i < compare->count; i++) {
        status = compare->contenders[i].failure[0] != '\0' ? FAILED : status;
    }
    return status;
}

static int run_and_answer(struct psc_compare *compare, int *signal) {
    bool ran = run_all(compare, signal);
    psc_progress_clear();
    if (ran) {
        judge(compare);
    }
    remove_scratch(compare); /* who reads the answer may stop reading, which ends this process */
    return ran ? write_answer(compare) : FAILED;
}

/* A person who interrupts is to see a process that was interrupted. */
static void end_by(int number) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    raise(number);
}

static int compare_all(struct psc_compare *compare) {
    int signal = 0;
    for (size_t i = 0; i < compare->count; i++) {
        compare->contenders[i].runs = psc_array_new(compare->runs, sizeof(*compare->contenders[i].runs));
    }
    struct stat input;
    if (access(compare->stdin_path, R_OK) != 0 || stat(compare->stdin_path, &input) != 0) {
        return fail("read", compare->stdin_path);
    }
    if (!S_ISREG(input.st_mode) && !S_ISCHR(input.st_mode)) {
        fprintf(stderr, "poolscope compare: --stdin takes a file that can be read again for each run, not %s\n",
                compare->stdin_path);
        return FAILED;
    }
    if (compare->directory != NULL && mkdir(compare->directory, 0777) != 0 && errno != EEXIST) {
        return fail("make the directory", compare->directory);
    }
    if (compare->directory != NULL && access(compare->directory, W_OK | X_OK) != 0) {
        return fail("write into", compare->directory);
    }
    if (!make_scratch(compare)) {
        return fail("make the directory", compare->scratch);
    }
    psc_prefix_set("compare");
    int status = run_and_answer(compare, &signal);
    if (signal != 0) {
        end_by(signal);
    }
    return status;
}

int psc_compare_main(int argc, char **argv) {
    struct request *request = psc_array_new(1, sizeof(*request)); /* large: paths of all contenders */
    struct psc_compare *compare = &request->compare;
    request->baseline = "glibc";
    compare->runs = 3;
    compare->warmup = 1;
    compare->stdin_path = "/dev/null";
    int status = read_options(request, argc, argv);
    if (request->help) {
        fputs(help_text, stdout);
    } else if (status == DONE) {
        status = psc_contenders_find(compare, request->baseline);
        status = status == DONE ? compare_all(compare) : status;
    }
    psc_contenders_release(compare);
    free(request);
    return status;
}
