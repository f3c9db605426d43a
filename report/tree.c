#include "report/tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/format.h"
#include "report/prefix.h"
#include "report/progress.h"

#define INDENT_MAX 12

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static void fill_row(struct psc_tree_row *row, const struct psc_model *model, const char *path) {
    row->path = path;
    row->exe = psc_array_text(model->process.exe);
    psc_format_plain(row->name, sizeof(row->name), psc_process_name(&model->process));
    row->pid = model->process.pid;
    row->ppid = model->process.ppid;
    row->end = model->process.end;
    row->start_ns = model->process.start_ns;
    row->start_ticks = model->process.start_ticks;
    row->duration_ns = model->process.duration_ns;
    row->alloc_count = model->totals.alloc_count;
    row->live_bytes = model->totals.live_bytes;
    row->committed_bytes = model->totals.committed_bytes;
    row->peak_committed_bytes = model->totals.peak_committed_bytes;
    row->pinned_bytes = model->fragmentation.pinned_bytes;
}

static int by_start(const void *left, const void *right) {
    const struct psc_tree_row *a = left, *b = right;
    return a->start_ns != b->start_ns ? (a->start_ns < b->start_ns ? -1 : 1) : strcmp(a->path, b->path);
}

/* The latest of `pid` that began before row `before`. */
static size_t find_pid(const struct psc_tree *tree, uint32_t pid, size_t before) {
    for (size_t i = before; i-- > 0;) {
        if (tree->rows[i].pid == pid) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* A program that came by exec is the child of the one before it in the same process; numbers of processes are used
 * again, their time of start is not. */
static bool came_by_exec(const struct psc_tree_row *row, const struct psc_tree_row *before) {
    bool other = row->start_ticks != 0 && before->start_ticks != 0 && row->start_ticks != before->start_ticks;
    return before->end == PSC_PROCESS_EXEC && !other;
}

static size_t find_parent(const struct psc_tree *tree, size_t child) {
    const struct psc_tree_row *row = &tree->rows[child];
    size_t before = find_pid(tree, row->pid, child);
    if (before != SIZE_MAX && came_by_exec(row, &tree->rows[before])) {
        return before;
    }
    return row->ppid != row->pid ? find_pid(tree, row->ppid, child) : SIZE_MAX;
}

static void read_row(struct psc_tree *tree, const char *path) {
    const char *error;
    struct psc_model *model = psc_model_open(path, &error);
    if (model == NULL) {
        psc_progress_clear();
        fprintf(stderr, "poolscope %s: cannot open %s: %s\n", psc_prefix_name(), psc_format_path(path).s, error);
        tree->failed++;
        return;
    }
    fill_row(&tree->rows[tree->count++], model, path);
    psc_model_close(model);
}

struct psc_tree psc_tree_read(const struct psc_paths *paths) {
    struct psc_tree tree = {.rows = psc_array_new(paths->count, sizeof(*tree.rows))};
    for (size_t i = 0; i < paths->count; i++) {
        read_row(&tree, paths->paths[i]);
        psc_progress_show("traces", i + 1, paths->count);
    }
    psc_progress_clear();
    qsort(tree.rows, tree.count, sizeof(*tree.rows), by_start);
    for (size_t i = 0; i < tree.count; i++) {
        tree.rows[i].parent = find_parent(&tree, i);
    }
    return tree;
}

void psc_tree_release(struct psc_tree *tree) {
    for (size_t i = 0; i < tree->count; i++) {
        free(tree->rows[i].exe);
    }
    free(tree->rows);
    *tree = (struct psc_tree){0};
}

/* ---- all together ---------------------------------------------------------------------------------------------- */

/* A process begins or ends. */
struct moment {
    uint64_t time_ns;
    uint64_t peak_bytes;
    bool ends;
};

/* Who begins when another ends runs beside it: the sum is to be the largest that can have been. */
static int by_time(const void *left, const void *right) {
    const struct moment *a = left, *b = right;
    return a->time_ns != b->time_ns ? (a->time_ns < b->time_ns ? -1 : 1) : a->ends - b->ends;
}

static uint64_t largest_sum(const struct psc_tree *tree) {
    struct moment *moments = psc_array_new(tree->count * 2, sizeof(*moments));
    for (size_t i = 0; i < tree->count; i++) {
        const struct psc_tree_row *row = &tree->rows[i];
        moments[i * 2] = (struct moment){row->start_ns, row->peak_committed_bytes, false};
        uint64_t most = UINT64_MAX - row->start_ns;
        uint64_t duration = row->duration_ns < most ? row->duration_ns : most; /* a damaged trace may say anything */
        moments[i * 2 + 1] = (struct moment){row->start_ns + duration, row->peak_committed_bytes, true};
    }
    qsort(moments, tree->count * 2, sizeof(*moments), by_time);
    uint64_t sum = 0, largest = 0;
    for (size_t i = 0; i < tree->count * 2; i++) {
        sum += moments[i].ends ? -moments[i].peak_bytes : moments[i].peak_bytes;
        largest = sum > largest ? sum : largest;
    }
    free(moments);
    return largest;
}

static void add_row(struct psc_tree_totals *totals, const struct psc_tree_row *row) {
    totals->running += row->end == PSC_PROCESS_RUNNING;
    totals->alloc_count += row->alloc_count;
    totals->live_bytes += row->live_bytes;
    totals->committed_bytes += row->committed_bytes;
    totals->pinned_bytes += row->pinned_bytes;
    if (totals->most_held == NULL || row->peak_committed_bytes > totals->most_held->peak_committed_bytes) {
        totals->most_held = row;
    }
    if (row->pinned_bytes > (totals->most_pinned == NULL ? 0 : totals->most_pinned->pinned_bytes)) {
        totals->most_pinned = row;
    }
}

struct psc_tree_totals psc_tree_sum(const struct psc_tree *tree) {
    struct psc_tree_totals totals = {.peak_committed_bytes = largest_sum(tree)};
    for (size_t i = 0; i < tree->count; i++) {
        add_row(&totals, &tree->rows[i]);
    }
    return totals;
}

/* ---- order of the tree ----------------------------------------------------------------------------------------- */

/* Of a row: SIZE_MAX for none. */
struct links {
    size_t first_child;
    size_t next_sibling;
};

/* Returns the first row without a parent. The caller frees *links. */
static size_t link_rows(const struct psc_tree *tree, struct links **links) {
    size_t first = SIZE_MAX;
    *links = psc_array_new(tree->count, sizeof(**links));
    for (size_t i = 0; i < tree->count; i++) {
        (*links)[i].first_child = SIZE_MAX;
    }
    for (size_t i = tree->count; i-- > 0;) {
        size_t parent = tree->rows[i].parent;
        size_t *head = parent == SIZE_MAX ? &first : &(*links)[parent].first_child;
        (*links)[i].next_sibling = *head;
        *head = i;
    }
    return first;
}

struct psc_tree_step *psc_tree_walk(const struct psc_tree *tree) {
    struct psc_tree_step *steps = psc_array_new(tree->count, sizeof(*steps));
    struct links *links;
    size_t row = link_rows(tree, &links);
    unsigned depth = 0;
    for (size_t i = 0; row != SIZE_MAX; i++) {
        steps[i] = (struct psc_tree_step){row, depth};
        if (links[row].first_child != SIZE_MAX) {
            row = links[row].first_child;
            depth++;
            continue;
        }
        while (row != SIZE_MAX && links[row].next_sibling == SIZE_MAX) {
            row = tree->rows[row].parent;
            depth -= row != SIZE_MAX;
        }
        row = row != SIZE_MAX ? links[row].next_sibling : SIZE_MAX;
    }
    free(links);
    return steps;
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void write_row(const struct psc_tree *tree, struct psc_tree_step step, FILE *out) {
    const struct psc_tree_row *row = &tree->rows[step.row];
    int indent = (int)(step.depth < INDENT_MAX / 2 ? step.depth * 2 : INDENT_MAX);
    fprintf(out, "  %8" PRIu32 " %*s%-*.*s %-8s %10s %12s %10s %10s %10s %10s\n", row->pid, indent, "", 30 - indent,
            30 - indent, row->name, psc_process_end_name(row->end), psc_format_duration(row->duration_ns).s,
            psc_format_count(row->alloc_count).s, psc_format_bytes(row->live_bytes).s,
            psc_format_bytes(row->committed_bytes).s, psc_format_bytes(row->pinned_bytes).s,
            psc_format_bytes(row->peak_committed_bytes).s);
}

static int by_peak(const void *left, const void *right) {
    const struct psc_tree_row *a = *(const struct psc_tree_row *const *)left;
    const struct psc_tree_row *b = *(const struct psc_tree_row *const *)right;
    return a->peak_committed_bytes != b->peak_committed_bytes
               ? (a->peak_committed_bytes > b->peak_committed_bytes ? -1 : 1)
               : (a < b ? -1 : a > b);
}

/* Which rows are shown, by index; the caller frees it. */
static bool *choose_rows(const struct psc_tree *tree, size_t top) {
    const struct psc_tree_row **order = psc_array_new(tree->count, sizeof(*order));
    bool *chosen = psc_array_new(tree->count, sizeof(*chosen));
    for (size_t i = 0; i < tree->count; i++) {
        order[i] = &tree->rows[i];
    }
    qsort(order, tree->count, sizeof(*order), by_peak);
    for (size_t i = 0; i < tree->count && i < top; i++) {
        size_t row = (size_t)(order[i] - tree->rows);
        for (; row != SIZE_MAX && !chosen[row]; row = tree->rows[row].parent) {
            chosen[row] = true;
        }
    }
    free(order);
    return chosen;
}

static void write_others(const struct psc_tree *tree, const bool *chosen, FILE *out) {
    size_t others = 0;
    uint64_t most = 0;
    for (size_t i = 0; i < tree->count; i++) {
        if (!chosen[i]) {
            others++;
            most = tree->rows[i].peak_committed_bytes > most ? tree->rows[i].peak_committed_bytes : most;
        }
    }
    if (others != 0) {
        fprintf(out, "  ... and %zu more that held %s at most (--top=N shows more)\n", others,
                psc_format_bytes(most).s);
    }
}

static void write_counts(const struct psc_tree *tree, const struct psc_tree_totals *totals, FILE *out) {
    fprintf(out, "%zu %s", tree->count, tree->count == 1 ? "process" : "processes");
    if (totals->running != 0) {
        fprintf(out, ", %zu still running", totals->running);
    }
    if (tree->failed != 0) {
        fprintf(out, "; %zu more %s could not be read", tree->failed, tree->failed == 1 ? "trace" : "traces");
    }
    fputc('\n', out);
}

/* A process that started a thousand others, one after the other, never had them all beside it. */
static void write_totals(const struct psc_tree_totals *totals, FILE *out) {
    fprintf(out, "  %8s %-30s %-8s %10s %12s %10s %10s %10s %10s\n", "all", "", "", "",
            psc_format_count(totals->alloc_count).s, psc_format_bytes(totals->live_bytes).s,
            psc_format_bytes(totals->committed_bytes).s, psc_format_bytes(totals->pinned_bytes).s,
            psc_format_bytes(totals->peak_committed_bytes).s);
    fputs("  (live, committed, pinned: at the end of each; peak of all: of those that ran at the same time, at most)\n",
          out);
}

void psc_tree_write(const struct psc_tree *tree, size_t top, FILE *out) {
    struct psc_tree_totals totals = psc_tree_sum(tree);
    struct psc_tree_step *steps = psc_tree_walk(tree);
    bool *chosen = choose_rows(tree, top);
    write_counts(tree, &totals, out);
    fprintf(out, "  %8s %-30s %-8s %10s %12s %10s %10s %10s %10s\n", "process", "program", "end", "time", "allocations",
            "live", "committed", "pinned", "peak");
    for (size_t i = 0; i < tree->count; i++) {
        if (chosen[steps[i].row]) {
            write_row(tree, steps[i], out);
        }
    }
    write_others(tree, chosen, out);
    write_totals(&totals, out);
    free(chosen);
    free(steps);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void emit_index(struct psc_emit *emit, const char *key, size_t index) {
    if (index == SIZE_MAX) {
        psc_emit_null(emit, key);
    } else {
        psc_emit_number(emit, key, index);
    }
}

static void emit_row(const struct psc_tree_row *row, struct psc_emit *emit) {
    psc_emit_open(emit, NULL, '{');
    psc_emit_number(emit, "pid", row->pid);
    psc_emit_number(emit, "ppid", row->ppid);
    emit_index(emit, "parent", row->parent);
    psc_emit_text(emit, "exe", row->exe);
    psc_emit_text(emit, "end", psc_process_end_name(row->end));
    psc_emit_number(emit, "duration_ns", row->duration_ns);
    psc_emit_number(emit, "alloc_count", row->alloc_count);
    psc_emit_number(emit, "live_bytes", row->live_bytes);
    psc_emit_number(emit, "committed_bytes", row->committed_bytes);
    psc_emit_number(emit, "peak_committed_bytes", row->peak_committed_bytes);
    psc_emit_number(emit, "pinned_bytes", row->pinned_bytes);
    psc_emit_text(emit, "trace", row->path);
    psc_emit_close(emit, '{');
}

static size_t index_of(const struct psc_tree *tree, const struct psc_tree_row *row) {
    return row == NULL ? SIZE_MAX : (size_t)(row - tree->rows);
}

static void emit_totals(const struct psc_tree *tree, struct psc_emit *emit) {
    struct psc_tree_totals totals = psc_tree_sum(tree);
    psc_emit_open(emit, "processes_total", '{');
    psc_emit_number(emit, "count", tree->count);
    psc_emit_number(emit, "failed", tree->failed);
    psc_emit_number(emit, "running", totals.running);
    psc_emit_number(emit, "alloc_count", totals.alloc_count);
    psc_emit_number(emit, "live_bytes", totals.live_bytes);
    psc_emit_number(emit, "committed_bytes", totals.committed_bytes);
    psc_emit_number(emit, "peak_committed_bytes", totals.peak_committed_bytes);
    psc_emit_number(emit, "pinned_bytes", totals.pinned_bytes);
    emit_index(emit, "most_held", index_of(tree, totals.most_held));
    emit_index(emit, "most_pinned", index_of(tree, totals.most_pinned));
    psc_emit_close(emit, '{');
}

void psc_tree_emit(const struct psc_tree *tree, struct psc_emit *emit) {
    psc_emit_open(emit, "processes", '[');
    for (size_t i = 0; i < tree->count; i++) {
        emit_row(&tree->rows[i], emit);
    }
    psc_emit_close(emit, '[');
    emit_totals(tree, emit);
}
