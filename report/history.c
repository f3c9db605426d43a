/* What the process noted in the course of its run: what sites pinned, as walks of all tags found it, and pool maps. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/array.h"
#include "report/load.h"

/* Time 0 of the model. What is from before it is damage, and taken for the start. */
static uint64_t since_start(const struct psc_load *load, uint64_t ns) {
    return ns > load->header->start_ns ? ns - load->header->start_ns : 0;
}

/* ---- walks ----------------------------------------------------------------------------------------------------- */

static double byte_ns_of(const struct psc_wire_pins *row) {
    return (double)row->byte_ns_high * 18446744073709551616.0 + (double)row->byte_ns_low;
}

/* No site pins more than all do. */
static void take_pins(struct psc_load *load, const struct psc_wire_pins *row, struct psc_site *site) {
    const struct psc_model *model = load->model;
    uint64_t worst = model->walks.worst_bytes + model->walks.worst_bytes / 16; /* as of the last rise by 3 % */
    double most = (double)worst * (double)model->process.duration_ns;
    double byte_ns = byte_ns_of(row);
    site->worst_pinned_bytes = row->worst_bytes < worst ? row->worst_bytes : worst;
    site->pinned_byte_ns = byte_ns < most ? byte_ns : most;
    if (row->worst_bytes > worst || byte_ns > most) {
        psc_load_warn(load, "pins: site %" PRIu32 " pinned more than all together, and is cut to that", site->id);
    }
}

static void pins_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    uint32_t bytes = psc_load_row_bytes(load, PSC_CHUNK_PINS);
    size_t site = (size_t)chunk->position * (PSC_CHUNK_BYTES / bytes);
    for (size_t at = 0; at + bytes <= chunk->got && site < load->model->site_count; at += bytes, site++) {
        take_pins(load, (const void *)(chunk->bytes + at), &load->model->sites[site]);
    }
}

static void take_walks(struct psc_load *load) {
    const struct psc_wire_walks *walks = &load->header->walks;
    load->model->walks = (struct psc_walks){
        .count = walks->count,
        .last_ns = since_start(load, walks->last_ns),
        .worst_bytes = walks->worst_bytes,
        .worst_ns = since_start(load, walks->worst_ns),
        .has_window = psc_load_has_window(load),
        .window_ns = since_start(load, walks->window_ns),
    };
}

/* The end is one walk more, which the tags of the trace stand for. */
static void add_end(struct psc_model *model) {
    struct psc_walks *walks = &model->walks;
    uint64_t end_ns = model->process.duration_ns;
    uint64_t since = end_ns > walks->last_ns ? end_ns - walks->last_ns : 0;
    bool worst = model->fragmentation.pinned_bytes > walks->worst_bytes;
    for (size_t i = 0; i < model->site_count; i++) {
        struct psc_site *site = &model->sites[i];
        site->pinned_byte_ns += (double)site->pinned_bytes * (double)since;
        site->worst_pinned_bytes = worst ? site->pinned_bytes : site->worst_pinned_bytes;
    }
    if (worst) {
        walks->worst_bytes = model->fragmentation.pinned_bytes;
        walks->worst_ns = end_ns;
    }
    walks->last_ns = end_ns > walks->last_ns ? end_ns : walks->last_ns;
    walks->count++;
}

/* ---- maps ------------------------------------------------------------------------------------------------------ */

static void take_map(struct psc_load *load, const struct psc_wire_map *wire, uint64_t offset) {
    struct psc_model *model = load->model;
    if (wire->sequence == 0) {
        return;
    }
    if (!psc_is_power_of_two(wire->slots)) {
        psc_load_warn(load, "maps: the one at offset %" PRIu64 " has cells of %" PRIu32 " slots, and is skipped",
                      offset, wire->slots);
        return;
    }
    model->maps = psc_array_reserve(model->maps, model->map_count + 1, &load->map_capacity, sizeof(*model->maps));
    struct psc_pool_map *map = &model->maps[model->map_count++];
    *map = (struct psc_pool_map){.sequence = wire->sequence, .slots = wire->slots};
    memcpy(map->cells, wire->cells, sizeof(map->cells));
}

static void map_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    uint32_t bytes = psc_load_row_bytes(load, PSC_CHUNK_MAPS);
    for (size_t at = 0; at + bytes <= chunk->got; at += bytes) {
        take_map(load, (const void *)(chunk->bytes + at), chunk->offset + at);
    }
}

static int by_sequence(const void *left, const void *right) {
    const struct psc_pool_map *a = left, *b = right;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

const struct psc_wire_snapshot *psc_model_peak_snapshot(const struct psc_model *model) {
    for (size_t i = 0; i < model->snapshot_count; i++) {
        if (model->snapshots[i].flags & PSC_SNAPSHOT_PEAK) {
            return &model->snapshots[i];
        }
    }
    return NULL;
}

const struct psc_pool_map *psc_model_map_of(const struct psc_model *model, const struct psc_wire_snapshot *snapshot) {
    struct psc_pool_map key = {.sequence = snapshot->sequence};
    return model->map_count == 0 ? NULL
                                 : bsearch(&key, model->maps, model->map_count, sizeof(*model->maps), by_sequence);
}

void psc_load_history(struct psc_load *load) {
    take_walks(load);
    psc_load_chunks(load, PSC_CHUNK_PINS, UINT32_MAX, pins_chunk);
    if (!psc_model_is_sampled(load->model)) {
        add_end(load->model);
    }
    psc_load_chunks(load, PSC_CHUNK_MAPS, UINT32_MAX, map_chunk);
    if (load->model->map_count > 1) {
        qsort(load->model->maps, load->model->map_count, sizeof(*load->model->maps), by_sequence);
    }
}
