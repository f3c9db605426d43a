/* Memory of the reader: arrays that grow. A reader that runs out of memory has nothing left to say, so these end the
 * program with a sentence and status 1 instead of returning NULL. Sizes that a trace names are bounded by the bytes
 * that it really has before they come here. Everything is released with free.
 */
#ifndef PSC_REPORT_ARRAY_H
#define PSC_REPORT_ARRAY_H

#include <stddef.h>

/* Zeroed memory for `count` elements of `size` bytes; at least one byte. */
void *psc_array_new(size_t count, size_t size);
/* Makes room for `count` elements in all; *capacity is the array's own. Returns the array, which may have moved. New
 * elements are zero. */
void *psc_array_reserve(void *array, size_t count, size_t *capacity, size_t size);
char *psc_array_text(const char *text);

#endif
