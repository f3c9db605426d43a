#include "report/symbols_find.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/demangle.h"
#include "report/symbols_part.h"

/* Limits that no honest file comes near. */
#define DIE_DEPTH_MAX 256
#define RANGES_PER_DIE_MAX 65536
#define NAME_BYTES_MAX 1024

struct search {
    const char *name;
    size_t length;
    char hint[NAME_BYTES_MAX]; /* what a mangled name must have in it to be worth reading */
    struct psc_demangler *demangler;
    psc_symbols_visit visit;
    void *context;
    size_t found;
};

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The last part of a C++ name: "put" of "ns::cache<a::b>::put(int)". Operators and destructors are mangled to something
 * else, so they have no hint. */
static void find_hint(const char *name, char hint[NAME_BYTES_MAX]) {
    const char *part = name;
    int nested = 0;
    for (const char *c = name; *c != '\0'; c++) {
        nested += *c == '<' || *c == '(' ? 1 : *c == '>' || *c == ')' ? -1 : 0;
        if (nested == 0 && c[0] == ':' && c[1] == ':') {
            part = c + 2;
        }
    }
    size_t length = strcspn(part, "<([ ");
    bool plain = length < NAME_BYTES_MAX && strncmp(part, "operator", strlen("operator")) != 0 && part[0] != '~';
    memcpy(hint, part, plain ? length : 0);
    hint[plain ? length : 0] = '\0';
}

static bool is_readable_name(const struct search *search, const char *name) {
    char *readable = strstr(name, search->hint) != NULL ? psc_demangle_name(search->demangler, name) : NULL;
    bool same = readable != NULL && strncmp(readable, search->name, search->length) == 0 &&
                (readable[search->length] == '\0' || readable[search->length] == '(');
    free(readable);
    return same;
}

/* Behind a point stands what the compiler made of the function, behind an at sign its version. */
static bool is_named(const struct search *search, const char *name) {
    if (name == NULL || name[0] == '\0') {
        return false;
    }
    if (strncmp(name, search->name, search->length) == 0 &&
        (name[search->length] == '\0' || name[search->length] == '.' || name[search->length] == '@')) {
        return true;
    }
    return name[0] == '_' && is_readable_name(search, name);
}

static void tell(struct search *search, uint64_t start, uint64_t end) {
    if (start < end) {
        search->visit(search->context, start, end);
        search->found++;
    }
}

/* ---- symbol tables ----------------------------------------------------------------------------------------------- */

static void search_symbols(struct search *search, Dwfl_Module *binary) {
    int count = dwfl_module_getsymtab(binary);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address = 0;
        GElf_Word section = SHN_UNDEF;
        const char *name = dwfl_module_getsym_info(binary, i, &symbol, &address, &section, NULL, NULL);
        int type = GELF_ST_TYPE(symbol.st_info);
        if (section != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC) && is_named(search, name)) {
            tell(search, address, address + symbol.st_size);
        }
    }
}

/* ---- debug information ------------------------------------------------------------------------------------------- */

static bool may_hold_functions(int tag) {
    switch (tag) {
    case DW_TAG_subprogram:
    case DW_TAG_inlined_subroutine:
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type: return true;
    default: return false;
    }
}

/* Functions that the linker dropped begin at 0. */
static void tell_ranges(struct search *search, Dwarf_Die *die, Dwarf_Addr bias) {
    Dwarf_Addr base = 0;
    Dwarf_Addr low = 0;
    Dwarf_Addr high = 0;
    ptrdiff_t next = 0;
    for (int i = 0; i < RANGES_PER_DIE_MAX && (next = dwarf_ranges(die, next, &base, &low, &high)) > 0; i++) {
        if (low != 0) {
            tell(search, low + bias, high + bias);
        }
    }
}

static void search_die(struct search *search, Dwarf_Die *parent, Dwarf_Addr bias, int depth) {
    Dwarf_Die die;
    if (depth > DIE_DEPTH_MAX || dwarf_child(parent, &die) != 0) {
        return;
    }
    do {
        int tag = dwarf_tag(&die);
        bool is_code = tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine;
        if (is_code && is_named(search, psc_symbols_die_name(&die))) {
            tell_ranges(search, &die, bias);
        }
        if (may_hold_functions(tag)) {
            search_die(search, &die, bias, depth + 1);
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

static void search_units(struct search *search, Dwfl_Module *binary) {
    Dwarf_Die *unit = NULL;
    Dwarf_Addr bias = 0;
    while ((unit = dwfl_module_nextcu(binary, unit, &bias)) != NULL) {
        search_die(search, unit, bias, 0);
    }
}

/* ---- face -------------------------------------------------------------------------------------------------------- */

size_t psc_symbols_find_function(struct psc_symbols *symbols, uint32_t module, const char *name,
                                 psc_symbols_visit visit, void *context) {
    Dwfl_Module *binary = psc_symbols_binary(symbols, module);
    if (binary == NULL || name[0] == '\0') {
        return 0;
    }
    struct search search = {.name = name,
                            .length = strlen(name),
                            .demangler = psc_symbols_demangler(symbols),
                            .visit = visit,
                            .context = context};
    find_hint(name, search.hint);
    search_symbols(&search, binary);
    search_units(&search, binary);
    return search.found;
}

bool psc_symbols_describe_file(const char *path, struct psc_module *module) {
    const void *bits = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    elf_version(EV_CURRENT);
    Elf *elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
    bool readable = elf != NULL && elf_kind(elf) == ELF_K_ELF;
    ssize_t length = readable ? dwelf_elf_gnu_build_id(elf, &bits) : 0;
    *module = (struct psc_module){.end = UINT64_MAX, .path = path};
    if (length > 0) { /* one that is longer is cut, as in a trace: linkers make none */
        module->build_id_bytes =
            (uint32_t)((size_t)length < sizeof(module->build_id) ? (size_t)length : sizeof(module->build_id));
        memcpy(module->build_id, bits, module->build_id_bytes);
    }
    elf_end(elf);
    if (fd >= 0) {
        close(fd);
    }
    return readable;
}
