#include "report/symbols.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/demangle.h"
#include "report/format.h"
#include "report/symbols_part.h"

/* Limits that no honest file comes near; they bound what a hostile one can cost. */
#define RANGES_PER_DIE_MAX 65536
#define RANGES_PER_FILE_MAX (16u << 20)
#define DIE_DEPTH_MAX 64
#define TEXT_BYTES_MAX 2048
/* How far back to look for a function that covers an address when ranges overlap. */
#define OVERLAP_MAX 16
_Static_assert(DIE_DEPTH_MAX + 1 == PSC_SYMBOLS_FRAMES_MAX, "a function and what is inlined into it");
/* A module takes its own file and up to two of debug information; some are left for others. */
#define FILES_PER_MODULE 4
#define FILES_MAX 16384

/* A symbol without a size is believed up to this distance. */
#define SIZELESS_BYTES_MAX 65536

/* A range of addresses of something: a compilation unit, a function, a symbol. */
struct range {
    uint64_t low;
    uint64_t high; /* exclusive; symbols: low if the size is not known */
    uint64_t what; /* index of the unit | offset of the function's DIE | index in the symbol table */
};

struct ranges {
    struct range *items;
    size_t count;
    size_t room;
};

struct unit {
    Dwarf_Die die;
    bool indexed;
    struct ranges functions;
};

/* One file, its addresses counted from bias 0, shared by all modules that were loaded from it. */
struct binary {
    enum psc_symbols_state state;
    Dwfl *dwfl;
    Dwfl_Module *module;
    Dwarf *dwarf; /* NULL: no debug information */
    uint64_t dwarf_bias;
    struct unit *units;
    size_t unit_count;
    struct ranges unit_ranges;
    struct ranges symbols;
    size_t range_total;
};

struct binary_slot {
    struct binary *binary; /* NULL: not opened yet */
    bool borrowed;         /* the same as that of a module before */
};

struct result {
    uint64_t address;
    uint32_t module;
    uint32_t count; /* 0: slot not in use */
    bool named;     /* has a name or a place in the source */
    struct psc_frame *frames;
};

struct psc_symbols {
    const struct psc_module *modules;
    size_t module_count;
    struct binary_slot *binaries;          /* one per module */
    bool *preset;                          /* one per module: some of its addresses are */
    struct psc_perf_map_source map_source; /* path NULL: none */
    struct psc_perf_map *map;
    bool map_opened;   /* or tried to be */
    size_t open_count; /* of files of modules */
    size_t open_max;
    struct psc_demangler *demangler;
    struct result *results; /* hash table by address and module */
    size_t result_count;
    size_t result_room; /* power of two */
    char **texts;       /* hash table of all strings given out */
    size_t text_count;
    size_t text_room; /* power of two */
};

/* ---- strings ----------------------------------------------------------------------------------------------------- */

static uint64_t hash_bytes(const char *text) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return hash ^ hash >> 29;
}

static size_t text_slot(char **texts, size_t room, const char *text) {
    size_t slot = hash_bytes(text) & (room - 1);
    while (texts[slot] != NULL && strcmp(texts[slot], text) != 0) {
        slot = (slot + 1) & (room - 1);
    }
    return slot;
}

static bool grow_texts(struct psc_symbols *symbols) {
    size_t room = symbols->text_room == 0 ? 1024 : symbols->text_room * 2;
    char **texts = calloc(room, sizeof(*texts));
    if (texts == NULL) {
        return false;
    }
    for (size_t i = 0; i < symbols->text_room; i++) {
        if (symbols->texts[i] != NULL) {
            texts[text_slot(texts, room, symbols->texts[i])] = symbols->texts[i];
        }
    }
    free(symbols->texts);
    symbols->texts = texts;
    symbols->text_room = room;
    return true;
}

