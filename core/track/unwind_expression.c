#include "core/track/unwind_expression.h"

/* Expressions are evaluated over what is known before there is a frame: numbers, a register plus a number, memory at
 * that. What has no value in these terms is unknown. */
enum value_kind { VALUE_NUMBER, VALUE_ADDRESS, VALUE_MEMORY, VALUE_UNKNOWN };

/* Stands for the CFA, which the expressions for other registers begin with. */
#define REG_CFA PSC_REGS

struct value {
    uint8_t kind; /* enum value_kind */
    uint8_t reg;
    int64_t number;
};

#define VALUES_MAX 8

struct machine {
    struct value values[VALUES_MAX];
    unsigned depth;
    uint64_t at; /* the value of pc */
    bool bad;
};

static void push(struct machine *machine, struct value value) {
    if (machine->depth == VALUES_MAX) {
        machine->bad = true;
    } else {
        machine->values[machine->depth++] = value;
    }
}

static void push_number(struct machine *machine, int64_t number) {
    push(machine, (struct value){VALUE_NUMBER, 0, number});
}

static struct value pop(struct machine *machine) {
    if (machine->depth == 0) {
        machine->bad = true;
        return (struct value){VALUE_UNKNOWN, 0, 0};
    }
    return machine->values[--machine->depth];
}

static void push_register(struct machine *machine, unsigned number, int64_t offset) {
    enum psc_register reg = psc_arch_register(number);
    if (reg == PSC_REG_PC) {
        push_number(machine, (int64_t)(machine->at + (uint64_t)offset));
    } else {
        push(machine, (struct value){reg == PSC_REGS ? VALUE_UNKNOWN : VALUE_ADDRESS, (uint8_t)reg, offset});
    }
}

static void push_copy(struct machine *machine, unsigned below_top) {
    if (below_top >= machine->depth) {
        machine->bad = true;
    } else {
        push(machine, machine->values[machine->depth - 1 - below_top]);
    }
}

static void swap(struct machine *machine) {
    struct value first = pop(machine), second = pop(machine);
    push(machine, first);
    push(machine, second);
}

static void dereference(struct machine *machine) {
    struct value value = pop(machine);
    value.kind = value.kind == VALUE_ADDRESS ? VALUE_MEMORY : VALUE_UNKNOWN;
    push(machine, value);
}

static void add(struct machine *machine, struct value left, struct value right) {
    if (left.kind == VALUE_NUMBER) {
        struct value other = left;
        left = right;
        right = other;
    }
    bool known = right.kind == VALUE_NUMBER && left.kind != VALUE_MEMORY && left.kind != VALUE_UNKNOWN;
    left.number = (int64_t)((uint64_t)left.number + (uint64_t)right.number);
    left.kind = known ? left.kind : VALUE_UNKNOWN;
    push(machine, left);
}

enum {
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST8S = 0x0f,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_SWAP = 0x16,
    OP_AND = 0x1a,
    OP_MINUS = 0x1c,
    OP_MUL = 0x1e,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_XOR = 0x27,
    OP_EQ = 0x29,
    OP_GE = 0x2a,
    OP_GT = 0x2b,
    OP_LE = 0x2c,
    OP_LT = 0x2d,
    OP_NE = 0x2e,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_NOP = 0x96,
};

/* The result of an operation on two numbers; false if it is not one of these. */
static bool calculate(uint8_t op, int64_t left, int64_t right, int64_t *result) {
    uint64_t a = (uint64_t)left, b = (uint64_t)right, r;
    switch (op) {
    case OP_AND: r = a & b; break;
    case OP_MUL: r = a * b; break;
    case OP_OR: r = a | b; break;
    case OP_SHL: r = b < 64 ? a << b : 0; break;
    case OP_SHR: r = b < 64 ? a >> b : 0; break;
    case OP_XOR: r = a ^ b; break;
    case OP_EQ: r = left == right; break;
    case OP_GE: r = left >= right; break;
    case OP_GT: r = left > right; break;
    case OP_LE: r = left <= right; break;
    case OP_LT: r = left < right; break;
    case OP_NE: r = left != right; break;
    default: return false;
    }
    *result = (int64_t)r;
    return true;
}

