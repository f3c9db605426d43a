#include <string.h>
#include <time.h>

#include "core/base/call.h"
#include "core/track/types.h"

#define INTERVAL_FIRST_NS 1000000
/* Snapshots are taken at most every so many times their cost: half a percent of the time; of a sampled run, which is to
 * cost nothing, a quarter of a percent. */
#define COST_FACTOR_EXACT 200
#define COST_FACTOR_SAMPLED 400
#define COST_FACTOR_ASKING 800
#define COST_FACTOR_ASKING_LAST 20
/* The one of the peak is taken anew when live bytes rose by this part: 3 %. */
#define PEAK_RISE(live) ((live) / 33)
#define HISTORY_MAX 4096
#define PEAK_ROW 0
/* How long the last one waits for one that is being taken. */
#define LAST_TRIES 50
#define LAST_WAIT_NS 1000000

/* Row 0 of the table is the peak's; history has rows 1 .. psc_track.snapshots. All [snapshot] but for the first two. */
static uint64_t earliest_ns;      /* [any] not before, because of what the last one cost */
static uint64_t history_due_ns;   /* [any] */
static uint64_t peak_taken_bytes; /* [any] live bytes of the peak's snapshot */
static uint64_t interval_ns = INTERVAL_FIRST_NS;
static uint64_t sequence;
/* Row numbers: the first rows_used hold the history in its order, the rest are free. */
static uint16_t rows[HISTORY_MAX];
static uint32_t rows_used;
static struct psc_wire_snapshot scratch; /* too large for a small stack */
static struct psc_wire_map scratch_map;
/* The kernel is asked at most every so many times what that cost: an eighth of a percent of the time. */
static uint64_t ask_after_ns;
static uint64_t asking_ns;             /* what it cost in this snapshot */
static uint64_t asked_cost_ns;         /* what it cost the last time, which may have been in the parent */
static struct psc_wire_snapshot asked; /* the last one for which it was */

static uint32_t history_max(void) {
    return psc_track.snapshots < HISTORY_MAX ? psc_track.snapshots : HISTORY_MAX;
}

/* Drops every second one, so that the rest is as far apart as the next ones will be. Those that go change places with
 * those that stay: row i moves to i / 2 for each even i, and nothing has changed places with it before. */
static void thin(void) {
    for (uint32_t i = 1; i < rows_used; i += 2) {
        struct psc_wire_snapshot *row = psc_track_table_row(PSC_CHUNK_SNAPSHOTS, rows[i]);
        PSC_STORE(&row->sequence, 0);
    }
    for (uint32_t i = 2; i < rows_used; i += 2) {
        uint16_t moved = rows[i];
        rows[i] = rows[i / 2];
        rows[i / 2] = moved;
    }
    rows_used = (rows_used + 1) / 2;
    interval_ns *= 2;
}

/* Its number, 0: there is no room. */
static uint32_t next_history_row(void) {
    if (sequence == 0) {
        for (uint32_t i = 0; i < HISTORY_MAX; i++) {
            rows[i] = (uint16_t)(i + 1);
        }
    }
    if (rows_used >= history_max()) {
        thin();
    }
    uint32_t number = rows[rows_used];
    bool there = psc_track_table_reach(PSC_CHUNK_SNAPSHOTS, number) != NULL;
    rows_used += there;
    return there ? number : 0;
}

static void ask(uint64_t now_ns) {
    struct psc_track_watch watch = psc_track_watch_start();
    scratch.tracker_anon_bytes = psc_track_private_resident_bytes();
    psc_track.host.describe_resident(&scratch);
    if (psc_os_may_ask_resident()) { /* else it has become a sandbox meanwhile */
        scratch.flags |= PSC_SNAPSHOT_ASKED;
        asked = scratch;
    }
    asking_ns = asked_cost_ns = psc_track_watch_ns(&watch);
    ask_after_ns = now_ns + asking_ns * COST_FACTOR_ASKING;
}

/* Between two questions what is absent, and what the tables take, is taken to stay as it is. */
static void fill_as_asked(void) {
    uint64_t absent = asked.committed_bytes > asked.resident_bytes ? asked.committed_bytes - asked.resident_bytes : 0;
    scratch.resident_bytes = scratch.committed_bytes > absent ? scratch.committed_bytes - absent : 0;
    scratch.metadata_resident_bytes = asked.metadata_resident_bytes;
    scratch.tracker_anon_bytes = asked.tracker_anon_bytes;
    scratch.large_rounding_bytes = asked.large_rounding_bytes;
}

/* The end has a more generous budget, but a short process with a large heap, such as a forked child, has not. */
static bool is_time_to_ask(uint64_t now_ns, bool last) {
    uint64_t run_ns = now_ns - psc_track.header->start_ns;
    return psc_os_may_ask_resident() &&
           (now_ns >= ask_after_ns || (last && run_ns >= asked_cost_ns * COST_FACTOR_ASKING_LAST));
}

static void fill_resident(uint64_t now_ns, bool last) {
    asking_ns = 0;
    if (is_time_to_ask(now_ns, last)) {
        ask(now_ns);
    } else if ((asked.flags & PSC_SNAPSHOT_ASKED) != 0) {
        fill_as_asked();
    }
}

static void fill_scratch(uint64_t now_ns, bool last) {
    struct psc_wire_counters *counters = &psc_track.header->counters;
    memset(&scratch, 0, sizeof scratch);
    scratch.time_ns = now_ns;
    scratch.clock_bytes = PSC_LOAD(&counters->clock_bytes);
    scratch.live_bytes = PSC_LOAD(&counters->live_bytes);
    psc_track.host.describe(&scratch, &scratch_map);
    if (psc_track.interval != 0) {
        psc_track.host.count_untagged();
    }
    struct psc_track_rss rss = psc_track_proc_rss();
    scratch.rss_bytes = rss.all;
    scratch.shared_bytes = rss.shared;
    scratch.trace_bytes = psc_track_file_used_bytes();
    fill_resident(now_ns, last);
    scratch.tracker_bytes = psc_track_file_used_bytes() + psc_track_private_bytes();
    PSC_STORE(&counters->heap_metadata_bytes, scratch.metadata_bytes);
}

