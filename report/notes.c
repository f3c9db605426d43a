/* What the figures of a trace do not say by themselves. */
#include <inttypes.h>
#include <stdio.h>

#include "report/estimate.h"
#include "report/format.h"
#include "report/load.h"

static void note_nothing_recorded(struct psc_load *load) {
    const struct psc_process *process = &load->model->process;
    if ((process->flags & PSC_TRACE_PASSIVE) != 0) {
        psc_load_note(load,
                      "Nothing was recorded: the program brings its own malloc, which comes before the preloaded one.");
    } else if (load->model->totals.alloc_count == 0 && load->model->totals.recorded_blocks == 0) {
        psc_load_note(load, psc_model_is_sampled(load->model)
                                ? "No allocation became a sample: a smaller interval, or mode=exact, shows more."
                                : "No allocation was recorded.");
    }
}

static void note_stopped(struct psc_load *load) {
    static const char *const reasons[] = {
        [PSC_STOP_NONE] = "the trace does not say why",
        [PSC_STOP_DISK] = "no room on the disk of the trace, or it could not be grown",
        [PSC_STOP_MEMORY] = "the tracker got no memory",
        [PSC_STOP_SPAN] = "the trace has reached its largest size",
        [PSC_STOP_SANDBOX] = "in a sandbox the trace has only the room that it got before"};
    const struct psc_process *process = &load->model->process;
    if ((process->flags & PSC_TRACE_STOPPED) != 0) {
        uint32_t reason = process->stop_reason < PSC_COUNT_OF(reasons) ? process->stop_reason : PSC_STOP_NONE;
        psc_load_note(load,
                      "Recording stopped before the end (%s). Counts and live blocks are those of about that moment.",
                      reasons[reason]);
    }
}

static void note_lost_events(struct psc_load *load) {
    const struct psc_totals *totals = &load->model->totals;
    if (totals->dropped_events != 0 && psc_model_is_sampled(load->model)) {
        psc_load_note(load, "%s samples could not be recorded, and are in no site.",
                      psc_format_count(totals->dropped_events).s);
    } else if (totals->dropped_events != 0) {
        psc_load_note(load,
                      "%s allocations could not be recorded. They are in no site; their blocks count as live "
                      "without a record until they are freed.",
                      psc_format_count(totals->dropped_events).s);
    }
    if (totals->unrecorded_frees != 0 && !psc_model_is_sampled(load->model)) {
        psc_load_note(load,
                      "%s frees were of blocks that had no record (made before recording began, inherited, or "
                      "dropped).",
                      psc_format_count(totals->unrecorded_frees).s);
    }
    if (totals->misuse_count != 0) {
        psc_load_note(
            load, "The program misused the heap %s %s, which was ignored or mended: see MISUSE in poolscope(1).",
            psc_format_count(totals->misuse_count).s, psc_format_plural(totals->misuse_count, "time", "times"));
    }
    if (totals->unrecorded_blocks != 0) {
        psc_load_note(load,
                      "Live blocks without a record: %s. They count as requested in full, and what they pin is "
                      "charged to (unknown).",
                      psc_format_count(totals->unrecorded_blocks).s);
    }
}

#define AGES_UP_TO ((uint64_t)PSC_TAG_BIRTH_UNIT << PSC_TAG_BIRTH_BITS)

static void note_clock_came_round(struct psc_load *load) {
    if (load->clock_bytes > AGES_UP_TO) {
        psc_load_note(
            load, "Ages are known modulo %s of allocation, of which there were %s: what lived longer seems younger.",
            psc_format_bytes(AGES_UP_TO).s, psc_format_bytes(load->clock_bytes).s);
    }
}

/* ---- sampled traces ---------------------------------------------------------------------------------------------- */

static void note_rough(struct psc_load *load) {
    uint64_t rough = 0;
    for (size_t i = 0; i < load->model->site_count; i++) {
        uint64_t samples = load->model->sites[i].tagged_count;
        rough += samples != 0 && samples < PSC_ESTIMATE_FEW;
    }
    if (rough != 0) {
        psc_load_note(load, "Sites whose live blocks rest on fewer than %d samples: %s. Their figures are rough.",
                      PSC_ESTIMATE_FEW, psc_format_count(rough).s);
    }
}

static void note_not_sampled(struct psc_load *load) {
    const struct psc_not_sampled *rest = &load->model->not_sampled;
    if (rest->live_count != 0 || rest->live_bytes != 0) {
        psc_load_note(load, "No sample tells whose %s live blocks (%s) are, of sizes that few bytes are allocated in.",
                      psc_format_count(rest->live_count).s, psc_format_bytes(rest->live_bytes).s);
    }
    if (rest->pinned_bytes != 0) {
        psc_load_note(load,
                      "No sample tells who pins %s. Few blocks that pin much are easily missed: mode=exact names them.",
                      psc_format_bytes(rest->pinned_bytes).s);
    }
}

/* What the estimates of live blocks rest on. */
static void note_totals(struct psc_load *load) {
    const struct psc_sampling *sampling = &load->model->sampling;
    if (!sampling->has_snapshot) {
        psc_load_note(load, "The trace holds no snapshot: the live blocks of the heap are estimates as well, and what "
                            "pools hold beside them is not known.");
    } else if (!sampling->calibrated) {
        psc_load_note(load,
                      "The heap's own figures are those of its last snapshot, %s before the end. Those of sites are of "
                      "the end, were not corrected by them, and do not add up to them.",
                      psc_format_duration(sampling->snapshot_age_ns).s);
    }
}

