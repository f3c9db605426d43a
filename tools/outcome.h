/* What a run left behind, and why if it left nothing. */
#ifndef PSC_TOOLS_OUTCOME_H
#define PSC_TOOLS_OUTCOME_H

#include <limits.h>
#include <stdint.h>

struct psc_outcome {
    char place[PATH_MAX]; /* what to report on: `out`; if that is no directory, the trace or the directory of several */
    unsigned traces;
    unsigned passive; /* of those, traces that only say that the program brings its own malloc */
};

/* Finds the traces that began at `since_ns` (CLOCK_REALTIME) or later in `out`: a directory, or the path of a file in
 * whose name % directives stand for anything. */
void psc_outcome_find(struct psc_outcome *outcome, const char *out, uint64_t since_ns);

/* Why the loader brings no library into a program named `command` (looked up along PATH), as the end of a sentence; NULL
 * if nothing speaks against it. Static memory. */
const char *psc_outcome_why_not_loaded(const char *command);
/* The same, but never NULL: why nothing was recorded. */
const char *psc_outcome_why_nothing(const char *command);

#endif
