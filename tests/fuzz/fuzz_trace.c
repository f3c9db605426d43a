/* The reader of traces, fed with anything.
 *
 * An input is short where a trace is long. It is: 2 bytes, the length of the header (little-endian) and the header;
 * then pieces, each of a kind (1 byte), a length (2 bytes) and so many bytes, which become the beginning of a chunk of
 * that kind, the rest of which is zero. What is left over after the last whole piece, of a length L, cuts L - 1 bytes
 * off the file. Magic and version are put right, since a reader that refuses the file has nothing to show.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/export.h"
#include "report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool holds) {
    if (!holds) {
        abort();
    }
}

static void put(int fd, const void *bytes, size_t size, uint64_t offset) {
    need(pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size);
}

/* The length that stands at `data`, at most what is there behind it. */
static size_t take_length(const uint8_t *data, size_t room) {
    size_t length = (size_t)data[0] | (size_t)data[1] << 8;
    return length < room ? length : room;
}

/* Returns how many bytes of the input it took. */
static size_t put_header(int fd, const uint8_t *data, size_t size) {
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
static size_t put_piece(int fd, const uint8_t *data, size_t size, uint32_t chunk) {
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

static int expand(const uint8_t *data, size_t size) {
    int fd = memfd_create("trace", MFD_CLOEXEC);
    need(fd >= 0);
    size_t at = put_header(fd, data, size);
    uint32_t chunk = PSC_FIRST_DATA_CHUNK;
    for (size_t used; (used = put_piece(fd, data + at, size - at, chunk)) != 0; chunk++) {
        at += used;
    }
    uint64_t bytes = (uint64_t)chunk * PSC_CHUNK_BYTES;
    uint64_t cut = size > at ? size - at - 1 : 0;
    need(ftruncate(fd, (off_t)(cut < bytes ? bytes - cut : 0)) == 0);
    return fd;
}

static void check_range(struct psc_range range, uint64_t value) {
    need(range.low <= value && value <= range.high);
}

static void check_sites(const struct psc_model *model) {
    uint64_t live = model->not_sampled.live_bytes;
    for (size_t i = 0; i < model->site_count; i++) {
        const struct psc_site *site = &model->sites[i];
        check_range(site->live_bytes_range, site->live_bytes);
        check_range(site->live_count_range, site->live_count);
        check_range(site->alloc_bytes_range, site->alloc_bytes);
        check_range(site->pinned_bytes_range, site->pinned_bytes);
        live += site->live_bytes;
    }
    need(live == model->totals.live_bytes);
}

static void check(const struct psc_model *model) {
    const struct psc_fragmentation *f = &model->fragmentation;
    uint64_t pinned = model->not_sampled.pinned_bytes;
    for (size_t i = 0; i < model->site_count; i++) {
        pinned += model->sites[i].pinned_bytes;
    }
    need(pinned == f->pinned_bytes);
    need(f->committed_bytes == f->live_requested_bytes + f->internal_bytes + f->free_blocks_bytes + f->tail_bytes +
                                   f->empty_pools_bytes + f->cached_bytes);
    check_sites(model);
}

/* One of the formats for each input: all would take too long. */
static void export(struct psc_model *model, size_t choice, FILE *out) {
    static psc_export_writer *const writers[] = {psc_export_pprof,    psc_export_collapsed, psc_export_speedscope,
                                                 psc_export_jemalloc, psc_export_massif,    psc_export_dhat};
    const struct psc_export_options options = {.figure = PSC_EXPORT_FIGURE_COUNT};
    need(writers[choice % PSC_COUNT_OF(writers)](model, &options, out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *nowhere;
    const char *error;
    if (nowhere == NULL) {
        need((nowhere = fopen("/dev/null", "we")) != NULL);
    }
    int fd = expand(data, size);
    struct psc_model *model = psc_model_open_fd(fd, "fuzz", &error);
    if (model != NULL) {
        check(model);
        psc_json_write(model, nowhere, 0);
        psc_summary_write(model, nowhere, 10);
        export(model, size, nowhere);
        psc_model_close(model);
    }
    close(fd);
    return 0;
}
