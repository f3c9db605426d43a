/* `poolscope top` on a terminal. The one user of ncurses. */
#ifndef PSC_TOOLS_TOP_SCREEN_H
#define PSC_TOOLS_TOP_SCREEN_H

#include <stdint.h>

#include "tools/top_view.h"

/* Shows what `top` reads until the user ends it, a signal asks for it, or after so many readings (0: any number). The
 * first has been made. Whatever is written to stderr meanwhile comes after the screen is gone. Returns the exit status, 1
 * with a line on stderr where the terminal cannot be used. */
int psc_top_screen(struct psc_top *top, enum psc_top_view view, uint64_t readings);

#endif
