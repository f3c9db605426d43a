/* The lines above the table. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/estimate.h"
#include "report/format.h"
#include "report/report.h"
#include "tools/top_view.h"

#define BYTES(n) (psc_format_bytes(n).s)
#define COUNT(n) (psc_format_count(n).s)

#define BAR_LEAST 36
#define BAR_MOST 100
#define COMMAND_BYTES 26

/* Items that stand on as many lines as they need. */
struct flow {
    struct psc_top_line *lines;
    size_t count;
    size_t most;
    unsigned columns;
    bool utf8;
};

static struct psc_top_line *new_line(struct flow *flow) {
    if (flow->count < flow->most) {
        flow->count++;
    }
    struct psc_top_line *line = &flow->lines[flow->count - 1];
    psc_top_line_begin(line, flow->columns, flow->utf8);
    return line;
}

PSC_PRINTF(3, 4) static void put_item(struct flow *flow, enum psc_top_ink ink, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    struct psc_top_line *line = &flow->lines[flow->count - 1];
    if (line->width != 0 && line->width + 2 + strlen(text) > flow->columns) {
        line = new_line(flow);
    }
    psc_top_line_put(line, line->width != 0 ? "  " : "");
    psc_top_line_ink(line, ink);
    psc_top_line_put(line, text);
    psc_top_line_ink(line, PSC_INK_PLAIN);
}

/* ---- process ----------------------------------------------------------------------------------------------------- */

/* A process that is known by its trace alone may have been killed, or have left by _exit. */
static void put_end(const struct psc_top *top, struct flow *flow) {
    static const char *const words[] = {[PSC_PROCESS_EXIT] = "ended after",
                                        [PSC_PROCESS_EXEC] = "became another program (exec) after",
                                        [PSC_PROCESS_KILLED] = "killed (or _exit) after",
                                        [PSC_PROCESS_RUNNING] = "running for"};
    put_item(flow, top->end == PSC_PROCESS_RUNNING ? PSC_INK_PLAIN : PSC_INK_STRONG, "process %" PRIu32 " %s %s",
             top->pid != 0 ? top->pid : top->model->process.pid, words[top->end], psc_format_duration(top->run_ns).s);
}

static void put_delay(const struct psc_top *top, struct flow *flow) {
    uint64_t wait_ns = psc_top_wait_ns(top);
    if (top->end != PSC_PROCESS_RUNNING) {
        return;
    }
    if (wait_ns > top->delay_ns) {
        put_item(flow, PSC_INK_STRONG, "every %s (to read it takes %s)", psc_format_duration(wait_ns).s,
                 psc_format_duration(top->cost_ns).s);
    } else {
        put_item(flow, PSC_INK_PLAIN, "every %s", psc_format_duration(wait_ns).s);
    }
}

/* As it was called: that says more than the file that ran, of a script above all. */
static void put_command(const struct psc_process *process, struct flow *flow) {
    char plain[COMMAND_BYTES], text[2 * COMMAND_BYTES] = "";
    const char *slash = process->argc != 0 ? strrchr(process->argv[0], '/') : NULL;
    for (size_t i = 0; i < process->argc && strlen(text) < COMMAND_BYTES; i++) {
        psc_format_plain(plain, sizeof(plain), i == 0 && slash != NULL ? slash + 1 : process->argv[i]);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i == 0 ? "" : " ", plain);
    }
    put_item(flow, PSC_INK_STRONG, "%s",
             psc_format_plain(plain, sizeof(plain), text[0] != '\0' ? text : psc_process_name(process)));
}

