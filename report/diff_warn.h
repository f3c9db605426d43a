/* Why two traces may not be comparable, as sentences in diff->warnings. For report/diff*.c alone. */
#ifndef PSC_REPORT_DIFF_WARN_H
#define PSC_REPORT_DIFF_WARN_H

#include "report/diff.h"

struct psc_diff_warner;

/* `diff` is borrowed; its models may come later. */
struct psc_diff_warner *psc_diff_warn_open(struct psc_diff *diff);
/* Notes which modules gave no names to frames of the site, which are resolved. */
void psc_diff_warn_site(struct psc_diff_warner *warner, enum psc_diff_side side, const struct psc_site *site);
/* Adds all warnings to the diff, and frees the warner. */
void psc_diff_warn_finish(struct psc_diff_warner *warner);

#endif