/* The one copy of the printable form of `text`; NULL: out of memory, or `text` is NULL. */
static const char *intern(struct psc_symbols *symbols, const char *text) {
    char clean[TEXT_BYTES_MAX];
    if (text == NULL || ((symbols->text_count + 1) * 2 > symbols->text_room && !grow_texts(symbols))) {
        return NULL;
    }
    psc_format_plain(clean, sizeof(clean), text);
    char **slot = &symbols->texts[text_slot(symbols->texts, symbols->text_room, clean)];
    if (*slot == NULL) {
        *slot = strdup(clean);
        symbols->text_count += *slot != NULL;
    }
    return *slot;
}

static const char *intern_name(struct psc_symbols *symbols, const char *name) {
    char *readable = name == NULL ? NULL : psc_demangle_name(symbols->demangler, name);
    const char *text = intern(symbols, readable == NULL ? name : readable);
    free(readable);
    return text;
}

/* ---- ranges ------------------------------------------------------------------------------------------------------ */

static bool add_range(struct binary *binary, struct ranges *ranges, uint64_t low, uint64_t high, uint64_t what) {
    if (binary->range_total >= RANGES_PER_FILE_MAX) {
        return false;
    }
    if (ranges->count == ranges->room) {
        size_t room = ranges->room == 0 ? 64 : ranges->room * 2;
        struct range *items = realloc(ranges->items, room * sizeof(*items));
        if (items == NULL) {
            return false;
        }
        ranges->items = items;
        ranges->room = room;
    }
    ranges->items[ranges->count++] = (struct range){.low = low, .high = high, .what = what};
    binary->range_total++;
    return true;
}

static int compare_ranges(const void *a, const void *b) {
    const struct range *left = a;
    const struct range *right = b;
    if (left->low != right->low) {
        return left->low < right->low ? -1 : 1;
    }
    /* Of several that begin together the smallest stands last, where the search begins. */
    if (left->high != right->high) {
        return left->high > right->high ? -1 : 1;
    }
    return left->what < right->what ? -1 : left->what > right->what;
}

static void sort_ranges(struct ranges *ranges) {
    if (ranges->count != 0) {
        qsort(ranges->items, ranges->count, sizeof(*ranges->items), compare_ranges);
    }
}

/* How many ranges begin at or below the address. */
static size_t ranges_below(const struct ranges *ranges, uint64_t address) {
    size_t low = 0;
    size_t high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->items[middle].low <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct range *covering_range(const struct ranges *ranges, uint64_t address) {
    size_t below = ranges_below(ranges, address);
    for (size_t i = 1; i <= OVERLAP_MAX && i <= below; i++) {
        if (address < ranges->items[below - i].high) {
            return &ranges->items[below - i];
        }
    }
    return NULL;
}

static void add_die_ranges(struct binary *binary, struct ranges *ranges, Dwarf_Die *die, uint64_t what) {
    Dwarf_Addr base = 0;
    Dwarf_Addr low = 0;
    Dwarf_Addr high = 0;
    ptrdiff_t next = 0;
    for (int i = 0; i < RANGES_PER_DIE_MAX; i++) {
        next = dwarf_ranges(die, next, &base, &low, &high);
        /* Functions that the linker dropped begin at 0. */
        if (next <= 0 || (low != 0 && low < high && !add_range(binary, ranges, low, high, what))) {
            return;
        }
    }
}

/* ---- opening a module's file ------------------------------------------------------------------------------------- */

static bool is_loadable_elf(int fd) {
    Elf64_Ehdr header; /* e_type stands at the same place in 32-bit files */
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return false;
    }
    return memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && (header.e_type == ET_DYN || header.e_type == ET_EXEC);
}

