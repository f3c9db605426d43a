/* The time stamp counter, where it runs evenly; else the kernel's clock. Read out of order: it may be ahead of what the
 * processor still waits for, and readers of the log put causes before effects themselves. */
#ifndef PSC_CORE_TRACK_TICKS_X86_64_H
#define PSC_CORE_TRACK_TICKS_X86_64_H

#include <cpuid.h>
#include <x86intrin.h>

#include "core/base/os.h"

#define PSC_TICK_CYCLES_SHIFT 6 /* 13 to 64 ns, at 5 to 1 GHz */
#define PSC_TICK_NS_SHIFT 5
#define PSC_TICKS_LEAF 0x80000007u
#define PSC_TICKS_EVEN 0x100u /* edx: the counter runs at one speed, asleep or awake */

extern bool psc_ticks_even; /* fixed before the first event */

PSC_INLINE void psc_ticks_begin(void) {
    unsigned a, b, c, d = 0;
    psc_ticks_even = __get_cpuid(PSC_TICKS_LEAF, &a, &b, &c, &d) != 0 && (d & PSC_TICKS_EVEN) != 0;
}

PSC_INLINE uint64_t psc_ticks(void) {
    return PSC_LIKELY(psc_ticks_even) ? __rdtsc() >> PSC_TICK_CYCLES_SHIFT : psc_os_monotonic_ns() >> PSC_TICK_NS_SHIFT;
}

#endif
