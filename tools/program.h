/* Programs as files: where a command lies, and what will run it. */
#ifndef PSC_TOOLS_PROGRAM_H
#define PSC_TOOLS_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Looks `command` up along PATH, as execvp does. */
bool psc_program_find(const char *command, char path[PATH_MAX]);
/* The program that runs a script, from the first line at `start`. False: that is no script's. */
bool psc_program_interpreter(const char *start, char path[PATH_MAX]);
/* All of `bytes` from `offset` on; false: there are fewer. */
bool psc_program_read(int fd, void *buffer, size_t bytes, uint64_t offset);
/* The file that is loaded when `command` runs: of a script, its interpreter's; without links. False: there is none. */
bool psc_program_executable(const char *command, char path[PATH_MAX]);
/* Calls for the path of each shared library that the loader brings in with the program, as the loader tells it. */
void psc_program_each_library(const char *executable, void (*visit)(void *context, const char *path), void *context);
/* The path of the loader that an ELF file asks for; empty if it asks for none. */
void psc_program_read_loader(int fd, char *loader, size_t bytes);

#endif
