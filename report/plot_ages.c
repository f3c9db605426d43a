/* How old blocks are, and how long they live. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/format.h"
#include "report/lifetime.h"
#include "report/plot_figure.h"
#include "report/plot_text.h"

/* ---- ages and occupancy ------------------------------------------------------------------------------------------ */

static uint64_t bucket_start(unsigned bucket) {
    return bucket == 0 ? 0 : (uint64_t)PSC_TAG_BIRTH_UNIT << (bucket - 1);
}

struct span {
    unsigned first;
    unsigned end;
};

/* The ages that some block has. */
static struct span find_ages(const struct psc_model *model) {
    struct span span = {PSC_AGE_BUCKETS, 0};
    for (unsigned age = 0; age < PSC_AGE_BUCKETS; age++) {
        for (unsigned tenth = 0; tenth < PSC_OCCUPANCY_BINS; tenth++) {
            if (model->age_occupancy[age][tenth].blocks > 0) {
                span.first = age < span.first ? age : span.first;
                span.end = age + 1;
            }
        }
    }
    return span;
}

static double sum_pinned(const struct psc_model *model, double *highest) {
    const struct psc_age_cell *cells = &model->age_occupancy[0][0];
    double sum = 0;
    for (size_t i = 0; i < (size_t)PSC_AGE_BUCKETS * PSC_OCCUPANCY_BINS; i++) {
        sum += cells[i].pinned_bytes;
        *highest = fmax(*highest, cells[i].pinned_bytes);
    }
    return sum;
}

static void write_cells(struct psc_figure *figure, double pinned) {
    fputs("age\toccupancy\tage_from_bytes\tage_to_bytes\tlive_blocks\tlive_bytes\tpinned_bytes\tshare_percent\n",
          figure->data);
    for (unsigned age = 0; age < PSC_AGE_BUCKETS; age++) {
        for (unsigned tenth = 1; tenth < PSC_OCCUPANCY_BINS; tenth++) {
            const struct psc_age_cell *cell = &figure->model->age_occupancy[age][tenth];
            if (cell->blocks > 0) {
                fprintf(figure->data, "%u\t%u\t%" PRIu64 "\t%" PRIu64 "\t%.0f\t%.0f\t%.0f\t%.2f\n", age, tenth,
                        bucket_start(age), bucket_start(age + 1), cell->blocks, cell->bytes, cell->pinned_bytes,
                        100 * cell->pinned_bytes / pinned);
            }
        }
    }
}

static void write_age_tics(struct psc_figure *figure, struct span ages) {
    unsigned every = (ages.end - ages.first) / 12 + 1;
    fputs("set xtics (", figure->script);
    for (unsigned age = ages.first; age <= ages.end; age += every) {
        fprintf(figure->script, "%s'%s' %u", age == ages.first ? "" : ", ", psc_format_bytes(bucket_start(age)).s, age);
    }
    fputs(")\nset ytics (", figure->script);
    for (unsigned tenth = 0; tenth <= 10; tenth++) {
        fprintf(figure->script, "%s'%u %%%%' %u", tenth == 0 ? "" : ", ", tenth * 10, tenth);
    }
    fputs(")\n", figure->script);
}

bool psc_figure_age_occupancy(struct psc_figure *figure) {
    double highest = 0, pinned = sum_pinned(figure->model, &highest);
    struct span ages = find_ages(figure->model);
    if (ages.end == 0) {
        return psc_figure_leave_out(figure, "no recorded block in a pool was alive at the end");
    }
    if (highest < 1) {
        return psc_figure_leave_out(figure, "nothing was pinned at the end");
    }
    struct psc_scale bytes = psc_scale_bytes((uint64_t)highest);
    write_cells(figure, pinned);
    write_age_tics(figure, ages);
    fprintf(figure->script,
            "unset grid\nset palette defined (0 '#fdf0e6', 0.4 '#f5a971', 0.75 '#d55e00', 1 '#6b2f00')\n"
            "set cbrange [0:%g]\nset cblabel 'pinned bytes (%s)'\nset xrange [%u:%u]\nset yrange [0:10]\n"
            "set xlabel 'age of the block: bytes allocated since it was made'\nset ylabel 'occupancy of its pool'\n"
            "plot '%s.tsv' using ($1+0.5):($2-0.5):1:($1+1):($2-1):2:($7/%g) with boxxyerror lc palette, "
            "'' using ($1+0.5):($2-0.5):($8<0.5?'':sprintf('%%.0f%%%%',$8)):($7>%g?0xffffff:0x222222) with labels tc "
            "rgb variable\n",
            highest / bytes.divisor, bytes.unit, ages.first, ages.end, figure->name, bytes.divisor, highest * 0.6);
    return true;
}

/* ---- survival ---------------------------------------------------------------------------------------------------- */

#define CURVES 6
#define DEATHS_LEAST 10 /* of a site, to be worth a curve */
#define CURVE_COLUMNS 40
#define AGE_LEAST 512

static const char *const curve_colors[CURVES] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"};

struct curves {
    uint32_t ids[CURVES];
    size_t count;
    double oldest;
};

static double sum_of(const struct psc_age_sums *sums) {
    double sum = 0;
    for (size_t i = 0; i < PSC_AGE_BUCKETS; i++) {
        sum += sums[i].count;
    }
    return sum;
}

/* How many blocks one of the site's that was seen stands for, on average. */
static double weight_of(const struct psc_model *model, const struct psc_site *site) {
    if (!psc_model_is_sampled(model) || site->alloc_count == 0) {
        return 1;
    }
    uint64_t mean = site->alloc_bytes / site->alloc_count;
    return psc_sample_weight(mean == 0 ? 1 : mean, model->sampling.interval_bytes);
}

