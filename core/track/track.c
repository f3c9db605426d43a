#include "core/track/track.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/say.h"
#include "core/track/apart.h"
#include "core/track/log.h"
#include "core/track/types.h"
#include "core/track/unwind.h"

/* Of a limit on address space, the trace takes this part at most. */
#define ADDRESS_SPACE_PART 8
#define SPAN_NEEDED ((size_t)PSC_FIRST_DATA_CHUNK * PSC_CHUNK_BYTES)

struct psc_track_state psc_track;
const uint32_t *psc_track_word;
PSC_TLS struct psc_track_self psc_track_self;

static struct psc_lock *const locks_in_order[] = {
    &psc_track.locks.thread, &psc_track.locks.site,    &psc_track.locks.extent,
    &psc_track.locks.chunk,  &psc_track.locks.private,
};

/* ---- begin --------------------------------------------------------------------------------------------------- */

size_t psc_track_span_allowed(size_t span) {
    size_t space = psc_os_address_space_limit();
    struct rlimit file;
    if (space != SIZE_MAX && space / ADDRESS_SPACE_PART < span) {
        span = space / ADDRESS_SPACE_PART;
        span = span < PSC_TRACK_SPAN_MIN ? PSC_TRACK_SPAN_MIN : span;
    }
    if (getrlimit(RLIMIT_FSIZE, &file) == 0 && file.rlim_cur != RLIM_INFINITY && file.rlim_cur < span) {
        span = file.rlim_cur;
    }
    return span;
}

static size_t span_wanted(void) {
    size_t span = psc_track_span_allowed((size_t)PSC_CHUNKS_MAX * PSC_CHUNK_BYTES);
    return span - span % PSC_CHUNK_BYTES;
}

static void fill_host(struct psc_wire_header *header, const struct psc_track_host *host) {
    header->arena_bytes = host->arena_bytes;
    header->slot_bytes = host->slot_bytes;
    header->class_count = host->class_count < PSC_CLASS_LARGE ? host->class_count : PSC_CLASS_LARGE;
    for (uint32_t i = 0; i < header->class_count; i++) {
        header->class_bytes[i] = host->class_bytes[i];
    }
}

/* Last: a file that has it can be read. */
static void write_magic(struct psc_wire_header *header) {
    uint64_t magic;
    memcpy(&magic, PSC_TRACE_MAGIC, sizeof magic);
    PSC_STORE_RELEASE((uint64_t *)(void *)header->magic, magic);
}

static void fill_header(uint32_t flags) {
    struct psc_wire_header *header = psc_track.header;
    header->version = PSC_TRACE_VERSION;
    header->header_bytes = sizeof *header;
    header->chunk_bytes = PSC_CHUNK_BYTES;
    header->chunks_used = PSC_FIRST_DATA_CHUNK;
    header->pid = (uint32_t)getpid();
    header->ppid = (uint32_t)getppid();
    header->flags = flags;
    header->mode = psc_track.interval != 0 ? PSC_MODE_SAMPLE : PSC_MODE_EXACT;
    header->interval_bytes = psc_track.interval != 0 ? psc_track.interval : 1;
    header->start_ns = psc_os_monotonic_ns();
    header->start_realtime_ns = psc_os_realtime_ns();
    header->depth = psc_track.depth;
    header->page_bytes = (uint32_t)getauxval(AT_PAGESZ);
    memcpy(header->row_bytes, psc_track_row_bytes, sizeof header->row_bytes);
    fill_host(header, &psc_track.host);
    psc_track_proc_describe(header);
    write_magic(header);
}

/* Makes the file and everything that lies in it from the start. */
static int begin(uint32_t flags) {
    size_t span = psc_track.span != 0 ? psc_track.span : span_wanted();
    psc_track_name_make(psc_track.path, sizeof psc_track.path, (uint32_t)getpid(), 1); /* for what is said of it */
    int error = span < SPAN_NEEDED ? EFBIG : psc_track_file_create(span);
    if (error == 0) {
        fill_header(flags);
    }
    return error;
}

/* A child says no more of it than of its trace. */
static void begin_log(uint32_t flags) {
    char text[32];
    int error = psc_track_log_begin();
    if (error != 0 && (psc_track.verbose || (flags & PSC_TRACE_FORKED) == 0)) {
        psc_say("cannot create the event log %s" PSC_LOG_SUFFIX ": %s: events are not logged", psc_track.path,
                psc_errno_text(error, text, sizeof text));
    }
}

