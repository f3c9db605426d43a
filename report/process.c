/* Whose trace it is, and how the process ended. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report/array.h"
#include "report/load.h"

static void read_arguments(struct psc_model *model, const struct psc_wire_header *header) {
    char *text = psc_array_new(1, sizeof(header->argv));
    memcpy(text, header->argv, sizeof(header->argv));
    size_t capacity = 0;
    char **argv = NULL;
    const char *end =
        text + (header->argv_bytes < sizeof(header->argv) ? header->argv_bytes : sizeof(header->argv) - 1);
    for (char *at = text; at < end; at += strlen(at) + 1) {
        argv = psc_array_reserve(argv, model->process.argc + 1, &capacity, sizeof(*argv));
        argv[model->process.argc++] = at;
    }
    model->store->argv_text = text;
    model->process.argv = psc_array_reserve(argv, model->process.argc + 1, &capacity, sizeof(*argv));
}

#define STAT_BYTES 1024

/* What stands behind the name in /proc/PID/stat, which may hold spaces and brackets itself; NULL if there is no such
 * process. */
static const char *read_stat(uint32_t pid, char line[STAT_BYTES]) {
    char path[40];
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    size_t got = fread(line, 1, STAT_BYTES - 1, file);
    fclose(file);
    line[got] = '\0';
    return strrchr(line, ')');
}

/* Fields 3 and 22 tell. One that has ended and whose parent has not asked for its status is still listed. */
bool psc_process_runs(uint32_t pid, uint64_t start_ticks) {
    char line[STAT_BYTES];
    const char *field = read_stat(pid, line);
    if (field == NULL || strncmp(field, ") Z", 3) == 0 || strncmp(field, ") X", 3) == 0) {
        return false;
    }
    for (int i = 2; i < 22 && field != NULL; i++) {
        field = strchr(field + 1, ' ');
    }
    return field != NULL && start_ticks != 0 && strtoull(field, NULL, 10) == start_ticks;
}

static enum psc_process_end end_of(const struct psc_wire_header *header) {
    if (header->end == PSC_END_EXIT) {
        return PSC_PROCESS_EXIT;
    }
    if (header->end == PSC_END_EXEC) {
        return PSC_PROCESS_EXEC;
    }
    return psc_process_runs(header->pid, header->start_ticks) ? PSC_PROCESS_RUNNING : PSC_PROCESS_KILLED;
}

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void psc_load_process(struct psc_load *load) {
    const struct psc_wire_header *header = load->header;
    struct psc_model *model = load->model;
    struct psc_process *process = &model->process;
    model->store->exe = psc_array_text(header->exe);
    process->exe = model->store->exe;
    read_arguments(model, header);
    process->pid = header->pid;
    process->ppid = header->ppid;
    process->flags = header->flags;
    process->stop_reason = header->stop_reason;
    process->start_ns = header->start_ns;
    process->start_realtime_ns = header->start_realtime_ns;
    process->start_ticks = header->start_ticks;
    process->end = end_of(header);
    uint64_t until = header->end == PSC_END_NONE ? header->counters.last_event_ns : header->end_ns;
    if (process->end == PSC_PROCESS_RUNNING) {
        until = monotonic_ns();
    }
    process->duration_ns = until > header->start_ns ? until - header->start_ns : 0;
    if (header->end > PSC_END_EXEC) {
        psc_load_warn(load, "header: the end of the process is given as %" PRIu32 ", which has no meaning",
                      header->end);
    }
}
