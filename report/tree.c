#include "report/tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/format.h"
#include "report/progress.h"

#define INDENT_MAX 12

static void fill_row(struct psc_tree_row *row, const struct psc_model *model, const char *path) {
    row->path = path;
    psc_format_plain(row->name, sizeof(row->name), psc_process_name(&model->process));
    row->pid = model->process.pid;
    row->ppid = model->process.ppid;
    row->end = model->process.end;
    row->start_ns = model->process.start_ns;
    row->duration_ns = model->process.duration_ns;
    row->alloc_count = model->totals.alloc_count;
    row->live_bytes = model->totals.live_bytes;
    row->committed_bytes = model->totals.committed_bytes;
    row->peak_committed_bytes = model->totals.peak_committed_bytes;
}

static int by_start(const void *left, const void *right) {
    const struct psc_tree_row *a = left, *b = right;
    return a->start_ns != b->start_ns ? (a->start_ns < b->start_ns ? -1 : 1) : strcmp(a->path, b->path);
}

/* The latest process of that id that began before the child; a process after exec is the child of the one before it. */
static size_t find_parent(const struct psc_tree *tree, size_t child) {
    const struct psc_tree_row *row = &tree->rows[child];
    for (size_t i = child; i-- > 0;) {
        if (tree->rows[i].pid == row->pid && tree->rows[i].end == PSC_PROCESS_EXEC) {
            return i;
        }
    }
    for (size_t i = child; i-- > 0;) {
        if (tree->rows[i].pid == row->ppid && tree->rows[i].pid != row->pid) {
            return i;
        }
    }
    return SIZE_MAX;
}

struct psc_tree psc_tree_read(const struct psc_paths *paths, size_t *failed) {
    struct psc_tree tree = {.rows = psc_array_new(paths->count, sizeof(*tree.rows))};
    *failed = 0;
    for (size_t i = 0; i < paths->count; i++) {
        const char *error;
        struct psc_model *model = psc_model_open(paths->paths[i], &error);
        if (model == NULL) {
            psc_progress_clear();
            fprintf(stderr, "poolscope report: cannot open %s: %s\n", paths->paths[i], error);
            ++*failed;
        } else {
            fill_row(&tree.rows[tree.count++], model, paths->paths[i]);
            psc_model_close(model);
        }
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
    free(tree->rows);
    *tree = (struct psc_tree){0};
}

const struct psc_tree_row *psc_tree_largest(const struct psc_tree *tree) {
    const struct psc_tree_row *largest = NULL;
    for (size_t i = 0; i < tree->count; i++) {
        if (largest == NULL || tree->rows[i].peak_committed_bytes > largest->peak_committed_bytes) {
            largest = &tree->rows[i];
        }
    }
    return largest;
}

static unsigned depth_of(const struct psc_tree *tree, size_t index) {
    unsigned depth = 0;
    while (tree->rows[index].parent != SIZE_MAX) {
        index = tree->rows[index].parent; /* parents stand before their children: this ends */
        depth++;
    }
    return depth;
}

static void write_row(const struct psc_tree *tree, size_t index, unsigned depth, FILE *out) {
    const struct psc_tree_row *row = &tree->rows[index];
    int indent = (int)(depth < INDENT_MAX / 2 ? depth * 2 : INDENT_MAX);
    fprintf(out, "  %8" PRIu32 " %*s%-*.*s %-8s %10s %12s %10s %10s %10s\n", row->pid, indent, "", 30 - indent,
            30 - indent, row->name, psc_process_end_name(row->end), psc_format_duration(row->duration_ns).s,
            psc_format_count(row->alloc_count).s, psc_format_bytes(row->live_bytes).s,
            psc_format_bytes(row->committed_bytes).s, psc_format_bytes(row->peak_committed_bytes).s);
}

/* The next row in the order of the tree after `index`: its first child, else the next sibling of it or of an ancestor.
 */
static size_t next_child(const struct psc_tree *tree, size_t parent, size_t after) {
    for (size_t i = after + 1; i < tree->count; i++) {
        if (tree->rows[i].parent == parent) {
            return i;
        }
    }
    return SIZE_MAX;
}

static size_t next_row(const struct psc_tree *tree, size_t index) {
    size_t next = next_child(tree, index, index);
    while (next == SIZE_MAX && index != SIZE_MAX) {
        next = next_child(tree, tree->rows[index].parent, index);
        index = tree->rows[index].parent;
    }
    return next;
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

void psc_tree_write(const struct psc_tree *tree, size_t top, FILE *out) {
    bool *chosen = choose_rows(tree, top);
    fprintf(out, "%zu %s\n", tree->count, tree->count == 1 ? "process" : "processes");
    fprintf(out, "  %8s %-30s %-8s %10s %12s %10s %10s %10s\n", "process", "program", "end", "time", "allocations",
            "live", "committed", "peak");
    /* the first row has no parent: nothing stands before it */
    for (size_t i = tree->count != 0 ? 0 : SIZE_MAX; i != SIZE_MAX; i = next_row(tree, i)) {
        if (chosen[i]) {
            write_row(tree, i, depth_of(tree, i), out);
        }
    }
    write_others(tree, chosen, out);
    free(chosen);
}
