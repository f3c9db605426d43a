/* Which allocators there are on this machine. */
#include <errno.h>
#include <glob.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "tools/compare.h"

#define GLIBC "glibc"

/* Those with a mode are poolscope itself; one without files is what CMD has anyway. Files are patterns for glob. */
static const struct known {
    const char *name;
    const char *files[3];
    const char *package; /* of Debian and Ubuntu, or NULL */
    const char *mode;
} known[] = {
    {GLIBC, {NULL}, NULL, NULL},
    {"jemalloc", {"libjemalloc.so.2"}, "libjemalloc2", NULL},
    {"mimalloc", {"libmimalloc.so.3*", "libmimalloc.so.2*"}, "libmimalloc2.0", NULL},
    {"tcmalloc", {"libtcmalloc_minimal.so.4"}, "libtcmalloc-minimal4", NULL},
    {"tcmalloc-full", {"libtcmalloc.so.4"}, NULL, NULL},
    {"rpmalloc", {"librpmallocwrap.so*", "librpmalloc.so*"}, NULL, NULL},
    {"snmalloc", {"libsnmallocshim.so*"}, NULL, NULL},
    {"hardened_malloc", {"libhardened_malloc.so*"}, NULL, NULL},
    {"scudo", {"libscudo.so*"}, NULL, NULL},
    {"poolscope", {NULL}, NULL, "--mode=off"},
    {"poolscope-exact", {NULL}, NULL, "--mode=exact"},
};

static const char *const directories[] = {"/usr/local/lib", "/usr/local/lib64", "/usr/lib64",
                                          "/lib64",         "/usr/lib",         "/lib"};

/* ---- the libraries of others ------------------------------------------------------------------------------------ */

/* The first file in `directory` that fits. */
static bool find_in(const char *directory, size_t length, const char *file, char library[PATH_MAX]) {
    char pattern[PATH_MAX];
    glob_t found;
    bool good = false;
    snprintf(pattern, sizeof(pattern), "%.*s/%s", (int)length, directory, file);
    if (length > 0 && glob(pattern, 0, NULL, &found) == 0) {
        good = realpath(found.gl_pathv[0], library) != NULL;
        globfree(&found);
    }
    return good;
}

/* Where the C library of this process lies is where a distribution puts others for this machine. */
static int take_libc_directory(struct dl_phdr_info *info, size_t size, void *directory) {
    const char *base = strrchr(info->dlpi_name, '/');
    (void)size;
    if (base == NULL || strncmp(base, "/libc.so", 8) != 0) {
        return 0;
    }
    snprintf(directory, PATH_MAX, "%.*s", (int)(base - info->dlpi_name), info->dlpi_name);
    return 1;
}

static bool find_file(const char *file, char library[PATH_MAX]) {
    char own[PATH_MAX] = "";
    const char *listed = getenv("LD_LIBRARY_PATH");
    while (listed != NULL && *listed != '\0') {
        size_t length = strcspn(listed, ":");
        if (find_in(listed, length, file, library)) {
            return true;
        }
        listed += length + (listed[length] == ':');
    }
    dl_iterate_phdr(take_libc_directory, own);
    bool found = find_in(own, strlen(own), file, library);
    for (size_t i = 0; !found && i < PSC_COUNT_OF(directories); i++) {
        found = find_in(directories[i], strlen(directories[i]), file, library);
    }
    return found;
}

