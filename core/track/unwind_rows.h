/* The cache of rows, one for the process: address of an instruction -> PSC_ROW_BITS bits that say how to step from a
 * frame that is there. No locks: an entry is one word, so it is read and written whole. All functions: any thread,
 * async-signal-safe, no system calls. */
#ifndef PSC_CORE_TRACK_UNWIND_ROWS_H
#define PSC_CORE_TRACK_UNWIND_ROWS_H

#include "core/base/compiler.h"
#include "core/track/unwind_arch.h"

/* Addresses have 48 bits. They are scattered by a multiplication that can be undone, so the 35 bits of the product that
 * do not choose the set name the address exactly, and an entry is a word of these and the row. Others are not kept. */
#define PSC_ROWS_ADDRESS_BITS 48
#define PSC_ROWS_ADDRESS_MASK ((UINT64_C(1) << PSC_ROWS_ADDRESS_BITS) - 1)
#define PSC_ROWS_SET_BITS 13
#define PSC_ROWS_WAYS 4
#define PSC_ROWS_TAG_BITS (PSC_ROWS_ADDRESS_BITS - PSC_ROWS_SET_BITS)
#define PSC_ROWS_FACTOR UINT64_C(0x9e3779b97f4b)

_Static_assert(PSC_ROWS_TAG_BITS + PSC_ROW_BITS == 64, "an entry is one word");

struct psc_rows_set {
    _Alignas(8 * PSC_ROWS_WAYS) uint64_t entries[PSC_ROWS_WAYS]; /* tag above row; 0: empty; any thread, atomic */
};

extern struct psc_rows_set psc_rows_sets[1 << PSC_ROWS_SET_BITS] __attribute__((visibility("hidden")));

PSC_INLINE uint64_t psc_rows_scatter(uint64_t at) {
    return at * PSC_ROWS_FACTOR & PSC_ROWS_ADDRESS_MASK;
}

/* The row of `at`, or 0. A multiplication, and one cache line. */
PSC_INLINE uint32_t psc_rows_find(uint64_t at) {
    uint64_t scattered = psc_rows_scatter(at);
    const struct psc_rows_set *set = &psc_rows_sets[scattered >> PSC_ROWS_TAG_BITS];
    uint64_t tag = scattered << PSC_ROW_BITS; /* the bits that chose the set fall out */
    if (PSC_UNLIKELY(at > PSC_ROWS_ADDRESS_MASK)) {
        return 0;
    }
    for (int i = 0; i < PSC_ROWS_WAYS; i++) {
        uint64_t row = __atomic_load_n(&set->entries[i], __ATOMIC_RELAXED) ^ tag;
        if (row >> PSC_ROW_BITS == 0) {
            return (uint32_t)row;
        }
    }
    return 0;
}

/* A module, as the cache knows it. */
struct psc_rows_module {
    uint64_t start;
    uint64_t end;
    uint64_t tables; /* address of its call frame tables */
};

/* Changes whenever rows are forgotten. Taken before a row is worked out, given to psc_rows_put after. */
uint64_t psc_rows_epoch(void);

/* Changes whenever an address may have got another row: when rows are forgotten, and when a module is met first. */
extern uint64_t psc_rows_changes __attribute__((visibility("hidden"))); /* any thread, atomic */

PSC_INLINE uint64_t psc_rows_generation(void) {
    return PSC_LOAD(&psc_rows_changes);
}

/* To be called before a row of the module is put: if it lies where another one lay, forgets all rows of its range. */
void psc_rows_meet(const struct psc_rows_module *module);

/* Keeps a row (not 0) that holds for `at`, unless rows were forgotten since `epoch`. */
void psc_rows_put(uint64_t at, uint32_t row, uint64_t epoch);

/* Forgets all rows of addresses in [start, end). */
void psc_rows_forget(uint64_t start, uint64_t end);

/* Forgets the rows of modules that are not there any more. `find`: fills in the module at an address; false: none. */
void psc_rows_forget_gone(bool (*find)(uint64_t at, struct psc_rows_module *module));

#endif
