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

/* Forgets the rows of [start, end). A row is good for as long as its module is mapped. That another module has come to
 * lie at its place is noticed with the first return address there that is not in the cache; until then an address that
 * happens to be in the cache would get the row of the module that went. To leave no gap, call this when a module has
 * been unmapped (after dlclose). Any thread; scans the cache (tens of microseconds); async-signal-safe. */
void psc_unwind_forget(uint64_t start, uint64_t end);

#endif
