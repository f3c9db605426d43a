#include "core/track/types.h"

#define REGION_BYTES ((size_t)256 * 1024)
#define ALIGNMENT 64

/* Head of a mapping. */
struct region {
    struct region *next;
    size_t bytes;
};

_Static_assert(sizeof(struct region) <= ALIGNMENT, "the head takes one unit");

static struct region *regions; /* [private] all; the first one is being cut up */
static size_t region_used;     /* [private] of the first one */
static uint64_t mapped_bytes;  /* [any] */

static struct region *add_region(size_t bytes) {
    struct region *region = psc_os_map(bytes);
    if (region != NULL) {
        region->bytes = bytes;
        PSC_STORE(&mapped_bytes, mapped_bytes + bytes);
        PSC_STORE(&psc_track.header->counters.tracker_private_bytes, mapped_bytes);
    }
    return region;
}

/* Behind the first region, so that the first one's rest stays in use. */
static void *get_large(size_t bytes) {
    struct region *region = add_region(psc_round_up(bytes + ALIGNMENT, PSC_PAGE_BYTES));
    if (region == NULL) {
        return NULL;
    }
    if (regions == NULL) {
        regions = region;
        region_used = region->bytes;
    } else {
        region->next = regions->next;
        regions->next = region;
    }
    return (char *)region + ALIGNMENT;
}

static void *get_small(size_t bytes) {
    if (regions == NULL || regions->bytes - region_used < bytes) {
        struct region *region = add_region(REGION_BYTES);
        if (region == NULL) {
            return NULL;
        }
        region->next = regions;
        regions = region;
        region_used = ALIGNMENT;
    }
    void *p = (char *)regions + region_used;
    region_used += bytes;
    return p;
}

void *psc_track_private_get(size_t bytes) {
    bytes = psc_round_up(bytes, ALIGNMENT);
    psc_lock_take(&psc_track.locks.private);
    void *p = bytes > REGION_BYTES / 4 ? get_large(bytes) : get_small(bytes);
    psc_lock_release(&psc_track.locks.private);
    return p;
}

uint64_t psc_track_private_bytes(void) {
    return PSC_LOAD(&mapped_bytes);
}

uint64_t psc_track_private_resident_bytes(void) {
    uint64_t bytes = 0;
    psc_lock_take(&psc_track.locks.private);
    for (const struct region *region = regions; region != NULL; region = region->next) {
        bytes += psc_os_resident(region, region->bytes);
    }
    psc_lock_release(&psc_track.locks.private);
    return bytes;
}

void psc_track_private_reset(void) {
    while (regions != NULL) {
        struct region *region = regions;
        regions = region->next;
        psc_os_unmap(region, region->bytes);
    }
    region_used = 0;
    mapped_bytes = 0;
}
