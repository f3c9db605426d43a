/* `poolscope report`, and the two forms in which a model is written. */
#ifndef PSC_REPORT_REPORT_H
#define PSC_REPORT_REPORT_H

#include <stddef.h>
#include <stdio.h>

#include "report/emit.h"
#include "report/model.h"
#include "report/tree.h"

#define PSC_REPORT_TOP 10       /* sites in each list of the summary */
#define PSC_REPORT_PROCESSES 20 /* processes in the table of many */
#define PSC_JSON_SCHEMA 1

/* The command; argv[0] is its name. Returns the exit status: 0 done, 1 failed, 2 wrong use. Data goes to stdout. */
int psc_report_main(int argc, char **argv);

/* The text that a person reads, with the first `top` sites of each list; 0: the first PSC_REPORT_TOP.
 * Resolves the frames of the sites that it shows. */
void psc_summary_write(struct psc_model *model, FILE *out, size_t top);
/* The first frames of a site that are the program's, one or two lines each. They must be resolved. */
void psc_summary_write_frames(const struct psc_site *site, FILE *out);
/* The facts as one JSON object; see poolscope-report(1) for the keys. Of the sites: the first `top` by live, by pinned
 * and by peak bytes, and the sum of the others; 0: all. Resolves frames site by site and forgets them. */
void psc_json_write(struct psc_model *model, FILE *out, size_t top);
/* The same of a process that is one of several, and what is known of all of them beside it. */
void psc_json_write_many(struct psc_model *model, const struct psc_tree *tree, FILE *out, size_t top);
/* The frames of a site, which are resolved, as the member "frames" of the open object. */
void psc_json_emit_frames(struct psc_emit *emit, const struct psc_site *site);

/* "exact" or "off" */
const char *psc_report_mode_name(uint32_t mode);

#endif
