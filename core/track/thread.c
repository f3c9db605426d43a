#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/track/log.h"
#include "core/track/types.h"

static struct psc_track_thread *free_threads; /* [thread] */

static struct psc_track_thread *make(void) {
    struct psc_track_thread *thread = psc_track_private_get(sizeof *thread);
    if (thread == NULL) {
        psc_track_stop(PSC_STOP_MEMORY, ENOMEM);
        return NULL;
    }
    thread->wire = psc_track_table_add(PSC_CHUNK_THREADS, &thread->index);
    if (thread->wire == NULL) {
        return NULL;
    }
    thread->log = psc_track_log_open(thread->index);
    return thread;
}

/* By thread: the struct that was joined last. [thread] */
static struct psc_track_thread *joined_last[512];

static struct psc_track_thread **place_of_own(void) {
    uint64_t mixed = ((uintptr_t)&psc_track_self >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    return &joined_last[(mixed >> 32) % PSC_COUNT_OF(joined_last)];
}

/* Of a thread whose end nobody told of: it has surely ended when another one's TLS lies where its lay. NULL: none. */
static struct psc_track_thread *take_left_behind(void) {
    struct psc_track_thread *thread = *place_of_own();
    return thread != NULL && thread->self == &psc_track_self ? thread : NULL;
}

static struct psc_track_thread *take_free(void) {
    struct psc_track_thread *thread = free_threads;
    if (thread != NULL) {
        free_threads = thread->next_free;
    } else {
        thread = make();
    }
    return thread;
}

static struct psc_track_thread *take(void) {
    psc_lock_take(&psc_track.locks.thread);
    struct psc_track_thread *thread = take_free();
    psc_lock_release(&psc_track.locks.thread);
    return thread;
}

static struct psc_track_thread *take_to_keep(void) {
    psc_lock_take(&psc_track.locks.thread);
    struct psc_track_thread *thread = take_left_behind();
    if (thread == NULL) {
        thread = take_free();
    }
    if (thread != NULL) {
        thread->self = &psc_track_self;
        thread->last_tag = NULL;
        *place_of_own() = thread;
    }
    psc_lock_release(&psc_track.locks.thread);
    return thread;
}

static void put_back(struct psc_track_thread *thread) {
    psc_lock_take(&psc_track.locks.thread);
    thread->self = NULL;
    thread->next_free = free_threads;
    free_threads = thread;
    psc_lock_release(&psc_track.locks.thread);
}

static void write_name(struct psc_wire_thread *wire) {
    char name[sizeof wire->name] = "";
    if (!psc_os_in_sandbox() && prctl(PR_GET_NAME, name) == 0) {
        for (size_t i = 0; i < sizeof name; i++) {
            PSC_STORE(&wire->name[i], name[i]);
        }
    }
}

#define CLOCK_THREAD_SHIFT 3 /* the clock of a thread has its number, inverted, above these bits */

/* In a sandbox without asking the kernel. */
static uint32_t own_number(void) {
    clockid_t clock;
    if (psc_os_in_sandbox() && pthread_getcpuclockid(pthread_self(), &clock) == 0) {
        return ~((uint32_t)clock >> CLOCK_THREAD_SHIFT) & (UINT32_MAX >> CLOCK_THREAD_SHIFT);
    }
    return (uint32_t)syscall(SYS_gettid);
}

static void sign(struct psc_wire_thread *wire) {
    write_name(wire);
    PSC_STORE(&wire->running, 1);
    PSC_OWN_ADD(&wire->owners, 1);
    PSC_STORE_RELEASE(&wire->tid, own_number());
}

static struct psc_track_thread *join(void) {
    struct psc_track_thread *thread = take_to_keep();
    if (thread != NULL) {
        sign(thread->wire);
        psc_track_self.thread = thread;
    }
    return thread;
}

/* What a borrower writes into a struct that had no owner before needs a row that is in use. */
static struct psc_track_thread *borrow(void) {
    struct psc_track_thread *thread = take();
    if (thread != NULL && PSC_LOAD(&thread->wire->tid) == 0) {
        sign(thread->wire);
        PSC_STORE(&thread->wire->running, 0);
    }
    return thread;
}

struct psc_track_thread *psc_track_thread_get(void) {
    if (PSC_LIKELY(psc_track_self.thread != NULL)) {
        return psc_track_self.thread;
    }
    return psc_track_self.ended ? borrow() : join();
}

void psc_track_thread_give(struct psc_track_thread *thread) {
    psc_track_batch_flush(thread);
    put_back(thread);
}

void psc_track_thread_end(void) {
    int saved = errno;
    if (!psc_track_enter()) {
        return;
    }
    struct psc_track_thread *thread = psc_track_self.thread;
    psc_track_self.ended = true;
    psc_track_self.thread = NULL;
    if (thread != NULL && psc_track_current() != 0) {
        write_name(thread->wire);
        PSC_STORE(&thread->wire->running, 0);
        thread->last_tag = NULL;
        psc_track_thread_give(thread);
    }
    psc_track_leave();
    errno = saved;
}

/* ---- books --------------------------------------------------------------------------------------------------- */

static struct psc_wire_book *make_book(uint32_t thread_index, uint32_t site) {
    uint32_t index;
    psc_lock_take(&psc_track.locks.thread);
    struct psc_wire_book *book = psc_track_table_add(PSC_CHUNK_BOOKS, &index);
    psc_lock_release(&psc_track.locks.thread);
    if (book != NULL) {
        book->thread = thread_index;
        book->first_site = site - site % PSC_BOOK_ROWS;
        PSC_STORE_RELEASE(&book->used, 1);
    }
    return book;
}

struct psc_wire_book *psc_track_book_open(struct psc_track_thread *thread, uint32_t site) {
    int saved = errno;
    uint32_t number = site / PSC_BOOK_ROWS;
    struct psc_track_leaf **leaf = &thread->leaves[number / PSC_TRACK_LEAF_BOOKS];
    if (*leaf == NULL) {
        *leaf = psc_track_private_get(sizeof **leaf);
    }
    if (*leaf == NULL) {
        psc_track_stop(PSC_STOP_MEMORY, ENOMEM);
        errno = saved;
        return NULL;
    }
    struct psc_wire_book **book = &(*leaf)->books[number % PSC_TRACK_LEAF_BOOKS];
    *book = make_book(thread->index, site);
    errno = saved;
    return *book;
}

void psc_track_thread_reset(void) {
    free_threads = NULL;
    for (size_t i = 0; i < PSC_COUNT_OF(joined_last); i++) {
        joined_last[i] = NULL;
    }
}
