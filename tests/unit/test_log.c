/* The event log: what is written is what is read, whatever happens to the file; and the order of threads. Check runs
 * each test in a process of its own. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/track/log.h"
#include "core/track/track.h"
#include "core/track/types.h"
#include "report/log.h"

#define START_NS 5000000000u
#define PID 4242

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1du;
}

/* ---- one event after the other --------------------------------------------------------------------------------- */

/* Of any length in bits, small ones as often as large ones. */
static uint64_t any_number(uint64_t *state) {
    uint64_t bits = next_random(state) >> 58;
    return next_random(state) >> bits;
}

static struct psc_log_event any_event(uint64_t *state, uint64_t time) {
    struct psc_log_event event = {.kind = 1 + (uint32_t)(next_random(state) >> 32) % 3};
    event.time = time + (next_random(state) % 3 == 0 ? any_number(state) >> 20 : next_random(state) % 20);
    event.address = next_random(state) % 4 == 0 ? any_number(state) : 0x7f0000000000 + next_random(state) % 5000 * 16;
    if (event.kind == PSC_LOG_RESIZE) {
        event.old_address = next_random(state) % 2 == 0 ? event.address : any_number(state);
    }
    if (event.kind != PSC_LOG_FREE) {
        event.site = next_random(state) % 8 == 0 ? (uint32_t)any_number(state) : (uint32_t)(event.time % 5);
        event.size = next_random(state) % 4 == 0 ? any_number(state) : event.site * 16;
    }
    return event;
}

static void check_same(const struct psc_log_event *got, const struct psc_log_event *wanted) {
    ck_assert_uint_eq(got->kind, wanted->kind);
    ck_assert_uint_eq(got->time, wanted->time);
    ck_assert_uint_eq(got->address, wanted->address);
    ck_assert_uint_eq(got->old_address, wanted->old_address);
    ck_assert_uint_eq(got->size, wanted->size);
    ck_assert_uint_eq(got->site, wanted->site);
}

START_TEST(what_is_written_is_read) {
    static struct psc_log_context written, read;
    uint64_t state = 88172645463325252u + (uint64_t)_i, time = 1000;
    psc_log_begin(&written, time);
    psc_log_begin(&read, time);
    for (int i = 0; i < 10000; i++) {
        uint8_t bytes[PSC_LOG_EVENT_MAX];
        struct psc_log_event event = any_event(&state, time), got;
        uint8_t *end = psc_log_put(bytes, &written, &event);
        ck_assert_int_le(end - bytes, PSC_LOG_EVENT_MAX);
        ck_assert_int_ge(end - bytes, PSC_LOG_EVENT_MIN);
        for (const uint8_t *cut = bytes; cut < end; cut++) { /* changes nothing */
            ck_assert_ptr_null(psc_log_get(bytes, cut, &read, &got));
        }
        ck_assert_ptr_eq(psc_log_get(bytes, end, &read, &got), end);
        check_same(&got, &event);
        time = event.time;
    }
}
END_TEST

/* The longest of everything. */
START_TEST(extremes_have_room) {
    static struct psc_log_context context;
    uint8_t bytes[PSC_LOG_EVENT_MAX];
    struct psc_log_event event = {.kind = PSC_LOG_RESIZE,
                                  .time = UINT64_MAX,
                                  .address = (uint64_t)1 << 62,
                                  .old_address = (uint64_t)3 << 62 | 8,
                                  .size = UINT64_MAX,
                                  .site = UINT32_MAX};
    psc_log_begin(&context, 0);
    context.address = (uint64_t)1 << 63;
    ck_assert_int_le(psc_log_put(bytes, &context, &event) - bytes, PSC_LOG_EVENT_MAX);
}
END_TEST

START_TEST(a_time_that_goes_back_stands_still) {
    static struct psc_log_context written, read;
    uint8_t bytes[PSC_LOG_EVENT_MAX];
    struct psc_log_event event = {.kind = PSC_LOG_FREE, .time = 90, .address = 16}, got;
    psc_log_begin(&written, 100);
    psc_log_begin(&read, 100);
    const uint8_t *end = psc_log_put(bytes, &written, &event);
    ck_assert_ptr_eq(psc_log_get(bytes, end, &read, &got), end);
    ck_assert_uint_eq(got.time, 100);
}
END_TEST

/* ---- files made by hand ---------------------------------------------------------------------------------------- */

#define FAKE_CHUNKS 80

