/* All threads' events in one order. */
#include "report/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/array.h"
#include "report/log_part.h"

#define WAITING_MAX 64

struct psc_log {
    struct psc_log_file file;
    struct psc_log_chunk *chunks;
    struct psc_log_stream *streams;
    size_t stream_count;
    struct psc_log_stream **queue; /* a heap: no stream's next event is earlier than its parent's, at (i - 1) / 2 */
    size_t queue_count;
    struct psc_log_stream *waiting[WAITING_MAX]; /* their next event's cause has not been seen; earliest first */
    size_t waiting_count;
    uint64_t patience; /* in ticks */
    struct psc_log_live live;
};

/* ---- the queue ------------------------------------------------------------------------------------------------- */

static bool is_earlier(const struct psc_log_stream *a, const struct psc_log_stream *b) {
    return a->event.time != b->event.time ? a->event.time < b->event.time : a->thread < b->thread;
}

static void swap(struct psc_log *log, size_t a, size_t b) {
    struct psc_log_stream *held = log->queue[a];
    log->queue[a] = log->queue[b];
    log->queue[b] = held;
}

static void sift_up(struct psc_log *log, size_t i) {
    for (; i > 0 && is_earlier(log->queue[i], log->queue[(i - 1) / 2]); i = (i - 1) / 2) {
        swap(log, i, (i - 1) / 2);
    }
}

static void sift_down(struct psc_log *log, size_t i) {
    for (size_t child = 2 * i + 1; child < log->queue_count; child = 2 * i + 1) {
        if (child + 1 < log->queue_count && is_earlier(log->queue[child + 1], log->queue[child])) {
            child++;
        }
        if (!is_earlier(log->queue[child], log->queue[i])) {
            return;
        }
        swap(log, i, child);
        i = child;
    }
}

static void push(struct psc_log *log, struct psc_log_stream *stream) {
    log->queue[log->queue_count++] = stream;
    sift_up(log, log->queue_count - 1);
}

static struct psc_log_stream *pop(struct psc_log *log) {
    struct psc_log_stream *first = log->queue[0];
    log->queue[0] = log->queue[--log->queue_count];
    sift_down(log, 0);
    return first;
}

/* ---- causes before effects ------------------------------------------------------------------------------------- */

static bool is_live(const struct psc_log *log, uint64_t address) {
    return psc_log_live_find(&log->live, address) != NULL;
}

static bool may_happen(const struct psc_log *log, const struct psc_log_event *event) {
    switch (event->kind) {
    case PSC_LOG_ALLOC: return !is_live(log, event->address);
    case PSC_LOG_FREE: return is_live(log, event->address);
    case PSC_LOG_RESIZE:
        return is_live(log, event->old_address) &&
               (event->address == event->old_address || !is_live(log, event->address));
    default: return true;
    }
}

static struct psc_log_stream *take_waiting(struct psc_log *log, size_t i) {
    struct psc_log_stream *stream = log->waiting[i];
    log->waiting_count--;
    memmove(&log->waiting[i], &log->waiting[i + 1], (log->waiting_count - i) * sizeof(log->waiting[0]));
    return stream;
}

static void put_waiting(struct psc_log *log, struct psc_log_stream *stream) {
    size_t i = log->waiting_count++;
    for (; i > 0 && is_earlier(stream, log->waiting[i - 1]); i--) {
        log->waiting[i] = log->waiting[i - 1];
    }
    log->waiting[i] = stream;
}

/* One whose cause has been seen by now, or that has waited long enough. NULL: none. */
static struct psc_log_stream *find_ready(struct psc_log *log) {
    for (size_t i = 0; i < log->waiting_count; i++) {
        if (may_happen(log, &log->waiting[i]->event)) {
            return take_waiting(log, i);
        }
    }
    if (log->waiting_count == 0) {
        return NULL;
    }
    uint64_t since = log->waiting[0]->event.time;
    bool last = log->queue_count == 0 || log->waiting_count == WAITING_MAX;
    bool late = !last && log->queue[0]->event.time > since && log->queue[0]->event.time - since > log->patience;
    return last || late ? take_waiting(log, 0) : NULL;
}

/* The stream whose event comes next; it is in neither list then. NULL: the end. */
static struct psc_log_stream *choose(struct psc_log *log) {
    for (;;) {
        struct psc_log_stream *ready = find_ready(log);
        if (ready != NULL) {
            return ready;
        }
        if (log->queue_count == 0) {
            return NULL;
        }
        struct psc_log_stream *first = pop(log);
        if (!first->pending) { /* only the time is known, at which its first event may be */
            first->pending = psc_log_stream_next(&log->file, first);
            if (first->pending) {
                push(log, first);
            }
        } else if (may_happen(log, &first->event)) {
            return first;
        } else {
            put_waiting(log, first);
        }
    }
}

/* ---- entries --------------------------------------------------------------------------------------------------- */

