/* From the name of a function to where it is in the files of modules: the other way round than psc_symbols_resolve. */
#ifndef PSC_REPORT_SYMBOLS_FIND_H
#define PSC_REPORT_SYMBOLS_FIND_H

#include <stdbool.h>

#include "report/symbols.h"

/* Code of the function, [start, end), as the file's program headers count. */
typedef void (*psc_symbols_visit)(void *context, uint64_t start, uint64_t end);

/* Calls for each range of code of the functions of that name in a module's file, and of the places that they are inlined
 * at; some may be told twice. `name` is as a report shows it, with its parameters or without, or as linkers know it; clones
 * that compilers made (name.part.0) count too. Returns how many ranges. */
size_t psc_symbols_find_function(struct psc_symbols *symbols, uint32_t module, const char *name,
                                 psc_symbols_visit visit, void *context);

/* The file at `path` (kept by reference) as a module that was not loaded yet: with its build-id, and bias 0. False: it is
 * no ELF file that can be read. */
bool psc_symbols_describe_file(const char *path, struct psc_module *module);

#endif