static bool begin_recording(uint32_t flags, int *error) {
    *error = begin(flags);
    if (*error == 0 && !psc_track_site_begin()) {
        *error = errno;
        psc_track_file_discard();
    }
    if (*error != 0) {
        return false;
    }
    psc_track_proc_open();
    begin_log(flags);
    PSC_STORE_RELEASE(&psc_track.alive->epoch, ++psc_track.last_epoch);
    PSC_STORE_RELEASE(&psc_track_word, &psc_track.alive->epoch);
    return true;
}

static void say_no_trace(int error) {
    char text[32];
    char *slash = strrchr(psc_track.path, '/');
    if (slash != NULL && slash != psc_track.path) {
        *slash = '\0';
    }
    psc_say("cannot create trace in %s: %s: the program runs unrecorded",
            slash == psc_track.path ? "/" : psc_track.path, psc_errno_text(error, text, sizeof text));
}

static void keep_options(const struct psc_options *options) {
    psc_say_begin();
    psc_track.depth = options->depth < PSC_TRACK_FRAMES_MAX ? options->depth : PSC_TRACK_FRAMES_MAX;
    psc_track.interval = options->mode == PSC_MODE_SAMPLE ? options->interval : 0;
    psc_track.snapshots = options->snapshots;
    psc_track.verbose = options->verbose != 0;
    psc_track.log_limit = options->events != 0 ? options->events_limit : 0;
    psc_track_name_set(options->out);
}

static void say_begun(void) {
    psc_track_file_mark_exec();
    if (psc_track.verbose) {
        psc_say("recording to %s", psc_track.path);
    }
}

bool psc_track_start(const struct psc_options *options, const struct psc_track_host *host) {
    int error = ENOMEM;
    int saved = errno;
    if (options->mode == PSC_MODE_OFF) {
        return false;
    }
    psc_os_look_for_sandbox();
    keep_options(options);
    psc_track.host = *host;
    psc_unwind_init();
    psc_track.apart = options->apart[0] != '\0' && psc_track_apart_read(options->apart);
    psc_track.alive = psc_os_map_wiped_on_fork(PSC_PAGE_BYTES);
    bool begun = psc_track.alive != NULL && begin_recording(0, &error);
    if (begun) {
        say_begun();
    } else {
        say_no_trace(error);
    }
    errno = saved;
    return begun;
}

void psc_track_start_passive(const struct psc_options *options) {
    int saved = errno;
    if (options->mode != PSC_MODE_OFF) {
        keep_options(options);
        psc_track.span = SPAN_NEEDED;
        int error = begin(PSC_TRACE_PASSIVE);
        if (error == 0) {
            say_begun();
        } else {
            say_no_trace(error);
        }
    }
    errno = saved;
}

bool psc_track_has_groups(void) {
    return psc_track.apart;
}

/* ---- stop ---------------------------------------------------------------------------------------------------- */

void psc_track_stop(enum psc_stop_reason reason, int error) {
    char text[32];
    if (__atomic_exchange_n(&psc_track_word, NULL, __ATOMIC_RELAXED) == NULL) {
        return;
    }
    PSC_STORE(&psc_track.header->stop_reason, reason);
    __atomic_fetch_or(&psc_track.header->flags, PSC_TRACE_STOPPED, __ATOMIC_RELEASE);
    if (!psc_say_may_disturb()) {
        return;
    }
    psc_say("recording stopped: %s (%s)",
            reason == PSC_STOP_SPAN
                ? "the trace has reached its largest size, which limits on files or address space set"
                : psc_errno_text(error, text, sizeof text),
            psc_track.path);
}

/* ---- fork ---------------------------------------------------------------------------------------------------- */

static void reset_locks(void) {
    for (size_t i = 0; i < PSC_COUNT_OF(locks_in_order); i++) {
        psc_lock_reset(locks_in_order[i]);
    }
    psc_lock_reset(&psc_track.locks.snapshot);
}

/* Forgets all that was the parent's. This thread is the only one, and holds none of it. */
static void forget_parent(void) {
    reset_locks();
    psc_track_self.thread = NULL;
    psc_track_self.deferred_count = 0;
    psc_track_thread_reset();
    psc_track_extent_reset();
    psc_track_misuse_reset();
    psc_track_snapshot_reset();
    psc_track_table_reset();
    psc_track_private_reset();
}

static void replace_trace(void) {
    int error = EPERM;
    PSC_STORE(&psc_track_word, NULL);
    forget_parent();
    if (!psc_os_in_sandbox() && begin_recording(PSC_TRACE_FORKED, &error)) {
        return;
    }
    psc_track_file_abandon(false);
    psc_track_log_abandon(false);
    if (psc_track.verbose) {
        say_no_trace(error);
    }
}

