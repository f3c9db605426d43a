/* From a process to its trace. */
#ifndef PSC_TOOLS_TOP_FIND_H
#define PSC_TOOLS_TOP_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens the trace that process `pid` writes, and puts its name into `path`: the process has it mapped, so /proc/PID/maps
 * tells where it is, also if it was made in another mount namespace or has lost its name since. Returns the descriptor, or
 * -1 with what is wrong in `error`. */
int psc_top_find(uint32_t pid, char *path, size_t path_bytes, char *error, size_t error_bytes);

#endif
