#include "tools/top_panel.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000ull
#define WAIT_ENDED_NS (3600 * SECOND_NS) /* nothing new will come */
#define SEARCH_NS SECOND_NS              /* how long one search may look names up */

uint64_t psc_top_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void set_next(struct psc_top_panel *panel) {
    bool ended = panel->top->end != PSC_PROCESS_RUNNING && panel->readings_left == 0;
    panel->next_ns = psc_top_now_ns() + (ended ? WAIT_ENDED_NS : psc_top_wait_ns(panel->top));
}

void psc_top_panel_init(struct psc_top_panel *panel, struct psc_top *top, enum psc_top_view view, uint64_t readings) {
    *panel = (struct psc_top_panel){.top = top, .readings_left = readings};
    psc_top_panel_show(panel, view);
    set_next(panel);
}

void psc_top_panel_release(struct psc_top_panel *panel) {
    psc_top_table_release(&panel->table);
}

/* ---- views and rows ---------------------------------------------------------------------------------------------- */

static void make_table(struct psc_top_panel *panel) {
    psc_top_table_release(&panel->table);
    psc_top_table_make(&panel->table, panel->top, panel->view, panel->site);
}

static void remember_site(struct psc_top_panel *panel) {
    if (panel->view == PSC_TOP_SITES && panel->selected < panel->top->order_count) {
        panel->site = panel->top->order[panel->selected];
    }
}

/* The first row stays the first: who has chosen nothing wants to see what is first. Another one stays with its site. */
static void find_site(struct psc_top_panel *panel) {
    if (panel->view != PSC_TOP_SITES || panel->selected == 0) {
        return;
    }
    for (size_t row = 0; row < panel->top->order_count; row++) {
        if (panel->top->order[row] == panel->site) {
            panel->selected = row;
            return;
        }
    }
}

void psc_top_panel_show(struct psc_top_panel *panel, enum psc_top_view view) {
    panel->view = view;
    panel->selected = panel->first = 0;
    make_table(panel);
}

void psc_top_panel_show_over(struct psc_top_panel *panel, enum psc_top_view view) {
    if (panel->view < PSC_TOP_VIEWS) {
        remember_site(panel);
        panel->back = panel->view;
        panel->back_row = panel->selected;
    }
    psc_top_panel_show(panel, view);
}

void psc_top_panel_leave(struct psc_top_panel *panel) {
    if (panel->view < PSC_TOP_VIEWS) {
        panel->quit = true;
        return;
    }
    psc_top_panel_show(panel, panel->back);
    panel->selected = panel->back_row;
    find_site(panel);
}

static void sort_by(struct psc_top_panel *panel, enum psc_top_sort sort) {
    psc_top_order(panel->top, sort);
    psc_top_panel_show(panel, panel->view);
}

void psc_top_panel_sort(struct psc_top_panel *panel, int key) {
    enum psc_top_sort sort = panel->top->sort;
    const char *letter = key > 0 && key < 0x80 ? strchr(psc_top_sort_keys, key) : NULL;
    if (key == '<' && sort > 0) {
        sort_by(panel, sort - 1);
    } else if (key == '>' && sort + 1 < PSC_TOP_SORT_COUNT) {
        sort_by(panel, sort + 1);
    } else if (letter != NULL) {
        sort_by(panel, (enum psc_top_sort)(letter - psc_top_sort_keys));
    }
}

void psc_top_panel_move(struct psc_top_panel *panel, enum psc_top_move move) {
    size_t page = panel->page > 1 ? panel->page - 1 : 1;
    size_t last = panel->table.count == 0 ? 0 : panel->table.count - 1;
    size_t at = panel->selected;
    switch (move) {
    case PSC_TOP_UP: at -= at > 0; break;
    case PSC_TOP_DOWN: at++; break;
    case PSC_TOP_PAGE_UP: at = at > page ? at - page : 0; break;
    case PSC_TOP_PAGE_DOWN: at += page; break;
    case PSC_TOP_HOME: at = 0; break;
    case PSC_TOP_END: at = last; break;
    }
    panel->selected = at < last ? at : last;
}

void psc_top_panel_scroll(struct psc_top_panel *panel) {
    size_t count = panel->table.count;
    panel->selected = count == 0 ? 0 : panel->selected < count ? panel->selected : count - 1;
    if (panel->selected < panel->first) {
        panel->first = panel->selected;
    }
    if (panel->page != 0 && panel->selected >= panel->first + panel->page) {
        panel->first = panel->selected - panel->page + 1;
    }
    if (panel->first + panel->page > count) {
        panel->first = count > panel->page ? count - panel->page : 0;
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

void psc_top_panel_read(struct psc_top_panel *panel) {
    const char *error;
    if (panel->readings_left != 0 && --panel->readings_left == 0) {
        panel->quit = true;
        return;
    }
    remember_site(panel);
    if (!psc_top_read(panel->top, &error)) {
        snprintf(panel->message, sizeof(panel->message), "cannot read the trace: %s", error);
    }
    make_table(panel);
    find_site(panel);
    set_next(panel);
}

/* ---- search and delay -------------------------------------------------------------------------------------------- */

/* Among many sites only so long as a user likes to wait: the next search begins where this one ended. */
void psc_top_panel_search(struct psc_top_panel *panel) {
    size_t count = panel->top->order_count;
    uint64_t until_ns = psc_top_now_ns() + SEARCH_NS;
    if (panel->view != PSC_TOP_SITES || panel->sought[0] == '\0') {
        return;
    }
    for (size_t step = 1; step <= count; step++) {
        size_t row = (panel->selected + step) % count;
        bool found = psc_top_site_has(panel->top, psc_top_site(panel->top, row), panel->sought);
        if (found || psc_top_now_ns() > until_ns) {
            panel->selected = row;
            if (!found) {
                snprintf(panel->message, sizeof(panel->message), "%zu sites have no '%s'; n looks further", step,
                         panel->sought);
            }
            return;
        }
    }
    snprintf(panel->message, sizeof(panel->message), "no site has '%s'", panel->sought);
}

void psc_top_panel_ask(struct psc_top_panel *panel, enum psc_top_prompt prompt) {
    panel->prompt = prompt;
    panel->typed[0] = '\0';
}

void psc_top_panel_type(struct psc_top_panel *panel, char byte) {
    size_t length = strlen(panel->typed);
    if (length + 1 < sizeof(panel->typed)) {
        panel->typed[length] = byte;
        panel->typed[length + 1] = '\0';
    }
}

/* A character, of however many bytes. */
void psc_top_panel_erase(struct psc_top_panel *panel) {
    size_t length = strlen(panel->typed);
    while (length > 0 && ((unsigned char)panel->typed[--length] & 0xc0) == 0x80) {
    }
    panel->typed[length] = '\0';
}

void psc_top_panel_enter(struct psc_top_panel *panel) {
    enum psc_top_prompt prompt = panel->prompt;
    panel->prompt = PSC_TOP_NO_PROMPT;
    if (panel->typed[0] == '\0') {
        return;
    }
    if (prompt == PSC_TOP_ASK_SEARCH) {
        strcpy(panel->sought, panel->typed);
        psc_top_panel_search(panel);
    } else if (psc_top_parse_delay(panel->typed, &panel->top->delay_ns)) {
        set_next(panel);
    } else {
        snprintf(panel->message, sizeof(panel->message), "%s", PSC_TOP_DELAY_WORDS);
    }
}
