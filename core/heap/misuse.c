#include "core/heap/misuse.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/os.h"
#include "core/base/say.h"
#include "core/heap/internal.h"

#define TOLD_MOST 10u /* when misuse is ignored */

#define SENTENCE(name, sentence) [PSC_MISUSE_##name] = (sentence),
static const char *const sentences[] = {PSC_MISUSES(SENTENCE)};

static bool ignored;
static uint32_t told; /* any thread, atomic */

void psc_misuse_ignore(bool ignore) {
    PSC_STORE(&ignored, ignore);
}

/* ---- saying it ------------------------------------------------------------------------------------------------- */

/* What was found out about the pointer. */
struct finding {
    enum psc_misuse misuse;
    bool has_block;
    struct psc_block block; /* that it was, points into, or is */
};

static const char *start_of(const struct psc_block *block) {
    return (const char *)block->base + block->index * block->bytes;
}

static void say(const struct finding *finding, const void *p) {
    const struct psc_block *block = &finding->block;
    psc_say("%s (%p)", sentences[finding->misuse], p);
    if (finding->misuse == PSC_MISUSE_INSIDE) {
        const char *start = start_of(block);
        psc_say("it points %zu bytes into the block at %p of %zu bytes", (size_t)((const char *)p - start), start,
                block->bytes);
    } else if (finding->misuse == PSC_MISUSE_SIZE) {
        psc_say("the block has %zu bytes", block->bytes);
    }
}

static bool is_to_be_told(bool ignore) {
    return !ignore || (PSC_LOAD(&told) < TOLD_MOST && PSC_ADD(&told, 1) < TOLD_MOST);
}

static void tell(const struct finding *finding, const void *p) {
    int saved = errno;
    bool ignore = PSC_LOAD(&ignored), telling = is_to_be_told(ignore);
    if (telling) {
        say(finding, p);
    }
    if (psc_hooks.misused != NULL) {
        const struct psc_block *block = finding->has_block ? &finding->block : NULL;
        psc_hooks.misused(block, block != NULL ? start_of(block) : p, telling);
    }
    if (!ignore) {
        abort();
    }
    if (telling && PSC_LOAD(&told) == TOLD_MOST && PSC_ADD(&told, 1) == TOLD_MOST) {
        psc_say("%u times the heap was misused: what comes now is ignored without a word", TOLD_MOST);
    }
    errno = saved;
}

/* ---- what a pointer points to ---------------------------------------------------------------------------------- */

/* Where a block begins one was refused: it was freed, whatever became of it since. Of a pool that is gone all were. */
static enum psc_misuse name_in_pool(struct psc_pool *pool, uint32_t index, bool begins, enum psc_misuse of_freed) {
    uint32_t carved = PSC_LOAD(&pool->carved);
    if (index >= pool->capacity || (carved != 0 && index >= carved)) {
        return PSC_MISUSE_NOWHERE;
    }
    return begins ? of_freed : carved != 0 && psc_pool_holds(pool, index) ? PSC_MISUSE_INSIDE : PSC_MISUSE_INSIDE_FREED;
}

static void find_in_pool(struct psc_pool *pool, const void *p, struct finding *finding) {
    size_t block_bytes = pool != NULL ? PSC_LOAD(&pool->block_bytes) : 0;
    uintptr_t offset = pool != NULL ? (uintptr_t)p - (uintptr_t)pool->base : 0;
    enum psc_misuse of_freed = finding->misuse;
    finding->misuse = PSC_MISUSE_NOWHERE;
    if (block_bytes == 0 || offset / block_bytes >= pool->capacity) {
        return;
    }
    uint32_t index = (uint32_t)(offset / block_bytes);
    finding->misuse = name_in_pool(pool, index, offset % block_bytes == 0, of_freed);
    finding->has_block = finding->misuse != PSC_MISUSE_NOWHERE;
    finding->block = (struct psc_block){.note = psc_pool_note(pool),
                                        .base = pool->base,
                                        .bytes = block_bytes,
                                        .index = index,
                                        .class_index = pool->class_index,
                                        .capacity = pool->capacity};
}

