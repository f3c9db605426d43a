/* Every stack that is recorded, against libunwind's own walk of the same stack.
 *
 * Linked with the objects of libpoolscope.so into a library that tests preload in its place; the linker's --wrap puts
 * the functions below around psc_unwind_follow and psc_track_end, so that what is tested has no hook for it.
 *
 * A stack is of one of these classes:
 *   same      what was kept is what libunwind has there, and as much is said to be left out as is
 *   shorter   libunwind goes on where we ended: it follows frame pointers, or guesses, in code without tables
 *   longer    libunwind ended where we go on
 *   other     a frame differs
 *   deep      more frames than libunwind was let walk; not compared
 *   early     recorded before libunwind was there; not compared
 *
 * At its end a process appends one line with its counts to the file that PSC_VERIFY_OUT names, or writes it to stderr;
 * the first stacks that differ stand before it. Where libunwind allocates, the tracker is busy in this thread and records
 * nothing, so that no stack is compared within a comparison. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define UNW_LOCAL_ONLY

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/track/track.h"
#include "core/track/unwind.h"

uint64_t __real_psc_unwind_follow(struct psc_unwind_stack *stack, uint32_t max, const struct psc_unwind_start *start);
uint64_t __wrap_psc_unwind_follow(struct psc_unwind_stack *stack, uint32_t max, const struct psc_unwind_start *start);
void __real_psc_track_end(enum psc_trace_end end);
void __wrap_psc_track_end(enum psc_trace_end end);

#define THEIRS_MAX 65536
#define SHOWN_MAX 4
#define SHOWN_BEFORE 3
#define SHOWN_AFTER 5

/* ---- libunwind, loaded so that nothing else in the process binds to it ------------------------------------------- */

#define TEXT_OF(name) #name
#define NAME_OF(function) TEXT_OF(function)

static struct {
    __typeof__(&unw_tdep_getcontext) getcontext;
    __typeof__(&unw_init_local) init_local;
    __typeof__(&unw_step) step;
    __typeof__(&unw_get_reg) get_reg;
    __typeof__(&unw_is_signal_frame) is_signal_frame;
    __typeof__(&unw_flush_cache) flush_cache;
    unw_addr_space_t space;
} theirs; /* fixed once `is_loaded` */

static bool is_loaded;

static bool load_theirs(void) {
    void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return false;
    }
    *(void **)&theirs.getcontext = dlsym(library, NAME_OF(unw_tdep_getcontext));
    *(void **)&theirs.init_local = dlsym(library, NAME_OF(unw_init_local));
    *(void **)&theirs.step = dlsym(library, NAME_OF(unw_step));
    *(void **)&theirs.get_reg = dlsym(library, NAME_OF(unw_get_reg));
    *(void **)&theirs.is_signal_frame = dlsym(library, NAME_OF(unw_is_signal_frame));
    *(void **)&theirs.flush_cache = dlsym(library, NAME_OF(unw_flush_cache));
    unw_addr_space_t *space = dlsym(library, NAME_OF(unw_local_addr_space));
    theirs.space = space != NULL ? *space : NULL;
    return theirs.getcontext != NULL && theirs.init_local != NULL && theirs.step != NULL && theirs.get_reg != NULL &&
           theirs.is_signal_frame != NULL && theirs.flush_cache != NULL && theirs.space != NULL;
}

/* Its cache knows addresses, and outlives the modules that they were in. */
static void flush_unloaded(unsigned long long unloads) {
    static unsigned long long known;
    if (known != unloads) {
        known = unloads;
        theirs.flush_cache(theirs.space, 0, 0);
    }
}

/* ---- the process ------------------------------------------------------------------------------------------------ */

enum verdict { SAME, SHORTER, LONGER, OTHER, DEEP, EARLY, VERDICTS };

static const char *const verdict_names[VERDICTS] = {"same", "shorter", "longer", "other", "deep", "early"};

static struct {
    pid_t pid;
    uint64_t own_start; /* the library of this code */
    uint64_t own_end;
    char out[4096]; /* empty: stderr */
    uint64_t counts[VERDICTS];
    uint32_t shown;
    bool ended;
} process;

