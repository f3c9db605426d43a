/* How the preload comes to life, and what it does at the turns of a process: first allocation, thread birth and death,
 * fork, exit. The one place, with record.c, that knows the heap and the tracker. */
#ifndef PSC_PRELOAD_BOOT_H
#define PSC_PRELOAD_BOOT_H

#include "core/base/compiler.h"

enum psc_preload_state {
    PSC_PRELOAD_NEW,   /* options not read yet: recording may have to begin */
    PSC_PRELOAD_PLAIN, /* allocator alone */
    PSC_PRELOAD_SAMPLING,
    PSC_PRELOAD_RECORDING, /* from here on all is recorded */
    PSC_PRELOAD_APART,     /* and some sites have pools of their own */
};

/* Leaves NEW once, when libc is ready; any thread reads. */
extern uint32_t psc_preload_state;

extern PSC_TLS bool psc_preload_booting; /* by this thread: what it allocates meanwhile is not recorded */

/* Reads the options and begins the trace, if that is to be done. Returns the state then. */
PSC_COLD uint32_t psc_preload_boot(void);

/* What is to be done with the calling thread's allocations. */
PSC_INLINE uint32_t psc_preload_now(void) {
    uint32_t state = PSC_LOAD_ACQUIRE(&psc_preload_state);
    if (PSC_UNLIKELY(state == PSC_PRELOAD_NEW)) {
        state = psc_preload_boot();
    }
    return PSC_LIKELY(!psc_preload_booting) ? state : (uint32_t)PSC_PRELOAD_PLAIN;
}

/* The program brings its own malloc, and ours is not to meddle. */
bool psc_preload_is_passive(void);

/* What the program calls by the name of realloc: ours, or its own where it brings one. */
extern void *(*psc_preload_public_realloc)(void *p, size_t bytes);

#endif
