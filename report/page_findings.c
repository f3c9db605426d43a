/* What a reader should see first, in sentences. Each is left out when its figures do not carry it. */
#include <inttypes.h>
#include <string.h>

#include "report/findings.h"
#include "report/format.h"
#include "report/page_part.h"
#include "report/plot_text.h"

#define BYTES(n) (psc_format_bytes(n).s)
#define COUNT(n) (psc_format_count(n).s)
#define SHARE(part, whole) (psc_format_share(part, whole).s)

#define SITE_COLUMNS 90
/* A part is worth a sentence from a twentieth of what is held. */
#define WORTH(part, whole) ((whole) != 0 && (part) >= (whole) / 20 && (part) != 0)

static void write_site(struct psc_model *model, uint32_t id, FILE *out) {
    char text[1024];
    psc_model_symbolize(model, &model->sites[id]);
    psc_text_site(&model->sites[id], SITE_COLUMNS, text, sizeof(text));
    fprintf(out, "<a href=\"#at=sites&amp;site=%" PRIu32 "\"><code>", id);
    psc_html_text(out, text);
    fputs("</code></a>", out);
}

static void find_held(const struct psc_model *model, FILE *out) {
    const struct psc_fragmentation *f = &model->fragmentation;
    if (f->committed_bytes == 0) {
        fputs("<li>The heap holds nothing.</li>\n", out);
        return;
    }
    fprintf(out, "<li>The heap holds <b>%s</b>, of which the program uses <b>%s</b> (%s). ", BYTES(f->committed_bytes),
            BYTES(f->live_requested_bytes), SHARE(f->live_requested_bytes, f->committed_bytes));
    fprintf(out, "The other %s are %s of rounding and %s of free memory that has not gone back.</li>\n",
            BYTES(f->committed_bytes - f->live_requested_bytes), BYTES(f->internal_bytes), BYTES(f->external_bytes));
}

static struct psc_text estimate(const struct psc_model *model, uint64_t bytes, struct psc_range range) {
    return psc_model_is_sampled(model) ? psc_format_bytes_error(bytes, psc_range_error(range))
                                       : psc_format_bytes(bytes);
}

static void find_live(struct psc_model *model, FILE *out) {
    if (model->by_live_count == 0) {
        return;
    }
    const struct psc_site *site = &model->sites[model->by_live[0]];
    fputs("<li>Most live bytes were allocated by ", out);
    write_site(model, site->id, out);
    fprintf(out, ": %s in %s block%s, %s of all live bytes.</li>\n",
            estimate(model, site->live_bytes, site->live_bytes_range).s, COUNT(site->live_count),
            site->live_count == 1 ? "" : "s", SHARE(site->live_bytes, model->totals.live_bytes));
}

/* A sampled trace has only those pools that had a sample; the snapshot counts all, but not their bytes. */
static void find_sparse_pools_of_snapshot(const struct psc_model *model, FILE *out) {
    uint64_t pools = 0;
    if (!model->sampling.has_snapshot) {
        return;
    }
    const uint32_t *bins = model->snapshots[model->snapshot_count - 1].occupancy;
    for (size_t i = 0; i < PSC_OCCUPANCY_BINS; i++) {
        pools += bins[i];
    }
    if (WORTH(bins[1], pools)) {
        fprintf(out, "<li>%s of %s pools are at most 10 %% full.</li>\n", COUNT(bins[1]), COUNT(pools));
    }
}

static void find_sparse_pools(const struct psc_model *model, FILE *out) {
    uint64_t pools = 0;
    uint64_t bytes = 0;
    if (psc_model_is_sampled(model)) {
        find_sparse_pools_of_snapshot(model, out);
        return;
    }
    for (size_t i = 0; i < model->pool_count; i++) {
        const struct psc_pool *pool = &model->pools[i];
        uint64_t live = (uint64_t)pool->tagged + pool->untagged;
        if (live != 0 && live * 10 <= pool->capacity) {
            pools++;
            bytes += pool->committed_bytes;
        }
    }
    if (WORTH(bytes, model->fragmentation.committed_bytes)) {
        fprintf(out, "<li>%s of %s pools are at most 10 %% full. Together they hold %s.</li>\n", COUNT(pools),
                COUNT(model->pool_count), BYTES(bytes));
    }
}

static void write_all(struct psc_model *model, FILE *out) {
    struct psc_findings findings;
    psc_findings_make(model, &findings);
    for (size_t i = 0; i < findings.count; i++) {
        fputs("<li>", out);
        psc_html_text(out, findings.all[i].text);
        fputs("</li>\n", out);
    }
    if (findings.count == 0) {
        fputs("<li>" PSC_FINDINGS_NONE "</li>\n", out);
    }
    psc_findings_release(&findings);
}

static void find_peak(const struct psc_model *model, FILE *out) {
    const struct psc_totals *totals = &model->totals;
    const char *moment = model->process.end == PSC_PROCESS_RUNNING ? "now" : "at the end";
    if (totals->peak_live_bytes > totals->live_bytes + totals->live_bytes / 10) {
        fprintf(out, "<li>Live bytes: %s at their peak, %s %s. Held: %s at its peak, %s %s.</li>\n",
                BYTES(totals->peak_live_bytes), BYTES(totals->live_bytes), moment, BYTES(totals->peak_committed_bytes),
                BYTES(totals->committed_bytes), moment);
    }
}

/* Of a program that has freed most of what it had, the peak is what can be changed. */
static void find_peak_site(struct psc_model *model, FILE *out) {
    const struct psc_totals *totals = &model->totals;
    if (model->by_peak_count == 0 || totals->live_bytes >= totals->peak_live_bytes / 2) {
        return;
    }
    const struct psc_site *site = &model->sites[model->by_peak[0]];
    fputs("<li>At the peak, most live bytes were those of ", out);
    write_site(model, site->id, out);
    fprintf(out, ": %s in %s block%s, %s of all live bytes then.</li>\n", BYTES(site->peak_live_bytes),
            COUNT(site->peak_live_count), site->peak_live_count == 1 ? "" : "s",
            SHARE(site->peak_live_bytes, totals->peak_live_bytes));
}

void psc_page_findings(struct psc_model *model, FILE *out) {
    find_held(model, out);
    write_all(model, out);
    find_live(model, out);
    find_sparse_pools(model, out);
    find_peak(model, out);
    find_peak_site(model, out);
}
