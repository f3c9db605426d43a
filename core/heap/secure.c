#include "core/heap/secure.h"

#include <string.h>
#include <unistd.h>

#include "core/base/random.h"
#include "core/heap/guard.h"
#include "core/heap/misuse.h"
#include "core/heap/pick.h"
#include "core/heap/quarantine.h"

#define SLACK_SHIFT 16 /* of the seal's bits: how many bytes are filled */
#define SLACK_MOST UINT16_MAX
#define EACH_BYTE UINT64_C(0x0101010101010101)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the seal's lowest bits come first");
_Static_assert(PSC_SMALL_MAX <= SLACK_MOST, "what is filled of a block fits its seal");

bool psc_secure_on;
static uint64_t secret[2];
static uint64_t filler; /* no byte of it is zero */
static bool lost_due;   /* any thread, atomic */

/* ---- seals -------------------------------------------------------------------------------------------------------- */

static uint64_t seal_of(const void *p, uint64_t slack) {
    uint64_t code = psc_random_seed(secret[0] ^ (uintptr_t)p, secret[1] ^ slack);
    return (code & ~(uint64_t)UINT32_MAX) | slack << SLACK_SHIFT | (filler & UINT8_MAX);
}

/* The filler's bytes by their address; so whole words can be written from an aligned one on. `end` is aligned. */
static void fill(char *p, const char *end) {
    for (; p < end && (uintptr_t)p % sizeof filler != 0; p++) {
        *p = (char)(filler >> (uintptr_t)p % sizeof filler * 8);
    }
    for (; p < end; p += sizeof filler) {
        memcpy(p, &filler, sizeof filler);
    }
}

static bool is_filled(const char *p, const char *end) {
    uint64_t differ = 0;
    for (; p < end && (uintptr_t)p % sizeof filler != 0; p++) {
        differ |= (uint8_t)*p ^ (uint8_t)(filler >> (uintptr_t)p % sizeof filler * 8);
    }
    for (; p < end; p += sizeof filler) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        differ |= word ^ filler;
    }
    return differ == 0;
}

void *psc_secure_seal(void *p, uint32_t block_bytes, size_t bytes) {
    char *end = (char *)p + block_bytes - PSC_SEAL_BYTES;
    uint64_t seal = seal_of(p, block_bytes - PSC_SEAL_BYTES - bytes);
    fill((char *)p + bytes, end);
    memcpy(end, &seal, sizeof seal);
    return p;
}

size_t psc_secure_requested(const void *p, uint32_t block_bytes) {
    const char *end = (const char *)p + block_bytes - PSC_SEAL_BYTES;
    uint64_t seal;
    memcpy(&seal, end, sizeof seal);
    uint64_t slack = seal >> SLACK_SHIFT & SLACK_MOST, most = block_bytes - PSC_SEAL_BYTES;
    bool sealed = slack <= most && seal == seal_of(p, slack);
    if (PSC_UNLIKELY(!sealed || !is_filled(end - slack, end))) {
        psc_misuse_damage(p, PSC_MISUSE_OVERRUN);
        slack = sealed ? slack : 0; /* nothing that the program wrote is to be lost */
        psc_secure_seal((void *)(uintptr_t)p, block_bytes, most - slack); /* told once */
    }
    return most - slack;
}

void psc_secure_seal_large(struct psc_large *large, size_t bytes) {
    large->requested = bytes;
    fill(large->base + bytes, large->base + large->bytes);
}

void psc_secure_check_large(const struct psc_large *large) {
    if (PSC_UNLIKELY(!is_filled(large->base + large->requested, large->base + large->bytes))) {
        psc_misuse_large(large, PSC_MISUSE_OVERRUN);
        fill(large->base + large->requested, large->base + large->bytes); /* told once */
    }
}

/* ---- what is free reads as zero ----------------------------------------------------------------------------------- */

/* Blocks are aligned to 16 bytes, and so are their sizes. */
static bool is_zero(const void *p, size_t bytes) {
    const uint64_t *words = __builtin_assume_aligned(p, 16);
    uint64_t any = 0;
    for (size_t i = 0; i < bytes / sizeof *words; i += 2) {
        any |= words[i] | words[i + 1];
    }
    return any == 0;
}

void psc_secure_wipe(void *p, uint32_t block_bytes) {
    psc_secure_requested(p, block_bytes);
    memset(p, 0, block_bytes);
}

/* ---- which blocks are live ---------------------------------------------------------------------------------------- */

static uint64_t bit_of(uint32_t index) {
    return (uint64_t)1 << index % 64;
}

bool psc_secure_is_live(struct psc_pool *pool, uint32_t index) {
    return (PSC_LOAD(&psc_pool_live(pool)[index / 64]) & bit_of(index)) != 0;
}

uint32_t psc_secure_count_live(struct psc_pool *pool) {
    const uint64_t *live = psc_pool_live(pool);
    uint32_t count = 0;
    for (uint32_t word = 0; word < psc_pool_words(pool); word++) {
        count += (uint32_t)__builtin_popcountll(PSC_LOAD(&live[word]));
    }
    return count;
}

static void set_live(struct psc_pool *pool, uint32_t index) {
    __atomic_fetch_or(&psc_pool_live(pool)[index / 64], bit_of(index), __ATOMIC_RELAXED);
}

