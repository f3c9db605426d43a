/* report --format=json. Keys are a contract: they may be added to, never renamed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/emit.h"
#include "report/findings.h"
#include "report/progress.h"
#include "report/report.h"
#include "report/rss.h"

/* Rows of the tables below: a key and where its figure lies. */
struct field {
    const char *key;
    size_t offset;
};

#define FIELD(type, name)                                                                                              \
    { #name, offsetof(struct type, name) }

static const struct field total_fields[] = {
    FIELD(psc_totals, alloc_count),     FIELD(psc_totals, free_count),        FIELD(psc_totals, alloc_bytes),
    FIELD(psc_totals, free_bytes),      FIELD(psc_totals, live_count),        FIELD(psc_totals, live_bytes),
    FIELD(psc_totals, peak_live_bytes), FIELD(psc_totals, committed_bytes),   FIELD(psc_totals, peak_committed_bytes),
    FIELD(psc_totals, rss_bytes),       FIELD(psc_totals, peak_rss_bytes),    FIELD(psc_totals, clock_bytes),
    FIELD(psc_totals, dropped_events),  FIELD(psc_totals, unrecorded_frees),  FIELD(psc_totals, misuse_count),
    FIELD(psc_totals, recorded_blocks), FIELD(psc_totals, unrecorded_blocks), FIELD(psc_totals, tracker_bytes),
    FIELD(psc_totals, snapshot_ns),
};

static const struct field fragmentation_fields[] = {
    FIELD(psc_fragmentation, committed_bytes),  FIELD(psc_fragmentation, live_requested_bytes),
    FIELD(psc_fragmentation, live_block_bytes), FIELD(psc_fragmentation, internal_bytes),
    FIELD(psc_fragmentation, external_bytes),   FIELD(psc_fragmentation, free_blocks_bytes),
    FIELD(psc_fragmentation, tail_bytes),       FIELD(psc_fragmentation, empty_pools_bytes),
    FIELD(psc_fragmentation, cached_bytes),     FIELD(psc_fragmentation, metadata_bytes),
    FIELD(psc_fragmentation, pinned_bytes),     FIELD(psc_fragmentation, large_bytes),
};

static const struct field class_fields[] = {
    FIELD(psc_class, pools),
    FIELD(psc_class, empty_pools),
    FIELD(psc_class, live_blocks),
    FIELD(psc_class, capacity_blocks),
    FIELD(psc_class, committed_bytes),
    FIELD(psc_class, live_block_bytes),
    FIELD(psc_class, live_requested_bytes),
    FIELD(psc_class, pinned_bytes),
    FIELD(psc_class, alloc_count),
    FIELD(psc_class, free_count),
};

static const struct field site_fields[] = {
    FIELD(psc_site, alloc_count),     FIELD(psc_site, alloc_bytes),     FIELD(psc_site, free_count),
    FIELD(psc_site, live_count),      FIELD(psc_site, live_bytes),      FIELD(psc_site, peak_live_count),
    FIELD(psc_site, peak_live_bytes), FIELD(psc_site, pinned_bytes),    FIELD(psc_site, pinned_pools),
    FIELD(psc_site, pinning_blocks),  FIELD(psc_site, temporary_count),
};

/* Of exact traces: who keeps what from going back, and what moving it would give. */
static const struct field blame_fields[] = {
    FIELD(psc_site, pinned_page_bytes), FIELD(psc_site, pinned_arena_bytes), FIELD(psc_site, pinned_huge_bytes),
    FIELD(psc_site, sole_pools),        FIELD(psc_site, sole_bytes),         FIELD(psc_site, pinning_bytes),
    FIELD(psc_site, apart_bytes),       FIELD(psc_site, saving_bytes),       FIELD(psc_site, internal_bytes),
    FIELD(psc_site, lasting_bytes),     FIELD(psc_site, worst_pinned_bytes),
};

static const struct field blame_sum_fields[] = {
    FIELD(psc_site, pinned_page_bytes),
    FIELD(psc_site, pinned_arena_bytes),
    FIELD(psc_site, pinned_huge_bytes),
    FIELD(psc_site, internal_bytes),
};

static const struct field unit_fields[] = {
    FIELD(psc_fragmentation, pinned_page_bytes),
    FIELD(psc_fragmentation, pinned_arena_bytes),
    FIELD(psc_fragmentation, pinned_huge_bytes),
    FIELD(psc_fragmentation, lasting_bytes),
};

/* Of a site, what adds up: a pool may be pinned by several sites. */
static const struct field sum_fields[] = {
    FIELD(psc_site, alloc_count),     FIELD(psc_site, alloc_bytes),  FIELD(psc_site, free_count),
    FIELD(psc_site, live_count),      FIELD(psc_site, live_bytes),   FIELD(psc_site, peak_live_count),
    FIELD(psc_site, peak_live_bytes), FIELD(psc_site, pinned_bytes), FIELD(psc_site, temporary_count),
};

static const struct field snapshot_fields[] = {
    FIELD(psc_wire_snapshot, time_ns),     FIELD(psc_wire_snapshot, clock_bytes),
    FIELD(psc_wire_snapshot, live_bytes),  FIELD(psc_wire_snapshot, live_blocks),
    FIELD(psc_wire_snapshot, block_bytes), FIELD(psc_wire_snapshot, committed_bytes),
    FIELD(psc_wire_snapshot, rss_bytes),   FIELD(psc_wire_snapshot, pinned_bytes),
    FIELD(psc_wire_snapshot, empty_bytes), FIELD(psc_wire_snapshot, cached_bytes),
    FIELD(psc_wire_snapshot, large_bytes),
};

static uint64_t number_at(const void *record, const struct field *field) {
    uint64_t value;
    memcpy(&value, (const char *)record + field->offset, sizeof(value));
    return value;
}

static void emit_fields(struct psc_emit *emit, const void *record, const struct field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        psc_emit_number(emit, fields[i].key, number_at(record, &fields[i]));
    }
}