/* Where there is no room for it, the snapshot has none. */
static void write_map(uint32_t number) {
    struct psc_wire_map *map = psc_track_table_reach(PSC_CHUNK_MAPS, number);
    if (map != NULL) {
        __atomic_exchange_n(&map->sequence, 0, __ATOMIC_ACQ_REL);
        map->slots = scratch_map.slots;
        memcpy(map->cells, scratch_map.cells, sizeof map->cells);
        PSC_STORE_RELEASE(&map->sequence, sequence + 1);
    }
}

/* The sequence number makes the row valid. */
static void write_row(uint32_t number, uint32_t flags) {
    struct psc_wire_snapshot *row = psc_track_table_reach(PSC_CHUNK_SNAPSHOTS, number);
    if (row == NULL) {
        return;
    }
    __atomic_exchange_n(&row->sequence, 0, __ATOMIC_ACQ_REL); /* an exchange: what follows stays behind it */
    uint32_t asked_flag = scratch.flags & PSC_SNAPSHOT_ASKED;
    scratch.flags = flags | asked_flag;
    memcpy(&row->time_ns, &scratch.time_ns, sizeof scratch - offsetof(struct psc_wire_snapshot, time_ns));
    PSC_STORE_RELEASE(&row->sequence, sequence + 1);
    write_map(number);
}

static void write_history(uint32_t flags) {
    uint32_t number = next_history_row();
    if (number != 0) {
        write_row(number, flags);
    }
}

static void write_peak(void) {
    write_row(PEAK_ROW, PSC_SNAPSHOT_PEAK);
    PSC_STORE(&peak_taken_bytes, scratch.live_bytes);
}

/* Questions to the kernel and walks over tags are as rare as they have to be, not the snapshots. */
static void count_cost(const struct psc_track_watch *watch) {
    uint64_t all = psc_track_watch_ns(watch);
    uint64_t cost = all > asking_ns ? all - asking_ns : 0;
    PSC_STORE(&earliest_ns,
              psc_os_monotonic_ns() + cost * (psc_track.interval != 0 ? COST_FACTOR_SAMPLED : COST_FACTOR_EXACT));
}

static void finish(const struct psc_track_watch *watch) {
    struct psc_wire_counters *counters = &psc_track.header->counters;
    PSC_STORE(&counters->snapshots_taken, ++sequence);
    PSC_OWN_ADD(&counters->snapshot_ns, psc_track_watch_ns(watch));
}

static bool is_peak_due(void) {
    const struct psc_wire_counters *counters = &psc_track.header->counters;
    uint64_t live = PSC_LOAD(&counters->live_bytes);
    uint64_t taken = PSC_LOAD(&peak_taken_bytes);
    return (int64_t)live > (int64_t)(taken + PEAK_RISE(taken)) && live >= PSC_LOAD(&counters->peak_live_bytes);
}

static bool is_history_due(uint64_t now_ns) {
    return now_ns >= PSC_LOAD(&history_due_ns);
}

static void take_locked(uint64_t now_ns) {
    bool peak = is_peak_due();
    bool history = is_history_due(now_ns);
    if (now_ns < earliest_ns || (!peak && !history)) {
        return; /* another thread took it */
    }
    struct psc_track_watch watch = psc_track_watch_start();
    fill_scratch(now_ns, false);
    if (peak) {
        write_peak();
    }
    if (history) {
        write_history(0);
        PSC_STORE(&history_due_ns, now_ns + interval_ns);
    }
    count_cost(&watch);
    psc_track_pins_walk(now_ns);
    finish(&watch);
}

void psc_track_snapshot_take_due(uint64_t now_ns) {
    if (now_ns < PSC_LOAD(&earliest_ns) || (!is_history_due(now_ns) && !is_peak_due())) {
        return;
    }
    if (psc_lock_try(&psc_track.locks.snapshot)) {
        take_locked(now_ns);
        psc_lock_release(&psc_track.locks.snapshot);
    }
}

/* The holder may be a thread that was killed, or that waits for what this one holds. */
static bool try_for_a_while(struct psc_lock *lock) {
    for (uint32_t i = 0; i < LAST_TRIES; i++) {
        if (psc_lock_try(lock)) {
            return true;
        }
        if (psc_os_in_sandbox()) {
            return false;
        }
        psc_call_nanosleep(&(struct timespec){.tv_nsec = LAST_WAIT_NS});
    }
    return false;
}

void psc_track_snapshot_take_last(void) {
    if (!try_for_a_while(&psc_track.locks.snapshot)) {
        return;
    }
    struct psc_track_watch watch = psc_track_watch_start();
    uint64_t now_ns = watch.wall_ns;
    bool peak = is_peak_due();
    fill_scratch(now_ns, true);
    if (peak) {
        write_peak();
    }
    write_history(PSC_SNAPSHOT_LAST);
    finish(&watch);
    psc_lock_release(&psc_track.locks.snapshot);
}

void psc_track_snapshot_reset(void) {
    earliest_ns = 0;
    ask_after_ns = psc_track.header->start_ns + asked_cost_ns * COST_FACTOR_ASKING;
    asked.flags = 0;
    history_due_ns = 0;
    peak_taken_bytes = 0;
    interval_ns = INTERVAL_FIRST_NS;
    sequence = 0;
    rows_used = 0;
    psc_track_pins_reset();
}
