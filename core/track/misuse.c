/* Who made a block that the program misuses: told on stderr, from what the trace knows. */
#include "core/base/say.h"
#include "core/track/types.h"

#define FRAMES_TOLD 24u
#define GONE_PLACES 1024u
#define PAGE_SHIFT 12

/* Large blocks that are gone, with their sites: their tags go with them. Page number and site; any thread, atomic. */
static uint64_t gone[GONE_PLACES];

_Static_assert(PAGE_SHIFT <= 64 - 47 && PSC_TAG_SITE_BITS <= 64 - 47 + PAGE_SHIFT, "both fit one word");

static uint64_t *gone_place(uint64_t base) {
    return &gone[((base >> PAGE_SHIFT) * 0x9e3779b97f4a7c15u) >> 32 & (GONE_PLACES - 1)];
}

void psc_track_note_gone(uint64_t base, uint32_t site) {
    PSC_STORE(gone_place(base), base >> PAGE_SHIFT << PSC_TAG_SITE_BITS | site);
}

void psc_track_misuse_reset(void) {
    for (uint32_t i = 0; i < GONE_PLACES; i++) {
        PSC_STORE(&gone[i], 0);
    }
}

static uint32_t site_of_gone(uint64_t base) {
    uint64_t entry = PSC_LOAD(gone_place(base));
    return entry >> PSC_TAG_SITE_BITS == base >> PAGE_SHIFT ? (uint32_t)entry & (PSC_SITES_MAX - 1) : PSC_SITE_NONE;
}

void psc_track_count_misuse(void) {
    if (psc_track_current() != 0) {
        PSC_ADD(&psc_track.header->counters.misuse_count, 1);
    }
}

/* Of a sampled trace tags of freed blocks do not tell: others may have been there since. */
static uint32_t find_site(const struct psc_tags *tags, uint32_t index, uint64_t address) {
    bool sampled = psc_track.interval != 0;
    uint64_t *attached = tags != NULL ? PSC_LOAD(&tags->tags) : NULL;
    if (attached != NULL && PSC_LOAD_ACQUIRE(&tags->epoch) == psc_track_current()) {
        uint64_t tag = PSC_LOAD(&attached[index]);
        return !sampled || psc_tag_is_live(tag) ? psc_tag_last_site(tag) : PSC_SITE_NONE;
    }
    return sampled ? PSC_SITE_NONE : site_of_gone(address);
}

/* The newest of the first `count` that has the address. */
static const struct psc_wire_module *find_module(uint64_t address, uint32_t count) {
    for (uint32_t i = count; i > 0; i--) {
        const struct psc_wire_module *row = psc_track_table_row(PSC_CHUNK_MODULES, i - 1);
        if (row->start <= address && address < row->end) {
            return row;
        }
    }
    return NULL;
}

/* A name of a file may have anything in it. */
static const char *plain(const char *name, char *buffer, size_t bytes) {
    size_t length = psc_format(buffer, bytes, "%s", name);
    for (size_t i = 0; i < length; i++) {
        buffer[i] = (unsigned char)buffer[i] < ' ' || buffer[i] == 0x7f ? '?' : buffer[i];
    }
    return buffer;
}

/* The byte before a return address belongs to the call. */
static void say_frame(uint32_t number, uint64_t address, uint32_t modules) {
    char name[sizeof((struct psc_wire_module){0}.path)];
    const struct psc_wire_module *module = find_module(address - 1, modules);
    if (module != NULL) {
        psc_say("  #%u %s+0x%lx", number, plain(module->path, name, sizeof name), address - 1 - module->bias);
    } else {
        psc_say("  #%u 0x%lx", number, address - 1);
    }
}

static void say_stack(const struct psc_wire_site *site) {
    const uint64_t *addresses = psc_track_at(site->frames);
    uint32_t depth = site->depth < FRAMES_TOLD ? site->depth : FRAMES_TOLD;
    for (uint32_t i = 0; i < depth; i++) {
        say_frame(i, addresses[i], site->modules);
    }
    if (site->depth > depth) {
        psc_say("  and %u frames more", site->depth - depth);
    }
}

void psc_track_say_maker(const struct psc_tags *tags, uint32_t index, uint64_t address) {
    uint32_t id = psc_track_current() != 0 ? find_site(tags, index, address) : PSC_SITE_NONE;
    if (id < PSC_SITE_FIRST || id >= psc_track_table_count(PSC_CHUNK_SITES)) {
        return;
    }
    const struct psc_wire_site *site = psc_track_table_row(PSC_CHUNK_SITES, id);
    psc_say("the block at 0x%lx was made by site %u:", address, id);
    say_stack(site);
}