#define EMIT_FIELDS(emit, record, fields) emit_fields((emit), (record), (fields), PSC_COUNT_OF(fields))

static void emit_nulls(struct psc_emit *emit, const struct field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        psc_emit_null(emit, fields[i].key);
    }
}

/* Figures that are not known of a sampled trace. */
#define EMIT_EXACT(emit, model, record, fields)                                                                        \
    (psc_model_is_sampled(model) ? emit_nulls((emit), (fields), PSC_COUNT_OF(fields))                                  \
                                 : emit_fields((emit), (record), (fields), PSC_COUNT_OF(fields)))

/* NAN: not known. */
static void emit_real_or_null(struct psc_emit *emit, const char *key, double value) {
    if (isnan(value)) {
        psc_emit_null(emit, key);
    } else {
        psc_emit_real(emit, key, value);
    }
}

static void emit_flag(struct psc_emit *emit, const char *key, uint32_t flags, uint32_t flag) {
    psc_emit_bool(emit, key, (flags & flag) != 0);
}

static void emit_process(struct psc_emit *emit, const struct psc_process *process) {
    psc_emit_open(emit, "process", '{');
    psc_emit_number(emit, "pid", process->pid);
    psc_emit_number(emit, "ppid", process->ppid);
    psc_emit_text(emit, "exe", process->exe);
    psc_emit_open(emit, "argv", '[');
    for (size_t i = 0; i < process->argc; i++) {
        psc_emit_text(emit, NULL, process->argv[i]);
    }
    psc_emit_close(emit, '[');
    psc_emit_number(emit, "duration_ns", process->duration_ns);
    psc_emit_text(emit, "end", psc_process_end_name(process->end));
    psc_emit_number(emit, "start_realtime_ns", process->start_realtime_ns);
    emit_flag(emit, "passive", process->flags, PSC_TRACE_PASSIVE);
    emit_flag(emit, "forked", process->flags, PSC_TRACE_FORKED);
    emit_flag(emit, "stopped", process->flags, PSC_TRACE_STOPPED);
    psc_emit_close(emit, '{');
}

