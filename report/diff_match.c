#include "report/diff_match.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/format.h"
#include "report/intern.h"

#define RECENT 4096 /* frames whose number is remembered: most stacks share most of theirs */

/* Strings of frames are kept once, so that a frame is known by where they are. */
struct recent {
    const char *function;
    const char *module;
    const char *file;
    uint32_t line;
    uint32_t number;
};

struct psc_diff_matcher {
    bool lines;
    struct psc_intern frames;
    struct psc_intern stacks; /* of numbers of frames */
    struct recent recent[RECENT];
    uint32_t *numbers;
    size_t capacity;
};

struct psc_diff_matcher *psc_diff_match_open(bool lines) {
    struct psc_diff_matcher *matcher = psc_array_new(1, sizeof(*matcher));
    matcher->lines = lines;
    return matcher;
}

void psc_diff_match_close(struct psc_diff_matcher *matcher) {
    psc_intern_release(&matcher->frames);
    psc_intern_release(&matcher->stacks);
    free(matcher->numbers);
    free(matcher);
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL || slash[1] == '\0' ? path : slash + 1;
}

/* "3.11" of "python3.11", "-2.0" of "libglib-2.0": how long `name` is without. */
static size_t without_version(const char *name, size_t length) {
    size_t start = length;
    bool dotted = false;
    while (start > 0 && (isdigit((unsigned char)name[start - 1]) || name[start - 1] == '.')) {
        start--;
        dotted |= name[start] == '.' && start + 1 < length;
    }
    bool dashed = start > 0 && start < length && name[start - 1] == '-';
    start -= dashed;
    return (dotted || dashed) && start > 0 ? start : length;
}

const char *psc_diff_match_module(char buffer[PSC_DIFF_NAME_BYTES], const struct psc_model *model, const char *path) {
    const char *name = last_part(path);
    /* paths of frames have been made printable */
    if (strcmp(path, psc_format_plain(buffer, PSC_DIFF_NAME_BYTES, model->process.exe)) == 0) {
        name = "";
    } else if (strncmp(name, "perf-", 5) == 0 && strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".map") == 0) {
        name = "perf.map"; /* code that the process made; the rest is its number */
    }
    const char *library = strstr(name, ".so");
    bool is_library = library != NULL && (library[3] == '\0' || library[3] == '.');
    size_t length = without_version(name, is_library ? (size_t)(library - name) : strlen(name));
    snprintf(buffer, PSC_DIFF_NAME_BYTES, "%.*s%s", (int)length, name, is_library ? ".so" : "");
    return buffer;
}

/* "::h0123456789abcdef" at the end of a name that was demangled by the older rule of Rust. */
static size_t without_hash(const char *name, size_t length) {
    const size_t digits = 16, whole = digits + strlen("::h");
    if (length <= whole || strncmp(name + length - whole, "::h", 3) != 0 ||
        strspn(name + length - digits, "0123456789abcdef") != digits) {
        return length;
    }
    return length - whole;
}

const char *psc_diff_match_function(char buffer[PSC_DIFF_NAME_BYTES], const char *name) {
    static const char *const marks[] = {" [clone ", ".constprop.", ".isra.", ".part.",
                                        ".cold",    ".lto_priv.",  ".llvm.", "@"};
    size_t length = strlen(name);
    for (size_t i = 0; i < PSC_COUNT_OF(marks); i++) {
        const char *mark = strstr(name, marks[i]);
        if (mark != NULL && mark != name && (size_t)(mark - name) < length) {
            length = (size_t)(mark - name);
        }
    }
    length = without_hash(name, length);
    snprintf(buffer, PSC_DIFF_NAME_BYTES, "%.*s", (int)(length < PSC_DIFF_NAME_BYTES ? length : PSC_DIFF_NAME_BYTES),
             name);
    return buffer;
}

const char *psc_diff_match_offset(const struct psc_frame *frame) {
    if (frame->module == NULL || *frame->module == '\0') {
        return NULL;
    }
    const char *name = last_part(frame->module);
    size_t length = strlen(name);
    bool is_offset = strncmp(frame->function, name, length) == 0 && strncmp(frame->function + length, "+0x", 3) == 0;
    return is_offset ? frame->function + length : NULL;
}

/* ---- frames and stacks ----------------------------------------------------------------------------------------- */

static uint32_t name_frame(struct psc_diff_matcher *matcher, const struct psc_model *model,
                           const struct psc_frame *frame) {
    char function[PSC_DIFF_NAME_BYTES], module[PSC_DIFF_NAME_BYTES], text[3 * PSC_DIFF_NAME_BYTES];
    const char *offset = psc_diff_match_offset(frame);
    bool nowhere = frame->module == NULL || *frame->module == '\0';
    bool address = nowhere && strncmp(frame->function, "0x", 2) == 0; /* where code lies is chance */
    int length = snprintf(text, sizeof(text), "%s\n%s\n%s",
                          nowhere ? "(none)" : psc_diff_match_module(module, model, frame->module),
                          offset != NULL ? "offset"
                          : address      ? "address"
                                         : "name",
                          offset != NULL ? offset
                          : address      ? ""
                                         : psc_diff_match_function(function, frame->function));
    if (matcher->lines && frame->file != NULL) {
        length += snprintf(text + length, sizeof(text) - (size_t)length, "\n%.*s:%" PRIu32, PSC_DIFF_NAME_BYTES / 2,
                           last_part(frame->file), frame->line);
    }
    return psc_intern_number(&matcher->frames, text, (size_t)length);
}

static uint32_t number_frame(struct psc_diff_matcher *matcher, const struct psc_model *model,
                             const struct psc_frame *frame) {
    uintptr_t mixed = (uintptr_t)frame->function / 8 + (uintptr_t)frame->module / 64 + frame->line * 31u;
    struct recent *recent = &matcher->recent[mixed % RECENT];
    bool same = recent->function == frame->function && recent->module == frame->module && recent->file == frame->file &&
                recent->line == frame->line;
    if (!same) {
        *recent = (struct recent){frame->function, frame->module, frame->file, frame->line,
                                  name_frame(matcher, model, frame)};
    }
    return recent->number;
}

uint32_t psc_diff_match_site(struct psc_diff_matcher *matcher, const struct psc_model *model,
                             const struct psc_site *site) {
    size_t count = 0;
    matcher->numbers =
        psc_array_reserve(matcher->numbers, site->frame_count + 1, &matcher->capacity, sizeof(*matcher->numbers));
    for (size_t i = psc_site_skip(site); i < site->frame_count; i++) {
        matcher->numbers[count++] = number_frame(matcher, model, &site->frames[i]);
    }
    return psc_intern_number(&matcher->stacks, matcher->numbers, count * sizeof(*matcher->numbers));
}
