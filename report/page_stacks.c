#include "report/page_stacks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/plot_text.h"

#define SHORT_ROOM 1024
/* What a number takes in the file, with its comma, rounded up. */
#define NUMBER_BYTES 7
#define INLINED (1ull << 32)
#define MODULE_SHIFT 33

struct pair {
    uint64_t a;
    uint64_t b;
};

/* Pairs in the order of their first coming, and a hash table of their indexes. */
struct numbering {
    struct pair *pairs;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* index + 1, 0: free */
    size_t slot_count;
};

struct path {
    uint32_t from;
    uint32_t length;
};

struct psc_stacks {
    struct numbering functions; /* a: the string */
    struct numbering files;
    struct numbering modules;
    struct numbering frames; /* a: function and file; b: module, INLINED, line */
    struct numbering places; /* a: the place below; b: frame */
    struct path *paths;
    size_t path_count;
    size_t path_capacity;
    uint64_t text_bytes;
};

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static uint64_t hash_pair(struct pair pair) {
    uint64_t hash = (pair.a ^ pair.b * 0xc2b2ae3d27d4eb4fu) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static uint32_t *slot_of(const struct numbering *numbering, struct pair pair) {
    size_t slot = hash_pair(pair) & (numbering->slot_count - 1);
    for (; numbering->slots[slot] != 0; slot = (slot + 1) & (numbering->slot_count - 1)) {
        const struct pair *known = &numbering->pairs[numbering->slots[slot] - 1];
        if (known->a == pair.a && known->b == pair.b) {
            break;
        }
    }
    return &numbering->slots[slot];
}

static void grow_slots(struct numbering *numbering) {
    free(numbering->slots);
    numbering->slot_count = numbering->slot_count == 0 ? 256 : numbering->slot_count * 2;
    numbering->slots = psc_array_new(numbering->slot_count, sizeof(*numbering->slots));
    for (size_t i = 0; i < numbering->count; i++) {
        *slot_of(numbering, numbering->pairs[i]) = (uint32_t)i + 1;
    }
}

/* The pair's number, which is *count before the call if it is new. */
static uint32_t number_of(struct numbering *numbering, uint64_t a, uint64_t b) {
    struct pair pair = {a, b};
    if ((numbering->count + 1) * 2 > numbering->slot_count) {
        grow_slots(numbering);
    }
    uint32_t *slot = slot_of(numbering, pair);
    if (*slot == 0) {
        numbering->pairs =
            psc_array_reserve(numbering->pairs, numbering->count + 1, &numbering->capacity, sizeof(pair));
        numbering->pairs[numbering->count++] = pair;
        *slot = (uint32_t)numbering->count;
    }
    return *slot - 1;
}

static void release_numbering(struct numbering *numbering) {
    free(numbering->pairs);
    free(numbering->slots);
}

/* ---- stacks ------------------------------------------------------------------------------------------------------ */

static const char *text_at(const struct numbering *texts, size_t index) {
    const char *text = (const char *)(uintptr_t)texts->pairs[index].a;
    return text == NULL ? "" : text;
}

static uint32_t number_text(struct psc_stacks *stacks, struct numbering *texts, const char *text) {
    size_t before = texts->count;
    uint32_t number = number_of(texts, (uintptr_t)text, 0);
    stacks->text_bytes += texts->count == before || text == NULL ? 0 : strlen(text) + sizeof("\"\",") - 1;
    return number;
}

struct psc_stacks *psc_stacks_new(void) {
    struct psc_stacks *stacks = psc_array_new(1, sizeof(*stacks));
    number_text(stacks, &stacks->functions, NULL);
    number_text(stacks, &stacks->files, NULL);
    number_text(stacks, &stacks->modules, NULL);
    number_of(&stacks->places, UINT64_MAX, UINT64_MAX);
    return stacks;
}

void psc_stacks_release(struct psc_stacks *stacks) {
    release_numbering(&stacks->functions);
    release_numbering(&stacks->files);
    release_numbering(&stacks->modules);
    release_numbering(&stacks->frames);
    release_numbering(&stacks->places);
    free(stacks->paths);
    free(stacks);
}

uint32_t psc_stacks_function(struct psc_stacks *stacks, const char *function) {
    return number_text(stacks, &stacks->functions, function);
}

static uint32_t number_frame(struct psc_stacks *stacks, const struct psc_frame *frame) {
    uint64_t function = psc_stacks_function(stacks, frame->function);
    uint64_t file = number_text(stacks, &stacks->files, frame->file);
    uint64_t module = number_text(stacks, &stacks->modules, frame->module);
    return number_of(&stacks->frames, function << 32 | file,
                     module << MODULE_SHIFT | (frame->inlined ? INLINED : 0) | frame->line);
}

void psc_stacks_add(struct psc_stacks *stacks, const struct psc_frame *frames, size_t count) {
    struct path path = {0, 0};
    uint32_t place = 0;
    for (size_t i = count; i > 0; i--) {
        size_t before = stacks->places.count;
        place = number_of(&stacks->places, place, number_frame(stacks, &frames[i - 1]));
        bool is_new = stacks->places.count != before;
        path.length += is_new;
        path.from = is_new ? path.from : place;
    }
    stacks->paths =
        psc_array_reserve(stacks->paths, stacks->path_count + 1, &stacks->path_capacity, sizeof(*stacks->paths));
    stacks->paths[stacks->path_count++] = path;
}

uint64_t psc_stacks_bytes(const struct psc_stacks *stacks) {
    /* Names may come twice, the second time short. */
    return stacks->text_bytes * 3 / 2 + NUMBER_BYTES * (stacks->places.count + 5 * stacks->frames.count);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void emit_texts(struct psc_emit *emit, const char *key, const struct numbering *texts) {
    psc_emit_open(emit, key, '[');
    for (size_t i = 0; i < texts->count; i++) {
        psc_emit_text(emit, NULL, text_at(texts, i));
    }
    psc_emit_close(emit, '[');
}

static void emit_short(struct psc_emit *emit, const struct numbering *functions) {
    char text[SHORT_ROOM];
    psc_emit_open(emit, "short", '[');
    for (size_t i = 0; i < functions->count; i++) {
        const char *function = text_at(functions, i);
        psc_text_function(function, text, sizeof(text));
        psc_text_clip(text, sizeof(text), SHORT_ROOM / 4);
        psc_emit_text(emit, NULL, strcmp(text, function) == 0 ? NULL : text);
    }
    psc_emit_close(emit, '[');
}

/* One column of all pairs. */
static void emit_part(struct psc_emit *emit, const char *key, const struct numbering *numbering, size_t offset,
                      unsigned shift, uint64_t mask, size_t first) {
    psc_emit_open(emit, key, '[');
    for (size_t i = first; i < numbering->count; i++) {
        uint64_t word;
        memcpy(&word, (const char *)&numbering->pairs[i] + offset, sizeof(word));
        psc_emit_number(emit, NULL, word >> shift & mask);
    }
    psc_emit_close(emit, '[');
}

static void emit_frames(struct psc_emit *emit, const struct numbering *frames) {
    psc_emit_open(emit, "frames", '{');
    emit_part(emit, "function", frames, offsetof(struct pair, a), 32, UINT32_MAX, 0);
    emit_part(emit, "file", frames, offsetof(struct pair, a), 0, UINT32_MAX, 0);
    emit_part(emit, "line", frames, offsetof(struct pair, b), 0, UINT32_MAX, 0);
    emit_part(emit, "module", frames, offsetof(struct pair, b), MODULE_SHIFT, UINT32_MAX, 0);
    emit_part(emit, "inlined", frames, offsetof(struct pair, b), 32, 1, 0);
    psc_emit_close(emit, '{');
}

static void emit_paths(struct psc_emit *emit, const struct psc_stacks *stacks, const char *key, size_t offset) {
    psc_emit_open(emit, key, '[');
    for (size_t i = 0; i < stacks->path_count; i++) {
        uint32_t number;
        memcpy(&number, (const char *)&stacks->paths[i] + offset, sizeof(number));
        psc_emit_number(emit, NULL, number);
    }
    psc_emit_close(emit, '[');
}

void psc_stacks_emit(const struct psc_stacks *stacks, struct psc_emit *emit) {
    emit_texts(emit, "functions", &stacks->functions);
    emit_short(emit, &stacks->functions);
    emit_texts(emit, "files", &stacks->files);
    emit_texts(emit, "modules", &stacks->modules);
    emit_frames(emit, &stacks->frames);
    psc_emit_open(emit, "stacks", '{');
    emit_paths(emit, stacks, "from", offsetof(struct path, from));
    emit_paths(emit, stacks, "length", offsetof(struct path, length));
    emit_part(emit, "frames", &stacks->places, offsetof(struct pair, b), 0, UINT32_MAX, 1);
    psc_emit_close(emit, '{');
}