struct search {
    const void *p;
    enum psc_misuse of_freed;
    struct finding *finding;
};

static void look_into(struct psc_large *large, char *base, size_t bytes, void *context) {
    const struct search *search = context;
    if ((uintptr_t)search->p - (uintptr_t)base < bytes) {
        /* the beginning of one is no block's only while another thread frees it */
        search->finding->misuse = search->p == base ? search->of_freed : PSC_MISUSE_INSIDE;
        search->finding->has_block = true;
        search->finding->block = (struct psc_block){.note = &large->note, .base = base, .bytes = bytes, .capacity = 1};
    }
}

static void find_outside(const void *p, struct finding *finding) {
    struct search search = {p, finding->misuse, finding};
    if (!psc_large_was(p)) {
        finding->misuse = PSC_MISUSE_FOREIGN;
        psc_large_each(look_into, &search);
    }
}

static void find(const void *p, struct finding *finding) {
    struct psc_arena *arena = psc_radix_arena(p);
    if (arena != NULL) {
        find_in_pool(psc_arena_pool_at(arena, p), p, finding);
    } else {
        find_outside(p, finding);
    }
}

void psc_misuse_pointer(const void *p, enum psc_misuse of_freed) {
    struct finding finding = {.misuse = of_freed};
    find(p, &finding);
    tell(&finding, p);
}

void psc_misuse_damage(const void *p, enum psc_misuse misuse) {
    struct finding finding = {.misuse = PSC_MISUSE_STALE};
    find(p, &finding);
    finding.misuse = misuse;
    tell(&finding, p);
}

void psc_misuse_large(const struct psc_large *large, enum psc_misuse misuse) {
    struct finding finding = {.misuse = misuse, .has_block = true};
    finding.block = (struct psc_block){.note = (struct psc_note *)(uintptr_t)&large->note,
                                       .base = large->base,
                                       .bytes = large->bytes,
                                       .class_index = PSC_CLASS_COUNT,
                                       .capacity = 1};
    tell(&finding, large->base);
}

/* ---- what a block is said to be -------------------------------------------------------------------------------- */

/* What may lie behind a block for its protection counts as its own. */
#define MARGIN 16u

/* Of the sizes that lead to a block by some way, those are not refused that may have. */
static bool may_be_small(const struct psc_block *block, size_t bytes) {
    if (bytes + MARGIN >= block->bytes / 2) {
        return true;
    }
    for (size_t alignment = 32; alignment <= PSC_SLOT_BYTES; alignment *= 2) {
        if (psc_class_of_aligned(bytes, alignment) == block->class_index) {
            return true;
        }
    }
    return false;
}

static bool may_be_of_pages(const struct psc_block *block, size_t bytes) {
    return psc_round_up(bytes, PSC_PAGE_BYTES) + PSC_PAGE_BYTES >= block->bytes;
}

static bool is_size(const struct psc_block *block, size_t bytes) {
    bool small = block->class_index < PSC_CLASS_COUNT;
    return bytes <= block->bytes && (small ? may_be_small(block, bytes) : may_be_of_pages(block, bytes));
}

bool psc_misuse_is_sized(const void *p, size_t alignment, size_t bytes) {
    struct finding finding = {.has_block = true};
    if (!psc_heap_block(p, &finding.block)) {
        return true;
    }
    if (!psc_is_power_of_two(alignment) || ((uintptr_t)p & (alignment - 1)) != 0) {
        finding.misuse = PSC_MISUSE_ALIGNMENT;
    } else if (!is_size(&finding.block, bytes)) {
        finding.misuse = PSC_MISUSE_SIZE;
    } else {
        return true;
    }
    tell(&finding, p);
    return false;
}
