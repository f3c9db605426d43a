/* Return addresses to functions, files and lines, inlined calls included. The one user of elfutils.
 *
 * A module's file is looked for at its recorded path and used only if it is a regular ELF file with the recorded
 * build-id; separate debug files are found where libdwfl looks for them (/usr/lib/debug, and debuginfod if the user set
 * DEBUGINFOD_URLS, never otherwise). Code that the process made at run time has the names of psc_symbols_use_map, and what
 * psc_symbols_preset was told is not looked for at all. Whatever is missing or damaged costs names, never the report: the frame then reads
 * "module+0xoffset", or "0xaddress" without a module.
 *
 * One thread at a time per struct psc_symbols; several may be open. Files stay open until psc_symbols_close, so the
 * process's limit of open files is raised as far as it may be.
 */
#ifndef PSC_REPORT_SYMBOLS_H
#define PSC_REPORT_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "report/model.h"
#include "report/perf_map.h"

/* Frames that one address can have: a function, and calls inlined into each other. */
#define PSC_SYMBOLS_FRAMES_MAX 65

/* What became of a module's file. */
enum psc_symbols_state {
    PSC_SYMBOLS_UNUSED,      /* no address of the module was asked for yet */
    PSC_SYMBOLS_FOUND,       /* the file is the one that was loaded */
    PSC_SYMBOLS_UNCHECKED,   /* used, but neither trace nor file has a build-id */
    PSC_SYMBOLS_MISSING,     /* no readable regular file at the path (the vdso has none) */
    PSC_SYMBOLS_OTHER_BUILD, /* the file there has another build-id, so it is not used */
    PSC_SYMBOLS_BROKEN,      /* not an ELF file that can be read */
    PSC_SYMBOLS_TOO_MANY,    /* not opened: the process may not have that many files open */
    PSC_SYMBOLS_PRESET,      /* not looked for: psc_symbols_preset knew all that was asked for */
};

/* `modules` is borrowed and must stay as it is until psc_symbols_close. Opens no file yet. NULL: out of memory. */
struct psc_symbols *psc_symbols_open(const struct psc_module *modules, size_t count);

/* `modules` stands in the place of the array given before: the same modules, and any number more behind them. The old one
 * may go. Returns false if memory has run out, and nothing is changed then. */
bool psc_symbols_move(struct psc_symbols *symbols, const struct psc_module *modules, size_t count);

/* NULL is allowed. Frees every frame and string that psc_symbols_resolve gave out. */
void psc_symbols_close(struct psc_symbols *symbols);

/* Resolves a return address (the call is looked up at address - 1) that lies in modules[module], or in no module if
 * that is PSC_MODULE_NONE. Points *frames at one or more frames, innermost (inlined) first, and returns their
 * number; 0 only when memory has run out. Asked again, it gives the same frames at little cost. Frames and their
 * strings live until psc_symbols_close. Strings are valid UTF-8 without control characters and of bounded length;
 * `function` is never NULL, C++ names are demangled. */
size_t psc_symbols_resolve(struct psc_symbols *symbols, uint64_t address, uint32_t module,
                           const struct psc_frame **frames);

/* Addresses in no module are looked up in this map, which is read when the first is asked for. The path is borrowed. */
void psc_symbols_use_map(struct psc_symbols *symbols, const struct psc_perf_map_source *source);

/* What an earlier reader found for an address: psc_symbols_resolve then gives it back. Of each frame function, file, line,
 * module and inlined count; strings are made printable. Changes nothing for an address that is known already. Returns false
 * if memory has run out, or if this cannot be a result: no frames or more than there can be, or one without function. */
bool psc_symbols_preset(struct psc_symbols *symbols, uint64_t address, uint32_t module, const struct psc_frame *frames,
                        size_t count);

/* An address that has been resolved to something that its module's path does not say. */
struct psc_symbols_named {
    uint64_t address;
    uint32_t module;
    uint32_t count;
    const struct psc_frame *frames;
};

/* All of them, by module and address, in memory that the caller frees. NULL: out of memory. */
struct psc_symbols_named *psc_symbols_list_named(const struct psc_symbols *symbols, size_t *count);

enum psc_symbols_state psc_symbols_module_state(const struct psc_symbols *symbols, size_t module);

#endif
