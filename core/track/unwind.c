#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* _dl_find_object */
#endif

#include "core/track/unwind.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <sys/resource.h>

#include "core/base/os.h"
#include "core/track/unwind_cfi.h"
#include "core/track/unwind_rows.h"
#include "core/track/unwind_walk.h"

/* ---- what is known of the process ------------------------------------------------------------------------------ */

/* The main thread's stack pointer when the program began. */
extern void *__libc_stack_end;

#define STACK_BYTES_DEFAULT (UINT64_C(8) << 20)
/* Kernel and loader keep mappings away from the main stack by as much as it may grow, other stacks have neighbours. */
#define MAIN_STACK_BYTES_MAX (UINT64_C(64) << 30)
#define THREAD_STACK_BYTES_MAX (UINT64_C(64) << 20)

static struct {
    uint64_t main_end; /* of the main thread's stack */
    uint64_t main_bytes;
    uint64_t main_thread; /* the main thread's thread pointer, 0: not known */
    uint64_t thread_bytes;
} process; /* fixed after init */

struct psc_walk_own psc_walk_own;

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

static void find_own_object(void) {
    struct dl_find_object object;
    if (_dl_find_object((void *)(uintptr_t)psc_unwind_walk, &object) != 0) {
        return;
    }
    bool is_program = object.dlfo_link_map != NULL && object.dlfo_link_map->l_name[0] == 0;
    if (!is_program) {
        psc_walk_own.start = (uintptr_t)object.dlfo_map_start;
        psc_walk_own.end = (uintptr_t)object.dlfo_map_end;
    }
}

void psc_unwind_init(void) {
    struct rlimit limit;
    int saved_errno = errno;
    uint64_t bytes = getrlimit(RLIMIT_STACK, &limit) == 0 ? limit.rlim_cur : STACK_BYTES_DEFAULT;
    errno = saved_errno;
    find_own_object();
    process.main_bytes = clamp(bytes, STACK_BYTES_DEFAULT, MAIN_STACK_BYTES_MAX);
    process.thread_bytes = clamp(bytes, STACK_BYTES_DEFAULT, THREAD_STACK_BYTES_MAX);
    process.main_end = (uintptr_t)__libc_stack_end;
    if (process.main_end - (uintptr_t)&limit < process.main_bytes) {
        process.main_thread = psc_arch_thread_pointer();
    }
}

#define PAGE_BYTES UINT64_C(4096)

/* Of the calling thread's own stack: all from `low` up to the thread pointer can be read. */
static PSC_TLS struct {
    uint64_t low; /* 0: not looked at yet */
    bool all;     /* the page below cannot be read */
} own_stack;

/* Other stacks lie below a thread's, those of coroutines and of signals among them, with pages between that cannot be
 * read: one lies on the thread's own if there is none on the way. */
static bool is_on_own_stack(uint64_t sp, uint64_t thread) {
    own_stack.low = own_stack.low != 0 ? own_stack.low : thread & -PAGE_BYTES;
    while (PSC_UNLIKELY(sp < own_stack.low) && !own_stack.all) {
        if (psc_os_can_read((const void *)(uintptr_t)(own_stack.low - PAGE_BYTES))) {
            own_stack.low -= PAGE_BYTES;
        } else {
            own_stack.all = true;
        }
    }
    return sp >= own_stack.low;
}

uint64_t psc_walk_limit(uint64_t sp) {
    if (process.main_end - sp < process.main_bytes) {
        return process.main_end;
    }
    uint64_t thread = psc_arch_thread_pointer();
    bool in_thread = process.main_thread != 0 && thread != process.main_thread;
    return in_thread && thread - sp < process.thread_bytes && is_on_own_stack(sp, thread) ? thread : UINT64_MAX;
}

/* ---- from an address to its module's tables -------------------------------------------------------------------- */

/* The program headers of a module are expected in its first page. */
#define HEADERS_BYTES_MAX 4096

