#include "report/rss.h"

#include "report/format.h"

const char *psc_rss_words(enum psc_rss_part part) {
#define WORDS(name, words) [PSC_RSS_##name] = words,
    static const char *const all[] = {PSC_RSS_PARTS(WORDS)};
    return all[part];
}

const char *psc_rss_key(enum psc_rss_part part) {
#define KEY(name, words) [PSC_RSS_##name] = #name "_bytes",
    static const char *const all[] = {PSC_RSS_PARTS(KEY)};
    return all[part];
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* What remains of `whole` when `part` is taken out. */
static uint64_t rest(uint64_t whole, uint64_t part) {
    return whole > part ? whole - part : 0;
}

/* The figures of a damaged trace need not go together: each is cut to what it is a part of. */
static void split_heap(const struct psc_wire_snapshot *snapshot, uint64_t *parts) {
    uint64_t requested = smaller(snapshot->live_bytes, snapshot->block_bytes);
    uint64_t rounding = snapshot->block_bytes - requested;
    parts[PSC_RSS_requested] = requested;
    parts[PSC_RSS_large_rounding] = smaller(snapshot->large_rounding_bytes, rounding);
    parts[PSC_RSS_rounding] = rounding - parts[PSC_RSS_large_rounding];
    parts[PSC_RSS_tail] = smaller(snapshot->tail_bytes, snapshot->pinned_bytes);
    parts[PSC_RSS_free_blocks] = snapshot->pinned_bytes - parts[PSC_RSS_tail];
    parts[PSC_RSS_empty_pools] = snapshot->empty_bytes;
    parts[PSC_RSS_cached] = snapshot->cached_bytes;
    parts[PSC_RSS_absent] = rest(snapshot->committed_bytes, snapshot->resident_bytes);
}

static uint64_t sum_of(const uint64_t *parts) {
    uint64_t sum = 0;
    for (size_t i = 0; i < PSC_RSS_PART_COUNT; i++) {
        sum += i == PSC_RSS_absent ? -parts[i] : parts[i];
    }
    return sum;
}

struct psc_rss psc_rss_of(const struct psc_wire_snapshot *snapshot) {
    struct psc_rss rss = {.known = snapshot->rss_bytes != 0 && snapshot->resident_bytes != 0,
                          .rss_bytes = snapshot->rss_bytes};
    if (!rss.known) {
        return (struct psc_rss){.known = false};
    }
    uint64_t anonymous = rest(snapshot->rss_bytes, snapshot->shared_bytes);
    uint64_t ours = snapshot->resident_bytes + snapshot->metadata_resident_bytes + snapshot->tracker_anon_bytes;
    split_heap(snapshot, rss.parts);
    rss.parts[PSC_RSS_metadata] = snapshot->metadata_resident_bytes;
    rss.parts[PSC_RSS_tracker] = snapshot->tracker_anon_bytes + snapshot->trace_bytes;
    rss.parts[PSC_RSS_other_anonymous] = rest(anonymous, ours);
    rss.parts[PSC_RSS_file] = rest(snapshot->shared_bytes, snapshot->trace_bytes);
    rss.residue_bytes = (int64_t)(rss.rss_bytes - sum_of(rss.parts));
    return rss;
}

const struct psc_wire_snapshot *psc_rss_last(const struct psc_model *model) {
    for (size_t i = model->snapshot_count; i-- > 0;) {
        if (psc_rss_of(&model->snapshots[i]).known) {
            return &model->snapshots[i];
        }
    }
    return NULL;
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void write_line(FILE *out, const char *words, const char *sign, uint64_t bytes, uint64_t whole) {
    fprintf(out, "  %-58s %1s%15s %10s %8s\n", words, sign, psc_format_count(bytes).s, psc_format_bytes(bytes).s,
            psc_format_share(bytes, whole).s);
}

static void write_moment(const struct psc_model *model, const struct psc_wire_snapshot *last, FILE *out) {
    uint64_t age = model->process.duration_ns - last->time_ns;
    fputs("\nResident memory of the process (RSS)", out);
    if ((last->flags & PSC_SNAPSHOT_LAST) == 0) {
        fprintf(out, model->process.end == PSC_PROCESS_RUNNING ? ", %s ago" : ", %s before the end",
                psc_format_duration(age).s);
    }
    fputc('\n', out);
}

void psc_rss_write(const struct psc_model *model, FILE *out) {
    const struct psc_wire_snapshot *last = psc_rss_last(model);
    if (last == NULL) {
        return;
    }
    struct psc_rss rss = psc_rss_of(last);
    write_moment(model, last, out);
    for (size_t i = 0; i < PSC_RSS_PART_COUNT; i++) {
        if (rss.parts[i] != 0) {
            write_line(out, psc_rss_words(i), i == PSC_RSS_absent ? "-" : "", rss.parts[i], rss.rss_bytes);
        }
    }
    if (rss.residue_bytes != 0) {
        write_line(out, PSC_RSS_RESIDUE_WORDS, rss.residue_bytes < 0 ? "-" : "", psc_rss_residue(&rss), rss.rss_bytes);
    }
    write_line(out, "= RSS", "", rss.rss_bytes, rss.rss_bytes);
}
