/* The table of sites. Sorted and filtered in the page by a script; without one it is sorted by live bytes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/format.h"
#include "report/page_part.h"
#include "report/plot_text.h"

/* A browser is quick with this many rows and lines. */
#define ROWS_MAX 2000
#define FRAMES_PER_STACK_MAX 64
#define FRAMES_MAX 120000
#define FUNCTION_COLUMNS 80
#define FUNCTION_WHOLE_MAX 120

struct column {
    const char *head;
    const char *hint;
    uint64_t (*value)(const struct psc_site *site);
    struct psc_text (*text)(uint64_t value);
    size_t range; /* where in a site its interval stands, if it has one; 0: none */
    struct psc_text (*estimate)(uint64_t value, uint64_t error);
    bool sampled_only;
};

static struct psc_text text_lifetime(uint64_t bytes) {
    return bytes == PSC_LIFETIME_UNKNOWN ? (struct psc_text){"–"} : psc_format_bytes(bytes);
}

#define FIELD(field)                                                                                                   \
    static uint64_t get_##field(const struct psc_site *site) {                                                         \
        return site->field;                                                                                            \
    }
FIELD(live_bytes)
FIELD(live_count)
FIELD(pinned_bytes)
FIELD(peak_live_bytes)
FIELD(alloc_bytes)
FIELD(alloc_count)
FIELD(temporary_count)
FIELD(lifetime_p50)
FIELD(lifetime_p99)
FIELD(tagged_count)

#define BYTES_IN(range) psc_format_bytes, offsetof(struct psc_site, range), psc_format_bytes_error, false
#define COUNT_IN(range) psc_format_count, offsetof(struct psc_site, range), psc_format_count_error, false
#define EXACT 0, NULL, false

static const struct column columns[] = {
    {"Live", "requested bytes of live blocks", get_live_bytes, BYTES_IN(live_bytes_range)},
    {"Blocks", "live blocks", get_live_count, COUNT_IN(live_count_range)},
    {"Samples", "live samples that the estimates rest on", get_tagged_count, psc_format_count, 0, NULL, true},
    {"Pinned", "free memory that live blocks of this site keep from going back", get_pinned_bytes,
     BYTES_IN(pinned_bytes_range)},
    {"At peak", "live bytes when the process's live bytes peaked", get_peak_live_bytes, psc_format_bytes, EXACT},
    {"Allocated", "bytes requested in all", get_alloc_bytes, BYTES_IN(alloc_bytes_range)},
    {"Allocations", "number of allocations", get_alloc_count, psc_format_count, EXACT},
    {"Temporary", "freed before the next allocation", get_temporary_count, psc_format_count, EXACT},
    {"Life p50", "half of the blocks lived shorter, in bytes allocated meanwhile", get_lifetime_p50, text_lifetime,
     EXACT},
    {"Life p99", "99 % of the blocks lived shorter, in bytes allocated meanwhile", get_lifetime_p99, text_lifetime,
     EXACT},
};

/* ---- which sites ------------------------------------------------------------------------------------------------- */

struct choice {
    const struct psc_model *model;
    uint32_t *ids; /* ROWS_MAX */
    size_t count;
    unsigned char *chosen; /* per site */
};

