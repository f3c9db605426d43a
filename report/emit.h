/* Writes JSON (RFC 8259) to a stream as it comes, in valid UTF-8 whatever the strings hold. The caller opens and closes
 * in order; commas, line breaks and quotes are done here. No other thread may use the stream meanwhile: it is not
 * locked. `key` is NULL inside an array, else a plain name. */
#ifndef PSC_REPORT_EMIT_H
#define PSC_REPORT_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct psc_emit {
    FILE *out;
    unsigned depth;
    unsigned lines; /* values at this depth and above begin a line of their own */
    bool first;     /* nothing stands in the current object or array yet */
    bool embedded;  /* for the inside of an HTML <script>: no '<' in any text, and no blanks or lines */
};

/* `lines`: down to which depth values begin on a line of their own; those below share one. */
void psc_emit_init(struct psc_emit *emit, FILE *out, unsigned lines);
/* For JSON that stands within HTML, as short as can be. */
void psc_emit_init_embedded(struct psc_emit *emit, FILE *out);
/* `bracket` is '{' or '['. */
void psc_emit_open(struct psc_emit *emit, const char *key, char bracket);
void psc_emit_close(struct psc_emit *emit, char bracket);
void psc_emit_number(struct psc_emit *emit, const char *key, uint64_t value);
/* to - from, whatever its sign */
void psc_emit_difference(struct psc_emit *emit, const char *key, uint64_t from, uint64_t to);
void psc_emit_real(struct psc_emit *emit, const char *key, double value);
void psc_emit_bool(struct psc_emit *emit, const char *key, bool value);
void psc_emit_null(struct psc_emit *emit, const char *key);
/* NULL gives null. Bytes that are not UTF-8 become U+FFFD; control characters are escaped. */
void psc_emit_text(struct psc_emit *emit, const char *key, const char *text);

#endif
