/* The event log of a process, read as a stream: all threads' events in one order. Untrusted input, as a trace is: every
 * event is checked, and what cannot be read is counted and left out.
 *
 * The order of one thread's events is that of the log. Across threads it is by time, but that causes come before
 * effects: a block is freed after it was allocated, and an address is handed out after it was freed. (Clocks of two
 * processors may differ by a little.) Where the other event was lost, nothing is waited for longer than
 * PSC_LOG_PATIENCE_NS.
 *
 * Memory: one buffer for each thread whose events are being read, and an entry for each block that is live. */
#ifndef PSC_REPORT_LOG_H
#define PSC_REPORT_LOG_H

#include <stdio.h>

#include "core/wire/log.h"
#include "report/model.h"

#define PSC_LOG_PATIENCE_NS 1000000u

struct psc_log;

struct psc_log_entry {
    uint64_t time_ns; /* since the start of the process */
    uint32_t thread;  /* index in the trace's table of threads */
    uint32_t kind;    /* enum psc_log_kind */
    uint64_t address;
    uint64_t old_address; /* of a resize */
    uint64_t size;        /* requested; of a free that of the block, PSC_LOG_UNKNOWN if its allocation is not known; of
                           * PSC_LOG_LOST the number of events, 0 if that is not known */
    uint32_t site;        /* of a free that of the block, 0 if not known */
};

#define PSC_LOG_UNKNOWN UINT64_MAX

struct psc_log_figures {
    uint64_t events;      /* that the chunks claim to hold */
    uint64_t bytes;       /* in use of the file */
    uint64_t lost;        /* by the process */
    uint64_t threads;     /* that have events */
    uint64_t damaged;     /* places that could not be read; found while reading */
    uint64_t left_out;    /* events in them */
    uint32_t stop_reason; /* enum psc_stop_reason */
};

/* Opens the log beside the trace of this model. NULL: *error is a sentence without its end, or NULL if there is no
 * such file. */
struct psc_log *psc_log_open(const struct psc_model *model, const char **error);
/* The same of an open descriptor, which stays the caller's. */
struct psc_log *psc_log_open_fd(int fd, const struct psc_model *model, const char **error);
void psc_log_close(struct psc_log *log);
/* What the log of this model's trace is called. The caller frees it. */
char *psc_log_path(const struct psc_model *model);
/* False at the end. */
bool psc_log_next(struct psc_log *log, struct psc_log_entry *entry);
const struct psc_log_figures *psc_log_figures(const struct psc_log *log);

/* ---- log_text.c ------------------------------------------------------------------------------------------------ */

/* All events, one a line, behind a line with the names of the columns; then a line of what is missing. False: there is
 * no log, or none that can be read (said on stderr). */
bool psc_log_write(const struct psc_model *model, FILE *out);
/* A line on the log, if there is one, for the summary. */
void psc_log_write_note(const struct psc_model *model, FILE *out);

#endif
