/* Who keeps a pool from going back: its pinned bytes in equal shares to its live blocks, in whole bytes that add up. */
#ifndef PSC_REPORT_BLAME_H
#define PSC_REPORT_BLAME_H

#include <stddef.h>
#include <stdint.h>

/* The live blocks that one site has in a pool, and what they are charged with. */
struct psc_blame {
    uint32_t site;
    uint32_t blocks; /* > 0 */
    uint64_t charged_bytes;
    uint64_t remainder; /* working space */
};

/* Shares `pinned` out over `blames`, in proportion to their blocks. Each gets its share rounded down; what is left goes
 * bytewise to the largest remainders, of equal ones to the lowest site. The charges add up to `pinned` exactly.
 * Reorders `blames`. `pinned` times the blocks must fit 64 bits. */
void psc_blame_share(struct psc_blame *blames, size_t count, uint64_t pinned);

#endif
