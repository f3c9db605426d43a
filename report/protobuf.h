/* Messages of protocol buffers, as they are on the wire (protobuf.dev/programming-guides/encoding): a message is a row of
 * fields; each has a number and is a varint, or bytes with their length before them. Grows as needed; ends the program
 * when memory runs out, as report/array.h does.
 */
#ifndef PSC_REPORT_PROTOBUF_H
#define PSC_REPORT_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

struct psc_protobuf {
    unsigned char *bytes; /* the message so far; NULL of an empty one */
    size_t count;
    size_t capacity;
};

/* All zero is an empty message; set count to 0 to begin another one in the same memory. */
void psc_protobuf_release(struct psc_protobuf *message);
/* 0 is left out, which is how readers know it. */
void psc_protobuf_number(struct psc_protobuf *message, uint32_t field, uint64_t value);
/* Written also when empty. */
void psc_protobuf_bytes(struct psc_protobuf *message, uint32_t field, const void *bytes, size_t count);
/* The values of a repeated field, packed. */
void psc_protobuf_numbers(struct psc_protobuf *message, uint32_t field, const uint64_t *values, size_t count);

#endif
