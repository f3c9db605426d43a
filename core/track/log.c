#include "core/track/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base/call.h"
#include "core/base/say.h"
#include "core/track/ticks.h"
#include "core/track/types.h"

#define HEADER_BYTES 4096u
#define MEBIBYTE ((size_t)1 << 20)
#define CLOCK_FIRST 4096 /* ticks from the beginning until the clock is looked at again; then twice that, and so on */

#ifdef __x86_64__
bool psc_ticks_even;
#endif

enum state { NONE, RUNNING, STOPPED };

static struct {
    struct psc_wire_log_header *header;                    /* [fixed] first byte of the mapping; NULL: there is none */
    size_t span;                                           /* [chunk] bytes of the mapping */
    uint32_t chunks;                                       /* [any] that fit; shrinks under [chunk] */
    uint32_t state;                                        /* [any] enum state */
    uint64_t waited_ns;                                    /* [any] for chunks, all threads */
    uint64_t paused_until_ns;                              /* [any] no chunk before then */
    uint64_t clock_due;                                    /* [any] in ticks: when to note the clock again */
    uint32_t backed;                                       /* [any] chunks that have space, for a sandbox */
    struct psc_lock clock;                                 /* only ever tried */
    struct psc_os_file_id file_id;                         /* [fixed] */
    char path[PSC_TRACK_PATH_MAX + sizeof PSC_LOG_SUFFIX]; /* [fixed] */
} file;

static void make_path(char *path, size_t bytes, const char *trace_path) {
    psc_format(path, bytes, "%s" PSC_LOG_SUFFIX, trace_path);
}

/* Of the header's chunks_used: it counts on where no more fit. */
static size_t used_bytes(uint32_t chunks_used) {
    uint32_t chunks = chunks_used & ~PSC_LOG_CLOSED;
    return (size_t)(chunks < file.chunks ? chunks : file.chunks) * PSC_LOG_CHUNK_BYTES;
}

static void *chunk_at(uint32_t index) {
    return (char *)file.header + (size_t)index * PSC_LOG_CHUNK_BYTES;
}

/* ---- begin and end --------------------------------------------------------------------------------------------- */

static void note_clock(void) {
    struct psc_wire_log_header *header = file.header;
    if (psc_lock_try(&file.clock)) {
        uint64_t count = header->clock_count;
        uint64_t now = psc_ticks();
        header->clocks[count % 2] = (struct psc_wire_log_clock){now, psc_os_monotonic_ns()};
        PSC_STORE_RELEASE(&header->clock_count, count + 1);
        PSC_STORE(&file.clock_due, now + (now - header->first.ticks));
        psc_lock_release(&file.clock);
    }
}

static void fill_header(struct psc_wire_log_clock first) {
    struct psc_wire_log_header *header = file.header;
    uint64_t magic;
    header->version = PSC_LOG_VERSION;
    header->header_bytes = sizeof *header;
    header->chunk_bytes = PSC_LOG_CHUNK_BYTES;
    header->chunks_used = 1;
    header->pid = psc_track.header->pid;
    header->mode = psc_track.header->mode;
    header->trace_start_ns = psc_track.header->start_ns;
    header->first = first;
    note_clock(); /* a length of the ticks, in case that the process ends before the next time */
    PSC_STORE(&file.clock_due, first.ticks + CLOCK_FIRST);
    memcpy(&magic, PSC_LOG_MAGIC, sizeof magic);
    PSC_STORE_RELEASE((uint64_t *)(void *)header->magic, magic);
}

/* A child asks for what its parent got. */
static size_t span_wanted(void) {
    size_t span = file.span != 0 ? file.span : psc_track_span_allowed((size_t)psc_track.log_limit * MEBIBYTE);
    return span - span % PSC_LOG_CHUNK_BYTES;
}

/* Over the parent's mapping, in a child. */
static int create(void) {
    void *old = file.header;
    size_t old_span = file.span, span = span_wanted();
    if (span < 2 * (size_t)PSC_LOG_CHUNK_BYTES) {
        return EFBIG;
    }
    char *base = psc_track_file_map(file.path, &span, old);
    if (base == NULL) {
        return errno;
    }
    if (old != NULL && span < old_span) {
        psc_os_unmap(base + span, old_span - span);
    }
    file.header = (void *)base;
    file.span = span;
    file.chunks = (uint32_t)(span / PSC_LOG_CHUNK_BYTES);
    int error = psc_os_back_with_space(base, HEADER_BYTES, file.path, 0);
    if (error != 0 || !psc_os_file_id(file.path, &file.file_id)) {
        unlink(file.path);
        return error != 0 ? error : ENOENT;
    }
    return 0;
}

