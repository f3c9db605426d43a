/* What `poolscope top` shows, as lines of text: the head, and the rows of each view. Knows no terminal. */
#ifndef PSC_TOOLS_TOP_VIEW_H
#define PSC_TOOLS_TOP_VIEW_H

#include "report/format.h"
#include "report/slots.h"
#include "tools/top_line.h"
#include "tools/top_state.h"

/* The first four are those that the user chooses among; psc_top_view_names has their names. */
enum psc_top_view { PSC_TOP_SITES, PSC_TOP_CLASSES, PSC_TOP_POOLS, PSC_TOP_THREADS, PSC_TOP_STACK, PSC_TOP_HELP };
#define PSC_TOP_VIEWS 4

extern const char *const psc_top_view_names[PSC_TOP_VIEWS];
extern const char *const psc_top_sort_names[PSC_TOP_SORT_COUNT];
extern const char psc_top_sort_keys[PSC_TOP_SORT_COUNT + 1];

/* The rows of one view of one reading. */
struct psc_top_table {
    struct psc_top *top;
    enum psc_top_view view;
    uint32_t site; /* of PSC_TOP_STACK */
    size_t count;
    size_t *order; /* of classes and threads */
    uint64_t bins[PSC_OCCUPANCY_BINS];
    uint64_t bin_most;
};

/* Of PSC_TOP_STACK, `site` is the one to show. */
void psc_top_table_make(struct psc_top_table *table, struct psc_top *top, enum psc_top_view view, uint32_t site);
void psc_top_table_release(struct psc_top_table *table);
/* The lines are begun by the caller. */
void psc_top_table_title(const struct psc_top_table *table, struct psc_top_line *line);
void psc_top_table_row(const struct psc_top_table *table, size_t row, struct psc_top_line *line);

/* The lines above the table, of so many columns. Returns how many there are, at most `most`. */
#define PSC_TOP_HEAD_MOST 16
size_t psc_top_head(const struct psc_top *top, unsigned columns, bool utf8, struct psc_top_line *lines, size_t most);

/* "1 block", "6,250 blocks" */
struct psc_text psc_top_blocks(uint64_t count);
/* Whether a frame of the site (file, function or module) has this text in it, in small or large letters. */
bool psc_top_site_has(struct psc_top *top, struct psc_site *site, const char *text);

#endif
