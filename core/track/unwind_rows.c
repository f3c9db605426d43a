#include "core/track/unwind_rows.h"

#define SETS (1 << PSC_ROWS_SET_BITS)
#define ROW_MASK ((UINT64_C(1) << PSC_ROW_BITS) - 1)

/* The factor's inverse: scattering undone. */
#define INVERSE UINT64_C(0x393dee219263)
_Static_assert((PSC_ROWS_FACTOR * INVERSE & PSC_ROWS_ADDRESS_MASK) == 1, "gives the address back");

struct psc_rows_set psc_rows_sets[SETS];

static uint64_t epoch; /* any thread, atomic */
uint64_t psc_rows_changes;

uint64_t psc_rows_epoch(void) {
    return __atomic_load_n(&epoch, __ATOMIC_SEQ_CST);
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

/* An empty entry, or else each one in turn. */
static uint64_t *choose_way(struct psc_rows_set *set) {
    static unsigned turn;
    for (int i = 0; i < PSC_ROWS_WAYS; i++) {
        if (__atomic_load_n(&set->entries[i], __ATOMIC_RELAXED) == 0) {
            return &set->entries[i];
        }
    }
    return &set->entries[__atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % PSC_ROWS_WAYS];
}

/* Either the thread that forgets sees the entry, or this one sees the new epoch: so no row outlives its module because
 * it was put a moment late. */
void psc_rows_put(uint64_t at, uint32_t row, uint64_t at_epoch) {
    if (at > PSC_ROWS_ADDRESS_MASK || psc_rows_epoch() != at_epoch) {
        return;
    }
    uint64_t scattered = psc_rows_scatter(at), entry = scattered << PSC_ROW_BITS | row;
    uint64_t *way = choose_way(&psc_rows_sets[scattered >> PSC_ROWS_TAG_BITS]);
    __atomic_store_n(way, entry, __ATOMIC_SEQ_CST);
    if (psc_rows_epoch() != at_epoch) {
        __atomic_compare_exchange_n(way, &entry, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
}

static void forget_set(uint64_t index, uint64_t start, uint64_t end) {
    for (int i = 0; i < PSC_ROWS_WAYS; i++) {
        uint64_t entry = __atomic_load_n(&psc_rows_sets[index].entries[i], __ATOMIC_SEQ_CST);
        uint64_t scattered = index << PSC_ROWS_TAG_BITS | entry >> PSC_ROW_BITS;
        uint64_t at = scattered * INVERSE & PSC_ROWS_ADDRESS_MASK;
        if ((entry & ROW_MASK) != 0 && at >= start && at < end) {
            __atomic_compare_exchange_n(&psc_rows_sets[index].entries[i], &entry, 0, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED);
        }
    }
}

static void forget_rows(uint64_t start, uint64_t end) {
    __atomic_fetch_add(&epoch, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&psc_rows_changes, 1, __ATOMIC_RELAXED);
    for (uint64_t index = 0; index < SETS; index++) {
        forget_set(index, start, end);
    }
}

/* ---- modules --------------------------------------------------------------------------------------------------- */

/* The modules met so far, hashed by their start, each a word: bits 28 to 63 first page, 8 to 27 pages, 0 to 7 a hash of
 * where the tables are. */
#define MODULES 1024
#define PROBES 8
#define PAGE_SHIFT 12
#define MODULE_PAGES_MAX 0xfffffu

static uint64_t modules[MODULES]; /* 0: empty; any thread, atomic */
static bool crowded;              /* a module found no place and put another out; any thread, atomic */

static uint64_t module_word(const struct psc_rows_module *module) {
    uint64_t pages = (module->end - module->start + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT;
    uint64_t hash = (module->tables - module->start) * PSC_ROWS_FACTOR >> 40 & 0xff;
    return module->start >> PAGE_SHIFT << 28 | (pages < MODULE_PAGES_MAX ? pages : MODULE_PAGES_MAX) << 8 | hash;
}

static uint64_t module_start(uint64_t word) {
    return word >> 28 << PAGE_SHIFT;
}

static uint64_t module_end(uint64_t word) {
    return module_start(word) + ((word >> 8 & MODULE_PAGES_MAX) << PAGE_SHIFT);
}

static uint64_t *module_slot(uint64_t word, unsigned probe) {
    return &modules[((word >> 28) * PSC_ROWS_FACTOR / 65536 + probe) % MODULES];
}

static bool module_known(uint64_t word) {
    for (unsigned probe = 0; probe < PROBES; probe++) {
        if (__atomic_load_n(module_slot(word, probe), __ATOMIC_RELAXED) == word) {
            return true;
        }
    }
    return false;
}

static void module_add(uint64_t word) {
    for (unsigned probe = 0; probe < PROBES; probe++) {
        uint64_t empty = 0;
        if (__atomic_compare_exchange_n(module_slot(word, probe), &empty, word, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return;
        }
    }
    __atomic_store_n(&crowded, true, __ATOMIC_RELAXED);
    __atomic_store_n(module_slot(word, 0), word, __ATOMIC_RELAXED);
}

/* Whether there were any in the range. */
static bool forget_modules(uint64_t start, uint64_t end) {
    bool any = false;
    for (unsigned i = 0; i < MODULES; i++) {
        uint64_t word = __atomic_load_n(&modules[i], __ATOMIC_RELAXED);
        if (word == 0 || module_start(word) >= end || module_end(word) <= start) {
            continue;
        }
        any = true;
        __atomic_compare_exchange_n(&modules[i], &word, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    return any;
}

void psc_rows_meet(const struct psc_rows_module *module) {
    uint64_t word = module_word(module);
    if (PSC_LIKELY(module_known(word))) {
        return;
    }
    bool replaces = forget_modules(module->start, module->end);
    if (replaces || __atomic_load_n(&crowded, __ATOMIC_RELAXED)) {
        forget_rows(module->start, module->end);
    }
    module_add(word);
    __atomic_fetch_add(&psc_rows_changes, 1, __ATOMIC_RELAXED);
}

void psc_rows_forget(uint64_t start, uint64_t end) {
    forget_modules(start, end);
    forget_rows(start, end);
}

void psc_rows_forget_gone(bool (*find)(uint64_t at, struct psc_rows_module *module)) {
    struct psc_rows_module now;
    for (unsigned i = 0; i < MODULES; i++) {
        uint64_t word = __atomic_load_n(&modules[i], __ATOMIC_RELAXED);
        if (word != 0 && (!find(module_start(word), &now) || module_word(&now) != word)) {
            psc_rows_forget(module_start(word), module_end(word));
        }
    }
}