static bool read_header(const uint8_t *module, Elf64_Ehdr *header) {
    __builtin_memcpy(header, module, sizeof(*header));
    return __builtin_memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phoff < HEADERS_BYTES_MAX &&
           header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr) <= HEADERS_BYTES_MAX;
}

/* Narrows [start, end) of `tables` to the readable segment that holds its header, if the range begins with the file's
 * headers. (Between the segments of a module there may be holes.) */
static void narrow_to_segment(struct psc_cfi_tables *tables) {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    const uint8_t *module = tables->start;
    uint64_t bias = UINT64_MAX;
    if (!read_header(module, &header)) {
        return;
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        __builtin_memcpy(&segment, module + header.e_phoff + i * sizeof(segment), sizeof(segment));
        if (segment.p_type != PT_LOAD) {
            continue;
        }
        if (bias == UINT64_MAX) {
            bias = (uintptr_t)module - segment.p_vaddr;
        }
        uint64_t start = bias + segment.p_vaddr, offset = (uintptr_t)tables->header - start;
        if (segment.p_flags & PF_R && offset < segment.p_memsz) {
            tables->start = (const uint8_t *)(uintptr_t)start;
            tables->end = tables->start + segment.p_memsz;
            return;
        }
    }
}

/* Fills *tables; header NULL: the module has none. Asks for the range where the tables themselves are mapped, since for
 * a module with holes newer loaders give that of one segment. */
static void find_tables(void *header, struct psc_cfi_tables *tables) {
    struct dl_find_object object;
    tables->header = header;
    if (header == NULL || _dl_find_object(header, &object) != 0) {
        tables->header = NULL;
        return;
    }
    tables->start = object.dlfo_map_start;
    tables->end = object.dlfo_map_end;
    narrow_to_segment(tables);
}

static bool describe_module(uint64_t at, struct psc_rows_module *module) {
    struct dl_find_object object;
    if (_dl_find_object((void *)(uintptr_t)at, &object) != 0) {
        return false;
    }
    module->start = (uintptr_t)object.dlfo_map_start;
    module->end = (uintptr_t)object.dlfo_map_end;
    module->tables = (uintptr_t)object.dlfo_eh_frame;
    return true;
}

/* False if `at` lies in no module. */
static bool find_module(uint64_t at, struct psc_cfi_tables *tables, struct psc_rows_module *module) {
    if (!describe_module(at, module)) {
        return false;
    }
    find_tables((void *)(uintptr_t)module->tables, tables);
    return true;
}

/* ---- the walk by rows ------------------------------------------------------------------------------------------ */

PSC_NOINLINE uint32_t psc_walk_learn_row(uint64_t at) {
    struct psc_cfi_tables tables;
    struct psc_rows_module module;
    struct psc_cfi_rules rules;
    uint64_t epoch = psc_rows_epoch();
    if (!find_module(at, &tables, &module)) {
        return PSC_ROW_NONE; /* not kept: a module may come to lie there */
    }
    uint32_t row = PSC_ROW_NONE;
    enum psc_cfi_result result = tables.header != NULL ? psc_cfi_find(&tables, at, &rules) : PSC_CFI_NONE;
    if (result != PSC_CFI_NONE) {
        row = result == PSC_CFI_FOUND ? psc_row_pack(&rules) : PSC_ROW_LAST;
    }
    psc_rows_meet(&module);
    psc_rows_put(at, row, epoch);
    return row;
}

/* Of a deep stack the first frames and the last ones are kept: those in between make room, the last ones going round
 * in the rest of `frames`. */
struct walk {
    uint64_t *frames;
    uint32_t max;
    uint32_t inner;   /* of max: the frames that nothing replaces */
    uint32_t met;     /* so far */
    uint32_t signals; /* frames of signals passed; the only ones after which a walk can come to a place again */
};

static struct walk begin_walk(uint64_t *frames, uint32_t max) {
    return (struct walk){.frames = frames, .max = max, .inner = psc_site_inner(max)};
}

#define SIGNALS_MAX 64

