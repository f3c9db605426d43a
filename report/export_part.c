#include "report/export_part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/format.h"
#include "report/progress.h"

#define FIGURE_ROW(constant, name, pprof, unit, title, field)                                                          \
    [PSC_EXPORT_##constant] = {name, pprof, unit, title, offsetof(struct psc_site, field)},
const struct psc_export_figure_row psc_export_figures[PSC_EXPORT_FIGURE_COUNT] = {PSC_EXPORT_FIGURES(FIGURE_ROW)};

uint64_t psc_export_figure_of(const struct psc_site *site, enum psc_export_figure figure) {
    uint64_t value;
    memcpy(&value, (const char *)site + psc_export_figures[figure].offset, sizeof(value));
    return value;
}

/* ---- all sites --------------------------------------------------------------------------------------------------- */

/* Of blocks that no sample tells of it is known that they are live, and no more. */
static struct psc_site as_site(const struct psc_not_sampled *rest) {
    return (struct psc_site){
        .live_count = rest->live_count, .live_bytes = rest->live_bytes, .pinned_bytes = rest->pinned_bytes};
}

static void take_values(struct psc_export_stack *stack, const struct psc_site *site) {
    for (enum psc_export_figure k = 0; k < PSC_EXPORT_FIGURE_COUNT; k++) {
        stack->values[k] = psc_export_figure_of(site, k);
    }
}

size_t psc_export_skipped(const struct psc_site *site) {
    size_t skip = psc_site_skip(site), addresses = 0;
    for (size_t i = 0; i < skip; i++) {
        addresses += !site->frames[i].inlined;
    }
    return addresses;
}

static bool visit_site(struct psc_model *model, struct psc_site *site, psc_export_visitor *visit, void *context) {
    static const struct psc_frame unknown = {.function = "(unknown)"};
    psc_model_symbolize(model, site);
    struct psc_export_stack stack = {.site = site, .frames = &unknown, .count = 1};
    if (site->frame_count != 0) {
        size_t skip = psc_site_skip(site);
        stack.frames = site->frames + skip;
        stack.count = site->frame_count - skip;
        stack.skipped = psc_export_skipped(site);
    }
    take_values(&stack, site);
    bool go_on = visit(context, &stack);
    psc_model_forget_frames(site);
    return go_on;
}

static void visit_rest(const struct psc_not_sampled *rest, psc_export_visitor *visit, void *context) {
    static const struct psc_frame not_sampled = {.function = "(not sampled)"};
    struct psc_export_stack stack = {.frames = &not_sampled, .count = 1};
    struct psc_site site = as_site(rest);
    take_values(&stack, &site);
    if ((rest->live_count | rest->live_bytes | rest->pinned_bytes) != 0) {
        visit(context, &stack);
    }
}

void psc_export_each(struct psc_model *model, psc_export_visitor *visit, void *context) {
    bool go_on = true;
    for (size_t i = 0; i < model->site_count && go_on; i++) {
        if (psc_site_is_used(&model->sites[i])) {
            go_on = visit_site(model, &model->sites[i], visit, context);
            psc_progress_show("names of functions", i + 1, model->site_count);
        }
    }
    psc_progress_clear();
    if (go_on) {
        visit_rest(&model->not_sampled, visit, context);
    }
}

uint64_t psc_export_sum(const struct psc_model *model, enum psc_export_figure figure) {
    struct psc_site rest = as_site(&model->not_sampled);
    uint64_t sum = psc_export_figure_of(&rest, figure);
    for (size_t i = 0; i < model->site_count; i++) {
        sum += psc_site_is_used(&model->sites[i]) ? psc_export_figure_of(&model->sites[i], figure) : 0;
    }
    return sum;
}

/* ---- stacks in order --------------------------------------------------------------------------------------------- */

uint64_t psc_export_address(const struct psc_export_path *path, size_t depth) {
    size_t index = path->first + depth, gap = path->site->skip_after;
    if (gap != 0 && index >= gap) {
        return index == gap ? 0 : path->site->raw.addresses[index - 1];
    }
    return path->site->raw.addresses[index];
}

static int compare_paths(const void *left, const void *right) {
    const struct psc_export_path *a = left, *b = right;
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        uint64_t x = psc_export_address(a, i), y = psc_export_address(b, i);
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    return a->site->id < b->site->id ? -1 : a->site->id > b->site->id;
}

bool psc_export_same(const struct psc_export_path *a, const struct psc_export_path *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = psc_export_address(a, i) == psc_export_address(b, i);
    }
    return same;
}

