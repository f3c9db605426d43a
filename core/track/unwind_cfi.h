/* Reads call frame tables (.eh_frame_hdr and .eh_frame, DWARF call frame information): for an address, the rules by
 * which its frame's caller is found. Trusts nothing in them: reads stay inside the range given, and whatever does not
 * make sense is answered by PSC_CFI_NONE. No state, no system calls, no allocation; async-signal-safe. */
#ifndef PSC_CORE_TRACK_UNWIND_CFI_H
#define PSC_CORE_TRACK_UNWIND_CFI_H

#include "core/base/compiler.h"
#include "core/track/unwind_arch.h"

/* The tables of one module. */
struct psc_cfi_tables {
    const uint8_t *header; /* .eh_frame_hdr */
    const uint8_t *start;  /* of the readable memory that holds it and .eh_frame */
    const uint8_t *end;
};

enum psc_cfi_rule_kind {
    PSC_CFI_SAME,      /* the register has the caller's value */
    PSC_CFI_UNDEFINED, /* the caller's value is lost */
    PSC_CFI_SAVED,     /* stands in memory at CFA + offset */
    PSC_CFI_CFA,       /* is CFA + offset */
    PSC_CFI_REGISTER,  /* is reg + offset */
    PSC_CFI_MEMORY,    /* stands in memory at reg + offset */
    PSC_CFI_UNKNOWN,   /* by an expression that is not understood */
};

struct psc_cfi_rule {
    uint8_t kind; /* enum psc_cfi_rule_kind */
    uint8_t reg;  /* enum psc_register; for PSC_CFI_REGISTER and PSC_CFI_MEMORY */
    int32_t offset;
};

struct psc_cfi_rules {
    struct psc_cfi_rule cfa; /* upper end of the frame: PSC_CFI_REGISTER, PSC_CFI_MEMORY or PSC_CFI_UNKNOWN */
    struct psc_cfi_rule registers[PSC_REGS];
    bool signal; /* the caller was interrupted by a signal, so its pc is not a return address */
};

enum psc_cfi_result {
    PSC_CFI_FOUND,
    /* From here on *rules is not valid. */
    PSC_CFI_NONE,   /* nothing (that makes sense) describes the address */
    PSC_CFI_BEFORE, /* nor that, but a function begins right after it. No call returns there: a return address like this
                     * was made up to start a stack (by makecontext, say) */
};

/* `at` is the address of an instruction, or inside one: of a return address, the byte before. */
enum psc_cfi_result psc_cfi_find(const struct psc_cfi_tables *tables, uint64_t at, struct psc_cfi_rules *rules);

#endif
