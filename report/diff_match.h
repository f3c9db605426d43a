/* Which sites of two traces are the same: see report/diff.h for the rule. For report/diff*.c alone. */
#ifndef PSC_REPORT_DIFF_MATCH_H
#define PSC_REPORT_DIFF_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/model.h"

#define PSC_DIFF_NAME_BYTES 2048 /* report/symbols.c makes no longer strings */

struct psc_diff_matcher;

/* `lines`: places in the source are part of a frame. */
struct psc_diff_matcher *psc_diff_match_open(bool lines);
void psc_diff_match_close(struct psc_diff_matcher *matcher);
/* The number of the site's stack, from 0 on: equal for sites that are the same. Its frames must be resolved. */
uint32_t psc_diff_match_site(struct psc_diff_matcher *matcher, const struct psc_model *model,
                             const struct psc_site *site);

/* The module's name without directory and version; "" of the program itself. */
const char *psc_diff_match_module(char buffer[PSC_DIFF_NAME_BYTES], const struct psc_model *model, const char *path);
/* The function's name without marks of the compiler. */
const char *psc_diff_match_function(char buffer[PSC_DIFF_NAME_BYTES], const char *name);
/* The offset in a name such as "module+0x12", "+0x12"; NULL if the frame has a name of its own. */
const char *psc_diff_match_offset(const struct psc_frame *frame);

#endif
