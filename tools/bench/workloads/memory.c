/* What stays of memory after a peak, a shift in size, a long life, or nothing at all. */
#include <stdio.h>
#include <string.h>

#include "tools/bench/workloads/bench.h"

static const double mib = 1 << 20;

static void figure_over_live(const char *name, size_t live) {
    bench_figure(name, (double)bench_rss() / (double)live);
}

static uint64_t drop_all(void **blocks, size_t count) {
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        if (blocks[i]) {
            sum += bench_drop(blocks[i]);
        }
    }
    return sum;
}

static void shuffle(uint32_t *order, uint32_t count, struct bench_rng *rng) {
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = bench_below(rng, i), kept = order[i - 1];

        order[i - 1] = order[other];
        order[other] = kept;
    }
}

/* ---- cache: the least recently used entry goes when the budget is passed ---- */

enum { KEYS = 1 << 18, CACHE_PHASES = 8, KEY_TEXT = 40 };

struct entry {
    struct entry *newer, *older;
    char *key;
    void *value;
    size_t value_bytes;
    uint32_t slot;
};

struct cache {
    struct entry **entries; /* KEYS of them, by key */
    struct entry ends;      /* ends.newer is the oldest, ends.older the newest */
    size_t live, budget;
    uint64_t sum;
};

static void entry_unlink(struct entry *entry) {
    entry->newer->older = entry->older;
    entry->older->newer = entry->newer;
}

static void entry_link_newest(struct cache *cache, struct entry *entry) {
    entry->newer = &cache->ends;
    entry->older = cache->ends.older;
    entry->older->newer = entry;
    cache->ends.older = entry;
}

static size_t entry_bytes(const struct entry *entry) {
    return sizeof *entry + strlen(entry->key) + 1 + entry->value_bytes;
}

static void cache_drop(struct cache *cache, struct entry *entry) {
    cache->live -= entry_bytes(entry);
    cache->entries[entry->slot] = NULL;
    entry_unlink(entry);
    cache->sum += bench_drop(entry->value) + (unsigned char)entry->key[0];
    free(entry->key);
    free(entry);
}

static void cache_set(struct cache *cache, uint32_t slot, size_t value_bytes) {
    struct entry *entry = malloc(sizeof *entry);
    char key[KEY_TEXT];
    int length = snprintf(key, sizeof key, "%0*u", 8 + (int)(slot % 24), slot);

    if (!entry) {
        bench_fail("no memory");
    }
    *entry = (struct entry){.slot = slot, .value_bytes = value_bytes, .key = malloc((size_t)length + 1)};
    memcpy(entry->key, key, (size_t)length + 1);
    entry->value = bench_make_full(value_bytes, slot);
    cache->entries[slot] = entry;
    entry_link_newest(cache, entry);
    cache->live += entry_bytes(entry);
    while (cache->live > cache->budget) {
        cache_drop(cache, cache->ends.newer);
    }
}

/* A quarter of the keys gets most of the traffic. */
static void cache_step(struct cache *cache, struct bench_rng *rng, size_t typical) {
    uint32_t slot = bench_below(rng, bench_below(rng, 8) ? KEYS / 4 : KEYS);
    size_t bytes = typical / 2 + bench_below(rng, (uint32_t)typical);
    struct entry *entry = cache->entries[slot];

    if (entry && bench_below(rng, 4)) {
        entry_unlink(entry);
        entry_link_newest(cache, entry);
        cache->sum += bench_look(entry->value);
        return;
    }
    if (entry) {
        cache_drop(cache, entry);
    }
    cache_set(cache, slot, bytes);
}

uint64_t bench_cache(double scale) {
    static const size_t typical[CACHE_PHASES] = {64, 160, 400, 1000, 2500, 600, 200, 90};
    struct bench_rng rng = bench_rng_of(50);
    struct cache cache = {.entries = bench_table(KEYS * sizeof(struct entry *)), .budget = (size_t)64 << 20};
    size_t steps = bench_scaled(scale, 3200000) / CACHE_PHASES;

    cache.ends.newer = cache.ends.older = &cache.ends;
    for (int phase = 0; phase < CACHE_PHASES; phase++) {
        for (size_t i = 0; i < steps; i++) {
            cache_step(&cache, &rng, typical[phase]);
        }
    }
    figure_over_live("rss_over_live", cache.live);
    while (cache.ends.newer != &cache.ends) {
        cache_drop(&cache, cache.ends.newer);
    }
    return cache.sum;
}

/* ---- class shift ---- */

