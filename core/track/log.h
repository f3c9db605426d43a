/* The writer of the event log (core/wire/log.h). Part of the tracker: not for users of track.h.
 *
 * A thread writes into a chunk of its own. Getting one takes no lock, but the kernel may let the thread wait for the
 * disk. Such waits may take PSC_TRACK_LOG_CREDIT_NS in all, and one part in PSC_TRACK_LOG_SHARE of the time since the
 * log began. After a wait that took more, no thread asks for a chunk until the time has come, and events that have no
 * room are lost. What is lost is counted, and its place is marked.
 *
 * All functions but begin, end, abandon: the calling thread is busy, and owns the struct. */
#ifndef PSC_CORE_TRACK_LOG_H
#define PSC_CORE_TRACK_LOG_H

#include "core/base/compiler.h"
#include "core/wire/log.h"
#include "core/wire/trace.h"

#define PSC_TRACK_LOG_CREDIT_NS ((uint64_t)100 * 1000 * 1000)
#define PSC_TRACK_LOG_SHARE 10

/* What a thread needs to log. Invariant: chunk is NULL, or at..end is what is free of it. */
struct psc_track_log {
    uint8_t *at;
    uint8_t *end;
    struct psc_wire_log_chunk *chunk; /* NULL: none, get one at the next event */
    uint64_t sequence;                /* of the next chunk */
    uint64_t lost;                    /* events since the chunk before */
    uint64_t resized;                 /* the block that the thread is about to move or resize; 0: none */
    bool freed;                       /* it has been freed, and that is not logged yet */
    struct psc_log_event made;        /* the allocation for it, not logged yet; kind 0: none */
    uint32_t thread;                  /* index in the table of threads */
    struct psc_log_context context;
};

/* Begins a log beside psc_track.path, in place of the parent's if there is one; 0 or an errno value. Nothing to do if
 * none is wanted. */
int psc_track_log_begin(void);
/* True if a file of this trace's log is there already. */
bool psc_track_log_exists(const char *trace_path);
/* Cuts the log to its used length; no more chunks are handed out. */
void psc_track_log_end(void);
/* At start: the log of the program that this process was before exec is cut to its used length, if it belongs to this
 * trace, begun at start_ns. */
void psc_track_log_cut(const char *trace_path, uint64_t start_ns);
/* Gives the mapping up, in a child that has no log of its own. `in_use`: see psc_track_file_abandon. */
void psc_track_log_abandon(bool in_use);

/* A thread's struct; NULL: there is no log, or no memory. */
struct psc_track_log *psc_track_log_open(uint32_t thread_index);

void psc_track_log_alloc(struct psc_track_log *log, uint64_t address, uint64_t size, uint32_t site);
void psc_track_log_free(struct psc_track_log *log, uint64_t address);

/* After psc_track_file_shrink: the same for the log. */
bool psc_track_log_shrink(void);

/* Gets space for what will be logged in a sandbox, where none can be got. */
void psc_track_log_back_ahead(void);

/* A thread waited so long for a chunk. */
void psc_track_log_waited(uint64_t ns);

#endif
