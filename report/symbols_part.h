/* What the files of symbols share. */
#ifndef PSC_REPORT_SYMBOLS_PART_H
#define PSC_REPORT_SYMBOLS_PART_H

#include <elfutils/libdwfl.h>

#include "report/symbols.h"

/* The file of a module, with addresses counted from bias 0. NULL: it cannot be used, see psc_symbols_module_state. */
Dwfl_Module *psc_symbols_binary(struct psc_symbols *symbols, uint32_t module);
/* As linkers know the function, if the debug information says; NULL: it has no name. */
const char *psc_symbols_die_name(Dwarf_Die *die);
struct psc_demangler *psc_symbols_demangler(const struct psc_symbols *symbols);

#endif
