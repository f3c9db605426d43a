/* Messages to stderr, without stdio or malloc. Each begins with "poolscope: " and is one write(2). */
#ifndef PSC_CORE_BASE_SAY_H
#define PSC_CORE_BASE_SAY_H

#include "core/base/compiler.h"

/* Formats into `buffer` of `bytes`, always NUL-terminated when bytes > 0, cut off if longer; returns the length
 * written. Knows %s %c %d %u %x %p %zu %ld %lu %lx %llu %% without flags or widths. No malloc, no locale; signal safe.
 */
size_t psc_format(char *buffer, size_t bytes, const char *format, ...) PSC_PRINTF(3, 4);

/* Notes which file stderr is. Once, at start. */
void psc_say_begin(void);
/* Whether stderr is that file still: what concerns the profile alone, and was not asked for, must not get into a file that
 * the program has opened in its place. False in a sandbox, where that cannot be known. */
bool psc_say_may_disturb(void);
/* One line to stderr; the newline is added. errno is preserved. A pipe that nobody reads, or a limit on file sizes, make
 * it go nowhere, and raise no signal. */
void psc_say(const char *format, ...) PSC_PRINTF(1, 2);

/* Name of an errno value in words, for a handful that our calls give; else "error N" in `buffer`. */
const char *psc_errno_text(int error, char *buffer, size_t bytes);

#endif