struct fake {
    uint8_t *bytes; /* FAKE_CHUNKS chunks */
    uint32_t chunks;
};

/* A tick is 10 ns. */
static void fake_begin(struct fake *fake) {
    *fake = (struct fake){calloc(FAKE_CHUNKS, PSC_LOG_CHUNK_BYTES), 1};
    struct psc_wire_log_header *header = (void *)fake->bytes;
    *header = (struct psc_wire_log_header){.version = PSC_LOG_VERSION,
                                           .header_bytes = sizeof(*header),
                                           .chunk_bytes = PSC_LOG_CHUNK_BYTES,
                                           .chunks_used = FAKE_CHUNKS,
                                           .pid = PID,
                                           .trace_start_ns = START_NS,
                                           .clock_count = 1,
                                           .first = {1000, START_NS},
                                           .clocks = {{2000, START_NS + 10000}}};
    memcpy(header->magic, PSC_LOG_MAGIC, sizeof(header->magic));
}

static struct psc_wire_log_chunk *fake_chunk(struct fake *fake, uint32_t thread, uint64_t sequence, uint64_t lost,
                                             const struct psc_log_event *events, size_t count) {
    static struct psc_log_context context;
    struct psc_wire_log_chunk *chunk = (void *)(fake->bytes + (size_t)fake->chunks++ * PSC_LOG_CHUNK_BYTES);
    ck_assert_uint_le(fake->chunks, FAKE_CHUNKS);
    *chunk = (struct psc_wire_log_chunk){
        .magic = PSC_LOG_CHUNK_MAGIC, .thread = thread, .sequence = sequence, .time = events[0].time, .lost = lost};
    uint8_t *at = chunk->events;
    psc_log_begin(&context, chunk->time);
    for (size_t i = 0; i < count; i++) {
        at = psc_log_put(at, &context, &events[i]);
    }
    chunk->filled = (uint64_t)count << 32 | (uint64_t)(at - chunk->events);
    return chunk;
}

static int fake_open(const struct fake *fake) {
    int fd = memfd_create("log", MFD_CLOEXEC);
    size_t size = (size_t)FAKE_CHUNKS * PSC_LOG_CHUNK_BYTES;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    for (uint32_t i = 0; i < fake->chunks; i++) {
        size_t at = (size_t)i * PSC_LOG_CHUNK_BYTES;
        ck_assert_int_eq(pwrite(fd, fake->bytes + at, PSC_LOG_CHUNK_BYTES, (off_t)at), PSC_LOG_CHUNK_BYTES);
    }
    return fd;
}

static struct psc_log *open_log(int fd, const char **error) {
    static const struct psc_model model = {.path = "test", .process = {.start_ns = START_NS, .pid = PID}};
    return psc_log_open_fd(fd, &model, error);
}

#define ALLOC(when, where)                                                                                             \
    { .kind = PSC_LOG_ALLOC, .time = (when), .address = (where), .size = 40, .site = 7 }
#define FREE(when, where)                                                                                              \
    { .kind = PSC_LOG_FREE, .time = (when), .address = (where) }
#define RESIZE(when, from, to)                                                                                         \
    { .kind = PSC_LOG_RESIZE, .time = (when), .address = (to), .old_address = (from), .size = 80, .site = 8 }
#define ADD(fake, thread, sequence, lost, ...)                                                                         \
    fake_chunk(fake, thread, sequence, lost, (const struct psc_log_event[]){__VA_ARGS__},                              \
               sizeof((const struct psc_log_event[]){__VA_ARGS__}) / sizeof(struct psc_log_event))

/* What comes out, as "kind thread address"; one letter a kind. */
static void tell(int fd, char *text, size_t bytes, struct psc_log_figures *figures) {
    const char *error;
    struct psc_log_entry entry;
    struct psc_log *log = open_log(fd, &error);
    size_t length = 0;
    text[0] = '\0';
    ck_assert_ptr_nonnull(log);
    while (psc_log_next(log, &entry) && length < bytes) {
        length += (size_t)snprintf(text + length, bytes - length, "%s%c%u %x", length == 0 ? "" : ", ",
                                   "LAFR"[entry.kind], entry.thread, (unsigned)entry.address);
    }
    *figures = *psc_log_figures(log);
    psc_log_close(log);
}

static void check_told(struct fake *fake, const char *wanted) {
    char text[1000];
    struct psc_log_figures figures;
    int fd = fake_open(fake);
    tell(fd, text, sizeof(text), &figures);
    ck_assert_str_eq(text, wanted);
    close(fd);
    free(fake->bytes);
}

