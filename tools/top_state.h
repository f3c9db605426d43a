/* What `poolscope top` knows of a process: its trace, read again and again, and what changed between the last two
 * readings. Knows no terminal.
 *
 * Rates are what changed since the reading before, over the time between the two. Of the first reading, and of a process
 * that has ended, they are averages over the whole run. */
#ifndef PSC_TOOLS_TOP_STATE_H
#define PSC_TOOLS_TOP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/model.h"

/*  PSC_TOP_SORT(NAME, "--sort=", key on the screen, what it is) */
#define PSC_TOP_SORTS(SORT)                                                                                            \
    SORT(LIVE, "live", 'L', "live bytes")                                                                              \
    SORT(PINNED, "pinned", 'P', "pinned bytes")                                                                        \
    SORT(RATE, "rate", 'R', "bytes allocated a second")                                                                \
    SORT(ALLOCS, "allocs", 'A', "allocations a second")                                                                \
    SORT(COUNT, "count", 'C', "live blocks")                                                                           \
    SORT(PEAK, "peak", 'K', "live bytes at the peak of the process")

#define PSC_TOP_SORT_ENUM(name, option, key, help) PSC_TOP_##name,
enum psc_top_sort { PSC_TOP_SORTS(PSC_TOP_SORT_ENUM) PSC_TOP_SORT_COUNT };

/* A second. */
struct psc_top_rate {
    double allocs;
    double frees;
    double bytes; /* allocated */
};

struct psc_top {
    const char *path; /* of the trace, borrowed */
    int fd;           /* of the trace, which may lose its name meanwhile; borrowed */
    uint32_t pid;     /* in /proc; that of the trace may be of another pid namespace */
    struct psc_model *model;
    enum psc_process_end end;
    uint64_t run_ns;   /* how long the process has run */
    uint64_t read_ns;  /* CLOCK_MONOTONIC of the last reading */
    uint64_t rate_ns;  /* what rates are averages over */
    bool whole_run;    /* which is the whole run */
    uint64_t cost_ns;  /* processor time of the last reading */
    uint64_t delay_ns; /* between readings, as asked for */
    uint64_t rss_bytes;
    struct psc_top_rate total;
    struct psc_top_rate *sites;   /* model->site_count */
    struct psc_top_rate *threads; /* model->thread_count; bytes is 0 */
    struct psc_top_rate classes[PSC_CLASSES_MAX];
    enum psc_top_sort sort;
    uint32_t *order; /* ids of the sites that were met, by `sort`, most first; then by live bytes */
    size_t order_count;
};

/* `pid` is 0 where only the trace is known. */
void psc_top_init(struct psc_top *top, int fd, const char *path, uint32_t pid);
void psc_top_release(struct psc_top *top);

/* Reads the trace anew. Returns false with *error, as psc_model_open does, and leaves all as it was, if that cannot be. */
bool psc_top_read(struct psc_top *top, const char **error);
/* What psc_top_read does with what it read: takes `model` over, read at `now_ns`. */
void psc_top_take(struct psc_top *top, struct psc_model *model, uint64_t now_ns);
/* Changes the order of the sites. */
void psc_top_order(struct psc_top *top, enum psc_top_sort sort);

/* How long to wait before the next reading: `delay_ns`, or as long as makes reading take a tenth of the time. */
uint64_t psc_top_wait_ns(const struct psc_top *top);
/* Seconds with decimals, as a person types them. Returns false, and changes nothing, for what is no such number. */
#define PSC_TOP_DELAY_WORDS "the delay is a number of seconds from 0.1 to 3600"
bool psc_top_parse_delay(const char *text, uint64_t *delay_ns);
/* The site at this place of the order. */
struct psc_site *psc_top_site(const struct psc_top *top, size_t place);

#endif
