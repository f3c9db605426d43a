/* diff --format=json. Keys are a contract: they may be added to, never renamed. */
#include <stdio.h>

#include "report/diff.h"
#include "report/emit.h"
#include "report/report.h"

/* "live_bytes_old" of "live_bytes" and "old". */
struct key {
    char s[64];
};

static struct key key_of(const char *figure, const char *what) {
    struct key key;
    snprintf(key.s, sizeof(key.s), "%s_%s", figure, what);
    return key;
}

static void emit_pair(struct psc_emit *emit, const char *figure, uint64_t old, uint64_t new) {
    psc_emit_number(emit, key_of(figure, "old").s, old);
    psc_emit_number(emit, key_of(figure, "new").s, new);
}

static void emit_change(struct psc_emit *emit, const char *figure, uint64_t old, uint64_t new) {
    emit_pair(emit, figure, old, new);
    psc_emit_difference(emit, key_of(figure, "change").s, old, new);
}

static void emit_side(struct psc_emit *emit, const char *key, const struct psc_model *model) {
    psc_emit_open(emit, key, '{');
    psc_emit_text(emit, "trace", model->path);
    psc_emit_number(emit, "pid", model->process.pid);
    psc_emit_text(emit, "exe", model->process.exe);
    psc_emit_text(emit, "end", psc_process_end_name(model->process.end));
    psc_emit_number(emit, "duration_ns", model->process.duration_ns);
    psc_emit_text(emit, "mode", psc_report_mode_name(model->sampling.mode));
    psc_emit_number(emit, "interval_bytes", model->sampling.interval_bytes);
    psc_emit_close(emit, '{');
}

static void emit_totals(struct psc_emit *emit, const struct psc_diff *diff) {
    psc_emit_open(emit, "totals", '{');
    for (size_t i = 0; i < diff->total_count; i++) {
        const struct psc_diff_total *total = &diff->totals[i];
        const struct psc_diff_value *old = &total->sides[PSC_DIFF_OLD], *new = &total->sides[PSC_DIFF_NEW];
        struct psc_diff_change change = psc_diff_change_of(old, new);
        emit_change(emit, total->key, old->bytes, new->bytes);
        if (total->estimated) {
            psc_emit_number(emit, key_of(total->key, "change_error").s, change.error);
        }
    }
    psc_emit_close(emit, '{');
}

static void emit_class(struct psc_emit *emit, const struct psc_diff_class *class) {
    const struct psc_class *old = class->sides[PSC_DIFF_OLD], *new = class->sides[PSC_DIFF_NEW];
    psc_emit_open(emit, NULL, '{');
    psc_emit_number(emit, "block_bytes", class->block_bytes);
    psc_emit_bool(emit, "large", class->large);
    emit_pair(emit, "pools", old->pools, new->pools);
    emit_pair(emit, "live_blocks", old->live_blocks, new->live_blocks);
    emit_pair(emit, "live_requested_bytes", old->live_requested_bytes, new->live_requested_bytes);
    emit_pair(emit, "committed_bytes", old->committed_bytes, new->committed_bytes);
    emit_pair(emit, "pinned_bytes", old->pinned_bytes, new->pinned_bytes);
    psc_emit_difference(emit, "change", old->committed_bytes, new->committed_bytes);
    psc_emit_close(emit, '{');
}

static const char *state_of(const struct psc_diff_site *site) {
    return site->merged[PSC_DIFF_OLD] == 0 ? "new" : site->merged[PSC_DIFF_NEW] == 0 ? "gone" : "both";
}

static void emit_figure(struct psc_emit *emit, const struct psc_diff_site *site, enum psc_diff_figure figure) {
    const struct psc_diff_value *old = &site->values[PSC_DIFF_OLD][figure], *new = &site->values[PSC_DIFF_NEW][figure];
    struct psc_diff_change change = psc_diff_change_of(old, new);
    const char *bytes = psc_diff_bytes_key(figure);
    emit_change(emit, bytes, old->bytes, new->bytes);
    if (figure != PSC_DIFF_PEAK) { /* whose error is not known */
        psc_emit_number(emit, key_of(bytes, "change_error").s, change.error);
        psc_emit_bool(emit, key_of(bytes, "within_error").s, change.within);
    }
    emit_pair(emit, psc_diff_count_key(figure), old->count, new->count);
}