static void emit_sampling(struct psc_emit *emit, const struct psc_sampling *sampling) {
    psc_emit_open(emit, "sampling", '{');
    psc_emit_text(emit, "mode", psc_report_mode_name(sampling->mode));
    psc_emit_number(emit, "interval_bytes", sampling->interval_bytes);
    if (sampling->mode == PSC_MODE_SAMPLE) {
        psc_emit_number(emit, "samples", sampling->samples);
        psc_emit_bool(emit, "calibrated", sampling->calibrated);
        psc_emit_number(emit, "snapshot_age_ns", sampling->snapshot_age_ns);
    }
    psc_emit_close(emit, '{');
}

static void emit_class(struct psc_emit *emit, const struct psc_class *class, bool large) {
    psc_emit_open(emit, NULL, '{');
    psc_emit_number(emit, "block_bytes", class->block_bytes);
    psc_emit_bool(emit, "large", large);
    EMIT_FIELDS(emit, class, class_fields);
    double capacity = (double)class->capacity_blocks;
    psc_emit_real(emit, "occupancy", capacity > 0 ? (double)class->live_blocks / capacity : 0);
    psc_emit_close(emit, '{');
}

/* Classes that were used, smallest block first, large blocks last (block_bytes 0: each has its own size). */
static void emit_classes(struct psc_emit *emit, const struct psc_model *model) {
    psc_emit_open(emit, "classes", '[');
    for (uint32_t i = 0; i < PSC_CLASSES_MAX; i++) {
        const struct psc_class *class = &model->classes[i];
        if ((class->pools | class->alloc_count) != 0) {
            emit_class(emit, class, i == PSC_CLASS_LARGE);
        }
    }
    psc_emit_close(emit, '[');
}

static void emit_known(struct psc_emit *emit, const char *key, const char *text) {
    psc_emit_text(emit, key, text != NULL && *text != '\0' ? text : NULL);
}

void psc_json_emit_frames(struct psc_emit *emit, const struct psc_site *site) {
    psc_emit_open(emit, "frames", '[');
    for (size_t i = 0; i < site->frame_count; i++) {
        const struct psc_frame *frame = &site->frames[i];
        psc_emit_open(emit, NULL, '{');
        psc_emit_text(emit, "function", frame->function);
        emit_known(emit, "file", frame->file);
        psc_emit_number(emit, "line", frame->line);
        emit_known(emit, "module", frame->module);
        psc_emit_number(emit, "address", frame->address);
        psc_emit_bool(emit, "inlined", frame->inlined);
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '[');
}

static void emit_lifetime(struct psc_emit *emit, const char *key, uint64_t bytes) {
    if (bytes == PSC_LIFETIME_UNKNOWN) {
        psc_emit_null(emit, key);
    } else {
        psc_emit_number(emit, key, bytes);
    }
}

/* All 0 wide where every allocation is recorded. */
static void emit_ranges(struct psc_emit *emit, const struct psc_site *site) {
    psc_emit_number(emit, "samples", site->tagged_count);
    psc_emit_number(emit, "live_bytes_error", psc_range_error(site->live_bytes_range));
    psc_emit_number(emit, "live_bytes_low", site->live_bytes_range.low);
    psc_emit_number(emit, "live_bytes_high", site->live_bytes_range.high);
    psc_emit_number(emit, "live_count_error", psc_range_error(site->live_count_range));
    psc_emit_number(emit, "alloc_bytes_error", psc_range_error(site->alloc_bytes_range));
    psc_emit_number(emit, "pinned_bytes_error", psc_range_error(site->pinned_bytes_range));
}

static void emit_site(struct psc_emit *emit, const struct psc_model *model, const struct psc_site *site) {
    psc_emit_open(emit, NULL, '{');
    psc_emit_number(emit, "id", site->id);
    EMIT_FIELDS(emit, site, site_fields);
    EMIT_EXACT(emit, model, site, blame_fields);
    emit_real_or_null(emit, "pinned_byte_seconds", psc_model_is_sampled(model) ? NAN : site->pinned_byte_ns / 1e9);
    emit_ranges(emit, site);
    psc_emit_open(emit, "lifetime_bytes", '{');
    emit_lifetime(emit, "p50", site->lifetime_p50);
    emit_lifetime(emit, "p90", site->lifetime_p90);
    emit_lifetime(emit, "p99", site->lifetime_p99);
    psc_emit_close(emit, '{');
    emit_flag(emit, "cut", site->flags, PSC_SITE_CUT);
    emit_flag(emit, "broken", site->flags, PSC_SITE_BROKEN);
    emit_flag(emit, "skipped", site->flags, PSC_SITE_SKIPPED);
    psc_json_emit_frames(emit, site);
    psc_emit_close(emit, '{');
}

