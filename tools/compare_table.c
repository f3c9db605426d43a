/* What `poolscope compare` prints. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/format.h"
#include "report/plot_text.h"
#include "tools/compare.h"

#define NAME_COLUMNS 18
#define CELL_COLUMNS 24
#define SAMPLES_LEAST 20
#define PERCENT_TOLD 98
#define LIVE_LEAST 0.25 /* of the peak RSS, for what is beyond it to be the allocator's */

struct cell {
    char text[96];
};

/* ---- cells ------------------------------------------------------------------------------------------------------ */

/* Three digits, as psc_format_bytes has them. */
static int decimals(double value) {
    return value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
}

static struct cell absolute_cell(enum psc_run_figure figure, struct psc_spread spread) {
    struct cell cell;
    bool time = psc_run_figure_is_time(figure);
    double to_base = time ? 1000 : 1; /* psc_scale_time is of nanoseconds */
    struct psc_scale scale =
        time ? psc_scale_time((uint64_t)(spread.median * to_base)) : psc_scale_bytes((uint64_t)spread.median);
    double factor = to_base / scale.divisor;
    int places = decimals(spread.median * factor);
    snprintf(cell.text, sizeof(cell.text), "%.*f %s (%.*f-%.*f)", places, spread.median * factor, scale.unit, places,
             spread.least * factor, places, spread.most * factor);
    return cell;
}

static struct cell ratio_cell(const struct psc_compare *compare, const struct psc_contender *contender,
                              enum psc_run_figure figure) {
    struct cell cell = {"-"};
    if (psc_compare_spread(&compare->contenders[compare->baseline], figure).median > 0) {
        struct psc_spread ratio = psc_compare_ratio(compare, contender, figure);
        snprintf(cell.text, sizeof(cell.text), "%.2f (%.2f-%.2f)%s", ratio.median, ratio.least, ratio.most,
                 psc_compare_differs(compare, contender, figure) ? "" : " ~");
    }
    return cell;
}

/* Pads by characters, not bytes. */
static void print_padded(FILE *out, const char *text, size_t columns, bool last) {
    size_t width = 0;
    for (const char *c = text; *c != '\0'; c++) {
        width += ((unsigned char)*c & 0xC0) != 0x80;
    }
    fputs(text, out);
    if (!last) {
        fprintf(out, "%*s", width < columns ? (int)(columns - width) : 1, "");
    }
}

/* ---- the tables ------------------------------------------------------------------------------------------------- */

static void print_row(const struct psc_compare *compare, const struct psc_contender *contender,
                      enum psc_run_figure first, enum psc_run_figure last, FILE *out) {
    print_padded(out, contender->name, NAME_COLUMNS, false);
    for (enum psc_run_figure figure = first; figure <= last; figure++) {
        struct cell cell = contender == &compare->contenders[compare->baseline]
                               ? absolute_cell(figure, psc_compare_spread(contender, figure))
                               : ratio_cell(compare, contender, figure);
        print_padded(out, cell.text, CELL_COLUMNS, figure == last);
    }
    fputs(contender->loaded == PSC_LOADED_UNKNOWN ? " ?\n" : "\n", out);
}

/* Columns `first` to `last`, a row for each contender. */
static void print_table(const struct psc_compare *compare, enum psc_run_figure first, enum psc_run_figure last,
                        FILE *out) {
    print_padded(out, "", NAME_COLUMNS, false);
    for (enum psc_run_figure figure = first; figure <= last; figure++) {
        print_padded(out, psc_run_figure_heading(figure), CELL_COLUMNS, figure == last);
    }
    fputc('\n', out);
    for (size_t i = 0; i < compare->count; i++) {
        const struct psc_contender *contender = &compare->contenders[i];
        if (psc_contender_has_figures(contender)) {
            print_row(compare, contender, first, last, out);
        }
    }
    fputc('\n', out);
}

/* ---- around them ------------------------------------------------------------------------------------------------ */

static void print_head(const struct psc_compare *compare, FILE *out) {
    const char *base = compare->contenders[compare->baseline].name;
    char text[160];
    size_t length = 0;
    for (char **word = compare->command; *word != NULL && length < 200; word++) {
        psc_format_plain(text, sizeof(text), *word);
        length += strlen(text) + 1;
        fprintf(out, "%s%s", word == compare->command ? "" : " ", text);
    }
    fprintf(out,
            "%s\n%u run%s under each allocator, in turn: the median (the least-the most). %s as it is, the others "
            "in times of it.\n",
            length >= 200 ? " ..." : "", compare->runs, compare->runs == 1 ? "" : "s", base);
    fprintf(out, compare->runs == 1 ? "~ One run each tells no difference from chance: --runs=3.\n\n"
                                    : "~ Not significant: within the spread of the runs.\n\n");
}

