/* export --to=pprof: a Profile of github.com/google/pprof/proto/profile.proto, compressed with gzip. Its parts are written
 * as they come up, each once; what refers to a part may stand before it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "report/array.h"
#include "report/export_part.h"
#include "report/format.h"
#include "report/intern.h"
#include "report/protobuf.h"

/* Numbers of the fields. */
enum profile_field {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING_TABLE = 6,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_SAMPLE_TYPE = 14,
};
enum value_type_field { VALUE_TYPE_TYPE = 1, VALUE_TYPE_UNIT = 2 };
enum sample_field { SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE = 2 };
enum mapping_field {
    MAPPING_ID = 1,
    MAPPING_MEMORY_START = 2,
    MAPPING_MEMORY_LIMIT = 3,
    MAPPING_FILENAME = 5,
    MAPPING_BUILD_ID = 6,
    MAPPING_HAS_FUNCTIONS = 7,
    MAPPING_HAS_FILENAMES = 8,
    MAPPING_HAS_LINE_NUMBERS = 9,
    MAPPING_HAS_INLINE_FRAMES = 10,
};
enum location_field { LOCATION_ID = 1, LOCATION_MAPPING_ID = 2, LOCATION_ADDRESS = 3, LOCATION_LINE = 4 };
enum line_field { LINE_FUNCTION_ID = 1, LINE_LINE = 2 };
enum function_field { FUNCTION_ID = 1, FUNCTION_NAME = 2, FUNCTION_SYSTEM_NAME = 3, FUNCTION_FILENAME = 4 };

struct pprof {
    FILE *out;
    gzFile file;
    struct psc_intern strings;
    struct psc_intern functions;
    struct psc_intern locations;
    struct psc_protobuf profile; /* fields of the profile that were not yet written */
    struct psc_protobuf part;    /* one of its messages */
    struct psc_protobuf line;    /* in it */
    uint64_t *ids;               /* of the locations of a stack */
    size_t id_capacity;
    size_t module_count;
    int error; /* errno of the first write that failed, or 0 */
};

/* What makes a function or a location another one. */
struct function_key {
    uint64_t name;
    uint64_t file;
};
struct location_key {
    uint64_t address;
    uint64_t module;
    uint64_t lines;    /* fewer where the innermost are entry points of the allocator */
    uint64_t function; /* of what stands for no address, else 0 */
};

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/* Writes what has been gathered. */
static void flush(struct pprof *pprof) {
    for (size_t at = 0; at < pprof->profile.count && pprof->error == 0;) {
        size_t left = pprof->profile.count - at;
        int written = gzwrite(pprof->file, pprof->profile.bytes + at, left < 1u << 20 ? (unsigned)left : 1u << 20);
        pprof->error = written > 0 ? 0 : errno;
        at += written > 0 ? (size_t)written : 0;
    }
    pprof->profile.count = 0;
}

static void end_part(struct pprof *pprof, enum profile_field field) {
    psc_protobuf_bytes(&pprof->profile, field, pprof->part.bytes, pprof->part.count);
    pprof->part.count = 0;
}

/* The same with all that is not UTF-8 as U+FFFD, to be freed: readers refuse other strings. */
static char *as_utf8(const char *text) {
    char *valid = psc_array_new(strlen(text) * 3 + 1, 1), *at = valid;
    while (*text != '\0') {
        uint32_t character;
        unsigned length = psc_format_decode(text, &character);
        at = mempcpy(at, length != 0 ? text : "\xef\xbf\xbd", length != 0 ? length : 3);
        text += length != 0 ? length : 1;
    }
    return valid;
}

/* Index in the table of strings. */
static uint64_t string_of(struct pprof *pprof, const char *text) {
    size_t known = pprof->strings.count;
    char *valid = as_utf8(text != NULL ? text : "");
    uint32_t number = psc_intern_number(&pprof->strings, valid, strlen(valid));
    if (number == known) {
        psc_protobuf_bytes(&pprof->profile, PROFILE_STRING_TABLE, valid, strlen(valid));
    }
    free(valid);
    return number;
}

static void add_value_type(struct pprof *pprof, enum profile_field field, const char *type, const char *unit) {
    psc_protobuf_number(&pprof->part, VALUE_TYPE_TYPE, string_of(pprof, type));
    psc_protobuf_number(&pprof->part, VALUE_TYPE_UNIT, string_of(pprof, unit));
    end_part(pprof, field);
}

