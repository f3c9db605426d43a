#include "tools/top_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "report/array.h"

#define SECOND_NS 1000000000u
#define COST_PART 10 /* a reading may take so small a part of the time */

static uint64_t now_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void psc_top_init(struct psc_top *top, int fd, const char *path, uint32_t pid) {
    *top = (struct psc_top){.path = path, .fd = fd, .pid = pid, .delay_ns = 2ull * SECOND_NS};
}

void psc_top_release(struct psc_top *top) {
    psc_model_close(top->model);
    free(top->sites);
    free(top->threads);
    free(top->order);
}

/* ---- rates ------------------------------------------------------------------------------------------------------- */

/* What a counter gained. Estimates may go down, and a row may be read while it is written. */
static double gain(uint64_t now, uint64_t before, double seconds) {
    return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

static void rate_totals(struct psc_top *top, const struct psc_model *before, double seconds) {
    static const struct psc_totals nothing;
    const struct psc_totals *now = &top->model->totals, *then = before != NULL ? &before->totals : &nothing;
    top->total = (struct psc_top_rate){.allocs = gain(now->alloc_count, then->alloc_count, seconds),
                                       .frees = gain(now->free_count, then->free_count, seconds),
                                       .bytes = gain(now->alloc_bytes, then->alloc_bytes, seconds)};
}

/* A site keeps its id. */
static void rate_sites(struct psc_top *top, const struct psc_model *before, double seconds) {
    static const struct psc_site nothing;
    const struct psc_model *model = top->model;
    free(top->sites);
    top->sites = psc_array_new(model->site_count, sizeof(*top->sites));
    for (size_t i = 0; i < model->site_count; i++) {
        const struct psc_site *now = &model->sites[i];
        const struct psc_site *then = before != NULL && i < before->site_count ? &before->sites[i] : &nothing;
        top->sites[i] = (struct psc_top_rate){.allocs = gain(now->alloc_count, then->alloc_count, seconds),
                                              .frees = gain(now->free_count, then->free_count, seconds),
                                              .bytes = gain(now->alloc_bytes, then->alloc_bytes, seconds)};
    }
}

/* A thread's row is taken over by a later thread, and counts on. */
static void rate_threads(struct psc_top *top, const struct psc_model *before, double seconds) {
    static const struct psc_thread nothing;
    const struct psc_model *model = top->model;
    free(top->threads);
    top->threads = psc_array_new(model->thread_count, sizeof(*top->threads));
    for (size_t i = 0; i < model->thread_count; i++) {
        const struct psc_thread *now = &model->threads[i];
        const struct psc_thread *then = before != NULL && i < before->thread_count ? &before->threads[i] : &nothing;
        top->threads[i] = (struct psc_top_rate){.allocs = gain(now->alloc_count, then->alloc_count, seconds),
                                                .frees = gain(now->free_count, then->free_count, seconds)};
    }
}

static void rate_classes(struct psc_top *top, const struct psc_model *before, double seconds) {
    static const struct psc_class nothing;
    for (size_t i = 0; i < PSC_CLASSES_MAX; i++) {
        const struct psc_class *now = &top->model->classes[i];
        const struct psc_class *then = before != NULL ? &before->classes[i] : &nothing;
        top->classes[i] = (struct psc_top_rate){.allocs = gain(now->alloc_count, then->alloc_count, seconds),
                                                .frees = gain(now->free_count, then->free_count, seconds)};
    }
}

static void set_rates(struct psc_top *top, const struct psc_model *before, uint64_t now_ns) {
    top->whole_run = before == NULL || top->end != PSC_PROCESS_RUNNING;
    top->rate_ns = top->whole_run ? top->run_ns : now_ns - top->read_ns;
    before = top->whole_run ? NULL : before;
    double seconds = (double)top->rate_ns / SECOND_NS;
    rate_totals(top, before, seconds);
    rate_sites(top, before, seconds);
    rate_threads(top, before, seconds);
    rate_classes(top, before, seconds);
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

struct place {
    double figure;
    uint64_t live_bytes;
    uint32_t id;
};

static double figure_of(const struct psc_top *top, uint32_t id) {
    const struct psc_site *site = &top->model->sites[id];
    switch (top->sort) {
    case PSC_TOP_PINNED: return (double)site->pinned_bytes;
    case PSC_TOP_RATE: return top->sites[id].bytes;
    case PSC_TOP_ALLOCS: return top->sites[id].allocs;
    case PSC_TOP_COUNT: return (double)site->live_count;
    case PSC_TOP_PEAK: return (double)site->peak_live_bytes;
    default: return (double)site->live_bytes;
    }
}

static int most_first(const void *left, const void *right) {
    const struct place *a = left, *b = right;
    if (a->figure != b->figure) {
        return a->figure > b->figure ? -1 : 1;
    }
    if (a->live_bytes != b->live_bytes) {
        return a->live_bytes > b->live_bytes ? -1 : 1;
    }
    return a->id < b->id ? -1 : a->id > b->id;
}

void psc_top_order(struct psc_top *top, enum psc_top_sort sort) {
    const struct psc_model *model = top->model;
    struct place *places = psc_array_new(model->site_count, sizeof(*places));
    top->sort = sort;
    top->order_count = 0;
    for (uint32_t id = 0; id < model->site_count; id++) {
        if (psc_site_is_used(&model->sites[id])) {
            places[top->order_count++] = (struct place){figure_of(top, id), model->sites[id].live_bytes, id};
        }
    }
    qsort(places, top->order_count, sizeof(*places), most_first);
    free(top->order);
    top->order = psc_array_new(top->order_count, sizeof(*top->order));
    for (size_t i = 0; i < top->order_count; i++) {
        top->order[i] = places[i].id;
    }
    free(places);
}

struct psc_site *psc_top_site(const struct psc_top *top, size_t place) {
    return &top->model->sites[top->order[place]];
}

/* ---- readings ---------------------------------------------------------------------------------------------------- */

/* The process's own number for itself may be that of another pid namespace. */
static void find_end(struct psc_top *top, uint64_t now_ns) {
    const struct psc_process *process = &top->model->process;
    top->end = process->end;
    top->run_ns = process->duration_ns;
    if (top->end == PSC_PROCESS_KILLED && psc_process_runs(top->pid, process->start_ticks)) {
        top->end = PSC_PROCESS_RUNNING;
        top->run_ns = now_ns > process->start_ns ? now_ns - process->start_ns : 0;
    }
}

/* Of now where that can be asked for; else what the trace has. */
static uint64_t read_rss(const struct psc_top *top) {
    char path[40];
    uint64_t span, resident;
    uint64_t bytes = top->model->totals.rss_bytes;
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/statm", top->pid != 0 ? top->pid : top->model->process.pid);
    FILE *file = top->end == PSC_PROCESS_RUNNING ? fopen(path, "re") : NULL;
    if (file != NULL) {
        if (fscanf(file, "%" SCNu64 " %" SCNu64, &span, &resident) == 2 && resident != 0) {
            bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
        }
        fclose(file);
    }
    return bytes;
}

void psc_top_take(struct psc_top *top, struct psc_model *model, uint64_t now_ns) {
    struct psc_model *before = top->model;
    top->model = model;
    find_end(top, now_ns);
    top->rss_bytes = read_rss(top);
    set_rates(top, before, now_ns);
    psc_top_order(top, top->sort);
    if (before != NULL) {
        psc_model_adopt_symbols(model, before);
        psc_model_close(before);
    }
    top->read_ns = now_ns;
}

bool psc_top_read(struct psc_top *top, const char **error) {
    uint64_t begin_ns = now_of(CLOCK_PROCESS_CPUTIME_ID);
    struct psc_model *model = psc_model_open_fd(top->fd, top->path, error);
    if (model == NULL) {
        return false;
    }
    psc_top_take(top, model, now_of(CLOCK_MONOTONIC));
    top->cost_ns = now_of(CLOCK_PROCESS_CPUTIME_ID) - begin_ns;
    return true;
}

uint64_t psc_top_wait_ns(const struct psc_top *top) {
    uint64_t least = top->cost_ns * COST_PART;
    return top->delay_ns > least ? top->delay_ns : least;
}

bool psc_top_parse_delay(const char *text, uint64_t *delay_ns) {
    char *end;
    double seconds = strtod(text, &end);
    if (*text < '0' || *text > '9' || *end != '\0' || !(seconds >= 0.1 && seconds <= 3600)) {
        return false;
    }
    *delay_ns = (uint64_t)(seconds * SECOND_NS);
    return true;
}
