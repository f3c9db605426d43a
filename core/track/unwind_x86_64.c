#ifdef __x86_64__

#include "core/track/unwind_cfi.h"

static bool is_rule(struct psc_cfi_rule rule, enum psc_cfi_rule_kind kind, enum psc_register reg, int32_t offset) {
    return rule.kind == kind && rule.reg == reg && rule.offset == offset;
}

/* glibc describes the kernel's frame by expressions on sp. */
static bool is_kernel_frame(const struct psc_cfi_rules *rules) {
    return rules->signal && is_rule(rules->cfa, PSC_CFI_MEMORY, PSC_REG_SP, PSC_UCONTEXT_SP) &&
           is_rule(rules->registers[PSC_REG_FP], PSC_CFI_MEMORY, PSC_REG_SP, PSC_UCONTEXT_FP) &&
           is_rule(rules->registers[PSC_REG_PC], PSC_CFI_MEMORY, PSC_REG_SP, PSC_UCONTEXT_PC);
}

/* SP, FP or DEREF, or FULL if the upper end of the frame is found in another way. */
static enum psc_row_kind kind_of(struct psc_cfi_rule cfa) {
    if (cfa.kind == PSC_CFI_REGISTER && cfa.reg == PSC_REG_SP) {
        return PSC_ROW_SP;
    }
    if (cfa.kind == PSC_CFI_REGISTER && cfa.reg == PSC_REG_FP) {
        return PSC_ROW_FP;
    }
    return cfa.kind == PSC_CFI_MEMORY && cfa.reg == PSC_REG_FP ? PSC_ROW_DEREF : PSC_ROW_FULL;
}

/* See psc_row_finish; PSC_ROW_FP_MAX + 1 for what has no place. */
static uint32_t place_of(enum psc_row_kind kind, struct psc_cfi_rule fp) {
    int32_t bytes = -1;
    if (fp.kind == PSC_CFI_SAME || fp.kind == PSC_CFI_UNDEFINED) {
        return 0;
    }
    if (kind != PSC_ROW_DEREF && fp.kind == PSC_CFI_SAVED) {
        bytes = fp.offset < 0 && fp.offset > INT32_MIN ? -fp.offset : -1;
    } else if (kind == PSC_ROW_DEREF && fp.kind == PSC_CFI_MEMORY && fp.reg == PSC_REG_FP &&
               fp.offset < INT32_MAX - 8) {
        bytes = fp.offset + 8;
    }
    bool fits = bytes > 0 && bytes % 8 == 0 && (uint32_t)bytes / 8 <= PSC_ROW_FP_MAX;
    return fits ? (uint32_t)bytes / 8 : PSC_ROW_FP_MAX + 1;
}

static bool is_call_frame(const struct psc_cfi_rules *rules) {
    struct psc_cfi_rule pc = rules->registers[PSC_REG_PC], sp = rules->registers[PSC_REG_SP];
    bool sp_is_cfa = sp.kind == PSC_CFI_SAME || (sp.kind == PSC_CFI_CFA && sp.offset == 0);
    return !rules->signal && sp_is_cfa && pc.kind == PSC_CFI_SAVED && pc.offset == -8;
}

uint32_t psc_row_pack(const struct psc_cfi_rules *rules) {
    if (rules->registers[PSC_REG_PC].kind == PSC_CFI_UNDEFINED) {
        return PSC_ROW_LAST;
    }
    if (is_kernel_frame(rules)) {
        return PSC_ROW_SIGNAL;
    }
    enum psc_row_kind kind = kind_of(rules->cfa);
    uint32_t place = place_of(kind, rules->registers[PSC_REG_FP]);
    int32_t units = rules->cfa.offset / 8;
    bool fits = rules->cfa.offset % 8 == 0 && units >= -PSC_ROW_SIZE_BIAS && units < PSC_ROW_SIZE_BIAS;
    if (!is_call_frame(rules) || kind == PSC_ROW_FULL || place > PSC_ROW_FP_MAX || !fits) {
        return PSC_ROW_FULL;
    }
    return kind | place << PSC_ROW_FP_SHIFT | (uint32_t)(units + PSC_ROW_SIZE_BIAS) << PSC_ROW_SIZE_SHIFT;
}

#endif
