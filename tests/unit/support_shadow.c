#include "tests/unit/support_shadow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_STEP 0x9e3779b97f4a7c15u /* odd: comes round after 2^64 blocks */
#define SPOILT_NOTE 0x5a5a5a5a5a5a5a5au

PSC_COLD _Noreturn static void fail(const char *what, const struct psc_shadow_block *block) {
    fprintf(stderr, "shadow: %s: block %p of %zu bytes\n", what, (void *)block->p, block->bytes);
    abort();
}

static void need(bool holds, const char *what, const struct psc_shadow_block *block) {
    if (PSC_UNLIKELY(!holds)) {
        fail(what, block);
    }
}

/* ---- contents -------------------------------------------------------------------------------------------------- */

static uint64_t new_pattern(void) {
    static uint64_t last;
    uint64_t pattern;
    do {
        pattern = PSC_ADD(&last, PATTERN_STEP);
    } while (pattern == 0 || pattern == SPOILT_NOTE); /* for notes it is used too */
    return pattern;
}

/* The word that is looked at after word i. What happens to pages happens to all of a page: where a block is long, some
 * words of each are enough, and take a fraction of the time. */
static size_t next_word(size_t i) {
    return i < 8192 ? i + 1 : i + 61;
}

static void fill(const struct psc_shadow_block *block) {
    uint64_t *words = (uint64_t *)(void *)block->p;
    for (size_t i = 0; i < block->bytes / sizeof *words; i = next_word(i)) {
        words[i] = block->pattern + i;
    }
}

static void verify(const struct psc_shadow_block *block, size_t bytes) {
    const uint64_t *words = (const uint64_t *)(void *)block->p;
    uint64_t differ = 0;
    for (size_t i = 0; i < bytes / sizeof *words; i = next_word(i)) {
        differ |= words[i] ^ (block->pattern + i);
    }
    need(differ == 0, "contents changed", block);
}

static void verify_zero(const struct psc_shadow_block *block, size_t bytes) {
    const unsigned char *p = block->p;
    need(bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0), "not zeroed", block);
}

/* ---- notes ----------------------------------------------------------------------------------------------------- */

/* What a pool leaves in its note must not be found there by the next one. */
static void spoil(struct psc_note *note) {
    *note = (struct psc_note){{SPOILT_NOTE, SPOILT_NOTE}};
}

void psc_shadow_watch_notes(void) {
    static const struct psc_heap_hooks hooks = {.pool_retired = spoil};
    psc_heap_set_hooks(&hooks);
}

/* The first who meets a note signs it: two threads that have no heap any more may both be the first. */
static void sign_note(struct psc_shadow_block *block, const struct psc_block *known) {
    for (size_t i = 0; i < PSC_COUNT_OF(known->note->words); i++) {
        uint64_t seen = 0;
        bool first = __atomic_compare_exchange_n(&known->note->words[i], &seen, block->pattern, false, __ATOMIC_RELAXED,
                                                 __ATOMIC_RELAXED);
        need(first || known->class_index < PSC_CLASS_COUNT, "a new large block has a note", block);
        need(seen != SPOILT_NOTE, "a new pool has an old one's note", block);
        block->note.words[i] = first ? block->pattern : seen;
    }
}

static void verify_note(const struct psc_shadow_block *block, const struct psc_block *known) {
    for (size_t i = 0; i < PSC_COUNT_OF(known->note->words); i++) {
        need(PSC_LOAD(&known->note->words[i]) == block->note.words[i], "the note changed", block);
    }
}

/* ---- the hardened heap ----------------------------------------------------------------------------------------- */

#define MAPPINGS_FOR_GUARDS 64 /* few, so that blocks without guards are made as well */

static bool hardened;

void psc_shadow_harden(void) {
    static const uint64_t secret[2] = {0x0123456789abcdefu, 0xfedcba9876543210u};
    psc_heap_secure(secret, MAPPINGS_FOR_GUARDS);
    hardened = true;
}

static bool is_usable(size_t usable, size_t bytes, size_t block_bytes) {
    return hardened ? usable == bytes : usable >= bytes && usable == block_bytes;
}

/* ---- order of addresses ---------------------------------------------------------------------------------------- */

