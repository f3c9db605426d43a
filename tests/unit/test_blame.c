/* Who is charged with what is free, against a reference that looks at every page; what moving a site would give; and the
 * findings that follow. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/blame.h"
#include "report/findings.h"
#include "report/model.h"
#include "tests/unit/support_trace.h"

#define PAGE 4096ull
#define ARENA (PSC_FAKE_SLOT_BYTES * (uint64_t)PSC_ARENA_SLOTS)
#define HEAP 0x7f0000000000ull

static struct psc_fake fake;
static struct psc_model *model;

static void load(void) {
    const char *error = NULL;
    model = psc_model_open_fd(psc_fake_open(fake.bytes, psc_fake_bytes(&fake)), "t.trace", &error);
    ck_assert_msg(model != NULL, "%s", error);
    for (size_t i = 0; i < model->note_count; i++) {
        ck_assert_msg(!model->notes[i].warning, "%s", model->notes[i].text);
    }
}

static void drop(void) {
    psc_model_close(model);
    psc_fake_release(&fake);
}

static uint32_t new_site(uint64_t address) {
    return psc_fake_site(&fake, &address, 1, 0);
}

/* ---- the reference --------------------------------------------------------------------------------------------- */

#define BLOCKS_MOST 20000
#define SITES_MOST 40

/* A live block, or pages that are committed. */
struct stretch {
    uint64_t start;
    uint64_t end;
    uint32_t site; /* of a block */
    uint32_t pool;
};

static struct stretch blocks[BLOCKS_MOST], held[BLOCKS_MOST];
static size_t block_count, held_count;
static unsigned long state;

static unsigned draw(unsigned below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (unsigned)(state >> 24) % below;
}

static uint64_t overlap(const struct stretch *stretch, uint64_t start, uint64_t end) {
    uint64_t low = stretch->start > start ? stretch->start : start, high = stretch->end < end ? stretch->end : end;
    return low < high ? high - low : 0;
}

/* Charges what is free of what is held in [start, end), of one pool or of all (pool 0), and returns it. */
static uint64_t charge(uint64_t start, uint64_t end, uint32_t pool, long double *sites) {
    uint64_t committed = 0, live = 0, count = 0;
    for (size_t i = 0; i < held_count; i++) {
        committed += pool == 0 || held[i].pool == pool ? overlap(&held[i], start, end) : 0;
    }
    for (size_t i = 0; i < block_count; i++) {
        uint64_t bytes = overlap(&blocks[i], start, end);
        live += bytes;
        count += bytes != 0;
    }
    for (size_t i = 0; i < block_count && count != 0; i++) {
        sites[blocks[i].site] += overlap(&blocks[i], start, end) != 0 ? (long double)(committed - live) / count : 0;
    }
    return count != 0 ? committed - live : 0;
}

static void expect_shares(const char *what, size_t field, uint64_t total, const long double *wanted,
                          uint64_t wanted_total) {
    uint64_t sum = 0;
    for (size_t i = 0; i < model->site_count; i++) {
        uint64_t got = *(const uint64_t *)(const void *)((const char *)&model->sites[i] + field);
        sum += got;
        ck_assert_msg(fabsl((long double)got - wanted[i]) < 1.001L, "%s of site %zu: %llu, not %Lf", what, i,
                      (unsigned long long)got, wanted[i]);
    }
    ck_assert_msg(total == wanted_total, "%s: %llu, not %llu", what, (unsigned long long)total,
                  (unsigned long long)wanted_total);
    ck_assert_uint_eq(sum, total);
}

/* By address, and large blocks of their own behind all arenas. */
static void check_ranges(const char *what, uint64_t size, size_t field, uint64_t total, uint64_t heap_end) {
    long double wanted[SITES_MOST] = {0};
    uint64_t sum = 0;
    for (uint64_t at = HEAP; at < heap_end; at += size) {
        sum += charge(at, at + size, 0, wanted);
    }
    for (size_t i = 0; i < held_count; i++) {
        sum += held[i].start >= heap_end ? charge(held[i].start, held[i].end, 0, wanted) : 0;
    }
    expect_shares(what, field, total, wanted, sum);
}

