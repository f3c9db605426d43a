/* Stack walking on x86-64: see unwind_arch.h. */
#ifndef PSC_CORE_TRACK_UNWIND_X86_64_H
#define PSC_CORE_TRACK_UNWIND_X86_64_H

#include "core/base/compiler.h"

/* The registers of the function that a walk starts in. */
struct psc_unwind_start {
    uint64_t pc;
    uint64_t sp;
    uint64_t fp;
    uint64_t caller; /* its return address: a hint, to tell places apart that have the same stack pointer */
};

/* Fills *start with the registers of the function that this is written in. */
PSC_INLINE void psc_unwind_capture(struct psc_unwind_start *start) {
    start->caller = (uintptr_t)__builtin_return_address(0);
    __asm__ volatile("leaq 0(%%rip), %0\n\tmovq %%rsp, %1\n\tmovq %%rbp, %2"
                     : "=&r"(start->pc), "=&r"(start->sp), "=&r"(start->fp));
}

/* The registers that a frame's rules can speak of: those that a callee keeps. */
enum psc_register {
    PSC_REG_SP,
    PSC_REG_FP,
    PSC_REG_PC,
    PSC_REG_RBX,
    PSC_REG_R12,
    PSC_REG_R13,
    PSC_REG_R14,
    PSC_REG_R15,
    PSC_REGS
};

/* The DWARF number's register, or PSC_REGS for one that no rule can use. */
PSC_INLINE enum psc_register psc_arch_register(uint64_t number) {
    static const uint8_t registers[] = {
        [0] = PSC_REGS,     [1] = PSC_REGS,    [2] = PSC_REGS,     [3] = PSC_REG_RBX,  [4] = PSC_REGS,
        [5] = PSC_REGS,     [6] = PSC_REG_FP,  [7] = PSC_REG_SP,   [8] = PSC_REGS,     [9] = PSC_REGS,
        [10] = PSC_REGS,    [11] = PSC_REGS,   [12] = PSC_REG_R12, [13] = PSC_REG_R13, [14] = PSC_REG_R14,
        [15] = PSC_REG_R15, [16] = PSC_REG_PC,
    };
    return number < sizeof(registers) ? (enum psc_register)registers[number] : PSC_REGS;
}

