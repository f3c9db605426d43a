/* The parts of the log's reader, for each other. */
#ifndef PSC_REPORT_LOG_PART_H
#define PSC_REPORT_LOG_PART_H

#include "report/log.h"

/* ---- log_file.c: the file, its chunks, one thread's events ----------------------------------------------------- */

struct psc_log_file {
    int fd;
    bool owns_fd;
    uint64_t file_bytes;
    struct psc_wire_log_header header;
    double ns_per_tick;
    struct psc_log_figures figures;
};

/* A chunk that has something in it. */
struct psc_log_chunk {
    uint32_t index; /* in the file */
    uint32_t thread;
    uint64_t sequence;
    uint64_t time;
    uint64_t lost;
    uint32_t bytes;
    uint32_t events;
};

/* One thread's events. Invariant: while a chunk is open, `next` is the one behind it and `buffer` is there. */
struct psc_log_stream {
    const struct psc_log_chunk *next; /* to be opened */
    const struct psc_log_chunk *end;
    uint64_t sequence;          /* of the chunk that should come next */
    struct psc_log_event event; /* the next one; kind PSC_LOG_LOST without a size: only its time is known */
    uint32_t thread;
    uint8_t *buffer; /* NULL: no chunk is open */
    uint32_t at;     /* in the buffer */
    uint32_t filled; /* bytes of it */
    uint64_t offset; /* in the file, of what comes behind the buffer */
    uint32_t bytes;  /* of the chunk from there on */
    uint32_t events; /* of the chunk from `at` on */
    bool pending;    /* `event` has not been delivered */
    struct psc_log_context context;
};

bool psc_log_file_open(struct psc_log_file *file, int fd, const struct psc_model *model, const char **error);
void psc_log_file_close(struct psc_log_file *file);
/* All chunks, by thread and sequence. The caller frees them. */
struct psc_log_chunk *psc_log_file_chunks(struct psc_log_file *file, size_t *count);
/* The next event into stream->event; a gap is one too. False: there are no more, and nothing is held. */
bool psc_log_stream_next(struct psc_log_file *file, struct psc_log_stream *stream);
void psc_log_stream_close(struct psc_log_stream *stream);

/* ---- log_live.c: which blocks are live ------------------------------------------------------------------------- */

struct psc_log_block {
    uint64_t address; /* 0: the place is free */
    uint64_t size;
    uint32_t site;
};

/* Open addressing; at most half of the places are taken. */
struct psc_log_live {
    struct psc_log_block *places;
    size_t mask; /* how many there are - 1; a power of two - 1 */
    size_t count;
};

/* NULL: not live. Until the next change. */
const struct psc_log_block *psc_log_live_find(const struct psc_log_live *live, uint64_t address);
/* In place of what was there. */
void psc_log_live_add(struct psc_log_live *live, const struct psc_log_block *block);
/* False: it is not there. */
bool psc_log_live_take(struct psc_log_live *live, uint64_t address, struct psc_log_block *block);
void psc_log_live_release(struct psc_log_live *live);

#endif
