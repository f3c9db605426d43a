/* The parts of the page and what they are written with: for the files page*.c only. */
#ifndef PSC_REPORT_PAGE_PART_H
#define PSC_REPORT_PAGE_PART_H

#include <stdio.h>

#include "report/model.h"

/* Writes text from outside: no byte of it is taken for markup, in content or between quotes. NULL writes nothing. */
void psc_html_text(FILE *out, const char *text);
/* Writes the bytes of an open file in base64. 0, or -1 and errno. */
int psc_html_base64(FILE *out, FILE *in);

/* Sentences on what stands out, as <li>. */
void psc_page_findings(struct psc_model *model, FILE *out);
/* Flame graph and table of sites: their places in the page, and the data that the script fills them with. */
void psc_page_sites(struct psc_model *model, FILE *out);
/* False: psc_page_sites writes nothing. */
bool psc_page_has_sites(const struct psc_model *model);
/* The tables of size classes, threads and modules, folded. */
void psc_page_details(const struct psc_model *model, FILE *out);

/* report/page.css, page.html and the page*.js; of those nothing may hold "</". */
extern const char psc_page_style[];
extern const char psc_page_widgets[];
extern const char psc_page_script[];

#endif
