/* What `poolscope run` hands down: the environment of the program. */
#ifndef PSC_TOOLS_SETTINGS_H
#define PSC_TOOLS_SETTINGS_H

#include <limits.h>
#include <stdbool.h>

#include "core/wire/options.h"

struct psc_settings {
    struct psc_options options; /* inherited, then flags; empty out: not named */
    char *text;                 /* the same for POOLSCOPE, without out; owned */
    char library[PATH_MAX];
};

/* Takes over POOLSCOPE from the environment. False: said why on stderr. */
bool psc_settings_init(struct psc_settings *settings);
void psc_settings_release(struct psc_settings *settings);

/* `flag` is --name=value. False: it is not of that form. One that cannot be is named on stderr and changes nothing. */
bool psc_settings_take_flag(struct psc_settings *settings, const char *flag);

/* True if `out` is a pattern for names of files, false if it is a directory. The library has the same rule. */
bool psc_settings_names_files(const char *out);

/* Finds libpoolscope.so: POOLSCOPE_LIB, or near the running poolscope. False: said why on stderr. */
bool psc_settings_find_library(struct psc_settings *settings);

/* Puts `library` before what LD_PRELOAD of this process has. False with errno set. */
bool psc_settings_preload(const char *library);

/* Sets POOLSCOPE and LD_PRELOAD of this process. False with errno set. */
bool psc_settings_apply(const struct psc_settings *settings, const char *out);

#endif