static void check_pages(uint32_t pools) {
    long double wanted[SITES_MOST] = {0};
    uint64_t sum = 0;
    for (uint32_t pool = 1; pool <= pools; pool++) {
        for (size_t i = 0; i < held_count; i++) {
            for (uint64_t at = held[i].start; held[i].pool == pool && at < held[i].end; at += PAGE) {
                sum += charge(at, at + PAGE, pool, wanted);
            }
        }
    }
    expect_shares("pages", offsetof(struct psc_site, pinned_page_bytes), model->fragmentation.pinned_page_bytes, wanted,
                  sum);
}

static void check_pools(uint32_t pools) {
    long double wanted[SITES_MOST] = {0};
    uint64_t sum = 0;
    for (uint32_t pool = 1; pool <= pools; pool++) {
        for (size_t i = 0; i < held_count; i++) {
            sum += held[i].pool == pool ? charge(held[i].start, held[i].end, pool, wanted) : 0;
        }
    }
    expect_shares("pools", offsetof(struct psc_site, pinned_bytes), model->fragmentation.pinned_bytes, wanted, sum);
}

static void hold(uint64_t start, uint64_t bytes, uint32_t pool) {
    ck_assert_uint_lt(held_count, BLOCKS_MOST);
    held[held_count++] = (struct stretch){start, start + bytes, 0, pool};
}

static void live(uint64_t start, uint64_t bytes, uint32_t site) {
    ck_assert_uint_lt(block_count, BLOCKS_MOST);
    blocks[block_count++] = (struct stretch){start, start + bytes, site, 0};
}

/* A pool of so many slots with random blocks, some of them without a tag. */
static void random_pool(uint64_t slot, uint32_t slots, uint32_t class, uint32_t sites, uint32_t pool) {
    uint64_t bytes = psc_fake_header(&fake)->class_bytes[class];
    uint64_t colour = draw(4) * 64ull, base = slot + colour;
    uint32_t capacity = (uint32_t)((slots * (uint64_t)PSC_FAKE_SLOT_BYTES - colour) / bytes);
    capacity = capacity < 1000 ? capacity : 1000; /* an extent has to fit in a chunk */
    uint32_t carved = 1 + draw(capacity), first = 2 + draw(sites), odds = 1 + draw(40);
    struct psc_wire_extent *extent = psc_fake_pool(&fake, class, base, capacity, carved);
    uint64_t pages = (colour + carved * bytes + PAGE - 1) / PAGE * PAGE;
    uint32_t untagged = draw(4) == 0 ? draw(5) : 0, placed = 0;
    for (uint32_t i = 0; i < carved; i++) {
        uint32_t site = draw(3) == 0 ? 2 + draw(sites) : first;
        if (draw(odds) == 0) {
            psc_fake_tag(extent, i, site, bytes);
            live(base + i * bytes, bytes, site);
        } else if (placed < untagged) {
            live(base + i * bytes, bytes, PSC_SITE_UNKNOWN);
            placed++;
        }
    }
    extent->untagged = placed;
    if (pages + PAGE <= slots * (uint64_t)PSC_FAKE_SLOT_BYTES) {
        extent->stale_pages = draw(2);
    }
    hold(slot, pages + extent->stale_pages * PAGE, pool);
}

