#include "core/track/apart.h"

#include <errno.h>
#include <string.h>

#include "core/base/say.h"
#include "core/track/types.h"
#include "core/wire/apart.h"

#define NO_MODULE UINT32_MAX
#define FRAMES_MAX (PSC_APART_STACKS_MAX * PSC_TRACK_FRAMES_MAX)

struct module {
    uint8_t build_id[sizeof((struct psc_wire_module){0}.build_id)];
    uint32_t build_id_bytes; /* 0: it has none, the path tells */
    const char *path;
};

/* Addresses are counted as the module's program headers do. */
struct range {
    uint32_t group;
    uint32_t module;
    uint64_t start;
    uint64_t end;
};

struct frame {
    uint32_t module; /* NO_MODULE: any address that is in no module */
    uint64_t address;
};

struct stack {
    uint32_t group;
    uint32_t first; /* of its frames, innermost first */
    uint32_t depth;
};

/* Fixed once it is read. */
struct rules {
    uint32_t module_count;
    uint32_t group_count;
    uint32_t range_count;
    uint32_t stack_count;
    uint32_t frame_count;
    struct module modules[PSC_APART_MODULES_MAX];
    struct range ranges[PSC_APART_RANGES_MAX];
    struct stack stacks[PSC_APART_STACKS_MAX];
    struct frame frames[FRAMES_MAX];
    char text[PSC_APART_BYTES_MAX + 1]; /* of the file, cut into words; paths point here */
};

static struct rules *rules; /* NULL: there are none */

/* ---- the file --------------------------------------------------------------------------------------------------- */

/* Cuts off what stands before the separator, or all. */
static char *take(char **rest, char separator) {
    char *word = *rest;
    char *end = strchr(word, separator);
    *rest = end != NULL ? end + 1 : word + strlen(word);
    if (end != NULL) {
        *end = '\0';
    }
    return word;
}

static int digit_of(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *word, uint64_t *value) {
    *value = 0;
    size_t digits = 0;
    for (; digits < 16 && digit_of(word[digits]) >= 0; digits++) {
        *value = *value << 4 | (uint64_t)digit_of(word[digits]);
    }
    return digits > 0 && word[digits] == '\0';
}

static bool read_module(const char *word, uint32_t *module) {
    uint64_t number;
    if (!read_hex(word, &number) || number >= rules->module_count) {
        return false;
    }
    *module = (uint32_t)number;
    return true;
}

static bool read_build_id(const char *word, struct module *module) {
    size_t digits = strlen(word);
    if (strcmp(word, "-") == 0) {
        return true;
    }
    if (digits == 0 || digits % 2 != 0 || digits / 2 > sizeof module->build_id) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        if (digit_of(word[i]) < 0) {
            return false;
        }
        module->build_id[i / 2] = (uint8_t)(module->build_id[i / 2] << 4 | digit_of(word[i]));
    }
    module->build_id_bytes = (uint32_t)(digits / 2);
    return true;
}

static bool take_module(char *rest) {
    if (rules->module_count == PSC_APART_MODULES_MAX) {
        return false;
    }
    struct module *module = &rules->modules[rules->module_count++];
    bool good = read_build_id(take(&rest, ' '), module);
    module->path = rest;
    return good;
}

/* What stands behind the word is for people. */
static bool take_group(char *rest) {
    (void)rest;
    return rules->group_count++ < PSC_APART_GROUPS_MAX;
}

static bool take_range(char *rest) {
    if (rules->range_count == PSC_APART_RANGES_MAX || rules->group_count == 0) {
        return false;
    }
    struct range *range = &rules->ranges[rules->range_count++];
    range->group = rules->group_count;
    return read_module(take(&rest, ' '), &range->module) && read_hex(take(&rest, ' '), &range->start) &&
           read_hex(rest, &range->end);
}

static bool take_stack(char *rest) {
    if (rules->stack_count == PSC_APART_STACKS_MAX || rules->group_count == 0) {
        return false;
    }
    rules->stacks[rules->stack_count++] = (struct stack){.group = rules->group_count, .first = rules->frame_count};
    return *rest == '\0';
}

static bool take_frame(char *rest) {
    struct stack *stack = rules->stack_count > 0 ? &rules->stacks[rules->stack_count - 1] : NULL;
    if (stack == NULL || stack->depth == PSC_TRACK_FRAMES_MAX) {
        return false;
    }
    stack->depth++;
    struct frame *frame = &rules->frames[rules->frame_count++];
    if (strcmp(rest, "-") == 0) {
        frame->module = NO_MODULE;
        return true;
    }
    return read_module(take(&rest, ' '), &frame->module) && read_hex(rest, &frame->address);
}

static bool take_line(char *line) {
    static const struct {
        const char *word;
        bool (*take)(char *rest);
    } kinds[] = {
        {"module", take_module}, {"group", take_group}, {"range", take_range},
        {"stack", take_stack},   {"frame", take_frame},
    };
    const char *word = take(&line, ' ');
    for (size_t i = 0; i < PSC_COUNT_OF(kinds); i++) {
        if (strcmp(word, kinds[i].word) == 0) {
            return kinds[i].take(line);
        }
    }
    return word[0] == '\0' || word[0] == '#';
}

