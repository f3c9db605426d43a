/* Resident memory of this process's descendants, sampled: pages that processes share count for each of them. */
#ifndef PSC_TOOLS_FOOTPRINT_H
#define PSC_TOOLS_FOOTPRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Called for each process that has memory. */
typedef void psc_footprint_visit(void *context, pid_t pid, uint64_t pages);

struct psc_footprint {
    /* fixed after init */
    bool all_threads;           /* also what other threads than the first of a process started; costs more */
    psc_footprint_visit *visit; /* or NULL */
    void *context;

    uint64_t pages;      /* of the newest sample */
    uint64_t peak_pages; /* of the largest */
    uint64_t last_pages; /* of the last that was not 0 */
    double page_us;      /* integral over time, up to the newest sample */
    uint64_t since_us;   /* time of the newest sample; to be set to when the program began */
    uint64_t samples;
};

/* CLOCK_MONOTONIC */
uint64_t psc_footprint_now_us(void);

/* What was there at the last sample is taken to have been there until now. */
void psc_footprint_sample(struct psc_footprint *footprint);

/* Visits all descendants of this process, zombies too, and returns the sum of their resident pages. */
uint64_t psc_footprint_walk(bool all_threads, psc_footprint_visit *visit, void *context);

#endif
