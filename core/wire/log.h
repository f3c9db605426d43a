/* The event log: every allocation and free of a process in order, in a sparse file beside its trace, mapped shared by
 * the guest. poolscope-trace(5) is this file in words; the two change together, with the reader.
 *
 * The file is an array of chunks of PSC_LOG_CHUNK_BYTES. The first has the header. Each other belongs to one thread,
 * begins with a struct psc_wire_log_chunk and holds events of that thread, in order, one behind the other. A thread's
 * chunks count up; each can be read without the others.
 *
 * An event is told by what differs from the events before it in its chunk. The struct psc_log_context is what both sides
 * keep of those: psc_log_put writes an event and psc_log_get reads it, and they change the context alike.
 *
 *   head byte   bits 0-1 kind, bits 2-3 flags, bits 4-7 time since the event before, 15: that and a number more
 *   ALLOC       [site] [size] address, from that of the last allocation of about this size (psc_log_last_of)
 *   FREE        address, from that of the event before
 *   RESIZE      old address, from that of the event before; [site] [size] address, from the old one
 *
 *   site        a number; not there if PSC_LOG_SAME_SITE: that which came last time after the two before it
 *               (psc_log_next_site)
 *   size        a number; not there if PSC_LOG_SAME_SIZE: what a site with the same low byte asked for last
 *   address     turned right by 4 bits (blocks are aligned), how far it is from another turned alike, zigzag: the sign
 *               in bit 0
 *   number      7 bits a byte, low ones first; bit 7: there is more
 */
#ifndef PSC_CORE_WIRE_LOG_H
#define PSC_CORE_WIRE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PSC_LOG_SUFFIX ".events" /* behind the name of the trace */
#define PSC_LOG_MAGIC "PSCEVENT"
#define PSC_LOG_VERSION 1

#define PSC_LOG_CHUNK_BYTES 65536u
#define PSC_LOG_CHUNK_MAGIC 0x6b6e6863u /* "chnk" */
#define PSC_LOG_CLOSED (1u << 31)       /* in chunks_used: no more are handed out */

/* What the clock of the log showed at a time of CLOCK_MONOTONIC. */
struct psc_wire_log_clock {
    uint64_t ticks;
    uint64_t ns;
};

struct psc_wire_log_header {
    char magic[8]; /* written last */
    uint32_t version;
    uint32_t header_bytes;
    uint32_t chunk_bytes;
    uint32_t chunks_used; /* chunks below this index may be in use, this one's included; and PSC_LOG_CLOSED */
    uint32_t pid;
    uint32_t stop_reason;    /* enum psc_stop_reason: why nothing was logged any more */
    uint64_t trace_start_ns; /* start_ns of the trace that this belongs to */
    uint64_t lost_events;    /* of all threads */
    uint64_t mode;           /* enum psc_mode: when sampled, samples alone are here */
    uint64_t clock_count;    /* the newest of `clocks` is that of index (clock_count - 1) % 2; written after it */
    struct psc_wire_log_clock first; /* when the log began */
    struct psc_wire_log_clock clocks[2];
};

struct psc_wire_log_chunk {
    uint32_t magic;    /* PSC_LOG_CHUNK_MAGIC, written last; else not in use */
    uint32_t thread;   /* index in the trace's table of threads */
    uint64_t sequence; /* counts the chunks of that thread, from 1 */
    uint64_t time;     /* in ticks: the first event's is told from here */
    uint64_t lost;     /* events that the thread lost between its chunk before and this one */
    uint64_t filled;   /* low 32 bits: bytes of events; high ones: how many. Written after each event */
    uint64_t pad[3];
    uint8_t events[];
};

_Static_assert(sizeof(struct psc_wire_log_chunk) == 64, "wire format");
_Static_assert(sizeof(struct psc_wire_log_header) <= 4096, "one page is backed for it");

#define PSC_LOG_ROOM (PSC_LOG_CHUNK_BYTES - (uint32_t)sizeof(struct psc_wire_log_chunk))

/* ---- events ---------------------------------------------------------------------------------------------------- */

