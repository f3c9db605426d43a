/* What text must be, whatever the names in it are. */
#ifndef PSC_TESTS_UNIT_SUPPORT_TEXT_H
#define PSC_TESTS_UNIT_SUPPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 without control characters, but for the ends of lines and tabs: no terminal takes orders from it. */
bool psc_text_is_plain(const char *text, size_t bytes);
/* One value of JSON (RFC 8259) and white space, in valid UTF-8. `text` ends with a NUL behind its last byte. */
bool psc_text_is_json(const char *text, size_t bytes);
/* How often `part` stands in `text`. */
size_t psc_text_count(const char *text, const char *part);

#endif
