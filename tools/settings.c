#include "tools/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/option.h"

#define LIBRARY "libpoolscope.so"

static void say(void *context, const char *message) {
    (void)context;
    fprintf(stderr, "poolscope: %s\n", message);
}

/* ---- the library ------------------------------------------------------------------------------------------------ */

static bool take_library(struct psc_settings *settings, const char *path) {
    return access(path, R_OK) == 0 && realpath(path, settings->library) != NULL;
}

static bool find_beside_self(struct psc_settings *settings) {
    static const char *const places[] = {"", "../lib/poolscope/", "../lib/"};
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0) {
        return false;
    }
    self[length] = '\0';
    strrchr(self, '/')[1] = '\0';
    for (size_t i = 0; i < PSC_COUNT_OF(places); i++) {
        char path[PATH_MAX + 64];
        snprintf(path, sizeof(path), "%s%s%s", self, places[i], LIBRARY);
        if (take_library(settings, path)) {
            return true;
        }
    }
    return false;
}

bool psc_settings_find_library(struct psc_settings *settings) {
    const char *named = getenv("POOLSCOPE_LIB");
    if (named != NULL && named[0] != '\0') {
        if (!take_library(settings, named)) {
            fprintf(stderr, "poolscope: cannot read POOLSCOPE_LIB=%s: %s\n", named, strerror(errno));
            return false;
        }
    } else if (!find_beside_self(settings)) {
        fputs("poolscope: there is no " LIBRARY " beside poolscope or in ../lib; POOLSCOPE_LIB can name it\n", stderr);
        return false;
    }
    if (strpbrk(settings->library, " :") != NULL) {
        fprintf(stderr, "poolscope: the loader takes no library whose path has a space or colon in it: %s\n",
                settings->library);
        return false;
    }
    return true;
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

/* Appends `name=value` with its commas protected. */
static bool append(char **text, const char *name, const char *value) {
    size_t length = strlen(*text);
    char *longer = realloc(*text, length + strlen(name) + 2 * strlen(value) + 3);
    if (longer == NULL) {
        return false;
    }
    *text = longer;
    char *end = longer + length;
    end += sprintf(end, "%s%s=", length == 0 ? "" : ",", name);
    for (; *value != '\0'; value++) {
        if (*value == ',' || *value == '\\') {
            *end++ = '\\';
        }
        *end++ = *value;
    }
    *end = '\0';
    return true;
}

bool psc_settings_init(struct psc_settings *settings) {
    const char *inherited = getenv("POOLSCOPE");
    if (inherited == NULL) {
        inherited = "";
    }
    psc_option_defaults(&settings->options);
    settings->options.out[0] = '\0';
    /* The library itself will complain of what is wrong here. */
    psc_option_parse(&settings->options, inherited, NULL, NULL);
    settings->text = strdup(inherited);
    if (settings->text == NULL) {
        perror("poolscope");
        return false;
    }
    return true;
}

void psc_settings_release(struct psc_settings *settings) {
    free(settings->text);
    settings->text = NULL;
}

bool psc_settings_take_flag(struct psc_settings *settings, const char *flag) {
    const char *equals = strchr(flag, '=');
    if (strncmp(flag, "--", 2) != 0 || equals == NULL) {
        return false;
    }
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(equals - flag - 2), flag + 2);
    bool is_out = strcmp(name, "out") == 0;
    if (psc_option_set(&settings->options, name, equals + 1, say, NULL) && !is_out &&
        !append(&settings->text, name, equals + 1)) {
        perror("poolscope");
        return false;
    }
    return true;
}

bool psc_settings_names_files(const char *out) {
    static const char suffix[] = ".trace";
    size_t length = strlen(out);
    return strchr(out, '%') != NULL ||
           (length >= sizeof(suffix) - 1 && strcmp(out + length - (sizeof(suffix) - 1), suffix) == 0);
}

bool psc_settings_preload(const char *library) {
    const char *others = getenv("LD_PRELOAD");
    if (others == NULL || others[0] == '\0') {
        return setenv("LD_PRELOAD", library, 1) == 0;
    }
    char *both;
    if (asprintf(&both, "%s:%s", library, others) < 0) {
        return false;
    }
    bool done = setenv("LD_PRELOAD", both, 1) == 0;
    free(both);
    return done;
}

bool psc_settings_apply(const struct psc_settings *settings, const char *out) {
    char *text = strdup(settings->text);
    bool done = text != NULL && append(&text, "out", out) && setenv("POOLSCOPE", text, 1) == 0 &&
                psc_settings_preload(settings->library);
    free(text);
    return done;
}
