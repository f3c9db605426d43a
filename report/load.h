/* The parts of the model's maker, for each other: not for users of the model. Order of work:
 * process, tables (modules, frames, sites, threads, snapshots, arenas), books, extents with samples, sums, blame. */
#ifndef PSC_REPORT_LOAD_H
#define PSC_REPORT_LOAD_H

#include "core/base/compiler.h"
#include "report/lifetime.h"
#include "report/model.h"
#include "report/trace.h"

#define PSC_NOTES_MAX 64

/* Kept while the model lives. */
struct psc_model_store {
    char *exe;
    char *argv_text;
    uint64_t *addresses; /* all return addresses of the trace, in the order of their chunks */
    uint32_t *modules;   /* the module of each, or PSC_MODULE_NONE */
    char map_path[32];   /* of the names of code that the process made */
};

struct psc_load_extents; /* extents.c's own */
struct psc_load_samples; /* samples.c's own */
struct psc_load_blame;   /* of blame*.c */

/* Needed while the model is made. */
struct psc_load {
    struct psc_model *model;
    struct psc_trace *trace;
    struct psc_wire_header *header; /* the trace's */
    struct psc_load_extents *extents;
    struct psc_load_samples *samples; /* NULL: the trace is not sampled */
    struct psc_load_blame *blame;     /* NULL: it is, or all is charged */
    uint64_t clock_bytes;             /* the latest that anything in the trace knows */
    uint64_t cached_bytes;            /* free pages not yet given back */
    uint64_t differing_blocks;        /* between books and tags */
    uint64_t differing_sites;
    size_t note_capacity;
    size_t notes_dropped;
    size_t module_capacity;
    uint32_t *modules_known; /* per site: how many modules there were when it was first seen */
    size_t modules_known_capacity;
    size_t site_capacity;
    size_t pool_capacity;
    size_t large_capacity;
    size_t arena_capacity;
    size_t thread_capacity;
    size_t snapshot_capacity;
    size_t map_capacity;
    uint32_t *frame_chunks; /* numbers of the chunks of frames that were read, ascending */
    size_t frame_chunk_count;
    size_t frame_chunk_capacity;
    size_t address_capacity;
    size_t address_budget; /* stacks do not share frames: what sites may still claim of them */
};

/* Adds a line to model->notes; beyond PSC_NOTES_MAX warnings they are counted only. */
PSC_PRINTF(2, 3) void psc_load_warn(struct psc_load *load, const char *format, ...);
PSC_PRINTF(2, 3) void psc_load_note(struct psc_load *load, const char *format, ...);

/* A chunk of one kind, as read. */
struct psc_load_chunk {
    const unsigned char *bytes; /* PSC_CHUNK_BYTES, zeroed beyond got */
    size_t got;
    uint32_t index;    /* in the file */
    uint32_t position; /* among the chunks of this kind */
    uint64_t offset;   /* in the file */
};

/* Calls `visit` for every chunk of a kind that has something in it, in order, at most `most` of them. Warns of chunks
 * that are cut off or missing. */
void psc_load_chunks(struct psc_load *load, uint32_t kind, uint32_t most,
                     void (*visit)(struct psc_load *, const struct psc_load_chunk *));
/* Size of the rows of this kind in this trace: what the header says if that can be, else the reader's own. */
uint32_t psc_load_row_bytes(const struct psc_load *load, uint32_t kind);

void psc_load_process(struct psc_load *load);
void psc_load_tables(struct psc_load *load);
/* The modules of all frames of all sites; part of psc_load_tables. */
void psc_load_frame_modules(struct psc_load *load);
void psc_load_books(struct psc_load *load);
void psc_load_extents(struct psc_load *load);
/* What walks of all tags found, and the pool maps. After the blame. */
void psc_load_history(struct psc_load *load);
/* Whether pools have been watched for long enough to tell what is lasting. */
static inline bool psc_load_has_window(const struct psc_load *load) {
    return load->samples == NULL && load->header->walks.window_ns != 0;
}

/* The samples of a sampled trace. Begin comes before the books; then each sample that is live, with the free bytes that
 * it is charged with; last, all estimates, and the heap's own figures from its last snapshot. Begin and finish do
 * nothing in other traces. */
void psc_load_samples_begin(struct psc_load *load);
void psc_load_sample(struct psc_load *load, uint32_t site, uint32_t class_index, uint64_t block_bytes,
                     uint64_t requested_bytes, double pinned_bytes);
void psc_load_samples_finish(struct psc_load *load);

/* What the figures mean for the reader: after all sums. */
void psc_load_notes(struct psc_load *load);

#endif
