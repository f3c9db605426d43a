#include "report/page.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/file.h"
#include "report/format.h"
#include "report/page_part.h"
#include "report/plot.h"
#include "report/plot_figure.h"
#include "report/rss.h"

/* The script runs because the policy names this; nothing that the trace holds can know it. */
#define NONCE_BYTES 16

struct page {
    struct psc_model *model;
    FILE *out;
    int dir_fd;
    const struct psc_plots *plots;
    char nonce[2 * NONCE_BYTES + 1];
};

static int make_nonce(char *nonce) {
    unsigned char bytes[NONCE_BYTES];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
    }
    return 0;
}

/* ---- top --------------------------------------------------------------------------------------------------------- */

static void write_command(const struct psc_process *process, FILE *out) {
    for (size_t i = 0; i < process->argc; i++) {
        fputs(i == 0 ? "" : " ", out);
        psc_html_text(out, process->argv[i]);
    }
}

/* What leads to nothing is left out. */
static void write_links(const struct page *page) {
    static const struct {
        const char *id, *text;
        bool of_sites;
    } links[] = {{"findings", "Findings", false}, {"memory-now", "Memory", false}, {"pictures", "Pictures", false},
                 {"flame", "Flame graph", true},  {"sites", "Sites", true},        {"details", "Details", false},
                 {"process", "Process", false}};
    fputs("<nav class=top><div><span>\n", page->out);
    for (size_t i = 0; i < PSC_COUNT_OF(links); i++) {
        if (!links[i].of_sites || psc_page_has_sites(page->model)) {
            fprintf(page->out, "<a href=\"#%s\">%s</a>\n", links[i].id, links[i].text);
        }
    }
    fputs("</span><button type=button id=theme hidden>Dark</button>\n</div></nav>\n", page->out);
}

static void write_head(const struct page *page) {
    const struct psc_process *process = &page->model->process;
    fprintf(
        page->out,
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-%s'; img-src data:; "
        "base-uri 'none'; form-action 'none'\">\n<meta name=viewport content=\"width=device-width,initial-scale=1\">\n"
        "<meta name=referrer content=no-referrer>\n<title>poolscope: ",
        page->nonce);
    psc_html_text(page->out, psc_process_name(process));
    fprintf(page->out, " (%" PRIu32 ")</title>\n<style>\n%s</style>\n</head>\n<body>\n", process->pid, psc_page_style);
    write_links(page);
    fputs("<main>\n<h1>", page->out);
    psc_html_text(page->out, psc_process_name(process));
    fputs("</h1>\n<p class=soft><code>", page->out);
    write_command(process, page->out);
    static const char *const ends[] = {[PSC_PROCESS_EXIT] = "exited after",
                                       [PSC_PROCESS_EXEC] = "became another program (exec) after",
                                       [PSC_PROCESS_KILLED] = "was killed, or ended without exit, after",
                                       [PSC_PROCESS_RUNNING] = "has been running for"};
    fprintf(page->out, "</code><br>process %" PRIu32 ", %s %s</p>\n", process->pid, ends[process->end],
            psc_format_duration(process->duration_ns).s);
}

static void write_warnings(const struct page *page) {
    size_t count = 0;
    for (size_t i = 0; i < page->model->note_count; i++) {
        count += page->model->notes[i].warning;
    }
    if (count != 0) {
        fprintf(page->out,
                "<p class=warn>The trace is damaged in %zu place%s (see the notes below): this is what could be "
                "read.</p>\n",
                count, count == 1 ? "" : "s");
    }
}

