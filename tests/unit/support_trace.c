#include "tests/unit/support_trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/wire/options.h"

#define LINE_BYTES 32

static void need(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "support_trace: %s\n", what);
        abort();
    }
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

struct psc_wire_header *psc_fake_header(struct psc_fake *fake) {
    return (struct psc_wire_header *)(void *)fake->bytes;
}

size_t psc_fake_bytes(const struct psc_fake *fake) {
    return (size_t)fake->chunks * PSC_CHUNK_BYTES;
}

static void fill_header(struct psc_wire_header *header) {
    static const uint32_t row_bytes[PSC_CHUNK_KINDS] = PSC_WIRE_ROW_BYTES;
    memcpy(header->magic, PSC_TRACE_MAGIC, sizeof(header->magic));
    header->version = PSC_TRACE_VERSION;
    header->header_bytes = sizeof(*header);
    header->chunk_bytes = PSC_CHUNK_BYTES;
    header->chunks_used = PSC_FIRST_DATA_CHUNK;
    header->pid = 4242;
    header->ppid = 4000;
    header->end = PSC_END_EXIT;
    header->interval_bytes = 1;
    header->start_ns = 1000000000;
    header->end_ns = 4000000000;
    header->depth = 256;
    header->page_bytes = 4096;
    header->slot_bytes = PSC_FAKE_SLOT_BYTES;
    header->arena_bytes = PSC_FAKE_SLOT_BYTES * PSC_ARENA_SLOTS;
    header->class_count = PSC_FAKE_CLASSES;
    for (uint32_t i = 0; i < PSC_FAKE_CLASSES; i++) {
        header->class_bytes[i] = 16 * (i + 1);
    }
    memcpy(header->row_bytes, row_bytes, sizeof(row_bytes));
    strcpy(header->exe, "/usr/bin/victim");
    memcpy(header->argv, "victim\0--verbose\0", 17);
    header->argv_bytes = 17;
}

void psc_fake_init(struct psc_fake *fake, uint32_t data_chunks) {
    *fake = (struct psc_fake){.chunks = PSC_FIRST_DATA_CHUNK, .chunks_max = PSC_FIRST_DATA_CHUNK + data_chunks};
    fake->bytes = calloc(fake->chunks_max, PSC_CHUNK_BYTES);
    need(fake->bytes != NULL, "out of memory");
    fill_header(psc_fake_header(fake));
    for (uint32_t id = PSC_SITE_NONE; id < PSC_SITE_FIRST; id++) {
        struct psc_wire_site *site = psc_fake_row(fake, PSC_CHUNK_SITES, sizeof(*site));
        site->hash = 1;
    }
}

void psc_fake_release(struct psc_fake *fake) {
    free(fake->bytes);
    fake->bytes = NULL;
}

unsigned char *psc_fake_chunk(struct psc_fake *fake, uint32_t kind) {
    need(fake->chunks < fake->chunks_max, "more chunks than were asked for");
    uint32_t index = fake->chunks++;
    fake->bytes[PSC_CHUNK_BYTES + index] = (unsigned char)kind;
    psc_fake_header(fake)->chunks_used = fake->chunks;
    fake->open[kind] = index;
    fake->filled[kind] = 0;
    return fake->bytes + (size_t)index * PSC_CHUNK_BYTES;
}

