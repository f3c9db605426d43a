/* The report as one HTML file that needs nothing beside it: no network, no other file. */
#ifndef PSC_REPORT_PAGE_H
#define PSC_REPORT_PAGE_H

#include <stdbool.h>

#include "report/model.h"

/* Makes `dir` if it is not there, draws the plots into it (plot.h) and writes DIR/index.html. Resolves the frames of
 * the sites it shows. 0, or -1 after a line on stderr that says what could not be written. */
int psc_page_write(struct psc_model *model, const char *dir, bool png);

#endif
