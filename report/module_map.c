/* Which module each return address lies in. */
#include <stdlib.h>

#include "report/array.h"
#include "report/load.h"

#define MEMO_SLOTS 65536
#define SEARCH_STEPS_MAX (1u << 30) /* a second or two */

/* The newest module below `known` that holds `address`. */
struct module_memo {
    uint64_t address;
    uint32_t known;
    uint32_t module;
};

/* Modules by address. Where one was loaded over another that had gone, the search has to go back through them all;
 * earlier answers shorten it. */
struct module_map {
    const struct psc_module *modules;
    size_t module_count;
    uint32_t *sorted; /* indices, by start */
    size_t count;
    bool overlaps;
    uint32_t last;             /* the latest answer */
    struct module_memo *memos; /* direct-mapped by address */
    uint64_t steps_left;
};

static const struct psc_module *sorting; /* qsort passes no context */

static int by_start(const void *left, const void *right) {
    uint32_t i = *(const uint32_t *)left, j = *(const uint32_t *)right;
    uint64_t a = sorting[i].start, b = sorting[j].start;
    return a != b ? (a < b ? -1 : 1) : i < j ? -1 : i > j;
}

static void map_modules(struct module_map *map, const struct psc_model *model) {
    *map = (struct module_map){
        .modules = model->modules, .module_count = model->module_count, .steps_left = SEARCH_STEPS_MAX};
    map->memos = psc_array_new(MEMO_SLOTS, sizeof(*map->memos));
    map->sorted = psc_array_new(model->module_count, sizeof(*map->sorted));
    for (size_t i = 0; i < model->module_count; i++) {
        if (model->modules[i].start != 0) {
            map->sorted[map->count++] = (uint32_t)i;
        }
    }
    sorting = model->modules;
    qsort(map->sorted, map->count, sizeof(*map->sorted), by_start);
    for (size_t i = 1; i < map->count; i++) {
        map->overlaps |= model->modules[map->sorted[i]].start < model->modules[map->sorted[i - 1]].end;
    }
}

static bool holds(const struct module_map *map, uint32_t index, uint64_t address) {
    return index < map->module_count &&
           address - map->modules[index].start < map->modules[index].end - map->modules[index].start;
}

/* The newest module in [oldest, known) that holds the address. */
static uint32_t search_back(struct module_map *map, uint64_t address, uint32_t oldest, uint32_t known) {
    for (uint32_t i = known; i > oldest && map->steps_left > 0; map->steps_left--) {
        if (holds(map, --i, address)) {
            return i;
        }
    }
    return PSC_MODULE_NONE;
}

static uint32_t search_overlapping(struct module_map *map, uint64_t address, uint32_t known) {
    struct module_memo *memo = &map->memos[(address ^ address >> 16) % MEMO_SLOTS];
    known = known < map->module_count ? known : (uint32_t)map->module_count;
    bool same = memo->address == address;
    if (same && known <= memo->known && (memo->module == PSC_MODULE_NONE || memo->module < known)) {
        return memo->module;
    }
    bool newer = same && known > memo->known;
    uint32_t found = search_back(map, address, newer ? memo->known : 0, known);
    found = newer && found == PSC_MODULE_NONE ? memo->module : found;
    *memo = (struct module_memo){address, known, found};
    return found;
}

static uint32_t search_sorted(const struct module_map *map, uint64_t address) {
    size_t low = 0, high = map->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (map->modules[map->sorted[middle]].start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && holds(map, map->sorted[low - 1], address) ? map->sorted[low - 1] : PSC_MODULE_NONE;
}

/* A return address may lie just behind its module's last byte: the call stands before it. */
static uint32_t module_of(struct module_map *map, uint64_t return_address, uint32_t known) {
    uint64_t address = return_address - 1;
    if (map->overlaps) {
        return search_overlapping(map, address, known);
    }
    if (!holds(map, map->last, address)) {
        map->last = search_sorted(map, address);
    }
    return map->last < known ? map->last : PSC_MODULE_NONE;
}

void psc_load_frame_modules(struct psc_load *load) {
    const struct psc_model *model = load->model;
    struct module_map map;
    map_modules(&map, model);
    for (size_t i = 0; i < model->site_count; i++) {
        const struct psc_site_frames *raw = &model->sites[i].raw;
        for (size_t k = 0; k < raw->count; k++) {
            size_t at = (size_t)(raw->addresses - model->store->addresses) + k;
            model->store->modules[at] = module_of(&map, raw->addresses[k], load->modules_known[i]);
        }
    }
    if (map.steps_left == 0) {
        psc_load_warn(load, "modules: too many overlap; some frames are shown without their module");
    }
    free(map.memos);
    free(map.sorted);
}
