/* Medians, spreads and ratios: what table, JSON and plots show. */
#include <stdlib.h>

#include "core/base/compiler.h"
#include "tools/compare.h"

#define NAME_COMPARED(name, heading) #name,
#define NAME(name) #name,
#define HEADING(name, heading) heading,
#define NO_HEADING(name)

const char *psc_run_figure_name(enum psc_run_figure figure) {
    static const char *const names[] = {PSC_RUN_FIGURES(NAME_COMPARED, NAME, NAME)};
    return names[figure];
}

const char *psc_run_figure_heading(enum psc_run_figure figure) {
    static const char *const headings[] = {PSC_RUN_FIGURES(HEADING, NO_HEADING, NO_HEADING)};
    return headings[figure];
}

bool psc_contender_has_figures(const struct psc_contender *contender) {
    return contender->failure[0] == '\0' && contender->run_count > 0;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

struct psc_spread psc_compare_spread(const struct psc_contender *contender, enum psc_run_figure figure) {
    double values[PSC_COMPARE_RUNS_MAX];
    size_t count = contender->run_count;
    for (size_t i = 0; i < count; i++) {
        values[i] = (double)contender->runs[i].figures[figure];
    }
    qsort(values, count, sizeof(*values), by_value);
    return (struct psc_spread){(values[(count - 1) / 2] + values[count / 2]) / 2, values[0], values[count - 1]};
}

struct psc_spread psc_compare_ratio(const struct psc_compare *compare, const struct psc_contender *contender,
                                    enum psc_run_figure figure) {
    double base = psc_compare_spread(&compare->contenders[compare->baseline], figure).median;
    struct psc_spread spread = psc_compare_spread(contender, figure);
    return (struct psc_spread){spread.median / base, spread.least / base, spread.most / base};
}

bool psc_compare_differs(const struct psc_compare *compare, const struct psc_contender *contender,
                         enum psc_run_figure figure) {
    const struct psc_contender *baseline = &compare->contenders[compare->baseline];
    struct psc_spread base = psc_compare_spread(baseline, figure);
    struct psc_spread spread = psc_compare_spread(contender, figure);
    bool enough = contender->run_count > 1 && baseline->run_count > 1;
    return enough && (spread.least > base.most || spread.most < base.least);
}

const struct psc_contender *psc_compare_traced(const struct psc_compare *compare) {
    for (size_t i = 0; i < compare->count; i++) {
        const struct psc_contender *contender = &compare->contenders[i];
        if (contender->traced && psc_contender_has_figures(contender) &&
            psc_compare_spread(contender, PSC_RUN_held_bytes).median > 0) {
            return contender;
        }
    }
    return NULL;
}

double psc_compare_over_live(const struct psc_compare *compare, const struct psc_contender *contender) {
    const struct psc_contender *traced = psc_compare_traced(compare);
    double live = traced == NULL ? 0 : psc_compare_spread(traced, PSC_RUN_live_bytes).median;
    return live > 0 ? psc_compare_spread(contender, PSC_RUN_peak_bytes).median / live : 0;
}

const struct psc_run *psc_compare_typical(const struct psc_contender *contender) {
    double median = psc_compare_spread(contender, PSC_RUN_wall_us).median;
    const struct psc_run *best = &contender->runs[0];
    double best_distance = -1;
    for (size_t i = 0; i < contender->run_count; i++) {
        double distance = (double)contender->runs[i].figures[PSC_RUN_wall_us] - median;
        distance = distance < 0 ? -distance : distance;
        if (best_distance < 0 || distance < best_distance) {
            best = &contender->runs[i];
            best_distance = distance;
        }
    }
    return best;
}
