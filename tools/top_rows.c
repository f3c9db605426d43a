#include "tools/top_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report/estimate.h"
#include "report/format.h"
#include "report/plot_text.h"

#define BYTES(n) (psc_format_bytes(n).s)
#define COUNT(n) (psc_format_count(n).s)

/* ---- a site in words --------------------------------------------------------------------------------------------- */

static bool known(const char *text) {
    return text != NULL && *text != '\0';
}

static void put_module(const struct psc_frame *frame, struct psc_top_line *line) {
    const char *module = psc_format_last_part(frame->module);
    if (strncmp(frame->function, module, strlen(module)) != 0) { /* else it is told as module+offset */
        psc_top_line_put(line, " [");
        psc_top_line_put(line, module);
        psc_top_line_put(line, "]");
    }
}

static void put_file(const char *file, uint32_t number, struct psc_top_line *line) {
    psc_top_line_put(line, " ");
    psc_top_line_put(line, file);
    if (number != 0) {
        psc_top_line_printf(line, ":%" PRIu32, number);
    }
}

/* Where room is short, the file without its directory, and no name of the program itself. */
static void put_short_place(const struct psc_model *model, const struct psc_frame *frame, struct psc_top_line *line) {
    if (known(frame->file)) {
        put_file(psc_format_last_part(frame->file), frame->line, line);
    } else if (known(frame->module) && strcmp(frame->module, model->process.exe) != 0) {
        put_module(frame, line);
    }
}

void psc_top_rows_put_site(struct psc_model *model, struct psc_site *site, struct psc_top_line *line) {
    char name[512];
    psc_model_symbolize(model, site);
    const struct psc_frame *frame = psc_text_site_frame(site);
    if (frame == NULL) {
        psc_top_line_put(line, "(unknown: no stack)");
        return;
    }
    psc_text_function(frame->function, name, sizeof(name));
    psc_top_line_put(line, name);
    put_short_place(model, frame, line);
    for (const struct psc_frame *end = site->frames + site->frame_count; frame + 1 < end; frame++) {
        if (line->width >= line->columns) {
            break;
        }
        psc_text_function(frame[1].function, name, sizeof(name));
        psc_top_line_put(line, " ← ");
        psc_top_line_put(line, name);
    }
}

static bool frame_has(const struct psc_frame *frame, const char *text) {
    return strcasestr(frame->function, text) != NULL || (known(frame->file) && strcasestr(frame->file, text) != NULL) ||
           (known(frame->module) && strcasestr(frame->module, text) != NULL);
}

