/* What the compiler offers, under names that say what it is for. */
#ifndef PSC_CORE_BASE_COMPILER_H
#define PSC_CORE_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PSC_LIKELY(x) __builtin_expect(!!(x), 1)
#define PSC_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PSC_COLD __attribute__((cold, noinline))
#define PSC_NOINLINE __attribute__((noinline))
#define PSC_INLINE static inline __attribute__((always_inline))
#define PSC_EXPORT __attribute__((visibility("default")))
#define PSC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Thread-local storage in the static block: reading it never calls the loader, so never malloc. */
#define PSC_TLS _Thread_local __attribute__((tls_model("initial-exec")))

#define PSC_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Relaxed access to a word that other threads may read or write at the same time. */
#define PSC_LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define PSC_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define PSC_LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define PSC_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define PSC_ADD(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
/* Adds to a word that only the calling thread writes and any thread reads. */
#define PSC_OWN_ADD(p, v) PSC_STORE((p), PSC_LOAD(p) + (v))
/* The same where each instruction counts: the plain form is one, and an aligned word is never seen half-written. */
#if defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
#define PSC_OWN_STEP(p, v) PSC_STORE((p), (__typeof__(*(p)))(PSC_LOAD(p) + (v)))
#else
#define PSC_OWN_STEP(p, v) (*(p) = (__typeof__(*(p)))(*(p) + (v)))
#endif

PSC_INLINE size_t psc_round_up(size_t n, size_t power_of_two) {
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

PSC_INLINE bool psc_is_power_of_two(size_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

#endif
