/* Access to the bytes of a trace file that nobody vouches for: it may be sparse, cut off, damaged, or written to at
 * this moment. Everything is read with pread into memory of ours, a chunk at a time; nothing is mapped. */
#ifndef PSC_REPORT_TRACE_H
#define PSC_REPORT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/wire/trace.h"

struct psc_trace {
    int fd;
    bool owns_fd;
    uint64_t file_bytes;      /* at opening; may grow or shrink later */
    uint64_t allocated_bytes; /* on disk, at opening */
    uint64_t claimed_bytes;   /* of chunks that have a kind */
    bool sparse_claims;       /* more is claimed than is allocated: holes are looked for and skipped */
    uint64_t hole_start;      /* the hole found last */
    uint64_t hole_end;
    struct psc_wire_header header; /* strings are terminated */
    uint8_t *directory;            /* PSC_CHUNKS_MAX kinds */
    uint32_t chunk_count;          /* one more than the last chunk that has a kind */
};

/* Opens and checks magic, version and geometry. Returns false and sets *error (static text or strerror's) if the file
 * is no trace that this reader knows. A symbolic link named by the user is followed; a special file is refused. */
bool psc_trace_open(struct psc_trace *trace, const char *path, const char **error);
bool psc_trace_open_fd(struct psc_trace *trace, int fd, const char **error);
void psc_trace_close(struct psc_trace *trace);

/* Reads chunk `index` into `buffer` (PSC_CHUNK_BYTES, the rest zeroed). Returns how many bytes the file gave: less than
 * a chunk if it is cut off there or cannot be read. In a file that claims more than it has, chunks that are holes are
 * not read: *hole is set, `buffer` left alone and PSC_CHUNK_BYTES returned. */
size_t psc_trace_read(struct psc_trace *trace, uint32_t index, void *buffer, bool *hole);

/* "sites", "extents", ...: for warnings. */
const char *psc_trace_kind_name(uint32_t kind);
/* Smallest row that this reader understands. */
uint32_t psc_trace_row_bytes(uint32_t kind);

#endif