uint64_t bench_class_shift(double scale) {
    uint32_t count = (uint32_t)bench_scaled(scale, 800000);
    struct bench_rng rng = bench_rng_of(51);
    void **blocks = bench_table(count * sizeof *blocks);
    uint32_t *order = bench_table(count * sizeof *order);
    uint64_t sum = 0;

    shuffle(order, count, &rng);
    for (uint32_t i = 0; i < count; i++) {
        blocks[i] = bench_make_full(100, i);
    }
    for (uint32_t i = 0; i < count; i++) {
        void **block = &blocks[order[i]];

        sum += bench_drop(*block);
        *block = bench_make_full(200, i);
    }
    figure_over_live("rss_over_live", (size_t)count * 200);
    return sum + drop_all(blocks, count);
}

/* ---- rise and fall ---- */

static size_t live_bytes(void **blocks, size_t count) {
    size_t live = 0;

    for (size_t i = 0; i < count; i++) {
        live += ((struct bench_stamp *)blocks[i])->bytes;
    }
    return live;
}

uint64_t bench_rise_fall(double scale) {
    enum { SMALLEST = 16, LARGEST = 2000, REPLACED = 10 };
    uint32_t count = (uint32_t)bench_scaled(scale, 600000), left = count / 4;
    struct bench_rng rng = bench_rng_of(52);
    void **blocks = bench_table(count * sizeof *blocks);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        blocks[i] = bench_make_full(bench_between(&rng, SMALLEST, LARGEST), i);
    }
    for (uint32_t i = count; i > left; i--) {
        uint32_t pick = bench_below(&rng, i);

        sum += bench_drop(blocks[pick]);
        blocks[pick] = blocks[i - 1];
    }
    figure_over_live("rss_over_live_fallen", live_bytes(blocks, left));
    for (uint32_t i = 0; left && i < REPLACED * left; i++) {
        void **block = &blocks[bench_below(&rng, left)];

        sum += bench_drop(*block);
        *block = bench_make_full(bench_between(&rng, SMALLEST, LARGEST), i);
    }
    figure_over_live("rss_over_live", live_bytes(blocks, left));
    return sum + drop_all(blocks, left);
}

/* ---- giveback ---- */

/* By address, 11 bits at a time; count + count pointers. qsort would ask the allocator for memory. */
static void sort_by_address(void **blocks, void **spare, size_t count) {
    enum { BITS = 11, BUCKETS = 1 << BITS, PASSES = 4, LOWEST = 4 }; /* four passes: an even number, 48 bits */
    static size_t starts[BUCKETS + 1];

    for (int pass = 0; pass < PASSES; pass++) {
        int shift = LOWEST + pass * BITS;

        memset(starts, 0, sizeof starts);
        for (size_t i = 0; i < count; i++) {
            starts[((uintptr_t)blocks[i] >> shift & (BUCKETS - 1)) + 1]++;
        }
        for (int i = 0; i < BUCKETS; i++) {
            starts[i + 1] += starts[i];
        }
        for (size_t i = 0; i < count; i++) {
            spare[starts[(uintptr_t)blocks[i] >> shift & (BUCKETS - 1)]++] = blocks[i];
        }
        void **kept = blocks;

        blocks = spare;
        spare = kept;
    }
}

static void giveback_figure(const char *name, size_t live) {
    bench_figure(name, (double)bench_rss() / (1.1 * (double)live + 8 * mib));
}

/* Runs of RUN bytes in address order: one stays, nine go. */
uint64_t bench_giveback(double scale) {
    enum { RUN = 1 << 20, SMALLEST = 16, LARGEST = 2000, AVERAGE = (SMALLEST + LARGEST) / 2 };
    size_t count = bench_scaled(scale, ((size_t)1 << 30) / AVERAGE), seen = 0, live = 0;
    struct bench_rng rng = bench_rng_of(53);
    void **blocks = bench_table(count * sizeof *blocks), **spare = bench_table(count * sizeof *spare);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = bench_make_full(bench_between(&rng, SMALLEST, LARGEST), (uint32_t)i);
    }
    sort_by_address(blocks, spare, count);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = ((struct bench_stamp *)blocks[i])->bytes;

        if (seen / RUN % 10) {
            sum += bench_drop(blocks[i]);
            blocks[i] = NULL;
        } else {
            live += bytes;
        }
        seen += bytes;
    }
    bench_sleep_ms(1000);
    bench_figure("live_mib", (double)live / mib);
    bench_figure("rss_mib", (double)bench_rss() / mib);
    giveback_figure("rss_over_goal", live);
    for (uint32_t i = 0; i < 1000; i++) {
        bench_drop(bench_make(bench_size(&rng, 4, 15), i));
    }
    giveback_figure("rss_over_goal_after_use", live);
    return sum + drop_all(blocks, count);
}

/* ---- idle ---- */

uint64_t bench_idle(double scale) {
    void *block = bench_make(100, 1);

    (void)scale;
    bench_figure("rss_kib", (double)bench_rss() / 1024);
    bench_figure("anonymous_kib", (double)bench_anonymous() / 1024);
    bench_sleep_ms(50);
    return bench_drop(block);
}
