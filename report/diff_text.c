/* What grew and what shrank, for people. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/diff.h"
#include "report/format.h"
#include "report/report.h"

/* A figure in words; each call has its own buffer. */
#define BYTES(n) (psc_format_bytes(n).s)
#define COUNT(n) (psc_format_count(n).s)

/* "+2.00 MiB", or "0 B" where nothing changed. */
static struct psc_text with_sign(bool shrank, uint64_t amount, struct psc_text text) {
    struct psc_text out;
    snprintf(out.s, sizeof(out.s), "%s%.60s", amount == 0 ? "" : shrank ? "-" : "+", text.s);
    return out;
}

static struct psc_text bytes_change(struct psc_diff_change change) {
    struct psc_text text =
        change.error != 0 ? psc_format_bytes_error(change.amount, change.error) : psc_format_bytes(change.amount);
    return with_sign(change.shrank, change.amount, text);
}

static struct psc_text count_change(uint64_t old, uint64_t new) {
    uint64_t amount = new > old ? new - old : old - new;
    return with_sign(new < old, amount, psc_format_count(amount));
}

/* ---- head ------------------------------------------------------------------------------------------------------ */

static void write_side(const struct psc_model *model, const char *side, FILE *out) {
    char name[128], path[512];
    const struct psc_process *process = &model->process;
    fprintf(out, "%s: %s (process %" PRIu32 ", %s, %s): %s\n", side,
            psc_format_plain(name, sizeof(name), psc_process_name(process)), process->pid,
            psc_process_end_name(process->end), psc_format_duration(process->duration_ns).s,
            psc_format_plain(path, sizeof(path), model->path));
}

static void write_head(const struct psc_diff *diff, FILE *out) {
    write_side(diff->models[PSC_DIFF_OLD], "old", out);
    write_side(diff->models[PSC_DIFF_NEW], "new", out);
    if (psc_diff_is_sampled(diff)) {
        fputs("Sampled: figures of sites and requested bytes are estimates, ± is half the 95 % interval of a change;\n"
              "of a change within the error nobody knows whether there was one.\n",
              out);
    }
}

/* ---- totals ---------------------------------------------------------------------------------------------------- */

static struct psc_text total_text(const struct psc_diff_total *total, enum psc_diff_side side) {
    if (!total->known[side]) {
        return (struct psc_text){"not known"};
    }
    return total->counts ? psc_format_count(total->sides[side].bytes) : psc_format_bytes(total->sides[side].bytes);
}

static void write_total(const struct psc_diff_total *total, FILE *out) {
    const struct psc_diff_value *old = &total->sides[PSC_DIFF_OLD];
    struct psc_diff_change change = psc_diff_change_of(old, &total->sides[PSC_DIFF_NEW]);
    fprintf(out, "  %-40s %12s %12s", total->name, total_text(total, PSC_DIFF_OLD).s,
            total_text(total, PSC_DIFF_NEW).s);
    if (total->known[PSC_DIFF_OLD] && total->known[PSC_DIFF_NEW]) {
        fprintf(out, " %18s %10s", with_sign(change.shrank, change.amount, psc_format_count(change.amount)).s,
                with_sign(change.shrank, change.amount, psc_format_share(change.amount, old->bytes)).s);
    }
    if (change.error != 0) {
        fprintf(out, "  ± %s%s", BYTES(change.error), change.within ? ", within the error" : "");
    }
    fputc('\n', out);
}

static void write_totals(const struct psc_diff *diff, FILE *out) {
    fprintf(out, "\n%-42s %12s %12s %18s\n", "Totals", "old", "new", "change");
    for (size_t i = 0; i < diff->total_count; i++) {
        write_total(&diff->totals[i], out);
    }
}

/* ---- size classes ---------------------------------------------------------------------------------------------- */

static struct psc_text class_change(uint64_t old, uint64_t new) {
    return bytes_change(
        psc_diff_change_of(&(struct psc_diff_value){.bytes = old}, &(struct psc_diff_value){.bytes = new}));
}