/* 0, or the line that cannot be. */
static uint32_t take_lines(void) {
    char *rest = rules->text;
    if (strcmp(take(&rest, '\n'), PSC_APART_MAGIC) != 0) {
        return 1;
    }
    for (uint32_t number = 2; *rest != '\0'; number++) {
        if (!take_line(take(&rest, '\n'))) {
            return number;
        }
    }
    return 0;
}

static bool read_rules(const char *path) {
    char text[32];
    errno = 0;
    size_t bytes = psc_track_proc_read(path, rules->text, sizeof rules->text);
    if (bytes == 0 && errno != 0) {
        psc_say("cannot read apart=%s: %s: no site has pools of its own", path,
                psc_errno_text(errno, text, sizeof text));
        return false;
    }
    uint32_t line = bytes < PSC_APART_BYTES_MAX ? take_lines() : 1;
    if (line != 0) {
        psc_say("line %u of apart=%s cannot be understood: no site has pools of its own", line, path);
    }
    return line == 0;
}

bool psc_track_apart_read(const char *path) {
    rules = psc_os_map(sizeof *rules);
    if (rules == NULL) {
        psc_say("no memory for apart=%s: no site has pools of its own", path);
        return false;
    }
    if (!read_rules(path)) {
        psc_os_unmap(rules, sizeof *rules);
        rules = NULL;
    }
    return rules != NULL;
}

/* ---- sites ------------------------------------------------------------------------------------------------------- */

#define LEAF_SITES 4096u

static uint8_t *leaves[PSC_SITES_MAX / LEAF_SITES]; /* [site] writes: the group of each site; NULL: 0 of all */
static uint32_t sites_of[PSC_APART_GROUPS_MAX + 1]; /* [site] */

void psc_track_apart_reset(void) {
    memset(leaves, 0, sizeof leaves);
    memset(sites_of, 0, sizeof sites_of);
}

/* A return address, as its module has it. */
struct place {
    const struct psc_wire_module *row; /* NULL: in no module */
    uint64_t address;
};

static struct place place_of(uint64_t frame) {
    const struct psc_wire_module *row = psc_track_module_of(frame - 1);
    return (struct place){row, row != NULL ? frame - row->bias : frame};
}

static bool is_in(const struct place *place, uint32_t number) {
    if (number == NO_MODULE || place->row == NULL) {
        return number == NO_MODULE && place->row == NULL;
    }
    const struct module *module = &rules->modules[number];
    if (module->build_id_bytes > 0) {
        return module->build_id_bytes == place->row->build_id_bytes &&
               memcmp(module->build_id, place->row->build_id, module->build_id_bytes) == 0;
    }
    return strcmp(module->path, place->row->path) == 0;
}

/* The byte before a return address belongs to the call. */
static bool is_in_range(const struct place *place, const struct range *range) {
    uint64_t call = place->address - 1;
    return call >= range->start && call < range->end && is_in(place, range->module);
}

static uint32_t first_group(uint32_t a, uint32_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint32_t group_by_ranges(const uint64_t *frames, uint32_t depth) {
    uint32_t group = 0;
    for (uint32_t i = 0; i < depth && i < PSC_APART_FRAMES && rules->range_count > 0; i++) {
        struct place place = place_of(frames[i]);
        for (uint32_t k = 0; k < rules->range_count; k++) {
            if (is_in_range(&place, &rules->ranges[k])) {
                group = first_group(group, rules->ranges[k].group);
            }
        }
    }
    return group;
}

static bool is_stack(const struct stack *stack, const uint64_t *frames, uint32_t depth) {
    if (stack->depth != depth) {
        return false;
    }
    for (uint32_t i = 0; i < depth; i++) {
        const struct frame *frame = &rules->frames[stack->first + i];
        struct place place = place_of(frames[i]);
        if (!is_in(&place, frame->module) || (place.row != NULL && place.address != frame->address)) {
            return false;
        }
    }
    return true;
}

static uint32_t group_by_stacks(const uint64_t *frames, uint32_t depth) {
    uint32_t group = 0;
    for (uint32_t i = 0; i < rules->stack_count; i++) {
        if (is_stack(&rules->stacks[i], frames, depth)) {
            group = first_group(group, rules->stacks[i].group);
        }
    }
    return group;
}

void psc_track_apart_note(uint32_t site, const uint64_t *frames, uint32_t depth) {
    uint32_t group = rules != NULL ? first_group(group_by_ranges(frames, depth), group_by_stacks(frames, depth)) : 0;
    uint8_t **leaf = &leaves[site / LEAF_SITES];
    if (group == 0) {
        return;
    }
    if (*leaf == NULL) {
        PSC_STORE_RELEASE(leaf, psc_track_private_get(LEAF_SITES));
    }
    if (*leaf != NULL) {
        (*leaf)[site % LEAF_SITES] = (uint8_t)group;
        sites_of[group]++;
    }
}

uint32_t psc_track_apart_group(uint32_t site) {
    const uint8_t *leaf = PSC_LOAD_ACQUIRE(&leaves[site / LEAF_SITES]);
    return leaf != NULL ? PSC_LOAD(&leaf[site % LEAF_SITES]) : 0;
}

void psc_track_apart_say(void) {
    for (uint32_t group = 1; rules != NULL && group <= rules->group_count; group++) {
        psc_say("apart: sites in group %u: %u", group, sites_of[group]);
    }
}
