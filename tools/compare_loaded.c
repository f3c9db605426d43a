/* Whether CMD's processes had a contender's library: figures of one that was not there would be false. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/compare.h"
#include "tools/outcome.h"

/* The loader maps what is preloaded before all other libraries: if one of those is there and ours is not, it will not
 * come. A program that has no library after so many visits is a static one. */
#define VISITS_UNTIL_SURE 8
#define PERCENT_LEAST 50 /* of the memory in processes with the library, for figures to be the library's */

enum state { UNKNOWN, WITH, WITHOUT };

static bool is_shared_object(const char *line) {
    return strstr(line, ".so") != NULL && strstr(line, "/ld-") == NULL && strstr(line, "/ld.so") == NULL;
}

static enum state look(pid_t pid, const char *library) {
    char path[64], line[PATH_MAX + 128];
    bool others = false, found = false;
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    while (maps != NULL && !found && fgets(line, sizeof(line), maps) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *name = strchr(line, '/');
        found = name != NULL && strcmp(name, library) == 0;
        others |= name != NULL && is_shared_object(name);
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return found ? WITH : others ? WITHOUT : UNKNOWN;
}

/* A process may become another program: it is looked at again, ever more rarely. */
void psc_loaded_visit(void *context, pid_t pid, uint64_t pages) {
    struct psc_loaded_watch *watch = context;
    struct psc_loaded_process *process = &watch->processes[(unsigned)pid % PSC_LOADED_PROCESSES];
    uint64_t kib = pages * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
    if (watch->library[0] == '\0' || pages == 0) {
        return;
    }
    if (process->pid != pid) {
        *process = (struct psc_loaded_process){.pid = pid};
    }
    process->visits++;
    if (process->state == UNKNOWN || (process->visits & (process->visits - 1)) == 0) {
        process->state = look(pid, watch->library);
    }
    if (process->state == WITH) {
        watch->kib_with += kib;
    } else if (process->state == WITHOUT || process->visits >= VISITS_UNTIL_SURE) {
        watch->kib_without += kib;
    }
}

static void fail_not_loaded(struct psc_contender *contender, const char *command, unsigned percent) {
    const char *why = psc_outcome_why_not_loaded(command);
    contender->loaded = PSC_LOADED_NO;
    if (why != NULL) {
        snprintf(contender->failure, sizeof(contender->failure), "not loaded by %.64s: %s", command, why);
    } else if (percent > 0) {
        snprintf(
            contender->failure, sizeof(contender->failure),
            "loaded only by processes with %u %% of the memory: the others are linked statically or drop LD_PRELOAD",
            percent);
    } else {
        snprintf(contender->failure, sizeof(contender->failure),
                 "not loaded: %.64s or what it starts is linked statically or drops LD_PRELOAD", command);
    }
}

void psc_loaded_judge(struct psc_contender *contender, const char *command) {
    uint64_t with = 0, without = 0;
    if (contender->library[0] == '\0' || !psc_contender_has_figures(contender)) {
        return;
    }
    for (size_t i = 0; i < contender->run_count; i++) {
        with += contender->runs[i].kib_with;
        without += contender->runs[i].kib_without;
    }
    unsigned percent = with + without == 0 ? 0 : (unsigned)((double)with / (double)(with + without) * 100 + 0.5);
    contender->loaded = PSC_LOADED_YES;
    contender->loaded_percent = percent;
    if (contender->own_malloc) {
        contender->loaded = PSC_LOADED_NO;
        snprintf(contender->failure, sizeof(contender->failure), "%.64s brings its own malloc, which it keeps",
                 command);
    } else if (with + without == 0) {
        if (psc_outcome_why_not_loaded(command) != NULL) {
            fail_not_loaded(contender, command, 0);
        } else {
            contender->loaded = PSC_LOADED_UNKNOWN;
        }
    } else if (percent < PERCENT_LEAST) {
        fail_not_loaded(contender, command, percent);
    }
}