START_TEST(threads_are_merged_by_time) {
    struct fake fake;
    fake_begin(&fake);
    ADD(&fake, 1, 2, 0, ALLOC(1060, 0x60), ALLOC(1080, 0x80));
    ADD(&fake, 0, 1, 0, ALLOC(1010, 0x10), ALLOC(1050, 0x50), ALLOC(1070, 0x70));
    ADD(&fake, 1, 1, 0, ALLOC(1020, 0x20), ALLOC(1030, 0x30));
    ADD(&fake, 5, 1, 0, ALLOC(1040, 0x40));
    check_told(&fake, "A0 10, A1 20, A1 30, A5 40, A0 50, A1 60, A0 70, A1 80");
}
END_TEST

START_TEST(times_are_those_of_the_process) {
    struct fake fake;
    struct psc_log_entry entry;
    const char *error;
    fake_begin(&fake);
    ADD(&fake, 0, 1, 0, ALLOC(1000, 0x10), RESIZE(1001, 0x10, 0x20), FREE(901000, 0x20));
    int fd = fake_open(&fake);
    struct psc_log *log = open_log(fd, &error);
    ck_assert(psc_log_next(log, &entry));
    ck_assert_uint_eq(entry.time_ns, 0);
    ck_assert(psc_log_next(log, &entry));
    ck_assert_uint_eq(entry.time_ns, 10);
    ck_assert_uint_eq(entry.old_address, 0x10);
    ck_assert(psc_log_next(log, &entry));
    ck_assert_uint_eq(entry.time_ns, 9000000);
    ck_assert_uint_eq(entry.size, 80); /* of the block that is freed */
    ck_assert_uint_eq(entry.site, 8);
    ck_assert(!psc_log_next(log, &entry));
    psc_log_close(log);
    close(fd);
    free(fake.bytes);
}
END_TEST

/* Clocks that differ: a block is not freed before it is made, and an address not taken before it is free. */
START_TEST(causes_come_before_effects) {
    struct fake fake;
    fake_begin(&fake);
    ADD(&fake, 0, 1, 0, ALLOC(1010, 0x10), ALLOC(1050, 0x50), FREE(1090, 0x10), ALLOC(1100, 0x80));
    ADD(&fake, 1, 1, 0, FREE(1049, 0x50), ALLOC(1060, 0x60), RESIZE(1089, 0x60, 0x10));
    ADD(&fake, 2, 1, 0, FREE(1088, 0x10), ALLOC(1089, 0x90));
    check_told(&fake, "A0 10, A0 50, F1 50, A1 60, F2 10, R1 10, A2 90, F0 10, A0 80");
}
END_TEST

/* Where the cause was lost, the wait ends: when time is up, and when nothing else is left. */
START_TEST(nothing_waits_for_what_was_lost) {
    struct fake fake;
    uint64_t later = PSC_LOG_PATIENCE_NS / 10 + 1;
    fake_begin(&fake);
    ADD(&fake, 0, 1, 0, FREE(1010, 0xf0), ALLOC(1020, 0x20));
    ADD(&fake, 1, 1, 0, ALLOC(1030, 0x30), ALLOC(1010 + later, 0x40), ALLOC(1020 + 2 * later, 0x50),
        FREE(9000000, 0xe0));
    check_told(&fake, "A1 30, F0 f0, A0 20, A1 40, A1 50, F1 e0");
}
END_TEST

START_TEST(many_that_wait) {
    struct fake fake;
    char text[4000];
    struct psc_log_figures figures;
    fake_begin(&fake);
    for (uint32_t i = 0; i < FAKE_CHUNKS - 1; i++) {
        ADD(&fake, i, 1, 0, FREE(1010 + i, 0x1000 + i * 16), ALLOC(1100 + i, 0x5000 + i * 16));
    }
    int fd = fake_open(&fake);
    tell(fd, text, sizeof(text), &figures);
    ck_assert_uint_eq(figures.events, 2 * (FAKE_CHUNKS - 1));
    ck_assert_uint_eq(figures.threads, FAKE_CHUNKS - 1);
    ck_assert_ptr_nonnull(strstr(text, "F0 1000"));
    ck_assert_ptr_nonnull(strstr(text, "A78 54e0"));
    close(fd);
    free(fake.bytes);
}
END_TEST