static void random_arena(uint64_t base, uint32_t sites, uint32_t *pools) {
    struct psc_wire_arena *arena = psc_fake_row(&fake, PSC_CHUNK_ARENAS, sizeof(*arena));
    arena->base = base;
    for (uint32_t slot = 0; slot < PSC_ARENA_SLOTS;) {
        uint32_t slots = 1 + draw(slot > 100 && slot < 128 ? 30 : 8);
        uint64_t start = base + slot * (uint64_t)PSC_FAKE_SLOT_BYTES;
        if (slot + slots > PSC_ARENA_SLOTS || draw(3) == 0) {
            slots = 1;
            if (draw(2) == 0) {
                arena->cached[slot / 64] |= 1ull << (slot % 64);
                arena->cached_bytes += PSC_FAKE_SLOT_BYTES;
                hold(start, PSC_FAKE_SLOT_BYTES, 0);
            }
        } else if (slots > 8) { /* a span over the middle */
            struct psc_wire_extent *span = psc_fake_large(&fake, start, (slots - 1) * (uint64_t)PSC_FAKE_SLOT_BYTES);
            span->stale_pages = 1;
            psc_fake_tag(span, 0, 2 + draw(sites), span->block_bytes);
            live(start, span->block_bytes, psc_tag_site(span->tags[0]));
            hold(start, span->block_bytes + PAGE, ++*pools);
        } else {
            static const uint32_t classes[] = {0, 3, 6, 20, 62, 63};
            random_pool(start, slots, classes[draw(slots > 2 ? 6 : 5)], sites, ++*pools);
        }
        for (uint32_t i = slot; i < slot + slots; i++) {
            arena->pooled[i / 64] |= (arena->cached[i / 64] >> (i % 64) & 1) == 0 ? 1ull << (i % 64) : 0;
        }
        slot += slots;
    }
}

START_TEST(shares_are_those_of_every_page) {
    const uint32_t arenas = 3, sites = 12;
    uint32_t pools = 0;
    state = 88172645463325252ul + (unsigned long)_i;
    block_count = held_count = 0;
    psc_fake_init(&fake, 400);
    psc_fake_header(&fake)->class_bytes[62] = 1792;
    psc_fake_header(&fake)->class_bytes[63] = 5120;
    for (uint32_t i = 0; i < sites; i++) {
        new_site(0x1000 + i);
    }
    for (uint32_t i = 0; i < arenas; i++) {
        random_arena(HEAP + i * ARENA, sites, &pools);
    }
    struct psc_wire_extent *large = psc_fake_large(&fake, HEAP + 64 * ARENA, 1 << 20);
    large->stale_pages = 3;
    psc_fake_tag(large, 0, 3, 1 << 20);
    live(large->base, large->block_bytes, 3);
    hold(large->base, large->block_bytes + 3 * PAGE, ++pools);
    load();
    check_pages(pools);
    check_pools(pools);
    check_ranges("arenas", ARENA, offsetof(struct psc_site, pinned_arena_bytes),
                 model->fragmentation.pinned_arena_bytes, HEAP + arenas * ARENA);
    check_ranges("2 MiB", 2 << 20, offsetof(struct psc_site, pinned_huge_bytes), model->fragmentation.pinned_huge_bytes,
                 HEAP + arenas * ARENA);
    ck_assert_uint_gt(model->fragmentation.pinned_page_bytes, 0);
    ck_assert_uint_lt(model->fragmentation.pinned_page_bytes, model->fragmentation.pinned_bytes);
    ck_assert_uint_lt(model->fragmentation.pinned_bytes, model->fragmentation.pinned_huge_bytes);
    ck_assert_uint_le(model->fragmentation.pinned_huge_bytes, model->fragmentation.pinned_arena_bytes);
    drop();
}
END_TEST

/* A page of 4 KiB with blocks of 3 KiB: the second begins in the first page and ends in the second. */
START_TEST(blocks_on_a_border_count_in_both_pages) {
    struct psc_holder holders[2] = {{7, 1}, {8, 1}};
    struct psc_spot spots[2] = {{0, 0}, {1, 1}};
    struct psc_held two = {holders, spots, 2, 2};
    struct psc_pool pool = {.base = HEAP, .block_bytes = 3072};
    double shares[2] = {0, 0};
    ck_assert_uint_eq(psc_blame_pages(&pool, &two, shares), 2048);
    ck_assert(shares[0] == 0 && shares[1] == 2048);
    spots[1].index = 3; /* bytes 9216 to 12288: of the third page */
    shares[1] = 0;
    ck_assert_uint_eq(psc_blame_pages(&pool, &two, shares), 1024 + 1024);
    ck_assert(shares[0] == 1024 && shares[1] == 1024);
    ck_assert_uint_eq(psc_blame_pages(&pool, &(struct psc_held){holders, spots, 0, 0}, shares), 0);
}
END_TEST