/* A child's heap holds blocks that its parent made, none of which can be a sample here. */
static void note_inherited_unsampled(struct psc_load *load) {
    const struct psc_model *model = load->model;
    uint64_t held = model->fragmentation.live_requested_bytes, known = model->totals.live_bytes;
    if ((model->process.flags & PSC_TRACE_FORKED) != 0) {
        psc_load_note(load,
                      "The process began by fork. Blocks that it inherited from process %" PRIu32
                      " are in no site: about %s of what the heap has live.",
                      model->process.ppid, psc_format_bytes(held > known ? held - known : 0).s);
    }
}

static void note_sampling(struct psc_load *load) {
    if (psc_model_is_sampled(load->model) && (load->model->process.flags & PSC_TRACE_PASSIVE) == 0) {
        note_totals(load);
        note_inherited_unsampled(load);
        note_rough(load);
        note_not_sampled(load);
    }
}

/* ---- all traces -------------------------------------------------------------------------------------------------- */

/* Adds what the heap had in a class beyond what the extents show to the sums, and a word on it to `list`. */
static int inherited_of_class(const struct psc_model *model, uint32_t class, uint64_t sums[2], char *list,
                              size_t size) {
    const struct psc_wire_snapshot *last = &model->snapshots[model->snapshot_count - 1];
    uint64_t there = last->classes[class].live_blocks, shown = model->classes[class].live_blocks;
    if (there <= shown) {
        return 0;
    }
    uint64_t bytes = (there - shown) * model->classes[class].block_bytes;
    sums[0] += there - shown;
    sums[1] += bytes;
    int length = snprintf(list, size, "%s%s of %s", sums[0] == there - shown ? "" : ", ",
                          psc_format_count(there - shown).s, psc_format_bytes(model->classes[class].block_bytes).s);
    return length < (int)size ? length : 0;
}

/* The heap counted all blocks when it took the snapshot; extents show only pools that the child allocated from. */
static void note_inherited(struct psc_load *load) {
    const struct psc_model *model = load->model;
    if ((model->process.flags & PSC_TRACE_FORKED) == 0 || psc_model_is_sampled(model)) {
        return;
    }
    char list[400] = "";
    size_t at = 0;
    uint64_t sums[2] = {0};
    for (uint32_t class = 0; class < model->class_count && model->snapshot_count != 0; class ++) {
        at += (size_t)inherited_of_class(model, class, sums, list + at, sizeof(list) - at);
    }
    if (sums[0] == 0) {
        psc_load_note(load, "The process began by fork. Blocks that it inherited have no record.");
        return;
    }
    psc_load_note(load,
                  "The process began by fork. About %s blocks (%s) that it inherited from process %" PRIu32
                  " lie in pools that it has not allocated from, and are not part of these figures: %s.",
                  psc_format_count(sums[0]).s, psc_format_bytes(sums[1]).s, model->process.ppid, list);
}

static void note_stacks(struct psc_load *load) {
    uint64_t cut = 0, broken = 0, skipped = 0, unknown;
    for (size_t i = 0; i < load->model->site_count; i++) {
        cut += (load->model->sites[i].flags & PSC_SITE_CUT) != 0;
        broken += (load->model->sites[i].flags & PSC_SITE_BROKEN) != 0;
        skipped += load->model->sites[i].skip_after != 0;
    }
    unknown = load->model->sites[PSC_SITE_UNKNOWN].alloc_count;
    if (cut != 0) {
        psc_load_note(load, "%s stacks are deeper than %" PRIu32 " frames: their outermost frames are missing.",
                      psc_format_count(cut).s, load->model->sampling.depth);
    }
    if (skipped != 0) {
        psc_load_note(load, "%s stacks are deeper than %" PRIu32 " frames: some in their middle are left out.",
                      psc_format_count(skipped).s, load->model->sampling.depth);
    }
    if (broken != 0) {
        psc_load_note(load, "%s stacks end at a frame that nothing describes.", psc_format_count(broken).s);
    }
    if (unknown != 0) {
        psc_load_note(load, "%s allocations were recorded without a stack, as (unknown).", psc_format_count(unknown).s);
    }
}

static uint64_t difference(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

/* Books and tags tell of the same blocks. The process writes one after the other, so that they may differ by what its
 * threads were just doing. */
static void note_disagreement(struct psc_load *load) {
    uint64_t blocks = load->differing_blocks, sites = load->differing_sites;
    for (size_t i = 0; i < load->model->site_count && !psc_model_is_sampled(load->model); i++) {
        const struct psc_site *site = &load->model->sites[i];
        blocks += difference(site->live_count, site->tagged_count);
        sites += site->live_count != site->tagged_count;
    }
    if (sites == 0 || (load->model->process.flags & PSC_TRACE_PASSIVE) != 0) {
        return;
    }
    const char *why = load->model->process.end == PSC_PROCESS_RUNNING ? ": the process wrote while it was read" : "";
    psc_load_note(load, "Counters and pools differ by %s live blocks in %s sites%s.", psc_format_count(blocks).s,
                  psc_format_count(sites).s, why);
}

static void note_dropped_warnings(struct psc_load *load) {
    if (load->notes_dropped != 0) {
        psc_load_note(load, "%s more places in the trace are damaged.", psc_format_count(load->notes_dropped).s);
    }
}

void psc_load_notes(struct psc_load *load) {
    note_dropped_warnings(load);
    note_nothing_recorded(load);
    note_stopped(load);
    note_lost_events(load);
    note_clock_came_round(load);
    note_sampling(load);
    note_inherited(load);
    note_stacks(load);
    note_disagreement(load);
}
