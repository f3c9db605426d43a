#include "core/heap/meta.h"

#include "core/base/lock.h"
#include "core/base/os.h"
#include "core/heap/internal.h"

#define REGION_BYTES ((size_t)16 << 20)
#define REGION_BYTES_LEAST ((size_t)1 << 20)
#define COMMIT_STEP ((size_t)128 << 10)
#define REGIONS_MAX 4096u  /* those beyond are not found resident */
#define GAP PSC_PAGE_BYTES /* never committed, at both ends of a region */

struct region {
    const char *base;
    size_t bytes;
};

static struct {
    struct psc_lock lock;
    char *next;      /* first byte not handed out */
    char *committed; /* end of the usable part */
    char *end;       /* of the region, less the gap */
    size_t bytes;
    uint32_t region_count; /* stored last; any thread reads the regions below it */
    struct region regions[REGIONS_MAX];
} meta;

static void note_region(char *base, size_t bytes) {
    uint32_t count = meta.region_count;
    if (count < REGIONS_MAX) {
        meta.regions[count] = (struct region){base, bytes};
        PSC_STORE_RELEASE(&meta.region_count, count + 1);
    }
}

static bool new_region(size_t bytes) {
    size_t least = psc_round_up(bytes, PSC_PAGE_BYTES) + 2 * GAP;
    size_t wanted = psc_os_address_space_limit() == SIZE_MAX ? REGION_BYTES : REGION_BYTES_LEAST;
    if (wanted < least) {
        wanted = least;
    }
    char *region = psc_os_reserve(wanted, PSC_PAGE_BYTES);
    if (region == NULL && wanted > least) {
        wanted = least;
        region = psc_os_reserve(wanted, PSC_PAGE_BYTES);
    }
    if (region == NULL && psc_space_given_up()) {
        region = psc_os_reserve(wanted, PSC_PAGE_BYTES);
    }
    if (region == NULL) {
        return false;
    }
    meta.next = meta.committed = region + GAP;
    meta.end = region + wanted - GAP;
    note_region(region, wanted);
    return true;
}

static bool commit_until(char *end) {
    if (end <= meta.committed) {
        return true;
    }
    size_t bytes = psc_round_up((size_t)(end - meta.committed), COMMIT_STEP);
    if (bytes > (size_t)(meta.end - meta.committed)) {
        bytes = (size_t)(meta.end - meta.committed);
    }
    if (!psc_os_commit(meta.committed, bytes)) {
        return false;
    }
    meta.committed += bytes;
    return true;
}

static void *bump(size_t bytes) {
    if (bytes > (size_t)(meta.end - meta.next) && !new_region(bytes)) {
        return NULL;
    }
    if (!commit_until(meta.next + bytes)) {
        return NULL;
    }
    void *p = meta.next;
    meta.next += bytes;
    PSC_STORE(&meta.bytes, meta.bytes + bytes);
    return p;
}

void *psc_meta_alloc(size_t bytes) {
    psc_lock_take(&meta.lock);
    void *p = bump(psc_round_up(bytes, 64));
    psc_lock_release(&meta.lock);
    return p;
}

size_t psc_meta_bytes(void) {
    return PSC_LOAD(&meta.bytes);
}

uint64_t psc_meta_resident_bytes(void) {
    uint64_t bytes = 0;
    uint32_t count = PSC_LOAD_ACQUIRE(&meta.region_count);
    for (uint32_t i = 0; i < count; i++) {
        bytes += psc_os_resident(meta.regions[i].base, meta.regions[i].bytes);
    }
    return bytes;
}

void psc_meta_fork_prepare(void) {
    psc_lock_take(&meta.lock);
}

void psc_meta_fork_parent(void) {
    psc_lock_release(&meta.lock);
}

void psc_meta_fork_child(void) {
    psc_lock_reset(&meta.lock);
}
