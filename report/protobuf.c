#include "report/protobuf.h"

#include <stdlib.h>
#include <string.h>

#include "report/array.h"

#define VARINT_BYTES_MAX 10

enum wire_type { VARINT = 0, LENGTH_FIRST = 2 };

void psc_protobuf_release(struct psc_protobuf *message) {
    free(message->bytes);
    *message = (struct psc_protobuf){0};
}

static void reserve(struct psc_protobuf *message, size_t more) {
    message->bytes = psc_array_reserve(message->bytes, message->count + more, &message->capacity, 1);
}

/* Seven bits a byte, low ones first; the high bit says that another byte follows. */
static void add_varint(struct psc_protobuf *message, uint64_t value) {
    reserve(message, VARINT_BYTES_MAX);
    for (; value >= 0x80; value >>= 7) {
        message->bytes[message->count++] = (unsigned char)(value | 0x80);
    }
    message->bytes[message->count++] = (unsigned char)value;
}

static size_t varint_bytes(uint64_t value) {
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7) {
        bytes++;
    }
    return bytes;
}

static void add_key(struct psc_protobuf *message, uint32_t field, enum wire_type type) {
    add_varint(message, (uint64_t)field << 3 | type);
}

void psc_protobuf_number(struct psc_protobuf *message, uint32_t field, uint64_t value) {
    if (value != 0) {
        add_key(message, field, VARINT);
        add_varint(message, value);
    }
}

void psc_protobuf_bytes(struct psc_protobuf *message, uint32_t field, const void *bytes, size_t count) {
    add_key(message, field, LENGTH_FIRST);
    add_varint(message, count);
    reserve(message, count);
    if (count != 0) {
        memcpy(message->bytes + message->count, bytes, count);
    }
    message->count += count;
}

void psc_protobuf_numbers(struct psc_protobuf *message, uint32_t field, const uint64_t *values, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += varint_bytes(values[i]);
    }
    add_key(message, field, LENGTH_FIRST);
    add_varint(message, bytes);
    for (size_t i = 0; i < count; i++) {
        add_varint(message, values[i]);
    }
}
