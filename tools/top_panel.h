/* What the user of the screen has chosen: view, row, order, search, delay; and when to read again. Knows no terminal. */
#ifndef PSC_TOOLS_TOP_PANEL_H
#define PSC_TOOLS_TOP_PANEL_H

#include "tools/top_view.h"

#define PSC_TOP_TYPED_BYTES 128

enum psc_top_prompt { PSC_TOP_NO_PROMPT, PSC_TOP_ASK_DELAY, PSC_TOP_ASK_SEARCH };
enum psc_top_move { PSC_TOP_UP, PSC_TOP_DOWN, PSC_TOP_PAGE_UP, PSC_TOP_PAGE_DOWN, PSC_TOP_HOME, PSC_TOP_END };

struct psc_top_panel {
    struct psc_top *top;        /* borrowed */
    struct psc_top_table table; /* of `view` */
    enum psc_top_view view;
    size_t selected;        /* row of the table */
    size_t first;           /* row on top of the screen */
    size_t page;            /* rows that fit the screen: the screen says */
    uint64_t next_ns;       /* CLOCK_MONOTONIC, when to read again */
    uint64_t readings_left; /* 0: no end */
    bool quit;
    enum psc_top_prompt prompt;
    char typed[PSC_TOP_TYPED_BYTES];        /* at the prompt */
    char message[PSC_TOP_TYPED_BYTES + 64]; /* until the next key */
    /* its own */
    enum psc_top_view back; /* where to go from a stack or the help */
    size_t back_row;
    uint32_t site; /* of the selected row, to find it again */
    char sought[PSC_TOP_TYPED_BYTES];
};

uint64_t psc_top_now_ns(void);

/* `top` has been read once; `readings` counts that. */
void psc_top_panel_init(struct psc_top_panel *panel, struct psc_top *top, enum psc_top_view view, uint64_t readings);
void psc_top_panel_release(struct psc_top_panel *panel);

void psc_top_panel_show(struct psc_top_panel *panel, enum psc_top_view view);
/* A stack or the help: psc_top_panel_leave goes back from there. */
void psc_top_panel_show_over(struct psc_top_panel *panel, enum psc_top_view view);
/* Back, or from one of the four views: to the end. */
void psc_top_panel_leave(struct psc_top_panel *panel);
/* By the letter of an order, or < and > for those beside the present one. Other keys do nothing. */
void psc_top_panel_sort(struct psc_top_panel *panel, int key);
void psc_top_panel_move(struct psc_top_panel *panel, enum psc_top_move move);
/* Makes `first` such that the selected row is on the screen, and the screen is full if it can be. */
void psc_top_panel_scroll(struct psc_top_panel *panel);
/* Reads the trace, or quits after the last of the readings. */
void psc_top_panel_read(struct psc_top_panel *panel);
/* Selects the next site that has what was last searched for. */
void psc_top_panel_search(struct psc_top_panel *panel);

void psc_top_panel_ask(struct psc_top_panel *panel, enum psc_top_prompt prompt);
/* A byte of text at the prompt. */
void psc_top_panel_type(struct psc_top_panel *panel, char byte);
void psc_top_panel_erase(struct psc_top_panel *panel);
/* Does what was typed. */
void psc_top_panel_enter(struct psc_top_panel *panel);

#endif