static bool has_curve(const struct psc_model *model, uint32_t id) {
    const struct psc_site *site = &model->sites[id];
    return id >= PSC_SITE_FIRST && psc_site_is_used(site) &&
           sum_of(model->lifetimes[id].freed) >= DEATHS_LEAST * weight_of(model, site);
}

/* Those that allocated most, most first. */
static void choose_curves(const struct psc_model *model, struct curves *curves) {
    for (uint32_t id = 0; id < model->site_count; id++) {
        if (!has_curve(model, id)) {
            continue;
        }
        size_t place = curves->count;
        for (; place > 0 && model->sites[curves->ids[place - 1]].alloc_bytes < model->sites[id].alloc_bytes; place--) {
            if (place < CURVES) {
                curves->ids[place] = curves->ids[place - 1];
            }
        }
        if (place < CURVES) {
            curves->ids[place] = id;
            curves->count += curves->count < CURVES;
        }
    }
}

static void write_name(struct psc_figure *figure, struct psc_site *site, double alive, double blocks) {
    char label[1024];
    psc_model_symbolize(figure->model, site);
    psc_text_site(site, CURVE_COLUMNS, label, sizeof(label));
    psc_figure_field(figure->data, label);
    fprintf(figure->data, "\t%s blocks, %s alive; ", psc_format_count((uint64_t)blocks).s,
            psc_format_share((uint64_t)alive, (uint64_t)blocks).s);
    if (site->lifetime_p50 == PSC_LIFETIME_UNKNOWN) {
        fputs("more than half outlive the run", figure->data);
    } else {
        fprintf(figure->data, "half live to %s", psc_format_bytes(site->lifetime_p50).s);
    }
}

static void write_curve(struct psc_figure *figure, struct curves *curves, size_t index) {
    struct psc_survival_point points[PSC_SURVIVAL_POINTS];
    struct psc_site *site = &figure->model->sites[curves->ids[index]];
    const struct psc_lifetime *lifetime = &figure->model->lifetimes[curves->ids[index]];
    double alive = sum_of(lifetime->alive), blocks = sum_of(lifetime->freed) + alive;
    size_t count = psc_lifetime_curve(lifetime, weight_of(figure->model, site), points);
    for (size_t i = 0; i < count; i++) {
        fprintf(figure->data, "%zu\t%u\t%.0f\t%.3f\t%.3f\t%.3f\t%.0f\t", index, site->id, points[i].age_bytes,
                100 * points[i].alive, 100 * points[i].low, 100 * points[i].high, points[i].at_risk);
        if (i == 0) {
            write_name(figure, site, alive, blocks);
        } else {
            fputc('\t', figure->data);
        }
        fputc('\n', figure->data);
    }
    curves->oldest = fmax(curves->oldest, points[count - 1].age_bytes);
}

/* Bands below all lines. */
static void plot_curves(struct psc_figure *figure, const struct curves *curves) {
    FILE *script = figure->script;
    fputs("plot ", script);
    for (size_t i = 0; i < curves->count; i++) {
        fprintf(script,
                "'%s.tsv' using ($1==%zu?($3<%d?%d:$3):NaN):5:6 with filledcurves fs transparent solid 0.18 "
                "lc rgb '%s', ",
                figure->name, i, AGE_LEAST, AGE_LEAST, curve_colors[i]);
    }
    for (size_t i = 0; i < curves->count; i++) {
        fprintf(script, "%s'%s.tsv' using ($1==%zu?($3<%d?%d:$3):NaN):4 with lines lw 2 dt %zu lc rgb '%s'",
                i == 0 ? "" : ", ", figure->name, i, AGE_LEAST, AGE_LEAST, i / 2 + 1, curve_colors[i]);
    }
    fputc('\n', script);
}

/* The names beside the curves, over the whole picture. */
static void plot_names(struct psc_figure *figure, const struct curves *curves) {
    FILE *script = figure->script;
    psc_figure_overlay(figure);
    for (size_t i = 0; i < curves->count; i++) {
        double y = 0.86 - 0.13 * (double)i;
        fprintf(script, "set arrow from 0.62, %g to 0.65, %g nohead lw 2 dt %zu lc rgb '%s'\n", y, y, i / 2 + 1,
                curve_colors[i]);
    }
    fprintf(script,
            "plot '%s.tsv' using ($3==0?0.66:NaN):(0.86-0.13*$1):8 with labels left font ',10', "
            "'' using ($3==0?0.66:NaN):(0.815-0.13*$1):9 with labels left font ',9' tc rgb '#555555'\n"
            "unset multiplot\n",
            figure->name);
}

bool psc_figure_survival(struct psc_figure *figure) {
    struct curves curves = {.oldest = AGE_LEAST * 4};
    choose_curves(figure->model, &curves);
    if (curves.count == 0) {
        return psc_figure_leave_out(figure, "no site freed as many as %d blocks", DEATHS_LEAST);
    }
    fputs("curve\tsite\tage_bytes\talive_percent\tlow_percent\thigh_percent\tat_risk_blocks\tname\tfigures\n",
          figure->data);
    for (size_t i = 0; i < curves.count; i++) {
        write_curve(figure, &curves, i);
    }
    fputs("set multiplot\nset lmargin at screen 0.075\nset rmargin at screen 0.6\nset logscale x\n", figure->script);
    psc_figure_byte_tics(figure, 'x', AGE_LEAST, curves.oldest);
    fprintf(figure->script,
            "set xrange [%d:%.0f]\nset yrange [0:103]\nset ytics 0, 20\nset format y '%%.0f %%%%'\n"
            "set xlabel 'age: bytes allocated since the block was made'\nset ylabel 'blocks that live so long'\n",
            AGE_LEAST, curves.oldest);
    plot_curves(figure, &curves);
    plot_names(figure, &curves);
    return true;
}