/* The walk has come from a signal's frame to another stack, perhaps. False: too often, it must be going in a circle. */
PSC_INLINE bool note_signal(struct walk *walk, struct psc_unwind_cursor *cursor) {
    cursor->limit = psc_walk_limit(cursor->registers[PSC_REG_SP]);
    return walk->signals++ < SIGNALS_MAX;
}

/* Notes the frame that the walk has come to. False: the walk is over. */
PSC_INLINE bool note_frame(struct walk *walk, uint64_t at) {
    if (walk->met == 0 && psc_walk_is_own(at)) {
        return true;
    }
    if (PSC_UNLIKELY(walk->met == PSC_WALK_FRAMES_MAX)) {
        return false;
    }
    uint32_t place = walk->met++;
    if (PSC_UNLIKELY(place >= walk->max)) {
        if (walk->inner == walk->max) {
            return false;
        }
        place = walk->inner + (place - walk->inner) % (walk->max - walk->inner);
    }
    walk->frames[place] = at + 1;
    return true;
}

static void reverse(uint64_t *frames, uint32_t count) {
    for (uint32_t i = 0; i < count / 2; i++) {
        uint64_t frame = frames[i];
        frames[i] = frames[count - 1 - i];
        frames[count - 1 - i] = frame;
    }
}

/* Puts the last frames, which went round, in their order. Returns how many frames are kept in all. */
static uint32_t settle_frames(struct walk *walk, bool whole, uint32_t *flags) {
    uint32_t outer = walk->max - walk->inner;
    if (walk->met <= walk->max) {
        return walk->met;
    }
    *flags |= whole ? PSC_SITE_SKIPPED : PSC_SITE_CUT;
    if (!whole || outer == 0) {
        return walk->inner;
    }
    uint32_t turn = (walk->met - walk->inner) % outer; /* so many have to come behind the others */
    reverse(walk->frames + walk->inner, turn);
    reverse(walk->frames + walk->inner + turn, outer - turn);
    reverse(walk->frames + walk->inner, outer);
    return walk->max;
}

static enum psc_step walk_rows(struct walk *walk, struct psc_unwind_cursor *cursor) {
    enum psc_step step;
    bool more = true;
    do {
        uint32_t row = psc_walk_row(cursor->at);
        step = psc_row_step(cursor, row);
        if (step != PSC_STEP_FRAME) {
            break;
        }
        if (PSC_UNLIKELY(row == PSC_ROW_SIGNAL) && !note_signal(walk, cursor)) {
            return PSC_STEP_BROKEN;
        }
        more = note_frame(walk, cursor->at);
    } while (more);
    return step;
}

/* ---- the walk with all registers, for stacks that need it ------------------------------------------------------ */

static bool can_read(const struct psc_unwind_cursor *cursor, uint64_t address) {
    uint64_t sp = cursor->registers[PSC_REG_SP];
    return address - (sp - PSC_RED_ZONE_BYTES) < PSC_FRAME_BYTES_MAX && address <= cursor->limit - 8;
}

/* The value that a rule gives; false if it gives none. */
static bool apply(const struct psc_unwind_cursor *cursor, struct psc_cfi_rule rule, uint64_t cfa, uint64_t *value) {
    bool from_register = rule.kind == PSC_CFI_REGISTER || rule.kind == PSC_CFI_MEMORY;
    uint64_t base = from_register ? cursor->registers[rule.reg] : cfa;
    uint64_t result = base + (uint64_t)(int64_t)rule.offset;
    switch (rule.kind) {
    case PSC_CFI_SAVED:
    case PSC_CFI_MEMORY:
        if (!can_read(cursor, result)) {
            return false;
        }
        *value = psc_stack_read(result);
        return true;
    case PSC_CFI_CFA:
    case PSC_CFI_REGISTER: *value = result; return true;
    default: return rule.kind == PSC_CFI_SAME;
    }
}

