#include "report/blame.h"

#include <stdlib.h>

static int by_remainder(const void *left, const void *right) {
    const struct psc_blame *a = left, *b = right;
    if (a->remainder != b->remainder) {
        return a->remainder > b->remainder ? -1 : 1;
    }
    return a->site < b->site ? -1 : a->site > b->site;
}

void psc_blame_share(struct psc_blame *blames, size_t count, uint64_t pinned) {
    uint64_t blocks = 0;
    for (size_t i = 0; i < count; i++) {
        blocks += blames[i].blocks;
    }
    uint64_t left = pinned;
    for (size_t i = 0; i < count; i++) {
        uint64_t product = pinned * blames[i].blocks;
        blames[i].charged_bytes = product / blocks;
        blames[i].remainder = product % blocks;
        left -= blames[i].charged_bytes;
    }
    if (left == 0) {
        return;
    }
    qsort(blames, count, sizeof(*blames), by_remainder);
    for (size_t i = 0; i < left; i++) {
        blames[i].charged_bytes++;
    }
}
