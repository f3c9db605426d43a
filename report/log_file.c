#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/array.h"
#include "report/file.h"
#include "report/log_part.h"

#define BUFFER_BYTES 4096u
#define TICK_NS_MIN 0.1
#define TICK_NS_MAX 1000.0

_Static_assert(BUFFER_BYTES >= 2 * PSC_LOG_EVENT_MAX, "a buffer takes any event");

/* ---- the header ------------------------------------------------------------------------------------------------ */

static const char *check_header(struct psc_log_file *file, const struct psc_model *model) {
    struct psc_wire_log_header *header = &file->header;
    size_t got = psc_file_read(file->fd, header, sizeof(*header), 0);
    if (got < sizeof(header->magic) || memcmp(header->magic, PSC_LOG_MAGIC, sizeof(header->magic)) != 0) {
        return "Not an event log of poolscope (its first bytes are not " PSC_LOG_MAGIC ")";
    }
    if (got < sizeof(*header)) {
        return "The file ends inside the header";
    }
    if (header->version != PSC_LOG_VERSION || header->chunk_bytes != PSC_LOG_CHUNK_BYTES) {
        return "It has another version than this program reads";
    }
    if (header->trace_start_ns != model->process.start_ns || header->pid != model->process.pid) {
        return "It belongs to another trace than the one beside it";
    }
    return NULL;
}

/* From the two moments that lie farthest from each other. */
static double tick_length(const struct psc_wire_log_header *header) {
    const struct psc_wire_log_clock *last = &header->clocks[(header->clock_count + 1) % 2];
    double ticks = (double)last->ticks - (double)header->first.ticks;
    double ns = (double)last->ns - (double)header->first.ns;
    return ticks > 0 ? ns / ticks : 0;
}

bool psc_log_file_open(struct psc_log_file *file, int fd, const struct psc_model *model, const char **error) {
    struct stat status;
    *file = (struct psc_log_file){.fd = fd};
    if (fstat(fd, &status) != 0) {
        *error = strerror(errno);
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        *error = "Not a regular file";
        return false;
    }
    file->file_bytes = (uint64_t)status.st_size;
    *error = check_header(file, model);
    if (*error != NULL) {
        return false;
    }
    file->figures.lost = file->header.lost_events;
    file->figures.stop_reason = file->header.stop_reason;
    file->ns_per_tick = tick_length(&file->header);
    if (!(file->ns_per_tick >= TICK_NS_MIN && file->ns_per_tick <= TICK_NS_MAX)) {
        file->ns_per_tick = 1;
        file->figures.damaged++;
    }
    return true;
}

void psc_log_file_close(struct psc_log_file *file) {
    if (file->owns_fd) {
        close(file->fd);
        file->owns_fd = false;
    }
}

/* ---- chunks ---------------------------------------------------------------------------------------------------- */

static uint32_t chunk_count(const struct psc_log_file *file) {
    uint64_t there = (file->file_bytes + PSC_LOG_CHUNK_BYTES - 1) / PSC_LOG_CHUNK_BYTES;
    uint32_t used = file->header.chunks_used & ~PSC_LOG_CLOSED;
    return there < used ? (uint32_t)there : used;
}

/* The chunk in which the file goes on behind a hole. */
static uint32_t skip_hole(const struct psc_log_file *file, uint32_t index, uint32_t count) {
    off_t data = lseek(file->fd, (off_t)index * PSC_LOG_CHUNK_BYTES, SEEK_DATA);
    uint64_t next = data < 0 ? (errno == ENXIO ? count : index) : (uint64_t)data / PSC_LOG_CHUNK_BYTES;
    return next > index ? (next < count ? (uint32_t)next : count) : index + 1;
}

static bool read_chunk(struct psc_log_file *file, uint32_t index, struct psc_log_chunk *chunk) {
    struct psc_wire_log_chunk wire;
    size_t got = psc_file_read(file->fd, &wire, sizeof(wire), (uint64_t)index * PSC_LOG_CHUNK_BYTES);
    if (got < sizeof(wire) || wire.magic != PSC_LOG_CHUNK_MAGIC) {
        file->figures.damaged += got == sizeof(wire) && wire.magic != 0;
        return false;
    }
    *chunk = (struct psc_log_chunk){.index = index,
                                    .thread = wire.thread,
                                    .sequence = wire.sequence,
                                    .time = wire.time,
                                    .lost = wire.lost,
                                    .bytes = (uint32_t)wire.filled,
                                    .events = (uint32_t)(wire.filled >> 32)};
    if (chunk->bytes > PSC_LOG_ROOM || (uint64_t)chunk->events * PSC_LOG_EVENT_MIN > chunk->bytes) {
        file->figures.damaged++;
        return false;
    }
    file->figures.events += chunk->events;
    file->figures.bytes += sizeof(wire) + chunk->bytes;
    return true;
}