bool psc_top_site_has(struct psc_top *top, struct psc_site *site, const char *text) {
    psc_model_symbolize(top->model, site);
    for (size_t i = 0; i < site->frame_count; i++) {
        if (frame_has(&site->frames[i], text)) {
            return true;
        }
    }
    return false;
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

#define ROWS_ABOVE_ARENAS (PSC_OCCUPANCY_BINS + 2)

void psc_top_rows_make_pools(struct psc_top_table *table) {
    const struct psc_model *model = table->top->model;
    psc_slots_count_pools(model, table->bins);
    for (size_t i = 0; i < PSC_OCCUPANCY_BINS; i++) {
        table->bin_most = table->bins[i] > table->bin_most ? table->bins[i] : table->bin_most;
    }
    table->count = ROWS_ABOVE_ARENAS + model->arena_count;
}

static enum psc_top_ink ink_of(unsigned percent) {
    return percent == 0   ? PSC_INK_EMPTY
           : percent < 50 ? PSC_INK_PINNED
           : percent < 90 ? PSC_INK_ROUNDING
                          : PSC_INK_LIVE;
}

static void put_bin(const struct psc_top_table *table, size_t bin, struct psc_top_line *line) {
    unsigned room = line->columns > 30 ? line->columns - 30 : 1;
    char range[16] = "empty";
    if (bin != 0) {
        snprintf(range, sizeof(range), "%zu-%zu %%", (bin - 1) * 10 + 1, bin * 10);
    }
    psc_top_line_printf(line, "%11s %11s  ", range, COUNT(table->bins[bin]));
    room = room > 60 ? 60 : room;
    unsigned length = table->bin_most == 0 ? 0 : (unsigned)(table->bins[bin] * room / table->bin_most);
    psc_top_line_ink(line, ink_of((unsigned)bin * 10));
    for (unsigned i = 0; i < length || (i == 0 && table->bins[bin] != 0); i++) {
        psc_top_line_put(line, "#");
    }
    psc_top_line_ink(line, PSC_INK_PLAIN);
}

/* Several slots as one character: how full the pools among them are; else what is there. */
struct mark {
    char sign;
    enum psc_top_ink ink;
};

static struct mark mark_of(const struct psc_slot_cell *cells, size_t count) {
    static const struct mark marks[] = {[PSC_CELL_FREE] = {' ', PSC_INK_PLAIN},
                                        [PSC_CELL_CACHED] = {'~', PSC_INK_CACHED},
                                        [PSC_CELL_EMPTY] = {'.', PSC_INK_EMPTY},
                                        [PSC_CELL_POOL] = {'0', PSC_INK_PLAIN},
                                        [PSC_CELL_UNSAMPLED] = {'?', PSC_INK_PLAIN}};
    unsigned pools = 0, percent = 0;
    uint8_t kind = PSC_CELL_FREE;
    for (size_t i = 0; i < count; i++) {
        if (cells[i].kind == PSC_CELL_POOL) {
            pools++;
            percent += cells[i].percent;
        }
        kind = cells[i].kind > kind ? cells[i].kind : kind;
    }
    if (pools == 0) {
        return marks[kind];
    }
    percent /= pools;
    return (struct mark){percent >= 95 ? '#' : (char)('0' + percent / 10), ink_of(percent == 0 ? 1 : percent)};
}

static void put_arena(const struct psc_model *model, const struct psc_arena *arena, struct psc_top_line *line) {
    struct psc_slot_cell cells[PSC_ARENA_SLOTS];
    unsigned before = 24; /* columns */
    unsigned room = line->columns > before + 16 ? line->columns - before - 2 : 16;
    size_t slots = (PSC_ARENA_SLOTS + room - 1) / room; /* a character */
    enum psc_top_ink ink = PSC_INK_PLAIN;
    psc_slots_fill(model, arena, cells);
    psc_top_line_printf(line, "%#14" PRIx64 " %7s  [", arena->base, COUNT(arena->pool_count));
    for (size_t slot = 0; slot < PSC_ARENA_SLOTS; slot += slots) {
        struct mark mark = mark_of(cells + slot, slot + slots <= PSC_ARENA_SLOTS ? slots : PSC_ARENA_SLOTS - slot);
        if (mark.ink != ink) {
            psc_top_line_ink(line, ink = mark.ink);
        }
        psc_top_line_put(line, (char[]){mark.sign, '\0'});
    }
    psc_top_line_ink(line, PSC_INK_PLAIN);
    psc_top_line_put(line, "]");
}

void psc_top_rows_put_pools(const struct psc_top_table *table, size_t row, struct psc_top_line *line) {
    const struct psc_model *model = table->top->model;
    const struct psc_class *large = &model->classes[PSC_CLASS_LARGE];
    if (row < PSC_OCCUPANCY_BINS) {
        put_bin(table, row, line);
    } else if (row == PSC_OCCUPANCY_BINS) {
        psc_top_line_printf(line, "%11s %11s  %s; %s arenas of %s:", "large", COUNT(large->live_blocks),
                            BYTES(large->committed_bytes), COUNT(model->arena_count), BYTES(model->arena_bytes));
    } else if (row == PSC_OCCUPANCY_BINS + 1) {
        psc_top_line_ink(line, PSC_INK_STRONG);
        psc_top_line_printf(line, "%14s %7s   %s", "ARENA", "POOLS",
                            psc_model_is_sampled(model) ? "9 is 90 % full, # 95, . empty, ~ cached, ? not sampled"
                                                        : "9 is 90 % full, # 95, . empty, ~ cached");
    } else {
        put_arena(model, &model->arenas[row - ROWS_ABOVE_ARENAS], line);
    }
}

/* ---- a stack ----------------------------------------------------------------------------------------------------- */

enum { STACK_LIVE, STACK_PINNED, STACK_PEAK, STACK_RATE, STACK_LIFETIME, STACK_GAP, STACK_FRAMES };

void psc_top_rows_make_stack(struct psc_top_table *table) {
    struct psc_model *model = table->top->model;
    if (table->site < model->site_count) {
        struct psc_site *site = &model->sites[table->site];
        psc_model_symbolize(model, site);
        table->count = STACK_FRAMES + (site->frame_count != 0 ? site->frame_count : 1);
    }
}

static struct psc_text estimate(const struct psc_model *model, uint64_t bytes, struct psc_range range) {
    return psc_model_is_sampled(model) ? psc_format_bytes_error(bytes, psc_range_error(range))
                                       : psc_format_bytes(bytes);
}

static struct psc_text lifetime(uint64_t bytes) {
    return bytes == PSC_LIFETIME_UNKNOWN ? (struct psc_text){"not known"} : psc_format_bytes(bytes);
}

static void put_frame(const struct psc_site *site, size_t index, struct psc_top_line *line) {
    if (site->frame_count == 0) {
        psc_top_line_put(line, "  (unknown: no stack)");
        return;
    }
    const struct psc_frame *frame = &site->frames[index];
    psc_top_line_printf(line, "%4zu  ", index);
    psc_top_line_put(line, frame->function);
    psc_top_line_put(line, frame->inlined ? " (inlined)" : "");
    if (known(frame->file)) {
        put_file(frame->file, frame->line, line);
    } else if (known(frame->module)) {
        put_module(frame, line);
    }
}

void psc_top_rows_put_stack(const struct psc_top_table *table, size_t row, struct psc_top_line *line) {
    const struct psc_model *model = table->top->model;
    const struct psc_site *site = &model->sites[table->site];
    const struct psc_top_rate *rate = &table->top->sites[table->site];
    switch (row) {
    case STACK_LIVE:
        psc_top_line_printf(line, "live      %s in %s", estimate(model, site->live_bytes, site->live_bytes_range).s,
                            psc_top_blocks(site->live_count).s);
        break;
    case STACK_PINNED:
        psc_top_line_printf(line, "pinned    %s; pools: %s (%s), with %s (%s)",
                            estimate(model, site->pinned_bytes, site->pinned_bytes_range).s, COUNT(site->pinned_pools),
                            BYTES(site->pinned_pools_bytes), psc_top_blocks(site->pinning_blocks).s,
                            BYTES(site->pinning_bytes));
        break;
    case STACK_PEAK:
        psc_top_line_printf(line, "peak      %s in %s, when the process had most", BYTES(site->peak_live_bytes),
                            psc_top_blocks(site->peak_live_count).s);
        break;
    case STACK_RATE:
        psc_top_line_printf(line, "allocated %s in %s; a second %s in %s", BYTES(site->alloc_bytes),
                            psc_top_blocks(site->alloc_count).s, BYTES(psc_estimate_round(rate->bytes)),
                            COUNT(psc_estimate_round(rate->allocs)));
        break;
    case STACK_LIFETIME:
        psc_top_line_printf(line, "lifetime  half of the blocks %s, 9 of 10 %s of allocations",
                            lifetime(site->lifetime_p50).s, lifetime(site->lifetime_p90).s);
        break;
    case STACK_GAP: break;
    default: put_frame(site, row - STACK_FRAMES, line); break;
    }
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

#define SORT_HELP(name, option, key, help) {(const char[]){key, '\0'}, "sort by " help},

static const struct {
    const char *keys;
    const char *help;
} helps[] = {
    {"q, Ctrl-C", "end; in this text and in a stack: back"},
    {"h ?", "this text"},
    {"1 2 3 4", "sites, size classes, pools and arenas, threads; Tab: the next of them"},
    {"Up Down", "choose a row; PgUp, PgDn, Home, End"},
    {"Enter", "the whole stack of the chosen site, and all that is known of it"},
    PSC_TOP_SORTS(SORT_HELP){"< >", "sort by the column to the left, to the right"},
    {"/", "the next site with a text in its stack; n: the next one with it"},
    {"d s", "change the time between readings"},
    {"Space", "read now"},
    {"", ""},
    {"live", "what the program asked for and has not freed"},
    {"rounding", "what its blocks measure beyond that"},
    {"pinned", "free memory that live blocks keep from going back, charged to their sites"},
    {"empty", "pools without a live block"},
    {"cached", "free pages that have not gone back yet"},
    {"held", "all of these: what the kernel keeps for the heap"},
};

void psc_top_rows_make_help(struct psc_top_table *table) {
    table->count = PSC_COUNT_OF(helps);
}

void psc_top_rows_put_help(const struct psc_top_table *table, size_t row, struct psc_top_line *line) {
    (void)table;
    psc_top_line_printf(line, "  %-10s %s", helps[row].keys, helps[row].help);
}
