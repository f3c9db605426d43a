#include <errno.h>

#include "core/base/float.h"
#include "core/track/apart.h"
#include "core/track/log.h"
#include "core/track/types.h"

#define SLACK_MAX ((1u << PSC_TAG_SLACK_BITS) - 1)
#define AGE_RANGE ((uint64_t)PSC_TAG_BIRTH_UNIT << PSC_TAG_BIRTH_BITS)
/* The clocks of two threads differ by their batches: a block may seem to be born after now, by this much at most. */
#define AGE_BEHIND ((uint64_t)1 << 30)

PSC_INLINE struct psc_wire_counters *counters(void) {
    return &psc_track.header->counters;
}

/* ---- what cannot be recorded --------------------------------------------------------------------------------- */

/* A child that has not begun must not count in its parent's trace. */
static PSC_COLD void count_dropped(void) {
    if (psc_track_current() != 0) {
        PSC_ADD(&counters()->dropped_events, 1);
    }
}

static PSC_COLD void count_unrecorded_free(void) {
    if (psc_track_current() != 0) {
        PSC_ADD(&counters()->unrecorded_frees, 1);
    }
}

static PSC_COLD void drop_alloc(uint64_t *tags, uint32_t index) {
    count_dropped();
    if (tags != NULL) {
        PSC_STORE(&tags[index], 0); /* it is not the site of the one before */
        PSC_ADD(&psc_track_extent_of(tags)->untagged, 1);
    }
}

