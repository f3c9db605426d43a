/* export --to=speedscope: the file format of speedscope.app, a profile for each figure. The frames, which all profiles
 * share, come last: they are known when the stacks have been written. */
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/emit.h"
#include "report/export_part.h"
#include "report/intern.h"

struct speedscope {
    struct psc_emit emit;
    enum psc_export_figure figure;
    struct psc_intern pointers; /* of what was met before, without looking at its bytes */
    uint32_t *numbers;          /* of their frames */
    size_t number_capacity;
    struct psc_intern contents;
    struct psc_frame *frames; /* by number; their strings live as long as the model */
    size_t frame_capacity;
    uint64_t *weights; /* of the profile at work */
    size_t weight_count;
    size_t weight_capacity;
};

/* Two frames that read the same are one. */
static uint32_t number_by_content(struct speedscope *scope, const struct psc_frame *frame) {
    const char *file = frame->file != NULL ? frame->file : "";
    size_t name_bytes = strlen(frame->function) + 1, file_bytes = strlen(file) + 1;
    char *key = psc_array_new(name_bytes + file_bytes + sizeof(frame->line), 1);
    memcpy(key, frame->function, name_bytes);
    memcpy(key + name_bytes, file, file_bytes);
    memcpy(key + name_bytes + file_bytes, &frame->line, sizeof(frame->line));
    size_t known = scope->contents.count;
    uint32_t number = psc_intern_number(&scope->contents, key, name_bytes + file_bytes + sizeof(frame->line));
    if (number == known) {
        scope->frames = psc_array_reserve(scope->frames, number + 1u, &scope->frame_capacity, sizeof(*scope->frames));
        scope->frames[number] = *frame;
    }
    free(key);
    return number;
}

static uint32_t number_of(struct speedscope *scope, const struct psc_frame *frame) {
    const uintptr_t key[] = {(uintptr_t)frame->function, (uintptr_t)frame->file, frame->line};
    size_t known = scope->pointers.count;
    uint32_t pointers = psc_intern_number(&scope->pointers, key, sizeof(key));
    if (pointers == known) {
        scope->numbers =
            psc_array_reserve(scope->numbers, pointers + 1u, &scope->number_capacity, sizeof(*scope->numbers));
        scope->numbers[pointers] = number_by_content(scope, frame);
    }
    return scope->numbers[pointers];
}

/* Outermost frame first. */
static bool write_stack(void *context, const struct psc_export_stack *stack) {
    struct speedscope *scope = context;
    uint64_t value = stack->values[scope->figure];
    if (value == 0) {
        return true;
    }
    psc_emit_open(&scope->emit, NULL, '[');
    for (size_t i = stack->count; i > 0; i--) {
        psc_emit_number(&scope->emit, NULL, number_of(scope, &stack->frames[i - 1]));
    }
    psc_emit_close(&scope->emit, '[');
    scope->weights =
        psc_array_reserve(scope->weights, scope->weight_count + 1, &scope->weight_capacity, sizeof(*scope->weights));
    scope->weights[scope->weight_count++] = value;
    return !ferror(scope->emit.out);
}

static void write_profile(struct speedscope *scope, struct psc_model *model, enum psc_export_figure figure) {
    const struct psc_export_figure_row *row = &psc_export_figures[figure];
    struct psc_emit *emit = &scope->emit;
    scope->figure = figure;
    scope->weight_count = 0;
    psc_emit_open(emit, NULL, '{');
    psc_emit_text(emit, "type", "sampled");
    psc_emit_text(emit, "name", row->title);
    psc_emit_text(emit, "unit", strcmp(row->unit, "bytes") == 0 ? "bytes" : "none");
    psc_emit_number(emit, "startValue", 0);
    psc_emit_number(emit, "endValue", psc_export_sum(model, figure));
    psc_emit_open(emit, "samples", '[');
    psc_export_each(model, write_stack, scope);
    psc_emit_close(emit, '[');
    psc_emit_open(emit, "weights", '[');
    for (size_t i = 0; i < scope->weight_count; i++) {
        psc_emit_number(emit, NULL, scope->weights[i]);
    }
    psc_emit_close(emit, '[');
    psc_emit_close(emit, '{');
}

/* The one that was asked for, or those of bytes that are not 0; that of live bytes at any rate. */
static void write_profiles(struct speedscope *scope, struct psc_model *model, enum psc_export_figure wanted) {
    static const enum psc_export_figure all[] = {PSC_EXPORT_LIVE, PSC_EXPORT_PINNED, PSC_EXPORT_PEAK, PSC_EXPORT_ALLOC};
    psc_emit_open(&scope->emit, "profiles", '[');
    if (wanted != PSC_EXPORT_FIGURE_COUNT) {
        write_profile(scope, model, wanted);
    }
    for (size_t i = 0; wanted == PSC_EXPORT_FIGURE_COUNT && i < PSC_COUNT_OF(all); i++) {
        if (i == 0 || psc_export_sum(model, all[i]) != 0) {
            write_profile(scope, model, all[i]);
        }
    }
    psc_emit_close(&scope->emit, '[');
}

static void write_frames(struct speedscope *scope) {
    struct psc_emit *emit = &scope->emit;
    psc_emit_open(emit, "shared", '{');
    psc_emit_open(emit, "frames", '[');
    for (size_t i = 0; i < scope->contents.count; i++) {
        const struct psc_frame *frame = &scope->frames[i];
        psc_emit_open(emit, NULL, '{');
        psc_emit_text(emit, "name", frame->function);
        if (frame->file != NULL && *frame->file != '\0') {
            psc_emit_text(emit, "file", frame->file);
        }
        if (frame->line != 0) {
            psc_emit_number(emit, "line", frame->line);
        }
        psc_emit_close(emit, '{');
    }
    psc_emit_close(emit, '[');
    psc_emit_close(emit, '{');
}

static void write_name(struct psc_emit *emit, const struct psc_process *process) {
    char name[256];
    snprintf(name, sizeof(name), "%.200s (process %u)", psc_process_name(process), process->pid);
    psc_emit_text(emit, "name", name);
}

bool psc_export_speedscope(struct psc_model *model, const struct psc_export_options *options, FILE *out) {
    struct speedscope scope = {0};
    psc_emit_init(&scope.emit, out, 3);
    psc_emit_open(&scope.emit, NULL, '{');
    psc_emit_text(&scope.emit, "$schema", "https://www.speedscope.app/file-format-schema.json");
    write_name(&scope.emit, &model->process);
    psc_emit_text(&scope.emit, "exporter", "poolscope");
    psc_emit_number(&scope.emit, "activeProfileIndex", 0);
    write_profiles(&scope, model, options->figure);
    write_frames(&scope);
    psc_emit_close(&scope.emit, '{');
    psc_intern_release(&scope.pointers);
    psc_intern_release(&scope.contents);
    free(scope.numbers);
    free(scope.frames);
    free(scope.weights);
    return !ferror(out);
}