/* ---- moving a site --------------------------------------------------------------------------------------------- */

#define POOLS 800
#define PLACES 256 /* of 64 bytes */

static uint32_t lasting, passing;
static struct psc_wire_row *lasting_row, *passing_row;

/* Full pools, of which every block but some of two sites has died since. */
static void make_sparse(uint32_t each_lasting, uint32_t each_passing) {
    psc_fake_init(&fake, 400);
    lasting = new_site(0x1000);
    passing = new_site(0x2000);
    lasting_row = psc_fake_book(&fake, lasting);
    passing_row = psc_fake_book(&fake, passing);
    for (uint32_t i = 0; i < POOLS; i++) {
        struct psc_wire_extent *pool =
            psc_fake_pool(&fake, 3, HEAP + i * (uint64_t)PSC_FAKE_SLOT_BYTES, PLACES, PLACES);
        for (uint32_t k = 0; k < each_lasting; k++) {
            psc_fake_live(pool, k * 7, lasting, 64, lasting_row);
        }
        for (uint32_t k = 0; k < each_passing; k++) {
            psc_fake_live(pool, 255 - k * 7, passing, 64, passing_row);
        }
    }
}

static void free_of(struct psc_wire_row *row, uint32_t count, unsigned age_bucket) {
    row->alloc_count += count;
    row->alloc_bytes += 64ull * count;
    row->free_count += count;
    row->free_bytes += 64ull * count;
    row->ages[age_bucket] += count;
}

static const struct psc_finding *finding_of(const struct psc_findings *findings, enum psc_finding_kind kind) {
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->all[i].kind == kind) {
            return &findings->all[i];
        }
    }
    return NULL;
}

START_TEST(survivors_among_the_dead_of_others_save_all) {
    struct psc_findings findings;
    make_sparse(1, 0);
    free_of(passing_row, 255 * POOLS, 10);
    load();
    const struct psc_site *site = &model->sites[lasting];
    ck_assert_uint_eq(site->pinned_bytes, model->fragmentation.pinned_bytes);
    ck_assert_uint_eq(model->sites[passing].pinned_bytes, 0);
    ck_assert_uint_eq(site->sole_pools, POOLS);
    ck_assert_uint_eq(site->sole_bytes, site->pinned_bytes);
    ck_assert_uint_eq(site->apart_bytes, 13 * PAGE); /* 51,200 bytes: three pools, and a page for 32 blocks */
    ck_assert_uint_eq(site->saving_bytes, POOLS * 16384ull - 13 * PAGE);
    psc_findings_make(model, &findings);
    ck_assert_uint_eq(findings.all[0].kind, PSC_FINDING_APART);
    ck_assert_uint_eq(findings.all[0].site, lasting);
    ck_assert_uint_eq(findings.all[0].bytes, site->saving_bytes);
    ck_assert_ptr_nonnull(strstr(findings.all[0].text, "keeps 800 pools (12.5 MiB) from going back with 800 blocks"));
    ck_assert_ptr_nonnull(strstr(findings.all[0].text, "--apart=t.trace:2."));
    psc_findings_release(&findings);
    drop();
}
END_TEST