/* Above every frame of a thread that glibc made: its control block lies at the upper end of its stack. */
PSC_INLINE uint64_t psc_arch_thread_pointer(void) {
    uint64_t pointer;
    __asm__("movq %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

/* One frame. While rows are followed only the stack and the frame pointer are kept up. */
struct psc_unwind_cursor {
    uint64_t at;      /* the instruction that the frame is at: an address inside the call, or the one interrupted */
    uint64_t limit;   /* end of the stack, UINT64_MAX: not known */
    uint64_t fp_slot; /* where the last step by a row found the frame pointer, 0: it was left as it was */
    uint64_t registers[PSC_REGS];
};

/* Fills in all registers of the function that this is written in. */
PSC_INLINE void psc_arch_capture(struct psc_unwind_cursor *cursor) {
    uint64_t *registers = cursor->registers;
    __asm__ volatile("leaq 0(%%rip), %%rax\n\t"
                     "movq %%rax, %0\n\tmovq %%rsp, %1\n\tmovq %%rbp, %2\n\tmovq %%rbx, %3\n\t"
                     "movq %%r12, %4\n\tmovq %%r13, %5\n\tmovq %%r14, %6\n\tmovq %%r15, %7"
                     : "=m"(cursor->at), "=m"(registers[PSC_REG_SP]), "=m"(registers[PSC_REG_FP]),
                       "=m"(registers[PSC_REG_RBX]), "=m"(registers[PSC_REG_R12]), "=m"(registers[PSC_REG_R13]),
                       "=m"(registers[PSC_REG_R14]), "=m"(registers[PSC_REG_R15])
                     :
                     : "rax");
}

/* A frame larger than this is taken for a mistake. */
#define PSC_FRAME_BYTES_MAX (UINT64_C(64) << 20)
/* What lies this far below the stack pointer is still the frame's own: a function that is just returning has left its
 * saved registers there. */
#define PSC_RED_ZONE_BYTES 128

enum psc_step {
    PSC_STEP_FRAME,  /* the cursor is at the caller */
    PSC_STEP_LAST,   /* the frame was the outermost one */
    PSC_STEP_BROKEN, /* the caller cannot be found; the cursor is useless */
    PSC_STEP_FULL,   /* needs registers that the walk has not kept up */
};

/* Not a load of C: the word belongs to another function's frame, which the compiler and its sanitizers guard. Volatile: not
 * before what says that it can be read. */
PSC_INLINE uint64_t psc_stack_read(uint64_t address) {
    uint64_t word;
    __asm__ volatile("movq %1, %0" : "=r"(word) : "m"(*(const uint64_t *)(uintptr_t)address));
    return word;
}

/* Whether `cfa` can be the upper end of the cursor's frame. Then all of the frame up to there can be read. */
PSC_INLINE bool psc_frame_sound(const struct psc_unwind_cursor *cursor, uint64_t cfa) {
    return cfa - cursor->registers[PSC_REG_SP] - 1 < PSC_FRAME_BYTES_MAX && cfa <= cursor->limit && cfa % 8 == 0;
}

/* Whether the cursor's frame, which ends at `cfa`, can hold a word at `address`. */
PSC_INLINE bool psc_frame_holds(const struct psc_unwind_cursor *cursor, uint64_t cfa, uint64_t address) {
    uint64_t start = cursor->registers[PSC_REG_SP] - PSC_RED_ZONE_BYTES;
    return address - start < cfa - start && cfa - address >= 8;
}

PSC_INLINE enum psc_step psc_cursor_return(struct psc_unwind_cursor *cursor, uint64_t cfa, uint64_t return_address) {
    cursor->registers[PSC_REG_SP] = cfa;
    cursor->at = return_address - 1;
    return return_address == 0 ? PSC_STEP_LAST : PSC_STEP_FRAME;
}

/* A row in 29 bits: kind in bits 0 to 2, the place of the caller's frame pointer in 3 to 8, the frame's size in 9 to
 * 28. The return address lies right below the CFA, the upper end of the frame (DWARF: canonical frame address). */
#define PSC_ROW_BITS 29

enum psc_row_kind {
    PSC_ROW_EMPTY,
    PSC_ROW_SP,     /* CFA = sp + size */
    PSC_ROW_FP,     /* CFA = fp + size */
    PSC_ROW_DEREF,  /* the CFA stands at fp + size, for the function has aligned its stack */
    PSC_ROW_SIGNAL, /* the kernel's frame below a signal handler: registers stand in the ucontext at sp */
    PSC_ROW_LAST,   /* the outermost frame */
    PSC_ROW_NONE,   /* nothing is known of this address */
    PSC_ROW_FULL,   /* anything else: the rules have to be read anew, and need more registers */
};

#define PSC_ROW_FP_SHIFT 3
#define PSC_ROW_FP_MAX 63u
#define PSC_ROW_SIZE_SHIFT 9
#define PSC_ROW_SIZE_BIAS (1 << 19) /* sizes are signed, in units of 8 bytes */

/* Whether a step by this row needs the frame pointer. */
PSC_INLINE bool psc_row_uses_fp(uint32_t row) {
    uint32_t kind = row % 8;
    return kind != PSC_ROW_SP && kind != PSC_ROW_LAST;
}

struct psc_cfi_rules;
uint32_t psc_row_pack(const struct psc_cfi_rules *rules);

/* base + size. The base is known before the row, so the bias goes first: what waits for the row is kept short. */
PSC_INLINE uint64_t psc_row_apply(uint32_t row, uint64_t base) {
    return base - UINT64_C(8) * PSC_ROW_SIZE_BIAS + UINT64_C(8) * (row >> PSC_ROW_SIZE_SHIFT);
}

/* Where the word stands that tells a step by this row how far the frame reaches, beside stack and frame pointer; 0: these
 * are all. To be read only once the step has succeeded. */
PSC_INLINE uint64_t psc_row_cfa_slot(const struct psc_unwind_cursor *cursor, uint32_t row) {
    return row % 8 == PSC_ROW_DEREF ? psc_row_apply(row, cursor->registers[PSC_REG_FP]) : 0;
}

/* Offsets in the kernel's struct ucontext. */
#define PSC_UCONTEXT_FP 120
#define PSC_UCONTEXT_SP 160
#define PSC_UCONTEXT_PC 168

/* Two common ways of saving fp: at CFA - 8 * place; in an aligned frame at fp + 8 * (place - 1). Place 0: not saved. */
PSC_INLINE enum psc_step psc_row_finish(struct psc_unwind_cursor *cursor, uint64_t cfa, uint64_t saved,
                                        uint32_t place) {
    cursor->fp_slot = 0;
    if (PSC_UNLIKELY(!psc_frame_sound(cursor, cfa))) {
        return PSC_STEP_BROKEN;
    }
    if (place != 0) {
        cursor->fp_slot = saved;
        if (PSC_UNLIKELY(!psc_frame_holds(cursor, cfa, saved))) {
            return PSC_STEP_BROKEN;
        }
        cursor->registers[PSC_REG_FP] = psc_stack_read(saved);
    }
    return psc_cursor_return(cursor, cfa, psc_stack_read(cfa - 8));
}

PSC_INLINE enum psc_step psc_row_step_deref(struct psc_unwind_cursor *cursor, uint32_t row) {
    uint64_t fp = cursor->registers[PSC_REG_FP], slot = psc_row_apply(row, fp);
    uint32_t place = (row >> PSC_ROW_FP_SHIFT) & PSC_ROW_FP_MAX;
    if (slot % 8 != 0 || !psc_frame_sound(cursor, slot + 8)) {
        return PSC_STEP_BROKEN;
    }
    return psc_row_finish(cursor, psc_stack_read(slot), fp + 8 * (uint64_t)place - 8, place);
}

/* The interrupted function may be on another stack: the caller has to find the limit anew. */
PSC_INLINE enum psc_step psc_row_step_signal(struct psc_unwind_cursor *cursor) {
    uint64_t context = cursor->registers[PSC_REG_SP];
    if (!psc_frame_sound(cursor, context + PSC_UCONTEXT_PC + 8)) {
        return PSC_STEP_BROKEN;
    }
    cursor->at = psc_stack_read(context + PSC_UCONTEXT_PC);
    cursor->registers[PSC_REG_FP] = psc_stack_read(context + PSC_UCONTEXT_FP);
    cursor->registers[PSC_REG_SP] = psc_stack_read(context + PSC_UCONTEXT_SP);
    return cursor->at == 0 ? PSC_STEP_BROKEN : PSC_STEP_FRAME;
}

/* Without a table: believes in a chain of frame pointers as long as it stays within a stack whose end is known. */
PSC_INLINE enum psc_step psc_row_step_chain(struct psc_unwind_cursor *cursor) {
    uint64_t fp = cursor->registers[PSC_REG_FP];
    if (cursor->limit == UINT64_MAX || fp < cursor->registers[PSC_REG_SP] || !psc_frame_sound(cursor, fp + 16)) {
        return PSC_STEP_BROKEN;
    }
    cursor->registers[PSC_REG_FP] = psc_stack_read(fp);
    cursor->fp_slot = fp;
    uint64_t return_address = psc_stack_read(fp + 8);
    bool canonical = return_address == 0 || (return_address >= 4096 && return_address < UINT64_C(1) << 47);
    return canonical ? psc_cursor_return(cursor, fp + 16, return_address) : PSC_STEP_BROKEN;
}

PSC_INLINE enum psc_step psc_row_step_plain(struct psc_unwind_cursor *cursor, uint32_t row, uint64_t base) {
    uint32_t place = (row >> PSC_ROW_FP_SHIFT) & PSC_ROW_FP_MAX;
    uint64_t cfa = psc_row_apply(row, base);
    return psc_row_finish(cursor, cfa, cfa - 8 * (uint64_t)place, place);
}

/* Cost of the two common kinds: some 20 instructions, two loads from the stack. They are told apart by a branch, not by
 * choosing the base: a branch is predicted, a choice waits for the row. */
PSC_INLINE enum psc_step psc_row_step(struct psc_unwind_cursor *cursor, uint32_t row) {
    uint32_t kind = row % 8;
    if (PSC_LIKELY(kind == PSC_ROW_SP)) {
        return psc_row_step_plain(cursor, row, cursor->registers[PSC_REG_SP]);
    }
    if (PSC_LIKELY(kind == PSC_ROW_FP)) {
        return psc_row_step_plain(cursor, row, cursor->registers[PSC_REG_FP]);
    }
    switch (kind) {
    case PSC_ROW_DEREF: return psc_row_step_deref(cursor, row);
    case PSC_ROW_SIGNAL: return psc_row_step_signal(cursor);
    case PSC_ROW_LAST: return PSC_STEP_LAST;
    case PSC_ROW_FULL: return PSC_STEP_FULL;
    default: return psc_row_step_chain(cursor);
    }
}

#endif
