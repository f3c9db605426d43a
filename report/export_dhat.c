/* export --to=dhat: the JSON of valgrind's DHAT, version 2, for its viewer dh_view.html. All times are on the allocation
 * clock, in bytes. The viewer wants each stack once, so stacks have all of their frames. */
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/emit.h"
#include "report/export_part.h"
#include "report/intern.h"

#define FILE_VERSION 2

/* Blocks that live shorter are short-lived to the viewer: about what a program allocates in a moment. */
#define SHORT_LIFETIME_BYTES 4096

struct dhat {
    struct psc_emit emit;
    struct psc_intern labels; /* number 0 is the root */
    uint64_t end_clock;
};

/* Sums over the sites that have one stack: in a damaged trace these may be several. */
struct point {
    uint64_t total_bytes, total_blocks;
    uint64_t peak_bytes, peak_blocks;
    uint64_t end_bytes, end_blocks;
    double lifetimes;
};

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void add_site(struct point *point, const struct psc_site *site) {
    point->total_bytes += site->alloc_bytes;
    point->total_blocks += site->alloc_count;
    point->peak_bytes += site->peak_live_bytes;
    point->peak_blocks += site->peak_live_count;
    point->end_bytes += site->live_bytes;
    point->end_blocks += site->live_count;
    point->lifetimes += site->lifetime_sum;
}

/* No block lives longer than the process. */
static uint64_t lifetimes_of(const struct dhat *dhat, const struct point *point) {
    double most = (double)point->total_blocks * (double)dhat->end_clock;
    double sum = point->lifetimes < most ? point->lifetimes : most;
    return sum < 0x1p63 ? (uint64_t)sum : (uint64_t)1 << 63;
}

/* The largest that the point had itself is not known: that at the peak of all or at the end is the least it can be. */
static void write_figures(struct dhat *dhat, const struct point *point) {
    struct psc_emit *emit = &dhat->emit;
    psc_emit_number(emit, "tb", point->total_bytes);
    psc_emit_number(emit, "tbk", point->total_blocks);
    psc_emit_number(emit, "tl", lifetimes_of(dhat, point));
    psc_emit_number(emit, "mb", larger(point->peak_bytes, point->end_bytes));
    psc_emit_number(emit, "mbk", larger(point->peak_blocks, point->end_blocks));
    psc_emit_number(emit, "gb", point->peak_bytes);
    psc_emit_number(emit, "gbk", point->peak_blocks);
    psc_emit_number(emit, "eb", point->end_bytes);
    psc_emit_number(emit, "ebk", point->end_blocks);
}

static uint32_t label_of(struct dhat *dhat, const struct psc_frame *frame) {
    char label[PSC_EXPORT_LABEL_BYTES];
    psc_export_label(label, frame);
    return psc_intern_number(&dhat->labels, label, strlen(label) + 1);
}

static void write_frames(struct dhat *dhat, const struct psc_frame *frames, size_t count) {
    psc_emit_open(&dhat->emit, "fs", '[');
    for (size_t i = 0; i < count; i++) {
        psc_emit_number(&dhat->emit, NULL, label_of(dhat, &frames[i]));
    }
    psc_emit_close(&dhat->emit, '[');
}

static void write_point(struct dhat *dhat, const struct point *point, const struct psc_frame *frames, size_t count) {
    psc_emit_open(&dhat->emit, NULL, '{');
    write_figures(dhat, point);
    write_frames(dhat, frames, count);
    psc_emit_close(&dhat->emit, '{');
}

static void write_site(struct dhat *dhat, struct psc_model *model, struct psc_site *site, const struct point *point) {
    static const struct psc_frame unknown = {.function = "(unknown)"};
    psc_model_symbolize(model, site);
    bool known = site->frame_count != 0;
    write_point(dhat, point, known ? site->frames : &unknown, known ? site->frame_count : 1);
    psc_model_forget_frames(site);
}

static void write_not_sampled(struct dhat *dhat, const struct psc_not_sampled *rest) {
    static const struct psc_frame not_sampled = {.function = "(not sampled)"};
    /* they are live, so they were allocated: a point's blocks at the end are among its total */
    struct point point = {.total_bytes = rest->live_bytes,
                          .total_blocks = rest->live_count,
                          .end_bytes = rest->live_bytes,
                          .end_blocks = rest->live_count};
    if ((rest->live_bytes | rest->live_count) != 0) {
        write_point(dhat, &point, &not_sampled, 1);
    }
}

static void write_points(struct dhat *dhat, struct psc_model *model) {
    size_t count;
    struct psc_export_path *paths = psc_export_paths(model, PSC_EXPORT_ALLOC_COUNT, false, &count);
    psc_emit_open(&dhat->emit, "pps", '[');
    for (size_t i = 0; i < count && !ferror(dhat->emit.out);) {
        struct point point = {0};
        size_t first = i;
        do {
            add_site(&point, paths[i++].site);
        } while (i < count && psc_export_same(&paths[first], &paths[i]));
        write_site(dhat, model, paths[first].site, &point);
    }
    write_not_sampled(dhat, &model->not_sampled);
    psc_emit_close(&dhat->emit, '[');
    free(paths);
}

static void write_labels(struct dhat *dhat) {
    psc_emit_open(&dhat->emit, "ftbl", '[');
    for (size_t i = 0; i < dhat->labels.count; i++) {
        psc_emit_text(&dhat->emit, NULL, dhat->labels.bytes + dhat->labels.entries[i].at);
    }
    psc_emit_close(&dhat->emit, '[');
}

static void write_head(struct dhat *dhat, const struct psc_model *model) {
    struct psc_emit *emit = &dhat->emit;
    char *command = psc_export_command(&model->process);
    psc_emit_number(emit, "dhatFileVersion", FILE_VERSION);
    psc_emit_text(emit, "mode", "heap");
    psc_emit_text(emit, "verb", "Allocated");
    psc_emit_bool(emit, "bklt", true);
    psc_emit_bool(emit, "bkacc", false);
    psc_emit_text(emit, "tu", "bytes allocated");
    psc_emit_text(emit, "Mtu", "MB allocated");
    psc_emit_number(emit, "tuth", SHORT_LIFETIME_BYTES);
    psc_emit_text(emit, "cmd", *command != '\0' ? command : psc_process_name(&model->process));
    psc_emit_number(emit, "pid", model->process.pid);
    psc_emit_number(emit, "te", dhat->end_clock);
    psc_emit_number(emit, "tg", model->totals.peak_clock_bytes);
    free(command);
}

bool psc_export_dhat(struct psc_model *model, const struct psc_export_options *options, FILE *out) {
    (void)options;
    struct dhat dhat = {.end_clock = model->totals.clock_bytes};
    label_of(&dhat, &(struct psc_frame){.function = "[root]"});
    psc_emit_init(&dhat.emit, out, 2);
    psc_emit_open(&dhat.emit, NULL, '{');
    write_head(&dhat, model);
    write_points(&dhat, model);
    write_labels(&dhat);
    psc_emit_close(&dhat.emit, '{');
    psc_intern_release(&dhat.labels);
    return !ferror(out);
}
