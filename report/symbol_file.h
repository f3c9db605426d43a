/* The names beside a trace: TRACE.symbols has the frames of every address of TRACE that could be resolved, so that the
 * trace reads the same where the files of its modules are not at hand. poolscope-symbols(5) is the format.
 *
 * It is as little to be trusted as a trace: all of it is checked before any of it is used, and strings are made printable
 * once more. */
#ifndef PSC_REPORT_SYMBOL_FILE_H
#define PSC_REPORT_SYMBOL_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "report/model.h"

#define PSC_SYMBOL_FILE_VERSION 1

/* Where the names of a trace lie, to be freed. */
char *psc_symbol_file_path(const char *trace);

/* Gives what the file at `path` knows to model->symbols. Returns false and sets *error to the end of a sentence about the
 * file if there is one that is not used: damaged, or of another trace. No file is no error. */
bool psc_symbol_file_read(struct psc_model *model, const char *path, const char **error);

/* Resolves all addresses of the trace and writes those that have names, in place of the file at `path` when all is
 * written. Sets *written to their number. Returns false with errno. */
bool psc_symbol_file_write(struct psc_model *model, const char *path, size_t *written);

#endif