void *psc_fake_row(struct psc_fake *fake, uint32_t kind, size_t bytes) {
    if (fake->open[kind] == 0 || fake->filled[kind] + bytes > PSC_CHUNK_BYTES) {
        psc_fake_chunk(fake, kind);
    }
    unsigned char *row = fake->bytes + (size_t)fake->open[kind] * PSC_CHUNK_BYTES + fake->filled[kind];
    fake->filled[kind] += (uint32_t)bytes;
    return row;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

struct psc_wire_module *psc_fake_module(struct psc_fake *fake, uint64_t start, uint64_t end, const char *path) {
    struct psc_wire_module *module = psc_fake_row(fake, PSC_CHUNK_MODULES, sizeof(*module));
    module->start = start;
    module->end = end;
    module->bias = start;
    module->time_ns = 1000000000;
    module->build_id_bytes = 20;
    memset(module->build_id, 0xab, 20);
    snprintf(module->path, sizeof(module->path), "%s", path);
    return module;
}

uint32_t psc_fake_site(struct psc_fake *fake, const uint64_t *addresses, uint16_t depth, uint32_t modules) {
    size_t bytes = depth * sizeof(uint64_t);
    unsigned char *frames = psc_fake_row(fake, PSC_CHUNK_FRAMES, bytes);
    memcpy(frames, addresses, bytes);
    struct psc_wire_site *site = psc_fake_row(fake, PSC_CHUNK_SITES, sizeof(*site));
    site->hash = 0x1234 + addresses[0];
    site->frames = (uint64_t)(frames - fake->bytes);
    site->depth = depth;
    site->modules = modules;
    uint32_t chunks_before = 0;
    for (uint32_t i = PSC_FIRST_DATA_CHUNK; i < fake->open[PSC_CHUNK_SITES]; i++) {
        chunks_before += fake->bytes[PSC_CHUNK_BYTES + i] == PSC_CHUNK_SITES;
    }
    return (uint32_t)((chunks_before * PSC_CHUNK_BYTES + fake->filled[PSC_CHUNK_SITES]) / sizeof(*site)) - 1;
}

struct psc_wire_row *psc_fake_book(struct psc_fake *fake, uint32_t site) {
    struct psc_wire_book *book = psc_fake_row(fake, PSC_CHUNK_BOOKS, sizeof(*book));
    book->used = 1;
    book->first_site = site / PSC_BOOK_ROWS * PSC_BOOK_ROWS;
    return &book->rows[site % PSC_BOOK_ROWS];
}

struct psc_wire_places *psc_fake_places(struct psc_wire_row *row, uint32_t site) {
    struct psc_wire_row *rows = row - site % PSC_BOOK_ROWS;
    struct psc_wire_book *book = (void *)((char *)rows - offsetof(struct psc_wire_book, rows));
    return book->places[site % PSC_BOOK_ROWS];
}

static struct psc_wire_extent *extent(struct psc_fake *fake, uint32_t class_index, uint64_t base, uint32_t capacity) {
    size_t bytes = sizeof(struct psc_wire_extent) + capacity * sizeof(uint64_t);
    struct psc_wire_extent *extent = psc_fake_row(fake, PSC_CHUNK_EXTENTS, bytes);
    extent->words = (uint32_t)(bytes / sizeof(uint64_t));
    extent->state = PSC_EXTENT_LIVE;
    extent->class_index = (uint16_t)class_index;
    extent->base = base;
    extent->capacity = capacity;
    return extent;
}

struct psc_wire_extent *psc_fake_pool(struct psc_fake *fake, uint32_t class_index, uint64_t base, uint32_t capacity,
                                      uint32_t carved) {
    struct psc_wire_extent *pool = extent(fake, class_index, base, capacity);
    pool->block_bytes = psc_fake_header(fake)->class_bytes[class_index];
    pool->carved = carved;
    return pool;
}

struct psc_wire_extent *psc_fake_large(struct psc_fake *fake, uint64_t base, uint64_t block_bytes) {
    struct psc_wire_extent *large = extent(fake, PSC_CLASS_LARGE, base, 1);
    large->block_bytes = block_bytes;
    large->carved = 1;
    return large;
}

void psc_fake_tag(struct psc_wire_extent *extent, uint32_t index, uint32_t site, uint64_t requested) {
    extent->tags[index] = psc_tag_make(site, (uint32_t)(extent->block_bytes - requested), 0);
}

void psc_fake_live(struct psc_wire_extent *extent, uint32_t index, uint32_t site, uint64_t requested,
                   struct psc_wire_row *row) {
    psc_fake_tag(extent, index, site, requested);
    row->alloc_count++;
    row->alloc_bytes += requested;
}

/* ---- sampled traces --------------------------------------------------------------------------------------------- */

void psc_fake_sampled(struct psc_fake *fake, uint64_t interval) {
    psc_fake_header(fake)->mode = PSC_MODE_SAMPLE;
    psc_fake_header(fake)->interval_bytes = interval;
}

void psc_fake_sample(struct psc_fake *fake, struct psc_wire_extent *extent, uint32_t index, uint32_t site,
                     uint64_t requested, struct psc_wire_row *row) {
    double weight = psc_sample_weight(extent->block_bytes, psc_fake_header(fake)->interval_bytes);
    psc_fake_tag(extent, index, site, requested);
    row->alloc_count += psc_sample_units(weight);
    row->alloc_bytes += psc_sample_bytes(weight, requested);
    row->alloc_bytes_variance += psc_sample_variance(weight, requested);
}

struct psc_wire_snapshot *psc_fake_snapshot(struct psc_fake *fake, uint32_t flags) {
    const struct psc_wire_header *header = psc_fake_header(fake);
    struct psc_wire_snapshot *snapshot = psc_fake_row(fake, PSC_CHUNK_SNAPSHOTS, sizeof(*snapshot));
    *snapshot = (struct psc_wire_snapshot){.sequence = fake->filled[PSC_CHUNK_SNAPSHOTS] / sizeof(*snapshot),
                                           .time_ns = header->end_ns,
                                           .clock_bytes = header->counters.clock_bytes,
                                           .live_bytes = header->counters.live_bytes,
                                           .flags = flags};
    return snapshot;
}

void psc_fake_hold(struct psc_fake *fake, struct psc_wire_snapshot *snapshot, uint32_t class_index, uint32_t pools,
                   uint32_t live_blocks, uint32_t committed_pages) {
    uint64_t block_bytes = (uint64_t)live_blocks * psc_fake_header(fake)->class_bytes[class_index];
    uint64_t committed_bytes = committed_pages * 4096ull;
    need(block_bytes <= committed_bytes, "more blocks than pages for them");
    snapshot->classes[class_index] =
        (struct psc_wire_snapshot_class){pools, live_blocks, live_blocks * 2, committed_pages};
    snapshot->live_blocks += live_blocks;
    snapshot->block_bytes += block_bytes;
    snapshot->pinned_bytes += committed_bytes - block_bytes;
    snapshot->committed_bytes += committed_bytes;
    snapshot->occupancy[5] += pools;
}

/* Two sites in one class, one of them with a large block, and a class without a sample. */
void psc_fake_small_sampled(struct psc_fake *fake) {
    psc_fake_init(fake, 30);
    psc_fake_sampled(fake, 64 << 10);
    uint64_t stacks[2][2] = {{0x400123, 0x400456}, {0x400200, 0x400456}};
    uint32_t sites[2] = {psc_fake_site(fake, stacks[0], 2, 0), psc_fake_site(fake, stacks[1], 2, 0)};
    struct psc_wire_row *rows[2] = {psc_fake_book(fake, sites[0]), psc_fake_book(fake, sites[1])};
    for (uint32_t i = 0; i < 16; i++) {
        struct psc_wire_extent *pool = psc_fake_pool(fake, 3, 0x7f0000000000 + i * 0x4000ull, 128, 128);
        psc_fake_sample(fake, pool, i, sites[i % 4 == 0], 60, rows[i % 4 == 0]);
        pool->untagged = 63;
    }
    psc_fake_sample(fake, psc_fake_large(fake, 0x7f1000000000, 1 << 20), 0, sites[0], (1 << 20) - 100, rows[0]);
    rows[1]->free_count = psc_sample_units(3);
    rows[1]->alloc_count += psc_sample_units(3);
    rows[1]->free_bytes = 180;
    rows[1]->alloc_bytes += 180;
    rows[1]->ages[3] = 3;
    psc_fake_places(rows[1], sites[1])[3] = (struct psc_wire_places){1, 1};
    struct psc_wire_snapshot *last = psc_fake_snapshot(fake, PSC_SNAPSHOT_LAST);
    psc_fake_hold(fake, last, 3, 150, 19200, 600);
    psc_fake_hold(fake, last, 0, 1, 100, 1);
    last->large_blocks = 1;
    last->large_bytes = 1 << 20;
    last->block_bytes += 1 << 20;
    last->live_blocks++;
    last->committed_bytes += 1 << 20;
    struct psc_wire_arena *arena = psc_fake_row(fake, PSC_CHUNK_ARENAS, sizeof(*arena));
    arena->base = 0x7f0000000000;
    arena->pooled[0] = 0xffffff;
}

/* ---- the golden trace ------------------------------------------------------------------------------------------ */

static void small_pools(struct psc_fake *fake, const uint32_t sites[2]) {
    struct psc_wire_row *keeper = psc_fake_book(fake, sites[0]);
    struct psc_wire_row *dropper = psc_fake_book(fake, sites[1]);
    struct psc_wire_extent *pool = psc_fake_pool(fake, 3, 0x7f0000000000, 256, 200);
    for (uint32_t i = 0; i < 200; i += 50) {
        psc_fake_live(pool, i, sites[0], 60, keeper);
    }
    psc_fake_live(pool, 7, sites[1], 64, dropper);
    psc_fake_pool(fake, 3, 0x7f0000004000, 256, 64);              /* empty */
    psc_fake_pool(fake, 1, 0x7f0000008000, 512, 1)->untagged = 1; /* a block from before recording */
    psc_fake_pool(fake, 2, 0x7f000000c000, 341, 9)->state = PSC_EXTENT_FREE;
    psc_fake_live(psc_fake_large(fake, 0x7f1000000000, 1 << 20), 0, sites[0], (1 << 20) - 100, keeper);
    keeper->peak_epoch = 1; /* raised once: see the header */
    keeper->at_peak_bytes = 200;
    keeper->at_peak_count = 3;
    dropper->alloc_count += 90;
    dropper->alloc_bytes += 90 * 64;
    dropper->free_count = 90;
    dropper->free_bytes = 90 * 64;
    dropper->temporary_count = 40;
    dropper->ages[0] = 60;
    dropper->ages[4] = 30;
    psc_fake_places(dropper, sites[1])[4] = (struct psc_wire_places){12, 6};
}

static void small_snapshot(struct psc_fake *fake, uint64_t sequence, uint64_t time_ns, uint64_t live_bytes,
                           uint32_t flags) {
    struct psc_wire_snapshot *snapshot = psc_fake_row(fake, PSC_CHUNK_SNAPSHOTS, sizeof(*snapshot));
    *snapshot = (struct psc_wire_snapshot){.sequence = sequence,
                                           .time_ns = time_ns,
                                           .clock_bytes = sequence * 400000,
                                           .live_bytes = live_bytes,
                                           .live_blocks = 10 * sequence,
                                           .block_bytes = live_bytes + 4096,
                                           .committed_bytes = live_bytes + 65536,
                                           .pinned_bytes = 40960,
                                           .empty_bytes = 4096,
                                           .cached_bytes = 16384,
                                           .rss_bytes = live_bytes + 2000000,
                                           .flags = flags};
    snapshot->classes[3] = (struct psc_wire_snapshot_class){2, 5, 512, 5};
    snapshot->occupancy[1] = 1;
}

void psc_fake_small(struct psc_fake *fake) {
    psc_fake_init(fake, 20);
    struct psc_wire_header *header = psc_fake_header(fake);
    header->counters = (struct psc_wire_counters){.clock_bytes = 1054652,
                                                  .live_bytes = 1048780,
                                                  .peak_live_bytes = 1054000,
                                                  .peak_epoch = 1,
                                                  .unrecorded_frees = 2,
                                                  .heap_metadata_bytes = 20480,
                                                  .tracker_private_bytes = 4096,
                                                  .last_event_ns = 3900000000};
    psc_fake_module(fake, 0x400000, 0x401000, "/nowhere/victim");
    psc_fake_module(fake, 0x7fff00000000, 0x7fff00010000, "/nowhere/<lib\"evil\">\n.so");
    uint64_t stacks[2][3] = {{0x400123, 0x400456, 0x7fff00001234}, {0x400200, 0x400456, 0x123}};
    uint32_t sites[2] = {psc_fake_site(fake, stacks[0], 3, 2), psc_fake_site(fake, stacks[1], 3, 2)};
    small_pools(fake, sites);
    struct psc_wire_arena *arena = psc_fake_row(fake, PSC_CHUNK_ARENAS, sizeof(*arena));
    arena->base = 0x7f0000000000;
    arena->pooled[0] = 7;
    arena->cached[0] = 8;
    arena->cached_bytes = 8192;
    struct psc_wire_thread *thread = psc_fake_row(fake, PSC_CHUNK_THREADS, sizeof(*thread));
    thread->tid = 4242;
    thread->owners = 1;
    memcpy(thread->name, "main", 5);
    thread->class_allocs[3] = 95;
    thread->class_frees[3] = 90;
    thread->class_allocs[PSC_CLASS_LARGE] = 1;
    small_snapshot(fake, 2, 2500000000, 1054000, PSC_SNAPSHOT_PEAK);
    small_snapshot(fake, 1, 1500000000, 500, 0);
    small_snapshot(fake, 3, 4000000000, 1048780, PSC_SNAPSHOT_LAST);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

int psc_fake_open(const void *bytes, size_t size) {
    int fd = memfd_create("trace", MFD_CLOEXEC);
    need(fd >= 0, "no memfd");
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, (const char *)bytes + at, size - at);
        need(n > 0, "cannot write to a memfd");
        at += (size_t)n;
    }
    return fd;
}