static void operate(struct machine *machine, uint8_t op) {
    struct value right = pop(machine), left = pop(machine), result = {VALUE_NUMBER, 0, 0};
    if (op == OP_MINUS && right.kind == VALUE_NUMBER) {
        right.number = (int64_t)(0 - (uint64_t)right.number);
        op = OP_PLUS;
    }
    if (op == OP_PLUS) {
        add(machine, left, right);
        return;
    }
    if (left.kind != VALUE_NUMBER || right.kind != VALUE_NUMBER) {
        result.kind = VALUE_UNKNOWN;
    } else if (!calculate(op, left.number, right.number, &result.number)) {
        machine->bad = true;
    }
    push(machine, result);
}

/* The eight operations from OP_CONST1U on: sizes 1, 2, 4, 8, each unsigned, then signed. */
static int64_t read_constant(struct psc_reader *reader, uint8_t op) {
    unsigned index = op - OP_CONST1U, bytes = 1u << index / 2;
    return index % 2 ? psc_reader_signed(reader, bytes) : (int64_t)psc_reader_bytes(reader, bytes);
}

static void execute(struct machine *machine, uint8_t op, struct psc_reader *reader) {
    if (op >= OP_LIT0 && op <= OP_LIT31) {
        push_number(machine, op - OP_LIT0);
    } else if (op >= OP_BREG0 && op <= OP_BREG31) {
        push_register(machine, op - OP_BREG0, psc_reader_sleb(reader));
    } else if (op >= OP_CONST1U && op <= OP_CONST8S) {
        push_number(machine, read_constant(reader, op));
    } else if (op == OP_CONSTU) {
        push_number(machine, (int64_t)psc_reader_uleb(reader));
    } else if (op == OP_CONSTS) {
        push_number(machine, psc_reader_sleb(reader));
    } else if (op == OP_PLUS_UCONST) {
        add(machine, pop(machine), (struct value){VALUE_NUMBER, 0, (int64_t)psc_reader_uleb(reader)});
    } else if (op == OP_DEREF) {
        dereference(machine);
    } else if (op == OP_DUP || op == OP_OVER) {
        push_copy(machine, op == OP_OVER);
    } else if (op == OP_DROP) {
        pop(machine);
    } else if (op == OP_SWAP) {
        swap(machine);
    } else if (op != OP_NOP) {
        operate(machine, op);
    }
}

static struct value evaluate(struct psc_reader expression, uint64_t at, bool from_cfa) {
    struct machine machine = {.depth = 0, .at = at};
    if (from_cfa) {
        push(&machine, (struct value){VALUE_ADDRESS, REG_CFA, 0});
    }
    while (!machine.bad && !expression.bad && expression.at < expression.end) {
        execute(&machine, (uint8_t)psc_reader_bytes(&expression, 1), &expression);
    }
    struct value result = pop(&machine);
    bool fits = result.number == (int32_t)result.number;
    if (machine.bad || expression.bad || !fits) {
        result.kind = VALUE_UNKNOWN;
    }
    return result;
}

struct psc_cfi_rule psc_expression_rule(struct psc_reader expression, uint64_t at, enum psc_expression_use use) {
    struct value value = evaluate(expression, at, use != PSC_EXPRESSION_CFA);
    struct psc_cfi_rule rule = {PSC_CFI_UNKNOWN, value.reg, (int32_t)value.number};
    bool from_cfa = value.reg == REG_CFA, in_memory = use == PSC_EXPRESSION_ADDRESS || value.kind == VALUE_MEMORY;
    bool twice = use == PSC_EXPRESSION_ADDRESS && value.kind == VALUE_MEMORY;
    if (value.kind == VALUE_NUMBER || value.kind == VALUE_UNKNOWN || twice) {
        return rule;
    }
    if (in_memory) {
        rule.kind = from_cfa ? PSC_CFI_SAVED : PSC_CFI_MEMORY;
    } else {
        rule.kind = from_cfa ? PSC_CFI_CFA : PSC_CFI_REGISTER;
    }
    return rule;
}
