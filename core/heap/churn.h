/* What goes round: memory that is given back and taken again within a short time. How much of it there is decides how
 * much free memory is kept. The owner of the struct has a lock for it; units are the owner's. */
#ifndef PSC_CORE_HEAP_CHURN_H
#define PSC_CORE_HEAP_CHURN_H

#include "core/base/compiler.h"

#define PSC_CHURN_OFTEN 4u /* times in a window that something goes round for which it is kept */

struct psc_churn {
    uint64_t window_ms;    /* when this window began */
    int64_t level;         /* taken - given, since ever */
    int64_t low;           /* of level, in this window */
    int64_t high;          /* of level, in this window */
    uint64_t climb;        /* the most that level rose from a low, in this window */
    uint64_t retaken;      /* in this window, while level was below high: what had been given before */
    uint64_t worth_before; /* of the window before */
};

PSC_INLINE void psc_churn_take(struct psc_churn *churn, uint64_t amount) {
    uint64_t room = (uint64_t)(churn->high - churn->level);
    churn->retaken += amount < room ? amount : room;
    churn->level += (int64_t)amount;
    churn->high = churn->level > churn->high ? churn->level : churn->high;
    uint64_t climb = (uint64_t)(churn->level - churn->low);
    churn->climb = climb > churn->climb ? climb : churn->climb;
}

PSC_INLINE void psc_churn_give(struct psc_churn *churn, uint64_t amount) {
    churn->level -= (int64_t)amount;
    churn->low = churn->level < churn->low ? churn->level : churn->low;
}

/* In this window: what was taken again often, but no more than the level rose at a time. */
PSC_INLINE uint64_t psc_churn_of_window(const struct psc_churn *churn) {
    uint64_t often = churn->retaken / PSC_CHURN_OFTEN;
    return often < churn->climb ? often : churn->climb;
}

/* What is worth keeping: a program that drops and makes the same amount again and again must not fault in its pages
 * each time, one that drops what it will not need soon must not keep them. */
PSC_INLINE uint64_t psc_churn_worth(const struct psc_churn *churn) {
    uint64_t now = psc_churn_of_window(churn);
    return now > churn->worth_before ? now : churn->worth_before;
}

/* True, and a new window begins, when this one is older than `length_ms`. */
PSC_INLINE bool psc_churn_turn(struct psc_churn *churn, uint64_t now_ms, uint64_t length_ms) {
    if (now_ms - churn->window_ms <= length_ms) {
        return false;
    }
    *churn = (struct psc_churn){
        .window_ms = now_ms,
        .level = churn->level,
        .low = churn->level,
        .high = churn->level,
        .worth_before = psc_churn_of_window(churn),
    };
    return true;
}

#endif
