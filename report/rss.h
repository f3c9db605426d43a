/* Where the resident memory of the process is: everything that the kernel counts for it (RSS), split into parts that add
 * up to it. From a snapshot, in which the heap tells what it holds, the kernel which pages of that are there
 * (mincore(2)), and /proc/PID/statm the whole.
 *
 *   rss = requested + rounding + large_rounding + free_blocks + tail + empty_pools + cached - absent
 *         + metadata + tracker + other_anonymous + file + residue
 *
 * The parts of the heap are counted from its descriptors, which say what was handed out and not what was touched: what is
 * not in memory of them stands in `absent`. Of anonymous memory, what is neither the heap's nor the tracker's is
 * other_anonymous: stacks, data of modules, mmap by the program. `file` is what is mapped of files and shared memory, but
 * for the trace. If the kernel counts less anonymous (or shared) memory than the parts that were counted one by one,
 * `residue` is below 0 by that much: the kernel's counters lag behind by up to 64 pages a thread, and other threads go on
 * while the parts are counted. */
#ifndef PSC_REPORT_RSS_H
#define PSC_REPORT_RSS_H

#include <stdbool.h>
#include <stdio.h>

#include "report/model.h"

/*  PART(name, words) in the order in which they are shown; all but `absent` add to rss */
#define PSC_RSS_PARTS(PART)                                                                                            \
    PART(requested, "live blocks, as requested")                                                                       \
    PART(rounding, "rounding of small blocks to size classes (internal)")                                              \
    PART(large_rounding, "rounding of large blocks to pages (internal)")                                               \
    PART(free_blocks, "free blocks between live ones (pinned)")                                                        \
    PART(tail, "pages behind the last block of a pool (pinned)")                                                       \
    PART(empty_pools, "empty pools")                                                                                   \
    PART(cached, "free pages not yet given back (cached)")                                                             \
    PART(absent, "of these never touched, or swapped out")                                                             \
    PART(metadata, "the heap's own tables")                                                                            \
    PART(tracker, "the tracker's tables and the trace")                                                                \
    PART(other_anonymous, "anonymous memory that is not malloc's")                                                     \
    PART(file, "files and shared memory")

#define PSC_RSS_ENUM(name, words) PSC_RSS_##name,
enum psc_rss_part { PSC_RSS_PARTS(PSC_RSS_ENUM) PSC_RSS_PART_COUNT };

struct psc_rss {
    bool known; /* false: the kernel was not asked, or did not answer; all is 0 */
    uint64_t rss_bytes;
    uint64_t parts[PSC_RSS_PART_COUNT]; /* bytes */
    int64_t residue_bytes;
};

#define PSC_RSS_RESIDUE_WORDS "not accounted for: the kernel's count lags"
/* The residue without its sign. */
static inline uint64_t psc_rss_residue(const struct psc_rss *rss) {
    return rss->residue_bytes < 0 ? -(uint64_t)rss->residue_bytes : (uint64_t)rss->residue_bytes;
}

/* Of a sampled trace, rounding of large blocks is part of rounding. */
struct psc_rss psc_rss_of(const struct psc_wire_snapshot *snapshot);
const char *psc_rss_words(enum psc_rss_part part);
/* Key of JSON and of data files: the part's name with "_bytes". */
const char *psc_rss_key(enum psc_rss_part part);
/* The last snapshot of which it is known, or NULL. */
const struct psc_wire_snapshot *psc_rss_last(const struct psc_model *model);
/* The table of the text report; nothing if it is not known. */
void psc_rss_write(const struct psc_model *model, FILE *out);

#endif