/* Looks before it opens: opening a device or a pipe has effects, and files of /proc have size 0. */
static int open_regular(const char *path) {
    char resolved[PATH_MAX];
    struct stat status;
    if (path == NULL || path[0] != '/' || realpath(path, resolved) == NULL || stat(resolved, &status) != 0 ||
        !S_ISREG(status.st_mode) || status.st_size == 0) {
        return -1;
    }
    int fd = open(resolved, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

static enum psc_symbols_state check_build_id(Dwfl_Module *module, const struct psc_module *recorded) {
    const unsigned char *bits = NULL;
    GElf_Addr address = 0;
    int length = dwfl_module_build_id(module, &bits, &address);
    if (length <= 0) {
        return recorded->build_id_bytes == 0 ? PSC_SYMBOLS_UNCHECKED : PSC_SYMBOLS_OTHER_BUILD;
    }
    /* A trace keeps the first bytes of an id that is longer than its field. */
    size_t kept = (size_t)length < sizeof(recorded->build_id) ? (size_t)length : sizeof(recorded->build_id);
    bool same = recorded->build_id_bytes == kept && memcmp(bits, recorded->build_id, kept) == 0;
    return same ? PSC_SYMBOLS_FOUND : PSC_SYMBOLS_OTHER_BUILD;
}

/* dwfl takes the address of a module from program headers, so base 0 leaves addresses as the file has them. */
static enum psc_symbols_state report_file(struct binary *binary, const struct psc_module *recorded, int fd) {
    static char *debuginfo_path;
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .section_address = dwfl_offline_section_address,
        .debuginfo_path = &debuginfo_path,
    };
    binary->dwfl = dwfl_begin(&callbacks);
    if (binary->dwfl == NULL) {
        close(fd);
        return PSC_SYMBOLS_BROKEN;
    }
    dwfl_report_begin(binary->dwfl);
    binary->module = dwfl_report_elf(binary->dwfl, recorded->path, recorded->path, fd, 0, true);
    if (binary->module == NULL) {
        close(fd);
        return PSC_SYMBOLS_BROKEN;
    }
    if (dwfl_report_end(binary->dwfl, NULL, NULL) != 0) {
        return PSC_SYMBOLS_BROKEN;
    }
    return check_build_id(binary->module, recorded);
}

static void index_units(struct binary *binary) {
    size_t room = 0;
    Dwarf_Die *die = NULL;
    Dwarf_Addr bias = 0;
    while ((die = dwfl_module_nextcu(binary->module, die, &bias)) != NULL) {
        if (binary->unit_count == room) {
            room = room == 0 ? 64 : room * 2;
            struct unit *units = realloc(binary->units, room * sizeof(*units));
            if (units == NULL) {
                break;
            }
            binary->units = units;
        }
        binary->units[binary->unit_count] = (struct unit){.die = *die};
        add_die_ranges(binary, &binary->unit_ranges, die, binary->unit_count++);
    }
    sort_ranges(&binary->unit_ranges);
}

static void index_symbols(struct binary *binary) {
    int count = dwfl_module_getsymtab(binary->module);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address = 0;
        GElf_Word section = SHN_UNDEF;
        const char *name = dwfl_module_getsym_info(binary->module, i, &symbol, &address, &section, NULL, NULL);
        int type = GELF_ST_TYPE(symbol.st_info);
        bool code = type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
        if (name != NULL && name[0] != '\0' && code && section != SHN_UNDEF && section != SHN_ABS &&
            !add_range(binary, &binary->symbols, address, address + symbol.st_size, (uint64_t)i)) {
            break;
        }
    }
    sort_ranges(&binary->symbols);
}

static struct binary *open_binary(const struct psc_module *recorded, bool may_open) {
    struct binary *binary = calloc(1, sizeof(*binary));
    if (binary == NULL) {
        return NULL;
    }
    if (!may_open) {
        binary->state = PSC_SYMBOLS_TOO_MANY;
        return binary;
    }
    int fd = open_regular(recorded->path);
    if (fd < 0) {
        binary->state = PSC_SYMBOLS_MISSING;
        return binary;
    }
    if (!is_loadable_elf(fd)) {
        close(fd);
        binary->state = PSC_SYMBOLS_BROKEN;
        return binary;
    }
    binary->state = report_file(binary, recorded, fd);
    if (binary->state == PSC_SYMBOLS_FOUND || binary->state == PSC_SYMBOLS_UNCHECKED) {
        binary->dwarf = dwfl_module_getdwarf(binary->module, &binary->dwarf_bias);
        if (binary->dwarf != NULL) {
            index_units(binary);
        }
        index_symbols(binary);
    }
    return binary;
}

