/* What unwind.c and unwind_follow.c share. */
#ifndef PSC_CORE_TRACK_UNWIND_WALK_H
#define PSC_CORE_TRACK_UNWIND_WALK_H

#include "core/track/unwind.h"
#include "core/track/unwind_rows.h"

/* A walk that has not come to the outermost frame after so many is given up: half a millisecond. */
#define PSC_WALK_FRAMES_MAX 65536u

/* The shared object of this code; 0, 0: linked into the program. Fixed after init. */
struct psc_walk_own {
    uint64_t start;
    uint64_t end;
};

extern struct psc_walk_own psc_walk_own;

PSC_INLINE bool psc_walk_is_own(uint64_t at) {
    return at - psc_walk_own.start < psc_walk_own.end - psc_walk_own.start;
}

/* The end of the stack that `sp` lies on, UINT64_MAX if that is not known: then frames with tables are believed, and
 * others are not followed. */
uint64_t psc_walk_limit(uint64_t sp);

/* A cursor for rows, which need no other registers. */
PSC_INLINE void psc_walk_begin(struct psc_unwind_cursor *cursor, const struct psc_unwind_start *start) {
    cursor->at = start->pc;
    cursor->limit = psc_walk_limit(start->sp);
    cursor->fp_slot = 0;
    cursor->registers[PSC_REG_SP] = start->sp;
    cursor->registers[PSC_REG_FP] = start->fp;
}

/* The row of an address that is not in the cache. */
PSC_NOINLINE uint32_t psc_walk_learn_row(uint64_t at);

PSC_INLINE uint32_t psc_walk_row(uint64_t at) {
    uint32_t row = psc_rows_find(at);
    return PSC_LIKELY(row != 0) ? row : psc_walk_learn_row(at);
}

#endif
