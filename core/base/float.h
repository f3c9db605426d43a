/* Floating point in code that a program calls without knowing. Between the two functions, of which the second gets what
 * the first returned, no operation traps, and what it raises is not seen by the program. Call a function that the
 * compiler does not inline between them: it knows nothing of the state. Any thread, async-signal-safe. */
#ifndef PSC_CORE_BASE_FLOAT_H
#define PSC_CORE_BASE_FLOAT_H

#include "core/base/compiler.h"

#ifdef __x86_64__
#include "core/base/float_x86_64.h"
#else
PSC_INLINE uint32_t psc_float_begin(void) {
    return 0;
}

PSC_INLINE void psc_float_end(uint32_t saved) {
    (void)saved;
}
#endif

#endif