/* How many blocks of the model begin below p. */
static uint32_t count_below(const struct psc_shadow *shadow, const unsigned char *p) {
    uint32_t low = 0;
    uint32_t high = shadow->live;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (shadow->by_address[middle]->p < p) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool meets_next(const struct psc_shadow *shadow, uint32_t place) {
    const struct psc_shadow_block *block = shadow->by_address[place];
    return place + 1 < shadow->live && block->p + block->bytes > shadow->by_address[place + 1]->p;
}

static bool shares_pool_with_other_group(const struct psc_shadow *shadow, uint32_t place) {
    const struct psc_shadow_block *block = shadow->by_address[place];
    return place + 1 < shadow->live && block->base == shadow->by_address[place + 1]->base &&
           block->group != shadow->by_address[place + 1]->group;
}

static void link_block(struct psc_shadow *shadow, struct psc_shadow_block *block) {
    uint32_t place = count_below(shadow, block->p);
    struct psc_shadow_block **at = &shadow->by_address[place];
    memmove(at + 1, at, (shadow->live - place) * sizeof *at);
    *at = block;
    shadow->live++;
    need(!meets_next(shadow, place), "overlaps the one behind it", block);
    need(place == 0 || !meets_next(shadow, place - 1), "overlaps the one before it", block);
    bool mixed =
        shares_pool_with_other_group(shadow, place) || (place > 0 && shares_pool_with_other_group(shadow, place - 1));
    need(!mixed, "lies in a pool with blocks of another group", block);
}

static void unlink_block(struct psc_shadow *shadow, const struct psc_shadow_block *block) {
    struct psc_shadow_block **at = &shadow->by_address[count_below(shadow, block->p)];
    shadow->live--;
    memmove(at, at + 1, (size_t)(shadow->by_address + shadow->live - at) * sizeof *at);
}

/* ---- what the heap says of a block ----------------------------------------------------------------------------- */

static void describe(const struct psc_shadow_block *block, struct psc_block *known) {
    psc_heap_block(block->p, known);
    bool single = known->class_index >= PSC_CLASS_COUNT;
    need((unsigned char *)known->base + known->index * known->bytes == block->p, "not where its index says", block);
    need(known->index < known->capacity, "beyond its pool", block);
    need(!single || known->capacity == 1, "a large block that is not alone", block);
    need(psc_heap_owns(block->p), "not the heap's own", block);
}

static void verify_all(const struct psc_shadow_block *block) {
    struct psc_block known;
    describe(block, &known);
    need(psc_heap_usable(block->p) == block->bytes, "the usable size changed", block);
    need(known.bytes == block->block_bytes, "the block's size changed", block);
    verify_note(block, &known);
    verify(block, block->bytes);
}

/* ---- models ---------------------------------------------------------------------------------------------------- */

void psc_shadow_init(struct psc_shadow *shadow, uint32_t slots) {
    *shadow = (struct psc_shadow){.slots = slots};
    shadow->blocks = calloc(slots, sizeof *shadow->blocks);
    shadow->by_address = calloc(slots, sizeof(struct psc_shadow_block *));
    if (shadow->blocks == NULL || shadow->by_address == NULL) {
        perror("shadow");
        abort();
    }
}

void psc_shadow_release(struct psc_shadow *shadow) {
    free(shadow->blocks);
    free(shadow->by_address);
    *shadow = (struct psc_shadow){.blocks = NULL};
}

/* ---- operations ------------------------------------------------------------------------------------------------ */

static void enter_in(struct psc_shadow *shadow, uint32_t slot, uint32_t group, void *p, size_t alignment, size_t bytes,
                     size_t zeroed) {
    struct psc_shadow_block *block = &shadow->blocks[slot];
    struct psc_block known;
    *block = (struct psc_shadow_block){.p = p, .bytes = bytes, .pattern = new_pattern()};
    need(p != NULL, "no memory", block);
    need((uintptr_t)p % 16 == 0 && (uintptr_t)p % alignment == 0, "not aligned", block);
    describe(block, &known);
    block->bytes = psc_heap_usable(p);
    block->block_bytes = known.bytes;
    need(is_usable(block->bytes, bytes, known.bytes), "the usable size is not that of a block for this request", block);
    block->base = known.base;
    block->group = known.class_index < PSC_CLASS_COUNT ? group : 0;
    link_block(shadow, block);
    sign_note(block, &known);
    verify_zero(block, zeroed);
    fill(block);
}

/* `zeroed`: so many bytes at the beginning were asked for as zeroes. */
static void enter(struct psc_shadow *shadow, uint32_t slot, void *p, size_t alignment, size_t bytes, size_t zeroed) {
    enter_in(shadow, slot, 0, p, alignment, bytes, zeroed);
}

void psc_shadow_alloc(struct psc_shadow *shadow, uint32_t slot, size_t bytes) {
    enter(shadow, slot, psc_heap_alloc(bytes), 1, bytes, 0);
}

void psc_shadow_alloc_zeroed(struct psc_shadow *shadow, uint32_t slot, size_t bytes) {
    enter(shadow, slot, psc_heap_alloc_zeroed(bytes), 1, bytes, bytes);
}

void psc_shadow_alloc_aligned(struct psc_shadow *shadow, uint32_t slot, size_t alignment, size_t bytes) {
    enter(shadow, slot, psc_heap_alloc_aligned(alignment, bytes), alignment, bytes, 0);
}

void psc_shadow_alloc_in(struct psc_shadow *shadow, uint32_t slot, uint32_t group, size_t alignment, size_t bytes) {
    enter_in(shadow, slot, group, psc_heap_alloc_in(group, alignment, bytes), alignment, bytes, 0);
}

bool psc_shadow_resize(struct psc_shadow *shadow, uint32_t slot, size_t bytes) {
    struct psc_shadow_block *block = &shadow->blocks[slot];
    verify_all(block);
    unsigned char *p = psc_heap_resize(block->p, bytes);
    if (p == NULL) {
        verify_all(block);
        return false;
    }
    unlink_block(shadow, block);
    block->p = p;
    struct psc_block known;
    describe(block, &known);
    need((uintptr_t)p % 16 == 0, "not aligned after a resize", block);
    size_t usable = psc_heap_usable(p);
    need(is_usable(usable, bytes, known.bytes), "the usable size is not that of a block of the new size", block);
    verify_note(block, &known);
    verify(block, usable < block->bytes ? usable : block->bytes);
    block->bytes = usable;
    block->block_bytes = known.bytes;
    block->base = known.base;
    link_block(shadow, block);
    fill(block);
    return true;
}

static void copy(struct psc_shadow *shadow, uint32_t slot, size_t bytes) {
    struct psc_shadow_block old = psc_shadow_hand_over(shadow, slot);
    psc_shadow_alloc_in(shadow, slot, old.group, 1, bytes);
    struct psc_shadow_block *block = &shadow->blocks[slot];
    size_t both = old.bytes < block->bytes ? old.bytes : block->bytes;
    memcpy(block->p, old.p, both);
    verify_all(&old); /* the copy was made over none of it */
    psc_heap_free(old.p);
    block->pattern = old.pattern;
    verify(block, both);
    fill(block);
}

void psc_shadow_realloc(struct psc_shadow *shadow, uint32_t slot, size_t bytes) {
    if (!psc_shadow_resize(shadow, slot, bytes)) {
        copy(shadow, slot, bytes);
    }
}

void psc_shadow_look(const struct psc_shadow *shadow, uint32_t slot) {
    verify_all(&shadow->blocks[slot]);
}

void psc_shadow_free(struct psc_shadow *shadow, uint32_t slot) {
    psc_heap_free(psc_shadow_hand_over(shadow, slot).p);
}

void psc_shadow_free_all(struct psc_shadow *shadow) {
    while (shadow->live > 0) {
        psc_shadow_free(shadow, (uint32_t)(shadow->by_address[shadow->live - 1] - shadow->blocks));
    }
}

struct psc_shadow_block psc_shadow_hand_over(struct psc_shadow *shadow, uint32_t slot) {
    struct psc_shadow_block block = shadow->blocks[slot];
    verify_all(&block);
    unlink_block(shadow, &shadow->blocks[slot]);
    shadow->blocks[slot] = (struct psc_shadow_block){.p = NULL};
    return block;
}

void psc_shadow_adopt(struct psc_shadow *shadow, uint32_t slot, const struct psc_shadow_block *block) {
    verify_all(block);
    shadow->blocks[slot] = *block;
    link_block(shadow, &shadow->blocks[slot]);
}

/* ---- the whole heap -------------------------------------------------------------------------------------------- */

static uint64_t count_bytes(const struct psc_shadow *shadow) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < shadow->live; i++) {
        bytes += shadow->by_address[i]->block_bytes;
    }
    return bytes;
}

void psc_shadow_check_heap(const struct psc_shadow *shadow) {
    struct psc_heap_figures figures;
    const char *sentence = psc_heap_check();
    psc_heap_measure(&figures, NULL);
    uint64_t blocks = figures.live_blocks + figures.large_blocks;
    uint64_t bytes = figures.live_block_bytes + figures.large_bytes;
    if (sentence == NULL && (blocks != shadow->live || bytes != count_bytes(shadow))) {
        fprintf(stderr, "shadow: %" PRIu32 " blocks of %" PRIu64 " bytes, the heap counts %" PRIu64 " of %" PRIu64 "\n",
                shadow->live, count_bytes(shadow), blocks, bytes);
        abort();
    }
    if (sentence != NULL) {
        fprintf(stderr, "shadow: the heap's invariants: %s\n", sentence);
        abort();
    }
}
