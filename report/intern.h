/* Strings of bytes as numbers: equal ones have the same. */
#ifndef PSC_REPORT_INTERN_H
#define PSC_REPORT_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct psc_intern_entry {
    uint64_t hash;
    size_t at; /* in bytes */
    size_t length;
};

/* All zero at first. */
struct psc_intern {
    char *bytes;
    size_t used;
    size_t bytes_capacity;
    struct psc_intern_entry *entries; /* by number */
    size_t count;
    size_t entries_capacity;
    uint32_t *slots; /* hash table of numbers + 1; 0: free */
    size_t room;     /* a power of 2, or 0 */
};

void psc_intern_release(struct psc_intern *intern);
/* The number of these bytes: numbers are given from 0 on. What is at `bytes` is copied if it is new. */
uint32_t psc_intern_number(struct psc_intern *intern, const void *bytes, size_t length);

#endif
