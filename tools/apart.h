/* `poolscope run --apart=RULE`: which sites get pools of their own, told to the library in a file (core/wire/apart.h).
 *
 * A rule is a function of the program that is to be run, or of its libraries; or TRACE:FUNCTION, a function of what an
 * earlier trace was of; or TRACE:SITE, the stack of one of its sites. Each rule makes a group. */
#ifndef PSC_TOOLS_APART_H
#define PSC_TOOLS_APART_H

#include <stdbool.h>
#include <stddef.h>

#include "core/wire/apart.h"

struct psc_apart {
    const char *rules[PSC_APART_GROUPS_MAX]; /* borrowed */
    size_t count;
};

/* False: there are too many, or it is empty; said why on stderr. */
bool psc_apart_add(struct psc_apart *apart, const char *rule);

/* What the file is to say, for a run of `command`; the caller frees it. NULL: said why on stderr. */
char *psc_apart_compile(const struct psc_apart *apart, const char *command);

/* Makes the file. False with errno set. */
bool psc_apart_write(const char *path, const char *text);

#endif
