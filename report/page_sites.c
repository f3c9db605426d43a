/* Which sites the page shows, and what its script shows of them, as one JSON object. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/format.h"
#include "report/page_part.h"
#include "report/page_stacks.h"
#include "report/plot_text.h"
#include "report/progress.h"

/* A browser reads so much in a few seconds. */
#define DATA_BYTES_MAX (40ull << 20)
#define SITE_BYTES 80

enum unit { BYTES, COUNT, CLOCK };
enum kind { ALL, EXACT, SAMPLED };

struct column {
    const char *name; /* in the address of the page */
    const char *head;
    const char *hint;
    const char *flame; /* what a flame graph of it shows; NULL: it does not add up */
    enum unit unit;
    enum kind of; /* traces that have it */
    size_t value; /* where in a site it stands */
    size_t range; /* its interval; 0: none */
};

#define AT(field) offsetof(struct psc_site, field)

static const struct column columns[] = {
    {"live", "Live", "requested bytes of live blocks", "live bytes", BYTES, ALL, AT(live_bytes), AT(live_bytes_range)},
    {"blocks", "Blocks", "live blocks", "live blocks", COUNT, ALL, AT(live_count), AT(live_count_range)},
    {"samples", "Samples", "live samples that the estimates rest on", NULL, COUNT, SAMPLED, AT(tagged_count), 0},
    {"pinned", "Pinned", "free memory that live blocks of this site keep from going back", "pinned bytes", BYTES, ALL,
     AT(pinned_bytes), AT(pinned_bytes_range)},
    {"peak", "At peak", "live bytes when the process's live bytes peaked", "live bytes at the peak", BYTES, ALL,
     AT(peak_live_bytes), 0},
    {"allocated", "Allocated", "bytes requested in all", "allocated bytes", BYTES, ALL, AT(alloc_bytes),
     AT(alloc_bytes_range)},
    {"allocations", "Allocs", "number of allocations", "allocations", COUNT, ALL, AT(alloc_count), 0},
    {"temporary", "Temporary", "blocks freed before the next allocation", "temporary blocks", COUNT, EXACT,
     AT(temporary_count), 0},
    {"life50", "Life p50", "half of the blocks lived shorter, in bytes allocated meanwhile", NULL, CLOCK, ALL,
     AT(lifetime_p50), 0},
    {"life99", "Life p99", "99 % of the blocks lived shorter, in bytes allocated meanwhile", NULL, CLOCK, ALL,
     AT(lifetime_p99), 0},
};

static bool is_shown(const struct psc_model *model, const struct column *column) {
    return column->of == ALL || (column->of == SAMPLED) == psc_model_is_sampled(model);
}

static uint64_t value_of(const struct psc_site *site, const struct column *column) {
    uint64_t value;
    memcpy(&value, (const char *)site + column->value, sizeof(value));
    return value;
}

static uint64_t error_of(const struct psc_site *site, const struct column *column) {
    struct psc_range range;
    memcpy(&range, (const char *)site + column->range, sizeof(range));
    return psc_range_error(range);
}

/* ---- which sites ------------------------------------------------------------------------------------------------- */

struct choice {
    struct psc_model *model;
    struct psc_site *rest; /* the sum of those that are left out */
    uint32_t *ids;         /* all sites that were met, those that matter most first */
    size_t count;
    size_t shown;
    unsigned char *chosen; /* per site */
};

static void choose(struct choice *choice, const uint32_t *ids, size_t count, size_t rank) {
    if (rank < count && !choice->chosen[ids[rank]]) {
        choice->chosen[ids[rank]] = 1;
        choice->ids[choice->count++] = ids[rank];
    }
}

static int by_allocated(const void *a, const void *b, void *model) {
    const struct psc_site *sites = ((const struct psc_model *)model)->sites;
    uint64_t left = sites[*(const uint32_t *)a].alloc_bytes;
    uint64_t right = sites[*(const uint32_t *)b].alloc_bytes;
    return left != right ? (left > right ? -1 : 1) : 0;
}

/* Fills `ids` with all sites that were met, most allocated bytes first. */
static size_t rank_allocated(const struct psc_model *model, uint32_t *ids) {
    size_t count = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        if (psc_site_is_used(&model->sites[i])) {
            ids[count++] = (uint32_t)i;
        }
    }
    qsort_r(ids, count, sizeof(*ids), by_allocated, (void *)model);
    return count;
}

