#include <errno.h>
#include <string.h>

#include "core/track/apart.h"
#include "core/track/types.h"

#define INDEX_ENTRIES_FIRST 4096u
#define FRAME_BYTES sizeof(uint64_t)

/* Open addressing; an entry is the upper half of the hash and the site's id, 0 is empty. Entries are only added, so
 * that a search needs no lock; a full index is replaced by a larger copy and stays mapped for those still searching it.
 */
struct index {
    uint64_t mask; /* entries - 1 */
    uint64_t entries[];
};

static struct index *sites;  /* [site] writes, [any] reads */
static uint64_t frames_at;   /* [site] offset of the open chunk of frames */
static uint64_t frames_left; /* [site] its frames that are free */

/* Two stacks with one hash, depth and flags are taken for the same: 64 bits tell a million stacks apart, but for one
 * chance in 10^7, and to compare them frame by frame costs a program with many deep ones more than all the rest. */
struct stack {
    uint64_t hash;
    uint32_t depth;
    uint32_t flags;
};

static bool is_site(uint32_t id, const struct stack *stack) {
    const struct psc_wire_site *site = psc_track_table_row(PSC_CHUNK_SITES, id);
    return site->hash == stack->hash && site->depth == stack->depth && site->flags == stack->flags;
}

static uint64_t entry_of(uint64_t hash, uint32_t id) {
    return (hash & ~(uint64_t)UINT32_MAX) | id;
}

/* PSC_SITE_NONE: not there. */
static uint32_t find(const struct index *index, const struct stack *stack) {
    for (uint64_t i = stack->hash & index->mask;; i = (i + 1) & index->mask) {
        uint64_t entry = PSC_LOAD_ACQUIRE(&index->entries[i]);
        if (entry == 0) {
            return PSC_SITE_NONE;
        }
        if (entry == entry_of(stack->hash, (uint32_t)entry) && is_site((uint32_t)entry, stack)) {
            return (uint32_t)entry;
        }
    }
}

static void insert(struct index *index, uint64_t hash, uint32_t id) {
    uint64_t i = hash & index->mask;
    while (index->entries[i] != 0) {
        i = (i + 1) & index->mask;
    }
    PSC_STORE_RELEASE(&index->entries[i], entry_of(hash, id));
}

static struct index *make_index(uint64_t entries) {
    struct index *index = psc_track_private_get(sizeof *index + entries * sizeof index->entries[0]);
    if (index == NULL) {
        psc_track_stop(PSC_STOP_MEMORY, ENOMEM);
        errno = ENOMEM;
        return NULL;
    }
    index->mask = entries - 1;
    return index;
}

/* Keeps the index at most half full. */
static bool make_room(void) {
    uint32_t count = psc_track_table_count(PSC_CHUNK_SITES);
    if (count <= sites->mask / 2) {
        return true;
    }
    struct index *larger = make_index((sites->mask + 1) * 2);
    if (larger == NULL) {
        return false;
    }
    for (uint32_t id = PSC_SITE_FIRST; id < count; id++) {
        const struct psc_wire_site *site = psc_track_table_row(PSC_CHUNK_SITES, id);
        insert(larger, site->hash, id);
    }
    PSC_STORE_RELEASE(&sites, larger);
    return true;
}

/* File offset of room for `depth` frames in one chunk, 0: none. */
static uint64_t frames_take(uint32_t depth) {
    if (frames_left < depth) {
        frames_at = psc_track_chunk_take(PSC_CHUNK_FRAMES);
        frames_left = frames_at != 0 ? PSC_CHUNK_BYTES / FRAME_BYTES : 0;
    }
    if (frames_left < depth) {
        return 0;
    }
    uint64_t offset = frames_at;
    frames_at += depth * FRAME_BYTES;
    frames_left -= depth;
    return offset;
}

/* The hash makes the row valid: it comes last. */
static void write_site(struct psc_wire_site *site, const struct stack *stack, const uint64_t *addresses,
                       uint64_t frames) {
    memcpy(psc_track_at(frames), addresses, stack->depth * FRAME_BYTES);
    site->frames = frames;
    site->modules = psc_track_table_count(PSC_CHUNK_MODULES);
    site->depth = (uint16_t)stack->depth;
    site->flags = (uint16_t)stack->flags;
    site->first_clock = PSC_LOAD(&psc_track.header->counters.clock_bytes);
    PSC_STORE_RELEASE(&site->hash, stack->hash);
}

static uint32_t add(const struct stack *stack, struct psc_unwind_stack *walked) {
    uint32_t id;
    const uint64_t *addresses = psc_unwind_addresses(walked);
    if (psc_track_table_count(PSC_CHUNK_SITES) >= PSC_SITES_MAX || !make_room()) {
        return PSC_SITE_UNKNOWN;
    }
    uint64_t frames = frames_take(stack->depth);
    struct psc_wire_site *site = frames != 0 ? psc_track_table_add(PSC_CHUNK_SITES, &id) : NULL;
    if (site == NULL) {
        return PSC_SITE_UNKNOWN;
    }
    psc_track_module_note(addresses, stack->depth);
    write_site(site, stack, addresses, frames);
    if (psc_track.apart) {
        psc_track_apart_note(id, addresses, stack->depth);
    }
    insert(sites, stack->hash, id);
    return id;
}

static uint32_t find_or_add(const struct stack *stack, struct psc_unwind_stack *walked) {
    psc_lock_take(&psc_track.locks.site);
    uint32_t id = find(sites, stack); /* another thread may have been faster */
    if (id == PSC_SITE_NONE) {
        id = add(stack, walked);
    }
    psc_lock_release(&psc_track.locks.site);
    return id;
}

uint32_t psc_track_site_intern(struct psc_track_thread *thread, uint64_t hash) {
    struct psc_unwind_stack *walked = &thread->stack;
    if (walked->depth == 0) {
        return PSC_SITE_UNKNOWN;
    }
    struct stack stack = {hash, walked->depth, walked->flags};
    uint32_t id = find(PSC_LOAD_ACQUIRE(&sites), &stack);
    return id != PSC_SITE_NONE ? id : find_or_add(&stack, walked);
}

bool psc_track_site_begin(void) {
    uint32_t id;
    frames_left = 0;
    if (psc_track.apart) {
        psc_track_apart_reset();
    }
    sites = make_index(INDEX_ENTRIES_FIRST);
    if (sites == NULL || psc_track_table_add(PSC_CHUNK_SITES, &id) == NULL) { /* PSC_SITE_NONE */
        return false;
    }
    struct psc_wire_site *unknown = psc_track_table_add(PSC_CHUNK_SITES, &id);
    unknown->hash = PSC_SITE_UNKNOWN;
    return true;
}
