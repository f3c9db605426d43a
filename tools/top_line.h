/* A line of a screen or of a text: clipped to its width, without anything that a terminal would obey, and with inks that
 * a screen shows as colours. */
#ifndef PSC_TOOLS_TOP_LINE_H
#define PSC_TOOLS_TOP_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/compiler.h"

#define PSC_TOP_LINE_BYTES 4096

/* Bytes of these values in a line's text change the ink of what follows; no other control character is in it. */
enum psc_top_ink {
    PSC_INK_PLAIN = 1,
    PSC_INK_LIVE,
    PSC_INK_ROUNDING,
    PSC_INK_PINNED,
    PSC_INK_EMPTY,
    PSC_INK_CACHED,
    PSC_INK_STRONG,
    PSC_INK_END
};

struct psc_top_line {
    char text[PSC_TOP_LINE_BYTES];
    size_t length;
    unsigned width;   /* columns in use */
    unsigned columns; /* that there are */
    bool utf8;        /* else all is made ASCII */
};

void psc_top_line_begin(struct psc_top_line *line, unsigned columns, bool utf8);
/* Text from anywhere; what does not fit is dropped. */
void psc_top_line_put(struct psc_top_line *line, const char *text);
PSC_PRINTF(2, 3) void psc_top_line_printf(struct psc_top_line *line, const char *format, ...);
/* Spaces up to this column. */
void psc_top_line_pad(struct psc_top_line *line, unsigned column);
void psc_top_line_ink(struct psc_top_line *line, enum psc_top_ink ink);
/* `text` without inks. */
void psc_top_line_strip(struct psc_top_line *line);

#endif
