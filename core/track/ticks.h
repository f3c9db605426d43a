/* The clock of the event log: cheap, and the same for all threads to within the time that one takes to hear from
 * another. It counts in ticks of any constant length below 100 ns; the log says how long they were. */
#ifndef PSC_CORE_TRACK_TICKS_H
#define PSC_CORE_TRACK_TICKS_H

#if defined(__x86_64__)
#include "core/track/ticks_x86_64.h"
#else

#include "core/base/os.h"

#define PSC_TICK_NS_SHIFT 5

PSC_INLINE void psc_ticks_begin(void) {
}

PSC_INLINE uint64_t psc_ticks(void) {
    return psc_os_monotonic_ns() >> PSC_TICK_NS_SHIFT;
}

#endif
#endif
