/* The parts of `poolscope compare`, for each other. A contender is an allocator that CMD runs under. */
#ifndef PSC_TOOLS_COMPARE_H
#define PSC_TOOLS_COMPARE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "tools/settings.h"

#define PSC_CONTENDERS_MAX 24
#define PSC_CONTENDER_NAME_MAX 24
#define PSC_COMPARE_RUNS_MAX 1000

/* What is known of a run. Times in microseconds.
 *   COMPARED(name, heading): stands in the table. cpu = user + system, of all processes of the run. RSS is that of
 *     all processes added up; peak is the larger one of the samples' and of the kernel's for the largest process.
 *   RAW(name): beside it in the files.
 *   TRACED(name): of poolscope-exact only, from the trace of the process that held most. The first three when its live
 *     bytes peaked: live (requested), held (committed), and what of that was pinned. */
#define PSC_RUN_FIGURES(COMPARED, RAW, TRACED)                                                                         \
    COMPARED(cpu_us, "CPU time")                                                                                       \
    COMPARED(wall_us, "wall time")                                                                                     \
    COMPARED(peak_bytes, "peak RSS")                                                                                   \
    COMPARED(average_bytes, "average RSS")                                                                             \
    COMPARED(end_bytes, "RSS at the end")                                                                              \
    RAW(user_us)                                                                                                       \
    RAW(system_us)                                                                                                     \
    RAW(sampled_peak_bytes)                                                                                            \
    RAW(largest_process_bytes)                                                                                         \
    RAW(minor_faults)                                                                                                  \
    RAW(major_faults)                                                                                                  \
    RAW(samples)                                                                                                       \
    RAW(left_behind)                                                                                                   \
    TRACED(live_bytes)                                                                                                 \
    TRACED(held_bytes)                                                                                                 \
    TRACED(pinned_bytes)                                                                                               \
    TRACED(end_live_bytes)                                                                                             \
    TRACED(end_held_bytes)                                                                                             \
    TRACED(end_pinned_bytes)

#define PSC_RUN_ENUM_COMPARED(name, heading) PSC_RUN_##name,
#define PSC_RUN_ENUM(name) PSC_RUN_##name,
enum psc_run_figure { PSC_RUN_FIGURES(PSC_RUN_ENUM_COMPARED, PSC_RUN_ENUM, PSC_RUN_ENUM) PSC_RUN_FIGURE_COUNT };

#define PSC_RUN_COMPARED_COUNT (PSC_RUN_end_bytes + 1)
#define PSC_RUN_TRACED_FIRST PSC_RUN_live_bytes

enum psc_run_end {
    PSC_RUN_EXIT,        /* value: exit status */
    PSC_RUN_SIGNAL,      /* value: number of the signal that killed CMD */
    PSC_RUN_TIMEOUT,     /* it and all that it started were killed */
    PSC_RUN_NOT_STARTED, /* value: errno */
    PSC_RUN_INTERRUPTED, /* value: number of the signal that this process got; all was killed */
};

struct psc_rss_point {
    uint32_t time_ms;
    uint32_t kib;
};

struct psc_run {
    enum psc_run_end end;
    int value;
    uint64_t figures[PSC_RUN_FIGURE_COUNT];
    /* KiB of all samples, in processes that had the contender's library mapped and in those that had not. */
    uint64_t kib_with;
    uint64_t kib_without;
    struct psc_rss_point *points; /* owned; thinned where there are many */
    size_t point_count;
};

enum psc_loaded {
    PSC_LOADED_YES,
    PSC_LOADED_NO,
    PSC_LOADED_UNKNOWN, /* the runs were over before it could be looked at */
};

struct psc_contender {
    char name[PSC_CONTENDER_NAME_MAX];
    char library[PATH_MAX];       /* real path; empty: what CMD has without a library */
    struct psc_settings settings; /* of poolscope, where `ours` */
    bool ours;
    bool traced;
    bool chosen;          /* named without a path: only such ones and the baseline run */
    struct psc_run *runs; /* owned */
    size_t run_count;
    enum psc_loaded loaded;
    unsigned loaded_percent; /* where YES: share of the memory that lay in processes with the library */
    bool own_malloc;         /* the traces say that CMD brings its own */
    char failure[320];       /* why it has no figures, a sentence without its end; empty: it has */
};

