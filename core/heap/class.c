#include "core/heap/class.h"

static uint32_t tail_bytes(uint32_t slots, uint32_t block_bytes) {
    return slots * PSC_SLOT_BYTES % block_bytes;
}

uint32_t psc_class_slots(uint32_t class_index) {
    uint32_t bytes = psc_class_bytes(class_index);
    uint32_t best = PSC_POOL_SLOTS_MAX;
    for (uint32_t slots = 1; slots <= PSC_POOL_SLOTS_MAX; slots++) {
        uint32_t pool_bytes = slots * PSC_SLOT_BYTES;
        if (pool_bytes / bytes < 4) {
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

uint32_t psc_class_of_aligned(size_t bytes, size_t alignment) {
    size_t least = bytes > alignment ? bytes : alignment;
    if (alignment > PSC_SLOT_BYTES || least > PSC_SMALL_MAX) {
        return PSC_CLASS_COUNT;
    }
    uint32_t class_index = psc_class_of(least);
    while (psc_class_bytes(class_index) % alignment != 0) {
        class_index++; /* ends at the next power of two */
    }
    return class_index;
}
