/* Several processes, each with its trace: a short table in which children stand below their parents. */
#ifndef PSC_REPORT_TREE_H
#define PSC_REPORT_TREE_H

#include <stddef.h>
#include <stdio.h>

#include "report/find.h"
#include "report/model.h"

struct psc_tree_row {
    const char *path; /* of the trace; borrowed */
    char name[64];
    uint32_t pid;
    uint32_t ppid;
    enum psc_process_end end;
    uint64_t start_ns;
    uint64_t duration_ns;
    uint64_t alloc_count;
    uint64_t live_bytes;
    uint64_t committed_bytes;
    uint64_t peak_committed_bytes;
    size_t parent; /* index of its row, or SIZE_MAX */
};

struct psc_tree {
    struct psc_tree_row *rows; /* in order of start */
    size_t count;
};

/* Reads all traces. Those that cannot be opened are named on stderr and left out; *failed counts them. */
struct psc_tree psc_tree_read(const struct psc_paths *paths, size_t *failed);
void psc_tree_release(struct psc_tree *tree);
/* The process that held most at its peak; NULL of none. */
const struct psc_tree_row *psc_tree_largest(const struct psc_tree *tree);
/* The `top` processes that held most at their peak, with those that they come from, and how many others there are. */
void psc_tree_write(const struct psc_tree *tree, size_t top, FILE *out);

#endif
