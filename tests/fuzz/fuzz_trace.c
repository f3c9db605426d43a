/* The reader of traces and all that is made of one, fed with anything.
 *
 * An input is a trace in the short form of tests/unit/support_trace.h. Each is read, its sums are checked, and one of the
 * outputs is made of it, chosen by the input's length: all would take too long. Whatever the names in it are, text gives
 * a terminal no orders, JSON can be parsed, no name becomes markup or a gnuplot script.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/export.h"
#include "report/page.h"
#include "report/page_part.h"
#include "report/plot_figure.h"
#include "report/report.h"
#include "tests/unit/support_text.h"
#include "tests/unit/support_trace.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/fuzz_trace.XXXXXX";

static void need(bool holds) {
    if (!holds) {
        abort();
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

static void check_range(struct psc_range range, uint64_t value) {
    need(range.low <= value && value <= range.high);
}

static void check_sites(const struct psc_model *model) {
    uint64_t live = model->not_sampled.live_bytes;
    for (size_t i = 0; i < model->site_count; i++) {
        const struct psc_site *site = &model->sites[i];
        check_range(site->live_bytes_range, site->live_bytes);
        check_range(site->live_count_range, site->live_count);
        check_range(site->alloc_bytes_range, site->alloc_bytes);
        check_range(site->pinned_bytes_range, site->pinned_bytes);
        live += site->live_bytes;
    }
    need(live == model->totals.live_bytes);
}

static void check(const struct psc_model *model) {
    const struct psc_fragmentation *f = &model->fragmentation;
    uint64_t pinned = model->not_sampled.pinned_bytes;
    for (size_t i = 0; i < model->site_count; i++) {
        pinned += model->sites[i].pinned_bytes;
    }
    need(pinned == f->pinned_bytes);
    need(f->committed_bytes == f->live_requested_bytes + f->internal_bytes + f->free_blocks_bytes + f->tail_bytes +
                                   f->empty_pools_bytes + f->cached_bytes);
    check_sites(model);
}

/* ---- outputs --------------------------------------------------------------------------------------------------- */

struct text {
    FILE *out;
    char *bytes;
    size_t count;
};

static struct text *begin(void) {
    static struct text text;
    need((text.out = open_memstream(&text.bytes, &text.count)) != NULL);
    return &text;
}

static void end(struct text *text, bool (*holds)(const char *, size_t)) {
    need(fclose(text->out) == 0 && holds(text->bytes, text->count));
    free(text->bytes);
}

static void write_summary(struct psc_model *model) {
    struct text *text = begin();
    psc_summary_write(model, text->out, 0);
    end(text, psc_text_is_plain);
}

static void write_json(struct psc_model *model) {
    struct text *text = begin();
    psc_json_write(model, text->out, 0);
    end(text, psc_text_is_json);
}

static void write_top_json(struct psc_model *model) {
    struct text *text = begin();
    psc_json_write(model, text->out, 2);
    end(text, psc_text_is_json);
}

static void export(struct psc_model *model, psc_export_writer *writer, bool (*holds)(const char *, size_t)) {
    const struct psc_export_options options = {.figure = PSC_EXPORT_FIGURE_COUNT};
    struct text *text = begin();
    need(writer(model, &options, text->out));
    end(text, holds);
}

static void write_collapsed(struct psc_model *model) {
    export(model, psc_export_collapsed, psc_text_is_plain);
}

static void write_speedscope(struct psc_model *model) {
    export(model, psc_export_speedscope, psc_text_is_json);
}

static void write_jemalloc(struct psc_model *model) {
    export(model, psc_export_jemalloc, psc_text_is_plain);
}

static void write_massif(struct psc_model *model) {
    export(model, psc_export_massif, psc_text_is_plain);
}

static void write_dhat(struct psc_model *model) {
    export(model, psc_export_dhat, psc_text_is_json);
}