static bool find_library(const struct known *row, char library[PATH_MAX]) {
    for (size_t i = 0; i < PSC_COUNT_OF(row->files) && row->files[i] != NULL; i++) {
        if (find_file(row->files[i], library)) {
            return true;
        }
    }
    return false;
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

static const struct known *find_known(const char *name) {
    for (size_t i = 0; i < PSC_COUNT_OF(known); i++) {
        if (strcmp(known[i].name, name) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

static struct psc_contender *find(struct psc_compare *compare, const char *name) {
    for (size_t i = 0; i < compare->count; i++) {
        if (strcmp(compare->contenders[i].name, name) == 0) {
            return &compare->contenders[i];
        }
    }
    return NULL;
}

/* One that is listed already is given back. NULL: there are too many, which is said. */
static struct psc_contender *add(struct psc_compare *compare, const char *name) {
    struct psc_contender *contender = find(compare, name);
    if (contender != NULL) {
        return contender;
    }
    if (compare->count == PSC_CONTENDERS_MAX) {
        fprintf(stderr, "poolscope compare: more than %d allocators cannot be compared\n", PSC_CONTENDERS_MAX);
        return NULL;
    }
    contender = &compare->contenders[compare->count++];
    *contender = (struct psc_contender){.loaded = PSC_LOADED_YES, .loaded_percent = 100};
    snprintf(contender->name, sizeof(contender->name), "%s", name);
    return contender;
}

/* Names stand in scripts of gnuplot and in names of files. */
static bool is_name(const char *name, size_t length) {
    return length > 0 && length < PSC_CONTENDER_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") >= length;
}

static bool complain_of_name(const char *value) {
    fprintf(stderr, "poolscope compare: there is no allocator '%s'; --allocator takes NAME=PATH, or one of", value);
    for (size_t i = 0; i < PSC_COUNT_OF(known); i++) {
        fprintf(stderr, "%s %s", i == 0 ? "" : ",", known[i].name);
    }
    fputs("\nTry 'poolscope compare --help'.\n", stderr);
    return false;
}

static bool take_path(struct psc_contender *contender, const char *path) {
    if (access(path, R_OK) != 0 || realpath(path, contender->library) == NULL) {
        fprintf(stderr, "poolscope compare: cannot read %s: %s\n", path, strerror(errno));
        return false;
    }
    if (strpbrk(contender->library, " :") != NULL) {
        fprintf(stderr, "poolscope compare: the loader takes no library whose path has a space or colon in it: %s\n",
                contender->library);
        return false;
    }
    return true;
}

bool psc_contenders_take(struct psc_compare *compare, const char *value) {
    char name[PSC_CONTENDER_NAME_MAX];
    size_t length = strcspn(value, "=");
    bool has_path = value[length] == '=';
    snprintf(name, sizeof(name), "%.*s", (int)length, value);
    const struct known *row = find_known(name);
    bool can_have_path = row == NULL || row->files[0] != NULL;
    if (!is_name(value, length) || (has_path ? !can_have_path : row == NULL)) {
        return complain_of_name(value);
    }
    struct psc_contender *contender = add(compare, name);
    if (contender == NULL) {
        return false;
    }
    contender->chosen |= !has_path;
    return !has_path || take_path(contender, value + length + 1);
}

static bool set_up_ours(struct psc_contender *contender, const struct known *row) {
    contender->ours = true;
    contender->traced = strcmp(row->mode, "--mode=off") != 0;
    if (!psc_settings_init(&contender->settings) || !psc_settings_take_flag(&contender->settings, row->mode) ||
        !psc_settings_find_library(&contender->settings)) {
        return false;
    }
    snprintf(contender->library, sizeof(contender->library), "%s", contender->settings.library);
    return true;
}

/* For those that were not asked for, but would have been taken. */
static void note_missing(struct psc_compare *compare, const struct known *row) {
    size_t length = strlen(compare->missing);
    snprintf(compare->missing + length, sizeof(compare->missing) - length, "%s%s", length == 0 ? "" : ", ", row->name);
    if (row->package != NULL) {
        length = strlen(compare->packages);
        snprintf(compare->packages + length, sizeof(compare->packages) - length, "%s%s", length == 0 ? "" : " ",
                 row->package);
    }
}

static bool complain_of_missing(const struct known *row) {
    fprintf(stderr, "poolscope compare: %s is not here: no %s", row->name, row->files[0]);
    for (size_t i = 1; i < PSC_COUNT_OF(row->files) && row->files[i] != NULL; i++) {
        fprintf(stderr, " or %s", row->files[i]);
    }
    fputs(" in LD_LIBRARY_PATH or the loader's directories", stderr);
    if (row->package != NULL) {
        fprintf(stderr, "; install it with: apt-get install %s", row->package);
    }
    fprintf(stderr, "%s or name it with --allocator=%s=PATH\n", row->package != NULL ? "," : ";", row->name);
    return false;
}

/* Takes what `row` is about into the list. */
static bool find_row(struct psc_compare *compare, const struct known *row, bool wanted) {
    struct psc_contender *contender = find(compare, row->name);
    char library[PATH_MAX] = "";
    if ((contender == NULL && !wanted) || (contender != NULL && contender->library[0] != '\0')) {
        return true;
    }
    if (row->files[0] != NULL && !find_library(row, library)) {
        if (contender != NULL) {
            return complain_of_missing(row);
        }
        note_missing(compare, row);
        return true;
    }
    contender = contender != NULL ? contender : add(compare, row->name);
    if (contender == NULL) {
        return false;
    }
    snprintf(contender->library, sizeof(contender->library), "%s", library);
    return row->mode == NULL || set_up_ours(contender, row);
}

static size_t rank(const struct psc_contender *contender) {
    const struct known *row = find_known(contender->name);
    return row != NULL && row->mode == NULL ? (size_t)(row - known)
           : row == NULL                    ? PSC_COUNT_OF(known)
                                            : PSC_COUNT_OF(known) + (size_t)(row - known);
}

/* Known ones first, poolscope last. */
static int by_rank(const void *left, const void *right) {
    const struct psc_contender *a = left, *b = right;
    return rank(a) != rank(b) ? (rank(a) < rank(b) ? -1 : 1) : strcmp(a->name, b->name);
}

/* The baseline becomes the first. */
static void lead(struct psc_compare *compare, const char *name) {
    struct psc_contender *at = find(compare, name);
    struct psc_contender baseline = *at;
    memmove(compare->contenders + 1, compare->contenders, (size_t)(at - compare->contenders) * sizeof(*at));
    compare->contenders[0] = baseline;
    compare->baseline = 0;
}

int psc_contenders_find(struct psc_compare *compare, const char *baseline) {
    bool all = true;
    if (strchr(baseline, '=') != NULL) {
        fprintf(
            stderr,
            "poolscope compare: --baseline takes the name of an allocator, not %s; --allocator=NAME=PATH adds one\n",
            baseline);
        return 2;
    }
    for (size_t i = 0; i < compare->count; i++) {
        all &= !compare->contenders[i].chosen;
    }
    if (find(compare, baseline) == NULL && !psc_contenders_take(compare, baseline)) {
        return 2;
    }
    for (size_t i = 0; i < PSC_COUNT_OF(known); i++) {
        if (!find_row(compare, &known[i], all)) {
            return 1;
        }
    }
    qsort(compare->contenders, compare->count, sizeof(compare->contenders[0]), by_rank);
    lead(compare, baseline);
    return 0;
}

void psc_contenders_release(struct psc_compare *compare) {
    for (size_t i = 0; i < compare->count; i++) {
        struct psc_contender *contender = &compare->contenders[i];
        for (size_t run = 0; run < contender->run_count; run++) {
            free(contender->runs[run].points);
        }
        free(contender->runs);
        if (contender->ours) {
            psc_settings_release(&contender->settings);
        }
    }
}