START_TEST(gaps_are_told) {
    struct fake fake;
    struct psc_log_figures figures;
    char text[1000];
    fake_begin(&fake);
    ADD(&fake, 0, 1, 0, ALLOC(1010, 0x10));
    ADD(&fake, 0, 2, 12, ALLOC(1050, 0x50));
    ADD(&fake, 0, 4, 0, ALLOC(1060, 0x60)); /* one is missing */
    ((struct psc_wire_log_header *)(void *)fake.bytes)->lost_events = 14;
    int fd = fake_open(&fake);
    tell(fd, text, sizeof(text), &figures);
    ck_assert_str_eq(text, "A0 10, L0 0, A0 50, L0 0, A0 60");
    ck_assert_uint_eq(figures.lost, 14);
    ck_assert_uint_eq(figures.damaged, 1);
    close(fd);
    free(fake.bytes);
}
END_TEST

START_TEST(logs_of_others_are_refused) {
    const char *error;
    for (int i = 0; i < 5; i++) {
        struct fake fake;
        fake_begin(&fake);
        struct psc_wire_log_header *header = (void *)fake.bytes;
        header->magic[0] ^= i == 0;
        header->version += i == 1;
        header->pid += i == 2;
        header->trace_start_ns += i == 3;
        int fd = fake_open(&fake);
        struct psc_log *log = open_log(fd, &error);
        ck_assert_int_eq(log != NULL, i == 4);
        psc_log_close(log);
        close(fd);
        free(fake.bytes);
    }
}
END_TEST

/* ---- the golden log, which is the seed of the fuzzer --------------------------------------------------------------- */

#define SEED "tests/fuzz/fuzz_log.corpus/small"

static size_t shorten(const struct fake *fake, uint8_t *to) {
    uint8_t *at = to;
    for (uint32_t i = 1; i < fake->chunks; i++) {
        const struct psc_wire_log_chunk *chunk = (const void *)(fake->bytes + (size_t)i * PSC_LOG_CHUNK_BYTES);
        uint32_t bytes = (uint32_t)chunk->filled, events = (uint32_t)(chunk->filled >> 32);
        const uint8_t head[] = {(uint8_t)chunk->thread, (uint8_t)chunk->sequence, (uint8_t)chunk->time,
                                (uint8_t)chunk->lost,   (uint8_t)events,          (uint8_t)(events >> 8),
                                (uint8_t)bytes,         (uint8_t)(bytes >> 8)};
        memcpy(at, head, sizeof(head));
        memcpy(at + sizeof(head), chunk->events, bytes);
        at += sizeof(head) + bytes;
    }
    return (size_t)(at - to);
}

/* A change of the bytes is a change of the format: POOLSCOPE_GOLDEN=write makes the file anew. */
START_TEST(golden_log) {
    struct fake fake;
    uint8_t bytes[1000], wanted[1000];
    fake_begin(&fake);
    ADD(&fake, 0, 1, 0, ALLOC(10, 0x7f0000000010), ALLOC(11, 0x7f0000000040), FREE(40, 0x7f0000000010),
        RESIZE(100, 0x7f0000000040, 0x7f0000000100), ALLOC(5000, 0x7f0000000010), FREE(5001, 0x7f0000000100));
    ADD(&fake, 1, 1, 0, FREE(60, 0x7f0000000010), ALLOC(70, 0x7f0000000200));
    ADD(&fake, 0, 2, 3, ALLOC(200, 0x7f0000000300), FREE(210, 0x7f0000000200));
    size_t size = shorten(&fake, bytes);
    if (getenv("POOLSCOPE_GOLDEN") != NULL) {
        FILE *out = fopen(SEED, "we");
        fwrite(bytes, 1, size, out);
        fclose(out);
    }
    FILE *in = fopen(SEED, "re");
    ck_assert_msg(in != NULL, "cannot open " SEED ": run from the top of the source tree");
    ck_assert_uint_eq(fread(wanted, 1, sizeof(wanted), in), size);
    fclose(in);
    ck_assert_mem_eq(bytes, wanted, size);
    free(fake.bytes);
}
END_TEST

/* ---- damage ---------------------------------------------------------------------------------------------------- */

/* Reads all there is. Returns how many events. */
static uint64_t read_all(int fd) {
    const char *error;
    struct psc_log_entry entry;
    uint64_t count = 0;
    struct psc_log *log = open_log(fd, &error);
    while (log != NULL && psc_log_next(log, &entry)) {
        ck_assert_uint_le(entry.kind, PSC_LOG_RESIZE);
        count++;
    }
    psc_log_close(log);
    return count;
}

