#include "report/blame.h"

/* The page that the sweep is in, and its first block. */
struct page {
    uint64_t number;
    uint64_t covered_bytes;
    uint32_t first;
};

/* The page's blocks are those up to spot `end`. */
static uint64_t charge(const struct page *page, uint32_t end, const struct psc_spot *spots, double *shares) {
    uint64_t free_bytes = PSC_MODEL_PAGE_BYTES - page->covered_bytes;
    if (free_bytes != 0) {
        double share = (double)free_bytes / (end - page->first);
        for (uint32_t i = page->first; i < end; i++) {
            shares[spots[i].holder] += share;
        }
    }
    return free_bytes;
}

/* Blocks come in the order of their addresses, so those of a page stand together. Pages between a block's first and its
 * last one are covered in full. */
uint64_t psc_blame_pages(const struct psc_pool *pool, const struct psc_held *held, double *shares) {
    struct page page = {.number = UINT64_MAX, .covered_bytes = PSC_MODEL_PAGE_BYTES};
    uint64_t free_bytes = 0;
    for (uint32_t i = 0; i < held->spot_count; i++) {
        uint64_t start = pool->base + held->spots[i].index * pool->block_bytes;
        uint64_t last = start + pool->block_bytes - 1;
        if (start / PSC_MODEL_PAGE_BYTES != page.number) {
            free_bytes += charge(&page, i, held->spots, shares);
            page = (struct page){start / PSC_MODEL_PAGE_BYTES, 0, i};
        }
        if (last / PSC_MODEL_PAGE_BYTES == page.number) {
            page.covered_bytes += pool->block_bytes;
            continue;
        }
        page.covered_bytes += PSC_MODEL_PAGE_BYTES - start % PSC_MODEL_PAGE_BYTES;
        free_bytes += charge(&page, i + 1, held->spots, shares);
        page = (struct page){last / PSC_MODEL_PAGE_BYTES, last % PSC_MODEL_PAGE_BYTES + 1, i};
    }
    return free_bytes + charge(&page, held->spot_count, held->spots, shares);
}
