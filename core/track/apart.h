/* Groups of sites, by the rules of a file (core/wire/apart.h): whoever composes the tracker with an allocator may give
 * the blocks of a group pools of their own. Groups count from 1; a site that no rule names is in group 0.
 *
 * Rules tell places in modules, which a site's addresses are compared with once, when the site is new. */
#ifndef PSC_CORE_TRACK_APART_H
#define PSC_CORE_TRACK_APART_H

#include "core/base/compiler.h"

/* Reads the rules. False: there are none, said why on stderr. Once, before the first site. */
bool psc_track_apart_read(const char *path);
/* A trace begins, and with it its sites. */
void psc_track_apart_reset(void);
/* Finds the group of a new site, whose modules are known: psc_track_module_note. Before others may meet the site; under
 * the site lock. */
void psc_track_apart_note(uint32_t site, const uint64_t *frames, uint32_t depth);
/* Any thread that has learnt the site's id. */
uint32_t psc_track_apart_group(uint32_t site);
/* Says on stderr how many sites each group has. */
void psc_track_apart_say(void);

#endif
