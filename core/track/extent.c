#include <errno.h>
#include <string.h>

#include "core/track/types.h"

#define WORD_BYTES sizeof(uint64_t)
#define HEAD_WORDS (sizeof(struct psc_wire_extent) / WORD_BYTES)
#define CHUNK_WORDS (PSC_CHUNK_BYTES / WORD_BYTES)
#define CAPACITY_MAX (CHUNK_WORDS - HEAD_WORDS)
#define OPEN_CHUNKS 8

/* A chunk with room behind its last extent. */
struct open_chunk {
    uint64_t offset;
    uint64_t words;
};

static struct open_chunk open_chunks[OPEN_CHUNKS]; /* [extent] */
static uint64_t free_extents[CAPACITY_MAX + 1];    /* [extent] by capacity: offset; linked through `base` */

/* The chunk that fits most closely; NULL: none fits. */
static struct open_chunk *find_open(uint64_t words) {
    struct open_chunk *best = NULL;
    for (size_t i = 0; i < OPEN_CHUNKS; i++) {
        if (open_chunks[i].words >= words && (best == NULL || open_chunks[i].words < best->words)) {
            best = &open_chunks[i];
        }
    }
    return best;
}

/* In place of the one that has least room. */
static struct open_chunk *open_another(void) {
    struct open_chunk *least = &open_chunks[0];
    uint64_t offset = psc_track_chunk_take(PSC_CHUNK_EXTENTS);
    for (size_t i = 1; i < OPEN_CHUNKS; i++) {
        least = open_chunks[i].words < least->words ? &open_chunks[i] : least;
    }
    if (offset == 0) {
        return NULL;
    }
    *least = (struct open_chunk){.offset = offset, .words = CHUNK_WORDS};
    return least;
}

static struct psc_wire_extent *carve(uint32_t capacity) {
    uint64_t words = HEAD_WORDS + capacity;
    struct open_chunk *chunk = find_open(words);
    if (chunk == NULL) {
        chunk = open_another();
    }
    if (chunk == NULL) {
        return NULL;
    }
    struct psc_wire_extent *extent = psc_track_at(chunk->offset);
    chunk->offset += words * WORD_BYTES;
    chunk->words -= words;
    extent->words = (uint32_t)words;
    return extent;
}

static struct psc_wire_extent *take(uint32_t capacity) {
    psc_lock_take(&psc_track.locks.extent);
    struct psc_wire_extent *extent = NULL;
    if (free_extents[capacity] != 0) {
        extent = psc_track_at(free_extents[capacity]);
        free_extents[capacity] = extent->base;
    } else {
        extent = carve(capacity);
    }
    psc_lock_release(&psc_track.locks.extent);
    return extent;
}

uint64_t *psc_track_attach(struct psc_tags *tags, uint32_t class_index, uint64_t base, uint64_t block_bytes,
                           uint32_t capacity, uint32_t carved, uint32_t untagged) {
    int saved = errno;
    uint32_t epoch = psc_track_current();
    if (epoch == 0 || capacity > CAPACITY_MAX || !psc_track_enter()) {
        return NULL;
    }
    struct psc_wire_extent *extent = take(capacity);
    if (extent != NULL) {
        extent->class_index = (uint16_t)class_index;
        PSC_STORE(&extent->base, base);
        PSC_STORE(&extent->block_bytes, block_bytes);
        PSC_STORE(&extent->capacity, capacity);
        PSC_STORE(&extent->carved, carved);
        PSC_STORE(&extent->stale_pages, 0);
        PSC_STORE(&extent->untagged, untagged);
        PSC_STORE(&extent->low_now, 0);
        PSC_STORE(&extent->low_before, 0);
        PSC_STORE_RELEASE(&extent->state, PSC_EXTENT_LIVE);
        PSC_STORE(&tags->tags, extent->tags);
        PSC_STORE(&tags->samples, 0);
        PSC_STORE_RELEASE(&tags->epoch, epoch);
    }
    psc_track_leave();
    errno = saved;
    return extent != NULL ? extent->tags : NULL;
}

