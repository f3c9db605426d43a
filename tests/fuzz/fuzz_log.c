/* The reader of event logs, fed with anything.
 *
 * An input is a row of chunks. Each is: thread, sequence, time, lost (1 byte each), the number of its events (2 bytes,
 * little-endian) and of its bytes (2 bytes), and those bytes. Then, if one byte is left over, so many units of 1 KiB are
 * cut off the file. The header is put right, since a reader that refuses the file has nothing to show. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/log.h"

#define HEAD_BYTES 8
#define START_NS 1000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool holds) {
    if (!holds) {
        abort();
    }
}

static void put(int fd, const void *bytes, size_t size, uint64_t offset) {
    need(pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size);
}

static void put_header(int fd, uint32_t chunks) {
    struct psc_wire_log_header header = {.version = PSC_LOG_VERSION,
                                         .header_bytes = sizeof(header),
                                         .chunk_bytes = PSC_LOG_CHUNK_BYTES,
                                         .chunks_used = chunks,
                                         .trace_start_ns = START_NS,
                                         .clock_count = 1,
                                         .first = {0, START_NS},
                                         .clocks = {{1000, START_NS + 16000}}};
    memcpy(header.magic, PSC_LOG_MAGIC, sizeof(header.magic));
    put(fd, &header, sizeof(header), 0);
}

static uint32_t number_at(const uint8_t *data) {
    return data[0] | (uint32_t)data[1] << 8;
}

/* Returns how many bytes of the input it took; 0 if no whole chunk is left. */
static size_t put_chunk(int fd, const uint8_t *data, size_t size, uint32_t index) {
    uint64_t offset = (uint64_t)index * PSC_LOG_CHUNK_BYTES;
    if (size < HEAD_BYTES) {
        return 0;
    }
    size_t length = number_at(data + 6);
    struct psc_wire_log_chunk chunk = {.magic = PSC_LOG_CHUNK_MAGIC,
                                       .thread = data[0],
                                       .sequence = data[1],
                                       .time = data[2],
                                       .lost = data[3],
                                       .filled = (uint64_t)number_at(data + 4) << 32 | length};
    size_t there = length < size - HEAD_BYTES ? length : size - HEAD_BYTES;
    put(fd, &chunk, sizeof(chunk), offset);
    put(fd, data + HEAD_BYTES, there, offset + sizeof(chunk));
    return HEAD_BYTES + there;
}

static int expand(const uint8_t *data, size_t size) {
    int fd = memfd_create("log", MFD_CLOEXEC);
    need(fd >= 0);
    uint32_t chunks = 1;
    size_t at = 0;
    for (size_t used; (used = put_chunk(fd, data + at, size - at, chunks)) != 0; chunks++) {
        at += used;
    }
    put_header(fd, chunks);
    uint64_t bytes = (uint64_t)chunks * PSC_LOG_CHUNK_BYTES;
    uint64_t cut = size - at == 1 ? (uint64_t)data[at] << 10 : 0;
    need(ftruncate(fd, (off_t)(cut < bytes - sizeof(struct psc_wire_log_header) ? bytes - cut : bytes)) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct psc_model model = {.path = "fuzz", .process = {.start_ns = START_NS}};
    const char *error;
    int fd = expand(data, size);
    struct psc_log *log = psc_log_open_fd(fd, &model, &error);
    struct psc_log_entry entry;
    uint64_t counts[PSC_LOG_RESIZE + 1] = {0};
    need(log != NULL);
    while (psc_log_next(log, &entry)) {
        need(entry.kind <= PSC_LOG_RESIZE);
        counts[entry.kind]++;
    }
    const struct psc_log_figures *figures = psc_log_figures(log);
    need(counts[PSC_LOG_ALLOC] + counts[PSC_LOG_FREE] + counts[PSC_LOG_RESIZE] + figures->left_out == figures->events);
    psc_log_close(log);
    close(fd);
    return 0;
}
