/* Reads the numbers that call frame tables are made of, from memory that may hold anything. */
#ifndef PSC_CORE_TRACK_UNWIND_READER_H
#define PSC_CORE_TRACK_UNWIND_READER_H

#include "core/base/compiler.h"

/* Reads from [at, end). A read beyond sets `bad` and gives 0. */
struct psc_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline uint64_t psc_reader_bytes(struct psc_reader *reader, unsigned bytes) {
    uint64_t value = 0;
    if ((size_t)(reader->end - reader->at) < bytes) {
        reader->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)*reader->at++ << (8 * i);
    }
    return value;
}

static inline int64_t psc_reader_signed(struct psc_reader *reader, unsigned bytes) {
    unsigned unused = 64 - 8 * bytes;
    return (int64_t)(psc_reader_bytes(reader, bytes) << unused) >> unused;
}

/* The shift says how many bits were read. */
static inline uint64_t psc_reader_leb(struct psc_reader *reader, unsigned *shift) {
    uint64_t value = 0, byte = 0x80;
    for (*shift = 0; byte & 0x80 && !reader->bad; *shift += 7) {
        byte = psc_reader_bytes(reader, 1);
        if (*shift < 64) {
            value |= (byte & 0x7f) << *shift;
        }
    }
    return value;
}

static inline uint64_t psc_reader_uleb(struct psc_reader *reader) {
    unsigned shift;
    return psc_reader_leb(reader, &shift);
}

static inline int64_t psc_reader_sleb(struct psc_reader *reader) {
    unsigned shift;
    uint64_t value = psc_reader_leb(reader, &shift);
    if (shift > 0 && shift < 64 && value >> (shift - 1)) {
        value |= ~UINT64_C(0) << shift;
    }
    return (int64_t)value;
}

static inline void psc_reader_skip(struct psc_reader *reader, uint64_t bytes) {
    if ((uint64_t)(reader->end - reader->at) < bytes) {
        reader->bad = true;
    } else {
        reader->at += bytes;
    }
}

/* The next `bytes` bytes, which `reader` skips. */
static inline struct psc_reader psc_reader_part(struct psc_reader *reader, uint64_t bytes) {
    struct psc_reader part = {reader->at, reader->at, false};
    psc_reader_skip(reader, bytes);
    part.end = reader->at;
    return part;
}

/* Encodings of pointers (Linux Standard Base, DWARF extensions). */
enum {
    PSC_ENCODED_WORD = 0x00,
    PSC_ENCODED_ULEB = 0x01,
    PSC_ENCODED_U16 = 0x02,
    PSC_ENCODED_U32 = 0x03,
    PSC_ENCODED_U64 = 0x04,
    PSC_ENCODED_SLEB = 0x09,
    PSC_ENCODED_S16 = 0x0a,
    PSC_ENCODED_S32 = 0x0b,
    PSC_ENCODED_S64 = 0x0c,
    PSC_ENCODED_FORM = 0x0f,
    PSC_ENCODED_ABSOLUTE = 0x00,
    PSC_ENCODED_FROM_HERE = 0x10,
    PSC_ENCODED_FROM_HEADER = 0x30,
    PSC_ENCODED_BASE = 0x70,
    PSC_ENCODED_INDIRECT = 0x80,
};

static inline uint64_t psc_reader_form(struct psc_reader *reader, uint8_t encoding) {
    switch (encoding & PSC_ENCODED_FORM) {
    case PSC_ENCODED_ULEB: return psc_reader_uleb(reader);
    case PSC_ENCODED_SLEB: return (uint64_t)psc_reader_sleb(reader);
    case PSC_ENCODED_U16: return psc_reader_bytes(reader, 2);
    case PSC_ENCODED_S16: return (uint64_t)psc_reader_signed(reader, 2);
    case PSC_ENCODED_U32: return psc_reader_bytes(reader, 4);
    case PSC_ENCODED_S32: return (uint64_t)psc_reader_signed(reader, 4);
    case PSC_ENCODED_WORD:
    case PSC_ENCODED_U64:
    case PSC_ENCODED_S64: return psc_reader_bytes(reader, 8);
    default: reader->bad = true; return 0;
    }
}

/* A pointer to code or to a table; those kinds of encoding that are not used for these are bad. */
static inline uint64_t psc_reader_pointer(struct psc_reader *reader, uint8_t encoding, const uint8_t *header) {
    uint64_t here = (uintptr_t)reader->at, value = psc_reader_form(reader, encoding);
    switch (encoding & (PSC_ENCODED_BASE | PSC_ENCODED_INDIRECT)) {
    case PSC_ENCODED_ABSOLUTE: return value;
    case PSC_ENCODED_FROM_HERE: return value + here;
    case PSC_ENCODED_FROM_HEADER: return value + (uintptr_t)header;
    default: reader->bad = true; return 0;
    }
}

#endif
