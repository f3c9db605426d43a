/* What a program may do wrong with a pointer: one sentence each, and then the end, or nothing.
 *
 * All of these may be called by any thread, with the heap's locks held or not; none takes a lock or allocates. They come
 * back only when misuse is to be ignored: the caller then leaves everything as it is. */
#ifndef PSC_CORE_HEAP_MISUSE_H
#define PSC_CORE_HEAP_MISUSE_H

#include "core/base/compiler.h"

struct psc_block;
struct psc_large;

/* MISUSE(name, sentence) */
#define PSC_MISUSES(MISUSE)                                                                                            \
    MISUSE(FREED, "free of a block that is free already")                                                              \
    MISUSE(STALE, "use of a block that is free already")                                                               \
    MISUSE(INSIDE, "pointer into a block, not to its beginning")                                                       \
    MISUSE(INSIDE_FREED, "pointer into a block that is free already")                                                  \
    MISUSE(NOWHERE, "pointer into a pool, to where no block is")                                                       \
    MISUSE(FOREIGN, "pointer to memory that holds no block of this heap")                                              \
    MISUSE(SIZE, "free_sized with a size that the block does not have")                                                \
    MISUSE(ALIGNMENT, "free_aligned_sized with an alignment that the block does not have")                             \
    MISUSE(OVERRUN, "write behind the end of a block")                                                                 \
    MISUSE(WRITTEN, "write to a block that was free")

#define PSC_MISUSE_NAME(name, sentence) PSC_MISUSE_##name,
enum psc_misuse { PSC_MISUSES(PSC_MISUSE_NAME) };

/* From now on misuse is told the first few times, and ignored. */
void psc_misuse_ignore(bool ignore);

/* p was handed in for a live block and is none. `of_freed`: what to call it if it is one that was freed, PSC_MISUSE_FREED or
 * PSC_MISUSE_STALE; what else it may be is found out here. */
PSC_COLD void psc_misuse_pointer(const void *p, enum psc_misuse of_freed);

/* The block p, of the hardened heap, was written to where it must not be. */
PSC_COLD void psc_misuse_damage(const void *p, enum psc_misuse misuse);

/* The same of a large block, which need not be found by its address any more. */
PSC_COLD void psc_misuse_large(const struct psc_large *large, enum psc_misuse misuse);

/* Whether the block p can have come from a request of so many bytes with this alignment (any value), or been resized to
 * it. Tells if not. True for what is no live block: let free tell. */
bool psc_misuse_is_sized(const void *p, size_t alignment, size_t bytes);

#endif
