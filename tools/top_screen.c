#include "tools/top_screen.h"

#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/top_panel.h"

#define DEAF_MOST 1000 /* keys that could not be waited for: the terminal is gone */
#define KEY_ESCAPE 27
#define KEY_REDRAW ('L' & 0x1f)

struct screen {
    struct psc_top_panel panel;
    unsigned deaf;
    bool utf8;
};

static volatile sig_atomic_t asked_to_end;
static FILE *said; /* what stderr would have shown */
static int real_stderr = -1;

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

static void on_signal(int number) {
    (void)number;
    asked_to_end = 1;
}

static void catch_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};
    for (size_t i = 0; i < PSC_COUNT_OF(numbers); i++) {
        sigaction(numbers[i], &action, NULL);
    }
}

static void hold_stderr(void) {
    said = tmpfile();
    real_stderr = said != NULL ? dup(STDERR_FILENO) : -1;
    if (real_stderr >= 0) {
        fflush(stderr);
        dup2(fileno(said), STDERR_FILENO);
    }
}

static void release_stderr(void) {
    char text[512];
    if (real_stderr < 0) {
        return;
    }
    fflush(stderr);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    real_stderr = -1;
    rewind(said);
    while (fgets(text, sizeof(text), said) != NULL) {
        fputs(text, stderr);
    }
    fclose(said);
}

/* Also where the program ends in the midst of something. */
static void give_back(void) {
    if (!isendwin()) {
        endwin();
    }
    release_stderr();
}

static void set_colors(void) {
    static const short colors[PSC_INK_END] = {[PSC_INK_LIVE] = COLOR_GREEN,
                                              [PSC_INK_ROUNDING] = COLOR_YELLOW,
                                              [PSC_INK_PINNED] = COLOR_RED,
                                              [PSC_INK_EMPTY] = COLOR_MAGENTA,
                                              [PSC_INK_CACHED] = COLOR_CYAN};
    const char *refused = getenv("NO_COLOR");
    if ((refused != NULL && *refused != '\0') || !has_colors() || start_color() == ERR) {
        return;
    }
    use_default_colors();
    for (short ink = PSC_INK_LIVE; ink <= PSC_INK_CACHED; ink++) {
        init_pair(ink, colors[ink], -1);
    }
}

/* A screen needs a cursor that can be moved. */
static bool start_screen(void) {
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (screen != NULL && tigetstr("cup") == NULL) {
        endwin();
        delscreen(screen);
        screen = NULL;
    }
    return screen != NULL;
}

