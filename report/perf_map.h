/* Names of code that a program made while it ran. Runtimes with a just-in-time compiler write them to
 * /tmp/perf-PID.map, a line for each function: its start and its size in hexadecimal, and its name, which is the rest.
 * Where lines overlap, the last one says what is there now, and what it replaced is forgotten.
 *
 * Anybody can make such a file: names are bytes that nobody vouches for, ended by NUL; who shows one makes it printable. */
#ifndef PSC_REPORT_PERF_MAP_H
#define PSC_REPORT_PERF_MAP_H

#include <stdint.h>

/* Where a process would have left its map, and between which times (CLOCK_REALTIME) it can have written it: a file that
 * was written before or after is of another process that had the same number. */
struct psc_perf_map_source {
    const char *path;
    uint64_t not_before_ns;
    uint64_t not_after_ns; /* UINT64_MAX: no limit */
};

/* NULL: there is none that can be used. That is a regular file, no link, of this user or root, of bounded size. Lines
 * that are not as above, or too long, are left out. */
struct psc_perf_map *psc_perf_map_open(const struct psc_perf_map_source *source);
/* NULL is allowed. */
void psc_perf_map_close(struct psc_perf_map *map);

/* The function that an address lies in, NULL if it is in none. Lives until psc_perf_map_close. */
const char *psc_perf_map_find(const struct psc_perf_map *map, uint64_t address);

#endif
