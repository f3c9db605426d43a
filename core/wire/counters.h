/* The process-wide counters that the tracker keeps in the trace header: one row each, which feeds the struct, the
 * reader and the report. All are updated with relaxed atomic operations by any thread.
 *
 *   PSC_COUNTER(name, what it counts)
 */
#ifndef PSC_CORE_WIRE_COUNTERS_H
#define PSC_CORE_WIRE_COUNTERS_H

#include <stdint.h>

#define PSC_COUNTERS(COUNTER)                                                                                          \
    COUNTER(clock_bytes, "allocation clock: bytes requested so far, to within 64 KiB a thread")                        \
    COUNTER(live_bytes, "requested bytes of live blocks, to within 64 KiB a thread")                                   \
    COUNTER(peak_live_bytes, "largest live_bytes seen")                                                                \
    COUNTER(peak_clock_bytes, "allocation clock when peak_live_bytes was set")                                         \
    COUNTER(peak_epoch, "how often peak_live_bytes was raised; see psc_wire_row.peak_epoch")                           \
    COUNTER(dropped_events, "allocations that could not be recorded with their site")                                  \
    COUNTER(unrecorded_frees, "frees of blocks that carry no tag: inherited, or made before recording began")          \
    COUNTER(heap_metadata_bytes, "bytes of the heap's own tables")                                                     \
    COUNTER(cached_range_bytes, "pages that large blocks left behind and that have not gone back")                     \
    COUNTER(tracker_private_bytes, "bytes of the tracker's tables outside the trace")                                  \
    COUNTER(snapshots_taken, "snapshots taken, those thinned out included")                                            \
    COUNTER(snapshot_ns, "processor time of taking snapshots, in nanoseconds")                                         \
    COUNTER(last_event_ns, "monotonic time of the last batch of events")                                               \
    COUNTER(misuse_count, "misuse of the heap: a second free, of what is no block, of a wrong size, damage")

#define PSC_COUNTER_FIELD(name, help) uint64_t name;

struct psc_wire_counters {
    PSC_COUNTERS(PSC_COUNTER_FIELD)
};

#endif
