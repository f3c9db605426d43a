/* Two traces, compared: what grew and what shrank in total, by size class and by site. The traces may be of different
 * builds of a program, and of different programs.
 *
 * Sites are the same if their stacks are: frame by frame, the same function of the same module, behind the allocator's
 * own entry points. A module is known by the last part of its path without version ("libz.so.1.2.13" is "libz.so"), that of
 * the program itself as such, whatever its name. A function without a name is known by its offset in the module; code in no
 * module is all one. Compilers' marks (".constprop.0", "[clone ...]", Rust's hashes) are no part of a name. Sites of one
 * trace that fall together are summed.
 *
 * Errors of estimates are squared distances to the limits of their 95 % interval, each side by itself. Those of figures
 * that are added or subtracted add up as if they did not depend on each other: G. Y. Zou, A. Donner, "Construction of
 * confidence limits about effect measures", Statist. Med. 27, 2008.
 */
#ifndef PSC_REPORT_DIFF_H
#define PSC_REPORT_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report/model.h"

#define PSC_DIFF_SCHEMA 1
#define PSC_DIFF_TOP 10 /* sites and size classes that the text shows */

enum psc_diff_side { PSC_DIFF_OLD, PSC_DIFF_NEW, PSC_DIFF_SIDES };

enum psc_diff_figure { PSC_DIFF_LIVE, PSC_DIFF_PEAK, PSC_DIFF_PINNED, PSC_DIFF_ALLOC, PSC_DIFF_FIGURES };

/* A figure in one trace. */
struct psc_diff_value {
    uint64_t bytes;
    uint64_t count; /* blocks; of pinned bytes those that pin */
    double below;   /* of bytes; 0: exact, or the error is not known */
    double above;
};

/* From old to new. */
struct psc_diff_change {
    uint64_t amount;
    bool shrank;
    uint64_t error; /* half the 95 % interval */
    bool within;    /* 0 lies in that interval, which has a width: there may be no change */
};

struct psc_diff_site {
    struct psc_diff_value values[PSC_DIFF_SIDES][PSC_DIFF_FIGURES];
    uint32_t merged[PSC_DIFF_SIDES]; /* sites of the trace that are this one; 0: it is not in that trace */
    uint32_t ids[PSC_DIFF_SIDES];    /* one of them */
};

struct psc_diff_class {
    uint64_t block_bytes;
    bool large;
    const struct psc_class *sides[PSC_DIFF_SIDES]; /* all zero where the trace has no such class */
};

struct psc_diff_total {
    const char *key; /* as in JSON, ends in _bytes or _count */
    const char *name;
    bool counts;                                 /* else bytes */
    struct psc_diff_value sides[PSC_DIFF_SIDES]; /* value in `bytes`, also of a count */
    bool known[PSC_DIFF_SIDES];
    bool estimated; /* in sampled traces */
};

struct psc_diff {
    struct psc_model *models[PSC_DIFF_SIDES]; /* borrowed */
    enum psc_diff_figure by;
    struct psc_diff_site *sites; /* the largest change of `by` first */
    size_t site_count;
    struct psc_diff_class *classes; /* those that changed; the largest change of committed bytes first */
    size_t class_count;
    struct psc_diff_total *totals;
    size_t total_count;
    char **warnings; /* why the traces may not be comparable; any byte but NUL may stand in them */
    size_t warning_count;
    size_t warning_capacity;
};

/* Compares two models, which stay the caller's and must outlive the result. `lines`: files and lines of frames have to be
 * the same, too. Resolves the frames of all sites, one after the other. */
struct psc_diff *psc_diff_make(struct psc_model *old, struct psc_model *new, enum psc_diff_figure by, bool lines);
void psc_diff_free(struct psc_diff *diff);

struct psc_diff_change psc_diff_change_of(const struct psc_diff_value *old, const struct psc_diff_value *new);
/* Of one figure of a site. */
struct psc_diff_change psc_diff_site_change(const struct psc_diff_site *site, enum psc_diff_figure figure);
/* Whether any figure of the site is another. */
bool psc_diff_site_changed(const struct psc_diff_site *site);
/* The site in the trace whose frames are to be shown: new's, or old's if new has none; with its frames resolved. The caller
 * gives them back with psc_model_forget_frames. */
struct psc_site *psc_diff_site_frames(const struct psc_diff *diff, const struct psc_diff_site *site);
/* The figure's row of the totals. */
const struct psc_diff_total *psc_diff_total_of(const struct psc_diff *diff, enum psc_diff_figure figure);

/* "live", "peak", "pinned", "alloc" */
const char *psc_diff_figure_name(enum psc_diff_figure figure);
/* "live_bytes", ... and "live_count", ...: the first part of keys in JSON */
const char *psc_diff_bytes_key(enum psc_diff_figure figure);
const char *psc_diff_count_key(enum psc_diff_figure figure);

/* True if one of the traces has samples: its figures are estimates. */
bool psc_diff_is_sampled(const struct psc_diff *diff);

/* The text, with the first `top` sites; and the same as JSON, with those that changed, or the first `top` of them. */
void psc_diff_write(const struct psc_diff *diff, FILE *out, size_t top);
void psc_diff_write_json(const struct psc_diff *diff, FILE *out, size_t top);

/* The command; argv[0] is its name. Returns the exit status: 0 done, 1 failed, 2 wrong use, 3 more than --fail-over. */
int psc_diff_main(int argc, char **argv);

#endif