START_TEST(survivors_among_their_own_dead_save_nothing) {
    struct psc_findings findings;
    make_sparse(32, 0);
    free_of(lasting_row, 224 * POOLS, 10);
    free_of(passing_row, 1000000, 0); /* many, but none of them for long */
    load();
    const struct psc_site *site = &model->sites[lasting];
    ck_assert_uint_eq(site->sole_bytes, model->fragmentation.pinned_bytes);
    ck_assert_uint_lt(site->saving_bytes, site->pinned_bytes / 50);
    psc_findings_make(model, &findings);
    ck_assert_uint_eq(findings.all[0].kind, PSC_FINDING_SCATTERED);
    ck_assert_uint_eq(findings.all[0].bytes, site->sole_bytes);
    ck_assert_ptr_nonnull(strstr(findings.all[0].text, "only moving these blocks together"));
    ck_assert_ptr_null(finding_of(&findings, PSC_FINDING_APART));
    psc_findings_release(&findings);
    drop();
}
END_TEST

/* Half of the free places were the site's: in pools of its own it would hold half as many. */
START_TEST(half_of_the_dead_save_half) {
    make_sparse(32, 0);
    free_of(lasting_row, 112 * POOLS, 10);
    free_of(passing_row, 112 * POOLS, 10);
    load();
    const struct psc_site *site = &model->sites[lasting];
    double half = POOLS * 16384.0 * (1 - 144.0 / 256);
    ck_assert_double_eq_tol((double)site->saving_bytes, half, half / 50);
    drop();
}
END_TEST

/* A row of places that one of two sites took, of which each kept some of its blocks at random: in pools for both, and in
 * pools for each. */
struct row {
    unsigned of_lasting;   /* places of 1000 that are that site's */
    unsigned lasting_left; /* blocks of 1000 */
    unsigned passing_left;
};

static const struct row rows[] = {{250, 500, 0}, {60, 50, 0},  {250, 300, 5},
                                  {500, 400, 3}, {100, 20, 0}, {900, 10, 10}};

/* Goes on to the next place of a pool; true if a pool ends there with a live block. */
static bool goes_on(uint32_t *places, bool *holds, bool lives) {
    *holds |= lives;
    if (++*places % PLACES != 0) {
        return false;
    }
    bool held_any = *holds;
    *holds = false;
    return held_any;
}

START_TEST(saving_is_what_a_row_of_places_tells) {
    const struct row *row = &rows[_i];
    uint32_t total = 4000 * PLACES, both = 0, own[2] = {0, 0}, pools = 0, own_pools = 0;
    bool both_hold = false, own_hold[2] = {false, false};
    struct psc_wire_extent *pool = NULL;
    state = 88172645463325252ul;
    psc_fake_init(&fake, 1000);
    lasting = new_site(0x1000);
    passing = new_site(0x2000);
    lasting_row = psc_fake_book(&fake, lasting);
    passing_row = psc_fake_book(&fake, passing);
    while (both < total) {
        bool is_passing = draw(1000) >= row->of_lasting;
        bool lives = draw(1000) < (is_passing ? row->passing_left : row->lasting_left);
        if (lives && !both_hold) {
            pool = psc_fake_pool(&fake, 3, HEAP + both / PLACES * (uint64_t)PSC_FAKE_SLOT_BYTES, PLACES, PLACES);
        }
        if (lives) {
            psc_fake_live(pool, both % PLACES, is_passing ? passing : lasting, 64,
                          is_passing ? passing_row : lasting_row);
        } else {
            free_of(is_passing ? passing_row : lasting_row, 1, 10);
        }
        pools += goes_on(&both, &both_hold, lives);
        own_pools += goes_on(&own[is_passing], &own_hold[is_passing], lives);
    }
    psc_fake_hold(&fake, psc_fake_snapshot(&fake, PSC_SNAPSHOT_PEAK), 3, 4000, 0, 4 * 4000);
    load();
    double truth = ((double)pools - own_pools) * PSC_FAKE_SLOT_BYTES;
    double tolerance = fmax(truth / 10, pools * (double)PSC_FAKE_SLOT_BYTES / 100);
    ck_assert_double_eq_tol((double)model->sites[lasting].saving_bytes, fmax(truth, 0), tolerance);
    drop();
}
END_TEST