static void write_class(const struct psc_diff_class *class, FILE *out) {
    const struct psc_class *old = class->sides[PSC_DIFF_OLD], *new = class->sides[PSC_DIFF_NEW];
    fprintf(out, "  %10s %11s %11s %11s %10s %10s %10s %10s %10s %10s\n",
            class->large ? "large" : BYTES(class->block_bytes), COUNT(old->live_blocks), COUNT(new->live_blocks),
            count_change(old->live_blocks, new->live_blocks).s, BYTES(old->committed_bytes),
            BYTES(new->committed_bytes), class_change(old->committed_bytes, new->committed_bytes).s,
            BYTES(old->pinned_bytes), BYTES(new->pinned_bytes), class_change(old->pinned_bytes, new->pinned_bytes).s);
}

static void write_classes(const struct psc_diff *diff, size_t top, FILE *out) {
    if (diff->class_count == 0) {
        return;
    }
    fprintf(out, "\nSize classes that changed\n  %10s %35s %32s %32s\n", "", "live blocks", "committed", "pinned");
    fprintf(out, "  %10s %11s %11s %11s %10s %10s %10s %10s %10s %10s\n", "block", "old", "new", "change", "old", "new",
            "change", "old", "new", "change");
    for (size_t i = 0; i < diff->class_count && i < top; i++) {
        write_class(&diff->classes[i], out);
    }
    if (diff->class_count > top) {
        fprintf(out, "  ... and %zu more that changed less (--top=N shows more)\n", diff->class_count - top);
    }
}

/* ---- sites ----------------------------------------------------------------------------------------------------- */

static const char *const figure_words[PSC_DIFF_FIGURES] = {[PSC_DIFF_LIVE] = "live",
                                                           [PSC_DIFF_PEAK] = "at the peak",
                                                           [PSC_DIFF_PINNED] = "pinned",
                                                           [PSC_DIFF_ALLOC] = "allocated"};

static const char *const titles[PSC_DIFF_FIGURES] = {[PSC_DIFF_LIVE] = "live bytes",
                                                     [PSC_DIFF_PEAK] = "live bytes at the peak",
                                                     [PSC_DIFF_PINNED] = "pinned bytes",
                                                     [PSC_DIFF_ALLOC] = "allocated bytes"};

static const char *mark_of(const struct psc_diff_site *site) {
    return site->merged[PSC_DIFF_OLD] == 0 ? "new: " : site->merged[PSC_DIFF_NEW] == 0 ? "gone: " : "";
}

static void write_figure(const struct psc_diff_site *site, enum psc_diff_figure figure, FILE *out) {
    const struct psc_diff_value *old = &site->values[PSC_DIFF_OLD][figure], *new = &site->values[PSC_DIFF_NEW][figure];
    struct psc_diff_change change = psc_diff_site_change(site, figure);
    fprintf(out, "%s %s", bytes_change(change).s, figure_words[figure]);
    if (old->count != new->count) {
        fprintf(out, " (%s %s)", count_change(old->count, new->count).s,
                new->count - old->count == 1 || old->count - new->count == 1 ? "block" : "blocks");
    }
    if (change.within) {
        fputs(", within the error", out);
    }
}

/* Of the other figures, those that changed. */
static void write_other_figures(const struct psc_diff_site *site, enum psc_diff_figure by, FILE *out) {
    const char *before = "      ";
    for (enum psc_diff_figure figure = 0; figure < PSC_DIFF_FIGURES; figure++) {
        const struct psc_diff_value *old = &site->values[PSC_DIFF_OLD][figure];
        const struct psc_diff_value *new = &site->values[PSC_DIFF_NEW][figure];
        if (figure != by && (old->bytes != new->bytes || old->count != new->count)) {
            fputs(before, out);
            write_figure(site, figure, out);
            before = "; ";
        }
    }
    fputs(*before == ';' ? "\n" : "", out);
}