/* Some threads with some chunks each. */
static void make_any(struct fake *fake, uint64_t seed, size_t events_each) {
    struct psc_log_event *events = calloc(events_each, sizeof(*events));
    fake_begin(fake);
    for (uint32_t chunk = 0; chunk < 9; chunk++) {
        uint64_t time = 1000 + chunk / 3 * 100000;
        for (size_t i = 0; i < events_each; i++) {
            events[i] = any_event(&seed, time);
            time = events[i].time < time + 1000 ? events[i].time : time;
            events[i].time = time;
        }
        fake_chunk(fake, chunk % 3, chunk / 3 + 1, 0, events, events_each);
    }
    free(events);
}

START_TEST(a_log_cut_anywhere) {
    struct fake fake;
    make_any(&fake, 1, 300);
    int fd = fake_open(&fake);
    uint64_t most = read_all(fd);
    ck_assert_uint_eq(most, 9 * 300);
    for (uint32_t size = 10 * PSC_LOG_CHUNK_BYTES; size > 3; size -= size > 2000 ? 1777 : 3) {
        ck_assert_int_eq(ftruncate(fd, size), 0);
        uint64_t count = read_all(fd);
        ck_assert_uint_le(count, most);
        most = count;
    }
    ck_assert_uint_eq(most, 0);
    close(fd);
    free(fake.bytes);
}
END_TEST

START_TEST(any_byte_of_a_log_changed) {
    struct fake fake;
    uint64_t state = 2463534242u;
    make_any(&fake, 2, 100);
    int fd = fake_open(&fake);
    for (int i = 0; i < 1500; i++) {
        uint64_t place = next_random(&state) % 10 * PSC_LOG_CHUNK_BYTES;
        place += next_random(&state) % (next_random(&state) % 2 == 0 ? 160 : 1500);
        uint8_t changed = fake.bytes[place] ^ (uint8_t)(1 + (next_random(&state) >> 8) % 255);
        ck_assert_int_eq(pwrite(fd, &changed, 1, (off_t)place), 1);
        ck_assert_uint_le(read_all(fd), 9 * (PSC_LOG_ROOM / PSC_LOG_EVENT_MIN + 1));
        ck_assert_int_eq(pwrite(fd, &fake.bytes[place], 1, (off_t)place), 1);
    }
    ck_assert_uint_eq(read_all(fd), 9 * 100);
    close(fd);
    free(fake.bytes);
}
END_TEST

/* The largest file that can be claimed, nearly all of it a hole. */
START_TEST(a_hole_is_skipped) {
    struct fake fake;
    make_any(&fake, 3, 100);
    struct psc_wire_log_header *header = (void *)fake.bytes;
    header->chunks_used = ~PSC_LOG_CLOSED;
    int fd = fake_open(&fake);
    ck_assert_int_eq(ftruncate(fd, (off_t)1 << 42), 0);
    ck_assert_uint_eq(read_all(fd), 9 * 100);
    close(fd);
    free(fake.bytes);
}
END_TEST

/* ---- the writer, over pools that only pretend ------------------------------------------------------------------- */

#define POOLS 4
#define CAPACITY 1000

static const uint32_t class_bytes[POOLS] = {16, 64, 256, 1024};
static char directory[64];
static char trace_path[128];

struct pool {
    struct psc_tags tags;
    uint32_t class_index;
    bool taken[CAPACITY];
};

static struct pool pools[POOLS];

static void describe(struct psc_wire_snapshot *snapshot, struct psc_wire_map *map) {
    snapshot->committed_bytes = 1;
    (void)map;
}

static void describe_resident(struct psc_wire_snapshot *snapshot) {
    (void)snapshot;
}

static void reregister(void) {
}

static const struct psc_track_host host = {.arena_bytes = 4u << 20,
                                           .slot_bytes = 16384,
                                           .class_count = POOLS,
                                           .class_bytes = class_bytes,
                                           .describe = describe,
                                           .describe_resident = describe_resident,
                                           .reregister = reregister};

static void begin_with_limit(uint32_t mebibytes) {
    struct psc_options options = {
        .mode = PSC_MODE_EXACT, .depth = 16, .snapshots = 8, .events = 1, .events_limit = mebibytes};
    snprintf(options.out, sizeof(options.out), "%s", trace_path);
    ck_assert(psc_track_start(&options, &host));
    for (uint32_t i = 0; i < POOLS; i++) {
        pools[i].class_index = i;
    }
}

