#include "core/track/unwind_cfi.h"

#include "core/track/unwind_expression.h"
#include "core/track/unwind_reader.h"

/* ---- finding the entry ----------------------------------------------------------------------------------------- */

/* The header's table for binary search: pairs of offsets from the header, sorted by the first. */
struct pair {
    int32_t code;
    int32_t entry;
};

static struct psc_reader read_from(const struct psc_cfi_tables *tables, uint64_t address) {
    uint64_t start = (uintptr_t)tables->start, size = (uint64_t)(tables->end - tables->start);
    uint64_t offset = address - start;
    bool inside = offset < size;
    struct psc_reader reader = {inside ? tables->start + offset : tables->end, tables->end, !inside};
    return reader;
}

static struct pair read_pair(const uint8_t *pairs, uint64_t index) {
    struct pair pair;
    __builtin_memcpy(&pair, pairs + index * sizeof(pair), sizeof(pair));
    return pair;
}

/* How many of the pairs begin at or below the offset. */
static uint64_t count_below(const uint8_t *pairs, uint64_t count, int64_t offset) {
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (read_pair(pairs, middle).code <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The address of the entry that may describe `at`, or 0. */
static uint64_t find_entry(const struct psc_cfi_tables *tables, uint64_t at) {
    struct psc_reader reader = read_from(tables, (uintptr_t)tables->header);
    uint64_t version = psc_reader_bytes(&reader, 1);
    uint8_t frame_encoding = (uint8_t)psc_reader_bytes(&reader, 1);
    uint8_t count_encoding = (uint8_t)psc_reader_bytes(&reader, 1);
    uint8_t table_encoding = (uint8_t)psc_reader_bytes(&reader, 1);
    if (version != 1 || table_encoding != (PSC_ENCODED_FROM_HEADER | PSC_ENCODED_S32)) {
        return 0;
    }
    psc_reader_pointer(&reader, frame_encoding, tables->header);
    uint64_t count = psc_reader_pointer(&reader, count_encoding, tables->header);
    if (reader.bad || count > (uint64_t)(reader.end - reader.at) / sizeof(struct pair)) {
        return 0;
    }
    uint64_t base = (uintptr_t)tables->header;
    uint64_t below = count_below(reader.at, count, (int64_t)(at - base));
    return below == 0 ? 0 : base + (uint64_t)(int64_t)read_pair(reader.at, below - 1).entry;
}

/* ---- entries: what is common to many (CIE), and what is one function's (FDE) ------------------------------------- */

struct common {
    struct psc_reader program; /* sets up the rules that every function begins with */
    uint64_t code_factor;
    int64_t data_factor;
    uint8_t code_encoding;
    bool signal;
    bool sized; /* entries say how long their augmentation data is */
};

struct entry {
    struct psc_reader program;
    uint64_t code; /* address of the first instruction described */
    uint64_t code_bytes;
};

/* The body of the record at the address; `identity` is its second field, which stands at the body's start. */
static struct psc_reader open_record(const struct psc_cfi_tables *tables, uint64_t address, uint32_t *identity) {
    struct psc_reader reader = read_from(tables, address);
    uint64_t length = psc_reader_bytes(&reader, 4);
    if (length == UINT32_MAX) {
        reader.bad = true; /* 64-bit records: no linker makes them in .eh_frame */
    }
    struct psc_reader body = psc_reader_part(&reader, length);
    *identity = (uint32_t)psc_reader_bytes(&body, 4);
    body.bad |= reader.bad;
    return body;
}

/* `reader` stands at the data that belongs to the augmentation string's letters. */
static bool read_augmentation(struct common *common, const uint8_t *letters, struct psc_reader *reader) {
    if (*letters == 0) {
        return true;
    }
    if (*letters++ != 'z') {
        return false;
    }
    common->sized = true;
    struct psc_reader data = psc_reader_part(reader, psc_reader_uleb(reader));
    for (; *letters != 0; letters++) {
        if (*letters == 'R') {
            common->code_encoding = (uint8_t)psc_reader_bytes(&data, 1);
        } else if (*letters == 'P') {
            psc_reader_form(&data, (uint8_t)psc_reader_bytes(&data, 1));
        } else if (*letters == 'L') {
            psc_reader_bytes(&data, 1);
        } else if (*letters == 'S') {
            common->signal = true;
        } else {
            return false;
        }
    }
    return !data.bad;
}

static bool read_common(const struct psc_cfi_tables *tables, uint64_t address, struct common *common) {
    uint32_t identity;
    struct psc_reader reader = open_record(tables, address, &identity);
    uint64_t version = psc_reader_bytes(&reader, 1);
    const uint8_t *letters = reader.at;
    while (psc_reader_bytes(&reader, 1) != 0) {
        continue;
    }
    if (reader.bad || identity != 0 || (version != 1 && version != 3)) {
        return false;
    }
    common->code_factor = psc_reader_uleb(&reader);
    common->data_factor = psc_reader_sleb(&reader);
    uint64_t return_column = version == 1 ? psc_reader_bytes(&reader, 1) : psc_reader_uleb(&reader);
    if (psc_arch_register(return_column) != PSC_REG_PC || !read_augmentation(common, letters, &reader)) {
        return false;
    }
    common->program = reader;
    return !reader.bad;
}

static bool read_entry(const struct psc_cfi_tables *tables, uint64_t address, struct common *common,
                       struct entry *entry) {
    uint32_t back;
    struct psc_reader reader = open_record(tables, address, &back);
    /* The distance to the common part counts from the field that holds it, 4 bytes into the record. */
    if (reader.bad || back == 0 || !read_common(tables, address + 4 - back, common)) {
        return false;
    }
    entry->code = psc_reader_pointer(&reader, common->code_encoding, tables->header);
    entry->code_bytes = psc_reader_form(&reader, common->code_encoding);
    if (common->sized) {
        psc_reader_skip(&reader, psc_reader_uleb(&reader));
    }
    entry->program = reader;
    return !reader.bad;
}

/* ---- the program of an entry ------------------------------------------------------------------------------------- */

/* Compilers do not nest this. */
#define REMEMBERED_MAX 2

struct state {
    const struct common *common;
    const uint8_t *header;
    struct psc_cfi_rules *rules;
    const struct psc_cfi_rules *initial; /* rules after the common part; NULL while that runs */
    uint64_t at;                         /* the address that is asked for */
    uint64_t location;                   /* the rules hold from here on */
    struct psc_cfi_rules remembered[REMEMBERED_MAX];
    unsigned depth;
    bool bad;
};

enum {
    CFA_ADVANCE = 0x40, /* these three carry an operand in their low six bits */
    CFA_OFFSET = 0x80,
    CFA_RESTORE = 0xc0,
    CFA_NOP = 0x00,
    CFA_SET_LOC = 0x01,
    CFA_ADVANCE1 = 0x02,
    CFA_ADVANCE2 = 0x03,
    CFA_ADVANCE4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER_STATE = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_OFFSET = 0x14,
    CFA_VAL_OFFSET_SF = 0x15,
    CFA_VAL_EXPRESSION = 0x16,
    CFA_GNU_ARGS_SIZE = 0x2e,
    CFA_GNU_NEGATIVE_OFFSET = 0x2f,
};

static void set_rule(struct state *state, uint64_t number, struct psc_cfi_rule rule) {
    enum psc_register reg = psc_arch_register(number);
    if (reg != PSC_REGS) {
        state->rules->registers[reg] = rule;
    }
}

static void set_kind(struct state *state, uint64_t number, enum psc_cfi_rule_kind kind) {
    set_rule(state, number, (struct psc_cfi_rule){(uint8_t)kind, 0, 0});
}

/* Offsets that no frame has make the rule unknown. */
static struct psc_cfi_rule rule_with(enum psc_cfi_rule_kind kind, enum psc_register reg, int64_t offset) {
    if (offset != (int32_t)offset || (reg == PSC_REGS && kind == PSC_CFI_REGISTER)) {
        kind = PSC_CFI_UNKNOWN;
    }
    return (struct psc_cfi_rule){(uint8_t)kind, (uint8_t)reg, (int32_t)offset};
}

static int64_t scaled(const struct state *state, int64_t factored) {
    return (int64_t)((uint64_t)factored * (uint64_t)state->common->data_factor);
}

static void set_offset(struct state *state, uint64_t number, enum psc_cfi_rule_kind kind, int64_t factored) {
    set_rule(state, number, rule_with(kind, PSC_REG_SP, scaled(state, factored)));
}

static void set_cfa(struct state *state, uint64_t number, int64_t offset) {
    state->rules->cfa = rule_with(PSC_CFI_REGISTER, psc_arch_register(number), offset);
}

static void set_cfa_offset(struct state *state, int64_t offset) {
    struct psc_cfi_rule *cfa = &state->rules->cfa;
    enum psc_cfi_rule_kind kind = cfa->kind == PSC_CFI_REGISTER ? PSC_CFI_REGISTER : PSC_CFI_UNKNOWN;
    *cfa = rule_with(kind, (enum psc_register)cfa->reg, offset);
}

/* The offset holds on, also from a register that cannot be followed. */
static void set_cfa_register(struct state *state, uint64_t number) {
    set_cfa(state, number, state->rules->cfa.offset);
}

static void restore(struct state *state, uint64_t number) {
    enum psc_register reg = psc_arch_register(number);
    if (reg != PSC_REGS && state->initial != NULL) {
        state->rules->registers[reg] = state->initial->registers[reg];
    }
}

static void remember(struct state *state) {
    if (state->depth == REMEMBERED_MAX) {
        state->bad = true;
    } else {
        state->remembered[state->depth++] = *state->rules;
    }
}

static void recall(struct state *state) {
    if (state->depth == 0) {
        state->bad = true;
    } else {
        *state->rules = state->remembered[--state->depth];
    }
}

static void advance(struct state *state, uint64_t units) {
    state->location += units * state->common->code_factor;
}

/* A register that was copied to another one can be found there only if that one is kept up. */
static void copy_register(struct state *state, uint64_t number, uint64_t source) {
    set_rule(state, number, rule_with(PSC_CFI_REGISTER, psc_arch_register(source), 0));
}

static struct psc_cfi_rule read_expression(struct state *state, struct psc_reader *program,
                                           enum psc_expression_use use) {
    return psc_expression_rule(psc_reader_part(program, psc_reader_uleb(program)), state->at, use);
}

static void define_cfa(struct state *state, uint8_t op, struct psc_reader *program) {
    uint64_t number = op == CFA_DEF_CFA || op == CFA_DEF_CFA_SF ? psc_reader_uleb(program) : 0;
    if (op == CFA_DEF_CFA) {
        set_cfa(state, number, (int64_t)psc_reader_uleb(program));
    } else if (op == CFA_DEF_CFA_SF) {
        set_cfa(state, number, scaled(state, psc_reader_sleb(program)));
    } else if (op == CFA_DEF_CFA_REGISTER) {
        set_cfa_register(state, psc_reader_uleb(program));
    } else if (op == CFA_DEF_CFA_OFFSET) {
        set_cfa_offset(state, (int64_t)psc_reader_uleb(program));
    } else if (op == CFA_DEF_CFA_OFFSET_SF) {
        set_cfa_offset(state, scaled(state, psc_reader_sleb(program)));
    } else {
        state->rules->cfa = read_expression(state, program, PSC_EXPRESSION_CFA);
    }
}

/* Instructions whose first operand is a register. */
static void define_register(struct state *state, uint8_t op, struct psc_reader *program) {
    uint64_t number = psc_reader_uleb(program);
    switch (op) {
    case CFA_OFFSET_EXTENDED: set_offset(state, number, PSC_CFI_SAVED, (int64_t)psc_reader_uleb(program)); break;
    case CFA_OFFSET_EXTENDED_SF: set_offset(state, number, PSC_CFI_SAVED, psc_reader_sleb(program)); break;
    case CFA_GNU_NEGATIVE_OFFSET:
        set_offset(state, number, PSC_CFI_SAVED, (int64_t)(0 - psc_reader_uleb(program)));
        break;
    case CFA_VAL_OFFSET: set_offset(state, number, PSC_CFI_CFA, (int64_t)psc_reader_uleb(program)); break;
    case CFA_VAL_OFFSET_SF: set_offset(state, number, PSC_CFI_CFA, psc_reader_sleb(program)); break;
    case CFA_RESTORE_EXTENDED: restore(state, number); break;
    case CFA_UNDEFINED: set_kind(state, number, PSC_CFI_UNDEFINED); break;
    case CFA_SAME_VALUE: set_kind(state, number, PSC_CFI_SAME); break;
    case CFA_REGISTER: copy_register(state, number, psc_reader_uleb(program)); break;
    case CFA_EXPRESSION: set_rule(state, number, read_expression(state, program, PSC_EXPRESSION_ADDRESS)); break;
    case CFA_VAL_EXPRESSION: set_rule(state, number, read_expression(state, program, PSC_EXPRESSION_VALUE)); break;
    default: /* an instruction that is not known: nor is its length */ state->bad = true;
    }
}

static void run_other(struct state *state, uint8_t op, struct psc_reader *program) {
    switch (op) {
    case CFA_NOP: break;
    case CFA_ADVANCE1:
    case CFA_ADVANCE2:
    case CFA_ADVANCE4: advance(state, psc_reader_bytes(program, 1u << (op - CFA_ADVANCE1))); break;
    case CFA_SET_LOC: state->location = psc_reader_pointer(program, state->common->code_encoding, state->header); break;
    case CFA_REMEMBER_STATE: remember(state); break;
    case CFA_RESTORE_STATE: recall(state); break;
    case CFA_GNU_ARGS_SIZE: psc_reader_uleb(program); break;
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_SF:
    case CFA_DEF_CFA_REGISTER:
    case CFA_DEF_CFA_OFFSET:
    case CFA_DEF_CFA_OFFSET_SF:
    case CFA_DEF_CFA_EXPRESSION: define_cfa(state, op, program); break;
    default: define_register(state, op, program);
    }
}

static void run_one(struct state *state, struct psc_reader *program) {
    uint8_t op = (uint8_t)psc_reader_bytes(program, 1), operand = op & 0x3f;
    switch (op & 0xc0) {
    case CFA_ADVANCE: advance(state, operand); break;
    case CFA_OFFSET: set_offset(state, operand, PSC_CFI_SAVED, (int64_t)psc_reader_uleb(program)); break;
    case CFA_RESTORE: restore(state, operand); break;
    default: run_other(state, op, program);
    }
}

/* Runs until the rules hold for the address that is asked for. */
static bool run(struct state *state, struct psc_reader program) {
    while (!state->bad && !program.bad && program.at < program.end && state->location <= state->at) {
        run_one(state, &program);
    }
    return !state->bad && !program.bad;
}

static bool is_start(const struct psc_cfi_tables *tables, uint64_t at) {
    struct common common = {0};
    struct entry entry;
    uint64_t address = find_entry(tables, at);
    return address != 0 && read_entry(tables, address, &common, &entry) && entry.code == at;
}

/* The rules before the function's first instruction are `initial`, those at `at` *rules. */
static bool run_both(const struct psc_cfi_tables *tables, const struct common *common, const struct entry *entry,
                     uint64_t at, struct psc_cfi_rules *rules) {
    struct psc_cfi_rules initial;
    struct state state;
    state.common = common;
    state.header = tables->header;
    state.rules = rules;
    state.initial = NULL;
    state.at = at;
    state.location = entry->code;
    state.depth = 0;
    state.bad = false;
    if (!run(&state, common->program)) {
        return false;
    }
    initial = *rules;
    state.initial = &initial;
    return run(&state, entry->program);
}

enum psc_cfi_result psc_cfi_find(const struct psc_cfi_tables *tables, uint64_t at, struct psc_cfi_rules *rules) {
    struct common common = {0};
    struct entry entry;
    uint64_t address = find_entry(tables, at);
    if (address == 0 || !read_entry(tables, address, &common, &entry) || at - entry.code >= entry.code_bytes) {
        return is_start(tables, at + 1) ? PSC_CFI_BEFORE : PSC_CFI_NONE;
    }
    __builtin_memset(rules, 0, sizeof(*rules));
    rules->cfa.kind = PSC_CFI_UNKNOWN;
    rules->signal = common.signal;
    return run_both(tables, &common, &entry, at, rules) ? PSC_CFI_FOUND : PSC_CFI_NONE;
}