/* A child that was made without fork's handlers may have threads already: the first one to come begins. */
uint32_t psc_track_begin_child(void) {
    int saved = errno;
    bool began = false;
    if (!psc_track_enter()) {
        return 0;
    }
    psc_lock_take(&psc_track.alive->beginning);
    if (psc_track_word != NULL && PSC_LOAD(&psc_track.alive->epoch) == 0) {
        replace_trace();
        began = psc_track_current() != 0;
    }
    psc_lock_release(&psc_track.alive->beginning);
    psc_track_leave();
    if (began) {
        psc_track.host.reregister();
    }
    errno = saved;
    return psc_track_current();
}

/* Where a signal handler forks while its thread is inside the tracker, locks may be its own: none is taken. */
void psc_track_fork_prepare(void) {
    if (psc_track_self.busy != 0) {
        return;
    }
    for (size_t i = 0; i < PSC_COUNT_OF(locks_in_order); i++) {
        psc_lock_take(locks_in_order[i]);
    }
    psc_track_self.holds_locks = true;
}

void psc_track_fork_parent(void) {
    if (!psc_track_self.holds_locks) {
        return;
    }
    psc_track_self.holds_locks = false;
    for (size_t i = PSC_COUNT_OF(locks_in_order); i > 0; i--) {
        psc_lock_release(locks_in_order[i - 1]);
    }
}

void psc_track_fork_child(void) {
    int saved = errno;
    psc_track_self.holds_locks = false;
    reset_locks();
    if (psc_track_self.busy != 0 && psc_track_word != NULL) {
        /* The tracker's code that the handler interrupted goes on: it must not meet the parent's trace. */
        PSC_STORE(&psc_track_word, NULL);
        psc_track_file_abandon(true);
        psc_track_log_abandon(true);
    } else if (psc_track_self.busy == 0) {
        /* Another thread of the child may be the one that begins its trace: it cannot reach what is this one's. */
        psc_track_self.thread = NULL;
        psc_track_self.deferred_count = 0;
    }
    errno = saved;
}

/* ---- end ----------------------------------------------------------------------------------------------------- */

/* False in a forked child that has not begun, and in one that shares its parent's memory. */
static bool is_own_trace(void) {
    return psc_track.header != NULL && (psc_track.alive == NULL || PSC_LOAD(&psc_track.alive->epoch) != 0) &&
           psc_track.header->pid == (uint32_t)getpid();
}

static void take_last(void) {
    if (psc_track_current() == 0 || !psc_track_enter()) {
        return;
    }
    if (psc_track_self.thread != NULL) {
        psc_track_batch_flush(psc_track_self.thread);
    }
    psc_track_snapshot_take_last();
    psc_track_leave();
}

/* In its parent's memory, by vfork: what a child forbids itself, or may use of memory, is not the parent's. */
static bool is_guest(void) {
    return psc_track_current() != 0 && psc_track.header->pid != (uint32_t)getpid();
}

/* In a child that has not begun there is nothing to get ready: it will not begin. */
void psc_track_enter_sandbox(void) {
    int saved = errno;
    if (is_guest()) {
        return;
    }
    if (psc_track_current() != 0 && !psc_os_in_sandbox() && psc_track_enter()) {
        psc_track_file_back_ahead();
        psc_track_log_back_ahead();
        psc_track_leave();
    }
    psc_os_enter_sandbox();
    errno = saved;
}

bool psc_track_yield_space(void) {
    bool any = false;
    int saved = errno;
    if (psc_track_current() != 0 && !is_guest() && !psc_os_in_sandbox() && psc_os_address_space_limit() != SIZE_MAX &&
        psc_track_enter()) {
        any = psc_track_file_shrink(psc_track_span_allowed(psc_track.span));
        any |= psc_track_log_shrink();
        psc_track_leave();
    }
    errno = saved;
    return any;
}

void psc_track_end(enum psc_trace_end end) {
    int saved = errno;
    if (is_own_trace()) {
        take_last();
        PSC_STORE(&psc_track.header->end_ns, psc_os_monotonic_ns());
        PSC_STORE_RELEASE(&psc_track.header->end, (uint32_t)end);
        psc_track_file_close();
        psc_track_log_end();
        if (psc_track.verbose) {
            psc_track_apart_say();
            psc_say("wrote %s", psc_track.path);
        }
    }
    errno = saved;
}
