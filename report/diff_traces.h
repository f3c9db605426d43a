/* Which two traces are compared, where the user named directories. For report/diff*.c alone. */
#ifndef PSC_REPORT_DIFF_TRACES_H
#define PSC_REPORT_DIFF_TRACES_H

#include <stdbool.h>

#include "report/diff.h"
#include "report/tree.h"

struct psc_diff_traces {
    struct psc_paths found[PSC_DIFF_SIDES];
    const char *chosen[PSC_DIFF_SIDES]; /* among those found */
    size_t failed;                      /* traces that could not be opened, where there was a choice */
};

/* Of several traces of a side: the process that held most, if the other side has a process of that program; and of those
 * the largest. Returns false with a line on stderr if a side has none. psc_diff_traces_release in any case. */
bool psc_diff_traces_find(struct psc_diff_traces *traces, const char *old, const char *new);
void psc_diff_traces_release(struct psc_diff_traces *traces);

#endif
