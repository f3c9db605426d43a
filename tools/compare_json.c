/* All figures, for programs: JSON, and a table of the runs. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "report/emit.h"
#include "tools/compare.h"

static const char *const loaded_words[] = {
    [PSC_LOADED_YES] = "yes", [PSC_LOADED_NO] = "no", [PSC_LOADED_UNKNOWN] = "unknown"};

static bool is_known(const struct psc_contender *contender, enum psc_run_figure figure) {
    return figure < PSC_RUN_TRACED_FIRST || contender->traced;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void emit_spread(struct psc_emit *emit, const char *key, struct psc_spread spread) {
    psc_emit_open(emit, key, '{');
    psc_emit_number(emit, "median", (uint64_t)(spread.median + 0.5));
    psc_emit_number(emit, "min", (uint64_t)spread.least);
    psc_emit_number(emit, "max", (uint64_t)spread.most);
    psc_emit_close(emit, '{');
}

static void emit_runs(struct psc_emit *emit, const struct psc_contender *contender) {
    psc_emit_open(emit, "runs", '[');
    for (size_t i = 0; i < contender->run_count; i++) {
        psc_emit_open(emit, NULL, '{');
        for (enum psc_run_figure figure = 0; figure < PSC_RUN_FIGURE_COUNT; figure++) {
            if (is_known(contender, figure)) {
                psc_emit_number(emit, psc_run_figure_name(figure), contender->runs[i].figures[figure]);
            }
        }
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '[');
}

static void emit_ratios(struct psc_emit *emit, const struct psc_compare *compare,
                        const struct psc_contender *contender) {
    const struct psc_contender *baseline = &compare->contenders[compare->baseline];
    psc_emit_open(emit, "ratios", '{');
    for (enum psc_run_figure figure = 0; figure < PSC_RUN_COMPARED_COUNT; figure++) {
        if (!psc_contender_has_figures(baseline) || psc_compare_spread(baseline, figure).median <= 0) {
            continue;
        }
        struct psc_spread ratio = psc_compare_ratio(compare, contender, figure);
        psc_emit_open(emit, psc_run_figure_name(figure), '{');
        psc_emit_real(emit, "median", ratio.median);
        psc_emit_real(emit, "min", ratio.least);
        psc_emit_real(emit, "max", ratio.most);
        psc_emit_bool(emit, "significant", psc_compare_differs(compare, contender, figure));
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '{');
}

static void emit_figures(struct psc_emit *emit, const struct psc_compare *compare,
                         const struct psc_contender *contender) {
    psc_emit_open(emit, "figures", '{');
    for (enum psc_run_figure figure = 0; figure < PSC_RUN_FIGURE_COUNT; figure++) {
        if (is_known(contender, figure)) {
            emit_spread(emit, psc_run_figure_name(figure), psc_compare_spread(contender, figure));
        }
    }
    psc_emit_close(emit, '{');
    emit_ratios(emit, compare, contender);
    double over_live = psc_compare_over_live(compare, contender);
    if (over_live > 0) {
        psc_emit_real(emit, "peak_rss_over_live", over_live);
    } else {
        psc_emit_null(emit, "peak_rss_over_live");
    }
}

static void emit_contender(struct psc_emit *emit, const struct psc_compare *compare,
                           const struct psc_contender *contender) {
    psc_emit_open(emit, NULL, '{');
    psc_emit_text(emit, "name", contender->name);
    psc_emit_text(emit, "library", contender->library[0] == '\0' ? NULL : contender->library);
    psc_emit_text(emit, "loaded", loaded_words[contender->loaded]);
    psc_emit_number(emit, "loaded_percent", contender->loaded_percent);
    psc_emit_text(emit, "failure", contender->failure[0] == '\0' ? NULL : contender->failure);
    if (psc_contender_has_figures(contender)) {
        emit_figures(emit, compare, contender);
    }
    emit_runs(emit, contender);
    psc_emit_close(emit, '{');
}

void psc_compare_write_json(const struct psc_compare *compare, FILE *out) {
    struct psc_emit emit;
    psc_emit_init(&emit, out, 3);
    psc_emit_open(&emit, NULL, '{');
    psc_emit_number(&emit, "schema", 1);
    psc_emit_open(&emit, "command", '[');
    for (char **word = compare->command; *word != NULL; word++) {
        psc_emit_text(&emit, NULL, *word);
    }
    psc_emit_close(&emit, '[');
    psc_emit_number(&emit, "runs", compare->runs);
    psc_emit_text(&emit, "baseline", compare->contenders[compare->baseline].name);
    psc_emit_text(&emit, "missing", compare->missing);
    psc_emit_open(&emit, "allocators", '[');
    for (size_t i = 0; i < compare->count; i++) {
        emit_contender(&emit, compare, &compare->contenders[i]);
    }
    psc_emit_close(&emit, '[');
    psc_emit_close(&emit, '{');
}

/* ---- the table of runs ------------------------------------------------------------------------------------------ */

static void write_run(const struct psc_contender *contender, size_t run, FILE *out) {
    fprintf(out, "%s\t%zu\t%s", contender->name, run + 1, loaded_words[contender->loaded]);
    for (enum psc_run_figure figure = 0; figure < PSC_RUN_FIGURE_COUNT; figure++) {
        if (is_known(contender, figure)) {
            fprintf(out, "\t%" PRIu64, contender->runs[run].figures[figure]);
        } else {
            fputc('\t', out);
        }
    }
    fputc('\n', out);
}

bool psc_compare_write_runs(const struct psc_compare *compare) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/runs.tsv", compare->directory);
    FILE *out = fopen(path, "we");
    if (out == NULL) {
        return false;
    }
    fputs("allocator\tround\tloaded", out);
    for (enum psc_run_figure figure = 0; figure < PSC_RUN_FIGURE_COUNT; figure++) {
        fprintf(out, "\t%s", psc_run_figure_name(figure));
    }
    fputc('\n', out);
    for (size_t i = 0; i < compare->count; i++) {
        for (size_t run = 0; run < compare->contenders[i].run_count; run++) {
            write_run(&compare->contenders[i], run, out);
        }
    }
    bool good = ferror(out) == 0;
    return fclose(out) == 0 && good;
}
