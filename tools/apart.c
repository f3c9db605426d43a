#include "tools/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/format.h"
#include "report/model.h"
#include "report/symbols_find.h"
#include "tools/program.h"

/* The file while it is made: `modules` comes before `groups`, which tells modules by their numbers. */
struct draft {
    FILE *modules;
    FILE *groups;
    struct psc_module known[PSC_APART_MODULES_MAX]; /* told in `modules`, by number; paths are owned */
    size_t known_count;
    size_t range_count;
    size_t stack_count;
    bool full; /* more of something than the library takes */
};

#define SHOWN_BYTES 512

static bool complain(const char *format, ...) PSC_PRINTF(1, 2);

static bool complain(const char *format, ...) {
    va_list args;
    fputs("poolscope: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return false;
}

/* A rule as it may be shown on a terminal. */
static const char *shown(const char *rule) {
    static char text[SHOWN_BYTES];
    psc_format_plain(text, sizeof(text), rule);
    return text;
}

/* ---- modules ----------------------------------------------------------------------------------------------------- */

static bool same_module(const struct psc_module *a, const struct psc_module *b) {
    return a->build_id_bytes == b->build_id_bytes && memcmp(a->build_id, b->build_id, a->build_id_bytes) == 0 &&
           (a->build_id_bytes > 0 || strcmp(a->path, b->path) == 0);
}

static void write_module(FILE *file, const struct psc_module *module) {
    fputs("module ", file);
    for (uint32_t i = 0; i < module->build_id_bytes; i++) {
        fprintf(file, "%02x", module->build_id[i]);
    }
    fprintf(file, "%s ", module->build_id_bytes == 0 ? "-" : "");
    for (const char *c = module->path; *c != '\0'; c++) {
        fputc(*c == '\n' ? '?' : *c, file); /* one with a build-id is not told by its path */
    }
    fputc('\n', file);
}

static size_t module_number(struct draft *draft, const struct psc_module *module) {
    for (size_t i = 0; i < draft->known_count; i++) {
        if (same_module(&draft->known[i], module)) {
            return i;
        }
    }
    char *path = strdup(module->path != NULL ? module->path : "");
    if (draft->known_count == PSC_APART_MODULES_MAX || path == NULL) {
        free(path);
        draft->full = true;
        return 0;
    }
    struct psc_module *known = &draft->known[draft->known_count];
    *known = *module;
    known->path = path;
    write_module(draft->modules, known);
    return draft->known_count++;
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

struct place {
    struct draft *draft;
    const struct psc_module *module;
};

static void take_range(void *context, uint64_t start, uint64_t end) {
    struct place *place = context;
    struct draft *draft = place->draft;
    draft->full |= draft->range_count++ >= PSC_APART_RANGES_MAX;
    if (!draft->full) {
        size_t number = module_number(draft, place->module);
        fprintf(draft->groups, "range %zx %llx %llx\n", number, (unsigned long long)start, (unsigned long long)end);
    }
}

/* How many ranges there are in these modules. */
static size_t find_function(struct draft *draft, const struct psc_module *modules, size_t count, const char *function) {
    struct psc_symbols *symbols = psc_symbols_open(modules, count);
    size_t found = 0;
    for (size_t i = 0; symbols != NULL && i < count; i++) {
        struct place place = {draft, &modules[i]};
        found += psc_symbols_find_function(symbols, (uint32_t)i, function, take_range, &place);
    }
    psc_symbols_close(symbols);
    return found;
}

struct library_search {
    struct draft *draft;
    const char *function;
    size_t found;
};

static void search_file(void *context, const char *path) {
    struct library_search *search = context;
    struct psc_module module;
    if (psc_symbols_describe_file(path, &module)) {
        search->found += find_function(search->draft, &module, 1, search->function);
    }
}

static bool take_function(struct draft *draft, const char *function, const char *command) {
    char executable[PATH_MAX];
    struct library_search search = {draft, function, 0};
    if (!psc_program_executable(command, executable)) {
        return true; /* it cannot be run either, and that is said then */
    }
    search_file(&search, executable);
    if (search.found == 0) {
        psc_program_each_library(executable, search_file, &search);
    }
    if (search.found == 0) {
        return complain("there is no function %s in %s or its libraries (are they stripped?); one of what it loads or "
                        "starts later is told by a trace: --apart=TRACE:FUNCTION",
                        shown(function), executable);
    }
    return true;
}

/* ---- traces ------------------------------------------------------------------------------------------------------ */

static bool take_site(struct draft *draft, const struct psc_model *model, const char *text) {
    char *end;
    unsigned long id = strtoul(text, &end, 10);
    if (id >= model->site_count || !psc_site_is_used(&model->sites[id]) || model->sites[id].raw.count == 0) {
        return complain("%s has no site %s with a stack", model->path, text);
    }
    const struct psc_site_frames *raw = &model->sites[id].raw;
    draft->full |= draft->stack_count++ >= PSC_APART_STACKS_MAX;
    fputs("stack\n", draft->groups);
    for (size_t i = 0; i < raw->count; i++) {
        if (raw->modules[i] == PSC_MODULE_NONE) {
            fputs("frame -\n", draft->groups);
        } else {
            const struct psc_module *module = &model->modules[raw->modules[i]];
            fprintf(draft->groups, "frame %zx %llx\n", module_number(draft, module),
                    (unsigned long long)(raw->addresses[i] - module->bias));
        }
    }
    return true;
}

static bool take_from_model(struct draft *draft, const struct psc_model *model, const char *what) {
    if (what[0] != '\0' && what[strspn(what, "0123456789")] == '\0') {
        return take_site(draft, model, what);
    }
    if (find_function(draft, model->modules, model->module_count, what) == 0) {
        return complain("there is no function %s in what %s is of", shown(what), model->path);
    }
    return true;
}

static bool take_from_trace(struct draft *draft, const char *trace, const char *what) {
    const char *error = NULL;
    struct psc_model *model = psc_model_open(trace, &error);
    if (model == NULL) {
        return complain("cannot read %s: %s", trace, error);
    }
    bool good = take_from_model(draft, model, what);
    psc_model_close(model);
    return good;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static bool is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* Names of functions and of files may have colons in them: where a colon stands behind the name of a file, that is a
 * trace. NULL: there is none. */
static char *trace_of(const char *rule, const char **what) {
    for (const char *colon = strchr(rule, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        char *path = strndup(rule, (size_t)(colon - rule));
        if (path != NULL && is_file(path)) {
            *what = colon + 1;
            return path;
        }
        free(path);
    }
    return NULL;
}

static bool take_rule(struct draft *draft, const char *rule, const char *command) {
    const char *what = NULL;
    char *trace = trace_of(rule, &what);
    fprintf(draft->groups, "group %s\n", shown(rule));
    if (trace == NULL && strchr(rule, '/') != NULL) {
        return complain("there is no trace in --apart=%s, and no function has a slash in its name", shown(rule));
    }
    bool good = trace != NULL ? take_from_trace(draft, trace, what) : take_function(draft, rule, command);
    free(trace);
    if (good && draft->full) {
        return complain("--apart=%s tells more places than the library takes", shown(rule));
    }
    return good;
}

bool psc_apart_add(struct psc_apart *apart, const char *rule) {
    if (rule[0] == '\0') {
        return complain("--apart takes a function, or a trace and one of its sites: --apart=TRACE:SITE");
    }
    if (apart->count == PSC_APART_GROUPS_MAX) {
        return complain("--apart can be given %u times", PSC_APART_GROUPS_MAX);
    }
    apart->rules[apart->count++] = rule;
    return true;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool take_rules(struct draft *draft, const struct psc_apart *apart, const char *command) {
    for (size_t i = 0; i < apart->count; i++) {
        if (!take_rule(draft, apart->rules[i], command)) {
            return false;
        }
    }
    return true;
}

/* Closes both; NULL: out of memory. */
static char *join(struct draft *draft, char **modules, char **groups) {
    char *text = NULL;
    bool whole = draft->modules != NULL && fclose(draft->modules) == 0;
    whole &= draft->groups != NULL && fclose(draft->groups) == 0;
    if (!whole || asprintf(&text, "%s\n%s%s", PSC_APART_MAGIC, *modules, *groups) < 0) {
        perror("poolscope");
        return NULL;
    }
    return text;
}

char *psc_apart_compile(const struct psc_apart *apart, const char *command) {
    char *modules = NULL;
    char *groups = NULL;
    size_t bytes;
    struct draft draft = {.modules = open_memstream(&modules, &bytes)};
    draft.groups = open_memstream(&groups, &bytes);
    bool good = draft.modules != NULL && draft.groups != NULL && take_rules(&draft, apart, command);
    char *text = join(&draft, &modules, &groups);
    for (size_t i = 0; i < draft.known_count; i++) {
        free((char *)draft.known[i].path);
    }
    free(modules);
    free(groups);
    if (!good) {
        free(text);
        return NULL;
    }
    return text;
}

bool psc_apart_write(const char *path, const char *text) {
    size_t length = strlen(text);
    unlink(path); /* of an earlier process with the same number */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool written = write(fd, text, length) == (ssize_t)length;
    int error = written ? 0 : ENOSPC;
    close(fd);
    errno = error;
    return written;
}