START_TEST(shared_pools_stay) {
    struct psc_findings findings;
    make_sparse(2, 2);
    uint32_t third = new_site(0x3000);
    struct psc_wire_row *third_row = psc_fake_book(&fake, third);
    free_of(third_row, 252 * POOLS, 10);
    lasting_row->ages[0] = 0;
    load();
    const struct psc_site *site = &model->sites[lasting];
    ck_assert_uint_eq(site->sole_pools, 0);
    ck_assert_uint_eq(site->sole_bytes, 0);
    ck_assert_uint_eq(site->pinned_bytes, model->fragmentation.pinned_bytes / 2);
    ck_assert_uint_lt(site->saving_bytes, PAGE);
    psc_findings_make(model, &findings);
    ck_assert_uint_eq(findings.all[0].kind, PSC_FINDING_SHARED);
    psc_findings_release(&findings);
    drop();
}
END_TEST

START_TEST(pairs_that_should_part) {
    struct psc_findings findings;
    make_sparse(2, 2);
    uint32_t third = new_site(0x3000);
    free_of(psc_fake_book(&fake, third), 252 * POOLS, 10);
    free_of(passing_row, 200000, 1); /* 512 to 1023 bytes */
    psc_fake_header(&fake)->counters.clock_bytes = 200 << 20;
    load();
    ck_assert_uint_eq(model->pair_count, 1);
    const struct psc_pair *pair = &model->pairs[0];
    unsigned long_lived = pair->sites[1] == lasting;
    ck_assert_uint_eq(pair->sites[long_lived], lasting);
    ck_assert_uint_eq(pair->sites[!long_lived], passing);
    ck_assert_uint_eq(pair->pools, POOLS);
    ck_assert_uint_eq(pair->pinned_bytes, model->fragmentation.pinned_bytes);
    ck_assert(pair->lives_longer[long_lived] && !pair->lives_longer[!long_lived]);
    ck_assert_uint_gt(pair->lifetime_bytes[long_lived], 1000 * pair->lifetime_bytes[!long_lived]);
    ck_assert_uint_gt(pair->saving_bytes, POOLS * 16384ull * 95 / 100);
    psc_findings_make(model, &findings);
    ck_assert_uint_eq(findings.all[0].kind, PSC_FINDING_PAIR);
    ck_assert_uint_eq(findings.all[0].site, lasting);
    ck_assert_ptr_null(finding_of(&findings, PSC_FINDING_SHARED));
    psc_findings_release(&findings);
    drop();
}
END_TEST

/* ---- findings -------------------------------------------------------------------------------------------------- */

START_TEST(nothing_stands_out) {
    struct psc_findings findings;
    psc_fake_small(&fake);
    load();
    psc_findings_make(model, &findings);
    ck_assert_uint_eq(findings.count, 0);
    psc_findings_release(&findings);
    drop();
}
END_TEST

START_TEST(samples_tell_with_their_error) {
    struct psc_findings findings;
    psc_fake_small_sampled(&fake);
    load();
    psc_findings_make(model, &findings);
    const struct psc_finding *finding = finding_of(&findings, PSC_FINDING_PINNED);
    ck_assert_ptr_nonnull(finding);
    ck_assert_ptr_nonnull(strstr(finding->text, " ± "));
    ck_assert_ptr_null(finding_of(&findings, PSC_FINDING_APART));
    ck_assert_uint_eq(model->sites[2].saving_bytes, 0);
    psc_findings_release(&findings);
    drop();
}
END_TEST

START_TEST(what_the_peak_needed_is_pinned_since) {
    struct psc_findings findings;
    make_sparse(1, 0);
    free_of(passing_row, 255 * POOLS, 10);
    struct psc_wire_snapshot *peak = psc_fake_snapshot(&fake, PSC_SNAPSHOT_PEAK);
    psc_fake_hold(&fake, peak, 3, POOLS, PLACES * POOLS, 4 * POOLS);
    peak->live_bytes = 64ull * PLACES * POOLS;
    load();
    ck_assert_double_eq_tol(model->fragmentation.realised_at_peak, 0, 1e-9);
    ck_assert_double_eq_tol(model->fragmentation.realised_now, 255, 1e-9);
    psc_findings_make(model, &findings);
    const struct psc_finding *finding = finding_of(&findings, PSC_FINDING_PEAK);
    ck_assert_ptr_nonnull(finding);
    ck_assert(finding != &findings.all[0]);
    ck_assert_ptr_nonnull(strstr(finding->text, "1.00 times that; at the end it holds 12.5 MiB, 256.00 times"));
    psc_findings_release(&findings);
    drop();
}
END_TEST

