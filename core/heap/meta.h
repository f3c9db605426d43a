/* Memory for the heap's own tables: zeroed, never given back, apart from the program's blocks with unmapped pages
 * around. */
#ifndef PSC_CORE_HEAP_META_H
#define PSC_CORE_HEAP_META_H

#include "core/base/compiler.h"

/* `bytes` of zeroed memory, 64-byte aligned. NULL: none. Any thread. */
void *psc_meta_alloc(size_t bytes);
/* Handed out so far, in bytes; pages of it that were never touched included. */
size_t psc_meta_bytes(void);
/* Of these, the bytes that are in memory. */
uint64_t psc_meta_resident_bytes(void);

void psc_meta_fork_prepare(void);
void psc_meta_fork_parent(void);
void psc_meta_fork_child(void);

#endif