static void write_pprof(struct psc_model *model) {
    const struct psc_export_options options = {.figure = PSC_EXPORT_FIGURE_COUNT};
    static FILE *nowhere;
    need(nowhere != NULL || (nowhere = fopen("/dev/null", "we")) != NULL);
    need(psc_export_pprof(model, &options, nowhere));
}

static bool is_command(const char *text, size_t bytes) {
    return psc_text_is_plain(text, bytes) && memchr(text, '`', bytes) == NULL &&
           memmem(text, bytes, "system", strlen("system")) == NULL;
}

/* All that gnuplot runs is ours: names are data to it. What stands behind "'-' binary array=(WIDTH,HEIGHT)" is that many
 * bytes, which it takes for a picture. */
static bool is_script(const char *text, size_t bytes) {
    static const char picture[] = "'-' binary array=(";
    const char *end = text + bytes;
    unsigned width, height;
    for (const char *at; (at = memmem(text, (size_t)(end - text), picture, strlen(picture))) != NULL;) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL || sscanf(at + strlen(picture), "%u,%u)", &width, &height) != 2 ||
            (size_t)(end - line - 1) < (size_t)width * height || !is_command(text, (size_t)(line - text))) {
            return false;
        }
        text = line + 1 + (size_t)width * height;
    }
    return is_command(text, (size_t)(end - text));
}

static void draw(struct psc_model *model, bool (*make)(struct psc_figure *)) {
    char reason[256] = "", *data, *script;
    size_t data_bytes, script_bytes;
    struct psc_figure figure = {.model = model,
                                .name = "name",
                                .title = "title",
                                .width = 1000,
                                .height = 440,
                                .reason = reason,
                                .reason_room = sizeof(reason)};
    need((figure.data = open_memstream(&data, &data_bytes)) != NULL);
    need((figure.script = open_memstream(&script, &script_bytes)) != NULL);
    bool made = make(&figure);
    need(made || reason[0] != '\0');
    fclose(figure.data);
    fclose(figure.script);
    need(psc_text_is_plain(data, data_bytes) && is_script(script, script_bytes));
    free(data);
    free(script);
}

static void draw_all(struct psc_model *model) {
#define MAKER(name, title, shows) psc_figure_##name,
    static bool (*const makers[])(struct psc_figure *) = {PSC_PLOTS(MAKER)};
    for (size_t i = 0; i < PSC_COUNT_OF(makers); i++) {
        draw(model, makers[i]);
    }
}

/* Its own scripts, and no others. */
static void write_page(struct psc_model *model) {
    char path[sizeof(directory) + 32];
    static char page[16 << 20];
    need(psc_page_write(model, directory, false) == 0);
    snprintf(path, sizeof(path), "%s/index.html", directory);
    FILE *file = fopen(path, "re");
    size_t bytes = fread(page, 1, sizeof(page) - 1, file);
    page[bytes] = '\0';
    fclose(file);
    size_t scripts = psc_page_has_sites(model) ? 2 : 1;
    need(psc_text_is_plain(page, bytes));
    need(psc_text_count(page, "<script") == scripts && psc_text_count(page, "</script") == scripts);
}

static void remove_directory(void) {
    char path[sizeof(directory) + 32];
    snprintf(path, sizeof(path), "%s/index.html", directory);
    unlink(path);
    rmdir(directory);
}

/* Without gnuplot, which would take too long. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    need(setenv("PATH", "/nonexistent", 1) == 0);
    need(mkdtemp(directory) != NULL);
    return atexit(remove_directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const writers[])(struct psc_model *) = {
        write_json,     write_summary, write_page, draw_all,    write_collapsed, write_speedscope,
        write_jemalloc, write_massif,  write_dhat, write_pprof, write_top_json};
    const char *error;
    int fd = psc_fake_lengthen(data, size);
    struct psc_model *model = psc_model_open_fd(fd, "fuzz", &error);
    if (model != NULL) {
        check(model);
        writers[size % PSC_COUNT_OF(writers)](model);
        psc_model_close(model);
    }
    close(fd);
    return 0;
}