int psc_track_log_begin(void) {
    if (psc_track.log_limit == 0) {
        return 0;
    }
    psc_ticks_begin();
    struct psc_wire_log_clock first = {psc_ticks(), psc_os_monotonic_ns()};
    psc_lock_reset(&file.clock);
    PSC_STORE(&file.state, NONE);
    PSC_STORE(&file.waited_ns, 0);
    PSC_STORE(&file.paused_until_ns, 0);
    make_path(file.path, sizeof file.path, psc_track.path);
    int error = create();
    if (error != 0) {
        psc_track_log_abandon(false);
        return error;
    }
    fill_header(first);
    PSC_STORE_RELEASE(&file.state, RUNNING);
    return 0;
}

bool psc_track_log_exists(const char *trace_path) {
    static char path[sizeof file.path];
    make_path(path, sizeof path, trace_path);
    return psc_track.log_limit != 0 && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void psc_track_log_abandon(bool in_use) {
    if (file.header == NULL) {
        return;
    }
    PSC_STORE(&file.state, NONE);
    psc_track_file_unmap(file.header, file.span, in_use ? used_bytes(file.header->chunks_used) : 0);
    if (!in_use) {
        file.header = NULL;
    }
}

/* A chunk is handed out before this, and lies in what stays of the file, or never. */
void psc_track_log_end(void) {
    if (file.header == NULL || PSC_LOAD(&file.state) == NONE) {
        return;
    }
    uint32_t chunks = __atomic_fetch_or(&file.header->chunks_used, PSC_LOG_CLOSED, __ATOMIC_RELAXED);
    if ((chunks & PSC_LOG_CLOSED) == 0) {
        note_clock();
        psc_os_truncate(file.path, &file.file_id, used_bytes(chunks));
    }
}

void psc_track_log_cut(const char *trace_path, uint64_t start_ns) {
    static char path[sizeof file.path]; /* called at start only */
    struct psc_wire_log_header found;
    off_t bytes;
    make_path(path, sizeof path, trace_path);
    int fd = psc_call_open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (psc_track_file_is_private(fd, &bytes) && psc_call_pread(fd, &found, sizeof found, 0) == (ssize_t)sizeof found &&
        memcmp(found.magic, PSC_LOG_MAGIC, sizeof found.magic) == 0 && found.pid == psc_track.header->pid &&
        found.trace_start_ns == start_ns) {
        off_t used = (off_t)(found.chunks_used & ~PSC_LOG_CLOSED) * PSC_LOG_CHUNK_BYTES;
        int cut = used < bytes ? ftruncate(fd, used) : 0;
        (void)cut; /* or it stays as long as it was, the rest of it a hole */
    }
    psc_call_close(fd);
}

/* ---- chunks ---------------------------------------------------------------------------------------------------- */

static PSC_COLD void stop(enum psc_stop_reason reason, int error) {
    char text[32];
    if (__atomic_exchange_n(&file.state, STOPPED, __ATOMIC_RELAXED) == RUNNING) {
        PSC_STORE(&file.header->stop_reason, reason);
        if (!psc_say_may_disturb()) {
            return;
        }
        psc_say("the event log stopped: %s (%s)",
                reason == PSC_STOP_SPAN ? "it has reached its largest size, which events_limit sets"
                                        : psc_errno_text(error, text, sizeof text),
                file.path);
    }
}

void psc_track_log_waited(uint64_t ns) {
    uint64_t waited = PSC_ADD(&file.waited_ns, ns) + ns;
    if (waited > PSC_TRACK_LOG_CREDIT_NS) {
        uint64_t pause = (waited - PSC_TRACK_LOG_CREDIT_NS) * PSC_TRACK_LOG_SHARE;
        PSC_STORE(&file.paused_until_ns, file.header->first.ns + pause);
    }
}

/* A chunk is handed out by adding to chunks_used first and looking at `chunks` then; here it is the other way round: of a
 * chunk that is not seen here, its thread sees that it is none any more. */
static bool shrink(uint32_t chunks) {
    uint32_t had = file.chunks;
    if (chunks >= had) {
        return false;
    }
    __atomic_store_n(&file.chunks, chunks, __ATOMIC_SEQ_CST);
    uint32_t used = __atomic_load_n(&file.header->chunks_used, __ATOMIC_SEQ_CST) & ~PSC_LOG_CLOSED;
    if (used > chunks) {
        chunks = used < had ? used : had;
        __atomic_store_n(&file.chunks, chunks, __ATOMIC_SEQ_CST);
    }
    size_t span = (size_t)chunks * PSC_LOG_CHUNK_BYTES;
    if (span == file.span || !psc_os_unmap((char *)file.header + span, file.span - span)) {
        return false;
    }
    file.span = span;
    return true;
}

bool psc_track_log_shrink(void) {
    bool shrunk = false;
    if (file.header != NULL && PSC_LOAD(&file.state) == RUNNING) {
        psc_lock_take(&psc_track.locks.chunk);
        shrunk = shrink((uint32_t)(psc_track_span_allowed(file.span) / PSC_LOG_CHUNK_BYTES));
        psc_lock_release(&psc_track.locks.chunk);
    }
    return shrunk;
}

static bool back_ahead(uint32_t *chunks) {
    size_t used = used_bytes(PSC_LOAD(&file.header->chunks_used));
    size_t ahead = psc_track_ahead_of(used);
    if (ahead > file.span - used) {
        ahead = file.span - used;
    }
    *chunks = (uint32_t)((used + ahead) / PSC_LOG_CHUNK_BYTES);
    return psc_os_back_ahead(file.path, &file.file_id, used, ahead);
}

void psc_track_log_back_ahead(void) {
    uint32_t chunks;
    if (file.header != NULL && PSC_LOAD(&file.state) == RUNNING) {
        psc_lock_take(&psc_track.locks.chunk);
        bool done = back_ahead(&chunks);
        PSC_STORE(&file.backed, done ? chunks : 0);
        if (done && shrink(chunks)) {
            psc_os_truncate(file.path, &file.file_id, file.span);
        }
        psc_lock_release(&psc_track.locks.chunk);
    }
}

/* Time in which the thread was ready to run, and others ran, is not counted. */
static int back(uint32_t index) {
    if (psc_os_in_sandbox()) {
        return index < PSC_LOAD(&file.backed) ? 0 : EPERM;
    }
    uint64_t waits = psc_os_waits();
    uint64_t began = psc_os_monotonic_ns();
    int error =
        psc_os_back_with_space(chunk_at(index), PSC_LOG_CHUNK_BYTES, file.path, (size_t)index * PSC_LOG_CHUNK_BYTES);
    if (psc_os_waits() != waits || waits == PSC_OS_WAITS_UNKNOWN) {
        psc_track_log_waited(psc_os_monotonic_ns() - began);
    }
    return error;
}

/* Who makes the log smaller tries a size that may turn out to be too small. */
static bool fits_after_all(uint32_t index) {
    psc_lock_take(&psc_track.locks.chunk);
    bool fits = index < file.chunks;
    psc_lock_release(&psc_track.locks.chunk);
    return fits;
}

/* NULL: none, for now or for ever. */
static struct psc_wire_log_chunk *take_chunk(void) {
    if (PSC_LOAD(&file.state) != RUNNING || psc_os_monotonic_ns() < PSC_LOAD(&file.paused_until_ns)) {
        return NULL;
    }
    uint32_t index = __atomic_fetch_add(&file.header->chunks_used, 1, __ATOMIC_SEQ_CST);
    if (index >= __atomic_load_n(&file.chunks, __ATOMIC_SEQ_CST) && !fits_after_all(index)) {
        if ((index & PSC_LOG_CLOSED) == 0) {
            stop(PSC_STOP_SPAN, EFBIG);
        }
        return NULL;
    }
    int error = back(index);
    if (error != 0) {
        stop(psc_track_reason_of(error), error);
        return NULL;
    }
    return chunk_at(index);
}

/* The pages stay in the file, and no longer count as the process's. */
static void leave_chunk(struct psc_track_log *log) {
    if (log->chunk != NULL) {
        psc_os_purge(log->chunk, PSC_LOG_CHUNK_BYTES);
        log->chunk = NULL;
        log->at = log->end = NULL;
    }
}

static PSC_COLD bool open_chunk(struct psc_track_log *log, uint64_t time) {
    leave_chunk(log);
    struct psc_wire_log_chunk *chunk = take_chunk();
    if (chunk == NULL) {
        log->lost++;
        PSC_ADD(&file.header->lost_events, 1);
        return false;
    }
    chunk->thread = log->thread;
    chunk->sequence = ++log->sequence;
    chunk->time = time;
    chunk->lost = log->lost;
    PSC_STORE_RELEASE(&chunk->magic, PSC_LOG_CHUNK_MAGIC);
    log->lost = 0;
    log->chunk = chunk;
    log->at = chunk->events;
    log->end = (uint8_t *)chunk + PSC_LOG_CHUNK_BYTES;
    psc_log_begin(&log->context, time);
    return true;
}

struct psc_track_log *psc_track_log_open(uint32_t thread_index) {
    if (PSC_LOAD(&file.state) == NONE) {
        return NULL;
    }
    struct psc_track_log *log = psc_track_private_get(sizeof *log);
    if (log == NULL) {
        stop(PSC_STOP_MEMORY, ENOMEM);
        return NULL;
    }
    log->thread = thread_index;
    return log;
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static void append(struct psc_track_log *log, struct psc_log_event *event) {
    event->time = psc_ticks();
    if (PSC_UNLIKELY(log->end - log->at < PSC_LOG_EVENT_MAX) && !open_chunk(log, event->time)) {
        return;
    }
    uint8_t *next = psc_log_put(log->at, &log->context, event);
    uint64_t filled = log->chunk->filled + ((uint64_t)1 << 32) + (uint64_t)(next - log->at);
    log->at = next;
    PSC_STORE_RELEASE(&log->chunk->filled, filled);
    if (PSC_UNLIKELY(event->time >= PSC_LOAD(&file.clock_due))) {
        note_clock();
    }
}

/* ---- resizing: a free and an allocation that are one event ----------------------------------------------------- */

static PSC_COLD void append_resize(struct psc_track_log *log) {
    log->made.kind = PSC_LOG_RESIZE;
    log->made.old_address = log->resized;
    append(log, &log->made);
    log->made.kind = 0;
    log->freed = false;
    log->resized = 0;
}

static PSC_COLD void append_made(struct psc_track_log *log) {
    if (log->made.kind != 0) {
        append(log, &log->made);
        log->made.kind = 0;
    }
}

/* Of two allocations the later one counts: a signal handler may have come between. */
static PSC_COLD void resize_alloc(struct psc_track_log *log, const struct psc_log_event *event) {
    append_made(log);
    log->made = *event;
    if (log->freed) {
        append_resize(log);
    }
}

static PSC_COLD void resize_free(struct psc_track_log *log) {
    log->freed = true;
    if (log->made.kind != 0) {
        append_resize(log);
    }
}

static struct psc_track_log *own_log(void) {
    struct psc_track_thread *thread = psc_track_self.thread;
    return thread != NULL && psc_track_current() != 0 ? thread->log : NULL;
}

void psc_track_resize_begin(const void *p) {
    struct psc_track_log *log = own_log();
    if (PSC_UNLIKELY(log != NULL) && psc_track_enter()) {
        log->resized = (uintptr_t)p;
        psc_track_leave();
    }
}

/* Half of a resize is an event of its own: the other half was not recorded. */
void psc_track_resize_end(void) {
    struct psc_track_log *log = own_log();
    if (PSC_LIKELY(log == NULL) || log->resized == 0 || !psc_track_enter()) {
        return;
    }
    struct psc_log_event event = {.kind = PSC_LOG_FREE, .address = log->resized};
    append_made(log);
    if (log->freed) {
        append(log, &event);
    }
    log->freed = false;
    log->resized = 0;
    psc_track_leave();
}

/* ---- what event.c tells ---------------------------------------------------------------------------------------- */

void psc_track_log_alloc(struct psc_track_log *log, uint64_t address, uint64_t size, uint32_t site) {
    struct psc_log_event event = {.kind = PSC_LOG_ALLOC, .address = address, .size = size, .site = site};
    if (PSC_UNLIKELY(log->resized != 0)) {
        resize_alloc(log, &event);
    } else {
        append(log, &event);
    }
}

void psc_track_log_free(struct psc_track_log *log, uint64_t address) {
    struct psc_log_event event = {.kind = PSC_LOG_FREE, .address = address};
    if (PSC_UNLIKELY(log->resized == address)) {
        resize_free(log);
    } else {
        append(log, &event);
    }
}
