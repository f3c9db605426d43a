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
 * Of a stack with more than `max` frames the first psc_site_inner(max) are given and then the outermost ones; *flags
 * gets PSC_SITE_SKIPPED. PSC_SITE_CUT: there were so many that the walk was given up, or `max` has no room for outermost
 * ones; then only the first are given. PSC_SITE_BROKEN: the walk ended elsewhere than at the outermost frame of its
 * stack: at a frame that nothing describes, or at one that cannot be right. Else 0. */
uint32_t psc_unwind_walk(uint64_t *frames, uint32_t max, const struct psc_unwind_start *start, uint32_t *flags);

/* ---- following a stack ------------------------------------------------------------------------------------------
 *
 * Most walks can be spared, for the words at which a stack was found before say whether it is the same.
 *
 * The window holds the stack that was last walked: for each frame the place of its return address, and what stood there.
 * A walk need only step until it meets a frame of the window: same place, same return address and, where it matters,
 * same frame pointer. What lies further out is then decided by the words at the places of those frames alone, for they
 * say, one after the other, where the next frame is. If these still hold what they held, so do the frames.
 *
 * A memo holds the steps from one place in the program (stack pointer, return address) to the window, in the same way:
 * equal stack pointer and pc fix where the first return address stands, its equal content fixes the next frame, and so
 * on, up to a frame of the window. A walk by memo steps not at all.
 *
 * So a frame of window or memo is never believed but for what is read anew; that may be old or of another stack. Words
 * are read in the order in which they are known to be there, innermost first.
 *
 * Of a stack that is too deep to be kept whole, the frames between the two ends are not looked at; the outermost ones are
 * then what they were if their places, on a stack whose end is known, still hold what they held. */

#define PSC_UNWIND_DEPTH_MAX 256
#define PSC_UNWIND_WINDOW 1024
#define PSC_UNWIND_FRESH (PSC_UNWIND_WINDOW / 2)
#define PSC_UNWIND_OUTER_MAX (PSC_UNWIND_DEPTH_MAX / 4)
#define PSC_UNWIND_MEMO_SETS 512
#define PSC_UNWIND_MEMO_WAYS 2
#define PSC_UNWIND_MEMO_WORDS 19

/* A word of the stack, and what it held. */
struct psc_unwind_word {
    uint64_t slot;
    uint64_t value;
};

/* What else is known of a frame in the window. */
struct psc_unwind_facts {
    uint64_t hash;              /* of the frames from the outermost to this one */
    uint64_t fp;                /* frame pointer of the function returned to */
    uint64_t fp_slot;           /* where that stands; 0: the function called has not changed it */
    struct psc_unwind_word cfa; /* what else the step to the next frame reads; slot 0: nothing */
    bool fp_matters;            /* a step further out needs the frame pointer */
    bool fp_checked;            /* it matters, and fp_slot is not 0 */
    uint32_t checks;            /* frames with fp_checked or cfa from the outermost to this one */
};

/* A frame that a walk stepped to. */
struct psc_unwind_fresh {
    struct psc_unwind_word word; /* the return address */
    uint64_t fp;
    uint64_t fp_slot;
    struct psc_unwind_word cfa; /* as psc_unwind_facts.cfa */
    bool fp_used;               /* to step to the next frame */
    bool fp_matters;
};

struct psc_unwind_memo {
    uint64_t sp;            /* where the walk started; 0: no memo */
    uint32_t pc;            /* its lower half: it lies in our code */
    uint32_t generation;    /* lower half of psc_unwind_stack.generation */
    uint32_t join_distance; /* from sp to the return address of the frame that is met, in words */
    uint16_t join;          /* that frame's index in the window */
    uint8_t words;          /* in use */
    uint8_t frames;         /* return addresses into the program among them */
    uint64_t sum;           /* hash at the last frame = hash at the joined frame * factor + sum */
    uint64_t factor;
    uint64_t fp;         /* at the start, if it matters */
    uint64_t join_fp;    /* at the joined frame, if known */
    uint32_t are_frames; /* bit per word: a return address into the program; else one of ours, or a frame pointer */
    bool fp_matters;     /* to the steps */
    bool join_fp_known;
    uint16_t distance[PSC_UNWIND_MEMO_WORDS]; /* from sp to each word, in words */
    uint64_t value[PSC_UNWIND_MEMO_WORDS];
};

_Static_assert(sizeof(struct psc_unwind_memo) == 256, "most use half of it: two cache lines");

/* Memos of the places that fall together. */
struct psc_unwind_set {
    struct psc_unwind_memo ways[PSC_UNWIND_MEMO_WAYS];
};

/* A stack as it was when it was last walked. One thread uses it at a time; all zero is a good start. */
struct psc_unwind_stack {
    uint32_t depth; /* of what the last walk found: frames that are kept, and flags, enum psc_site_flag */
    uint32_t flags;

    uint64_t generation;                /* of the cache of rows, when window and memos were begun */
    const struct psc_unwind_memo *memo; /* the last walk went by it; NULL: it stands in the window, or is listed */
    bool listed;                        /* `addresses` is filled */
    uint32_t max;                       /* of the last walk */
    uint32_t known;                     /* frames of the window that belong to the last walk */

    uint32_t count;     /* frames in the window */
    uint32_t hidden;    /* frames further out, of which the outermost stand in `bottom`; 0: the window is all */
    uint32_t end_flags; /* PSC_SITE_BROKEN, PSC_SITE_CUT: how the walk ended that found the outermost frame */
    struct psc_unwind_word
        end; /* the return address 0 that said so, of a window that is all; slot 0: something else did */
    uint32_t bottom_count;
    uint32_t bottom_next;
    uint64_t bottom_hash;
    struct psc_unwind_word words[PSC_UNWIND_WINDOW]; /* the window, outermost first */
    struct psc_unwind_facts facts[PSC_UNWIND_WINDOW];
    struct psc_unwind_word bottom[PSC_UNWIND_OUTER_MAX]; /* goes round: the outermost is before bottom_next */
    struct psc_unwind_fresh fresh[PSC_UNWIND_FRESH];     /* scratch */
    uint64_t addresses[PSC_UNWIND_DEPTH_MAX];            /* see psc_unwind_addresses */
    uint32_t turn;                                       /* which way a new memo takes */
    struct psc_unwind_set sets[PSC_UNWIND_MEMO_SETS];    /* by place */
};

/* The same walk as psc_unwind_walk. The stack is then that of now; returns a hash of its frames, depth and flags, not
 * 0. max: at most PSC_UNWIND_DEPTH_MAX, the same in all calls with one stack. */
uint64_t psc_unwind_follow(struct psc_unwind_stack *stack, uint32_t max, const struct psc_unwind_start *start);

/* Its return addresses, innermost first: stack->depth of them. They lie in the struct, until the next walk. */
const uint64_t *psc_unwind_addresses(struct psc_unwind_stack *stack);

/* ---- modules ----------------------------------------------------------------------------------------------------- */

/* Forgets the rows of [start, end). A row is good for as long as its module is mapped. That another module has come to
 * lie at its place is noticed with the first return address there that is not in the cache; until then an address that
 * happens to be in the cache would get the row of the module that went. To leave no gap, call this when a module has
 * been unmapped (after dlclose). Any thread; scans the cache (tens of microseconds); async-signal-safe. */
void psc_unwind_forget(uint64_t start, uint64_t end);
/* The same for all modules that have been unmapped. */
void psc_unwind_forget_gone(void);

#endif