bool psc_secure_claim(struct psc_pool *pool, uint32_t index) {
    uint64_t before = __atomic_fetch_and(&psc_pool_live(pool)[index / 64], ~bit_of(index), __ATOMIC_ACQ_REL);
    return (before & bit_of(index)) != 0;
}

/* ---- which one is given out --------------------------------------------------------------------------------------- */

/* The first free block from a random place on. The pool has a free one, so the search ends. */
static uint32_t draw_index(struct psc_heap *heap, const struct psc_pool *pool) {
    uint32_t start = (uint32_t)((psc_random_next(&heap->order) >> 32) * pool->carved >> 32);
    uint32_t word = start / 64;
    uint64_t bits = pool->free[word] & UINT64_MAX << start % 64;
    while (bits == 0) {
        word = word + 1 < psc_pool_words(pool) ? word + 1 : 0;
        bits = pool->free[word];
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

void *psc_secure_take(struct psc_heap *heap, struct psc_pool *pool) {
    uint32_t index = draw_index(heap, pool), word = index / 64;
    char *p = pool->base + (size_t)index * pool->block_bytes;
    PSC_STORE(&pool->word, &pool->free[word]);
    pool->word_base = pool->base + (size_t)word * 64 * pool->block_bytes;
    PSC_STORE(pool->word, *pool->word & ~bit_of(index));
    if (PSC_UNLIKELY(!is_zero(p, pool->block_bytes))) {
        psc_misuse_damage(p, PSC_MISUSE_WRITTEN);
        memset(p, 0, pool->block_bytes);
    }
    set_live(pool, index);
    psc_pick_one(heap, pool, p);
    return p;
}

void *psc_secure_take_span(struct psc_pool *span, bool fresh) {
    if (!fresh) {
        memset(span->base, 0, span->block_bytes);
    }
    set_live(span, 0);
    return span->base;
}

/* ---- begin -------------------------------------------------------------------------------------------------------- */

void psc_secure_begin_heap(struct psc_heap *heap) {
    heap->secure = psc_secure_on;
    heap->order = psc_random_seed(psc_random_seed(secret[0], secret[1]), heap->number);
}

void psc_heap_secure(const uint64_t with_secret[2], uint64_t mappings_most) {
    secret[0] = with_secret[0];
    secret[1] = with_secret[1];
    filler = psc_random_seed(psc_random_seed(secret[0], secret[1]), 0) | EACH_BYTE;
    psc_guard_allow(mappings_most);
    psc_heap_leave();
    psc_arena_part();
    PSC_STORE(&psc_secure_on, true);
    psc_heap_of_spans.secure = true;
}

/* ---- fork --------------------------------------------------------------------------------------------------------- */

static void empty_quarantine(struct psc_heap *heap, void *context) {
    (void)context;
    psc_quarantine_empty(heap);
}

static void draw_otherwise(struct psc_heap *heap, void *context) {
    heap->order = psc_random_seed(heap->order, *(const uint64_t *)context);
}

/* A thread that is gone may have been anywhere in between: so all blocks that it had out of the program's hands are found by
 * their bits, those in quarantines with them. */
void psc_secure_fork_child(bool lost) {
    uint64_t process = (uint64_t)getpid();
    if (!psc_secure_on) {
        return;
    }
    psc_heap_each(draw_otherwise, &process);
    if (lost) {
        psc_heap_each(empty_quarantine, NULL);
        PSC_STORE(&lost_due, true);
    }
}

static uint64_t lost_in_word(struct psc_pool *pool, uint32_t word) {
    uint32_t carved = pool->carved > word * 64 ? pool->carved - word * 64 : 0;
    uint64_t blocks = carved >= 64 ? UINT64_MAX : ((uint64_t)1 << carved) - 1;
    return blocks & ~(pool->free[word] | psc_pool_remote(pool)[word] | psc_pool_live(pool)[word]);
}

/* All heaps are unsound, so each looks at what was handed back before it is used. */
static void hand_back_lost(struct psc_pool *pool, void *context) {
    (void)context;
    if (!psc_pool_is_secure(pool) || pool->class_index == PSC_CLASS_SPAN) {
        return;
    }
    for (uint32_t word = 0; word < psc_pool_words(pool); word++) {
        uint64_t lost = lost_in_word(pool, word);
        for (uint64_t bits = lost; bits != 0; bits &= bits - 1) {
            char *p = pool->base + (size_t)(word * 64 + (uint32_t)__builtin_ctzll(bits)) * pool->block_bytes;
            if (!is_zero(p, pool->block_bytes)) { /* the page is not to be copied for nothing */
                memset(p, 0, pool->block_bytes);
            }
        }
        __atomic_fetch_or(&psc_pool_remote(pool)[word], lost, __ATOMIC_RELEASE);
    }
}

void psc_secure_find_lost(void) {
    if (PSC_LIKELY(!PSC_LOAD_ACQUIRE(&lost_due))) {
        return;
    }
    psc_lock_take(&psc_idle_lock);
    if (PSC_LOAD(&lost_due)) {
        psc_arena_each_pool(hand_back_lost, NULL);
        PSC_STORE_RELEASE(&lost_due, false);
    }
    psc_lock_release(&psc_idle_lock);
}