void psc_fake_dump(const void *bytes, size_t size, FILE *out) {
    static const unsigned char zeros[LINE_BYTES];
    const unsigned char *at = bytes;
    for (size_t offset = 0; offset < size; offset += LINE_BYTES) {
        size_t length = size - offset < LINE_BYTES ? size - offset : LINE_BYTES;
        if (memcmp(at + offset, zeros, length) == 0) {
            continue;
        }
        fprintf(out, "%06zx:", offset);
        for (size_t i = 0; i < length; i++) {
            fprintf(out, "%s%02x", i % 8 == 0 ? " " : "", at[offset + i]);
        }
        fputc('\n', out);
    }
    fprintf(out, "size: %zx\n", size);
}

static void undump_line(const char *text, unsigned char *to, const unsigned char *end) {
    unsigned byte;
    for (int used; to < end && sscanf(text, " %2x%n", &byte, &used) == 1; text += used) {
        *to++ = (unsigned char)byte;
    }
}

unsigned char *psc_fake_undump(FILE *in, size_t *size) {
    const size_t limit = 1 << 24;
    char line[256];
    unsigned char *bytes = calloc(1, limit);
    size_t offset;
    while (bytes != NULL && fgets(line, sizeof(line), in) != NULL) {
        if (sscanf(line, "size: %zx", size) == 1 && *size <= limit) {
            return bytes;
        }
        if (sscanf(line, "%zx:", &offset) == 1 && offset < limit) {
            undump_line(strchr(line, ':') + 1, bytes + offset, bytes + limit);
        }
    }
    free(bytes);
    return NULL;
}

