/* Mappings of large blocks between guard pages, which nobody can touch; and what freed ones leave behind: address space
 * without memory that cannot be touched either, for a while.
 *
 * Each costs the kernel mappings of their own, of which a process may have so many: beyond its share of them
 * (psc_guard_allow) there are no more guards. Any thread may call all of these. */
#ifndef PSC_CORE_HEAP_GUARD_H
#define PSC_CORE_HEAP_GUARD_H

#include "core/base/compiler.h"

/* How many mappings may be used for guards. Once. */
void psc_guard_allow(uint64_t mappings_most);
/* `bytes` (whole pages) of zeroed memory behind a guard of *front bytes and before one of *behind. NULL: no memory, or too
 * many guards. `usable` false: not yet memory, but address space that pages are to be moved to. */
char *psc_guard_map(size_t bytes, size_t alignment, bool usable, size_t *front, size_t *behind);
/* What such a block was, guards included: nobody can touch it any more. */
void psc_guard_give(char *start, size_t bytes);
/* The block has moved elsewhere: its guards go. */
void psc_guard_drop(char *base, size_t bytes, size_t front, size_t behind);
/* Gives up the address space of freed ones. True if there was any. */
bool psc_guard_release(void);

void psc_guard_fork_prepare(void);
void psc_guard_fork_parent(void);
void psc_guard_fork_child(void);

#endif
