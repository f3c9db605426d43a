/* A futex lock: 4 bytes, zero is unlocked, no memory, no owner. Not recursive. Not for signal handlers. */
#ifndef PSC_CORE_BASE_LOCK_H
#define PSC_CORE_BASE_LOCK_H

#include "core/base/compiler.h"

struct psc_lock {
    uint32_t state; /* 0 free, 1 held, 2 held and waited for; any thread, atomic */
};

void psc_lock_wait(struct psc_lock *lock);
void psc_lock_wake(struct psc_lock *lock);

PSC_INLINE bool psc_lock_try(struct psc_lock *lock) {
    uint32_t free = 0;
    return __atomic_compare_exchange_n(&lock->state, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

PSC_INLINE void psc_lock_take(struct psc_lock *lock) {
    if (PSC_UNLIKELY(!psc_lock_try(lock))) {
        psc_lock_wait(lock);
    }
}

PSC_INLINE void psc_lock_release(struct psc_lock *lock) {
    if (PSC_UNLIKELY(__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2)) {
        psc_lock_wake(lock);
    }
}

/* In a forked child, where the holder may not exist: the lock is free again. */
PSC_INLINE void psc_lock_reset(struct psc_lock *lock) {
    PSC_STORE(&lock->state, 0);
}

#endif
