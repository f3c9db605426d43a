/* Composes heap and tracker: what happens to a block, told to the tracker with the pool that the block lies in. */
#ifndef PSC_PRELOAD_RECORD_H
#define PSC_PRELOAD_RECORD_H

#include "core/heap/heap.h"
#include "core/track/track.h"

/* psc_heap_alloc, recorded. */
void *psc_record_new(size_t bytes);
/* The same, and psc_heap_alloc_aligned and psc_heap_alloc_zeroed, in the pools of the site's group. */
void *psc_record_new_apart(size_t alignment, size_t bytes, bool zeroed, const struct psc_unwind_start *start);
/* The block p (may be NULL: nothing is done) was handed out for a request of `bytes`. `start`: captured in the function that
 * the program called, so that the stack is walked from there. */
void psc_record_alloc(void *p, size_t bytes, const struct psc_unwind_start *start);
/* The same for a block that is a sample. */
void psc_record_sample(void *p, size_t bytes, const struct psc_unwind_start *start);
/* Frees the block p, which may be NULL. */
void psc_record_free(void *p);
/* psc_heap_resize for a block that is recorded: counts as a free and an allocation when it succeeds. */
void *psc_record_resize(void *p, size_t bytes, const struct psc_unwind_start *start);

extern const struct psc_heap_hooks psc_record_hooks; /* but for thread_began */
/* What the tracker needs to know of the heap. */
const struct psc_track_host *psc_record_host(void);

#endif