static void put_process(const struct psc_top *top, struct flow *flow) {
    const struct psc_model *model = top->model;
    put_command(&model->process, flow);
    put_end(top, flow);
    if (psc_model_is_sampled(model)) {
        put_item(flow, PSC_INK_PLAIN, "sampled every %s: sites are estimates", BYTES(model->sampling.interval_bytes));
    } else {
        put_item(flow, PSC_INK_PLAIN, "mode %s", psc_report_mode_name(model->sampling.mode));
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static const struct part {
    char mark;
    enum psc_top_ink ink;
    const char *name;
    size_t field; /* in struct psc_fragmentation */
} parts[] = {
    {'#', PSC_INK_LIVE, "live", offsetof(struct psc_fragmentation, live_requested_bytes)},
    {'+', PSC_INK_ROUNDING, "rounding", offsetof(struct psc_fragmentation, internal_bytes)},
    {'!', PSC_INK_PINNED, "pinned", offsetof(struct psc_fragmentation, pinned_bytes)},
    {'.', PSC_INK_EMPTY, "empty", offsetof(struct psc_fragmentation, empty_pools_bytes)},
    {'~', PSC_INK_CACHED, "cached", offsetof(struct psc_fragmentation, cached_bytes)},
};

static uint64_t bytes_of(const struct psc_fragmentation *sums, const struct part *part) {
    uint64_t bytes;
    memcpy(&bytes, (const char *)sums + part->field, sizeof(bytes));
    return bytes;
}

static void put_memory(const struct psc_top *top, struct flow *flow) {
    const struct psc_model *model = top->model;
    const struct psc_totals *totals = &model->totals;
    put_item(flow, PSC_INK_STRONG, "held %s", BYTES(model->fragmentation.committed_bytes));
    if (psc_model_is_sampled(model)) {
        put_item(flow, PSC_INK_PLAIN, "live %s in %s",
                 psc_format_bytes_error(totals->live_bytes, psc_range_error(totals->live_bytes_range)).s,
                 psc_top_blocks(totals->live_count).s);
    } else {
        put_item(flow, PSC_INK_PLAIN, "live %s in %s", BYTES(totals->live_bytes), psc_top_blocks(totals->live_count).s);
    }
    put_item(flow, PSC_INK_PLAIN, "peak %s", BYTES(totals->peak_live_bytes));
    if (top->rss_bytes != 0) {
        put_item(flow, PSC_INK_PLAIN, top->end == PSC_PROCESS_RUNNING ? "RSS %s" : "RSS was %s", BYTES(top->rss_bytes));
    }
    if (psc_model_is_sampled(model) && model->sampling.has_snapshot && !model->sampling.calibrated) {
        put_item(flow, PSC_INK_PLAIN, "held as of %s ago", psc_format_duration(model->sampling.snapshot_age_ns).s);
    }
}

static void put_rates(const struct psc_top *top, struct flow *flow) {
    put_item(flow, PSC_INK_PLAIN, "%s allocs/s", COUNT(psc_estimate_round(top->total.allocs)));
    put_item(flow, PSC_INK_PLAIN, "%s/s", BYTES(psc_estimate_round(top->total.bytes)));
    put_item(flow, PSC_INK_PLAIN, "%s frees/s", COUNT(psc_estimate_round(top->total.frees)));
    put_item(flow, PSC_INK_PLAIN, top->whole_run ? "(averages of the whole run)" : "(of the last %s)",
             psc_format_duration(top->rate_ns).s);
    put_delay(top, flow);
}

static void put_bar(const struct psc_fragmentation *sums, unsigned cells, struct psc_top_line *line) {
    uint64_t until = 0;
    unsigned at = 0;
    unsigned begin = line->width + 1;
    psc_top_line_put(line, "[");
    for (size_t i = 0; i < PSC_COUNT_OF(parts) && sums->committed_bytes != 0; i++) {
        until += bytes_of(sums, &parts[i]);
        uint64_t end = psc_estimate_round((double)until / (double)sums->committed_bytes * cells);
        psc_top_line_ink(line, parts[i].ink);
        for (; at < end && at < cells; at++) {
            psc_top_line_put(line, (char[]){parts[i].mark, '\0'});
        }
    }
    psc_top_line_ink(line, PSC_INK_PLAIN);
    psc_top_line_pad(line, begin + cells);
    psc_top_line_put(line, "]");
}

/* The parts in words, and behind or below them as a bar. */
static void put_parts(const struct psc_top *top, struct flow *flow) {
    const struct psc_fragmentation *sums = &top->model->fragmentation;
    for (size_t i = 0; i < PSC_COUNT_OF(parts); i++) {
        put_item(flow, parts[i].ink, "%c %s %s", parts[i].mark, parts[i].name, BYTES(bytes_of(sums, &parts[i])));
    }
    struct psc_top_line *line = &flow->lines[flow->count - 1];
    line = line->width + BAR_LEAST > flow->columns ? new_line(flow) : line;
    psc_top_line_put(line, line->width != 0 ? "  " : "");
    unsigned room = flow->columns > line->width + 2 ? flow->columns - line->width - 2 : 0;
    put_bar(sums, room < BAR_MOST ? room : BAR_MOST, line);
}

/* What makes the figures other than they seem. */
static void put_warnings(const struct psc_top *top, struct flow *flow) {
    const struct psc_model *model = top->model;
    size_t damage = 0;
    for (size_t i = 0; i < model->note_count; i++) {
        damage += model->notes[i].warning;
    }
    if ((model->process.flags & PSC_TRACE_PASSIVE) != 0) {
        new_line(flow);
        put_item(flow, PSC_INK_STRONG, "Nothing is recorded: the program brings its own malloc.");
    } else if ((model->process.flags & PSC_TRACE_STOPPED) != 0) {
        new_line(flow);
        put_item(flow, PSC_INK_STRONG,
                 "Recording has stopped: 'poolscope report' says why. Counts are of that moment.");
    } else if (damage != 0 && top->end != PSC_PROCESS_RUNNING) { /* else it may be no more than a row half written */
        new_line(flow);
        put_item(flow, PSC_INK_STRONG, "The trace is damaged in %zu places: 'poolscope report' lists them.", damage);
    }
}

size_t psc_top_head(const struct psc_top *top, unsigned columns, bool utf8, struct psc_top_line *lines, size_t most) {
    struct flow flow = {.lines = lines, .most = most, .columns = columns, .utf8 = utf8};
    new_line(&flow);
    put_process(top, &flow);
    new_line(&flow);
    put_memory(top, &flow);
    new_line(&flow);
    put_rates(top, &flow);
    new_line(&flow);
    put_parts(top, &flow);
    put_warnings(top, &flow);
    return flow.count;
}