static int by_thread(const void *left, const void *right) {
    const struct psc_log_chunk *a = left, *b = right;
    if (a->thread != b->thread) {
        return a->thread < b->thread ? -1 : 1;
    }
    if (a->sequence != b->sequence) {
        return a->sequence < b->sequence ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

struct psc_log_chunk *psc_log_file_chunks(struct psc_log_file *file, size_t *count) {
    struct psc_log_chunk *chunks = psc_array_new(1, sizeof(*chunks));
    size_t capacity = 1;
    uint32_t there = chunk_count(file);
    *count = 0;
    for (uint32_t index = 1; index < there;) {
        chunks = psc_array_reserve(chunks, *count + 1, &capacity, sizeof(*chunks));
        if (read_chunk(file, index, &chunks[*count])) {
            ++*count;
            index++;
        } else {
            index = skip_hole(file, index, there);
        }
    }
    qsort(chunks, *count, sizeof(*chunks), by_thread);
    return chunks;
}

/* ---- one thread's events --------------------------------------------------------------------------------------- */

void psc_log_stream_close(struct psc_log_stream *stream) {
    free(stream->buffer);
    stream->buffer = NULL;
}

/* Opens the next chunk. True: events are missing before it, and stream->event tells of them. */
static bool open_chunk(struct psc_log_file *file, struct psc_log_stream *stream) {
    const struct psc_log_chunk *chunk = stream->next++;
    bool gap = chunk->sequence != stream->sequence;
    file->figures.damaged += gap;
    stream->sequence = chunk->sequence + 1;
    stream->buffer = psc_array_new(1, BUFFER_BYTES);
    stream->at = stream->filled = 0;
    stream->offset = (uint64_t)chunk->index * PSC_LOG_CHUNK_BYTES + sizeof(struct psc_wire_log_chunk);
    stream->bytes = chunk->bytes;
    stream->events = chunk->events;
    psc_log_begin(&stream->context, chunk->time);
    stream->event = (struct psc_log_event){.kind = PSC_LOG_LOST, .time = chunk->time, .size = chunk->lost};
    return gap || chunk->lost != 0;
}

static void fill(const struct psc_log_file *file, struct psc_log_stream *stream) {
    memmove(stream->buffer, stream->buffer + stream->at, stream->filled - stream->at);
    stream->filled -= stream->at;
    stream->at = 0;
    uint32_t room = BUFFER_BYTES - stream->filled;
    uint32_t wanted = room < stream->bytes ? room : stream->bytes;
    size_t got = psc_file_read(file->fd, stream->buffer + stream->filled, wanted, stream->offset);
    stream->filled += (uint32_t)got;
    stream->offset += got;
    stream->bytes = got == wanted ? stream->bytes - wanted : 0;
}

/* False: the open chunk has no more, or what it has makes no sense. */
static bool decode(struct psc_log_file *file, struct psc_log_stream *stream) {
    if (stream->events == 0) {
        return false;
    }
    if (stream->filled - stream->at < PSC_LOG_EVENT_MAX && stream->bytes > 0) {
        fill(file, stream);
    }
    const uint8_t *end = stream->buffer + stream->filled;
    const uint8_t *next = psc_log_get(stream->buffer + stream->at, end, &stream->context, &stream->event);
    if (next == NULL) {
        file->figures.damaged++;
        file->figures.left_out += stream->events;
        return false;
    }
    stream->at = (uint32_t)(next - stream->buffer);
    stream->events--;
    return true;
}

bool psc_log_stream_next(struct psc_log_file *file, struct psc_log_stream *stream) {
    if (stream->buffer != NULL && decode(file, stream)) {
        return true;
    }
    psc_log_stream_close(stream);
    while (stream->next < stream->end) {
        if (open_chunk(file, stream) || decode(file, stream)) {
            return true;
        }
        psc_log_stream_close(stream);
    }
    return false;
}
