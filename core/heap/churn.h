/* What goes round: memory that is given back and taken again within a short time. How much of it there is decides how
 * many free pages are kept. The owner of the struct has a lock for it; units are the owner's. */
#ifndef PSC_CORE_HEAP_CHURN_H
#define PSC_CORE_HEAP_CHURN_H

#include "core/base/compiler.h"

#define PSC_CHURN_OFTEN 4u /* times in a window that something goes round for which it is kept */

struct psc_churn {
    uint64_t window_ms; /* when this window began */
    uint64_t taken;     /* in this window */
    uint64_t given;
    uint64_t went_round; /* in the window before */
};

PSC_INLINE uint64_t psc_churn_round(const struct psc_churn *churn) {
    return churn->taken < churn->given ? churn->taken : churn->given;
}

/* What is worth keeping: a program that drops and makes the same amount again and again must not fault in its pages
 * each time, one that drops what it will not need soon must not keep them. */
PSC_INLINE uint64_t psc_churn_worth(const struct psc_churn *churn) {
    uint64_t round = psc_churn_round(churn);
    return (round > churn->went_round ? round : churn->went_round) / PSC_CHURN_OFTEN;
}

/* True, and a new window begins, when this one is older than `length_ms`. */
PSC_INLINE bool psc_churn_turn(struct psc_churn *churn, uint64_t now_ms, uint64_t length_ms) {
    if (now_ms - churn->window_ms <= length_ms) {
        return false;
    }
    *churn = (struct psc_churn){.window_ms = now_ms, .went_round = psc_churn_round(churn)};
    return true;
}

#endif
