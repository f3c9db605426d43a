/* Growth by realloc, zeroed, large and aligned blocks. */
#include <string.h>

#include "tools/bench/workloads/bench.h"

static void *grown(void *block, size_t bytes) {
    block = realloc(block, bytes);
    if (!block) {
        bench_fail("no memory");
    }
    return block;
}

/* ---- strings: no spare room is kept, each append is a realloc ---- */

struct string {
    char *text;
    size_t length;
};

static uint64_t string_append(struct string *string, struct bench_rng *rng) {
    size_t more = bench_between(rng, 1, 64);
    uint64_t sum = string->length ? (unsigned char)string->text[string->length - 1] : 1;

    string->text = grown(string->text, string->length + more);
    memset(string->text + string->length, (int)(more + string->length % 191), more);
    string->length += more;
    return sum * more;
}

static uint64_t string_end(struct string *string) {
    uint64_t sum = 0;

    for (size_t i = 0; i < string->length; i += 64) {
        sum = sum * 3 + (unsigned char)string->text[i];
    }
    free(string->text);
    *string = (struct string){NULL, 0};
    return sum;
}

uint64_t bench_strings(double scale) {
    enum { STRINGS = 2000, STRING_MAX = 4096 };
    struct bench_rng rng = bench_rng_of(40);
    struct string *strings = bench_table(STRINGS * sizeof *strings);
    size_t count = bench_scaled(scale, 6000000);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct string *string = &strings[bench_below(&rng, STRINGS)];

        sum += string_append(string, &rng);
        if (string->length > STRING_MAX) {
            sum += string_end(string);
        }
    }
    for (int i = 0; i < STRINGS; i++) {
        sum += string_end(&strings[i]);
    }
    return sum;
}

/* ---- vectors ---- */

struct vector {
    uint64_t *items;
    size_t count, room;
};

static uint64_t vector_end(struct vector *vector) {
    uint64_t sum = 0;

    for (size_t i = 0; i < vector->count; i += 16) {
        sum = sum * 5 + vector->items[i];
    }
    free(vector->items);
    *vector = (struct vector){NULL, 0, 0};
    return sum;
}

static void vector_push(struct vector *vector, uint64_t item) {
    if (vector->count == vector->room) {
        vector->room = vector->room ? 2 * vector->room : 4;
        vector->items = grown(vector->items, vector->room * sizeof *vector->items);
    }
    vector->items[vector->count++] = item;
}

uint64_t bench_vectors(double scale) {
    enum { VECTORS = 500, ITEMS_LOW = 8, ITEMS_HIGH = 16 }; /* lengths between these powers of two */
    struct bench_rng rng = bench_rng_of(41);
    struct vector *vectors = bench_table(VECTORS * sizeof *vectors);
    size_t count = bench_scaled(scale, 40000);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct vector *vector = &vectors[bench_below(&rng, VECTORS)];

        sum += vector_end(vector);
        for (size_t items = bench_size(&rng, ITEMS_LOW, ITEMS_HIGH); items > 0; items--) {
            vector_push(vector, items);
        }
    }
    for (int i = 0; i < VECTORS; i++) {
        sum += vector_end(&vectors[i]);
    }
    return sum;
}

static uint64_t vector_huge_round(size_t round) {
    const size_t most = (size_t)128 << 20;
    unsigned char *two[2] = {NULL, NULL};
    uint64_t sum = 0;

    for (size_t old = 0, bytes = 4096; bytes < most; old = bytes, bytes += bytes / 2) {
        for (int i = 0; i < 2; i++) {
            two[i] = grown(two[i], bytes);
            for (size_t at = (old + 255) / 256 * 256; at < bytes; at += 256) {
                two[i][at] = (unsigned char)(at / 256 + round);
            }
            sum += two[i][old / 512 * 256] + two[i][0];
        }
    }
    free(two[0]);
    free(two[1]);
    return sum;
}

uint64_t bench_vector_huge(double scale) {
    size_t count = bench_scaled(scale, 4);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += vector_huge_round(i);
    }
    return sum;
}

/* ---- zeroed ---- */

uint64_t bench_calloc_small(double scale) {
    enum { HELD = 10000 };
    struct bench_rng rng = bench_rng_of(42);
    unsigned char **held = bench_table(HELD * sizeof *held);
    size_t count = bench_scaled(scale, 10000000);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        size_t bytes = bench_size(&rng, 4, 10);
        unsigned char **slot = &held[bench_below(&rng, HELD)];

        free(*slot);
        *slot = calloc(1, bytes);
        if (!*slot || (*slot)[0] | (*slot)[bytes / 2] | (*slot)[bytes - 1]) {
            bench_fail("calloc");
        }
        memset(*slot, 0xff, bytes);
        sum += bytes;
    }
    for (int i = 0; i < HELD; i++) {
        free(held[i]);
    }
    return sum;
}

uint64_t bench_calloc_huge(double scale) {
    struct bench_rng rng = bench_rng_of(43);
    size_t count = bench_scaled(scale, 1600);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        size_t bytes = bench_size(&rng, 20, 26);
        unsigned char *block = calloc(bytes / 4096 + 1, 4096);

        if (!block) {
            bench_fail("no memory");
        }
        for (size_t at = 0; at < bytes; at += 16 * 4096) {
            sum += block[at] + 1u;
            block[at] = 0xff;
        }
        free(block);
    }
    return sum;
}

/* ---- large ---- */

static uint64_t large(size_t count, uint64_t seed, int every_page) {
    enum { SLOTS = 8 };
    struct bench_rng rng = bench_rng_of(seed);
    unsigned char *slots[SLOTS] = {NULL};
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned char **slot = &slots[bench_below(&rng, SLOTS)];
        size_t bytes = bench_size(&rng, 16, 23);

        if (*slot) {
            sum += bench_drop(*slot);
        }
        *slot = bench_make(bytes, (uint32_t)i);
        for (size_t at = 4096; every_page && at < bytes - 1; at += 4096) {
            (*slot)[at] = (unsigned char)i;
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i]) {
            sum += bench_drop(slots[i]);
        }
    }
    return sum;
}

uint64_t bench_large(double scale) {
    return large(bench_scaled(scale, 3000), 44, 1);
}

uint64_t bench_large_sparse(double scale) {
    return large(bench_scaled(scale, 300000), 45, 0);
}

/* ---- aligned ---- */

static void *aligned(size_t alignment, size_t bytes, int iso) {
    void *block = NULL;

    if (iso) {
        block = aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
    } else if (posix_memalign(&block, alignment, bytes)) {
        bench_fail("posix_memalign");
    }
    if ((uintptr_t)block & (alignment - 1)) {
        bench_fail("a block is not aligned");
    }
    return block;
}

uint64_t bench_aligned(double scale) {
    enum { HELD = 4096 };
    struct bench_rng rng = bench_rng_of(46);
    void **held = bench_table(HELD * sizeof *held);
    size_t count = bench_scaled(scale, 10000000);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        void **slot = &held[bench_below(&rng, HELD)];
        size_t alignment = (size_t)32 << bench_below(&rng, 8), bytes = bench_size(&rng, 4, 12);

        if (*slot) {
            sum += bench_drop(*slot);
        }
        *slot = bench_stamped(aligned(alignment, bytes, (int)(i & 1)), bytes, (uint32_t)i);
    }
    for (int i = 0; i < HELD; i++) {
        if (held[i]) {
            sum += bench_drop(held[i]);
        }
    }
    return sum;
}
