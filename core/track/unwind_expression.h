/* DWARF expressions in call frame tables, turned into rules. Async-signal-safe; trusts nothing in them. */
#ifndef PSC_CORE_TRACK_UNWIND_EXPRESSION_H
#define PSC_CORE_TRACK_UNWIND_EXPRESSION_H

#include "core/track/unwind_cfi.h"
#include "core/track/unwind_reader.h"

/* What the expression's value is: the CFA; a register's value; the address at which it is saved. */
enum psc_expression_use { PSC_EXPRESSION_CFA, PSC_EXPRESSION_VALUE, PSC_EXPRESSION_ADDRESS };

/* `at` is what the expression finds in pc. PSC_CFI_UNKNOWN: it is damaged, or says more than a rule can. */
struct psc_cfi_rule psc_expression_rule(struct psc_reader expression, uint64_t at, enum psc_expression_use use);

#endif