static void write_sampling(const struct page *page) {
    const struct psc_sampling *sampling = &page->model->sampling;
    if (!psc_model_is_sampled(page->model)) {
        return;
    }
    fprintf(page->out,
            "<p class=soft>This is a sampled trace: one sample in %s allocated, on average; %s sample%s live. Figures "
            "of sites, requested bytes and counts of allocations are estimates, and ± is half their 95&nbsp;%% "
            "interval. What the heap holds is counted%s.</p>\n",
            psc_format_bytes(sampling->interval_bytes).s, psc_format_count(sampling->samples).s,
            sampling->samples == 1 ? " is" : "s are",
            sampling->calibrated ? "" : ", as of the last snapshot, and the sites are not corrected by it");
}

static void write_tile(FILE *out, const char *name, uint64_t bytes, const char *soft) {
    fprintf(out, "<div class=card>%s<b>%s</b><span class=soft>%s</span></div>\n", name, psc_format_bytes(bytes).s,
            soft);
}

static const char *of_it(uint64_t part, uint64_t whole, char text[32]) {
    snprintf(text, 32, "%.20s of it", psc_format_share(part, whole).s);
    return whole == 0 ? "" : text;
}

static void write_tiles(const struct page *page) {
    const struct psc_fragmentation *f = &page->model->fragmentation;
    const struct psc_totals *totals = &page->model->totals;
    char text[128];
    fputs("<div class=tiles>\n", page->out);
    write_tile(page->out, "Held", f->committed_bytes, "committed by the heap");
    write_tile(page->out, "Live", f->live_requested_bytes, of_it(f->live_requested_bytes, f->committed_bytes, text));
    write_tile(page->out, "Pinned", f->pinned_bytes, of_it(f->pinned_bytes, f->committed_bytes, text));
    snprintf(text, sizeof(text), "%s held at most", psc_format_bytes(totals->peak_committed_bytes).s);
    write_tile(page->out, "Peak live", totals->peak_live_bytes, text);
    snprintf(text, sizeof(text), "in %s allocations", psc_format_count(totals->alloc_count).s);
    write_tile(page->out, "Allocated", totals->alloc_bytes, text);
    fputs("</div>\n", page->out);
}

/* ---- where the memory is ----------------------------------------------------------------------------------------- */

struct part {
    const char *name;
    const char *means;
    const char *color;
    uint64_t bytes;
};

static void write_bar(const struct part *parts, size_t count, uint64_t whole, FILE *out) {
    fputs("<div class=bar>", out);
    for (size_t i = 0; i < count && whole != 0; i++) {
        fprintf(out, "<span style=\"width:%.3f%%;background:%s\" title=\"%s: %s\"></span>",
                100.0 * (double)parts[i].bytes / (double)whole, parts[i].color, parts[i].name,
                psc_format_bytes(parts[i].bytes).s);
    }
    fputs("</div>\n", out);
}

static void write_part(const struct part *part, uint64_t whole, FILE *out) {
    fprintf(out, "<tr><td><span class=key style=\"background:%s\"></span>%s <span class=soft>%s</span></td>",
            part->color, part->name, part->means);
    fprintf(out, "<td class=n>%s</td><td class=n>%s</td><td class=n>%s</td></tr>\n", psc_format_count(part->bytes).s,
            psc_format_bytes(part->bytes).s, psc_format_share(part->bytes, whole).s);
}

static void write_beside(const char *name, uint64_t bytes, FILE *out) {
    if (bytes != 0) {
        fprintf(out, "<tr><td>%s</td><td class=n>%s</td><td class=n>%s</td><td></td></tr>\n", name,
                psc_format_count(bytes).s, psc_format_bytes(bytes).s);
    }
}

static const char *moment_of(const struct psc_model *model) {
    if (psc_model_is_sampled(model) && model->sampling.has_snapshot && !model->sampling.calibrated) {
        return "at the last snapshot";
    }
    return model->process.end == PSC_PROCESS_RUNNING ? "now" : "at the end";
}