static uint64_t *tags_of(struct pool *pool) {
    uint32_t epoch = psc_track_epoch();
    if (pool->tags.epoch == epoch) {
        return pool->tags.tags;
    }
    return psc_track_attach(&pool->tags, pool->class_index, (uint64_t)(pool->class_index + 1) << 32,
                            class_bytes[pool->class_index], CAPACITY, CAPACITY, 0);
}

static uint64_t address_of(const struct pool *pool, uint32_t index) {
    return ((uint64_t)(pool->class_index + 1) << 32) + (uint64_t)index * class_bytes[pool->class_index];
}

static void take_block(struct pool *pool, uint32_t index, uint32_t requested) {
    psc_track_alloc(tags_of(pool), index, pool->class_index, requested, class_bytes[pool->class_index]);
    pool->taken[index] = true;
}

static void drop_block(struct pool *pool, uint32_t index) {
    psc_track_free(tags_of(pool), index, pool->class_index, class_bytes[pool->class_index]);
    pool->taken[index] = false;
}

/* So many events in one pool. */
static void churn(struct pool *pool, uint64_t seed, uint32_t events) {
    for (uint32_t i = 0; i < events; i++) {
        uint32_t index = (uint32_t)(next_random(&seed) >> 40) % CAPACITY;
        if (pool->taken[index]) {
            drop_block(pool, index);
        } else {
            take_block(pool, index, 1 + (uint32_t)(next_random(&seed) >> 40) % class_bytes[pool->class_index]);
        }
    }
}

/* What a log says when it is replayed. */
struct replay {
    uint64_t kinds[4];
    uint64_t lost; /* as the gaps tell */
    uint64_t unordered;
    uint64_t live;
    struct psc_log_figures figures;
    struct psc_log_entry last;
};

static void replay(const char *path, struct replay *sums) {
    const char *error;
    struct psc_log_entry entry;
    static bool live[POOLS + 1][CAPACITY];
    struct psc_model *model = psc_model_open(path, &error);
    ck_assert_ptr_nonnull(model);
    struct psc_log *log = psc_log_open(model, &error);
    ck_assert_ptr_nonnull(log);
    *sums = (struct replay){0};
    memset(live, 0, sizeof(live));
    while (psc_log_next(log, &entry)) {
        uint64_t address = entry.kind == PSC_LOG_RESIZE ? entry.old_address : entry.address;
        sums->kinds[entry.kind]++;
        sums->last = entry;
        if (entry.kind == PSC_LOG_LOST) {
            sums->lost += entry.size;
            continue;
        }
        uint32_t pool = (uint32_t)(address >> 32) - 1;
        ck_assert_uint_lt(pool, POOLS);
        bool *block = &live[pool][(address & UINT32_MAX) / class_bytes[pool]];
        sums->unordered += *block == (entry.kind == PSC_LOG_ALLOC);
        *block = entry.kind == PSC_LOG_ALLOC;
        if (entry.kind == PSC_LOG_RESIZE) {
            pool = (uint32_t)(entry.address >> 32) - 1;
            live[pool][(entry.address & UINT32_MAX) / class_bytes[pool]] = true;
        }
    }
    for (uint32_t i = 0; i < POOLS * CAPACITY; i++) {
        sums->live += live[i / CAPACITY][i % CAPACITY];
    }
    sums->figures = *psc_log_figures(log);
    psc_log_close(log);
    psc_model_close(model);
}

static uint64_t live_blocks(void) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < POOLS * CAPACITY; i++) {
        count += pools[i / CAPACITY].taken[i % CAPACITY];
    }
    return count;
}