static void emit_site(struct psc_emit *emit, const struct psc_diff *diff, const struct psc_diff_site *site) {
    const struct psc_diff_value *old = &site->values[PSC_DIFF_OLD][diff->by];
    const struct psc_diff_value *new = &site->values[PSC_DIFF_NEW][diff->by];
    struct psc_diff_change change = psc_diff_change_of(old, new);
    psc_emit_open(emit, NULL, '{');
    psc_emit_text(emit, "state", state_of(site));
    psc_emit_difference(emit, "change", old->bytes, new->bytes);
    psc_emit_number(emit, "change_error", change.error);
    psc_emit_bool(emit, "within_error", change.within);
    for (enum psc_diff_figure figure = 0; figure < PSC_DIFF_FIGURES; figure++) {
        emit_figure(emit, site, figure);
    }
    emit_pair(emit, "sites", site->merged[PSC_DIFF_OLD], site->merged[PSC_DIFF_NEW]);
    struct psc_site *shown = psc_diff_site_frames(diff, site);
    psc_json_emit_frames(emit, shown);
    psc_model_forget_frames(shown);
    psc_emit_close(emit, '{');
}

static void add_site(struct psc_diff_site *sum, const struct psc_diff_site *site) {
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        for (enum psc_diff_figure figure = 0; figure < PSC_DIFF_FIGURES; figure++) {
            sum->values[side][figure].bytes += site->values[side][figure].bytes;
            sum->values[side][figure].count += site->values[side][figure].count;
        }
    }
}

static void emit_rest(struct psc_emit *emit, const struct psc_diff_site *sum, size_t count) {
    psc_emit_open(emit, "sites_left_out", '{');
    psc_emit_number(emit, "count", count);
    for (enum psc_diff_figure figure = 0; figure < PSC_DIFF_FIGURES; figure++) {
        const struct psc_diff_value *old = &sum->values[PSC_DIFF_OLD][figure];
        const struct psc_diff_value *new = &sum->values[PSC_DIFF_NEW][figure];
        emit_pair(emit, psc_diff_bytes_key(figure), old->bytes, new->bytes);
        emit_pair(emit, psc_diff_count_key(figure), old->count, new->count);
    }
    psc_emit_close(emit, '{');
}

/* Sites of which nothing changed are summed up with those beyond the first `top`: so all add up to the totals. */
static void emit_sites(struct psc_emit *emit, const struct psc_diff *diff, size_t top) {
    struct psc_diff_site rest = {.merged = {0}};
    size_t written = 0;
    psc_emit_open(emit, "sites", '[');
    for (size_t i = 0; i < diff->site_count; i++) {
        if (psc_diff_site_changed(&diff->sites[i]) && (top == 0 || written < top)) {
            emit_site(emit, diff, &diff->sites[i]);
            written++;
        } else {
            add_site(&rest, &diff->sites[i]);
        }
    }
    psc_emit_close(emit, '[');
    emit_rest(emit, &rest, diff->site_count - written);
}

static void emit_not_sampled(struct psc_emit *emit, const struct psc_diff *diff) {
    const struct psc_not_sampled *old = &diff->models[PSC_DIFF_OLD]->not_sampled;
    const struct psc_not_sampled *new = &diff->models[PSC_DIFF_NEW]->not_sampled;
    psc_emit_open(emit, "not_sampled", '{');
    emit_pair(emit, "live_count", old->live_count, new->live_count);
    emit_pair(emit, "live_bytes", old->live_bytes, new->live_bytes);
    emit_pair(emit, "pinned_bytes", old->pinned_bytes, new->pinned_bytes);
    psc_emit_close(emit, '{');
}

void psc_diff_write_json(const struct psc_diff *diff, FILE *out, size_t top) {
    struct psc_emit emit;
    psc_emit_init(&emit, out, 2);
    psc_emit_open(&emit, NULL, '{');
    psc_emit_number(&emit, "schema", PSC_DIFF_SCHEMA);
    psc_emit_text(&emit, "by", psc_diff_figure_name(diff->by));
    emit_side(&emit, "old", diff->models[PSC_DIFF_OLD]);
    emit_side(&emit, "new", diff->models[PSC_DIFF_NEW]);
    emit_totals(&emit, diff);
    psc_emit_open(&emit, "classes", '[');
    for (size_t i = 0; i < diff->class_count; i++) {
        emit_class(&emit, &diff->classes[i]);
    }
    psc_emit_close(&emit, '[');
    emit_sites(&emit, diff, top);
    emit_not_sampled(&emit, diff);
    psc_emit_open(&emit, "warnings", '[');
    for (size_t i = 0; i < diff->warning_count; i++) {
        psc_emit_text(&emit, NULL, diff->warnings[i]);
    }
    psc_emit_close(&emit, '[');
    psc_emit_close(&emit, '{');
}