static void write_memory(const struct page *page) {
    const struct psc_fragmentation *f = &page->model->fragmentation;
    bool sampled = psc_model_is_sampled(page->model);
    const struct part parts[] = {
        {"live", sampled ? "as requested (estimated)" : "as requested", PSC_COLOR_LIVE, f->live_requested_bytes},
        {"rounding", "of live blocks up to their size class or page", PSC_COLOR_ROUNDING, f->internal_bytes},
        {sampled ? "free in pools" : "free blocks",
         sampled ? "that have a live block (pinned)" : "between live ones (pinned)", PSC_COLOR_PINNED,
         f->free_blocks_bytes},
        {"pool ends", sampled ? "counted with those" : "behind the last block of a pool (pinned)", "#F0A070",
         f->tail_bytes},
        {"empty pools", "without a live block", PSC_COLOR_EMPTY, f->empty_pools_bytes},
        {"cached", "free pages not yet given back", PSC_COLOR_CACHED, f->cached_bytes},
    };
    fprintf(page->out, "<h2 id=memory-now>Memory %s</h2>\n<div class=card>\n", moment_of(page->model));
    write_bar(parts, PSC_COUNT_OF(parts), f->committed_bytes, page->out);
    fputs("<div class=scroll><table><thead><tr><th>Part</th><th class=n>Bytes</th><th class=n></th>"
          "<th class=n>Share</th></tr></thead><tbody>\n",
          page->out);
    for (size_t i = 0; i < PSC_COUNT_OF(parts); i++) {
        write_part(&parts[i], f->committed_bytes, page->out);
    }
    fprintf(page->out,
            "<tr class=sum><td>held by the heap (committed)</td><td class=n>%s</td><td class=n>%s</td>"
            "<td class=n>%s</td></tr>\n",
            psc_format_count(f->committed_bytes).s, psc_format_bytes(f->committed_bytes).s,
            psc_format_share(f->committed_bytes, f->committed_bytes).s);
    if (psc_rss_last(page->model) == NULL) {
        write_beside("beside it: the heap's own tables", f->metadata_bytes, page->out);
        write_beside("beside it: the tracker's tables and the trace", page->model->totals.tracker_bytes, page->out);
        write_beside("the whole process, resident (RSS) at the last snapshot", page->model->totals.rss_bytes,
                     page->out);
    }
    fputs("</tbody></table></div>\n</div>\n", page->out);
}

static void write_rss_line(const char *words, const char *sign, uint64_t bytes, uint64_t whole, FILE *out) {
    fprintf(out, "<td>%s</td><td class=n>%s%s</td><td class=n>%s%s</td><td class=n>%s</td></tr>\n", words, sign,
            psc_format_count(bytes).s, sign, psc_format_bytes(bytes).s, psc_format_share(bytes, whole).s);
}

static void write_rss(const struct page *page) {
    const struct psc_wire_snapshot *last = psc_rss_last(page->model);
    if (last == NULL) {
        return;
    }
    struct psc_rss rss = psc_rss_of(last);
    fputs(
        "<h2 id=resident>Resident memory of the whole process</h2>\n<div class=card>\n<div class=scroll><table><thead>"
        "<tr><th>Part of RSS</th><th class=n>Bytes</th><th class=n></th><th class=n>Share</th></tr></thead><tbody>\n",
        page->out);
    for (size_t i = 0; i < PSC_RSS_PART_COUNT; i++) {
        if (rss.parts[i] != 0) {
            fputs("<tr>", page->out);
            write_rss_line(psc_rss_words(i), i == PSC_RSS_absent ? "&minus;" : "", rss.parts[i], rss.rss_bytes,
                           page->out);
        }
    }
    if (rss.residue_bytes != 0) {
        fputs("<tr>", page->out);
        write_rss_line(PSC_RSS_RESIDUE_WORDS, rss.residue_bytes < 0 ? "&minus;" : "", psc_rss_residue(&rss),
                       rss.rss_bytes, page->out);
    }
    fputs("<tr class=sum>", page->out);
    write_rss_line("RSS, as the kernel counts it", "", rss.rss_bytes, rss.rss_bytes, page->out);
    fputs("</tbody></table></div>\n</div>\n", page->out);
}