static uint32_t skip_of(struct psc_model *model, struct psc_site *site) {
    psc_model_symbolize(model, site);
    size_t skipped = psc_export_skipped(site);
    psc_model_forget_frames(site);
    return (uint32_t)(skipped < site->raw.count ? skipped : 0);
}

static struct psc_export_path path_of(struct psc_model *model, struct psc_site *site, bool skip) {
    uint32_t first = skip ? skip_of(model, site) : 0;
    bool has_gap = site->skip_after > first && site->skip_after <= site->raw.count;
    return (struct psc_export_path){site, first, (uint32_t)site->raw.count - first + has_gap};
}

struct psc_export_path *psc_export_paths(struct psc_model *model, enum psc_export_figure figure, bool skip,
                                         size_t *count) {
    struct psc_export_path *paths = psc_array_new(model->site_count, sizeof(*paths));
    *count = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        struct psc_site *site = &model->sites[i];
        if (psc_site_is_used(site) && psc_export_figure_of(site, figure) != 0) {
            paths[(*count)++] = path_of(model, site, skip);
            psc_progress_show("stacks", i + 1, model->site_count);
        }
    }
    psc_progress_clear();
    if (*count > 1) {
        qsort(paths, *count, sizeof(*paths), compare_paths);
    }
    return paths;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

void psc_export_put(FILE *out, const char *text, const char *reserved, const char *instead) {
    while (*text != '\0') {
        uint32_t character;
        unsigned length = psc_format_decode(text, &character);
        const char *found = length == 1 ? strchr(reserved, *text) : NULL;
        if (length == 0 || psc_format_is_control(character)) {
            fputc('?', out);
        } else if (found != NULL) {
            fputc(instead[found - reserved], out);
        } else {
            fwrite(text, 1, length, out);
        }
        text += length == 0 ? 1 : length;
    }
}

char *psc_export_command(const struct psc_process *process) {
    size_t bytes = 1;
    for (size_t i = 0; i < process->argc; i++) {
        bytes += strlen(process->argv[i]) + 1;
    }
    char *command = psc_array_new(bytes, 1), *at = command;
    for (size_t i = 0; i < process->argc; i++) {
        at = stpcpy(stpcpy(at, i == 0 ? "" : " "), process->argv[i]);
    }
    return command;
}

const char *psc_export_label(char buffer[PSC_EXPORT_LABEL_BYTES], const struct psc_frame *frame) {
    const size_t room = PSC_EXPORT_LABEL_BYTES;
    bool has_file = frame->file != NULL && *frame->file != '\0';
    bool has_module = frame->module != NULL && *frame->module != '\0';
    if (frame->address == 0) {
        snprintf(buffer, room, "%s", frame->function);
    } else if (has_file && frame->line != 0) {
        snprintf(buffer, room, "0x%" PRIX64 ": %s (%s:%" PRIu32 ")", frame->address, frame->function,
                 basename(frame->file), frame->line);
    } else if (has_module || has_file) {
        snprintf(buffer, room, "0x%" PRIX64 ": %s (in %s)", frame->address, frame->function,
                 basename(has_module ? frame->module : frame->file));
    } else {
        snprintf(buffer, room, "0x%" PRIX64 ": %s", frame->address, frame->function);
    }
    return buffer;
}
