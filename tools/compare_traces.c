/* What poolscope itself knows of a run: from its traces. */
#include <string.h>

#include "core/wire/trace.h"
#include "report/find.h"
#include "report/model.h"
#include "tools/compare.h"
#include "tools/outcome.h"

static void take_peak(struct psc_run *run, const struct psc_model *model) {
    for (size_t i = 0; i < model->snapshot_count; i++) {
        const struct psc_wire_snapshot *peak = &model->snapshots[i];
        if ((peak->flags & PSC_SNAPSHOT_PEAK) != 0) {
            run->figures[PSC_RUN_live_bytes] = peak->live_bytes;
            run->figures[PSC_RUN_held_bytes] = peak->committed_bytes;
            run->figures[PSC_RUN_pinned_bytes] = peak->pinned_bytes;
        }
    }
}

static void take(struct psc_run *run, const struct psc_model *model) {
    const struct psc_fragmentation *end = &model->fragmentation;
    run->figures[PSC_RUN_live_bytes] = end->live_requested_bytes;
    run->figures[PSC_RUN_held_bytes] = end->committed_bytes;
    run->figures[PSC_RUN_pinned_bytes] = end->pinned_bytes;
    run->figures[PSC_RUN_end_live_bytes] = end->live_requested_bytes;
    run->figures[PSC_RUN_end_held_bytes] = end->committed_bytes;
    run->figures[PSC_RUN_end_pinned_bytes] = end->pinned_bytes;
    take_peak(run, model);
}

void psc_compare_read_traces(struct psc_contender *contender, struct psc_run *run, const char *directory) {
    struct psc_outcome outcome;
    struct psc_paths paths = {.count = 0};
    uint64_t most = 0;
    psc_outcome_find(&outcome, directory, 0);
    contender->own_malloc |= outcome.traces > 0 && outcome.traces == outcome.passive;
    if (outcome.traces == outcome.passive || !psc_find_add(&paths, directory)) {
        return;
    }
    for (size_t i = 0; i < paths.count; i++) {
        const char *error;
        struct psc_model *model = psc_model_open(paths.paths[i], &error);
        if (model == NULL) {
            fprintf(stderr, "poolscope compare: cannot open %s: %s\n", paths.paths[i], error);
        } else {
            if (model->totals.peak_committed_bytes > most) {
                most = model->totals.peak_committed_bytes;
                take(run, model);
            }
            psc_model_close(model);
        }
    }
    psc_find_release(&paths);
}
