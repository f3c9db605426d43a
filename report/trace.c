#include "report/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "report/file.h"

/* The directory speaks of every chunk that the format allows. */
_Static_assert(PSC_DIRECTORY_CHUNKS *PSC_CHUNK_BYTES == PSC_CHUNKS_MAX, "one byte per chunk");

#define KIND(kind, name, type) [PSC_CHUNK_##kind] = {name, sizeof(type)},
static const struct {
    const char *name;
    uint32_t row_bytes;
} kinds[PSC_CHUNK_KINDS] = {[PSC_CHUNK_NONE] = {"nothing", 0}, PSC_WIRE_TABLES(KIND)};

const char *psc_trace_kind_name(uint32_t kind) {
    return kind < PSC_CHUNK_KINDS ? kinds[kind].name : "unknown";
}

uint32_t psc_trace_row_bytes(uint32_t kind) {
    return kind < PSC_CHUNK_KINDS ? kinds[kind].row_bytes : 0;
}

static bool check_file(struct psc_trace *trace, const char **error) {
    struct stat status;
    if (fstat(trace->fd, &status) != 0) {
        *error = strerror(errno);
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        *error = S_ISDIR(status.st_mode) ? strerror(EISDIR) : "Not a regular file";
        return false;
    }
    trace->file_bytes = (uint64_t)status.st_size;
    trace->allocated_bytes = (uint64_t)status.st_blocks * 512;
    return true;
}

static bool check_header(struct psc_trace *trace, const char **error) {
    static char text[128];
    struct psc_wire_header *header = &trace->header;
    size_t got = psc_file_read(trace->fd, header, sizeof(*header), 0);
    *error = text;
    if (got < sizeof(header->magic) || memcmp(header->magic, PSC_TRACE_MAGIC, sizeof(header->magic)) != 0) {
        *error = "Not a trace of poolscope (its first bytes are not " PSC_TRACE_MAGIC ")";
    } else if (got < sizeof(*header)) {
        snprintf(text, sizeof(text), "The file ends inside the header (%zu of %zu bytes)", got, sizeof(*header));
    } else if (header->version != PSC_TRACE_VERSION) {
        snprintf(text, sizeof(text), "It has trace version %u, this program reads version %u", header->version,
                 PSC_TRACE_VERSION);
    } else {
        header->exe[sizeof(header->exe) - 1] = '\0';
        header->argv[sizeof(header->argv) - 1] = '\0';
        header->argv[sizeof(header->argv) - 2] = '\0';
        return true;
    }
    return false;
}

/* Reads the directory and finds its last entry. Kinds beyond the end of the file stay in it: that their chunks are
 * missing is worth a warning. */
static void read_directory(struct psc_trace *trace) {
    trace->directory = psc_array_new(PSC_CHUNKS_MAX, 1);
    size_t got = psc_file_read(trace->fd, trace->directory, PSC_CHUNKS_MAX, PSC_CHUNK_BYTES);
    memset(trace->directory, PSC_CHUNK_NONE, PSC_FIRST_DATA_CHUNK);
    uint64_t claimed = 0;
    for (size_t i = 0; i < got; i++) {
        uint64_t eight;
        if (i % 8 == 0 && i + 8 <= got && (memcpy(&eight, trace->directory + i, 8), eight == 0)) {
            i += 7;
        } else if (trace->directory[i] != PSC_CHUNK_NONE) {
            claimed++;
            trace->chunk_count = (uint32_t)i + 1;
        }
    }
    trace->claimed_bytes = claimed * PSC_CHUNK_BYTES;
    trace->sparse_claims = trace->claimed_bytes > trace->allocated_bytes;
}

bool psc_trace_open_fd(struct psc_trace *trace, int fd, const char **error) {
    trace->fd = fd;
    trace->owns_fd = false;
    trace->directory = NULL;
    trace->chunk_count = 0;
    trace->hole_start = trace->hole_end = 0;
    if (!check_file(trace, error) || !check_header(trace, error)) {
        return false;
    }
    read_directory(trace);
    return true;
}

bool psc_trace_open(struct psc_trace *trace, const char *path, const char **error) {
    /* O_NONBLOCK: a named pipe must not make us wait for its writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        *error = strerror(errno);
        return false;
    }
    if (!psc_trace_open_fd(trace, fd, error)) {
        close(fd);
        return false;
    }
    trace->owns_fd = true;
    return true;
}

void psc_trace_close(struct psc_trace *trace) {
    free(trace->directory);
    trace->directory = NULL;
    if (trace->owns_fd) {
        close(trace->fd);
        trace->owns_fd = false;
    }
}

/* A hole is looked up once, however many chunks lie in it. */
static bool is_hole(struct psc_trace *trace, uint64_t offset) {
    if (offset < trace->hole_start || offset >= trace->hole_end) {
        off_t data = lseek(trace->fd, (off_t)offset, SEEK_DATA);
        bool to_the_end = data < 0 && errno == ENXIO && offset < trace->file_bytes;
        trace->hole_start = offset;
        trace->hole_end = to_the_end ? trace->file_bytes : data < 0 ? offset : (uint64_t)data;
    }
    return trace->hole_end - offset >= PSC_CHUNK_BYTES ||
           (offset < trace->hole_end && trace->hole_end == trace->file_bytes);
}

size_t psc_trace_read(struct psc_trace *trace, uint32_t index, void *buffer, bool *hole) {
    uint64_t offset = (uint64_t)index * PSC_CHUNK_BYTES;
    *hole = trace->sparse_claims && is_hole(trace, offset);
    if (*hole) {
        return PSC_CHUNK_BYTES;
    }
    size_t got = psc_file_read(trace->fd, buffer, PSC_CHUNK_BYTES, offset);
    memset((char *)buffer + got, 0, PSC_CHUNK_BYTES - got);
    return got;
}