/* Most live bytes first, then most pinned, then by id. */
static int by_weight(const void *left, const void *right) {
    const struct psc_site *a = *(struct psc_site *const *)left, *b = *(struct psc_site *const *)right;
    if (a->live_bytes != b->live_bytes) {
        return a->live_bytes > b->live_bytes ? -1 : 1;
    }
    if (a->pinned_bytes != b->pinned_bytes) {
        return a->pinned_bytes > b->pinned_bytes ? -1 : 1;
    }
    return a->id < b->id ? -1 : a->id > b->id;
}

static void mark(bool *marks, const uint32_t *ids, size_t count, size_t top) {
    for (size_t i = 0; i < count && i < top; i++) {
        marks[ids[i]] = true;
    }
}

/* Which sites are written in full, by id: the first `top` of each list, or all. The caller frees it. */
static bool *choose_sites(const struct psc_model *model, size_t top) {
    bool *marks = psc_array_new(model->site_count, sizeof(*marks));
    mark(marks, model->by_live, model->by_live_count, top);
    mark(marks, model->by_pinned, model->by_pinned_count, top);
    mark(marks, model->by_peak, model->by_peak_count, top);
    mark(marks, model->by_worst, model->by_worst_count, top);
    for (size_t i = 0; top == 0 && i < model->site_count; i++) {
        marks[i] = true;
    }
    return marks;
}

static void add_fields(void *sums, const void *record, const struct field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t sum = number_at(sums, &fields[i]) + number_at(record, &fields[i]);
        memcpy((char *)sums + fields[i].offset, &sum, sizeof(sum));
    }
}

/* What the sites that were left out hold together, so that sums over all sites can still be made. */
static void emit_rest(struct psc_emit *emit, const struct psc_model *model, const bool *chosen) {
    struct psc_site sums = {.id = 0};
    uint64_t count = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        if (!chosen[i]) {
            count += psc_site_is_used(&model->sites[i]);
            add_fields(&sums, &model->sites[i], sum_fields, PSC_COUNT_OF(sum_fields));
            add_fields(&sums, &model->sites[i], blame_sum_fields, PSC_COUNT_OF(blame_sum_fields));
        }
    }
    psc_emit_open(emit, "sites_left_out", '{');
    psc_emit_number(emit, "count", count);
    EMIT_FIELDS(emit, &sums, sum_fields);
    EMIT_EXACT(emit, model, &sums, blame_sum_fields);
    psc_emit_close(emit, '{');
}

/* Beside the sites: what no sample tells of. */
static void emit_not_sampled(struct psc_emit *emit, const struct psc_not_sampled *rest) {
    psc_emit_open(emit, "not_sampled", '{');
    psc_emit_number(emit, "live_count", rest->live_count);
    psc_emit_number(emit, "live_bytes", rest->live_bytes);
    psc_emit_number(emit, "pinned_bytes", rest->pinned_bytes);
    psc_emit_close(emit, '{');
}

static void emit_sites(struct psc_emit *emit, struct psc_model *model, const bool *chosen) {
    struct psc_site **order = psc_array_new(model->site_count, sizeof(*order));
    size_t count = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        if (chosen[i] && psc_site_is_used(&model->sites[i])) {
            order[count++] = &model->sites[i];
        }
    }
    qsort(order, count, sizeof(*order), by_weight);
    psc_emit_open(emit, "sites", '[');
    for (size_t i = 0; i < count; i++) {
        psc_model_symbolize(model, order[i]);
        emit_site(emit, model, order[i]);
        psc_model_forget_frames(order[i]);
        psc_progress_show("names of functions", i + 1, count);
    }
    psc_progress_clear();
    psc_emit_close(emit, '[');
    free(order);
}