static uint64_t time_of(const struct psc_log *log, uint64_t ticks) {
    const struct psc_wire_log_header *header = &log->file.header;
    if (ticks < header->first.ticks) {
        return 0;
    }
    double since = (double)(ticks - header->first.ticks) * log->file.ns_per_tick;
    uint64_t began = header->first.ns > header->trace_start_ns ? header->first.ns - header->trace_start_ns : 0;
    return since < (double)INT64_MAX && began < INT64_MAX ? began + (uint64_t)since : 0;
}

/* Keeps the list of live blocks, and tells of a freed block what is known of it. */
static void apply(struct psc_log *log, const struct psc_log_event *event, struct psc_log_entry *entry) {
    struct psc_log_block block = {0, PSC_LOG_UNKNOWN, 0};
    if (event->kind == PSC_LOG_FREE) {
        psc_log_live_take(&log->live, event->address, &block);
        entry->size = block.size;
        entry->site = block.site;
        return;
    }
    if (event->kind == PSC_LOG_RESIZE) {
        psc_log_live_take(&log->live, event->old_address, &block);
    }
    if (event->kind != PSC_LOG_LOST) {
        block = (struct psc_log_block){event->address, event->size, event->site};
        psc_log_live_add(&log->live, &block);
    }
}

static void fill_entry(struct psc_log *log, const struct psc_log_stream *stream, struct psc_log_entry *entry) {
    const struct psc_log_event *event = &stream->event;
    *entry = (struct psc_log_entry){.time_ns = time_of(log, event->time),
                                    .thread = stream->thread,
                                    .kind = event->kind,
                                    .address = event->address,
                                    .old_address = event->old_address,
                                    .size = event->size,
                                    .site = event->site};
    apply(log, event, entry);
}

bool psc_log_next(struct psc_log *log, struct psc_log_entry *entry) {
    struct psc_log_stream *stream = choose(log);
    if (stream == NULL) {
        return false;
    }
    fill_entry(log, stream, entry);
    if (psc_log_stream_next(&log->file, stream)) {
        push(log, stream);
    }
    return true;
}

/* ---- open and close -------------------------------------------------------------------------------------------- */

/* The chunks stand by thread. */
static void make_streams(struct psc_log *log, size_t chunk_count) {
    size_t capacity = 0;
    for (size_t i = 0; i < chunk_count; i++) {
        const struct psc_log_chunk *chunk = &log->chunks[i];
        if (i > 0 && chunk->thread == chunk[-1].thread) {
            continue;
        }
        log->streams = psc_array_reserve(log->streams, log->stream_count + 1, &capacity, sizeof(*log->streams));
        struct psc_log_stream *stream = &log->streams[log->stream_count++];
        stream->thread = chunk->thread;
        stream->sequence = 1;
        stream->event.time = chunk->time;
        stream->next = chunk;
        stream->end = log->chunks + chunk_count;
    }
    for (size_t i = 1; i < log->stream_count; i++) {
        log->streams[i - 1].end = log->streams[i].next;
    }
}

static void begin(struct psc_log *log) {
    size_t chunk_count;
    log->chunks = psc_log_file_chunks(&log->file, &chunk_count);
    make_streams(log, chunk_count);
    log->file.figures.threads = log->stream_count;
    log->patience = (uint64_t)(PSC_LOG_PATIENCE_NS / log->file.ns_per_tick);
    log->queue = psc_array_new(log->stream_count, sizeof(*log->queue));
    for (size_t i = 0; i < log->stream_count; i++) {
        push(log, &log->streams[i]);
    }
}

struct psc_log *psc_log_open_fd(int fd, const struct psc_model *model, const char **error) {
    struct psc_log *log = psc_array_new(1, sizeof(*log));
    if (!psc_log_file_open(&log->file, fd, model, error)) {
        free(log);
        return NULL;
    }
    begin(log);
    return log;
}

char *psc_log_path(const struct psc_model *model) {
    size_t bytes = strlen(model->path) + sizeof(PSC_LOG_SUFFIX);
    char *path = psc_array_new(bytes, 1);
    snprintf(path, bytes, "%s" PSC_LOG_SUFFIX, model->path);
    return path;
}

struct psc_log *psc_log_open(const struct psc_model *model, const char **error) {
    char *path = psc_log_path(model);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    free(path);
    if (fd < 0) {
        *error = errno == ENOENT ? NULL : strerror(errno);
        return NULL;
    }
    struct psc_log *log = psc_log_open_fd(fd, model, error);
    if (log == NULL) {
        close(fd);
        return NULL;
    }
    log->file.owns_fd = true;
    return log;
}

void psc_log_close(struct psc_log *log) {
    if (log == NULL) {
        return;
    }
    for (size_t i = 0; i < log->stream_count; i++) {
        psc_log_stream_close(&log->streams[i]);
    }
    psc_log_file_close(&log->file);
    psc_log_live_release(&log->live);
    free(log->queue);
    free(log->streams);
    free(log->chunks);
    free(log);
}

const struct psc_log_figures *psc_log_figures(const struct psc_log *log) {
    return &log->file.figures;
}
