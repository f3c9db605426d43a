#include "report/diff_warn.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/diff_match.h"
#include "report/format.h"
#include "report/report.h"
#include "report/symbols.h"

#define NAMELESS_MAX 8 /* modules without names that are looked at, in each trace */

struct psc_diff_warner {
    struct psc_diff *diff;
    const char *nameless[PSC_DIFF_SIDES][NAMELESS_MAX]; /* paths of modules */
    size_t nameless_count[PSC_DIFF_SIDES];
};

static const char *const side_names[PSC_DIFF_SIDES] = {"OLD", "NEW"};

PSC_PRINTF(2, 3) static void warn(struct psc_diff *diff, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    diff->warnings =
        psc_array_reserve(diff->warnings, diff->warning_count + 1, &diff->warning_capacity, sizeof(*diff->warnings));
    diff->warnings[diff->warning_count++] = psc_array_text(text);
}

struct psc_diff_warner *psc_diff_warn_open(struct psc_diff *diff) {
    struct psc_diff_warner *warner = psc_array_new(1, sizeof(*warner));
    warner->diff = diff;
    return warner;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

static void add_nameless(struct psc_diff_warner *warner, enum psc_diff_side side, const char *module) {
    size_t *count = &warner->nameless_count[side];
    for (size_t i = 0; i < *count; i++) {
        if (warner->nameless[side][i] == module) {
            return; /* paths of frames are kept once */
        }
    }
    if (*count < NAMELESS_MAX) {
        warner->nameless[side][(*count)++] = module;
    }
}

void psc_diff_warn_site(struct psc_diff_warner *warner, enum psc_diff_side side, const struct psc_site *site) {
    for (size_t i = psc_site_skip(site); i < site->frame_count; i++) {
        if (psc_diff_match_offset(&site->frames[i]) != NULL) {
            add_nameless(warner, side, site->frames[i].module);
        }
    }
}

/* The module of this name without version; SIZE_MAX if there is none. */
static size_t find_module(const struct psc_model *model, const char *name) {
    char other[PSC_DIFF_NAME_BYTES], path[PSC_DIFF_NAME_BYTES];
    for (size_t i = 0; i < model->module_count; i++) {
        if (model->modules[i].path == NULL) {
            continue; /* the row is not in use */
        }
        psc_format_plain(path, sizeof(path), model->modules[i].path);
        if (strcmp(psc_diff_match_module(other, model, path), name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool is_same_build(const struct psc_module *a, const struct psc_module *b) {
    return a->build_id_bytes == b->build_id_bytes && a->build_id_bytes != 0 &&
           memcmp(a->build_id, b->build_id, a->build_id_bytes) == 0;
}

static bool is_nameless(const struct psc_diff_warner *warner, enum psc_diff_side side, const char *name) {
    char other[PSC_DIFF_NAME_BYTES];
    for (size_t i = 0; i < warner->nameless_count[side]; i++) {
        psc_diff_match_module(other, warner->diff->models[side], warner->nameless[side][i]);
        if (strcmp(other, name) == 0) {
            return true;
        }
    }
    return false;
}

static const char *why_nameless(const struct psc_model *model, size_t module) {
    switch (psc_symbols_module_state(model->symbols, module)) {
    case PSC_SYMBOLS_MISSING: return "its file is gone";
    case PSC_SYMBOLS_OTHER_BUILD: return "another build is in its place";
    default: return "its file has no symbols";
    }
}

/* Offsets match where both traces are of the same build and both have nothing else. */
static void warn_nameless(struct psc_diff_warner *warner, enum psc_diff_side side, const char *path) {
    enum psc_diff_side there = side == PSC_DIFF_OLD ? PSC_DIFF_NEW : PSC_DIFF_OLD;
    const struct psc_model *model = warner->diff->models[side], *other = warner->diff->models[there];
    char name[PSC_DIFF_NAME_BYTES];
    psc_diff_match_module(name, model, path);
    size_t here = find_module(model, name), its_like = find_module(other, name);
    if (here == SIZE_MAX || its_like == SIZE_MAX) {
        return; /* nothing could match anyway */
    }
    if (!is_nameless(warner, there, name) || !is_same_build(&model->modules[here], &other->modules[its_like])) {
        warn(warner->diff,
             "%s has no names for functions of %.256s (%s): what leads through it matches by offset alone; 'poolscope "
             "report --embed TRACE' keeps names while a program is as it was",
             side_names[side], path, why_nameless(model, here));
    }
}

/* ---- the two runs ---------------------------------------------------------------------------------------------- */

static void warn_programs(struct psc_diff *diff) {
    const char *old = psc_process_name(&diff->models[PSC_DIFF_OLD]->process);
    const char *new = psc_process_name(&diff->models[PSC_DIFF_NEW]->process);
    if (strcmp(old, new) != 0) {
        warn(diff, "OLD is of the program %.128s, NEW of %.128s", old, new);
    }
}

static void warn_sampling(struct psc_diff *diff) {
    const struct psc_sampling *old = &diff->models[PSC_DIFF_OLD]->sampling;
    const struct psc_sampling *new = &diff->models[PSC_DIFF_NEW]->sampling;
    if (old->mode != new->mode) {
        struct psc_text name;
        snprintf(name.s, sizeof(name.s), "%s", psc_report_mode_name(old->mode)); /* the next call takes its place */
        warn(diff, "OLD was recorded with mode=%s, NEW with mode=%s", name.s, psc_report_mode_name(new->mode));
    } else if (old->mode == PSC_MODE_SAMPLE && old->interval_bytes != new->interval_bytes) {
        warn(diff, "OLD has a sample every %" PRIu64 " bytes, NEW every %" PRIu64, old->interval_bytes,
             new->interval_bytes);
    }
    if (old->depth != new->depth) {
        warn(diff, "OLD keeps %" PRIu32 " frames of a stack, NEW %" PRIu32 ": deeper ones do not match", old->depth,
             new->depth);
    }
}

static void warn_trace(struct psc_diff *diff, enum psc_diff_side side) {
    const struct psc_model *model = diff->models[side];
    size_t damaged = 0;
    for (size_t i = 0; i < model->note_count; i++) {
        damaged += model->notes[i].warning;
    }
    if (damaged != 0) {
        warn(diff, "%s is damaged in %zu %s, which 'poolscope report' tells: it is compared as far as it could be read",
             side_names[side], damaged, damaged == 1 ? "place" : "places");
    }
    if ((model->process.flags & PSC_TRACE_PASSIVE) != 0) {
        warn(diff, "nothing is known of %s: its program brings its own malloc", side_names[side]);
    } else if ((model->process.flags & PSC_TRACE_STOPPED) != 0) {
        warn(diff, "the recording of %s stopped before the end", side_names[side]);
    }
    if (model->process.end == PSC_PROCESS_RUNNING) {
        warn(diff, "the process of %s is still running: its figures are those of now", side_names[side]);
    }
}

void psc_diff_warn_finish(struct psc_diff_warner *warner) {
    struct psc_diff *diff = warner->diff;
    warn_programs(diff);
    warn_sampling(diff);
    for (enum psc_diff_side side = 0; side < PSC_DIFF_SIDES; side++) {
        warn_trace(diff, side);
        for (size_t i = 0; i < warner->nameless_count[side]; i++) {
            warn_nameless(warner, side, warner->nameless[side][i]);
        }
    }
    free(warner);
}
