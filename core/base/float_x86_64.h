/* The control and status register of SSE: see float.h. */
#ifndef PSC_CORE_BASE_FLOAT_X86_64_H
#define PSC_CORE_BASE_FLOAT_X86_64_H

#include "core/base/compiler.h"

#define PSC_FLOAT_DEFAULT 0x1f80u /* all exceptions masked, none raised, rounding to nearest */

PSC_INLINE uint32_t psc_float_begin(void) {
    uint32_t saved, initial = PSC_FLOAT_DEFAULT;
    __asm__ volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(saved) : "m"(initial) : "memory");
    return saved;
}

PSC_INLINE void psc_float_end(uint32_t saved) {
    __asm__ volatile("ldmxcsr %0" : : "m"(saved) : "memory");
}

#endif
