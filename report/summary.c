/* The text that a person reads and acts on. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/estimate.h"
#include "report/findings.h"
#include "report/format.h"
#include "report/log.h"
#include "report/report.h"
#include "report/summary_part.h"

#define FRAMES_SHOWN 6
#define FUNCTION_COLUMNS 44
#define DAMAGE_SHOWN 16
#define NAMELESS_MAX 8 /* modules named as having no names */

#define WEIGHT(field) offsetof(struct psc_site, field)

/* A figure of the summary in words. A statement may use several: each call has its own buffer. */
#define BYTES(n) (psc_format_bytes(n).s)
#define COUNT(n) (psc_format_count(n).s)

/* An estimate with its error; what is exact, as it is. */
static struct psc_text bytes_of(const struct psc_model *model, uint64_t bytes, struct psc_range range) {
    return psc_model_is_sampled(model) ? psc_format_bytes_error(bytes, psc_range_error(range))
                                       : psc_format_bytes(bytes);
}

static struct psc_text count_of(const struct psc_model *model, uint64_t count, struct psc_range range) {
    return psc_model_is_sampled(model) ? psc_format_count_error(count, psc_range_error(range))
                                       : psc_format_count(count);
}

/* ---- head ------------------------------------------------------------------------------------------------------ */

static void write_command(const struct psc_process *process, FILE *out) {
    char text[160];
    if (process->argc == 0) {
        fputs(psc_format_plain(text, sizeof(text), psc_process_name(process)), out);
        return;
    }
    size_t length = 0;
    for (size_t i = 0; i < process->argc && length < 200; i++) {
        psc_format_plain(text, sizeof(text), process->argv[i]);
        length += strlen(text) + 1;
        fprintf(out, "%s%s", i == 0 ? "" : " ", text);
    }
    fputs(length >= 200 ? " ..." : "", out);
}

static void write_head(const struct psc_model *model, FILE *out) {
    static const char *const ends[] = {[PSC_PROCESS_EXIT] = "exited after",
                                       [PSC_PROCESS_EXEC] = "became another program (exec) after",
                                       [PSC_PROCESS_KILLED] = "was killed, or ended without exit; last heard of after",
                                       [PSC_PROCESS_RUNNING] = "has been running for"};
    const struct psc_process *process = &model->process;
    write_command(process, out);
    fprintf(out, " (process %" PRIu32 ") %s %s\n", process->pid, ends[process->end],
            psc_format_duration(process->duration_ns).s);
    fprintf(out, "%s allocations of %s, %s frees", COUNT(model->totals.alloc_count),
            bytes_of(model, model->totals.alloc_bytes, model->totals.alloc_bytes_range).s,
            COUNT(model->totals.free_count));
    fprintf(out, "; live: %s in %s %s\n", bytes_of(model, model->totals.live_bytes, model->totals.live_bytes_range).s,
            COUNT(model->totals.live_count), psc_format_plural(model->totals.live_count, "block", "blocks"));
}

static void write_sampling(const struct psc_model *model, FILE *out) {
    if (psc_model_is_sampled(model)) {
        fprintf(out,
                "Sampled, every %s on average: %s %s live. Figures of sites, requested bytes and counts of\n"
                "allocations are estimates, ± is half their 95 %% interval; what the heap holds is counted.\n",
                BYTES(model->sampling.interval_bytes), COUNT(model->sampling.samples),
                psc_format_plural(model->sampling.samples, "sample is", "samples are"));
    }
}

static size_t warning_count(const struct psc_model *model) {
    size_t count = 0;
    for (size_t i = 0; i < model->note_count; i++) {
        count += model->notes[i].warning;
    }
    return count;
}

static void write_damage(const struct psc_model *model, FILE *out) {
    size_t count = warning_count(model);
    if (count != 0) {
        fprintf(out, "The trace is damaged in %zu %s (listed at the end): what follows is what could be read.\n", count,
                psc_format_plural(count, "place", "places"));
    }
}

/* ---- sites ----------------------------------------------------------------------------------------------------- */

static bool known(const char *text) {
    return text != NULL && *text != '\0';
}

/* Where a frame is: "file:line", else its module. */
static void locate(char *text, size_t size, const struct psc_frame *frame) {
    char name[200];
    text[0] = '\0';
    if (known(frame->file)) {
        psc_format_plain(name, sizeof(name), frame->file);
        snprintf(text, size, frame->line != 0 ? "%s:%" PRIu32 : "%s", name, frame->line);
    } else if (known(frame->module)) {
        psc_format_plain(name, sizeof(name), psc_format_last_part(frame->module));
        snprintf(text, size, "[%s]", name);
    }
}