static void add_mapping(struct pprof *pprof, const struct psc_module *module, size_t index) {
    char build_id[2 * sizeof(module->build_id) + 1] = "";
    for (uint32_t i = 0; i < module->build_id_bytes && i < sizeof(module->build_id); i++) {
        snprintf(build_id + 2 * i, 3, "%02x", module->build_id[i]);
    }
    psc_protobuf_number(&pprof->part, MAPPING_ID, index + 1);
    psc_protobuf_number(&pprof->part, MAPPING_MEMORY_START, module->start);
    psc_protobuf_number(&pprof->part, MAPPING_MEMORY_LIMIT, module->end);
    psc_protobuf_number(&pprof->part, MAPPING_FILENAME, string_of(pprof, module->path));
    psc_protobuf_number(&pprof->part, MAPPING_BUILD_ID, string_of(pprof, build_id));
    /* names have been looked up: readers shall not do so again */
    psc_protobuf_number(&pprof->part, MAPPING_HAS_FUNCTIONS, 1);
    psc_protobuf_number(&pprof->part, MAPPING_HAS_FILENAMES, 1);
    psc_protobuf_number(&pprof->part, MAPPING_HAS_LINE_NUMBERS, 1);
    psc_protobuf_number(&pprof->part, MAPPING_HAS_INLINE_FRAMES, 1);
    end_part(pprof, PROFILE_MAPPING);
}

static bool is_program(const struct psc_model *model, const struct psc_module *module) {
    return module->path != NULL && model->process.exe != NULL && strcmp(module->path, model->process.exe) == 0;
}

/* The first one is the program to readers. */
static void add_mappings(struct pprof *pprof, const struct psc_model *model) {
    for (int others = 0; others < 2; others++) {
        for (size_t i = 0; i < model->module_count; i++) {
            const struct psc_module *module = &model->modules[i];
            if (module->start != 0 && is_program(model, module) == !others) {
                add_mapping(pprof, module, i);
            }
        }
    }
}

static uint64_t function_of(struct pprof *pprof, const struct psc_frame *frame) {
    struct function_key key = {string_of(pprof, frame->function), string_of(pprof, frame->file)};
    size_t known = pprof->functions.count;
    uint64_t id = (uint64_t)psc_intern_number(&pprof->functions, &key, sizeof(key)) + 1;
    if (id > known) {
        psc_protobuf_number(&pprof->part, FUNCTION_ID, id);
        psc_protobuf_number(&pprof->part, FUNCTION_NAME, key.name);
        psc_protobuf_number(&pprof->part, FUNCTION_SYSTEM_NAME, key.name);
        psc_protobuf_number(&pprof->part, FUNCTION_FILENAME, key.file);
        end_part(pprof, PROFILE_FUNCTION);
    }
    return id;
}

static void add_location(struct pprof *pprof, uint64_t id, const struct location_key *key,
                         const struct psc_frame *frames) {
    uint64_t *functions = psc_array_new(key->lines, sizeof(*functions));
    for (uint64_t i = 0; i < key->lines; i++) {
        functions[i] = function_of(pprof, &frames[i]); /* a part of its own: before this one is begun */
    }
    psc_protobuf_number(&pprof->part, LOCATION_ID, id);
    psc_protobuf_number(&pprof->part, LOCATION_MAPPING_ID, key->module < pprof->module_count ? key->module + 1 : 0);
    psc_protobuf_number(&pprof->part, LOCATION_ADDRESS, key->address);
    for (uint64_t i = 0; i < key->lines; i++) {
        pprof->line.count = 0;
        psc_protobuf_number(&pprof->line, LINE_FUNCTION_ID, functions[i]);
        psc_protobuf_number(&pprof->line, LINE_LINE, frames[i].line);
        psc_protobuf_bytes(&pprof->part, LOCATION_LINE, pprof->line.bytes, pprof->line.count);
    }
    end_part(pprof, PROFILE_LOCATION);
    free(functions);
}

