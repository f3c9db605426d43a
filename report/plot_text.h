/* Units and names short enough for a plot or a table. */
#ifndef PSC_REPORT_PLOT_TEXT_H
#define PSC_REPORT_PLOT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "report/model.h"

/* A value divided by `divisor` is in `unit`s. */
struct psc_scale {
    double divisor;
    const char *unit;
};

/* The unit in which the largest value of an axis reads well. */
struct psc_scale psc_scale_bytes(uint64_t largest);
struct psc_scale psc_scale_time(uint64_t largest_ns);

/* A function's name without return type, parameters and template arguments: "a::vector<…>::push_back". */
void psc_text_function(const char *function, char *text, size_t room);
/* Cuts UTF-8 text in a buffer of `room` bytes to `columns` characters, the last one an ellipsis if something was cut.
 */
void psc_text_clip(char *text, size_t room, size_t columns);
/* The frame that stands for a site whose frames are resolved: the innermost one that is neither the allocator's nor the
 * C++ library's, if there is one; NULL: no frames. */
const struct psc_frame *psc_text_site_frame(const struct psc_site *site);
/* The first function with another name that called it; NULL: none. */
const char *psc_text_site_caller(const struct psc_site *site);
/* "#12 function file.c:34 ← caller" of a resolved site, in about `columns` characters; `room` is at least 1024. */
void psc_text_site(const struct psc_site *site, size_t columns, char *text, size_t room);

#endif
