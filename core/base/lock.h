/* A futex lock: 4 bytes, zero is unlocked, no memory, no owner. Not recursive. Not for signal handlers; one that forks
 * can tell whether its thread may hold any. */
#ifndef PSC_CORE_BASE_LOCK_H
#define PSC_CORE_BASE_LOCK_H

#include "core/base/compiler.h"

struct psc_lock {
    uint32_t state; /* 0 free, 1 held, 2 held and waited for; any thread, atomic */
};

/* For the functions below. */
void psc_lock_wait(struct psc_lock *lock);
void psc_lock_wake(struct psc_lock *lock);

/* Locks that the calling thread holds, or is about to take or has just released: a handler that interrupts it at any
 * instruction finds 0 only if it holds none. */
extern PSC_TLS uint32_t psc_locks_held;

PSC_INLINE void psc_locks_count(uint32_t more) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    PSC_STORE(&psc_locks_held, psc_locks_held + more);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

PSC_INLINE bool psc_lock_grab(struct psc_lock *lock) {
    uint32_t free = 0;
    return __atomic_compare_exchange_n(&lock->state, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

PSC_INLINE bool psc_lock_try(struct psc_lock *lock) {
    psc_locks_count(1);
    bool taken = psc_lock_grab(lock);
    if (PSC_UNLIKELY(!taken)) {
        psc_locks_count((uint32_t)-1);
    }
    return taken;
}

PSC_INLINE void psc_lock_take(struct psc_lock *lock) {
    psc_locks_count(1);
    if (PSC_UNLIKELY(!psc_lock_grab(lock))) {
        psc_lock_wait(lock);
    }
}

PSC_INLINE void psc_lock_release(struct psc_lock *lock) {
    if (PSC_UNLIKELY(__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2)) {
        psc_lock_wake(lock);
    }
    psc_locks_count((uint32_t)-1);
}

/* In a forked child, where the holder may not exist: the lock is free again. If it was the calling thread's, that one
 * counts it still. */
PSC_INLINE void psc_lock_reset(struct psc_lock *lock) {
    PSC_STORE(&lock->state, 0);
}

#endif