static void make_directory(void) {
    struct rlimit limit;
    strcpy(directory, "/tmp/psc-log-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(trace_path, sizeof(trace_path), "%s/x.trace", directory);
    /* sanitizers look at all of a mapping */
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = (rlim_t)256 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void remove_directory(void) {
    char path[512];
    DIR *dir = opendir(directory);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(directory);
}

START_TEST(all_events_are_logged) {
    struct replay sums;
    begin_with_limit(100);
    for (uint32_t i = 0; i < POOLS; i++) {
        churn(&pools[i], 11 + i, 20000);
    }
    for (int ended = 0; ended < 2; ended++) { /* while it runs, too */
        replay(trace_path, &sums);
        ck_assert_uint_eq(sums.kinds[PSC_LOG_ALLOC] + sums.kinds[PSC_LOG_FREE], POOLS * 20000);
        ck_assert_uint_eq(sums.figures.events, POOLS * 20000);
        ck_assert_uint_eq(sums.figures.lost, 0);
        ck_assert_uint_eq(sums.figures.damaged, 0);
        ck_assert_uint_eq(sums.figures.threads, 1);
        ck_assert_uint_eq(sums.unordered, 0);
        ck_assert_uint_eq(sums.live, live_blocks());
        psc_track_end(PSC_END_EXIT);
    }
}
END_TEST

static void *churn_in_thread(void *pool) {
    churn(pool, (uintptr_t)pool, 25000);
    psc_track_thread_end();
    return NULL;
}

START_TEST(threads_have_chunks_of_their_own) {
    struct replay sums;
    pthread_t ids[POOLS];
    begin_with_limit(100);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < POOLS; i++) {
            ck_assert_int_eq(pthread_create(&ids[i], NULL, churn_in_thread, &pools[i]), 0);
        }
        for (uint32_t i = 0; i < POOLS; i++) {
            ck_assert_int_eq(pthread_join(ids[i], NULL), 0);
        }
    }
    psc_track_end(PSC_END_EXIT);
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.figures.events + sums.figures.lost, 2 * POOLS * 25000);
    ck_assert_uint_eq(sums.figures.lost, 0);
    ck_assert_uint_le(sums.figures.threads, POOLS); /* the second round took over from the first */
    ck_assert_uint_eq(sums.unordered, 0);
    ck_assert_uint_eq(sums.live, live_blocks());
}
END_TEST

START_TEST(what_does_not_fit_is_counted) {
    struct replay sums;
    begin_with_limit(1);
    churn(&pools[0], 5, 300000);
    psc_track_end(PSC_END_EXIT);
    churn(&pools[0], 6, 100); /* handlers of others still run */
    replay(trace_path, &sums);
    ck_assert_uint_gt(sums.figures.lost, 0);
    ck_assert_uint_gt(sums.figures.events, 100000);
    ck_assert_uint_eq(sums.figures.events + sums.figures.lost, 300100);
    ck_assert_uint_eq(sums.figures.stop_reason, PSC_STOP_SPAN);
    ck_assert_uint_eq(sums.unordered, 0);
}
END_TEST

/* A wait that was too long: nothing until its share of the time has passed, then a gap that says how much. */
START_TEST(a_long_wait_makes_a_gap) {
    struct replay sums;
    uint64_t events = 0;
    begin_with_limit(100);
    psc_track_log_waited(PSC_TRACK_LOG_CREDIT_NS + 20 * 1000 * 1000);
    churn(&pools[0], 7, 1000); /* sooner than in 200 ms, or there is no gap */
    events += 1000;
    while (psc_track_self.thread->log->chunk == NULL) {
        churn(&pools[0], events, 100);
        events += 100;
    }
    psc_track_end(PSC_END_EXIT);
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.figures.events + sums.figures.lost, events);
    ck_assert_uint_eq(sums.lost, sums.figures.lost);
    ck_assert_uint_eq(sums.kinds[PSC_LOG_LOST], sums.figures.lost != 0);
    ck_assert_uint_gt(sums.figures.events, 0);
}
END_TEST

/* The two halves of a resize are one event, in either order; a half alone is what it is. */
START_TEST(a_resize_is_one_event) {
    struct replay sums;
    begin_with_limit(10);
    take_block(&pools[0], 3, 10);
    psc_track_resize_begin((void *)(uintptr_t)address_of(&pools[0], 3));
    drop_block(&pools[0], 3);
    take_block(&pools[1], 5, 50);
    psc_track_resize_end();
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.kinds[PSC_LOG_RESIZE], 1);
    ck_assert_uint_eq(sums.last.address, address_of(&pools[1], 5));
    ck_assert_uint_eq(sums.last.old_address, address_of(&pools[0], 3));
    ck_assert_uint_eq(sums.last.size, 50);

    psc_track_resize_begin((void *)(uintptr_t)address_of(&pools[1], 5));
    take_block(&pools[0], 4, 11);
    drop_block(&pools[1], 5);
    psc_track_resize_end();
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.kinds[PSC_LOG_RESIZE], 2);
    ck_assert_uint_eq(sums.last.address, address_of(&pools[0], 4));
    ck_assert_uint_eq(sums.last.old_address, address_of(&pools[1], 5));

    psc_track_resize_begin((void *)(uintptr_t)address_of(&pools[0], 4));
    drop_block(&pools[0], 4);
    psc_track_resize_end();
    psc_track_resize_begin((void *)(uintptr_t)address_of(&pools[0], 9)); /* made before recording began */
    take_block(&pools[0], 7, 12);
    psc_track_resize_end();
    psc_track_resize_begin((void *)(uintptr_t)address_of(&pools[0], 7)); /* fails */
    psc_track_resize_end();
    drop_block(&pools[0], 7);
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.kinds[PSC_LOG_RESIZE], 2);
    ck_assert_uint_eq(sums.kinds[PSC_LOG_ALLOC], 2);
    ck_assert_uint_eq(sums.kinds[PSC_LOG_FREE], 2);
    ck_assert_uint_eq(sums.live, 0);
    ck_assert_uint_eq(sums.unordered, 0);
}
END_TEST