static void choose(struct choice *choice, const uint32_t *ids, size_t count, size_t rank) {
    if (rank < count && choice->count < ROWS_MAX && !choice->chosen[ids[rank]]) {
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

static int by_live(const void *a, const void *b, void *model) {
    const struct psc_site *sites = ((const struct psc_model *)model)->sites;
    const struct psc_site *left = &sites[*(const uint32_t *)a];
    const struct psc_site *right = &sites[*(const uint32_t *)b];
    if (left->live_bytes != right->live_bytes) {
        return left->live_bytes > right->live_bytes ? -1 : 1;
    }
    if (left->pinned_bytes != right->pinned_bytes) {
        return left->pinned_bytes > right->pinned_bytes ? -1 : 1;
    }
    return left->peak_live_bytes != right->peak_live_bytes ? (left->peak_live_bytes > right->peak_live_bytes ? -1 : 1)
                                                           : 0;
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

/* Takes the first of each ranking in turn until the table is full. Returns the number of sites there are. */
static size_t choose_sites(struct choice *choice) {
    const struct psc_model *model = choice->model;
    uint32_t *allocated = psc_array_new(model->site_count, sizeof(*allocated));
    size_t count = rank_allocated(model, allocated);
    for (size_t rank = 0; rank < count && choice->count < ROWS_MAX; rank++) {
        choose(choice, model->by_live, model->by_live_count, rank);
        choose(choice, model->by_pinned, model->by_pinned_count, rank);
        choose(choice, model->by_peak, model->by_peak_count, rank);
        choose(choice, allocated, count, rank);
    }
    free(allocated);
    qsort_r(choice->ids, choice->count, sizeof(*choice->ids), by_live, (void *)model);
    return count;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool known(const char *text) {
    return text != NULL && text[0] != '\0';
}

static void write_place(const struct psc_frame *frame, bool whole, FILE *out) {
    if (known(frame->file)) {
        psc_html_text(out, whole ? frame->file : last_part(frame->file));
        if (frame->line != 0) {
            fprintf(out, ":%" PRIu32, frame->line);
        }
    } else if (known(frame->module)) {
        psc_html_text(out, last_part(frame->module));
    }
}

/* A long name is shown short, and whole where the pointer rests. */
static void write_function(const char *function, FILE *out) {
    char text[1024];
    if (strlen(function) <= FUNCTION_WHOLE_MAX) {
        fputs("<code>", out);
        psc_html_text(out, function);
    } else {
        psc_text_function(function, text, sizeof(text));
        psc_text_clip(text, sizeof(text), FUNCTION_WHOLE_MAX);
        fputs("<code title=\"", out);
        psc_html_text(out, function);
        fputs("\">", out);
        psc_html_text(out, text);
    }
    fputs("</code>", out);
}

static void write_frame(const struct psc_frame *frame, bool entry, FILE *out) {
    fprintf(out, "<li%s>", entry ? " class=entry" : "");
    write_function(frame->function, out);
    fprintf(out, "%s <span class=soft>", frame->inlined ? " (inlined)" : "");
    write_place(frame, true, out);
    fputs("</span></li>\n", out);
}

static bool has_gap(const struct psc_site *site, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (psc_frame_is_gap(&site->frames[i])) {
            return true;
        }
    }
    return false;
}

static void write_stack(const struct psc_site *site, FILE *out) {
    size_t skip = psc_site_skip(site);
    size_t count = site->frame_count < FRAMES_PER_STACK_MAX ? site->frame_count : FRAMES_PER_STACK_MAX;
    fputs("<ol>\n", out);
    for (size_t i = 0; i < count; i++) {
        write_frame(&site->frames[i], i < skip, out);
    }
    fputs("</ol>", out);
    if (count < site->frame_count) {
        bool gap = site->skip_after != 0 && !has_gap(site, count);
        fprintf(out, "<p class=soft>and %zu outer frames%s</p>", site->frame_count - count - gap,
                gap ? ", with others left out between them" : "");
    }
}

static void write_caller(const struct psc_site *site, FILE *out) {
    char function[1024];
    const char *caller = psc_text_site_caller(site);
    if (caller != NULL) {
        psc_text_function(caller, function, sizeof(function));
        psc_text_clip(function, sizeof(function), FUNCTION_COLUMNS);
        fputs(" ← ", out);
        psc_html_text(out, function);
    }
}

/* Returns how many frames were written. */
static size_t write_name(const struct psc_site *site, bool with_stack, FILE *out) {
    char function[1024];
    const struct psc_frame *frame = psc_text_site_frame(site);
    fputs("<td data-v=\"", out);
    psc_html_text(out, frame == NULL ? "" : frame->function);
    fputs("\">", out);
    if (frame == NULL) {
        fprintf(out, "#%" PRIu32 " (unknown: no stack)</td>", site->id);
        return 0;
    }
    psc_text_function(frame->function, function, sizeof(function));
    psc_text_clip(function, sizeof(function), FUNCTION_COLUMNS);
    fprintf(out, "%s<span class=soft>#%" PRIu32 "</span> <code>", with_stack ? "<details><summary>" : "", site->id);
    psc_html_text(out, function);
    fputs("</code> <span class=soft>", out);
    write_place(frame, false, out);
    write_caller(site, out);
    fprintf(out, "</span>%s", with_stack ? "</summary>" : "");
    if (with_stack) {
        write_stack(site, out);
        fputs("</details>", out);
    }
    fputs("</td>", out);
    return with_stack ? site->frame_count : 0;
}

static bool is_shown(const struct psc_model *model, const struct column *column) {
    return !column->sampled_only || psc_model_is_sampled(model);
}

static struct psc_text figure(const struct psc_model *model, const struct psc_site *site, const struct column *column) {
    uint64_t value = column->value(site);
    if (column->range == 0 || !psc_model_is_sampled(model)) {
        return column->text(value);
    }
    const void *range = (const char *)site + column->range;
    return column->estimate(value, psc_range_error(*(const struct psc_range *)range));
}

static size_t write_row(const struct psc_model *model, const struct psc_site *site, bool with_stack, FILE *out) {
    fputs("<tr>", out);
    size_t frames = write_name(site, with_stack, out);
    for (size_t i = 0; i < PSC_COUNT_OF(columns); i++) {
        if (is_shown(model, &columns[i])) {
            fprintf(out, "<td class=n data-v=%" PRIu64 ">%s</td>", columns[i].value(site),
                    figure(model, site, &columns[i]).s);
        }
    }
    fputs("</tr>\n", out);
    return frames;
}

static void write_head(const struct psc_model *model, FILE *out) {
    fputs("<thead><tr><th><button type=button>Site</button></th>", out);
    for (size_t i = 0; i < PSC_COUNT_OF(columns); i++) {
        if (is_shown(model, &columns[i])) {
            fprintf(out, "<th class=n title=\"%s\"%s><button type=button>%s</button></th>", columns[i].hint,
                    i == 0 ? " aria-sort=descending" : "", columns[i].head);
        }
    }
    fputs("</tr></thead>\n", out);
}

static size_t write_rows(struct psc_model *model, const struct choice *choice, FILE *out) {
    size_t frames = 0;
    size_t bare = 0;
    for (size_t i = 0; i < choice->count; i++) {
        struct psc_site *site = &model->sites[choice->ids[i]];
        bool with_stack = frames < FRAMES_MAX;
        psc_model_symbolize(model, site);
        frames += write_row(model, site, with_stack, out);
        bare += !with_stack;
    }
    return bare;
}

static void write_table(struct psc_model *model, const struct choice *choice, FILE *out) {
    fputs("<input id=filter type=search placeholder=\"filter by function, file, module\" aria-label=filter>"
          "<span id=shown class=soft></span>\n<div class=scroll><table id=sites>\n",
          out);
    write_head(model, out);
    fputs("<tbody>\n", out);
    size_t bare = write_rows(model, choice, out);
    fputs("</tbody></table></div>\n", out);
    if (bare != 0) {
        fprintf(out, "<p class=soft>To keep the page small, %s rows come without their stacks.</p>\n",
                psc_format_count(bare).s);
    }
}

static void write_intro(size_t shown, size_t all, FILE *out) {
    fputs("<p>A site is a distinct allocation stack. Click on a site for its stack, on a heading to sort. ", out);
    if (shown < all) {
        fprintf(out, "%s of %s sites are shown: those with most live, pinned and allocated bytes.</p>\n",
                psc_format_count(shown).s, psc_format_count(all).s);
    } else {
        fprintf(out, "All %s sites are shown.</p>\n", psc_format_count(all).s);
    }
}

void psc_page_sites(struct psc_model *model, FILE *out) {
    struct choice choice = {.model = model,
                            .ids = psc_array_new(ROWS_MAX, sizeof(*choice.ids)),
                            .chosen = psc_array_new(model->site_count, 1)};
    size_t all = choose_sites(&choice);
    if (choice.count != 0) {
        fputs("<h2>Sites</h2>\n<div class=card>\n", out);
        write_intro(choice.count, all, out);
        write_table(model, &choice, out);
        fputs("</div>\n", out);
    }
    free(choice.ids);
    free(choice.chosen);
}
