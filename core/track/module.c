#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/say.h"
#include "core/track/types.h"
#include "core/track/unwind.h"

#define NOTE_NAME "GNU"

struct module {
    uint64_t start;
    uint64_t end;
    uint64_t bias;
    const char *name; /* the loader's */
    const uint8_t *build_id;
    uint32_t build_id_bytes;
};

struct headers {
    const ElfW(Phdr) * first;
    uint32_t count;
};

/* The program headers, where the first page of the mapping holds them, as linkers lay them out. */
static struct headers find_headers(const struct module *module) {
    struct headers none = {NULL, 0};
    if (module->end - module->start < PSC_PAGE_BYTES) {
        return none;
    }
    const ElfW(Ehdr) *elf = (const void *)(uintptr_t)module->start;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phentsize != sizeof(ElfW(Phdr)) ||
        elf->e_phoff % _Alignof(ElfW(Phdr)) != 0 || elf->e_phoff > PSC_PAGE_BYTES ||
        elf->e_phnum > (PSC_PAGE_BYTES - elf->e_phoff) / sizeof(ElfW(Phdr))) {
        return none;
    }
    return (struct headers){(const void *)(uintptr_t)(module->start + elf->e_phoff), elf->e_phnum};
}

static bool is_within(uint64_t start, uint64_t bytes, uint64_t outer, uint64_t outer_bytes) {
    return start >= outer && bytes <= outer_bytes && start - outer <= outer_bytes - bytes;
}

/* Mapped from the file, readable, and inside the range that the loader gave. */
static bool is_mapped(const struct module *module, const struct headers *headers, const ElfW(Phdr) * part) {
    for (uint32_t i = 0; i < headers->count; i++) {
        const ElfW(Phdr) *load = &headers->first[i];
        if (load->p_type == PT_LOAD && (load->p_flags & PF_R) != 0 &&
            is_within(part->p_vaddr, part->p_filesz, load->p_vaddr, load->p_filesz)) {
            return is_within(part->p_vaddr + module->bias, part->p_filesz, module->start, module->end - module->start);
        }
    }
    return false;
}

/* The build-id among these notes, if it is there. Sizes in a note are rounded up to 4. */
static bool take_build_id(struct module *module, const uint8_t *notes, uint64_t bytes) {
    while (bytes >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes, sizeof note);
        uint64_t name = psc_round_up(note.n_namesz, 4);
        uint64_t size = sizeof note + name + psc_round_up(note.n_descsz, 4);
        if (size > bytes) {
            return false;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof NOTE_NAME &&
            memcmp(notes + sizeof note, NOTE_NAME, sizeof NOTE_NAME) == 0) {
            module->build_id = notes + sizeof note + name;
            module->build_id_bytes = note.n_descsz;
            return true;
        }
        notes += size;
        bytes -= size;
    }
    return false;
}

static void find_build_id(struct module *module) {
    struct headers headers = find_headers(module);
    for (uint32_t i = 0; i < headers.count; i++) {
        const ElfW(Phdr) *part = &headers.first[i];
        if (part->p_type == PT_NOTE && is_mapped(module, &headers, part) &&
            take_build_id(module, (const uint8_t *)(uintptr_t)(module->bias + part->p_vaddr), part->p_filesz)) {
            return;
        }
    }
}

static bool find_module(uint64_t address, struct module *module) {
    struct dl_find_object found;
    if (_dl_find_object((void *)(uintptr_t)address, &found) != 0) {
        return false;
    }
    *module = (struct module){
        .start = (uintptr_t)found.dlfo_map_start,
        .end = (uintptr_t)found.dlfo_map_end,
        .bias = found.dlfo_link_map->l_addr,
        .name = found.dlfo_link_map->l_name,
        .build_id = (const uint8_t *)"",
    };
    if (module->name == NULL || module->name[0] == '\0') {
        module->name = psc_track.header->exe;
    }
    find_build_id(module);
    if (module->build_id_bytes > sizeof((struct psc_wire_module){0}.build_id)) {
        module->build_id_bytes = 0;
    }
    return true;
}

/* The loader tells a relative name as it was given; the row has it with the directory of that time in front. */
static bool is_same_name(const struct psc_wire_module *row, const char *name) {
    size_t length = strlen(row->path);
    size_t tail = strlen(name);
    if (name[0] == '/' || tail > length) {
        return strncmp(row->path, name, sizeof row->path - 1) == 0;
    }
    return strcmp(row->path + length - tail, name) == 0;
}

static void write_name(struct psc_wire_module *row, const char *name) {
    static char directory[PSC_TRACK_PATH_MAX]; /* under the site lock */
    bool relative = !psc_os_in_sandbox() && name[0] != '/' && strchr(name, '/') != NULL;
    if (relative && syscall(SYS_getcwd, directory, sizeof directory) > 0 && directory[0] == '/') {
        psc_format(row->path, sizeof row->path, "%s/%s", directory, name);
    } else {
        psc_format(row->path, sizeof row->path, "%s", name);
    }
}

static bool is_same(const struct psc_wire_module *row, const struct module *module) {
    return row->start == module->start && row->end == module->end && row->bias == module->bias &&
           row->build_id_bytes == module->build_id_bytes &&
           memcmp(row->build_id, module->build_id, module->build_id_bytes) == 0 && is_same_name(row, module->name);
}

/* The newest row that overlaps the module decides: an older one is of something that has gone. */
static const struct psc_wire_module *newest_overlapping(const struct module *module) {
    for (uint32_t i = psc_track_table_count(PSC_CHUNK_MODULES); i > 0; i--) {
        const struct psc_wire_module *row = psc_track_table_row(PSC_CHUNK_MODULES, i - 1);
        if (row->start < module->end && module->start < row->end) {
            return row;
        }
    }
    return NULL;
}

const struct psc_wire_module *psc_track_module_of(uint64_t address) {
    const struct module byte = {.start = address, .end = address + 1};
    return newest_overlapping(&byte);
}

static void add(const struct module *module) {
    uint32_t index;
    if (psc_track_table_count(PSC_CHUNK_MODULES) >=
        PSC_TRACK_TABLE_CHUNKS * (PSC_CHUNK_BYTES / sizeof(struct psc_wire_module))) {
        return;
    }
    struct psc_wire_module *row = psc_track_table_add(PSC_CHUNK_MODULES, &index);
    if (row == NULL) {
        return;
    }
    row->end = module->end;
    row->bias = module->bias;
    row->time_ns = psc_os_monotonic_ns();
    row->build_id_bytes = module->build_id_bytes;
    memcpy(row->build_id, module->build_id, module->build_id_bytes);
    write_name(row, module->name);
    PSC_STORE_RELEASE(&row->start, module->start);
}

static void note(const struct module *module) {
    const struct psc_wire_module *row = newest_overlapping(module);
    if (row != NULL && is_same(row, module)) {
        return;
    }
    if (row != NULL) {
        psc_unwind_forget(row->start, row->end);
    }
    add(module);
}

/* A return address may lie behind its function's end; the byte before it belongs to the call. */
void psc_track_module_note(const uint64_t *frames, uint32_t depth) {
    struct module module = {0};
    for (uint32_t i = 0; i < depth; i++) {
        uint64_t address = frames[i] - 1;
        bool known = address >= module.start && address < module.end;
        if (!known && find_module(address, &module)) {
            note(&module);
        }
    }
}

void psc_track_modules_gone(void) {
    if (psc_track_current() != 0) {
        psc_unwind_forget_gone();
    }
}