START_TEST(a_child_has_a_log_of_its_own) {
    struct replay sums;
    begin_with_limit(10);
    churn(&pools[0], 3, 1000);
    psc_track_fork_prepare();
    pid_t pid = fork();
    if (pid == 0) {
        psc_track_fork_child();
        churn(&pools[1], 4, 30000);
        psc_track_end(PSC_END_EXIT);
        _exit(0);
    }
    psc_track_fork_parent();
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    churn(&pools[0], 5, 1000);
    psc_track_end(PSC_END_EXIT);
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.figures.events, 2000);
    ck_assert_uint_eq(sums.live, live_blocks());
    snprintf(trace_path, sizeof(trace_path), "%s/x.2.trace", directory);
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.figures.events, 30000);
    ck_assert_uint_eq(sums.unordered, 0);
}
END_TEST

/* A name is taken where the log's is. */
START_TEST(nothing_is_written_through_a_link) {
    char planted[160];
    char other[160];
    struct replay sums;
    snprintf(planted, sizeof(planted), "%s" PSC_LOG_SUFFIX, trace_path);
    snprintf(other, sizeof(other), "%s/elsewhere", directory);
    ck_assert_int_eq(symlink(other, planted), 0);
    begin_with_limit(10);
    churn(&pools[0], 3, 10);
    psc_track_end(PSC_END_EXIT);
    ck_assert_int_ne(access(other, F_OK), 0);
    ck_assert_int_ne(access(trace_path, F_OK), 0);
    snprintf(trace_path, sizeof(trace_path), "%s/x.2.trace", directory);
    replay(trace_path, &sums);
    ck_assert_uint_eq(sums.figures.events, 10);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("log");
    TCase *format = tcase_create("format");
    TCase *order = tcase_create("order");
    TCase *damage = tcase_create("damage");
    TCase *writer = tcase_create("writer");
    tcase_add_loop_test(format, what_is_written_is_read, 0, 4);
    tcase_add_test(format, extremes_have_room);
    tcase_add_test(format, a_time_that_goes_back_stands_still);
    tcase_add_test(order, threads_are_merged_by_time);
    tcase_add_test(order, times_are_those_of_the_process);
    tcase_add_test(order, causes_come_before_effects);
    tcase_add_test(order, nothing_waits_for_what_was_lost);
    tcase_add_test(order, many_that_wait);
    tcase_add_test(order, gaps_are_told);
    tcase_add_test(order, logs_of_others_are_refused);
    tcase_add_test(format, golden_log);
    tcase_set_timeout(damage, 60);
    tcase_add_test(damage, a_log_cut_anywhere);
    tcase_add_test(damage, any_byte_of_a_log_changed);
    tcase_add_test(damage, a_hole_is_skipped);
    tcase_set_timeout(writer, 60);
    tcase_add_checked_fixture(writer, make_directory, remove_directory);
    tcase_add_test(writer, all_events_are_logged);
    tcase_add_test(writer, threads_have_chunks_of_their_own);
    tcase_add_test(writer, what_does_not_fit_is_counted);
    tcase_add_test(writer, a_long_wait_makes_a_gap);
    tcase_add_test(writer, a_resize_is_one_event);
    tcase_add_test(writer, a_child_has_a_log_of_its_own);
    tcase_add_test(writer, nothing_is_written_through_a_link);
    suite_add_tcase(suite, format);
    suite_add_tcase(suite, order);
    suite_add_tcase(suite, damage);
    suite_add_tcase(suite, writer);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