static void write_frame(const struct psc_frame *frame, FILE *out) {
    char function[180], place[256];
    psc_format_plain(function, sizeof(function) - sizeof(" (inlined)"), frame->function);
    if (frame->inlined) {
        strcat(function, " (inlined)");
    }
    locate(place, sizeof(place), frame);
    if (*place == '\0') {
        fprintf(out, "        %s\n", function);
    } else if (strlen(function) <= FUNCTION_COLUMNS) {
        fprintf(out, "        %-*s %s\n", FUNCTION_COLUMNS, function, place);
    } else {
        fprintf(out, "        %s\n        %*s %s\n", function, FUNCTION_COLUMNS, "", place);
    }
}

static bool has_gap(const struct psc_site *site, size_t from) {
    for (size_t i = from; i < site->frame_count; i++) {
        if (psc_frame_is_gap(&site->frames[i])) {
            return true;
        }
    }
    return false;
}

void psc_summary_write_frames(const struct psc_site *site, FILE *out) {
    size_t skip = psc_site_skip(site);
    size_t end = skip + FRAMES_SHOWN < site->frame_count ? skip + FRAMES_SHOWN : site->frame_count;
    if (site->frame_count == 0) {
        fputs("        (unknown: no stack)\n", out);
    }
    for (size_t i = skip; i < end; i++) {
        write_frame(&site->frames[i], out);
    }
    if (site->frame_count > end) {
        bool gap = has_gap(site, end);
        fprintf(out, "        ... called through %zu more%s\n", site->frame_count - end - gap,
                gap ? ", and some that were left out" : "");
    }
}

static void write_samples(const struct psc_model *model, const struct psc_site *site, FILE *out) {
    if (psc_model_is_sampled(model)) {
        fprintf(out, ", from %s %s", COUNT(site->tagged_count),
                psc_format_plural(site->tagged_count, "sample", "samples"));
    }
}

static void write_live_site(const struct psc_model *model, const struct psc_site *site, FILE *out) {
    fprintf(out, "%s (%s) in %s %s", bytes_of(model, site->live_bytes, site->live_bytes_range).s,
            psc_format_share(site->live_bytes, model->totals.live_bytes).s,
            count_of(model, site->live_count, site->live_count_range).s,
            psc_format_plural(site->live_count, "block", "blocks"));
    write_samples(model, site, out);
    fprintf(out, "; %s allocated", COUNT(site->alloc_count));
    if (site->temporary_count != 0) {
        fprintf(out, ", %s freed at once", COUNT(site->temporary_count));
    }
    fputc('\n', out);
}

static void write_peak_site(const struct psc_model *model, const struct psc_site *site, FILE *out) {
    fprintf(out, "%s (%s) in %s %s; %s live now\n", BYTES(site->peak_live_bytes),
            psc_format_share(site->peak_live_bytes, model->totals.peak_live_bytes).s, COUNT(site->peak_live_count),
            psc_format_plural(site->peak_live_count, "block", "blocks"),
            bytes_of(model, site->live_bytes, site->live_bytes_range).s);
}

/* Of the pools that a site keeps, those with a sample are known, and no others. */
static void write_pinned_estimate(const struct psc_model *model, const struct psc_site *site, FILE *out) {
    fprintf(out, "%s (%s)", bytes_of(model, site->pinned_bytes, site->pinned_bytes_range).s,
            psc_format_share(site->pinned_bytes, model->fragmentation.pinned_bytes).s);
    write_samples(model, site, out);
    fprintf(out, ", of which %s in %s %s (%s)\n", COUNT(site->pinning_blocks), COUNT(site->pinned_pools),
            psc_format_plural(site->pinned_pools, "pool", "pools"), BYTES(site->pinned_pools_bytes));
}

/* Over the run. */
static uint64_t average_pinned(const struct psc_model *model, const struct psc_site *site) {
    uint64_t ns = model->process.duration_ns;
    return ns == 0 ? site->pinned_bytes : psc_estimate_round(site->pinned_byte_ns / (double)ns);
}