static void put_piece(const unsigned char *bytes, size_t size, FILE *out) {
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    fputc((int)(size & 0xff), out);
    fputc((int)(size >> 8), out);
    fwrite(bytes, 1, size, out);
}

void psc_fake_shorten(const struct psc_fake *fake, FILE *out) {
    put_piece(fake->bytes, sizeof(struct psc_wire_header), out);
    for (uint32_t chunk = PSC_FIRST_DATA_CHUNK; chunk < fake->chunks; chunk++) {
        fputc(fake->bytes[PSC_CHUNK_BYTES + chunk], out);
        put_piece(fake->bytes + (size_t)chunk * PSC_CHUNK_BYTES, PSC_CHUNK_BYTES, out);
    }
}

static void put(int fd, const void *bytes, size_t size, uint64_t offset) {
    need(pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size, "cannot write");
}

/* The length that stands at `data`, at most what is there behind it. */
static size_t take_length(const uint8_t *data, size_t room) {
    size_t length = (size_t)data[0] | (size_t)data[1] << 8;
    return length < room ? length : room;
}

/* Returns how many bytes of the input it took. */
static size_t take_header(int fd, const uint8_t *data, size_t size) {
    struct psc_wire_header header = {0};
    size_t length = size < 2 ? 0 : take_length(data, size - 2);
    if (length != 0) {
        memcpy(&header, data + 2, length < sizeof(header) ? length : sizeof(header));
    }
    memcpy(header.magic, PSC_TRACE_MAGIC, sizeof(header.magic));
    header.version = PSC_TRACE_VERSION;
    put(fd, &header, sizeof(header), 0);
    return size < 2 ? size : 2 + length;
}