/* A register other than sp and pc that has no value keeps the one it had: if the walk needs it, it will not fit. */
static enum psc_step step_by_rules(struct psc_unwind_cursor *cursor, const struct psc_cfi_rules *rules) {
    struct psc_unwind_cursor caller = *cursor;
    uint64_t cfa = 0;
    uint8_t pc_kind = rules->registers[PSC_REG_PC].kind;
    if (pc_kind == PSC_CFI_UNDEFINED) {
        return PSC_STEP_LAST;
    }
    if (pc_kind == PSC_CFI_SAME || rules->cfa.kind == PSC_CFI_UNKNOWN || !apply(cursor, rules->cfa, 0, &cfa)) {
        return PSC_STEP_BROKEN;
    }
    if (!rules->signal && !psc_frame_sound(cursor, cfa)) {
        return PSC_STEP_BROKEN;
    }
    caller.registers[PSC_REG_SP] = cfa;
    for (unsigned reg = 0; reg < PSC_REGS; reg++) {
        bool found = apply(cursor, rules->registers[reg], cfa, &caller.registers[reg]);
        if (!found && (reg == PSC_REG_SP || reg == PSC_REG_PC)) {
            return PSC_STEP_BROKEN;
        }
    }
    uint64_t pc = caller.registers[PSC_REG_PC];
    caller.at = rules->signal ? pc : pc - 1;
    *cursor = caller;
    return pc != 0 ? PSC_STEP_FRAME : rules->signal ? PSC_STEP_BROKEN : PSC_STEP_LAST;
}

static enum psc_step step_full(struct walk *walk, struct psc_unwind_cursor *cursor) {
    struct psc_cfi_tables tables;
    struct psc_rows_module module;
    struct psc_cfi_rules rules;
    enum psc_cfi_result result = PSC_CFI_NONE;
    if (find_module(cursor->at, &tables, &module) && tables.header != NULL) {
        result = psc_cfi_find(&tables, cursor->at, &rules);
    }
    if (result == PSC_CFI_NONE) {
        return psc_row_step_chain(cursor);
    }
    if (result == PSC_CFI_BEFORE) {
        return PSC_STEP_LAST;
    }
    enum psc_step step = step_by_rules(cursor, &rules);
    return step == PSC_STEP_FRAME && rules.signal && !note_signal(walk, cursor) ? PSC_STEP_BROKEN : step;
}

/* Walks anew from this very function, where all registers are at hand, and notes frames once it has left the function
 * whose stack pointer was `start_sp`. */
static PSC_NOINLINE enum psc_step walk_full(struct walk *walk, uint64_t start_sp) {
    struct psc_unwind_cursor cursor;
    bool left = false, more = true;
    enum psc_step step;
    psc_arch_capture(&cursor);
    cursor.registers[PSC_REG_PC] = cursor.at;
    cursor.limit = psc_walk_limit(cursor.registers[PSC_REG_SP]);
    do {
        step = step_full(walk, &cursor);
        left = left || cursor.registers[PSC_REG_SP] > start_sp;
        if (step == PSC_STEP_FRAME && left) {
            more = note_frame(walk, cursor.at);
        }
    } while (step == PSC_STEP_FRAME && more);
    return step;
}

/* ---- face ------------------------------------------------------------------------------------------------------ */

uint32_t psc_unwind_walk(uint64_t *frames, uint32_t max, const struct psc_unwind_start *start, uint32_t *flags) {
    struct psc_unwind_cursor cursor;
    struct walk walk = begin_walk(frames, max);
    psc_walk_begin(&cursor, start);
    enum psc_step step = walk_rows(&walk, &cursor);
    if (PSC_UNLIKELY(step == PSC_STEP_FULL)) {
        walk = begin_walk(frames, max);
        step = walk_full(&walk, start->sp);
    }
    *flags = step == PSC_STEP_BROKEN ? PSC_SITE_BROKEN : 0;
    return settle_frames(&walk, step != PSC_STEP_FRAME, flags);
}

void psc_unwind_forget(uint64_t start, uint64_t end) {
    psc_rows_forget(start, end);
}

void psc_unwind_forget_gone(void) {
    psc_rows_forget_gone(describe_module);
}
