/* The call stack of the running thread, walked from inside malloc.
 *
 * Frames are stepped by the tables that compilers write for exceptions (.eh_frame). What a table says about one return
 * address is a row; rows are kept in a cache of the process, so that a walk seldom reads tables.
 *
 * psc_unwind_walk takes no lock, makes no system call, allocates nothing, keeps errno, and needs less than 2 KiB of
 * stack: it may run in any thread, in signal handlers, under the dynamic loader's locks, in the child of fork or vfork,
 * on coroutine stacks and on alternate signal stacks. Several threads may walk at once. */
#ifndef PSC_CORE_TRACK_UNWIND_H
#define PSC_CORE_TRACK_UNWIND_H

#include "core/base/compiler.h"
#include "core/track/unwind_arch.h"
#include "core/wire/trace.h"

/* Finds out what a walk needs to know: the range of the shared object that holds this code, the main thread's stack,
 * the usual size of stacks. Call once before the first walk, from the main thread if possible (from another one, frames
 * without tables are followed a little less). Harmless when repeated. One system call; keeps errno. */
void psc_unwind_init(void);

/* Writes up to `max` return addresses to `frames`, innermost first, and returns how many. The walk starts at the
 * function in which psc_unwind_capture (unwind_arch.h) filled *start, and which has not returned; its own pc is not
 * among the frames. Leading frames in the shared object of this code are left out, so that in the preload the first
 * frame is the return address into the program. (Where this code is linked into the program itself, they are not.)
 *
 * Every frame minus one is an address inside the instruction that made the call. For a function that a signal
 * interrupted, the frame is the address of the interrupted instruction plus one, so that this holds too.
 *
 * *flags gets PSC_SITE_CUT if there were more frames than `max`, PSC_SITE_BROKEN if the walk ended elsewhere than at
 * the outermost frame of its stack: at a frame that nothing describes, or at one that cannot be right. Else 0. */
uint32_t psc_unwind_walk(uint64_t *frames, uint32_t max, const struct psc_unwind_start *start, uint32_t *flags);

/* ---- following a stack ------------------------------------------------------------------------------------------ */

#define PSC_UNWIND_DEPTH_MAX 256

struct psc_unwind_frame {
    uint64_t slot;    /* where the return address stands */
    uint64_t address; /* the return address */
    uint64_t fp;      /* frame pointer of the function returned to */
    uint64_t fp_slot; /* where that stands; 0: the function called has not changed it */
    uint64_t hash;    /* of the frames from the outermost to this one */
};

/* A stack as it was when it was last walked. One thread uses it at a time; all zero is a good start.
 *
 * The next walk need only step until it meets a frame of this one: same place, same return address, same frame pointer.
 * What lies further out is then decided by the words at the slots of those frames alone, for they say, one after the
 * other, where the next frame is. If these still hold what they held, so do the frames. */
struct psc_unwind_stack {
    uint32_t depth;
    uint32_t flags;      /* PSC_SITE_CUT, PSC_SITE_BROKEN */
    uint32_t remembered; /* of the frames, from the outermost, that the next walk may meet: depth or 0 */
    struct psc_unwind_frame frames[PSC_UNWIND_DEPTH_MAX]; /* outermost first */
    struct psc_unwind_frame fresh[PSC_UNWIND_DEPTH_MAX];  /* innermost first: those met before a known one */
    uint64_t addresses[PSC_UNWIND_DEPTH_MAX];             /* see psc_unwind_addresses */
};

/* The same walk as psc_unwind_walk. The stack is then that of now; returns a hash of its frames, depth and flags, not
 * 0. max: at most PSC_UNWIND_DEPTH_MAX, the same in all calls with one stack. */
uint64_t psc_unwind_follow(struct psc_unwind_stack *stack, uint32_t max, const struct psc_unwind_start *start);

/* Its return addresses, innermost first: stack->depth of them. They lie in the struct, until the next walk. */
const uint64_t *psc_unwind_addresses(struct psc_unwind_stack *stack);

/* Forgets the rows of [start, end). A row is good for as long as its module is mapped. That another module has come to
 * lie at its place is noticed with the first return address there that is not in the cache; until then an address that
 * happens to be in the cache would get the row of the module that went. To leave no gap, call this when a module has
 * been unmapped (after dlclose). Any thread; scans the cache (tens of microseconds); async-signal-safe. */
void psc_unwind_forget(uint64_t start, uint64_t end);

#endif