static void write_findings(const struct page *page) {
    fputs("<h2 id=findings>Findings</h2>\n<div class=card><ul>\n", page->out);
    psc_page_findings(page->model, page->out);
    fputs("</ul></div>\n", page->out);
}

/* ---- plots ------------------------------------------------------------------------------------------------------- */

/* As an image, so that nothing in the drawing can run or mix with the page. */
static int write_image(const struct page *page, const struct psc_plot *plot) {
    char name[64];
    snprintf(name, sizeof(name), "%s.svg", plot->name);
    int fd = openat(page->dir_fd, name, O_RDONLY | O_CLOEXEC);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "re");
    if (in == NULL) {
        return -1;
    }
    fprintf(page->out, "<img alt=\"%s\" src=\"data:image/svg+xml;base64,", plot->title);
    int status = psc_html_base64(page->out, in);
    fputs("\">\n", page->out);
    fclose(in);
    return status;
}

static int write_plot(const struct page *page, const struct psc_plot *plot) {
    fprintf(page->out, "<section class=\"card plot\" id=\"plot-%s\">\n", plot->name);
    int status = write_image(page, plot);
    fprintf(page->out, "<p class=soft>%s <a href=\"%s.tsv\">The figures</a></p>\n</section>\n", plot->shows,
            plot->name);
    return status;
}

/* The groups in which plots stand, and which they are in; one that is not listed comes last. */
static const struct {
    const char *title;
    const char *plots;
} groups[] = {
    {"Over time", " memory rate occupancy_time map_time "},
    {"Where the memory lies", " pools classes arenas_peak arenas "},
    {"Blocks and the code that made them", " sizes sites_live sites_pinned pinned_live "},
    {"How long blocks live", " age_occupancy survival "},
    {"More", ""},
};

static size_t group_of(const struct psc_plot *plot) {
    char word[80];
    size_t group = 0;
    snprintf(word, sizeof(word), " %s ", plot->name);
    while (group + 1 < PSC_COUNT_OF(groups) && strstr(groups[group].plots, word) == NULL) {
        group++;
    }
    return group;
}

static int write_group(const struct page *page, size_t group) {
    int status = 0;
    bool titled = false;
    for (size_t i = 0; i < PSC_PLOT_COUNT && status == 0; i++) {
        const struct psc_plot *plot = &page->plots->items[i];
        if (!plot->drawn || group_of(plot) != group) {
            continue;
        }
        if (!titled) {
            fprintf(page->out, "<h3>%s</h3>\n", groups[group].title);
            titled = true;
        }
        status = write_plot(page, plot);
    }
    return status;
}

static void write_left_out(const struct page *page) {
    for (size_t i = 0; i < PSC_PLOT_COUNT && !page->plots->gnuplot_missing; i++) {
        const struct psc_plot *plot = &page->plots->items[i];
        if (!plot->drawn) {
            fprintf(page->out, "<p class=soft>Left out: %s (", plot->title);
            psc_html_text(page->out, plot->reason);
            fputs(").</p>\n", page->out);
        }
    }
}

static int write_plots(const struct page *page) {
    int status = 0;
    fputs("<h2 id=pictures>Pictures</h2>\n", page->out);
    if (page->plots->gnuplot_missing) {
        fputs("<p>gnuplot was not found, so there are none. Install it with <code>apt-get install "
              "gnuplot-nox</code>.</p>\n",
              page->out);
    }
    for (size_t group = 0; group < PSC_COUNT_OF(groups) && status == 0; group++) {
        status = write_group(page, group);
    }
    write_left_out(page);
    return status;
}

/* ---- process and notes ------------------------------------------------------------------------------------------- */