static void write_out(const char *text, size_t bytes) {
    int fd = process.out[0] == '\0' ? STDERR_FILENO
                                    : open(process.out, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd >= 0 && write(fd, text, bytes) != (ssize_t)bytes) {
        abort(); /* a lost line would look like a process without stacks */
    }
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

struct text {
    char bytes[4096];
    size_t used;
};

static __attribute__((format(printf, 2, 3))) void add(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->used, sizeof(text->bytes) - text->used, format, arguments);
    va_end(arguments);
    size_t room = sizeof(text->bytes) - 1 - text->used;
    text->used += length < 0 ? 0 : (size_t)length < room ? (size_t)length : room;
}

static void write_counts(void) {
    struct text line = {.used = 0};
    add(&line, "%d %s", (int)process.pid, program_invocation_short_name);
    for (int i = 0; i < VERDICTS; i++) {
        add(&line, " %s %llu", verdict_names[i], (unsigned long long)process.counts[i]);
    }
    add(&line, "\n");
    write_out(line.bytes, line.used);
}

/* ---- one stack by libunwind -------------------------------------------------------------------------------------- */

/* The stack of the thread that walks may be a small one. Under the loader's lock. */
static uint64_t their_frames[THEIRS_MAX];
static struct text description;

static bool is_own(uint64_t address) {
    return address - 1 - process.own_start < process.own_end - process.own_start;
}

/* From the caller of this context on, leading frames of this library left out. At most THEIRS_MAX. */
static uint32_t walk_theirs(unw_context_t *context) {
    unw_cursor_t cursor;
    uint32_t depth = 0;
    theirs.init_local(&cursor, context);
    while (depth < THEIRS_MAX && theirs.step(&cursor) > 0) {
        unw_word_t pc = 0;
        theirs.get_reg(&cursor, UNW_REG_IP, &pc);
        uint64_t address = pc + (theirs.is_signal_frame(&cursor) > 0);
        if (pc == 0) {
            break;
        }
        if (depth > 0 || !is_own(address)) {
            their_frames[depth++] = address;
        }
    }
    return depth;
}

/* ---- compare ----------------------------------------------------------------------------------------------------- */

struct stacks {
    const uint64_t *ours;
    uint32_t depth;
    uint32_t flags;
    uint32_t inner; /* of ours, before the place where some are left out; else depth */
    uint32_t their_depth;
};

