/* Traces made by hand, for tests of their reader: written after core/wire/trace.h, not by the tracker. */
#ifndef PSC_TESTS_UNIT_SUPPORT_TRACE_H
#define PSC_TESTS_UNIT_SUPPORT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/wire/trace.h"

/* Size classes of these traces: class i has blocks of 16 * (i + 1) bytes. */
#define PSC_FAKE_CLASSES 64
#define PSC_FAKE_SLOT_BYTES 16384u

struct psc_fake {
    unsigned char *bytes; /* the file; stays where it is */
    uint32_t chunks;      /* of the file so far */
    uint32_t chunks_max;
    uint32_t open[PSC_CHUNK_KINDS];   /* chunk that takes the next row of a kind; 0: none */
    uint32_t filled[PSC_CHUNK_KINDS]; /* bytes used in it */
};

/* A trace of a process that exited after 3 s, with nothing recorded, and room for so many chunks behind the directory.
 * Sites 0 and 1 have their rows. */
void psc_fake_init(struct psc_fake *fake, uint32_t data_chunks);
void psc_fake_release(struct psc_fake *fake);
struct psc_wire_header *psc_fake_header(struct psc_fake *fake);
size_t psc_fake_bytes(const struct psc_fake *fake);

/* The next row of a table, zeroed, `bytes` long. Opens chunks as needed. */
void *psc_fake_row(struct psc_fake *fake, uint32_t kind, size_t bytes);
/* A chunk of a kind, zeroed; for tests of tables in a certain order. */
unsigned char *psc_fake_chunk(struct psc_fake *fake, uint32_t kind);

struct psc_wire_module *psc_fake_module(struct psc_fake *fake, uint64_t start, uint64_t end, const char *path);
/* Returns the new site's id. */
uint32_t psc_fake_site(struct psc_fake *fake, const uint64_t *addresses, uint16_t depth, uint32_t modules);
/* The row of `site` in a new book. */
struct psc_wire_row *psc_fake_book(struct psc_fake *fake, uint32_t site);
/* What goes with the row's `ages`. */
struct psc_wire_places *psc_fake_places(struct psc_wire_row *row, uint32_t site);
struct psc_wire_extent *psc_fake_pool(struct psc_fake *fake, uint32_t class_index, uint64_t base, uint32_t capacity,
                                      uint32_t carved);
struct psc_wire_extent *psc_fake_large(struct psc_fake *fake, uint64_t base, uint64_t block_bytes);
/* Block `index` is live, made at clock 0 for `requested` bytes; counted nowhere else. */
void psc_fake_tag(struct psc_wire_extent *extent, uint32_t index, uint32_t site, uint64_t requested);
/* The same, and counts it in `row`. */
void psc_fake_live(struct psc_wire_extent *extent, uint32_t index, uint32_t site, uint64_t requested,
                   struct psc_wire_row *row);

/* Makes the trace one of samples, `interval` bytes apart. Before the first of the next. */
void psc_fake_sampled(struct psc_fake *fake, uint64_t interval);
/* Block `index` is a live sample; counted in `row` by its weight. */
void psc_fake_sample(struct psc_fake *fake, struct psc_wire_extent *extent, uint32_t index, uint32_t site,
                     uint64_t requested, struct psc_wire_row *row);
/* The last snapshot, of a heap that holds nothing. */
struct psc_wire_snapshot *psc_fake_snapshot(struct psc_fake *fake, uint32_t flags);
/* Adds pools of a class to it, none of them empty. */
void psc_fake_hold(struct psc_fake *fake, struct psc_wire_snapshot *snapshot, uint32_t class_index, uint32_t pools,
                   uint32_t live_blocks, uint32_t committed_pages);

/* A sampled trace with a little of everything. */
void psc_fake_small_sampled(struct psc_fake *fake);

/* The golden trace: a little of everything. */
void psc_fake_small(struct psc_fake *fake);

/* A descriptor of an anonymous file with these bytes. Ends the test program if there is none. */
int psc_fake_open(const void *bytes, size_t size);

/* Text form: lines "offset: bytes" in hexadecimal, all-zero lines left out, and the size at the end. */
void psc_fake_dump(const void *bytes, size_t size, FILE *out);
/* The bytes of a text form, to be freed; NULL if it cannot be read. */
unsigned char *psc_fake_undump(FILE *in, size_t *size);

/* The short form that fuzzers take, since a trace is long. It is: 2 bytes, the length of the header (little-endian) and the
 * header; then pieces, each of a kind (1 byte), a length (2 bytes) and so many bytes, which become the beginning of a
 * chunk of that kind, the rest of which is zero. What is left over after the last whole piece, of a length L, cuts L - 1
 * bytes off the file. */
void psc_fake_shorten(const struct psc_fake *fake, FILE *out);
/* A descriptor of an anonymous file with what any bytes stand for in that form. Magic and version are put right, since a
 * reader that refuses the file has nothing to show. */
int psc_fake_lengthen(const uint8_t *data, size_t size);

#endif