static PSC_COLD void free_untagged(uint64_t *tags) {
    uint32_t *untagged = &psc_track_extent_of(tags)->untagged;
    uint32_t left = PSC_LOAD(untagged);
    while (left > 0 &&
           !__atomic_compare_exchange_n(untagged, &left, left - 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    count_unrecorded_free();
}

/* A signal handler frees while its thread is busy: the thread counts it before it leaves. */
static PSC_COLD void defer_free(uint64_t tag, uint32_t class_index, size_t block_bytes, uint64_t address) {
    uint32_t place = PSC_LOAD(&psc_track_self.deferred_count);
    if (place == PSC_TRACK_DEFERRED_MAX) {
        count_dropped();
        return;
    }
    psc_track_self.deferred[place] = (struct psc_track_deferred){tag, block_bytes, class_index, address};
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    PSC_STORE(&psc_track_self.deferred_count, place + 1);
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

/* The epoch rises last: rows that change after it keep their figures as of this peak. */
static void raise_peak(int64_t live, uint64_t clock) {
    struct psc_wire_counters *c = counters();
    uint64_t peak = PSC_LOAD(&c->peak_live_bytes);
    while (live > (int64_t)peak) {
        if (__atomic_compare_exchange_n(&c->peak_live_bytes, &peak, (uint64_t)live, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            PSC_STORE(&c->peak_clock_bytes, clock);
            __atomic_fetch_add(&c->peak_epoch, 1, __ATOMIC_RELEASE);
            return;
        }
    }
}

void psc_track_batch_flush(struct psc_track_thread *thread) {
    struct psc_wire_counters *c = counters();
    uint64_t grown = thread->batch_allocated - thread->batch_freed;
    uint64_t clock = PSC_ADD(&c->clock_bytes, thread->batch_allocated) + thread->batch_allocated;
    uint64_t live = PSC_ADD(&c->live_bytes, grown) + grown;
    thread->batch_allocated = 0;
    thread->batch_freed = 0;
    raise_peak((int64_t)live, clock);
}

static PSC_NOINLINE void flush_and_snapshot(struct psc_track_thread *thread) {
    uint64_t now = psc_os_monotonic_ns();
    psc_track_batch_flush(thread);
    PSC_STORE(&counters()->last_event_ns, now);
    psc_track_snapshot_take_due(now);
}

PSC_INLINE bool is_full(const struct psc_track_thread *thread) {
    return thread->batch_allocated + thread->batch_freed >= PSC_TRACK_BATCH_BYTES;
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

PSC_INLINE struct psc_wire_book *find_book(struct psc_track_thread *thread, uint32_t site) {
    uint32_t number = site / PSC_BOOK_ROWS;
    struct psc_track_leaf *leaf = thread->leaves[number / PSC_TRACK_LEAF_BOOKS];
    struct psc_wire_book *book = leaf != NULL ? leaf->books[number % PSC_TRACK_LEAF_BOOKS] : NULL;
    return PSC_LIKELY(book != NULL) ? book : psc_track_book_open(thread, site);
}

PSC_INLINE struct psc_wire_row *find_row(struct psc_track_thread *thread, uint32_t site) {
    struct psc_wire_book *book = find_book(thread, site);
    return book != NULL ? &book->rows[site % PSC_BOOK_ROWS] : NULL;
}

/* The row of the stack that was just walked, which is not among those that the thread has used lately. */
static PSC_NOINLINE struct psc_wire_row *learn_row(struct psc_track_thread *thread, uint64_t hash, uint32_t *site) {
    int saved = errno;
    *site = psc_track_site_intern(thread, hash);
    struct psc_wire_row *row = find_row(thread, *site);
    if (row != NULL && *site != PSC_SITE_UNKNOWN) {
        *psc_track_known_of(thread, hash) = (struct psc_track_known){hash, row, *site};
    } else if (row != NULL) {
        count_dropped();
    }
    errno = saved;
    return row;
}

PSC_INLINE struct psc_wire_row *row_of_stack(struct psc_track_thread *thread, uint64_t hash, uint32_t *site) {
    const struct psc_track_known *known = psc_track_known_of(thread, hash);
    if (PSC_UNLIKELY(known->hash != hash)) {
        return learn_row(thread, hash, site);
    }
    *site = (uint32_t)known->site;
    return known->row;
}

static PSC_NOINLINE void keep_as_of_peak(struct psc_wire_row *row, uint32_t epoch) {
    PSC_STORE(&row->at_peak_bytes, row->alloc_bytes - row->free_bytes);
    PSC_STORE(&row->at_peak_count, row->alloc_count - row->free_count);
    PSC_STORE_RELEASE(&row->peak_epoch, epoch);
}

/* Before the first change of a row after a peak. */
PSC_INLINE void keep_peak(struct psc_wire_row *row) {
    uint32_t epoch = (uint32_t)PSC_LOAD_ACQUIRE(&counters()->peak_epoch);
    if (PSC_UNLIKELY(row->peak_epoch != epoch)) {
        keep_as_of_peak(row, epoch);
    }
}

/* What an event counts for. */
struct worth {
    uint64_t count; /* in the trace's unit */
    uint64_t bytes;
};

PSC_INLINE void add_alloc(struct psc_track_thread *thread, struct psc_wire_row *row, uint32_t class_index,
                          struct worth worth) {
    keep_peak(row);
    PSC_OWN_STEP(&row->alloc_bytes, worth.bytes);
    PSC_OWN_STEP(&row->alloc_count, worth.count);
    PSC_OWN_STEP(&thread->wire->class_allocs[class_index], worth.count);
    thread->batch_allocated += worth.bytes;
}

PSC_INLINE uint64_t clock_of(const struct psc_track_thread *thread) {
    return PSC_LOAD(&counters()->clock_bytes) + thread->batch_allocated;
}

PSC_INLINE uint64_t age_of(const struct psc_track_thread *thread, uint64_t tag) {
    uint64_t age = psc_tag_age(tag, clock_of(thread));
    return age < AGE_RANGE - AGE_BEHIND ? age : 0;
}

PSC_INLINE void add_free(struct psc_track_thread *thread, struct psc_wire_row *row, uint32_t class_index,
                         struct worth worth) {
    keep_peak(row);
    PSC_OWN_STEP(&row->free_bytes, worth.bytes);
    PSC_OWN_STEP(&row->free_count, worth.count);
    PSC_OWN_STEP(&thread->wire->class_frees[class_index], worth.count);
    thread->batch_freed += worth.bytes;
}

PSC_INLINE uint32_t class_row(uint64_t class_index) {
    return class_index < PSC_CLASSES_MAX ? (uint32_t)class_index : PSC_CLASS_LARGE;
}

/* ---- events -------------------------------------------------------------------------------------------------- */

static double weight_of(uint64_t block_bytes) {
    return psc_sample_weight(block_bytes > 0 ? block_bytes : 1, psc_track.interval);
}

/* Before one of the counts overflows: what is told by them is in what proportion ages are. */
static PSC_COLD void halve_ages(struct psc_wire_row *row, struct psc_wire_places *places) {
    for (uint32_t k = 0; k < PSC_AGE_BUCKETS; k++) {
        PSC_STORE(&row->ages[k], row->ages[k] / 2);
        if (k != 0) {
            PSC_STORE(&places[k].sum, places[k].sum / 2);
            PSC_STORE(&places[k].squares, places[k].squares / 2);
        }
    }
}

/* The age is asked for once: other threads move the clock. `places` are those of the row. */
PSC_INLINE void add_age(struct psc_wire_row *row, struct psc_wire_places *places, uint64_t age) {
    uint32_t bucket = psc_age_bucket(age);
    uint32_t *count = &row->ages[bucket];
    if (PSC_UNLIKELY(*count == UINT32_MAX)) {
        halve_ages(row, places);
    }
    if (bucket != 0) {
        uint32_t place = psc_age_place(age);
        PSC_OWN_STEP(&places[bucket].sum, psc_age_round(place, *count));
        PSC_OWN_STEP(&places[bucket].squares, psc_age_round(psc_age_square(place), *count));
    }
    PSC_OWN_STEP(count, 1);
}

/* To one of the two whole numbers beside it, so that the roundings of many do not add up. */
static uint32_t round_weighted(double value, uint32_t count) {
    uint32_t whole = (uint32_t)value;
    return whole + psc_age_round((uint32_t)((value - whole) * 0x1p32), count);
}

static void add_age_of_sample(struct psc_wire_row *row, struct psc_wire_places *places, uint64_t age, double weight) {
    uint32_t bucket = psc_age_bucket(age);
    double place = psc_age_place(age) / 0x1p32;
    while (row->ages[bucket] > UINT32_MAX - 1 - weight) {
        halve_ages(row, places);
    }
    uint32_t count = row->ages[bucket];
    PSC_OWN_STEP(&places[bucket].sum, round_weighted(weight * place, count));
    PSC_OWN_STEP(&places[bucket].squares, round_weighted(weight * place * place, count));
    PSC_OWN_STEP(&row->ages[bucket], round_weighted(weight, count + 1));
}

static PSC_NOINLINE void add_free_of_sample(struct psc_track_thread *thread, struct psc_wire_row *row,
                                            struct psc_wire_places *places, uint64_t tag, uint32_t class_index,
                                            uint64_t block_bytes) {
    double weight = weight_of(block_bytes);
    add_age_of_sample(row, places, age_of(thread, tag), weight);
    add_free(thread, row, class_index,
             (struct worth){psc_sample_units(weight), psc_sample_bytes(weight, block_bytes - psc_tag_slack(tag))});
}

/* The row that it was added to; NULL: no room. */
PSC_INLINE struct psc_wire_row *record_free(struct psc_track_thread *thread, uint64_t tag, uint32_t class_index,
                                            uint64_t block_bytes) {
    struct psc_wire_book *book = find_book(thread, psc_tag_site(tag));
    if (PSC_UNLIKELY(book == NULL)) {
        return NULL;
    }
    struct psc_wire_row *row = &book->rows[psc_tag_site(tag) % PSC_BOOK_ROWS];
    struct psc_wire_places *places = book->places[psc_tag_site(tag) % PSC_BOOK_ROWS];
    class_index = class_row(class_index);
    if (PSC_UNLIKELY(psc_track.interval != 0)) {
        uint32_t saved = psc_float_begin();
        add_free_of_sample(thread, row, places, tag, class_index, block_bytes);
        psc_float_end(saved);
        return row;
    }
    add_age(row, places, age_of(thread, tag));
    add_free(thread, row, class_index, (struct worth){1, block_bytes - psc_tag_slack(tag)});
    return row;
}

/* A handler may add one between any two steps. */
static PSC_COLD void count_deferred(struct psc_track_thread *thread) {
    uint32_t left;
    while ((left = PSC_LOAD(&psc_track_self.deferred_count)) > 0) {
        struct psc_track_deferred entry = psc_track_self.deferred[left - 1];
        uint32_t seen = left;
        if (!__atomic_compare_exchange_n(&psc_track_self.deferred_count, &seen, left - 1, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED)) {
            continue;
        }
        if (record_free(thread, entry.tag, entry.class_index, entry.block_bytes) == NULL) {
            count_dropped();
        } else if (thread->log != NULL) {
            psc_track_log_free(thread->log, entry.address);
        }
    }
}

/* The thread's batch is full, a handler left something, or the thread has no struct of its own. */
static PSC_NOINLINE void finish_slowly(struct psc_track_thread *thread) {
    int saved = errno;
    if (thread != NULL) {
        count_deferred(thread);
        if (is_full(thread)) {
            flush_and_snapshot(thread);
        }
        if (psc_track_self.thread == NULL) {
            psc_track_thread_give(thread);
        }
    }
    psc_track_leave();
    errno = saved;
}

PSC_INLINE void finish(struct psc_track_thread *thread) {
    if (PSC_UNLIKELY(psc_track_self.thread == NULL || PSC_LOAD(&psc_track_self.deferred_count) != 0 ||
                     is_full(thread))) {
        finish_slowly(thread);
    } else {
        psc_track_leave();
    }
}

static PSC_NOINLINE struct psc_track_thread *get_thread_slowly(void) {
    int saved = errno;
    struct psc_track_thread *thread = psc_track_thread_get();
    errno = saved;
    return thread;
}

/* NULL: no room for one. */
PSC_INLINE struct psc_track_thread *get_thread(void) {
    struct psc_track_thread *thread = psc_track_self.thread;
    return PSC_LIKELY(thread != NULL) ? thread : get_thread_slowly();
}

static PSC_NOINLINE void add_alloc_of_sample(struct psc_track_thread *thread, struct psc_wire_row *row,
                                             uint32_t class_index, uint64_t block_bytes, uint64_t requested) {
    double weight = weight_of(block_bytes);
    add_alloc(thread, row, class_index, (struct worth){psc_sample_units(weight), psc_sample_bytes(weight, requested)});
    double variance = row->alloc_bytes_variance + psc_sample_variance(weight, requested);
    __atomic_store(&row->alloc_bytes_variance, &variance, __ATOMIC_RELAXED);
}

/* The tag comes last: a tag that can be seen has been counted. */
PSC_INLINE bool record_alloc(struct psc_track_thread *thread, const struct psc_unwind_start *start, uint64_t *tag,
                             uint32_t class_index, size_t requested, size_t block_bytes) {
    uint32_t site;
    uint64_t hash = psc_unwind_follow(&thread->stack, psc_track.depth, start);
    struct psc_wire_row *row = row_of_stack(thread, hash, &site);
    if (PSC_UNLIKELY(row == NULL)) {
        return false;
    }
    uint32_t slack = block_bytes - requested < SLACK_MAX ? (uint32_t)(block_bytes - requested) : SLACK_MAX;
    if (PSC_UNLIKELY(psc_track.interval != 0)) {
        uint32_t saved = psc_float_begin();
        add_alloc_of_sample(thread, row, class_row(class_index), block_bytes, block_bytes - slack);
        psc_float_end(saved);
    } else {
        add_alloc(thread, row, class_row(class_index), (struct worth){1, block_bytes - slack});
        thread->last_tag = tag;
    }
    PSC_STORE_RELEASE(tag, psc_tag_make(site, slack, clock_of(thread)));
    return true;
}

void psc_track_alloc_from(const struct psc_unwind_start *start, uint64_t *tags, uint32_t index, uint32_t class_index,
                          size_t requested, size_t block_bytes) {
    if (PSC_UNLIKELY(tags == NULL || !psc_track_enter())) {
        drop_alloc(tags, index);
        return;
    }
    struct psc_track_thread *thread = get_thread();
    if (PSC_UNLIKELY(thread == NULL ||
                     !record_alloc(thread, start, &tags[index], class_index, requested, block_bytes))) {
        drop_alloc(tags, index);
    } else if (PSC_UNLIKELY(thread->log != NULL)) {
        psc_track_log_alloc(thread->log, psc_track_address_of(tags, index, block_bytes), requested,
                            psc_tag_site(tags[index]));
    }
    finish(thread);
}

/* The stack is walked once more when the block is recorded: that goes by memo. */
static uint32_t find_group(struct psc_track_thread *thread, const struct psc_unwind_start *start) {
    uint64_t hash = psc_unwind_follow(&thread->stack, psc_track.depth, start);
    const struct psc_track_known *known = psc_track_known_of(thread, hash);
    bool is_known = known->hash == hash;
    return psc_track_apart_group(is_known ? (uint32_t)known->site : psc_track_site_intern(thread, hash));
}

uint32_t psc_track_group(const struct psc_unwind_start *start) {
    uint32_t group = 0;
    int saved = errno;
    if (!psc_track_enter()) {
        return 0;
    }
    struct psc_track_thread *thread = get_thread();
    if (thread != NULL) {
        group = find_group(thread, start);
    }
    finish(thread);
    errno = saved;
    return group;
}

void psc_track_alloc_sample(const struct psc_unwind_start *start, struct psc_tags *tags, uint32_t index,
                            uint32_t class_index, size_t requested, size_t block_bytes) {
    uint64_t *attached = PSC_LOAD_ACQUIRE(&tags->epoch) == psc_track_current() ? tags->tags : NULL;
    psc_track_alloc_from(start, attached, index, class_index, requested, block_bytes);
    if (attached != NULL && psc_tag_is_live(PSC_LOAD(&attached[index]))) {
        PSC_ADD(&tags->samples, 1);
    }
}

PSC_NOINLINE void psc_track_alloc(uint64_t *tags, uint32_t index, uint32_t class_index, size_t requested,
                                  size_t block_bytes) {
    struct psc_unwind_start start;
    psc_unwind_capture(&start);
    psc_track_alloc_from(&start, tags, index, class_index, requested, block_bytes);
}

static PSC_COLD void carry_temporary(struct psc_track_thread *thread, uint32_t site) {
    struct psc_wire_book *book = find_book(thread, site);
    if (book != NULL) {
        PSC_OWN_STEP(&book->places[site % PSC_BOOK_ROWS][0].sum, 1);
    }
}

void psc_track_free(uint64_t *tags, uint32_t index, uint32_t class_index, size_t block_bytes) {
    if (PSC_UNLIKELY(tags == NULL)) {
        count_unrecorded_free();
        return;
    }
    uint64_t tag = PSC_LOAD(&tags[index]);
    if (PSC_UNLIKELY(!psc_tag_is_live(tag))) {
        free_untagged(tags);
        return;
    }
    PSC_STORE(&tags[index], psc_tag_of_freed(tag));
    if (PSC_UNLIKELY(!psc_track_enter())) {
        defer_free(tag, class_index, block_bytes, psc_track_address_of(tags, index, block_bytes));
        return;
    }
    struct psc_track_thread *thread = get_thread();
    struct psc_wire_row *row = PSC_LIKELY(thread != NULL) ? record_free(thread, tag, class_index, block_bytes) : NULL;
    if (PSC_UNLIKELY(row == NULL)) {
        count_dropped();
    } else {
        if (thread->last_tag == &tags[index]) {
            thread->last_tag = NULL;
            PSC_OWN_STEP(&row->temporary_count, 1);
            if (PSC_UNLIKELY(row->temporary_count == 0)) {
                carry_temporary(thread, psc_tag_site(tag));
            }
        }
        if (PSC_UNLIKELY(thread->log != NULL)) {
            psc_track_log_free(thread->log, psc_track_address_of(tags, index, block_bytes));
        }
    }
    finish(thread);
}

bool psc_track_free_sample(struct psc_tags *tags, uint32_t index, uint32_t class_index, size_t block_bytes) {
    uint32_t epoch = psc_track_current();
    if (epoch == 0 || PSC_LOAD_ACQUIRE(&tags->epoch) != epoch) {
        return false;
    }
    if (psc_tag_is_live(PSC_LOAD(&tags->tags[index]))) {
        psc_track_free(tags->tags, index, class_index, block_bytes);
        PSC_ADD(&tags->samples, (uint32_t)-1);
    }
    return PSC_LOAD(&tags->samples) != 0;
}
