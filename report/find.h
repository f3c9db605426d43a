/* Which traces the user means. */
#ifndef PSC_REPORT_FIND_H
#define PSC_REPORT_FIND_H

#include <stdbool.h>
#include <stddef.h>

struct psc_paths {
    char **paths;
    size_t count;
    size_t capacity;
    size_t empty; /* files in directories that were left out, since they have no header */
};

void psc_find_release(struct psc_paths *found);
/* Adds `path`; of a directory, the traces in it by name; what has no header yet is left out, with a line on stderr. Returns false with a line on stderr if a directory cannot be
 * read or has no trace in it. */
bool psc_find_add(struct psc_paths *found, const char *path);
/* Adds the newest run in the current directory: the traces of a directory poolscope-NAME, or a file
 * poolscope-NAME.trace. Returns false with a line on stderr if there is none. */
bool psc_find_newest(struct psc_paths *found);

#endif