enum psc_log_kind {
    PSC_LOG_LOST, /* never in a file: what a reader tells of a gap; size: so many events */
    PSC_LOG_ALLOC,
    PSC_LOG_FREE,
    PSC_LOG_RESIZE, /* a free and an allocation in one */
};

enum psc_log_flag { PSC_LOG_SAME_SITE = 4, PSC_LOG_SAME_SIZE = 8 };

#define PSC_LOG_KIND_MASK 3u
#define PSC_LOG_TIME_SHIFT 4
#define PSC_LOG_TIME_MORE 15u
#define PSC_LOG_EVENT_MAX 48 /* 1 + four numbers of 64 bits and one of 32, rounded up */
#define PSC_LOG_EVENT_MIN 2

struct psc_log_event {
    uint64_t time; /* in ticks; not before that of the event before */
    uint64_t address;
    uint64_t old_address; /* of a resize */
    uint64_t size;        /* requested; 0 in a free */
    uint32_t site;        /* 0 in a free */
    uint32_t kind;        /* enum psc_log_kind */
};

#define PSC_LOG_SIZES 256
#define PSC_LOG_SITES 1024
#define PSC_LOG_STEP 16u /* between the sizes that count as different */

struct psc_log_context {
    uint64_t time;
    uint64_t address;                /* of the event before; of a resize the new one */
    uint64_t sizes[PSC_LOG_SIZES];   /* requested last, by the low byte of the site */
    uint64_t last_of[PSC_LOG_SIZES]; /* address of the last allocation, by size */
    uint32_t next[PSC_LOG_SITES];    /* the site that came after two others */
    uint32_t site;                   /* of the last allocation */
    uint32_t site_before;            /* of the one before it */
};

/* As it is at the beginning of a chunk. */
static inline void psc_log_begin(struct psc_log_context *context, uint64_t time) {
    *context = (struct psc_log_context){.time = time};
}

static inline uint64_t *psc_log_last_of(struct psc_log_context *context, uint64_t size) {
    uint64_t row = size / PSC_LOG_STEP + (size % PSC_LOG_STEP != 0);
    return &context->last_of[row < PSC_LOG_SIZES ? row : PSC_LOG_SIZES - 1];
}

static inline uint32_t *psc_log_next_site(struct psc_log_context *context) {
    return &context->next[(context->site * 31 + context->site_before) % PSC_LOG_SITES];
}

/* What both sides note of an allocation or resize. */
static inline void psc_log_note(struct psc_log_context *context, const struct psc_log_event *event) {
    *psc_log_next_site(context) = event->site;
    context->site_before = context->site;
    context->site = event->site;
    context->sizes[event->site % PSC_LOG_SIZES] = event->size;
    *psc_log_last_of(context, event->size) = event->address;
}

static inline uint8_t *psc_log_put_number(uint8_t *at, uint64_t number) {
    for (; number >= 128; number >>= 7) {
        *at++ = (uint8_t)(number | 128);
    }
    *at++ = (uint8_t)number;
    return at;
}

/* Returns what stands behind it; NULL: there is no whole number before `end`. */
static inline const uint8_t *psc_log_get_number(const uint8_t *at, const uint8_t *end, uint64_t *number) {
    *number = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = *at++;
        *number |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return at;
        }
    }
    return NULL;
}

/* Turns left by so many bits, 1 to 63. */
static inline uint64_t psc_log_turn(uint64_t word, unsigned bits) {
    return word << bits | word >> (64 - bits);
}

static inline uint8_t *psc_log_put_address(uint8_t *at, uint64_t from, uint64_t address) {
    uint64_t step = psc_log_turn(address, 60) - psc_log_turn(from, 60);
    return psc_log_put_number(at, step << 1 ^ -(step >> 63));
}

static inline const uint8_t *psc_log_get_address(const uint8_t *at, const uint8_t *end, uint64_t from,
                                                 uint64_t *address) {
    uint64_t number;
    at = psc_log_get_number(at, end, &number);
    uint64_t step = number >> 1 ^ -(number & 1);
    *address = psc_log_turn(psc_log_turn(from, 60) + step, 4);
    return at;
}

