#include "report/intern.h"

#include <stdlib.h>
#include <string.h>

#include "report/array.h"

#define ROOM_FIRST 1024

void psc_intern_release(struct psc_intern *intern) {
    free(intern->bytes);
    free(intern->entries);
    free(intern->slots);
    *intern = (struct psc_intern){0};
}

/* FNV-1a: G. Fowler, L. C. Noll, K.-P. Vo, D. Eastlake, "The FNV Non-Cryptographic Hash Algorithm". */
static uint64_t hash_of(const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3u;
    }
    return hash ^ hash >> 32;
}

static uint32_t *slot_of(const struct psc_intern *intern, const void *bytes, size_t length, uint64_t hash) {
    for (size_t i = hash;; i++) {
        uint32_t *slot = &intern->slots[i & (intern->room - 1)];
        if (*slot == 0) {
            return slot;
        }
        const struct psc_intern_entry *entry = &intern->entries[*slot - 1];
        if (entry->hash == hash && entry->length == length && memcmp(intern->bytes + entry->at, bytes, length) == 0) {
            return slot;
        }
    }
}

/* Keeps a quarter of the slots free. */
static void make_room(struct psc_intern *intern) {
    if ((intern->count + 1) * 4 <= intern->room * 3) {
        return;
    }
    free(intern->slots);
    intern->room = intern->room == 0 ? ROOM_FIRST : intern->room * 2;
    intern->slots = psc_array_new(intern->room, sizeof(*intern->slots));
    for (size_t i = 0; i < intern->count; i++) {
        const struct psc_intern_entry *entry = &intern->entries[i];
        *slot_of(intern, intern->bytes + entry->at, entry->length, entry->hash) = (uint32_t)i + 1;
    }
}

static uint32_t add(struct psc_intern *intern, const void *bytes, size_t length, uint64_t hash) {
    intern->bytes = psc_array_reserve(intern->bytes, intern->used + length + 1, &intern->bytes_capacity, 1);
    memcpy(intern->bytes + intern->used, bytes, length);
    intern->entries =
        psc_array_reserve(intern->entries, intern->count + 1, &intern->entries_capacity, sizeof(*intern->entries));
    intern->entries[intern->count] = (struct psc_intern_entry){hash, intern->used, length};
    intern->used += length;
    return (uint32_t)intern->count++;
}

uint32_t psc_intern_number(struct psc_intern *intern, const void *bytes, size_t length) {
    uint64_t hash = hash_of(bytes, length);
    make_room(intern);
    uint32_t *slot = slot_of(intern, bytes, length, hash);
    if (*slot == 0) {
        *slot = add(intern, bytes, length, hash) + 1;
    }
    return *slot - 1;
}
