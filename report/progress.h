/* One line on stderr for work that takes a while, only where stderr is a terminal. */
#ifndef PSC_REPORT_PROGRESS_H
#define PSC_REPORT_PROGRESS_H

#include <stdint.h>

/* Says how far `what` has come; nothing in the first half second, and at most ten times a second. Cheap. */
void psc_progress_show(const char *what, uint64_t done, uint64_t total);
/* No such lines from now on. */
void psc_progress_disable(void);
/* Takes the line away. */
void psc_progress_clear(void);

#endif