static void write_pinned_site(const struct psc_model *model, const struct psc_site *site, FILE *out) {
    if (psc_model_is_sampled(model)) {
        write_pinned_estimate(model, site, out);
        return;
    }
    fprintf(out, "%s (%s): keeps %s %s (%s) from going back with %s %s (%s)\n", BYTES(site->pinned_bytes),
            psc_format_share(site->pinned_bytes, model->fragmentation.pinned_bytes).s, COUNT(site->pinned_pools),
            psc_format_plural(site->pinned_pools, "pool", "pools"), BYTES(site->pinned_pools_bytes),
            COUNT(site->pinning_blocks), psc_format_plural(site->pinning_blocks, "block", "blocks"),
            BYTES(site->pinning_bytes));
    fprintf(out, "        alone in %s of them (%s pinned)", COUNT(site->sole_pools), BYTES(site->sole_bytes));
    if (site->id != PSC_SITE_UNKNOWN) {
        fprintf(out, "; pools of its own would take %s and give %s back", BYTES(site->apart_bytes),
                BYTES(site->saving_bytes));
    }
    fputc('\n', out);
    if (model->walks.has_window) {
        fprintf(out, "        %s of it are lasting; ", BYTES(site->lasting_bytes));
    } else {
        fputs("        ", out);
    }
    fprintf(out, "over the run %s on average\n", BYTES(average_pinned(model, site)));
    fprintf(out, "        its share of what is free in pages %s, arenas %s, 2 MiB ranges %s\n",
            BYTES(site->pinned_page_bytes), BYTES(site->pinned_arena_bytes), BYTES(site->pinned_huge_bytes));
}

static void write_worst_site(const struct psc_model *model, const struct psc_site *site, FILE *out) {
    fprintf(out, "%s (%s); %s %s, %s on average\n", BYTES(site->worst_pinned_bytes),
            psc_format_share(site->worst_pinned_bytes, model->walks.worst_bytes).s, BYTES(site->pinned_bytes),
            model->process.end == PSC_PROCESS_RUNNING ? "now" : "at the end", BYTES(average_pinned(model, site)));
}

/* One list of the summary. */
struct list {
    const char *title;
    const uint32_t *ids;
    size_t count;
    size_t weight;  /* where in a site the figure lies by which they are ordered */
    uint64_t whole; /* what those figures add up to */
    void (*write_line)(const struct psc_model *, const struct psc_site *, FILE *);
    uint64_t not_sampled; /* part of `whole` that is in no site */
};

static uint64_t weight_of(const struct psc_model *model, const struct list *list, size_t rank) {
    uint64_t weight;
    memcpy(&weight, (const char *)&model->sites[list->ids[rank]] + list->weight, sizeof(weight));
    return weight;
}

/* How many are shown: see psc_summary_write. */
static size_t shown_of(const struct list *list, size_t top) {
    size_t most = top != 0 ? top : PSC_REPORT_TOP;
    return list->count < most ? list->count : most;
}

static void write_others(const struct psc_model *model, const struct list *list, size_t shown, FILE *out) {
    uint64_t bytes = 0;
    size_t others = list->count - shown;
    for (size_t i = shown; i < list->count; i++) {
        bytes += weight_of(model, list, i);
    }
    if (others != 0) {
        fprintf(out, "      %s (%s) at %s more %s\n", BYTES(bytes), psc_format_share(bytes, list->whole).s,
                COUNT(others), psc_format_plural(others, "site", "sites"));
    }
    if (list->not_sampled != 0) {
        fprintf(out, "      %s (%s) (not sampled)\n", BYTES(list->not_sampled),
                psc_format_share(list->not_sampled, list->whole).s);
    }
}

static void write_list(const struct psc_model *model, const struct list *list, size_t top, FILE *out) {
    size_t shown = shown_of(list, top);
    if (shown == 0 && list->not_sampled == 0) {
        return;
    }
    fprintf(out, "\n%s\n", list->title);
    for (size_t i = 0; i < shown; i++) {
        const struct psc_site *site = &model->sites[list->ids[i]];
        fprintf(out, "  %2zu. ", i + 1);
        list->write_line(model, site, out);
        psc_summary_write_frames(site, out);
    }
    write_others(model, list, shown, out);
}

/* ---- modules without names ------------------------------------------------------------------------------------- */

/* True of a frame that is told as module+offset. */
static bool is_nameless(const struct psc_frame *frame) {
    const char *name = known(frame->module) ? psc_format_last_part(frame->module) : NULL;
    return name != NULL && strncmp(frame->function, name, strlen(name)) == 0 &&
           strncmp(frame->function + strlen(name), "+0x", 3) == 0;
}

