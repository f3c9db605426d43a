#include "core/base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPINS 100

PSC_TLS uint32_t psc_locks_held;

static void futex(uint32_t *word, int operation, uint32_t value) {
    int saved = errno;
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
    errno = saved;
}

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

void psc_lock_wait(struct psc_lock *lock) {
    for (int spin = 0; spin < SPINS; spin++) {
        if (PSC_LOAD(&lock->state) == 0 && psc_lock_grab(lock)) {
            return;
        }
        relax();
    }
    while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0) {
        futex(&lock->state, FUTEX_WAIT, 2);
    }
}

void psc_lock_wake(struct psc_lock *lock) {
    futex(&lock->state, FUTEX_WAKE, 1);
}
