/* Size classes: steps of 16 bytes to 256, then eight to each doubling (at most 12.5 % rounding), up to 32 KiB.
 * Nothing has to be initialised: right from the first call. */
#ifndef PSC_CORE_HEAP_CLASS_H
#define PSC_CORE_HEAP_CLASS_H

#include "core/base/compiler.h"

#define PSC_SMALL_MAX 32768u
#define PSC_CLASS_COUNT 72u
#define PSC_LINEAR_CLASSES 16u /* of 16, 32 ... 256 bytes */

#define PSC_SLOT_SHIFT 14
#define PSC_SLOT_BYTES (1u << PSC_SLOT_SHIFT)
#define PSC_SLOT_PAGES 4u
#define PSC_POOL_SLOTS_MAX 8u
#define PSC_SPAN_SLOTS_MAX 64u
#define PSC_SPAN_MAX (PSC_SPAN_SLOTS_MAX * PSC_SLOT_BYTES)
#define PSC_CLASS_SPAN PSC_CLASS_COUNT
#define PSC_POOL_BLOCKS_MAX (PSC_SLOT_BYTES / 16)

/* By the size in units of 16 bytes. */
extern const uint8_t psc_class_table[PSC_SMALL_MAX / 16 + 1];

/* The smallest class whose blocks hold `bytes`, for bytes <= PSC_SMALL_MAX; 0 bytes are served by the class of 16.
 * A table, since a branch on the size would be mispredicted where sizes vary. */
PSC_INLINE uint32_t psc_class_of(size_t bytes) {
    return psc_class_table[(bytes + 15) / 16];
}

PSC_INLINE uint32_t psc_class_bytes(uint32_t class_index) {
    if (class_index < PSC_LINEAR_CLASSES) {
        return (class_index + 1) * 16;
    }
    uint32_t group = (class_index - PSC_LINEAR_CLASSES) / 8;
    uint32_t step = (class_index - PSC_LINEAR_CLASSES) % 8;
    return (9 + step) << (group + 5);
}

/* Slots of a pool of this class: the fewest that hold eight blocks (four, from 16 KiB on) and waste at most 1/16 of the pool at its end; else
 * those that waste least. */
uint32_t psc_class_slots(uint32_t class_index);

/* The smallest class whose blocks hold `bytes` and all begin at multiples of `alignment` (a power of two, at most a
 * slot); PSC_CLASS_COUNT if there is none. */
PSC_INLINE uint32_t psc_class_of_aligned(size_t bytes, size_t alignment) {
    if (alignment > PSC_SLOT_BYTES || bytes > PSC_SMALL_MAX) {
        return PSC_CLASS_COUNT;
    }
    size_t mask = alignment - 1;
    uint32_t class_index = psc_class_of((bytes + (bytes == 0) + mask) & ~mask);
    while ((psc_class_bytes(class_index) & mask) != 0) {
        class_index++; /* ends at the next power of two */
    }
    return class_index;
}

#endif
