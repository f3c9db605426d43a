/* A set of pools with the lowest (by `order`) on top: a pairing heap, after Fredman, Sedgewick, Sleator, Tarjan, "The
 * pairing heap", Algorithmica 1 (1986). Links lie in the pools. Insert and look at the top in constant time, removal in
 * O(log n) amortised. Callers own the pools. */
#ifndef PSC_CORE_HEAP_ORDER_H
#define PSC_CORE_HEAP_ORDER_H

#include "core/heap/types.h"

void psc_order_insert(struct psc_pool **root, struct psc_pool *pool);
void psc_order_remove(struct psc_pool **root, struct psc_pool *pool);

#endif
