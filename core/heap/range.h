/* Ranges of pages that large blocks left behind, kept mapped for a while for the next ones. */
#ifndef PSC_CORE_HEAP_RANGE_H
#define PSC_CORE_HEAP_RANGE_H

#include "core/base/compiler.h"

/* A range of exactly `bytes` (whole pages), with whatever it held. NULL: none is kept that is large enough. Any thread.
 */
void *psc_range_take(size_t bytes);
/* A large block has got pages such as are kept here, from here or elsewhere: what goes round is counted. Any thread. */
void psc_range_count_taken(size_t bytes);
/* A range that nobody uses any more: kept, or unmapped. Any thread. */
void psc_range_give(void *base, size_t bytes);
/* Unmaps all that are kept. True if there were any. */
bool psc_range_release(void);
uint64_t psc_range_bytes(void);

void psc_range_fork_prepare(void);
void psc_range_fork_parent(void);
void psc_range_fork_child(void);

#endif
