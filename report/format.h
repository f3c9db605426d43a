/* Figures and names as people read them. */
#ifndef PSC_REPORT_FORMAT_H
#define PSC_REPORT_FORMAT_H

#include <stdint.h>
#include <stdio.h>

/* The longest text that a psc_format_* function into a struct can make, with its NUL. */
struct psc_text {
    char s[64];
};

/* "512 B", "3.81 MiB", "15.3 MiB", "390 KiB" */
struct psc_text psc_format_bytes(uint64_t bytes);
/* "12.3 MiB ± 1.1", "512 B ± 30", "0.7 KiB ± 20.5": both in the unit of the larger one */
struct psc_text psc_format_bytes_error(uint64_t bytes, uint64_t error);
/* "6,250 ± 320" */
struct psc_text psc_format_count_error(uint64_t count, uint64_t error);
/* "6,250" */
struct psc_text psc_format_count(uint64_t count);
/* "31.3 %"; "-" of nothing */
struct psc_text psc_format_share(uint64_t part, uint64_t whole);
/* "850 ms", "12.3 s", "4 min 5 s", "3 h 12 min" */
struct psc_text psc_format_duration(uint64_t nanoseconds);

/* `one` of 1, else `many`. */
const char *psc_format_plural(uint64_t count, const char *one, const char *many);
/* What stands behind the last slash of a path. */
const char *psc_format_last_part(const char *path);

/* Decodes one character of UTF-8. Returns its length in bytes (1 to 4), or 0 if the bytes are not valid UTF-8. */
unsigned psc_format_decode(const char *text, uint32_t *character);
/* True for characters that could move a cursor, start an escape or turn the direction of a line. */
int psc_format_is_control(uint32_t character);

/* Copies `text` so that no terminal takes orders from it: control characters and bytes that are not UTF-8 become \xNN
 * or \u{NNNN}. Cuts at `size` (with "..."). Returns `buffer`. */
const char *psc_format_plain(char *buffer, size_t size, const char *text);

/* A path for a message, made plain: those found in a directory are as little to be trusted as what the files hold. */
struct psc_path_text {
    char s[1024];
};
struct psc_path_text psc_format_path(const char *path);

#endif