static void close_binary(struct binary *binary) {
    for (size_t i = 0; i < binary->unit_count; i++) {
        free(binary->units[i].functions.items);
    }
    free(binary->units);
    free(binary->unit_ranges.items);
    free(binary->symbols.items);
    if (binary->dwfl != NULL) {
        dwfl_end(binary->dwfl);
    }
    free(binary);
}

static bool same_file(const struct psc_module *a, const struct psc_module *b) {
    return a->path != NULL && b->path != NULL && strcmp(a->path, b->path) == 0 &&
           a->build_id_bytes == b->build_id_bytes && a->build_id_bytes <= sizeof(a->build_id) &&
           memcmp(a->build_id, b->build_id, a->build_id_bytes) == 0;
}

/* A library that is loaded again has a new row; its file is opened once. */
static struct binary *binary_of(struct psc_symbols *symbols, uint32_t module) {
    struct binary_slot *slot = &symbols->binaries[module];
    for (uint32_t i = 0; slot->binary == NULL && i < symbols->module_count; i++) {
        if (symbols->binaries[i].binary != NULL && same_file(&symbols->modules[i], &symbols->modules[module])) {
            *slot = (struct binary_slot){.binary = symbols->binaries[i].binary, .borrowed = true};
        }
    }
    if (slot->binary == NULL) {
        slot->binary = open_binary(&symbols->modules[module], symbols->open_count < symbols->open_max);
        symbols->open_count += slot->binary != NULL && slot->binary->dwfl != NULL;
    }
    return slot->binary;
}

static bool is_usable(const struct binary *binary) {
    return binary != NULL && binary->module != NULL &&
           (binary->state == PSC_SYMBOLS_FOUND || binary->state == PSC_SYMBOLS_UNCHECKED);
}

Dwfl_Module *psc_symbols_binary(struct psc_symbols *symbols, uint32_t module) {
    const struct binary *binary = module < symbols->module_count ? binary_of(symbols, module) : NULL;
    return is_usable(binary) ? binary->module : NULL;
}

struct psc_demangler *psc_symbols_demangler(const struct psc_symbols *symbols) {
    return symbols->demangler;
}

/* ---- debug information ------------------------------------------------------------------------------------------- */

static bool holds_functions(int tag) {
    switch (tag) {
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type: return true;
    default: return false;
    }
}

static void index_functions(struct binary *binary, struct unit *unit, Dwarf_Die *parent, int depth) {
    Dwarf_Die die;
    if (depth > DIE_DEPTH_MAX || dwarf_child(parent, &die) != 0) {
        return;
    }
    do {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram) {
            add_die_ranges(binary, &unit->functions, &die, dwarf_dieoffset(&die));
        } else if (holds_functions(tag)) {
            index_functions(binary, unit, &die, depth + 1);
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

static struct unit *find_unit(struct binary *binary, uint64_t address) {
    const struct range *range = covering_range(&binary->unit_ranges, address);
    if (range == NULL) {
        return NULL;
    }
    struct unit *unit = &binary->units[range->what];
    if (!unit->indexed) {
        unit->indexed = true;
        index_functions(binary, unit, &unit->die, 0);
        sort_ranges(&unit->functions);
    }
    return unit;
}

/* The function that covers an address and the inlined calls in it that do, outermost first. */
struct chain {
    Dwarf_Die dies[DIE_DEPTH_MAX + 1];
    size_t count;
};

static bool find_inner(Dwarf_Die *parent, uint64_t address, Dwarf_Die *inner) {
    if (dwarf_child(parent, inner) != 0) {
        return false;
    }
    do {
        int tag = dwarf_tag(inner);
        bool nests = tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
                     tag == DW_TAG_catch_block;
        if (nests && dwarf_haspc(inner, address) > 0) {
            return true;
        }
    } while (dwarf_siblingof(inner, inner) == 0);
    return false;
}

static void find_chain(struct binary *binary, struct unit *unit, uint64_t address, struct chain *chain) {
    Dwarf_Die die;
    Dwarf_Die inner;
    const struct range *function = covering_range(&unit->functions, address);
    chain->count = 0;
    if (function == NULL || dwarf_offdie(binary->dwarf, function->what, &die) == NULL) {
        return;
    }
    chain->dies[chain->count++] = die;
    for (int depth = 0; depth < DIE_DEPTH_MAX && find_inner(&die, address, &inner); depth++) {
        die = inner;
        if (dwarf_tag(&die) == DW_TAG_inlined_subroutine) {
            chain->dies[chain->count++] = die;
        }
    }
}

const char *psc_symbols_die_name(Dwarf_Die *die) {
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) == NULL &&
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute) == NULL) {
        return dwarf_diename(die);
    }
    const char *name = dwarf_formstring(&attribute);
    return name == NULL ? dwarf_diename(die) : name;
}