static uint32_t equal_frames(const uint64_t *a, const uint64_t *b, uint32_t count) {
    uint32_t equal = 0;
    while (equal < count && a[equal] == b[equal]) {
        equal++;
    }
    return equal;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* What follows the frames left out: the outermost ones, or any run of frames if the walk did not get so far. */
static bool has_outer(const struct stacks *stacks) {
    uint32_t outer = stacks->depth - stacks->inner;
    uint32_t last = stacks->their_depth - outer;
    uint32_t first = stacks->flags & PSC_SITE_CUT ? stacks->inner : last;
    for (uint32_t at = first; at <= last; at++) {
        if (equal_frames(stacks->ours + stacks->inner, their_frames + at, outer) == outer) {
            return true;
        }
    }
    return false;
}

static enum verdict judge(const struct stacks *stacks) {
    uint32_t shared = least(stacks->inner, stacks->their_depth);
    bool left_out = stacks->flags & (PSC_SITE_CUT | PSC_SITE_SKIPPED);
    if (stacks->their_depth == THEIRS_MAX) {
        return DEEP;
    }
    if (equal_frames(stacks->ours, their_frames, shared) != shared) {
        return OTHER;
    }
    if (stacks->their_depth < stacks->depth || (left_out && stacks->their_depth == stacks->depth)) {
        return LONGER;
    }
    if (stacks->flags & PSC_SITE_SKIPPED) {
        return has_outer(stacks) ? SAME : OTHER;
    }
    return left_out || stacks->their_depth == stacks->depth ? SAME : SHORTER;
}

static void add_frame(struct text *text, const uint64_t *frames, uint32_t depth, uint32_t at) {
    Dl_info info;
    if (at >= depth) {
        add(text, " -");
    } else if (dladdr((void *)(uintptr_t)(frames[at] - 1), &info) == 0 || info.dli_fname == NULL) {
        add(text, " %#llx", (unsigned long long)frames[at]);
    } else {
        const char *slash = strrchr(info.dli_fname, '/');
        add(text, " %s+%#llx(%s)", slash != NULL ? slash + 1 : info.dli_fname,
            (unsigned long long)(frames[at] - (uintptr_t)info.dli_fbase),
            info.dli_sname != NULL ? info.dli_sname : "?");
    }
}

static void show(const struct stacks *stacks, enum verdict verdict) {
    struct text *text = &description;
    text->used = 0;
    add(text, "# %d %s: %s: %u frames, flags %u; libunwind %u frames\n", (int)process.pid,
        program_invocation_short_name, verdict_names[verdict], stacks->depth, stacks->flags, stacks->their_depth);
    uint32_t at = equal_frames(stacks->ours, their_frames, least(stacks->depth, stacks->their_depth));
    uint32_t first = at < SHOWN_BEFORE ? 0 : at - SHOWN_BEFORE;
    for (uint32_t i = first; i < at + SHOWN_AFTER && (i < stacks->depth || i < stacks->their_depth); i++) {
        add(text, "#   %u:", i);
        add_frame(text, stacks->ours, stacks->depth, i);
        add(text, "   |  ");
        add_frame(text, their_frames, stacks->their_depth, i);
        add(text, "\n");
    }
    write_out(text->bytes, text->used);
}

struct comparison {
    struct stacks stacks;
    unw_context_t context;
};

/* libunwind takes its cache's lock and then the loader's. Here the loader's is taken first, since this thread may have
 * it already: then no two threads wait for each other. */
static int compare_locked(struct dl_phdr_info *info, size_t bytes, void *data) {
    struct comparison *comparison = data;
    (void)bytes;
    flush_unloaded(info->dlpi_subs);
    comparison->stacks.their_depth = walk_theirs(&comparison->context);
    enum verdict verdict = judge(&comparison->stacks);
    process.counts[verdict]++;
    if (verdict != SAME && process.shown < SHOWN_MAX) {
        process.shown++;
        show(&comparison->stacks, verdict);
    }
    return 1;
}

static PSC_NOINLINE void compare(struct psc_unwind_stack *stack, uint32_t max) {
    struct comparison comparison;
    comparison.stacks = (struct stacks){
        .ours = psc_unwind_addresses(stack),
        .depth = stack->depth,
        .flags = stack->flags,
        .inner = stack->flags & PSC_SITE_SKIPPED ? psc_site_inner(max) : stack->depth,
    };
    theirs.getcontext(&comparison.context);
    dl_iterate_phdr(compare_locked, &comparison);
}

/* ---- around what is tested --------------------------------------------------------------------------------------- */

uint64_t __wrap_psc_unwind_follow(struct psc_unwind_stack *stack, uint32_t max, const struct psc_unwind_start *start) {
    uint64_t hash = __real_psc_unwind_follow(stack, max, start);
    if (PSC_LOAD_ACQUIRE(&is_loaded)) {
        int saved = errno;
        compare(stack, max);
        errno = saved;
    } else {
        PSC_ADD(&process.counts[EARLY], 1);
    }
    return hash;
}

/* In a child of vfork all of this is its parent's. */
void __wrap_psc_track_end(enum psc_trace_end end) {
    __real_psc_track_end(end);
    if (getpid() == process.pid && !process.ended) {
        process.ended = true;
        write_counts();
    }
}

static void in_child(void) {
    process.pid = getpid();
    process.ended = false;
    process.shown = 0;
    memset(process.counts, 0, sizeof(process.counts));
}

__attribute__((constructor)) static void begin(void) {
    struct dl_find_object own;
    const char *out = getenv("PSC_VERIFY_OUT");
    process.pid = getpid();
    snprintf(process.out, sizeof(process.out), "%s", out != NULL ? out : "");
    pthread_atfork(NULL, NULL, in_child);
    if (_dl_find_object((void *)(uintptr_t)begin, &own) == 0) {
        process.own_start = (uintptr_t)own.dlfo_map_start;
        process.own_end = (uintptr_t)own.dlfo_map_end;
        PSC_STORE_RELEASE(&is_loaded, load_theirs());
    }
}