static void emit_rss(struct psc_emit *emit, const struct psc_wire_snapshot *snapshot) {
    struct psc_rss rss = snapshot != NULL ? psc_rss_of(snapshot) : (struct psc_rss){.known = false};
    if (!rss.known) {
        psc_emit_null(emit, "rss");
        return;
    }
    psc_emit_open(emit, "rss", '{');
    for (size_t i = 0; i < PSC_RSS_PART_COUNT; i++) {
        psc_emit_number(emit, psc_rss_key(i), rss.parts[i]);
    }
    psc_emit_real(emit, "residue_bytes", (double)rss.residue_bytes);
    psc_emit_number(emit, "rss_bytes", rss.rss_bytes);
    psc_emit_close(emit, '{');
}

/* Of each class with pools: [block_bytes, pools, live_blocks, capacity_blocks, committed_bytes]. */
static void emit_snapshot_classes(struct psc_emit *emit, const struct psc_model *model,
                                  const struct psc_wire_snapshot *snapshot) {
    psc_emit_open(emit, "classes", '[');
    for (uint32_t i = 0; i < model->class_count; i++) {
        const struct psc_wire_snapshot_class *class = &snapshot->classes[i];
        if (class->pools != 0) {
            psc_emit_open(emit, NULL, '[');
            psc_emit_number(emit, NULL, model->classes[i].block_bytes);
            psc_emit_number(emit, NULL, class->pools);
            psc_emit_number(emit, NULL, class->live_blocks);
            psc_emit_number(emit, NULL, class->capacity_blocks);
            psc_emit_number(emit, NULL, (uint64_t) class->committed_pages * PSC_MODEL_PAGE_BYTES);
            psc_emit_close(emit, '[');
        }
    }
    psc_emit_close(emit, '[');
}

static void emit_walks(struct psc_emit *emit, const struct psc_walks *walks) {
    psc_emit_open(emit, "walks", '{');
    psc_emit_number(emit, "count", walks->count);
    psc_emit_number(emit, "last_ns", walks->last_ns);
    psc_emit_number(emit, "worst_pinned_bytes", walks->worst_bytes);
    psc_emit_number(emit, "worst_ns", walks->worst_ns);
    if (walks->has_window) {
        psc_emit_number(emit, "window_ns", walks->window_ns);
    } else {
        psc_emit_null(emit, "window_ns");
    }
    psc_emit_close(emit, '{');
}

static void emit_snapshots(struct psc_emit *emit, const struct psc_model *model) {
    psc_emit_open(emit, "snapshots", '[');
    for (size_t i = 0; i < model->snapshot_count; i++) {
        psc_emit_open(emit, NULL, '{');
        EMIT_FIELDS(emit, &model->snapshots[i], snapshot_fields);
        emit_flag(emit, "peak", model->snapshots[i].flags, PSC_SNAPSHOT_PEAK);
        emit_rss(emit, &model->snapshots[i]);
        emit_snapshot_classes(emit, model, &model->snapshots[i]);
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '[');
}

static void emit_notes(struct psc_emit *emit, const struct psc_model *model, const char *key, bool warnings) {
    psc_emit_open(emit, key, '[');
    for (size_t i = 0; i < model->note_count; i++) {
        if (model->notes[i].warning == warnings) {
            psc_emit_text(emit, NULL, model->notes[i].text);
        }
    }
    psc_emit_close(emit, '[');
}

static void emit_fragmentation(struct psc_emit *emit, const struct psc_model *model) {
    psc_emit_open(emit, "fragmentation", '{');
    EMIT_FIELDS(emit, &model->fragmentation, fragmentation_fields);
    EMIT_EXACT(emit, model, &model->fragmentation, unit_fields);
    emit_real_or_null(emit, "realised_at_peak", model->fragmentation.realised_at_peak);
    emit_real_or_null(emit, "realised_now", model->fragmentation.realised_now);
    psc_emit_close(emit, '{');
}