static uint64_t die_number(Dwarf_Die *die, unsigned int name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_attr(die, name, &attribute) == NULL || dwarf_formudata(&attribute, &value) != 0) {
        return 0;
    }
    return value;
}

/* Where an address stands in the source. */
static void set_line(struct psc_symbols *symbols, struct psc_frame *frame, Dwarf_Die *unit, uint64_t address) {
    int number = 0;
    Dwarf_Line *line = dwarf_getsrc_die(unit, address);
    if (line == NULL) {
        return;
    }
    frame->file = intern(symbols, dwarf_linesrc(line, NULL, NULL));
    frame->line = dwarf_lineno(line, &number) == 0 && number > 0 ? (uint32_t)number : 0;
}

/* Where an inlined function was called. */
static void set_call(struct psc_symbols *symbols, struct psc_frame *frame, Dwarf_Die *unit, Dwarf_Die *inlined) {
    Dwarf_Files *files = NULL;
    size_t count = 0;
    uint64_t file = die_number(inlined, DW_AT_call_file);
    if (dwarf_getsrcfiles(unit, &files, &count) == 0 && file < count) {
        frame->file = intern(symbols, dwarf_filesrc(files, file, NULL, NULL));
    }
    frame->line = (uint32_t)die_number(inlined, DW_AT_call_line);
}

/* ---- symbol tables ----------------------------------------------------------------------------------------------- */

static const char *symbol_name(const struct binary *binary, const struct range *range) {
    GElf_Sym symbol;
    GElf_Addr address = 0;
    return dwfl_module_getsym_info(binary->module, (int)range->what, &symbol, &address, NULL, NULL, NULL);
}

