/* The stacks of many sites as one tree from the outermost frames inwards, so that what they share is written once. Names,
 * frames and places in the tree are numbered as they come; names are told apart by their addresses, as the strings of
 * psc_symbols are. For the files page*.c only.
 */
#ifndef PSC_REPORT_PAGE_STACKS_H
#define PSC_REPORT_PAGE_STACKS_H

#include <stddef.h>
#include <stdint.h>

#include "report/emit.h"
#include "report/model.h"

struct psc_stacks;

struct psc_stacks *psc_stacks_new(void);
void psc_stacks_release(struct psc_stacks *stacks);

/* Adds a stack, innermost frame first. The strings are borrowed until psc_stacks_release. */
void psc_stacks_add(struct psc_stacks *stacks, const struct psc_frame *frames, size_t count);
/* The number of a function among those that psc_stacks_emit writes; NULL is 0, the function without a name. */
uint32_t psc_stacks_function(struct psc_stacks *stacks, const char *function);
/* About how many bytes psc_stacks_emit would write. */
uint64_t psc_stacks_bytes(const struct psc_stacks *stacks);

/* As members of the current object:
 *   "functions" the names; "short" for each the same without parameters and template arguments, null if that is all;
 *   "files", "modules"; the first of all of these is empty
 *   "frames" {"function", "file", "line", "module", "inlined"}, an array each
 *   "stacks" {"from", "length", "frames"}: stack i goes on from place from[i] of the tree by length[i] new places, which
 *   take the next numbers; "frames" has the frame of each place. Place 0 is the root, whose frame is not listed. */
void psc_stacks_emit(const struct psc_stacks *stacks, struct psc_emit *emit);

#endif