/* Takes the first of each ranking in turn. */
static void rank_sites(struct choice *choice) {
    const struct psc_model *model = choice->model;
    uint32_t *allocated = psc_array_new(model->site_count, sizeof(*allocated));
    size_t count = rank_allocated(model, allocated);
    for (size_t rank = 0; rank < count; rank++) {
        choose(choice, model->by_live, model->by_live_count, rank);
        choose(choice, model->by_pinned, model->by_pinned_count, rank);
        choose(choice, model->by_peak, model->by_peak_count, rank);
        choose(choice, allocated, count, rank);
    }
    free(allocated);
}

/* ---- stacks ------------------------------------------------------------------------------------------------------ */

static const struct psc_frame unknown_frame = {.function = "(unknown: no stack)"};
static const struct psc_frame rest_frame = {.function = "(other sites)"};

/* The names of a row: how far the frame that stands for the site is from the innermost one shown, and who called it. */
struct names {
    uint32_t *up;
    uint32_t *callers;
};

static void add_site(struct psc_stacks *stacks, const struct psc_site *site, struct names *names, size_t row) {
    const struct psc_frame *named = psc_text_site_frame(site);
    size_t skip = psc_site_skip(site);
    if (named == NULL) {
        psc_stacks_add(stacks, &unknown_frame, 1);
        return;
    }
    psc_stacks_add(stacks, site->frames + skip, site->frame_count - skip);
    names->up[row] = (uint32_t)(named - (site->frames + skip));
    names->callers[row] = psc_stacks_function(stacks, psc_text_site_caller(site));
}

static void add_to_rest(struct psc_site *rest, const struct psc_site *site) {
    for (size_t i = 0; i < PSC_COUNT_OF(columns); i++) {
        uint64_t sum = value_of(rest, &columns[i]) + value_of(site, &columns[i]);
        if (columns[i].unit != CLOCK) {
            memcpy((char *)rest + columns[i].value, &sum, sizeof(sum));
        }
    }
}