static const char *find_symbol(const struct binary *binary, uint64_t address) {
    const struct range *range = covering_range(&binary->symbols, address);
    if (range != NULL) {
        return symbol_name(binary, range);
    }
    size_t below = ranges_below(&binary->symbols, address);
    if (below == 0) {
        return NULL;
    }
    range = &binary->symbols.items[below - 1];
    bool near = range->low == range->high && address - range->low < SIZELESS_BYTES_MAX;
    return near ? symbol_name(binary, range) : NULL;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static const char *plain_name(struct psc_symbols *symbols, uint64_t address, const struct psc_module *module) {
    char text[PATH_MAX];
    if (module == NULL || module->path == NULL || module->path[0] == '\0') {
        snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
        return intern(symbols, text);
    }
    const char *slash = strrchr(module->path, '/');
    const char *base = slash == NULL || slash[1] == '\0' ? module->path : slash + 1;
    snprintf(text, sizeof(text), "%.512s+0x%llx", base, (unsigned long long)(address - module->bias));
    return intern(symbols, text);
}

struct lookup {
    struct psc_symbols *symbols;
    const struct psc_module *module; /* NULL: none */
    struct binary *binary;           /* NULL: no file */
    uint64_t address;                /* as recorded */
    const char *made;                /* function of code made at run time; NULL: not known */
};

/* Fills the frames of a function and its inlined calls. frames[i] is named by chain->dies[count - 1 - i]. */
static void fill_chain(const struct lookup *lookup, struct chain *chain, struct unit *unit, uint64_t pc,
                       struct psc_frame *frames) {
    for (size_t i = 0; i < chain->count; i++) {
        Dwarf_Die *die = &chain->dies[chain->count - 1 - i];
        frames[i].function = intern_name(lookup->symbols, psc_symbols_die_name(die));
        frames[i].inlined = i + 1 < chain->count;
        if (i > 0) {
            set_call(lookup->symbols, &frames[i], &unit->die, die + 1);
        }
    }
    set_line(lookup->symbols, &frames[0], &unit->die, pc);
}

static const char *module_of(const struct lookup *lookup) {
    const char *path = lookup->symbols->map_source.path;
    if (lookup->module != NULL) {
        return intern(lookup->symbols, lookup->module->path);
    }
    return lookup->made == NULL ? NULL : intern(lookup->symbols, strrchr(path, '/') + 1);
}

static void finish_frames(const struct lookup *lookup, struct psc_frame *frames, size_t count) {
    const char *module = module_of(lookup);
    for (size_t i = 0; i < count; i++) {
        frames[i].address = lookup->address;
        frames[i].module = module;
        if (frames[i].function == NULL || frames[i].function[0] == '\0') {
            frames[i].function = plain_name(lookup->symbols, lookup->address, lookup->module);
        }
    }
}

/* Fills *frames, at most PSC_SYMBOLS_FRAMES_MAX; returns their number. *named is false if all that can be said is where
 * the address lies in its module. */
static size_t look_up(const struct lookup *lookup, struct psc_frame *frames, bool *named) {
    struct chain chain = {.count = 0};
    struct unit *unit = NULL;
    struct binary *binary = lookup->binary;
    uint64_t pc = lookup->module == NULL ? 0 : lookup->address - lookup->module->bias - 1;
    uint64_t dwarf_pc = binary == NULL ? 0 : pc - binary->dwarf_bias;
    if (binary != NULL && binary->dwarf != NULL && (unit = find_unit(binary, dwarf_pc)) != NULL) {
        find_chain(binary, unit, dwarf_pc, &chain);
    }
    size_t count = chain.count == 0 ? 1 : chain.count;
    memset(frames, 0, count * sizeof(*frames));
    if (chain.count != 0) {
        fill_chain(lookup, &chain, unit, dwarf_pc, frames);
    } else if (unit != NULL) {
        set_line(lookup->symbols, &frames[0], &unit->die, dwarf_pc);
    }
    if (binary != NULL && frames[count - 1].function == NULL) {
        frames[count - 1].function = intern_name(lookup->symbols, find_symbol(binary, pc));
    }
    if (lookup->made != NULL) {
        frames[0].function = intern(lookup->symbols, lookup->made);
    }
    *named = count > 1 || frames[0].function != NULL || frames[0].file != NULL;
    finish_frames(lookup, frames, count);
    return count;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static struct result *result_slot(struct result *results, size_t room, uint64_t address, uint32_t module) {
    uint64_t hash = (address ^ (uint64_t)module << 48) * 0x9e3779b97f4a7c15u;
    size_t slot = (hash >> 20) & (room - 1);
    while (results[slot].count != 0 && (results[slot].address != address || results[slot].module != module)) {
        slot = (slot + 1) & (room - 1);
    }
    return &results[slot];
}

static bool grow_results(struct psc_symbols *symbols) {
    size_t room = symbols->result_room == 0 ? 1024 : symbols->result_room * 2;
    struct result *results = calloc(room, sizeof(*results));
    if (results == NULL) {
        return false;
    }
    for (size_t i = 0; i < symbols->result_room; i++) {
        const struct result *old = &symbols->results[i];
        if (old->count != 0) {
            *result_slot(results, room, old->address, old->module) = *old;
        }
    }
    free(symbols->results);
    symbols->results = results;
    symbols->result_room = room;
    return true;
}

/* False: out of memory. */
static bool keep_result(struct psc_symbols *symbols, struct result *result, const struct psc_frame *frames) {
    for (size_t i = 0; i < result->count; i++) {
        if (frames[i].function == NULL) {
            return false;
        }
    }
    struct psc_frame *copy = malloc(result->count * sizeof(*copy));
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, frames, result->count * sizeof(*copy));
    result->frames = copy;
    *result_slot(symbols->results, symbols->result_room, result->address, result->module) = *result;
    symbols->result_count++;
    return true;
}

static const char *find_made(struct psc_symbols *symbols, uint64_t address) {
    if (symbols->map_source.path == NULL) {
        return NULL;
    }
    if (!symbols->map_opened) {
        symbols->map_opened = true;
        symbols->map = psc_perf_map_open(&symbols->map_source);
    }
    return symbols->map == NULL ? NULL : psc_perf_map_find(symbols->map, address);
}

static bool fill_result(struct psc_symbols *symbols, uint64_t address, uint32_t module) {
    struct psc_frame frames[PSC_SYMBOLS_FRAMES_MAX];
    struct result result = {.address = address, .module = module};
    struct lookup lookup = {.symbols = symbols, .address = address};
    if (module != PSC_MODULE_NONE) {
        struct binary *binary = binary_of(symbols, module);
        lookup.module = &symbols->modules[module];
        lookup.binary = is_usable(binary) ? binary : NULL;
    } else {
        lookup.made = find_made(symbols, address - 1);
    }
    result.count = (uint32_t)look_up(&lookup, frames, &result.named);
    return keep_result(symbols, &result, frames);
}

/* The slot of an address, in use or not; NULL: out of memory. */
static struct result *find_result(struct psc_symbols *symbols, uint64_t address, uint32_t *module) {
    if (*module >= symbols->module_count) {
        *module = PSC_MODULE_NONE;
    }
    if ((symbols->result_count + 1) * 2 > symbols->result_room && !grow_results(symbols)) {
        return NULL;
    }
    return result_slot(symbols->results, symbols->result_room, address, *module);
}

size_t psc_symbols_resolve(struct psc_symbols *symbols, uint64_t address, uint32_t module,
                           const struct psc_frame **frames) {
    struct result *result = find_result(symbols, address, &module);
    if (result == NULL || (result->count == 0 && !fill_result(symbols, address, module))) {
        return 0;
    }
    *frames = result->frames;
    return result->count;
}

void psc_symbols_use_map(struct psc_symbols *symbols, const struct psc_perf_map_source *source) {
    symbols->map_source = *source;
}

/* ---- results of an earlier reader -------------------------------------------------------------------------------- */

bool psc_symbols_preset(struct psc_symbols *symbols, uint64_t address, uint32_t module, const struct psc_frame *frames,
                        size_t count) {
    struct psc_frame copies[PSC_SYMBOLS_FRAMES_MAX];
    struct result *known = find_result(symbols, address, &module);
    if (known == NULL || count == 0 || count > PSC_SYMBOLS_FRAMES_MAX) {
        return false;
    }
    if (known->count != 0) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        copies[i] = (struct psc_frame){.function = intern(symbols, frames[i].function),
                                       .file = intern(symbols, frames[i].file),
                                       .module = intern(symbols, frames[i].module),
                                       .address = address,
                                       .line = frames[i].line,
                                       .inlined = frames[i].inlined};
    }
    struct result result = {.address = address, .module = module, .count = (uint32_t)count, .named = true};
    if (!keep_result(symbols, &result, copies)) {
        return false;
    }
    if (module != PSC_MODULE_NONE) {
        symbols->preset[module] = true;
    }
    return true;
}

