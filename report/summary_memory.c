/* The summary's part on where the memory is. */
#include <math.h>
#include <stdlib.h>

#include "report/format.h"
#include "report/rss.h"
#include "report/summary_part.h"

#define CLASSES_SHOWN 6
#define CLASS_SHARE 100 /* a class is named from a hundredth of the committed bytes on */

/* A figure in words. A statement may use several: each call has its own buffer. */
#define BYTES(n) (psc_format_bytes(n).s)
#define COUNT(n) (psc_format_count(n).s)

/* ---- where the memory is --------------------------------------------------------------------------------------- */

static void write_part(FILE *out, const char *name, uint64_t bytes, uint64_t whole) {
    fprintf(out, "  %-52s %18s %9s %8s\n", name, COUNT(bytes), BYTES(bytes), psc_format_share(bytes, whole).s);
}

static void write_beside(FILE *out, const char *name, uint64_t bytes) {
    if (bytes != 0) {
        fprintf(out, "  %-52s %18s %9s\n", name, COUNT(bytes), BYTES(bytes));
    }
}

static const char *moment(const struct psc_model *model) {
    if (psc_model_is_sampled(model) && !model->sampling.calibrated && model->sampling.has_snapshot) {
        return "Memory at the last snapshot";
    }
    return model->process.end == PSC_PROCESS_RUNNING ? "Memory now" : "Memory at the end";
}

/* A sampled trace does not tell where in a pool it is free. */
static void write_pinned(const struct psc_model *model, FILE *out) {
    const struct psc_fragmentation *f = &model->fragmentation;
    if (psc_model_is_sampled(model)) {
        write_part(out, "  free memory in pools with live blocks (pinned)", f->pinned_bytes, f->committed_bytes);
    } else {
        write_part(out, "  free blocks between live ones (pinned)", f->free_blocks_bytes, f->committed_bytes);
        write_part(out, "  pages behind the last block of a pool (pinned)", f->tail_bytes, f->committed_bytes);
    }
}

/* The heap's own sums when the live bytes last rose to a peak. */
static void write_peak(const struct psc_model *model, FILE *out) {
    const struct psc_wire_snapshot *peak = psc_model_peak_snapshot(model);
    if (peak != NULL) {
        fprintf(out, "about the peak of live bytes, after %s: %s held = %s in live blocks",
                psc_format_duration(peak->time_ns).s, BYTES(peak->committed_bytes), BYTES(peak->block_bytes));
        fprintf(out, " + %s pinned + %s in empty pools + %s cached\n", BYTES(peak->pinned_bytes),
                BYTES(peak->empty_bytes), BYTES(peak->cached_bytes));
    }
}

/* What live blocks keep, by what goes back as one; and how much is held for what is live, then and now. */
static void write_units(const struct psc_model *model, FILE *out) {
    const struct psc_fragmentation *f = &model->fragmentation;
    if (!psc_model_is_sampled(model)) {
        fprintf(out, "free, but kept by a live block of the same page: %s, pool: %s,", BYTES(f->pinned_page_bytes),
                BYTES(f->pinned_bytes));
        fprintf(out, " arena: %s, 2 MiB: %s\n", BYTES(f->pinned_arena_bytes), BYTES(f->pinned_huge_bytes));
    }
    if (!isnan(f->realised_at_peak) && !isnan(f->realised_now)) {
        fprintf(out, "held: %.2f times what was live at the peak, %.2f times what is live %s\n",
                1 + f->realised_at_peak, 1 + f->realised_now,
                model->process.end == PSC_PROCESS_RUNNING ? "now" : "at the end");
    }
}

static void write_walks(const struct psc_model *model, FILE *out) {
    const struct psc_walks *walks = &model->walks;
    const struct psc_fragmentation *f = &model->fragmentation;
    if (walks->worst_bytes == 0) {
        return;
    }
    fputs("pinned: ", out);
    if (walks->has_window) {
        fprintf(out, "%s lasting (free at every look since %s), %s transient; ", BYTES(f->lasting_bytes),
                psc_format_duration(walks->window_ns).s, BYTES(f->pinned_bytes - f->lasting_bytes));
    }
    fprintf(out, "most was %s, after %s\n", BYTES(walks->worst_bytes), psc_format_duration(walks->worst_ns).s);
}

void psc_summary_memory(const struct psc_model *model, FILE *out) {
    const struct psc_fragmentation *f = &model->fragmentation;
    fprintf(out, "\n%-54s %18s %9s %8s\n", moment(model), "bytes", "", "share");
    write_part(out, "held by the heap (committed)", f->committed_bytes, f->committed_bytes);
    write_part(out, "  live, as requested", f->live_requested_bytes, f->committed_bytes);
    write_part(out, "  rounding of live blocks (internal)", f->internal_bytes, f->committed_bytes);
    write_pinned(model, out);
    write_part(out, "  empty pools", f->empty_pools_bytes, f->committed_bytes);
    write_part(out, "  free pages not yet given back (cached)", f->cached_bytes, f->committed_bytes);
    if (psc_rss_last(model) == NULL) {
        fputs("beside it\n", out);
        write_beside(out, "whole process, resident (RSS) at the last snapshot", model->totals.rss_bytes);
        write_beside(out, "the heap's own tables", f->metadata_bytes);
        write_beside(out, "the tracker's tables and the trace", model->totals.tracker_bytes);
    }
    fprintf(out, "peak: %s live, %s committed", BYTES(model->totals.peak_live_bytes),
            BYTES(model->totals.peak_committed_bytes));
    if (model->totals.peak_rss_bytes != 0) {
        fprintf(out, ", %s RSS", BYTES(model->totals.peak_rss_bytes));
    }
    fputc('\n', out);
    write_peak(model, out);
    write_units(model, out);
    write_walks(model, out);
    psc_rss_write(model, out);
}

/* ---- size classes ---------------------------------------------------------------------------------------------- */

static uint64_t excess_of(const struct psc_class *class) {
    return class->committed_bytes - class->live_requested_bytes;
}

static int by_excess(const void *left, const void *right) {
    uint64_t a = excess_of(*(const struct psc_class *const *)left);
    uint64_t b = excess_of(*(const struct psc_class *const *)right);
    return a != b ? (a > b ? -1 : 1) : 0;
}

static void write_class(const struct psc_class *class, FILE *out) {
    struct psc_text block = psc_format_bytes(class->block_bytes);
    fprintf(out, "  %10s %9s %11s %11s %8s %10s %10s %10s\n", class->block_bytes == 0 ? "large" : block.s,
            COUNT(class->pools), COUNT(class->live_blocks), COUNT(class->capacity_blocks),
            psc_format_share(class->live_blocks, class->capacity_blocks).s, BYTES(class->live_requested_bytes),
            BYTES(class->committed_bytes), BYTES(class->pinned_bytes));
}

void psc_summary_classes(const struct psc_model *model, FILE *out) {
    const struct psc_class *order[PSC_CLASSES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < PSC_CLASSES_MAX; i++) {
        if (excess_of(&model->classes[i]) > model->fragmentation.committed_bytes / CLASS_SHARE) {
            order[count++] = &model->classes[i];
        }
    }
    if (count == 0) {
        return;
    }
    qsort(order, count, sizeof(*order), by_excess);
    fputs("\nSize classes that hold most beyond what is requested\n", out);
    fprintf(out, "  %10s %9s %11s %11s %8s %10s %10s %10s\n", "block", "pools", "live", "capacity", "full", "requested",
            "committed", "pinned");
    for (size_t i = 0; i < count && i < CLASSES_SHOWN; i++) {
        write_class(order[i], out);
    }
}