/* Writes the head byte, and the time where it does not fit there. */
static inline uint8_t *psc_log_put_head(uint8_t *at, struct psc_log_context *context, uint64_t time, uint32_t low) {
    uint64_t passed = time > context->time ? time - context->time : 0;
    context->time += passed;
    if (passed < PSC_LOG_TIME_MORE) {
        *at++ = (uint8_t)(low | (uint32_t)passed << PSC_LOG_TIME_SHIFT);
        return at;
    }
    *at++ = (uint8_t)(low | PSC_LOG_TIME_MORE << PSC_LOG_TIME_SHIFT);
    return psc_log_put_number(at, passed - PSC_LOG_TIME_MORE);
}

/* Writes an event, PSC_LOG_EVENT_MAX bytes at most. Returns where the next one begins. */
static inline uint8_t *psc_log_put(uint8_t *at, struct psc_log_context *context, const struct psc_log_event *event) {
    uint64_t from = context->address;
    context->address = event->address;
    if (event->kind == PSC_LOG_FREE) {
        at = psc_log_put_head(at, context, event->time, PSC_LOG_FREE);
        return psc_log_put_address(at, from, event->address);
    }
    uint32_t same_site = event->site == *psc_log_next_site(context) ? PSC_LOG_SAME_SITE : 0;
    uint32_t same_size = event->size == context->sizes[event->site % PSC_LOG_SIZES] ? PSC_LOG_SAME_SIZE : 0;
    at = psc_log_put_head(at, context, event->time, event->kind | same_site | same_size);
    if (event->kind == PSC_LOG_RESIZE) {
        at = psc_log_put_address(at, from, event->old_address);
    }
    if (same_site == 0) {
        at = psc_log_put_number(at, event->site);
    }
    if (same_size == 0) {
        at = psc_log_put_number(at, event->size);
    }
    from = event->kind == PSC_LOG_RESIZE ? event->old_address : *psc_log_last_of(context, event->size);
    psc_log_note(context, event);
    return psc_log_put_address(at, from, event->address);
}

/* What an allocation or resize has before its address. */
static inline const uint8_t *psc_log_get_request(const uint8_t *at, const uint8_t *end, struct psc_log_context *context,
                                                 uint32_t flags, struct psc_log_event *event) {
    uint64_t site = *psc_log_next_site(context);
    if (event->kind == PSC_LOG_RESIZE) {
        at = psc_log_get_address(at, end, context->address, &event->old_address);
    }
    if (at != NULL && (flags & PSC_LOG_SAME_SITE) == 0) {
        at = psc_log_get_number(at, end, &site);
    }
    event->site = (uint32_t)site;
    event->size = context->sizes[event->site % PSC_LOG_SIZES];
    if (at != NULL && (flags & PSC_LOG_SAME_SIZE) == 0) {
        at = psc_log_get_number(at, end, &event->size);
    }
    return site <= UINT32_MAX ? at : NULL;
}

/* Reads the event at `at`. Returns where the next one begins; NULL: there is no whole event before `end`, and the
 * context is as it was. The bytes may be anything. */
static inline const uint8_t *psc_log_get(const uint8_t *at, const uint8_t *end, struct psc_log_context *context,
                                         struct psc_log_event *event) {
    if (at >= end || (*at & PSC_LOG_KIND_MASK) == 0) {
        return NULL;
    }
    uint32_t head = *at++;
    uint64_t passed = head >> PSC_LOG_TIME_SHIFT;
    uint64_t more = 0;
    uint64_t from = context->address;
    *event = (struct psc_log_event){.kind = head & PSC_LOG_KIND_MASK};
    if (passed == PSC_LOG_TIME_MORE) {
        at = psc_log_get_number(at, end, &more);
    }
    if (at != NULL && event->kind != PSC_LOG_FREE) {
        at = psc_log_get_request(at, end, context, head, event);
        from = event->kind == PSC_LOG_RESIZE ? event->old_address : *psc_log_last_of(context, event->size);
    }
    if (at == NULL || (at = psc_log_get_address(at, end, from, &event->address)) == NULL) {
        return NULL;
    }
    context->time += passed + more;
    context->address = event->address;
    event->time = context->time;
    if (event->kind != PSC_LOG_FREE) {
        psc_log_note(context, event);
    }
    return at;
}

#endif