static bool is_among(const char *const *names, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static size_t add_nameless(const struct psc_site *site, const char **modules, size_t count) {
    size_t end = psc_site_skip(site) + FRAMES_SHOWN;
    for (size_t i = 0; i < end && i < site->frame_count; i++) {
        const struct psc_frame *frame = &site->frames[i];
        if (is_nameless(frame) && count < NAMELESS_MAX && !is_among(modules, count, frame->module)) {
            modules[count++] = frame->module;
        }
    }
    return count;
}

/* Says which programs and libraries gave no names to the frames that were shown, and what would. */
static void write_nameless(const struct psc_model *model, size_t top, FILE *out) {
    const char *modules[NAMELESS_MAX];
    char text[256];
    size_t count = 0;
    for (size_t i = 0; i < top; i++) {
        count = i < model->by_live_count ? add_nameless(&model->sites[model->by_live[i]], modules, count) : count;
        count = i < model->by_pinned_count ? add_nameless(&model->sites[model->by_pinned[i]], modules, count) : count;
        count = i < model->by_peak_count ? add_nameless(&model->sites[model->by_peak[i]], modules, count) : count;
    }
    for (size_t i = 0; i < count; i++) {
        psc_format_plain(text, sizeof(text), psc_format_last_part(modules[i]));
        fprintf(out, "%s%s", i == 0 ? "\nNo function names for all of: " : ", ", text);
    }
    if (count != 0) {
        fputs("\n  Their debug symbols give them: a package such as NAME-dbgsym, or DEBUGINFOD_URLS.\n", out);
    }
}

/* ---- notes ----------------------------------------------------------------------------------------------------- */

/* Damage comes first in the list; of much damage, the first places tell enough. */
static void write_notes(const struct psc_model *model, FILE *out) {
    char text[1200];
    size_t damaged = 0;
    if (model->note_count != 0) {
        fputs("\nNotes\n", out);
    }
    for (size_t i = 0; i < model->note_count; i++) {
        const struct psc_note *note = &model->notes[i];
        damaged += note->warning;
        if (!note->warning || damaged <= DAMAGE_SHOWN) {
            fprintf(out, "  %s%s\n", note->warning ? "damaged: " : "",
                    psc_format_plain(text, sizeof(text), note->text));
        }
    }
    if (damaged > DAMAGE_SHOWN) {
        fprintf(out, "  %zu more damaged places are told by --format=json\n", damaged - DAMAGE_SHOWN);
    }
}

/* Where most of the peak is gone, what is live now does not tell of it. */
static bool peak_has_passed(const struct psc_model *model) {
    return model->totals.live_bytes < model->totals.peak_live_bytes / 2;
}

/* Where most of it has gone back since, what is pinned now does not tell of it. */
static bool worst_has_passed(const struct psc_model *model) {
    const struct psc_walks *walks = &model->walks;
    return walks->worst_bytes >= PSC_FINDING_LEAST_BYTES &&
           model->fragmentation.pinned_bytes < walks->worst_bytes / 2 && model->process.duration_ns != 0;
}

static void write_worst(const struct psc_model *model, size_t top, FILE *out) {
    char title[128];
    snprintf(title, sizeof(title), "Sites that pinned most when it was worst, after %s",
             psc_format_duration(model->walks.worst_ns).s);
    const struct list worst = {title,
                               model->by_worst,
                               model->by_worst_count,
                               WEIGHT(worst_pinned_bytes),
                               model->walks.worst_bytes,
                               write_worst_site,
                               0};
    write_list(model, &worst, top, out);
}

static void write_all_sites(const struct psc_model *model, size_t top, FILE *out) {
    const struct psc_totals *totals = &model->totals;
    const struct psc_not_sampled *rest = &model->not_sampled;
    const struct list live = {"Sites with most live bytes", model->by_live,  model->by_live_count, WEIGHT(live_bytes),
                              totals->live_bytes,           write_live_site, rest->live_bytes};
    const struct list pinned = {"Sites that pin most: memory held for their blocks, of which they use little",
                                model->by_pinned,
                                model->by_pinned_count,
                                WEIGHT(pinned_bytes),
                                model->fragmentation.pinned_bytes,
                                write_pinned_site,
                                rest->pinned_bytes};
    const struct list peak = {"Sites with most live bytes at the peak",
                              model->by_peak,
                              model->by_peak_count,
                              WEIGHT(peak_live_bytes),
                              totals->peak_live_bytes,
                              write_peak_site,
                              0};
    write_list(model, &live, top, out);
    write_list(model, &pinned, top, out);
    if (peak_has_passed(model)) {
        write_list(model, &peak, top, out);
    }
    if (worst_has_passed(model)) {
        write_worst(model, top, out);
    }
}

void psc_summary_write(struct psc_model *model, FILE *out, size_t top) {
    psc_model_symbolize_top(model, top != 0 ? top : PSC_REPORT_TOP);
    write_head(model, out);
    write_sampling(model, out);
    write_damage(model, out);
    if ((model->process.flags & PSC_TRACE_PASSIVE) == 0) {
        psc_summary_memory(model, out);
        psc_findings_write(model, out);
        psc_summary_classes(model, out);
        write_all_sites(model, top, out);
        write_nameless(model, top != 0 ? top : PSC_REPORT_TOP, out);
    }
    psc_log_write_note(model, out);
    write_notes(model, out);
}