static void write_site(const struct psc_diff *diff, size_t rank, FILE *out) {
    const struct psc_diff_site *site = &diff->sites[rank];
    const struct psc_diff_value *old = &site->values[PSC_DIFF_OLD][diff->by];
    const struct psc_diff_value *new = &site->values[PSC_DIFF_NEW][diff->by];
    fprintf(out, "  %2zu. %s", rank + 1, mark_of(site));
    write_figure(site, diff->by, out);
    fprintf(out, "; from %s to %s", BYTES(old->bytes), BYTES(new->bytes));
    if (!psc_diff_is_sampled(diff)) {
        fprintf(out, " (%s bytes)", count_change(old->bytes, new->bytes).s);
    }
    fputc('\n', out);
    write_other_figures(site, diff->by, out);
    struct psc_site *shown = psc_diff_site_frames(diff, site);
    psc_summary_write_frames(shown, out);
    psc_model_forget_frames(shown);
}

/* How many sites grew and shrank, and by how much in all. */
struct movement {
    uint64_t grown_bytes;
    uint64_t shrunk_bytes;
    size_t grown;
    size_t shrunk;
};

static struct movement movement_from(const struct psc_diff *diff, size_t first) {
    struct movement sum = {0};
    for (size_t i = first; i < diff->site_count; i++) {
        struct psc_diff_change change = psc_diff_site_change(&diff->sites[i], diff->by);
        *(change.shrank ? &sum.shrunk_bytes : &sum.grown_bytes) += change.amount;
        sum.grown += change.amount != 0 && !change.shrank;
        sum.shrunk += change.shrank;
    }
    return sum;
}

static void write_movement(const struct movement *sum, FILE *out) {
    if (sum->grown != 0) {
        fprintf(out, "+%s at %s", BYTES(sum->grown_bytes), COUNT(sum->grown));
    }
    if (sum->shrunk != 0) {
        fprintf(out, "%s-%s at %s", sum->grown != 0 ? ", " : "", BYTES(sum->shrunk_bytes), COUNT(sum->shrunk));
    }
}

/* What is in no site: it makes the changes add up to that of the total. */
static void write_not_sampled(const struct psc_diff *diff, FILE *out) {
    const struct psc_not_sampled *old = &diff->models[PSC_DIFF_OLD]->not_sampled;
    const struct psc_not_sampled *new = &diff->models[PSC_DIFF_NEW]->not_sampled;
    struct psc_text change = {""};
    if (diff->by == PSC_DIFF_LIVE && old->live_bytes != new->live_bytes) {
        change = class_change(old->live_bytes, new->live_bytes);
    } else if (diff->by == PSC_DIFF_PINNED && old->pinned_bytes != new->pinned_bytes) {
        change = class_change(old->pinned_bytes, new->pinned_bytes);
    }
    if (*change.s != '\0') {
        fprintf(out, "      %s (not sampled)\n", change.s);
    }
}

static void write_sites(const struct psc_diff *diff, size_t top, FILE *out) {
    struct movement all = movement_from(diff, 0);
    size_t changed = all.grown + all.shrunk, shown = changed < top ? changed : top;
    if (changed == 0) {
        fprintf(out, "\nNo site has other %s than before.\n", titles[diff->by]);
        write_not_sampled(diff, out);
        return;
    }
    fprintf(out, "\nSites by change of %s: ", titles[diff->by]);
    write_movement(&all, out);
    fprintf(out, " %s\n", psc_format_plural(changed, "site", "sites"));
    for (size_t i = 0; i < shown; i++) {
        write_site(diff, i, out);
    }
    if (changed > shown) {
        struct movement rest = movement_from(diff, shown);
        fputs("      ", out);
        write_movement(&rest, out);
        fprintf(out, " more %s (--top=N shows more)\n", psc_format_plural(changed - shown, "site", "sites"));
    }
    write_not_sampled(diff, out);
}

void psc_diff_write(const struct psc_diff *diff, FILE *out, size_t top) {
    size_t most = top != 0 ? top : PSC_DIFF_TOP;
    write_head(diff, out);
    write_totals(diff, out);
    write_classes(diff, most, out);
    write_sites(diff, most, out);
}
