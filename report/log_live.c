#include <stdlib.h>

#include "report/array.h"
#include "report/log_part.h"

#define PLACES_FIRST 1024

static size_t home_of(const struct psc_log_live *live, uint64_t address) {
    return (size_t)((address >> 4) * 0x9e3779b97f4a7c15u >> 20) & live->mask;
}

/* The place of an address, or the free one where it would be. */
static struct psc_log_block *place_of(const struct psc_log_live *live, uint64_t address) {
    size_t i = home_of(live, address);
    while (live->places[i].address != 0 && live->places[i].address != address) {
        i = (i + 1) & live->mask;
    }
    return &live->places[i];
}

static void grow(struct psc_log_live *live) {
    struct psc_log_block *old = live->places;
    size_t count = old != NULL ? live->mask + 1 : 0;
    size_t wanted = old != NULL ? count * 2 : PLACES_FIRST;
    live->places = psc_array_new(wanted, sizeof(*live->places));
    live->mask = wanted - 1;
    for (size_t i = 0; i < count; i++) {
        if (old[i].address != 0) {
            *place_of(live, old[i].address) = old[i];
        }
    }
    free(old);
}

const struct psc_log_block *psc_log_live_find(const struct psc_log_live *live, uint64_t address) {
    if (live->count == 0 || address == 0) {
        return NULL;
    }
    const struct psc_log_block *place = place_of(live, address);
    return place->address != 0 ? place : NULL;
}

/* No block lies at 0: only damage says so. */
void psc_log_live_add(struct psc_log_live *live, const struct psc_log_block *block) {
    if (block->address == 0) {
        return;
    }
    if (live->places == NULL || live->count * 2 > live->mask) {
        grow(live);
    }
    struct psc_log_block *place = place_of(live, block->address);
    live->count += place->address == 0;
    *place = *block;
}

/* Those behind a place that has become free move up, so that each is found from its home without a gap. */
static void close_gap(struct psc_log_live *live, size_t gap) {
    for (size_t i = (gap + 1) & live->mask; live->places[i].address != 0; i = (i + 1) & live->mask) {
        size_t home = home_of(live, live->places[i].address);
        if (((i - home) & live->mask) >= ((i - gap) & live->mask)) {
            live->places[gap] = live->places[i];
            gap = i;
        }
    }
    live->places[gap].address = 0;
}

bool psc_log_live_take(struct psc_log_live *live, uint64_t address, struct psc_log_block *block) {
    if (psc_log_live_find(live, address) == NULL) {
        return false;
    }
    struct psc_log_block *place = place_of(live, address);
    *block = *place;
    close_gap(live, (size_t)(place - live->places));
    live->count--;
    return true;
}

void psc_log_live_release(struct psc_log_live *live) {
    free(live->places);
    *live = (struct psc_log_live){0};
}