static int compare_named(const void *a, const void *b) {
    const struct psc_symbols_named *left = a;
    const struct psc_symbols_named *right = b;
    if (left->module != right->module) {
        return left->module < right->module ? -1 : 1;
    }
    return left->address < right->address ? -1 : left->address > right->address;
}

struct psc_symbols_named *psc_symbols_list_named(const struct psc_symbols *symbols, size_t *count) {
    struct psc_symbols_named *list = calloc(symbols->result_count + 1, sizeof(*list));
    *count = 0;
    for (size_t i = 0; list != NULL && i < symbols->result_room; i++) {
        const struct result *result = &symbols->results[i];
        if (result->count != 0 && result->named) {
            list[(*count)++] =
                (struct psc_symbols_named){result->address, result->module, result->count, result->frames};
        }
    }
    if (list != NULL) {
        qsort(list, *count, sizeof(*list), compare_named);
    }
    return list;
}

enum psc_symbols_state psc_symbols_module_state(const struct psc_symbols *symbols, size_t module) {
    if (module >= symbols->module_count) {
        return PSC_SYMBOLS_UNUSED;
    }
    if (symbols->binaries[module].binary == NULL) {
        return symbols->preset[module] ? PSC_SYMBOLS_PRESET : PSC_SYMBOLS_UNUSED;
    }
    return symbols->binaries[module].binary->state;
}

