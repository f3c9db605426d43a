#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/call.h"
#include "core/track/log.h"
#include "core/track/types.h"

#define ATTEMPTS_MAX 1000

static uint32_t attempt; /* number of the name that was free; those before it were taken */

const uint32_t psc_track_row_bytes[PSC_CHUNK_KINDS] = PSC_WIRE_ROW_BYTES;

/* ---- the file that exec left behind -------------------------------------------------------------------------- */

#define LOOKED_AT_BYTES offsetof(struct psc_wire_header, depth)

bool psc_track_file_is_private(int fd, off_t *bytes) {
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink != 1) {
        return false;
    }
    *bytes = status.st_size;
    return true;
}

/* This process wrote it, under another program: exec keeps the process id and the start time. */
static bool is_own_before_exec(const struct psc_wire_header *found) {
    const struct psc_wire_header *own = psc_track.header;
    return memcmp(found->magic, PSC_TRACE_MAGIC, sizeof found->magic) == 0 && found->version == PSC_TRACE_VERSION &&
           found->end == PSC_END_NONE && found->pid == own->pid && found->start_ticks == own->start_ticks &&
           own->start_ticks != 0;
}

static void mark_exec(int fd, const struct psc_wire_header *found, off_t bytes) {
    uint64_t end_ns = psc_track.header->start_ns;
    uint32_t end = PSC_END_EXEC;
    off_t used = (off_t)found->chunks_used * PSC_CHUNK_BYTES;
    if (psc_call_pwrite(fd, &end_ns, sizeof end_ns, offsetof(struct psc_wire_header, end_ns)) != sizeof end_ns ||
        psc_call_pwrite(fd, &end, sizeof end, offsetof(struct psc_wire_header, end)) != sizeof end) {
        return; /* it will be taken for killed */
    }
    if (used >= PSC_FIRST_DATA_CHUNK * (off_t)PSC_CHUNK_BYTES && used < bytes && ftruncate(fd, used) != 0) {
        return; /* it stays as long as it was, the rest of it a hole */
    }
}

static void mark_if_own(const char *path) {
    static struct psc_wire_header found; /* called at start only */
    off_t bytes;
    int fd = psc_call_open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (psc_track_file_is_private(fd, &bytes) &&
        psc_call_pread(fd, &found, LOOKED_AT_BYTES, 0) == (ssize_t)LOOKED_AT_BYTES && is_own_before_exec(&found)) {
        mark_exec(fd, &found, bytes);
        psc_track_log_cut(path, found.start_ns);
    }
    psc_call_close(fd);
}

void psc_track_file_mark_exec(void) {
    static char path[PSC_TRACK_PATH_MAX];
    for (uint32_t i = 1; i < attempt; i++) {
        if (psc_track_name_make(path, sizeof path, psc_track.header->pid, i)) {
            mark_if_own(path);
        }
    }
}

/* ---- creating ------------------------------------------------------------------------------------------------ */

void *psc_track_file_map(const char *path, size_t *span, void *at) {
    for (size_t bytes = *span;; bytes /= 2) {
        bytes -= bytes % PSC_CHUNK_BYTES;
        void *p = psc_os_create_mapped(path, bytes, at);
        if (p != NULL || (errno != ENOMEM && errno != EFBIG) || bytes / 2 < PSC_TRACK_SPAN_MIN) {
            *span = bytes;
            return p;
        }
    }
}

/* A name is free if that of its log is free too. */
static void *create_mapped(const char *path, size_t *span, void *at) {
    if (psc_track_log_exists(path)) {
        errno = EEXIST;
        return NULL;
    }
    return psc_track_file_map(path, span, at);
}

static void *create_named(uint32_t pid, size_t *span, void *at) {
    for (attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
        if (!psc_track_name_make(psc_track.path, sizeof psc_track.path, pid, attempt)) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        void *p = create_mapped(psc_track.path, span, at);
        if (p != NULL || errno != EEXIST) {
            return p;
        }
    }
    return NULL;
}

/* Chunk 0 and the first of the directory: they adjoin. */
static int back_header(void *base) {
    return psc_os_back_with_space(base, 2 * PSC_CHUNK_BYTES, psc_track.path, 0);
}