static void write_fact(FILE *out, const char *name, const char *text) {
    fprintf(out, "<tr><td>%s</td><td>", name);
    psc_html_text(out, text);
    fputs("</td></tr>\n", out);
}

static void write_process(const struct page *page) {
    const struct psc_process *process = &page->model->process;
    char text[256];
    struct tm moment;
    time_t seconds = (time_t)(process->start_realtime_ns / 1000000000u);
    fputs("<h2 id=process>Process</h2>\n<div class=card><table class=facts><tbody>\n<tr><td>command</td><td><code>",
          page->out);
    write_command(process, page->out);
    fputs("</code></td></tr>\n", page->out);
    write_fact(page->out, "executable", process->exe);
    snprintf(text, sizeof(text), "%" PRIu32 ", child of %" PRIu32, process->pid, process->ppid);
    write_fact(page->out, "process", text);
    if (process->start_realtime_ns != 0 && gmtime_r(&seconds, &moment) != NULL) {
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &moment);
        write_fact(page->out, "started", text);
    }
    write_fact(page->out, "end", psc_process_end_name(process->end));
    write_fact(page->out, "duration", psc_format_duration(process->duration_ns).s);
    snprintf(text, sizeof(text), "%s allocations, %s frees, %s live blocks",
             psc_format_count(page->model->totals.alloc_count).s, psc_format_count(page->model->totals.free_count).s,
             psc_format_count(page->model->totals.live_count).s);
    write_fact(page->out, "blocks", text);
    write_fact(page->out, "trace", page->model->path);
    fputs("</tbody></table></div>\n", page->out);
}

static void write_notes(const struct page *page) {
    if (page->model->note_count == 0) {
        return;
    }
    fputs("<h2 id=notes>Notes</h2>\n<div class=card><ul>\n", page->out);
    for (size_t i = 0; i < page->model->note_count; i++) {
        const struct psc_note *note = &page->model->notes[i];
        fputs(note->warning ? "<li><span class=warn>damaged:</span> " : "<li>", page->out);
        psc_html_text(page->out, note->text);
        fputs("</li>\n", page->out);
    }
    fputs("</ul></div>\n", page->out);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int write_all(const struct page *page) {
    write_head(page);
    write_warnings(page);
    write_sampling(page);
    write_tiles(page);
    write_findings(page);
    write_memory(page);
    write_rss(page);
    int status = write_plots(page);
    psc_page_sites(page->model, page->out);
    psc_page_details(page->model, page->out);
    write_process(page);
    write_notes(page);
    fprintf(page->out, "</main>\n<script nonce=\"%s\">\n%s</script>\n</body>\n</html>\n", page->nonce, psc_page_script);
    return status;
}

/* In the place of an earlier page at once, when all is written. */
static int write_file(struct page *page, const char *dir) {
    struct psc_file_new file;
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/index.html", dir) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (make_nonce(page->nonce) != 0 || !psc_file_begin(&file, path, psc_file_user_mode())) {
        return -1;
    }
    page->out = file.out;
    bool written = write_all(page) == 0;
    return psc_file_end(&file, path, written) ? 0 : -1;
}

static int fail(const char *dir, const char *file) {
    char plain[512];
    int error = errno;
    fprintf(stderr, "poolscope report: cannot write %s%s: %s\n", psc_format_plain(plain, sizeof(plain), dir), file,
            strerror(error));
    return -1;
}

int psc_page_write(struct psc_model *model, const char *dir, bool png) {
    struct psc_plots plots;
    struct page page = {.model = model, .plots = &plots, .dir_fd = -1};
    if ((mkdir(dir, 0777) != 0 && errno != EEXIST) ||
        (page.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        return fail(dir, "");
    }
    int status = psc_plot_draw(model, dir, png, &plots) == 0 ? 0 : fail(dir, ": a plot");
    if (status == 0 && write_file(&page, dir) != 0) {
        status = fail(dir, "/index.html");
    }
    close(page.dir_fd);
    return status;
}