/* Of a program whose memory is mostly not of malloc, an allocator explains little. */
static void print_over_live(const struct psc_compare *compare, const struct psc_contender *traced, FILE *out) {
    const struct psc_contender *baseline = &compare->contenders[compare->baseline];
    double live = psc_compare_spread(traced, PSC_RUN_live_bytes).median;
    double peak = psc_compare_spread(baseline, PSC_RUN_peak_bytes).median;
    if (live < peak * LIVE_LEAST) {
        fprintf(out,
                "live is %.0f %% of the peak RSS under %s: the rest is code, stacks, and what CMD maps by itself\n",
                100 * live / peak, baseline->name);
        return;
    }
    fputs("peak RSS / live:", out);
    for (size_t i = 0; i < compare->count; i++) {
        if (psc_contender_has_figures(&compare->contenders[i])) {
            fprintf(out, "%s %s %.2f", i == 0 ? "" : ",", compare->contenders[i].name,
                    psc_compare_over_live(compare, &compare->contenders[i]));
        }
    }
    fputc('\n', out);
}

static void print_traced(const struct psc_compare *compare, FILE *out) {
    const struct psc_contender *traced = psc_compare_traced(compare);
    if (traced == NULL) {
        return;
    }
#define MEDIAN(name) psc_compare_spread(traced, PSC_RUN_##name).median
#define BYTES(name) psc_format_bytes((uint64_t)MEDIAN(name)).s
    fprintf(out, "%s: at about the peak of live bytes %s live, %s held", traced->name, BYTES(live_bytes),
            BYTES(held_bytes));
    if (MEDIAN(live_bytes) > 0) {
        fprintf(out, " (held / live %.2f)", MEDIAN(held_bytes) / MEDIAN(live_bytes));
    }
    fprintf(out, ", %s of it pinned;\nat the end %s live, %s held, %s pinned (of the process that held most)\n",
            BYTES(pinned_bytes), BYTES(end_live_bytes), BYTES(end_held_bytes), BYTES(end_pinned_bytes));
    print_over_live(compare, traced, out);
}

/* One line for all that failed in the same way, at the first of them. */
static void print_failure(const struct psc_compare *compare, size_t index, FILE *out) {
    const char *failure = compare->contenders[index].failure;
    for (size_t i = 0; i < index; i++) {
        if (strcmp(compare->contenders[i].failure, failure) == 0) {
            return;
        }
    }
    for (size_t i = index; i < compare->count; i++) {
        if (strcmp(compare->contenders[i].failure, failure) == 0) {
            fprintf(out, "%s%s", i == index ? "" : ", ", compare->contenders[i].name);
        }
    }
    fprintf(out, ": no figures: %s\n", failure);
}

static void print_notes(const struct psc_contender *contender, FILE *out) {
    if (contender->loaded == PSC_LOADED_UNKNOWN) {
        fprintf(out, "? %s: over before it could be seen whether the library was loaded\n", contender->name);
    } else if (contender->loaded_percent < PERCENT_TOLD) {
        fprintf(out, "%s: %u %% of the memory lay in processes with the library, the rest in others\n", contender->name,
                contender->loaded_percent);
    }
}

static void print_left_behind(const struct psc_compare *compare, FILE *out) {
    double most = 0;
    for (size_t i = 0; i < compare->count; i++) {
        const struct psc_contender *contender = &compare->contenders[i];
        double left = contender->run_count == 0 ? 0 : psc_compare_spread(contender, PSC_RUN_left_behind).most;
        most = left > most ? left : most;
    }
    if (most > 0) {
        fprintf(out, "A run left up to %.0f process%s behind, which %s ended.\n", most, most == 1 ? "" : "es",
                most == 1 ? "was" : "were");
    }
}

/* Memory is looked at from outside, now and then. */
static void print_short(const struct psc_compare *compare, FILE *out) {
    double fewest = psc_compare_spread(&compare->contenders[compare->baseline], PSC_RUN_samples).median;
    if (fewest < SAMPLES_LEAST) {
        fprintf(out,
                "The runs are so short that memory was looked at %.0f times only: average RSS and RSS at the end "
                "say little.\n",
                fewest);
    }
}

void psc_compare_write_table(const struct psc_compare *compare, FILE *out) {
    print_head(compare, out);
    if (psc_contender_has_figures(&compare->contenders[compare->baseline])) {
        print_table(compare, PSC_RUN_cpu_us, PSC_RUN_wall_us, out);
        print_table(compare, PSC_RUN_peak_bytes, PSC_RUN_end_bytes, out);
        print_short(compare, out);
        print_traced(compare, out);
    }
    for (size_t i = 0; i < compare->count; i++) {
        if (compare->contenders[i].failure[0] != '\0') {
            print_failure(compare, i, out);
        } else {
            print_notes(&compare->contenders[i], out);
        }
    }
    print_left_behind(compare, out);
    if (compare->missing[0] != '\0') {
        fprintf(out, "not on this machine: %s", compare->missing);
        fprintf(out, compare->packages[0] == '\0' ? "\n" : " (apt-get install %s)\n", compare->packages);
    }
    if (compare->directory != NULL) {
        fprintf(out, "all runs and plots: %s/\n", compare->directory);
    }
}