struct psc_compare {
    char **command;
    struct psc_contender contenders[PSC_CONTENDERS_MAX];
    size_t count;
    size_t baseline; /* index */
    unsigned runs;
    unsigned warmup;
    double timeout_s;       /* 0: none */
    const char *stdin_path; /* of CMD */
    const char *directory;  /* of the files; NULL: none */
    bool json;
    bool png;
    bool ignore_status;
    char missing[1024]; /* what was looked for and not found, by commas */
    char packages[256]; /* those that would bring some of it, by blanks */
    char scratch[PATH_MAX];
};

/* ---- contenders (compare_contenders.c) -------------------------------------------------------------------------- */

/* Takes the value of --allocator, NAME or NAME=PATH. False: said why on stderr. */
bool psc_contenders_take(struct psc_compare *compare, const char *value);
/* Finds the libraries of those that were named, or of all that are known, and puts the baseline in place. Returns an
 * exit status: 2, there is no such baseline, 1, one that was named is not there; both are said on stderr. */
int psc_contenders_find(struct psc_compare *compare, const char *baseline);
void psc_contenders_release(struct psc_compare *compare);

/* ---- one run (compare_run.c) ------------------------------------------------------------------------------------ */

/* Where the files of a run go. */
struct psc_run_places {
    char out[PATH_MAX];
    char err[PATH_MAX];
    char traces[PATH_MAX]; /* a directory that is there, absolute */
};

/* Runs CMD once. Children of this process are all taken to be the run's. */
struct psc_run psc_run_once(const struct psc_compare *compare, const struct psc_contender *contender,
                            const struct psc_run_places *places);

/* ---- libraries in a run (compare_loaded.c) ---------------------------------------------------------------------- */

#define PSC_LOADED_PROCESSES 256

struct psc_loaded_process {
    int32_t pid;
    uint32_t visits;
    int32_t state; /* compare_loaded.c's own */
};

struct psc_loaded_watch {
    const char *library; /* empty: nothing is looked for */
    uint64_t kib_with;
    uint64_t kib_without;
    struct psc_loaded_process processes[PSC_LOADED_PROCESSES]; /* by pid modulo their number */
};

/* A psc_footprint_visit whose context is a psc_loaded_watch. */
void psc_loaded_visit(void *watch, pid_t pid, uint64_t pages);
/* Sets `loaded` and what belongs to it from all runs and traces; where it is NO, also `failure`. */
void psc_loaded_judge(struct psc_contender *contender, const char *command);

/* ---- what the traces say (compare_traces.c) --------------------------------------------------------------------- */

/* Fills the traced figures of `run` from the traces in `directory`. Sets own_malloc if none of them has more to say. */
void psc_compare_read_traces(struct psc_contender *contender, struct psc_run *run, const char *directory);

/* ---- sums (compare_sums.c) -------------------------------------------------------------------------------------- */

struct psc_spread {
    double median;
    double least;
    double most;
};

bool psc_contender_has_figures(const struct psc_contender *contender);
/* Over the runs of a contender that has figures. */
struct psc_spread psc_compare_spread(const struct psc_contender *contender, enum psc_run_figure figure);
/* The same in times of the baseline's median; that must not be 0. */
struct psc_spread psc_compare_ratio(const struct psc_compare *compare, const struct psc_contender *contender,
                                    enum psc_run_figure figure);
/* True if the runs of both have no value in common range, and there is more than one of each. */
bool psc_compare_differs(const struct psc_compare *compare, const struct psc_contender *contender,
                         enum psc_run_figure figure);
/* Peak RSS over the live bytes that a trace knows of; 0: none does. */
double psc_compare_over_live(const struct psc_compare *compare, const struct psc_contender *contender);
/* The contender that has traced figures, or NULL. */
const struct psc_contender *psc_compare_traced(const struct psc_compare *compare);
/* The run whose wall time is nearest to the median; its points are drawn. */
const struct psc_run *psc_compare_typical(const struct psc_contender *contender);
const char *psc_run_figure_name(enum psc_run_figure figure);
const char *psc_run_figure_heading(enum psc_run_figure figure); /* of those that are compared */
static inline bool psc_run_figure_is_time(enum psc_run_figure figure) {
    return figure == PSC_RUN_cpu_us || figure == PSC_RUN_wall_us;
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

void psc_compare_write_table(const struct psc_compare *compare, FILE *out); /* compare_table.c */
void psc_compare_write_json(const struct psc_compare *compare, FILE *out);  /* compare_json.c */
/* DIR/runs.tsv. False with errno set. compare_json.c */
bool psc_compare_write_runs(const struct psc_compare *compare);
/* DIR/bars.* and DIR/rss.*. False with errno set if a file could not be written. compare_plot.c */
bool psc_compare_draw(const struct psc_compare *compare);

#endif
