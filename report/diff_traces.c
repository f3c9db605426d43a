#include "report/diff_traces.h"

#include <string.h>

void psc_diff_traces_release(struct psc_diff_traces *traces) {
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        psc_find_release(&traces->found[side]);
    }
}

/* The process of that program that held most; NULL of none. */
static const struct psc_tree_row *largest_of(const struct psc_tree *tree, const char *name) {
    const struct psc_tree_row *largest = NULL;
    for (size_t i = 0; i < tree->count; i++) {
        const struct psc_tree_row *row = &tree->rows[i];
        if (strcmp(row->name, name) == 0 &&
            (largest == NULL || row->peak_committed_bytes > largest->peak_committed_bytes)) {
            largest = row;
        }
    }
    return largest;
}

/* Both sides have a row. */
static void choose(struct psc_diff_traces *traces, const struct psc_tree trees[PSC_DIFF_SIDES]) {
    const struct psc_tree_row *rows[PSC_DIFF_SIDES];
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        rows[side] = psc_tree_sum(&trees[side]).most_held;
    }
    const struct psc_tree_row *new_like_old = largest_of(&trees[PSC_DIFF_NEW], rows[PSC_DIFF_OLD]->name);
    const struct psc_tree_row *old_like_new = largest_of(&trees[PSC_DIFF_OLD], rows[PSC_DIFF_NEW]->name);
    if (new_like_old != NULL) {
        rows[PSC_DIFF_NEW] = new_like_old;
    } else if (old_like_new != NULL) {
        rows[PSC_DIFF_OLD] = old_like_new;
    }
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        traces->chosen[side] = rows[side]->path;
    }
}

static bool read_and_choose(struct psc_diff_traces *traces) {
    struct psc_tree trees[PSC_DIFF_SIDES];
    bool some = true;
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        trees[side] = psc_tree_read(&traces->found[side]);
        traces->failed += trees[side].failed;
        some &= trees[side].count != 0;
    }
    if (some) {
        choose(traces, trees);
    }
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        psc_tree_release(&trees[side]);
    }
    return some;
}

bool psc_diff_traces_find(struct psc_diff_traces *traces, const char *old, const char *new) {
    bool found = psc_find_add(&traces->found[PSC_DIFF_OLD], old);
    if (!psc_find_add(&traces->found[PSC_DIFF_NEW], new) || !found) {
        return false;
    }
    if (traces->found[PSC_DIFF_OLD].count > 1 || traces->found[PSC_DIFF_NEW].count > 1) {
        return read_and_choose(traces);
    }
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        traces->chosen[side] = traces->found[side].paths[0];
    }
    return true;
}
