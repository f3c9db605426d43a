/* workloads NAME [SCALE]: runs one workload, prints its checksum. workloads --list: name, counts, help, by tabs. */
#include <stdio.h>
#include <string.h>

#include "tools/bench/workloads/bench.h"

struct workload {
    const char *name;
    const char *counts;
    const char *help;
    uint64_t (*run)(double scale);
};

#define ROW(name, counts, help) {#name, #counts, help, bench_##name},
static const struct workload workloads[] = {BENCH_WORKLOADS(ROW)};
#undef ROW

enum { WORKLOADS = sizeof workloads / sizeof *workloads };

static int list(void) {
    for (int i = 0; i < WORKLOADS; i++) {
        printf("%s\t%s\t%s\n", workloads[i].name, workloads[i].counts, workloads[i].help);
    }
    return 0;
}

static const struct workload *find(const char *name) {
    for (int i = 0; i < WORKLOADS; i++) {
        if (!strcmp(workloads[i].name, name)) {
            return &workloads[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    const struct workload *workload = argc > 1 ? find(argv[1]) : NULL;
    double scale = argc > 2 ? strtod(argv[2], NULL) : 1;

    if (argc == 2 && !strcmp(argv[1], "--list")) {
        return list();
    }
    if (!workload || scale <= 0) {
        fprintf(stderr, "usage: workloads NAME [SCALE] | --list\n");
        return 2;
    }
    printf("%s %016llx\n", workload->name, (unsigned long long)workload->run(scale));
    return 0;
}
