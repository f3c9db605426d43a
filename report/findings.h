/* What stands out in a trace and what can be done about it, in plain sentences: the one source of them for text, page
 * and JSON. Ranked by the bytes that acting on each would bring back. */
#ifndef PSC_REPORT_FINDINGS_H
#define PSC_REPORT_FINDINGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report/model.h"

enum psc_finding_kind {
    PSC_FINDING_APART,     /* a site that pins pools: pools of its own would give them back; bytes: its saving */
    PSC_FINDING_SCATTERED, /* ... they would not, its blocks lie among its own dead; bytes: pinned in its sole pools */
    PSC_FINDING_SHARED,    /* ... others hold the same pools; bytes: its share */
    PSC_FINDING_TOGETHER, /* a few sites that keep the same pools: all in pools of their own; bytes: the saving of all */
    PSC_FINDING_PINNED,   /* ... of which no more is known: of samples, or without a stack; bytes: its share */
    PSC_FINDING_PAIR,     /* two sites that would have to part; bytes: the pair's saving */
    PSC_FINDING_IDLE,     /* empty pools and cached pages; bytes: these */
    PSC_FINDING_ROUNDING, /* bytes: rounding of one site, or of one size class */
    PSC_FINDING_PEAK, /* what was needed at the peak is pinned since; bytes: pinned beyond the peak's ratio. Tells how
                            * it came about, not what to do, and ranks as half */
    PSC_FINDING_TEMPORARY, /* a site of blocks that are freed at once: costs time, not memory; bytes: 0 */
};

struct psc_finding {
    enum psc_finding_kind kind;
    uint64_t bytes;
    uint32_t site; /* PSC_SITE_NONE: of no one site */
    char *text;    /* one or more sentences; strings from the trace in it are made plain */
};

struct psc_findings {
    struct psc_finding *all;
    size_t count;
    size_t capacity;
};

/* A finding is left out below a hundredth of what is held, and below so many bytes. */
#define PSC_FINDING_LEAST_BYTES (256u << 10)
/* What to say where there is none. */
#define PSC_FINDINGS_NONE "Nothing stands out: nothing found here would bring back 1 % of what is held and 256 KiB."

/* Resolves the frames of the sites that it names. */
void psc_findings_make(struct psc_model *model, struct psc_findings *findings);
void psc_findings_release(struct psc_findings *findings);

/* All of them as a part of the summary, with its title; or that there are none. */
void psc_findings_write(struct psc_model *model, FILE *out);

/* "apart", "scattered", ...: as in JSON. */
const char *psc_finding_kind_name(enum psc_finding_kind kind);

#endif
