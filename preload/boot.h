/* How the preload comes to life, and what it does at the turns of a process: first allocation, thread birth and death,
 * fork, exit. The one place, with record.c, that knows the heap and the tracker. */
#ifndef PSC_PRELOAD_BOOT_H
#define PSC_PRELOAD_BOOT_H

#include "core/base/compiler.h"

enum psc_preload_state {
    PSC_PRELOAD_NEW,   /* options not read yet: recording may have to begin */
    PSC_PRELOAD_PLAIN, /* allocator alone */
    PSC_PRELOAD_RECORDING
};

/* Leaves NEW once, when libc is ready; any thread reads. */
extern uint32_t psc_preload_state;

/* True if allocations are to be recorded. Reads the options and begins the trace when called for the first time. */
bool psc_preload_recording(void);

/* The program brings its own malloc, and ours is not to meddle. */
bool psc_preload_is_passive(void);

/* What the program calls by the name of realloc: ours, or its own where it brings one. */
extern void *(*psc_preload_public_realloc)(void *p, size_t bytes);

#endif
