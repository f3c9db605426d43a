/* mallinfo and its kin, answered from our pools rather than from libc's empty heap. */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include "core/base/say.h"
#include "core/heap/heap.h"

static uint64_t committed_in_pools(const struct psc_heap_figures *figures) {
    return figures->live_block_bytes + figures->pinned_bytes + figures->empty_bytes + figures->cached_bytes;
}

PSC_EXPORT struct mallinfo2 mallinfo2(void) {
    struct psc_heap_figures figures;
    psc_heap_measure(&figures, NULL);
    uint64_t free_bytes = committed_in_pools(&figures) - figures.live_block_bytes;
    return (struct mallinfo2){
        .arena = committed_in_pools(&figures),
        .hblks = figures.large_blocks,
        .hblkhd = figures.large_bytes,
        .uordblks = figures.live_block_bytes,
        .fordblks = free_bytes,
        .keepcost = figures.cached_bytes,
    };
}

static int saturated(size_t value) {
    return value > INT_MAX ? INT_MAX : (int)value;
}

PSC_EXPORT struct mallinfo mallinfo(void) {
    struct mallinfo2 wide = mallinfo2();
    return (struct mallinfo){
        .arena = saturated(wide.arena),
        .hblks = saturated(wide.hblks),
        .hblkhd = saturated(wide.hblkhd),
        .uordblks = saturated(wide.uordblks),
        .fordblks = saturated(wide.fordblks),
        .keepcost = saturated(wide.keepcost),
    };
}

PSC_EXPORT int malloc_trim(size_t pad) {
    (void)pad;
    return psc_heap_trim();
}

PSC_EXPORT void malloc_stats(void) {
    struct psc_heap_figures figures;
    psc_heap_measure(&figures, NULL);
    psc_say("%lu arenas; pools: %lu bytes committed, %lu in live blocks, %lu pinned, %lu empty, %lu cached; "
            "large blocks: %lu with %lu bytes",
            (unsigned long)figures.arenas, (unsigned long)committed_in_pools(&figures),
            (unsigned long)figures.live_block_bytes, (unsigned long)figures.pinned_bytes,
            (unsigned long)figures.empty_bytes, (unsigned long)figures.cached_bytes,
            (unsigned long)figures.large_blocks, (unsigned long)figures.large_bytes);
}

static void write_class(FILE *stream, uint32_t class_index, const struct psc_class_figures *of_class) {
    char line[192];
    psc_format(line, sizeof line, "<class block=\"%u\" pools=\"%u\" live=\"%u\" capacity=\"%u\" committed=\"%lu\"/>\n",
               psc_class_bytes(class_index), of_class->pools, of_class->live_blocks, of_class->capacity_blocks,
               (unsigned long)of_class->committed_bytes);
    fputs(line, stream);
}

PSC_EXPORT int malloc_info(int options, FILE *stream) {
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    struct psc_heap_figures figures;
    psc_heap_measure(&figures, NULL);
    fputs("<malloc version=\"poolscope-1\">\n", stream);
    for (uint32_t i = 0; i < PSC_CLASS_COUNT; i++) {
        if (figures.classes[i].pools > 0) {
            write_class(stream, i, &figures.classes[i]);
        }
    }
    char line[128];
    psc_format(line, sizeof line, "<large count=\"%lu\" size=\"%lu\"/>\n<cached size=\"%lu\"/>\n",
               (unsigned long)figures.large_blocks, (unsigned long)figures.large_bytes,
               (unsigned long)figures.cached_bytes);
    fputs(line, stream);
    fputs("</malloc>\n", stream);
    return 0;
}

/* 1 for parameters that glibc knows, though there is nothing here to set by them. */
PSC_EXPORT int mallopt(int parameter, int value) {
    (void)value;
    switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX: return 1;
    default: return 0;
    }
}
