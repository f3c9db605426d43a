/* The rows of the tables that have no columns, for top_view.c alone: sites in words, pools, a stack, help. */
#ifndef PSC_TOOLS_TOP_ROWS_H
#define PSC_TOOLS_TOP_ROWS_H

#include "tools/top_view.h"

/* The function that a site stands for, where it is, and who called it. */
void psc_top_rows_put_site(struct psc_model *model, struct psc_site *site, struct psc_top_line *line);

void psc_top_rows_make_pools(struct psc_top_table *table);
void psc_top_rows_put_pools(const struct psc_top_table *table, size_t row, struct psc_top_line *line);
void psc_top_rows_make_stack(struct psc_top_table *table);
void psc_top_rows_put_stack(const struct psc_top_table *table, size_t row, struct psc_top_line *line);
void psc_top_rows_make_help(struct psc_top_table *table);
void psc_top_rows_put_help(const struct psc_top_table *table, size_t row, struct psc_top_line *line);

#endif
