/* The books: what each thread did to each site, summed by site. */
#include <inttypes.h>
#include <math.h>

#include "report/array.h"
#include "report/load.h"

/* Figures whose site is not in the table go to PSC_SITE_UNKNOWN, so that totals stay right. */
static uint32_t site_of_row(struct psc_load *load, uint64_t id, uint64_t offset) {
    if (id < load->model->site_count && id != PSC_SITE_NONE) {
        return (uint32_t)id;
    }
    psc_load_warn(load, "books: the row at offset %" PRIu64 " is of site %" PRIu64 ", which is not in the table",
                  offset, id);
    return PSC_SITE_UNKNOWN;
}

/* Where it is damaged, the error is taken to be as large as the figure. */
static double variance_of(struct psc_load *load, const struct psc_wire_row *row) {
    double said = row->alloc_bytes_variance;
    if (load->samples == NULL || (isfinite(said) && said >= 0)) {
        return said;
    }
    psc_load_warn(load, "books: the variance in a row of %" PRIu64 " bytes is no number from 0 on", row->alloc_bytes);
    return (double)row->alloc_bytes * (double)row->alloc_bytes;
}

/* How many blocks a count of ages stands for: more than one where so many were freed that they have been halved. */
static double blocks_an_age(const struct psc_load *load, const struct psc_wire_row *row) {
    double freed = (double)row->free_count / (load->samples != NULL ? PSC_SAMPLE_UNIT : 1), ages = 0;
    for (unsigned k = 0; k < PSC_AGE_BUCKETS; k++) {
        ages += row->ages[k];
    }
    return freed > UINT32_MAX && ages > 0 ? freed / ages : 1;
}

static void add_ages(const struct psc_wire_row *row, const struct psc_wire_places *places, double each,
                     struct psc_lifetime *lifetime) {
    for (unsigned k = 0; k < PSC_AGE_BUCKETS; k++) {
        lifetime->freed[k].count += each * row->ages[k];
        lifetime->freed[k].places += k != 0 ? each * places[k].sum : 0;
        lifetime->freed[k].squares += k != 0 ? each * places[k].squares : 0;
    }
}

/* Sums are taken modulo 2^64: a row whose blocks were freed elsewhere is "negative". */
static void add_row(struct psc_load *load, const struct psc_wire_row *row, uint64_t temporary_count,
                    struct psc_site *site) {
    uint64_t live_count = row->alloc_count - row->free_count;
    uint64_t live_bytes = row->alloc_bytes - row->free_bytes;
    uint32_t epoch = (uint32_t)load->header->counters.peak_epoch;
    bool changed_since = epoch != 0 && row->peak_epoch == epoch;
    site->alloc_count += row->alloc_count;
    site->alloc_bytes += row->alloc_bytes;
    site->free_count += row->free_count;
    site->free_bytes += row->free_bytes;
    site->temporary_count += temporary_count;
    site->alloc_bytes_variance += variance_of(load, row);
    site->peak_live_count += changed_since ? row->at_peak_count : live_count;
    site->peak_live_bytes += changed_since ? row->at_peak_bytes : live_bytes;
}

static bool is_blank(const struct psc_wire_row *row) {
    return (row->alloc_count | row->free_count | row->alloc_bytes | row->free_bytes | row->peak_epoch) == 0;
}

static void add_row_of_book(struct psc_load *load, const struct psc_wire_book *book, uint32_t i, uint64_t offset) {
    const struct psc_wire_row *row = &book->rows[i];
    const struct psc_wire_places *places = book->places[i];
    uint32_t id = site_of_row(load, (uint64_t)book->first_site + i, offset);
    load->model->sites[id].id = id;
    add_row(load, row, (uint64_t)places[0].sum << 32 | row->temporary_count, &load->model->sites[id]);
    add_ages(row, places, blocks_an_age(load, row), &load->model->lifetimes[id]);
}

static void book_chunk(struct psc_load *load, const struct psc_load_chunk *chunk) {
    uint32_t bytes = psc_load_row_bytes(load, PSC_CHUNK_BOOKS);
    for (size_t at = 0; at + bytes <= chunk->got; at += bytes) {
        const struct psc_wire_book *book = (const void *)(chunk->bytes + at);
        for (uint32_t i = 0; book->used != 0 && i < PSC_BOOK_ROWS; i++) {
            if (!is_blank(&book->rows[i])) {
                add_row_of_book(load, book, i, chunk->offset + at);
            }
        }
    }
}

static void mend(uint64_t *figure, struct psc_load *load, size_t *broken) {
    if (*figure >> 63 != 0) {
        *figure = 0;
        *broken += load->model->process.end != PSC_PROCESS_RUNNING;
    }
}

/* Figures below zero come from a free that was counted before its allocation was seen, or from damage. */
static void close_books(struct psc_load *load) {
    struct psc_totals *totals = &load->model->totals;
    size_t broken = 0;
    for (size_t i = 0; i < load->model->site_count; i++) {
        struct psc_site *site = &load->model->sites[i];
        site->live_count = site->alloc_count - site->free_count;
        site->live_bytes = site->alloc_bytes - site->free_bytes;
        mend(&site->live_count, load, &broken);
        mend(&site->live_bytes, load, &broken);
        mend(&site->peak_live_count, load, &broken);
        mend(&site->peak_live_bytes, load, &broken);
        totals->alloc_count += site->alloc_count;
        totals->alloc_bytes += site->alloc_bytes;
        totals->free_count += site->free_count;
        totals->free_bytes += site->free_bytes;
        totals->live_count += site->live_count;
        totals->live_bytes += site->live_bytes;
    }
    if (broken != 0) {
        psc_load_warn(load, "books: %zu figures of sites were below zero and are shown as 0", broken);
    }
}

void psc_load_books(struct psc_load *load) {
    psc_load_samples_begin(load);
    load->model->lifetimes = psc_array_new(load->model->site_count, sizeof(struct psc_lifetime));
    psc_load_chunks(load, PSC_CHUNK_BOOKS, UINT32_MAX, book_chunk);
    close_books(load);
    uint64_t counted = load->header->counters.clock_bytes;
    load->clock_bytes = counted > load->model->totals.alloc_bytes ? counted : load->model->totals.alloc_bytes;
}