/* Returns how many bytes of the input it took; 0 if no whole piece is left. */
static size_t take_piece(int fd, const uint8_t *data, size_t size, uint32_t chunk) {
    if (size < 3 || chunk >= PSC_CHUNKS_MAX) {
        return 0;
    }
    size_t length = (size_t)data[1] | (size_t)data[2] << 8;
    if (length > size - 3) {
        return 0;
    }
    put(fd, data, 1, PSC_CHUNK_BYTES + chunk);
    put(fd, data + 3, length < PSC_CHUNK_BYTES ? length : PSC_CHUNK_BYTES, (uint64_t)chunk * PSC_CHUNK_BYTES);
    return 3 + length;
}

int psc_fake_lengthen(const uint8_t *data, size_t size) {
    int fd = memfd_create("trace", MFD_CLOEXEC);
    need(fd >= 0, "no memfd");
    size_t at = take_header(fd, data, size);
    uint32_t chunk = PSC_FIRST_DATA_CHUNK;
    for (size_t used; (used = take_piece(fd, data + at, size - at, chunk)) != 0; chunk++) {
        at += used;
    }
    uint64_t bytes = (uint64_t)chunk * PSC_CHUNK_BYTES;
    uint64_t cut = size > at ? size - at - 1 : 0;
    need(ftruncate(fd, (off_t)(cut < bytes ? bytes - cut : 0)) == 0, "cannot cut");
    return fd;
}