static bool open_terminal(void) {
    const char *name = getenv("TERM");
    setlocale(LC_CTYPE, "");
    if (!start_screen()) {
        fprintf(stderr, "poolscope top: this terminal (TERM=%s) cannot be used; --batch writes plain text\n",
                name != NULL ? name : "");
        return false;
    }
    atexit(give_back);
    hold_stderr();
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    set_escdelay(50);
    set_colors();
    catch_signals();
    return true;
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

static attr_t attribute_of(unsigned char ink) {
    if (ink == PSC_INK_STRONG) {
        return A_BOLD;
    }
    /* a pair that was not set up is that of plain text */
    return ink > PSC_INK_PLAIN && ink <= PSC_INK_CACHED ? (attr_t)COLOR_PAIR(ink) : A_NORMAL;
}

static void draw_line(int y, const struct psc_top_line *line, attr_t base) {
    attr_t ink = A_NORMAL;
    move(y, 0);
    attrset(base);
    clrtoeol();
    for (size_t i = 0; i < line->length;) {
        if ((unsigned char)line->text[i] < PSC_INK_END) {
            ink = attribute_of((unsigned char)line->text[i++]);
            continue;
        }
        size_t end = i;
        while (end < line->length && (unsigned char)line->text[end] >= PSC_INK_END) {
            end++;
        }
        attrset((base & A_REVERSE) != 0 ? base : base | ink);
        addnstr(line->text + i, (int)(end - i));
        i = end;
    }
    attrset(A_NORMAL);
}

static void begin_line(const struct screen *screen, struct psc_top_line *line) {
    psc_top_line_begin(line, COLS > 0 ? (unsigned)COLS : 1, screen->utf8);
}

/* Reversed over the whole width. */
static void draw_band(int y, struct psc_top_line *line) {
    psc_top_line_pad(line, line->columns);
    draw_line(y, line, A_REVERSE);
}

static const char *foot_of(const struct psc_top_panel *panel) {
    if (panel->message[0] != '\0') {
        return panel->message;
    }
    return panel->view < PSC_TOP_VIEWS ? "q quit  h help  1-4 views  LPRACK <> sort  Enter stack  / search  d delay"
                                       : "q back  Up Down PgUp PgDn scroll";
}

static void draw_foot(const struct screen *screen) {
    const struct psc_top_panel *panel = &screen->panel;
    struct psc_top_line line;
    bool asks = panel->prompt != PSC_TOP_NO_PROMPT;
    begin_line(screen, &line);
    if (asks) {
        psc_top_line_put(&line, panel->prompt == PSC_TOP_ASK_DELAY ? "seconds between readings: " : "search: ");
        psc_top_line_put(&line, panel->typed);
        psc_top_line_put(&line, "_");
    } else {
        psc_top_line_put(&line, foot_of(panel));
    }
    draw_line(LINES - 1, &line, asks || panel->message[0] != '\0' ? A_BOLD : A_DIM);
}

/* As much of the head as leaves room for a few rows. */
static int draw_head(const struct screen *screen) {
    static struct psc_top_line lines[PSC_TOP_HEAD_MOST];
    size_t count = psc_top_head(screen->panel.top, (unsigned)COLS, screen->utf8, lines, PSC_TOP_HEAD_MOST);
    int y = 0;
    for (; y < (int)count && y < LINES - 5; y++) {
        draw_line(y, &lines[y], A_NORMAL);
    }
    return y;
}

static void draw_rows(const struct screen *screen, int y) {
    const struct psc_top_panel *panel = &screen->panel;
    for (size_t i = 0; i < panel->page; i++) {
        struct psc_top_line line;
        size_t row = panel->first + i;
        bool there = row < panel->table.count;
        begin_line(screen, &line);
        if (there) {
            psc_top_table_row(&panel->table, row, &line);
        }
        if (there && row == panel->selected && panel->view != PSC_TOP_HELP) {
            draw_band(y + (int)i, &line);
        } else {
            draw_line(y + (int)i, &line, A_NORMAL);
        }
    }
}

static void draw(struct screen *screen) {
    struct psc_top_line title;
    int y = draw_head(screen);
    screen->panel.page = LINES > y + 2 ? (size_t)(LINES - y - 2) : 0;
    psc_top_panel_scroll(&screen->panel);
    begin_line(screen, &title);
    psc_top_table_title(&screen->panel.table, &title);
    draw_band(y, &title);
    draw_rows(screen, y + 1);
    draw_foot(screen);
    refresh();
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static bool is_enter(int key) {
    return key == '\r' || key == '\n' || key == KEY_ENTER;
}

/* At a prompt. */
static void type(struct psc_top_panel *panel, int key) {
    if (is_enter(key)) {
        psc_top_panel_enter(panel);
    } else if (key == KEY_ESCAPE) {
        panel->prompt = PSC_TOP_NO_PROMPT;
    } else if (key == KEY_BACKSPACE || key == 127 || key == '\b') {
        psc_top_panel_erase(panel);
    } else if (key >= ' ' && key <= 0xff) {
        psc_top_panel_type(panel, (char)key);
    }
}

static bool move_by(struct psc_top_panel *panel, int key) {
    static const struct {
        int key;
        enum psc_top_move move;
    } moves[] = {{KEY_UP, PSC_TOP_UP},           {KEY_DOWN, PSC_TOP_DOWN}, {KEY_PPAGE, PSC_TOP_PAGE_UP},
                 {KEY_NPAGE, PSC_TOP_PAGE_DOWN}, {KEY_HOME, PSC_TOP_HOME}, {KEY_END, PSC_TOP_END}};
    for (size_t i = 0; i < PSC_COUNT_OF(moves); i++) {
        if (moves[i].key == key) {
            psc_top_panel_move(panel, moves[i].move);
            return true;
        }
    }
    return false;
}

/* Keys of the four views. */
static void act_in_view(struct psc_top_panel *panel, int key) {
    if (key >= '1' && key < '1' + PSC_TOP_VIEWS) {
        psc_top_panel_show(panel, (enum psc_top_view)(key - '1'));
    } else if (key == '\t') {
        psc_top_panel_show(panel, (panel->view + 1) % PSC_TOP_VIEWS);
    } else if (key == KEY_BTAB) {
        psc_top_panel_show(panel, (panel->view + PSC_TOP_VIEWS - 1) % PSC_TOP_VIEWS);
    } else if (is_enter(key) && panel->view == PSC_TOP_SITES && panel->table.count != 0) {
        psc_top_panel_show_over(panel, PSC_TOP_STACK);
    } else if (key == '/') {
        if (panel->view != PSC_TOP_SITES) {
            psc_top_panel_show(panel, PSC_TOP_SITES);
        }
        psc_top_panel_ask(panel, PSC_TOP_ASK_SEARCH);
    } else if (key == 'n') {
        psc_top_panel_search(panel);
    } else {
        psc_top_panel_sort(panel, key);
    }
}

static void act(struct psc_top_panel *panel, int key) {
    panel->message[0] = '\0';
    if (key == 'q' || (key == KEY_ESCAPE && panel->view >= PSC_TOP_VIEWS)) {
        psc_top_panel_leave(panel);
    } else if (key == 'h' || key == '?') {
        psc_top_panel_show_over(panel, PSC_TOP_HELP);
    } else if (key == ' ') {
        psc_top_panel_read(panel);
    } else if (key == 'd' || key == 's') {
        psc_top_panel_ask(panel, PSC_TOP_ASK_DELAY);
    } else if (!move_by(panel, key) && panel->view < PSC_TOP_VIEWS) {
        act_in_view(panel, key);
    }
}

/* Waits for a key until the next reading is due. */
static int wait_for_key(struct screen *screen) {
    uint64_t next_ns = screen->panel.next_ns, now_ns = psc_top_now_ns();
    timeout(next_ns > now_ns ? (int)((next_ns - now_ns + 999999) / 1000000) : 0);
    int key = getch();
    bool early = key == ERR && psc_top_now_ns() < next_ns;
    screen->deaf = early ? screen->deaf + 1 : 0;
    return key;
}

static void step(struct screen *screen) {
    struct psc_top_panel *panel = &screen->panel;
    int key = wait_for_key(screen);
    if (key == KEY_RESIZE || key == KEY_REDRAW) {
        clear();
    } else if (key != ERR && panel->prompt != PSC_TOP_NO_PROMPT) {
        type(panel, key);
    } else if (key != ERR) {
        act(panel, key);
    }
    if (!panel->quit && psc_top_now_ns() >= panel->next_ns) {
        psc_top_panel_read(panel);
    }
}

int psc_top_screen(struct psc_top *top, enum psc_top_view view, uint64_t readings) {
    struct screen screen = {.deaf = 0};
    if (!open_terminal()) {
        return 1;
    }
    screen.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    psc_top_panel_init(&screen.panel, top, view, readings);
    while (!screen.panel.quit && !asked_to_end && screen.deaf < DEAF_MOST) {
        draw(&screen);
        step(&screen);
    }
    psc_top_panel_release(&screen.panel);
    give_back();
    return 0;
}
