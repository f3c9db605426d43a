#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/say.h"
#include "core/track/types.h"

#define SUFFIX ".trace"

/* The path is `prefix`, taken as it is, and `pattern`, in which %p, %e and %% stand for something. */
static char prefix[PSC_TRACK_PATH_MAX];
static char pattern[PSC_OPTION_TEXT_MAX];
static char program[256];

struct text {
    char *buffer;
    size_t bytes;
    size_t length; /* = bytes: did not fit */
};

static void put(struct text *text, const char *from, size_t length) {
    if (length >= text->bytes - text->length) {
        text->length = text->bytes;
        return;
    }
    memcpy(text->buffer + text->length, from, length);
    text->length += length;
    text->buffer[text->length] = '\0';
}

static void put_string(struct text *text, const char *from) {
    put(text, from, strlen(from));
}

static void put_number(struct text *text, uint32_t number) {
    char digits[16];
    put(text, digits, psc_format(digits, sizeof digits, "%u", number));
}

static bool ends_with_suffix(const char *name, size_t length) {
    size_t suffix = strlen(SUFFIX);
    return length >= suffix && memcmp(name + length - suffix, SUFFIX, suffix) == 0;
}

/* The first % that stands for nothing; NULL: all are known. */
static const char *unknown_directive(const char *out) {
    for (const char *c = strchr(out, '%'); c != NULL; c = strchr(c + 2, '%')) {
        if (c[1] == '\0' || strchr("pe%", c[1]) == NULL) {
            return c;
        }
    }
    return NULL;
}

/* Where relative names begin: "/.../" or, if the kernel does not tell, "". */
static void put_working_directory(struct text *text) {
    if (syscall(SYS_getcwd, text->buffer, text->bytes - 1) <= 0 || text->buffer[0] != '/') {
        text->buffer[0] = '\0';
        return;
    }
    text->length = strlen(text->buffer);
    if (text->length > 1) {
        put_string(text, "/");
    }
}

static void learn_program(void) {
    char exe[PSC_TRACK_PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(exe, '/');
    psc_format(program, sizeof program, "%s", slash != NULL && slash[1] != '\0' ? slash + 1 : "unknown");
}

static bool names_a_file(const char *out) {
    return strchr(out, '%') != NULL || ends_with_suffix(out, strlen(out));
}

void psc_track_name_set(const char *out) {
    const char *unknown = unknown_directive(out);
    if (unknown != NULL) {
        psc_say("out=%s: only %%p, %%e and %%%% are known after a percent sign: using the current directory", out);
        out = ".";
    }
    learn_program();
    struct text text = {.buffer = prefix, .bytes = sizeof prefix};
    prefix[0] = '\0';
    if (out[0] != '/') {
        put_working_directory(&text);
    }
    if (names_a_file(out)) {
        psc_format(pattern, sizeof pattern, "%s", out);
        return;
    }
    psc_format(pattern, sizeof pattern, "%s", "poolscope-%p" SUFFIX);
    if (strcmp(out, ".") != 0 && out[0] != '\0') {
        put_string(&text, out);
        put_string(&text, "/");
    }
}

static void expand(struct text *text, uint32_t pid) {
    for (const char *c = pattern; *c != '\0'; c++) {
        if (*c != '%') {
            put(text, c, 1);
        } else if (*++c == 'p') {
            put_number(text, pid);
        } else if (*c == 'e') {
            put_string(text, program);
        } else {
            put(text, "%", 1);
        }
    }
}

/* x.trace -> x.2.trace */
static void number_attempt(struct text *text, uint32_t attempt) {
    bool suffix = text->length < text->bytes && ends_with_suffix(text->buffer, text->length);
    if (suffix) {
        text->length -= strlen(SUFFIX);
    }
    put_string(text, ".");
    put_number(text, attempt);
    put_string(text, suffix ? SUFFIX : "");
}

bool psc_track_name_make(char *path, size_t bytes, uint32_t pid, uint32_t attempt) {
    struct text text = {.buffer = path, .bytes = bytes};
    put_string(&text, prefix);
    expand(&text, pid);
    if (attempt > 1) {
        number_attempt(&text, attempt);
    }
    return text.length < text.bytes;
}
