/* Reading files that may be anything. */
#ifndef PSC_REPORT_FILE_H
#define PSC_REPORT_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Reads up to `bytes` at `offset`, on through short reads and interruptions. Returns what it got. */
size_t psc_file_read(int fd, void *buffer, size_t bytes, uint64_t offset);

#endif
