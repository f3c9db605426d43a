/* The event log in words. */
#include <inttypes.h>
#include <stdlib.h>

#include "report/format.h"
#include "report/log.h"

static const char *kind_name(uint32_t kind) {
    static const char *const names[] = {
        [PSC_LOG_LOST] = "lost", [PSC_LOG_ALLOC] = "alloc", [PSC_LOG_FREE] = "free", [PSC_LOG_RESIZE] = "realloc"};
    return names[kind];
}

/* "-" stands for what an event does not have, or what is not known. */
static void write_number(FILE *out, uint64_t number, bool known) {
    if (known) {
        fprintf(out, "\t%" PRIu64, number);
    } else {
        fputs("\t-", out);
    }
}

static void write_address(FILE *out, uint64_t address, bool known) {
    if (known) {
        fprintf(out, "\t0x%" PRIx64, address);
    } else {
        fputs("\t-", out);
    }
}

static void write_entry(const struct psc_log_entry *entry, FILE *out) {
    bool lost = entry->kind == PSC_LOG_LOST;
    fprintf(out, "%" PRIu64 "\t%" PRIu32 "\t%s", entry->time_ns, entry->thread, kind_name(entry->kind));
    write_number(out, entry->size, lost ? entry->size != 0 : entry->size != PSC_LOG_UNKNOWN);
    write_number(out, entry->site, entry->site != PSC_SITE_NONE);
    write_address(out, entry->address, !lost);
    write_address(out, entry->old_address, entry->kind == PSC_LOG_RESIZE);
    fputc('\n', out);
}

static void write_end(const struct psc_log_figures *figures, FILE *out) {
    fprintf(out, "# %" PRIu64 " events; lost: %" PRIu64, figures->events - figures->left_out, figures->lost);
    if (figures->damaged != 0) {
        fprintf(out, "; damaged places: %" PRIu64 ", with %" PRIu64 " events", figures->damaged, figures->left_out);
    }
    fputc('\n', out);
}

static bool complain(const struct psc_model *model, const char *error) {
    char *path = psc_log_path(model);
    if (error == NULL) {
        fprintf(stderr, "poolscope report: %s has no event log: run the program with --events=on\n",
                psc_format_path(model->path).s);
    } else {
        fprintf(stderr, "poolscope report: cannot open %s: %s\n", psc_format_path(path).s, error);
    }
    free(path);
    return false;
}

bool psc_log_write(const struct psc_model *model, FILE *out) {
    const char *error = NULL;
    struct psc_log_entry entry;
    struct psc_log *log = psc_log_open(model, &error);
    if (log == NULL) {
        return complain(model, error);
    }
    fputs("time_ns\tthread\tkind\tsize\tsite\taddress\told_address\n", out);
    while (!ferror(out) && psc_log_next(log, &entry)) {
        write_entry(&entry, out);
    }
    write_end(psc_log_figures(log), out);
    psc_log_close(log);
    return true;
}

static void write_figures(const struct psc_log_figures *figures, FILE *out) {
    static const char *const reasons[] = {[PSC_STOP_NONE] = "",
                                          [PSC_STOP_DISK] = " (no room on its disk)",
                                          [PSC_STOP_MEMORY] = " (no memory)",
                                          [PSC_STOP_SPAN] = " (it has reached its largest size)",
                                          [PSC_STOP_SANDBOX] = " (in a sandbox it has only the room it got before)"};
    fprintf(out, "\nEvent log: %s events in %s", psc_format_count(figures->events).s,
            psc_format_bytes(figures->bytes).s);
    if (figures->lost != 0) {
        uint32_t reason = figures->stop_reason <= PSC_STOP_SANDBOX ? figures->stop_reason : PSC_STOP_NONE;
        fprintf(out, "; lost: %s%s", psc_format_count(figures->lost).s, reasons[reason]);
    }
    fputs("; --format=events prints it\n", out);
}

void psc_log_write_note(const struct psc_model *model, FILE *out) {
    const char *error = NULL;
    struct psc_log *log = psc_log_open(model, &error);
    if (log != NULL) {
        write_figures(psc_log_figures(log), out);
        psc_log_close(log);
    } else if (error != NULL) {
        fprintf(out, "\nThe event log cannot be read: %s.\n", error);
    }
}