/* Cached pages, blocks with much slack, and many that are freed at once. */
START_TEST(the_other_findings) {
    struct psc_findings findings;
    make_sparse(0, 0);
    struct psc_wire_arena *arena = psc_fake_row(&fake, PSC_CHUNK_ARENAS, sizeof(*arena));
    arena->base = HEAP + 16 * ARENA;
    arena->cached[0] = 0xffffffff;
    arena->cached_bytes = 32 * PSC_FAKE_SLOT_BYTES;
    struct psc_wire_extent *large = psc_fake_large(&fake, HEAP + 64 * ARENA, 2 << 20);
    (void)large;
    for (uint32_t i = 0; i < 100; i++) {
        struct psc_wire_extent *pool =
            psc_fake_pool(&fake, 63, HEAP + (1000 + i) * (uint64_t)PSC_FAKE_SLOT_BYTES, 16, 16);
        for (uint32_t k = 0; k < 16; k++) {
            psc_fake_live(pool, k, lasting, 600, lasting_row);
        }
    }
    free_of(passing_row, 200000, 0);
    passing_row->temporary_count = 150000;
    load();
    psc_findings_make(model, &findings);
    const struct psc_finding *idle = finding_of(&findings, PSC_FINDING_IDLE);
    const struct psc_finding *rounding = finding_of(&findings, PSC_FINDING_ROUNDING);
    const struct psc_finding *temporary = finding_of(&findings, PSC_FINDING_TEMPORARY);
    ck_assert(idle != NULL && rounding != NULL && temporary != NULL);
    ck_assert_uint_eq(idle->bytes, POOLS * 16384ull + 32 * PSC_FAKE_SLOT_BYTES);
    ck_assert_uint_eq(rounding->bytes, 1600 * 424);
    ck_assert_uint_eq(rounding->site, lasting);
    ck_assert_ptr_nonnull(strstr(rounding->text, "1,600 live blocks ask for 600 B and get 1.00 KiB on average"));
    ck_assert_uint_eq(temporary->site, passing);
    ck_assert(temporary == &findings.all[findings.count - 1]);
    for (size_t i = 1; i < findings.count; i++) {
        ck_assert_uint_ge(findings.all[i - 1].bytes, findings.all[i].bytes);
    }
    psc_findings_release(&findings);
    drop();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("blame");
    TCase *shares = tcase_create("shares");
    tcase_add_loop_test(shares, shares_are_those_of_every_page, 0, 6);
    tcase_add_test(shares, blocks_on_a_border_count_in_both_pages);
    suite_add_tcase(suite, shares);
    TCase *moving = tcase_create("moving");
    tcase_add_test(moving, survivors_among_the_dead_of_others_save_all);
    tcase_add_test(moving, survivors_among_their_own_dead_save_nothing);
    tcase_add_test(moving, half_of_the_dead_save_half);
    tcase_add_loop_test(moving, saving_is_what_a_row_of_places_tells, 0, sizeof(rows) / sizeof(*rows));
    tcase_add_test(moving, shared_pools_stay);
    tcase_add_test(moving, pairs_that_should_part);
    suite_add_tcase(suite, moving);
    TCase *findings = tcase_create("findings");
    tcase_add_test(findings, nothing_stands_out);
    tcase_add_test(findings, samples_tell_with_their_error);
    tcase_add_test(findings, what_the_peak_needed_is_pinned_since);
    tcase_add_test(findings, the_other_findings);
    suite_add_tcase(suite, findings);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