int psc_track_file_create(size_t span) {
    char *old = (char *)psc_track.header;
    size_t old_span = psc_track.span;
    char *base = create_named((uint32_t)getpid(), &span, old);
    if (base == NULL) {
        return errno;
    }
    if (old != NULL && span < old_span) {
        psc_os_unmap(base + span, old_span - span);
    }
    psc_track.header = (void *)base;
    psc_track.span = span;
    psc_track.closed = false;
    int error = back_header(base);
    if (error != 0 || !psc_os_file_id(psc_track.path, &psc_track.file_id)) {
        psc_track_file_discard();
        return error != 0 ? error : ENOENT;
    }
    return 0;
}

void psc_track_file_discard(void) {
    unlink(psc_track.path);
    psc_track_file_abandon(false);
}

void psc_track_file_unmap(void *mapping, size_t span, size_t kept) {
    char *base = mapping;
    if (kept > 0 && (!psc_os_decommit(base, kept) || !psc_os_commit(base, kept))) {
        kept = 0;
    }
    psc_os_unmap(base + kept, span - kept);
}

void psc_track_file_abandon(bool in_use) {
    if (psc_track.header == NULL) {
        return;
    }
    size_t used = in_use ? (size_t)psc_track.header->chunks_used * PSC_CHUNK_BYTES : 0;
    psc_track_file_unmap(psc_track.header, psc_track.span, used);
    if (!in_use) {
        psc_track.header = NULL;
    }
}

void psc_track_file_close(void) {
    psc_lock_take(&psc_track.locks.chunk);
    bool first = !psc_track.closed;
    psc_track.closed = true;
    psc_lock_release(&psc_track.locks.chunk);
    if (first) { /* in a sandbox the file stays as long as it was */
        psc_os_truncate(psc_track.path, &psc_track.file_id, (size_t)psc_track.header->chunks_used * PSC_CHUNK_BYTES);
    }
}

/* ---- chunks -------------------------------------------------------------------------------------------------- */

static uint32_t directory_chunk_of(uint32_t chunk) {
    return 1 + chunk / PSC_CHUNK_BYTES;
}

uint64_t psc_track_file_used_bytes(void) {
    uint32_t used = PSC_LOAD(&psc_track.header->chunks_used);
    return (uint64_t)(used - PSC_DIRECTORY_CHUNKS + directory_chunk_of(used - 1)) * PSC_CHUNK_BYTES;
}

static int back_chunk(uint32_t chunk) {
    uint64_t offset = (uint64_t)chunk * PSC_CHUNK_BYTES;
    if (psc_os_in_sandbox()) {
        return offset + PSC_CHUNK_BYTES <= psc_track.backed ? 0 : EPERM;
    }
    return psc_os_back_with_space(psc_track_at(offset), PSC_CHUNK_BYTES, psc_track.path, offset);
}

/* With the part of the directory that it is the first to need. */
static int back_with_directory(uint32_t chunk) {
    int error = chunk % PSC_CHUNK_BYTES == 0 ? back_chunk(directory_chunk_of(chunk)) : 0;
    return error != 0 ? error : back_chunk(chunk);
}

enum psc_stop_reason psc_track_reason_of(int error) {
    return psc_os_in_sandbox() ? PSC_STOP_SANDBOX : error == ENOMEM ? PSC_STOP_MEMORY : PSC_STOP_DISK;
}

static uint64_t take_locked(enum psc_chunk_kind kind) {
    uint32_t chunk = psc_track.header->chunks_used;
    if (psc_track.closed) {
        return 0;
    }
    if ((size_t)chunk * PSC_CHUNK_BYTES >= psc_track.span || chunk == PSC_CHUNKS_MAX) {
        psc_track_stop(PSC_STOP_SPAN, EFBIG);
        errno = EFBIG;
        return 0;
    }
    int error = back_with_directory(chunk);
    if (error != 0) {
        psc_track_stop(psc_track_reason_of(error), error);
        errno = error;
        return 0;
    }
    uint8_t *directory = psc_track_at(PSC_CHUNK_BYTES);
    PSC_STORE_RELEASE(&directory[chunk], (uint8_t)kind);
    PSC_STORE_RELEASE(&psc_track.header->chunks_used, chunk + 1);
    return (uint64_t)chunk * PSC_CHUNK_BYTES;
}

uint64_t psc_track_chunk_take(enum psc_chunk_kind kind) {
    psc_lock_take(&psc_track.locks.chunk);
    uint64_t offset = take_locked(kind);
    psc_lock_release(&psc_track.locks.chunk);
    return offset;
}