/* The innermost frame and those that it is inlined into are one location, at the call before the return address. */
static uint64_t location_of(struct pprof *pprof, const struct psc_frame *frames, size_t lines, uint32_t module) {
    struct location_key key = {.address = frames[0].address != 0 ? frames[0].address - 1 : 0,
                               .module = module,
                               .lines = lines,
                               .function = frames[0].address == 0 ? function_of(pprof, &frames[0]) : 0};
    size_t known = pprof->locations.count;
    uint64_t id = (uint64_t)psc_intern_number(&pprof->locations, &key, sizeof(key)) + 1;
    if (id > known) {
        add_location(pprof, id, &key, frames);
    }
    return id;
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static size_t lines_of(const struct psc_frame *frames, size_t count) {
    size_t lines = 1;
    while (lines < count && frames[lines - 1].inlined) {
        lines++;
    }
    return lines;
}

/* Index of the module of the next address, which frames that stand for none do not take. */
static uint32_t take_module(const struct psc_site *site, const struct psc_frame *frame, size_t *address) {
    if (site == NULL || psc_frame_is_gap(frame) || *address >= site->raw.count) {
        return PSC_MODULE_NONE;
    }
    return site->raw.modules[(*address)++];
}

static bool add_sample(void *context, const struct psc_export_stack *stack) {
    struct pprof *pprof = context;
    size_t count = 0, address = stack->skipped;
    pprof->ids = psc_array_reserve(pprof->ids, stack->count, &pprof->id_capacity, sizeof(*pprof->ids));
    for (size_t i = 0, lines; i < stack->count; i += lines) {
        lines = lines_of(stack->frames + i, stack->count - i);
        uint32_t module = take_module(stack->site, &stack->frames[i], &address);
        pprof->ids[count++] = location_of(pprof, stack->frames + i, lines, module);
    }
    psc_protobuf_numbers(&pprof->part, SAMPLE_LOCATION_ID, pprof->ids, count);
    psc_protobuf_numbers(&pprof->part, SAMPLE_VALUE, stack->values, PSC_EXPORT_FIGURE_COUNT);
    end_part(pprof, PROFILE_SAMPLE);
    flush(pprof);
    return pprof->error == 0;
}

/* ---- the profile ------------------------------------------------------------------------------------------------- */

static void add_comment(struct pprof *pprof, const char *text) {
    psc_protobuf_number(&pprof->profile, PROFILE_COMMENT, string_of(pprof, text));
}

/* What the report would say beside the figures. */
static void add_comments(struct pprof *pprof, const struct psc_model *model) {
    char *command = psc_export_command(&model->process);
    if (*command != '\0') {
        add_comment(pprof, command);
    }
    free(command);
    for (size_t i = 0; i < model->note_count; i++) {
        add_comment(pprof, model->notes[i].text);
    }
}

static void add_head(struct pprof *pprof, const struct psc_model *model) {
    string_of(pprof, ""); /* is the first, by the format */
    for (size_t i = 0; i < PSC_EXPORT_FIGURE_COUNT; i++) {
        add_value_type(pprof, PROFILE_SAMPLE_TYPE, psc_export_figures[i].pprof, psc_export_figures[i].unit);
    }
    add_value_type(pprof, PROFILE_PERIOD_TYPE, "space", "bytes");
    psc_protobuf_number(&pprof->profile, PROFILE_PERIOD,
                        psc_model_is_sampled(model) ? model->sampling.interval_bytes : 1);
    psc_protobuf_number(&pprof->profile, PROFILE_DEFAULT_SAMPLE_TYPE,
                        string_of(pprof, psc_export_figures[PSC_EXPORT_LIVE].pprof));
    psc_protobuf_number(&pprof->profile, PROFILE_TIME_NANOS, model->process.start_realtime_ns);
    psc_protobuf_number(&pprof->profile, PROFILE_DURATION_NANOS, model->process.duration_ns);
    add_mappings(pprof, model);
    add_comments(pprof, model);
    flush(pprof);
}

static void release(struct pprof *pprof) {
    psc_intern_release(&pprof->strings);
    psc_intern_release(&pprof->functions);
    psc_intern_release(&pprof->locations);
    psc_protobuf_release(&pprof->profile);
    psc_protobuf_release(&pprof->part);
    psc_protobuf_release(&pprof->line);
    free(pprof->ids);
}

static bool open_gzip(struct pprof *pprof) {
    int fd = fflush(pprof->out) == 0 ? dup(fileno(pprof->out)) : -1;
    pprof->file = fd >= 0 ? gzdopen(fd, "wb") : NULL;
    if (pprof->file == NULL && fd >= 0) {
        close(fd);
        errno = ENOMEM; /* nothing else can be wrong */
    }
    return pprof->file != NULL;
}

bool psc_export_pprof(struct psc_model *model, const struct psc_export_options *options, FILE *out) {
    (void)options;
    struct pprof pprof = {.out = out, .module_count = model->module_count};
    if (!open_gzip(&pprof)) {
        return false;
    }
    add_head(&pprof, model);
    psc_export_each(model, add_sample, &pprof);
    if (gzclose(pprof.file) != Z_OK && pprof.error == 0) {
        pprof.error = errno;
    }
    release(&pprof);
    errno = pprof.error;
    return pprof.error == 0;
}