static bool is_attached(const struct psc_tags *tags) {
    uint32_t epoch = psc_track_current();
    return epoch != 0 && PSC_LOAD_ACQUIRE(&tags->epoch) == epoch;
}

/* Tags of blocks whose free was lost are still set, and others tell who had a block last: none may reach the next pool. */
static void put_back(struct psc_wire_extent *extent) {
    uint32_t carved = extent->carved < extent->capacity ? extent->carved : extent->capacity;
    if (extent->class_index == PSC_CLASS_LARGE) {
        psc_track_note_gone(extent->base, psc_tag_last_site(extent->tags[0]));
    }
    for (uint32_t i = 0; i < carved; i++) {
        if (extent->tags[i] != 0) {
            PSC_STORE(&extent->tags[i], 0); /* a walk may be looking */
        }
    }
    psc_lock_take(&psc_track.locks.extent);
    PSC_STORE(&extent->base, free_extents[extent->capacity]);
    free_extents[extent->capacity] = (uint64_t)((char *)extent - (char *)psc_track.header);
    psc_lock_release(&psc_track.locks.extent);
}

/* Where this thread is busy, the lock may be its own: the room is lost, the state is right. */
void psc_track_detach(struct psc_tags *tags) {
    if (!is_attached(tags)) {
        return;
    }
    struct psc_wire_extent *extent = psc_track_extent_of(tags->tags);
    PSC_STORE(&tags->epoch, 0);
    PSC_STORE_RELEASE(&extent->state, PSC_EXTENT_FREE);
    if (psc_track_enter()) {
        put_back(extent);
        psc_track_leave();
    }
}

void psc_track_carved(struct psc_tags *tags, uint32_t carved, uint32_t stale_pages) {
    if (is_attached(tags)) {
        PSC_STORE(&psc_track_extent_of(tags->tags)->stale_pages, stale_pages);
        PSC_STORE(&psc_track_extent_of(tags->tags)->carved, carved);
    }
}

void psc_track_count_untagged(struct psc_tags *tags, uint32_t live_blocks) {
    uint64_t *attached = PSC_LOAD_ACQUIRE(&tags->tags); /* before the epoch: the pool's owner may retire it meanwhile */
    uint32_t samples = PSC_LOAD(&tags->samples);
    if (attached != NULL && is_attached(tags)) {
        PSC_STORE(&psc_track_extent_of(attached)->untagged, live_blocks > samples ? live_blocks - samples : 0);
    }
}

void psc_track_extent_reset(void) {
    memset(open_chunks, 0, sizeof open_chunks);
    memset(free_extents, 0, sizeof free_extents);
}

void psc_track_ranges(uint64_t cached_bytes) {
    if (psc_track_current() != 0) {
        PSC_STORE(&psc_track.header->counters.cached_range_bytes, cached_bytes);
    }
}

/* ---- arenas -------------------------------------------------------------------------------------------------- */

#define ARENAS_MAX (PSC_TRACK_TABLE_CHUNKS * (PSC_CHUNK_BYTES / sizeof(struct psc_wire_arena)))

static void write_slots(struct psc_wire_arena *row, const uint64_t *pooled, const uint64_t *cached) {
    for (size_t i = 0; i < PSC_COUNT_OF(row->pooled); i++) {
        PSC_STORE(&row->pooled[i], pooled[i]);
        PSC_STORE(&row->cached[i], cached[i]);
    }
}

void psc_track_arena(uint32_t index, uint64_t base, const uint64_t pooled[PSC_ARENA_SLOTS / 64],
                     const uint64_t cached[PSC_ARENA_SLOTS / 64], uint64_t cached_bytes) {
    int saved = errno;
    if (psc_track_current() == 0 || index >= ARENAS_MAX || !psc_track_enter()) {
        return;
    }
    psc_lock_take(&psc_track.locks.extent);
    struct psc_wire_arena *row = psc_track_table_reach(PSC_CHUNK_ARENAS, index);
    if (row != NULL) {
        write_slots(row, pooled, cached);
        PSC_STORE(&row->cached_bytes, cached_bytes);
        PSC_STORE_RELEASE(&row->base, base);
    }
    psc_lock_release(&psc_track.locks.extent);
    psc_track_leave();
    errno = saved;
}
