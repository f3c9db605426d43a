/* Reading files that may be anything, and writing files that are whole or not there. */
#ifndef PSC_REPORT_FILE_H
#define PSC_REPORT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Reads up to `bytes` at `offset`, on through short reads and interruptions. Returns what it got. */
size_t psc_file_read(int fd, void *buffer, size_t bytes, uint64_t offset);

/* A file on its way: beside the path that it is for, under another name. */
struct psc_file_new {
    FILE *out;
    char *temporary;
};

/* What the user wants of new files: 0666 without the bits of the umask. The process must have one thread. */
mode_t psc_file_user_mode(void);

/* Opens one for `path`. False, and errno: there is nothing to end. */
bool psc_file_begin(struct psc_file_new *file, const char *path, mode_t mode);
/* Puts it in the place of `path` at once if `keep` and all was written; else removes it. False, and errno, if it is not
 * there: where `keep` is false, errno as it was. */
bool psc_file_end(struct psc_file_new *file, const char *path, bool keep);

#endif
