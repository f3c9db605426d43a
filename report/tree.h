/* Several processes, each with its trace: who started whom, what they hold one by one and all together, and a table in
 * which children stand below their parents. */
#ifndef PSC_REPORT_TREE_H
#define PSC_REPORT_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report/emit.h"
#include "report/find.h"
#include "report/model.h"

struct psc_tree_row {
    const char *path; /* of the trace; borrowed */
    char *exe;        /* as the trace has it */
    char name[64];    /* its last part, printable */
    uint32_t pid;
    uint32_t ppid;
    enum psc_process_end end;
    uint64_t start_ns;    /* CLOCK_MONOTONIC */
    uint64_t start_ticks; /* 0: not known; a process keeps its own through exec */
    uint64_t duration_ns;
    uint64_t alloc_count;
    uint64_t live_bytes;
    uint64_t committed_bytes;
    uint64_t peak_committed_bytes;
    uint64_t pinned_bytes;
    size_t parent; /* index of its row, less than its own; or SIZE_MAX */
};

struct psc_tree {
    struct psc_tree_row *rows; /* in order of start */
    size_t count;
    size_t failed; /* traces that could not be opened and have no row */
};

/* All processes together. Bytes are those at the end of each, as far as it is known. */
struct psc_tree_totals {
    size_t running;
    uint64_t alloc_count;
    uint64_t live_bytes;
    uint64_t committed_bytes;
    uint64_t pinned_bytes;
    uint64_t peak_committed_bytes;          /* most that those can have held together which ran at the same time: the
                                            * largest sum of their peaks */
    const struct psc_tree_row *most_held;   /* at its peak; NULL of no rows */
    const struct psc_tree_row *most_pinned; /* NULL if nothing is pinned */
};

/* A row in the order of the tree: every process stands before its children, siblings in order of start. */
struct psc_tree_step {
    size_t row;
    unsigned depth; /* 0: its parent is not known */
};

/* Reads all traces, one at a time. Those that cannot be opened are named on stderr. */
struct psc_tree psc_tree_read(const struct psc_paths *paths);
void psc_tree_release(struct psc_tree *tree);

struct psc_tree_totals psc_tree_sum(const struct psc_tree *tree);
/* tree->count steps, in memory that the caller frees. */
struct psc_tree_step *psc_tree_walk(const struct psc_tree *tree);
/* The `top` processes that held most at their peak, with those that they come from, how many others there are, and all
 * together. */
void psc_tree_write(const struct psc_tree *tree, size_t top, FILE *out);
/* The same of all processes, in order of start, as members of the open object: "processes" and "processes_total". */
void psc_tree_emit(const struct psc_tree *tree, struct psc_emit *emit);

#endif