static bool shrink_locked(size_t span) {
    size_t used = (size_t)psc_track.header->chunks_used * PSC_CHUNK_BYTES;
    span = psc_round_up(span > used ? span : used, PSC_CHUNK_BYTES);
    if (span >= psc_track.span || !psc_os_unmap((char *)psc_track.header + span, psc_track.span - span)) {
        return false;
    }
    psc_track.span = span;
    return true;
}

bool psc_track_file_shrink(size_t span) {
    psc_lock_take(&psc_track.locks.chunk);
    bool shrunk = shrink_locked(span);
    psc_lock_release(&psc_track.locks.chunk);
    return shrunk;
}

size_t psc_track_ahead_of(size_t used_bytes) {
    return used_bytes > PSC_TRACK_AHEAD_MIN ? used_bytes : PSC_TRACK_AHEAD_MIN;
}

/* With the whole directory. */
static uint64_t back_ahead(size_t used) {
    size_t ahead = psc_track_ahead_of(used);
    size_t directory = (size_t)PSC_DIRECTORY_CHUNKS * PSC_CHUNK_BYTES;
    if (ahead > psc_track.span - used) {
        ahead = psc_track.span - used;
    }
    bool done = psc_os_back_ahead(psc_track.path, &psc_track.file_id, PSC_CHUNK_BYTES, directory) &&
                psc_os_back_ahead(psc_track.path, &psc_track.file_id, used, ahead);
    return done ? used + ahead : 0;
}

/* It will not be cut at the end. */
static void cut_to_backed(void) {
    if (psc_track.backed != 0 && shrink_locked(psc_track.backed)) {
        psc_os_truncate(psc_track.path, &psc_track.file_id, psc_track.span);
    }
}

void psc_track_file_back_ahead(void) {
    psc_lock_take(&psc_track.locks.chunk);
    if (!psc_track.closed) {
        psc_track.backed = back_ahead((size_t)psc_track.header->chunks_used * PSC_CHUNK_BYTES);
        cut_to_backed();
    }
    psc_lock_release(&psc_track.locks.chunk);
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

/* Under the table's lock. */
struct table {
    uint32_t count;                          /* rows handed out */
    uint64_t open;                           /* offset of the chunk that the next row comes from */
    uint32_t chunks[PSC_TRACK_TABLE_CHUNKS]; /* the first ones, for psc_track_table_row */
};

static struct table tables[PSC_CHUNK_KINDS];

static uint32_t rows_per_chunk(enum psc_chunk_kind kind) {
    return PSC_CHUNK_BYTES / psc_track_row_bytes[kind];
}

static bool open_chunk(struct table *table, enum psc_chunk_kind kind) {
    uint64_t offset = psc_track_chunk_take(kind);
    uint32_t ordinal = table->count / rows_per_chunk(kind);
    if (offset == 0) {
        return false;
    }
    table->open = offset;
    if (ordinal < PSC_TRACK_TABLE_CHUNKS) {
        table->chunks[ordinal] = (uint32_t)(offset / PSC_CHUNK_BYTES);
    }
    return true;
}

void *psc_track_table_add(enum psc_chunk_kind kind, uint32_t *index) {
    struct table *table = &tables[kind];
    uint32_t place = table->count % rows_per_chunk(kind);
    if (place == 0 && !open_chunk(table, kind)) {
        return NULL;
    }
    *index = table->count++;
    return psc_track_at(table->open + (uint64_t)place * psc_track_row_bytes[kind]);
}

void *psc_track_table_row(enum psc_chunk_kind kind, uint32_t index) {
    uint32_t per_chunk = rows_per_chunk(kind);
    uint64_t chunk = tables[kind].chunks[index / per_chunk];
    return psc_track_at(chunk * PSC_CHUNK_BYTES + (uint64_t)(index % per_chunk) * psc_track_row_bytes[kind]);
}

void *psc_track_table_reach(enum psc_chunk_kind kind, uint32_t index) {
    while (tables[kind].count <= index) {
        uint32_t added;
        if (psc_track_table_add(kind, &added) == NULL) {
            return NULL;
        }
    }
    return psc_track_table_row(kind, index);
}

uint32_t psc_track_table_count(enum psc_chunk_kind kind) {
    return tables[kind].count;
}

void psc_track_table_reset(void) {
    for (size_t i = 0; i < PSC_COUNT_OF(tables); i++) {
        tables[i].count = 0;
        tables[i].open = 0;
    }
}