/* Whole stacks of as many sites as there is room for; the others become one row. */
static void add_sites(struct choice *choice, struct psc_stacks *stacks, struct names *names) {
    struct psc_model *model = choice->model;
    size_t row = 0;
    for (; row < choice->count && psc_stacks_bytes(stacks) + row * SITE_BYTES < DATA_BYTES_MAX; row++) {
        struct psc_site *site = &model->sites[choice->ids[row]];
        bool kept = site->frames != NULL;
        psc_progress_show("stacks of the page", row, choice->count);
        psc_model_symbolize(model, site);
        add_site(stacks, site, names, row);
        if (!kept) {
            psc_model_forget_frames(site);
        }
    }
    choice->shown = row;
    for (; row < choice->count; row++) {
        add_to_rest(choice->rest, &model->sites[choice->ids[row]]);
    }
    if (choice->shown < choice->count) {
        psc_stacks_add(stacks, &rest_frame, 1);
    }
    psc_progress_clear();
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static size_t row_count(const struct choice *choice) {
    return choice->shown + (choice->shown < choice->count);
}

static const struct psc_site *site_at(const struct choice *choice, size_t row) {
    return row < choice->shown ? &choice->model->sites[choice->ids[row]] : choice->rest;
}

static void emit_values(struct psc_emit *emit, const struct choice *choice, const struct column *column) {
    psc_emit_open(emit, "values", '[');
    for (size_t row = 0; row < row_count(choice); row++) {
        uint64_t value = value_of(site_at(choice, row), column);
        if (column->unit == CLOCK && (value == PSC_LIFETIME_UNKNOWN || row == choice->shown)) {
            psc_emit_null(emit, NULL);
        } else {
            psc_emit_number(emit, NULL, value);
        }
    }
    psc_emit_close(emit, '[');
}

static void emit_errors(struct psc_emit *emit, const struct choice *choice, const struct column *column) {
    psc_emit_open(emit, "errors", '[');
    for (size_t row = 0; row < choice->shown; row++) {
        psc_emit_number(emit, NULL, error_of(site_at(choice, row), column));
    }
    psc_emit_close(emit, '[');
}

/* What the heap holds beside all samples. */
static uint64_t not_sampled(const struct psc_model *model, const struct column *column) {
    return column->value == AT(live_bytes)     ? model->not_sampled.live_bytes
           : column->value == AT(live_count)   ? model->not_sampled.live_count
           : column->value == AT(pinned_bytes) ? model->not_sampled.pinned_bytes
                                               : 0;
}

static void emit_columns(struct psc_emit *emit, const struct choice *choice) {
    static const char *const units[] = {[BYTES] = "bytes", [COUNT] = "count", [CLOCK] = "clock"};
    psc_emit_open(emit, "columns", '[');
    for (size_t i = 0; i < PSC_COUNT_OF(columns); i++) {
        const struct column *column = &columns[i];
        if (!is_shown(choice->model, column)) {
            continue;
        }
        psc_emit_open(emit, NULL, '{');
        psc_emit_text(emit, "name", column->name);
        psc_emit_text(emit, "head", column->head);
        psc_emit_text(emit, "hint", column->hint);
        psc_emit_text(emit, "flame", column->flame);
        psc_emit_text(emit, "unit", units[column->unit]);
        psc_emit_number(emit, "unsampled", not_sampled(choice->model, column));
        emit_values(emit, choice, column);
        if (column->range != 0 && psc_model_is_sampled(choice->model)) {
            emit_errors(emit, choice, column);
        }
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '[');
}

static void emit_numbers(struct psc_emit *emit, const char *key, const uint32_t *numbers, size_t count) {
    psc_emit_open(emit, key, '[');
    for (size_t i = 0; i < count; i++) {
        psc_emit_number(emit, NULL, numbers[i]);
    }
    psc_emit_close(emit, '[');
}

static void write_data(const struct choice *choice, const struct psc_stacks *stacks, const struct names *names,
                       FILE *out) {
    struct psc_emit emit;
    psc_emit_init_embedded(&emit, out);
    psc_emit_open(&emit, NULL, '{');
    psc_emit_text(&emit, "program", psc_process_name(&choice->model->process));
    psc_stacks_emit(stacks, &emit);
    psc_emit_open(&emit, "sites", '{');
    emit_numbers(&emit, "id", choice->ids, choice->shown);
    emit_numbers(&emit, "up", names->up, row_count(choice));
    emit_numbers(&emit, "caller", names->callers, row_count(choice));
    psc_emit_close(&emit, '{');
    emit_columns(&emit, choice);
    psc_emit_close(&emit, '{');
}

/* ---- the part of the page ---------------------------------------------------------------------------------------- */

static void write_rest(const struct choice *choice, FILE *out) {
    if (choice->shown < choice->count) {
        fprintf(
            out,
            "<p class=soft>To keep the page small, %s of %s sites are shown, those with most live, pinned, peak and "
            "allocated bytes; the others are summed up as <i>(other sites)</i>.</p>\n",
            psc_format_count(choice->shown).s, psc_format_count(choice->count).s);
    }
}

static void write_part(struct choice *choice, FILE *out) {
    struct psc_stacks *stacks = psc_stacks_new();
    struct names names = {psc_array_new(choice->count + 1, sizeof(uint32_t)),
                          psc_array_new(choice->count + 1, sizeof(uint32_t))};
    add_sites(choice, stacks, &names);
    write_rest(choice, out);
    fputs(psc_page_widgets, out);
    fputs("<script type=\"application/json\" id=data>\n", out);
    write_data(choice, stacks, &names, out);
    fputs("</script>\n", out);
    free(names.up);
    free(names.callers);
    psc_stacks_release(stacks);
}

bool psc_page_has_sites(const struct psc_model *model) {
    for (size_t i = 0; i < model->site_count; i++) {
        if (psc_site_is_used(&model->sites[i])) {
            return true;
        }
    }
    return false;
}

void psc_page_sites(struct psc_model *model, FILE *out) {
    struct psc_site rest = {.id = 0};
    struct choice choice = {.model = model,
                            .rest = &rest,
                            .ids = psc_array_new(model->site_count, sizeof(*choice.ids)),
                            .chosen = psc_array_new(model->site_count, 1)};
    rank_sites(&choice);
    if (choice.count != 0) {
        write_part(&choice, out);
    }
    free(choice.ids);
    free(choice.chosen);
}