static size_t raise_open_max(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    rlim_t wanted = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max};
        limit.rlim_cur = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? wanted : limit.rlim_cur;
    }
    return limit.rlim_cur / FILES_PER_MODULE;
}

struct psc_symbols *psc_symbols_open(const struct psc_module *modules, size_t count) {
    struct psc_symbols *symbols = calloc(1, sizeof(*symbols));
    if (symbols == NULL) {
        return NULL;
    }
    symbols->modules = modules;
    symbols->module_count = count;
    symbols->open_max = raise_open_max();
    symbols->binaries = calloc(count + 1, sizeof(*symbols->binaries));
    symbols->preset = calloc(count + 1, sizeof(*symbols->preset));
    symbols->demangler = psc_demangle_open();
    if (symbols->binaries == NULL || symbols->preset == NULL || symbols->demangler == NULL) {
        psc_symbols_close(symbols);
        return NULL;
    }
    return symbols;
}

bool psc_symbols_move(struct psc_symbols *symbols, const struct psc_module *modules, size_t count) {
    size_t known = symbols->module_count;
    struct binary_slot *binaries = calloc(count + 1, sizeof(*binaries));
    bool *preset = calloc(count + 1, sizeof(*preset));
    if (binaries == NULL || preset == NULL || count < known) {
        free(binaries);
        free(preset);
        return false;
    }
    memcpy(binaries, symbols->binaries, known * sizeof(*binaries));
    memcpy(preset, symbols->preset, known * sizeof(*preset));
    free(symbols->binaries);
    free(symbols->preset);
    symbols->binaries = binaries;
    symbols->preset = preset;
    symbols->modules = modules;
    symbols->module_count = count;
    return true;
}

void psc_symbols_close(struct psc_symbols *symbols) {
    if (symbols == NULL) {
        return;
    }
    for (size_t i = 0; symbols->binaries != NULL && i < symbols->module_count; i++) {
        if (symbols->binaries[i].binary != NULL && !symbols->binaries[i].borrowed) {
            close_binary(symbols->binaries[i].binary);
        }
    }
    for (size_t i = 0; i < symbols->result_room; i++) {
        free(symbols->results[i].frames);
    }
    for (size_t i = 0; i < symbols->text_room; i++) {
        free(symbols->texts[i]);
    }
    psc_perf_map_close(symbols->map);
    free(symbols->binaries);
    free(symbols->preset);
    free(symbols->results);
    free(symbols->texts);
    psc_demangle_close(symbols->demangler);
    free(symbols);
}