static void emit_pairs(struct psc_emit *emit, const struct psc_model *model) {
    psc_emit_open(emit, "pairs", '[');
    for (size_t i = 0; i < model->pair_count; i++) {
        const struct psc_pair *pair = &model->pairs[i];
        psc_emit_open(emit, NULL, '{');
        psc_emit_open(emit, "sites", '[');
        psc_emit_number(emit, NULL, pair->sites[0]);
        psc_emit_number(emit, NULL, pair->sites[1]);
        psc_emit_close(emit, '[');
        psc_emit_number(emit, "pools", pair->pools);
        psc_emit_number(emit, "pinned_bytes", pair->pinned_bytes);
        psc_emit_number(emit, "saving_bytes", pair->saving_bytes);
        psc_emit_open(emit, "lifetime_bytes", '[');
        psc_emit_number(emit, NULL, pair->lifetime_bytes[0]);
        psc_emit_number(emit, NULL, pair->lifetime_bytes[1]);
        psc_emit_close(emit, '[');
        psc_emit_open(emit, "lives_longer", '[');
        psc_emit_bool(emit, NULL, pair->lives_longer[0]);
        psc_emit_bool(emit, NULL, pair->lives_longer[1]);
        psc_emit_close(emit, '[');
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '[');
}

static void emit_together(struct psc_emit *emit, const struct psc_together *together) {
    psc_emit_open(emit, "together", '{');
    psc_emit_open(emit, "sites", '[');
    for (uint32_t i = 0; i < together->site_count; i++) {
        psc_emit_number(emit, NULL, together->sites[i]);
    }
    psc_emit_close(emit, '[');
    psc_emit_number(emit, "pools", together->pools);
    psc_emit_number(emit, "committed_bytes", together->committed_bytes);
    psc_emit_number(emit, "apart_bytes", together->apart_bytes);
    psc_emit_number(emit, "saving_bytes", together->saving_bytes);
    psc_emit_close(emit, '{');
}

static void emit_findings(struct psc_emit *emit, struct psc_model *model) {
    struct psc_findings findings;
    psc_findings_make(model, &findings);
    psc_emit_open(emit, "findings", '[');
    for (size_t i = 0; i < findings.count; i++) {
        const struct psc_finding *finding = &findings.all[i];
        psc_emit_open(emit, NULL, '{');
        psc_emit_text(emit, "kind", psc_finding_kind_name(finding->kind));
        psc_emit_number(emit, "bytes", finding->bytes);
        if (finding->site == PSC_SITE_NONE) {
            psc_emit_null(emit, "site");
        } else {
            psc_emit_number(emit, "site", finding->site);
        }
        psc_emit_text(emit, "text", finding->text);
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '[');
    psc_findings_release(&findings);
}

void psc_json_write_many(struct psc_model *model, const struct psc_tree *tree, FILE *out, size_t top) {
    struct psc_emit emit;
    bool *chosen = choose_sites(model, top);
    psc_emit_init(&emit, out, 2);
    psc_emit_open(&emit, NULL, '{');
    psc_emit_number(&emit, "schema", PSC_JSON_SCHEMA);
    emit_process(&emit, &model->process);
    if (tree != NULL) {
        psc_tree_emit(tree, &emit);
    }
    emit_sampling(&emit, &model->sampling);
    psc_emit_open(&emit, "totals", '{');
    EMIT_FIELDS(&emit, &model->totals, total_fields);
    psc_emit_number(&emit, "live_bytes_error", psc_range_error(model->totals.live_bytes_range));
    psc_emit_number(&emit, "alloc_bytes_error", psc_range_error(model->totals.alloc_bytes_range));
    psc_emit_close(&emit, '{');
    emit_fragmentation(&emit, model);
    emit_rss(&emit, psc_rss_last(model));
    emit_walks(&emit, &model->walks);
    emit_classes(&emit, model);
    emit_sites(&emit, model, chosen);
    emit_rest(&emit, model, chosen);
    emit_not_sampled(&emit, &model->not_sampled);
    emit_pairs(&emit, model);
    emit_together(&emit, &model->together);
    emit_findings(&emit, model);
    emit_snapshots(&emit, model);
    emit_notes(&emit, model, "warnings", true);
    emit_notes(&emit, model, "notes", false);
    psc_emit_close(&emit, '{');
    free(chosen);
}

void psc_json_write(struct psc_model *model, FILE *out, size_t top) {
    psc_json_write_many(model, NULL, out, top);
}
