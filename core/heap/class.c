#include "core/heap/class.h"

/* Sizes above (8 + step) and up to (9 + step) << (group + 5). */
#define STEP(group, step)                                                                                              \
    [((8 + (step)) << ((group) + 1)) + 1 ...(9 + (step)) << ((group) + 1)] = PSC_LINEAR_CLASSES + (group)*8 + (step)
#define GROUP(group)                                                                                                   \
    STEP(group, 0), STEP(group, 1), STEP(group, 2), STEP(group, 3), STEP(group, 4), STEP(group, 5), STEP(group, 6),    \
        STEP(group, 7)

const uint8_t psc_class_table[PSC_SMALL_MAX / 16 + 1] = {
    0,  0,  1,  2,  3,  4,        5,        6,        7,        8,        9,        10,
    11, 12, 13, 14, 15, GROUP(0), GROUP(1), GROUP(2), GROUP(3), GROUP(4), GROUP(5), GROUP(6),
};

static uint32_t tail_bytes(uint32_t slots, uint32_t block_bytes) {
    return slots * PSC_SLOT_BYTES % block_bytes;
}

static uint32_t find_slots(uint32_t bytes) {
    uint32_t best = PSC_POOL_SLOTS_MAX;
    for (uint32_t slots = 1; slots <= PSC_POOL_SLOTS_MAX; slots++) {
        uint32_t pool_bytes = slots * PSC_SLOT_BYTES;
        if (pool_bytes / bytes < 8) {
            continue;
        }
        if (tail_bytes(slots, bytes) <= pool_bytes / 16) {
            return slots;
        }
        if (tail_bytes(slots, bytes) * best < tail_bytes(best, bytes) * slots) {
            best = slots;
        }
    }
    return best;
}

uint32_t psc_class_slots(uint32_t class_index) {
    static uint8_t known[PSC_CLASS_COUNT]; /* 0: not yet; any thread, atomic */
    uint32_t slots = PSC_LOAD(&known[class_index]);
    if (PSC_UNLIKELY(slots == 0)) {
        slots = find_slots(psc_class_bytes(class_index));
        PSC_STORE(&known[class_index], (uint8_t)slots);
    }
    return slots;
}
