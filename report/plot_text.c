#include "report/plot_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/base/compiler.h"

#define FILE_COLUMNS 18
/* A caller is worth naming from this much room on. */
#define CALLER_COLUMNS_LEAST 10

struct psc_scale psc_scale_bytes(uint64_t largest) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    struct psc_scale scale = {1, units[0]};
    for (size_t i = 1; i < PSC_COUNT_OF(units) && (double)largest >= scale.divisor * 1024; i++) {
        scale = (struct psc_scale){scale.divisor * 1024, units[i]};
    }
    return scale;
}

struct psc_scale psc_scale_time(uint64_t largest_ns) {
    static const struct {
        double upto, divisor;
        const char *unit;
    } units[] = {{2e6, 1e3, "µs"}, {2e9, 1e6, "ms"}, {600e9, 1e9, "s"}, {36e12, 60e9, "min"}};
    for (size_t i = 0; i < PSC_COUNT_OF(units); i++) {
        if ((double)largest_ns < units[i].upto) {
            return (struct psc_scale){units[i].divisor, units[i].unit};
        }
    }
    return (struct psc_scale){3600e9, "h"};
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The bracket that closes the one at `at`, or the end of the text. */
static const char *matching(const char *at, char open, char close) {
    int depth = 0;
    for (; *at != '\0'; at++) {
        depth += (*at == open) - (*at == close);
        if (depth == 0) {
            return at;
        }
    }
    return at - 1;
}

/* Length of "operator<<" and the like, whose brackets are none; 0 if there is none at `at`. */
static size_t operator_length(const char *start, const char *at) {
    static const char word[] = "operator";
    size_t length = sizeof(word) - 1;
    if (strncmp(at, word, length) != 0 || (at > start && (isalnum((unsigned char)at[-1]) || at[-1] == '_'))) {
        return 0;
    }
    if (strncmp(at + length, "()", 2) == 0) {
        return length + 2;
    }
    size_t symbols = strspn(at + length, "<>=-+*/%&|^!~,[]");
    return symbols == 0 ? 0 : length + symbols;
}

struct cursor {
    char *text;
    size_t used;
    size_t room;
};

static void append(struct cursor *out, const char *bytes, size_t length) {
    for (size_t i = 0; i < length && out->used + 1 < out->room; i++) {
        out->text[out->used++] = bytes[i];
    }
    out->text[out->used] = '\0';
}

/* Takes away what stands before the name: templates are demangled with their return type. */
static void drop_return_type(char *text) {
    char *name = text;
    if (strstr(text, "operator ") != NULL) {
        return;
    }
    for (char *at = text; *at != '\0'; at++) {
        bool begins = at[0] == ' ' && (isalpha((unsigned char)at[1]) || at[1] == '_');
        if (begins && strncmp(at, " namespace)", strlen(" namespace)")) != 0) {
            name = at + 1;
        }
    }
    memmove(text, name, strlen(name) + 1);
}

void psc_text_function(const char *function, char *text, size_t room) {
    static const char anonymous[] = "(anonymous namespace)";
    struct cursor out = {.text = text, .room = room};
    int braces = 0;
    text[0] = '\0';
    for (const char *at = function; *at != '\0'; at++) {
        size_t kept = operator_length(function, at);
        if (strncmp(at, anonymous, sizeof(anonymous) - 1) == 0) {
            kept = sizeof(anonymous) - 1;
        }
        if (kept != 0) {
            append(&out, at, kept);
            at += kept - 1;
        } else if (*at == '<' && at > function) {
            append(&out, "<…>", sizeof("<…>") - 1);
            at = matching(at, '<', '>');
        } else if (*at == '(') {
            at = matching(at, '(', ')');
            if (braces == 0 && strncmp(at, ")::", 3) != 0) {
                break;
            }
        } else {
            braces += (*at == '{') - (*at == '}');
            append(&out, at, 1);
        }
    }
    if (text[0] == '\0') {
        append(&out, function, strlen(function));
    }
    drop_return_type(text);
}

void psc_text_clip(char *text, size_t room, size_t columns) {
    size_t seen = 0;
    char *cut = text;
    for (char *at = text; *at != '\0'; at++) {
        if (((unsigned char)*at & 0xc0) == 0x80) {
            continue;
        }
        if (++seen == columns) {
            cut = at;
        }
    }
    if (seen > columns && (size_t)(cut - text) + sizeof("…") <= room) {
        memcpy(cut, "…", sizeof("…"));
    }
}

static bool begins_with(const char *text, const char *start) {
    return text != NULL && strncmp(text, start, strlen(start)) == 0;
}

/* Code of the C++ library says little about who wanted the memory. */
static bool is_library(const struct psc_frame *frame) {
    const char *slash = frame->module == NULL ? NULL : strrchr(frame->module, '/');
    return begins_with(frame->file, "/usr/include/c++/") || begins_with(slash, "/libstdc++.so") ||
           begins_with(slash, "/libc++.so");
}

const struct psc_frame *psc_text_site_frame(const struct psc_site *site) {
    if (site->frames == NULL || site->frame_count == 0) {
        return NULL;
    }
    size_t skip = psc_site_skip(site);
    for (size_t i = skip; i < site->frame_count; i++) {
        if (!is_library(&site->frames[i])) {
            return &site->frames[i];
        }
    }
    return &site->frames[skip < site->frame_count ? skip : site->frame_count - 1];
}

/* "0x..." or "module+0x...": an address without a symbol. */
static bool is_nameless(const char *function) {
    return begins_with(function, "0x") || strstr(function, "+0x") != NULL;
}

/* What calls main or a thread's first function: true of every stack. */
static bool is_start(const char *function) {
    static const char *const names[] = {"_start", "__libc_start", "start_thread", "clone3", "__clone", "__GI___clone"};
    for (size_t i = 0; i < PSC_COUNT_OF(names); i++) {
        if (begins_with(function, names[i])) {
            return true;
        }
    }
    return false;
}

/* The nearest caller that has a name; of a stripped program, the nearest at all. */
const char *psc_text_site_caller(const struct psc_site *site) {
    const struct psc_frame *frame = psc_text_site_frame(site);
    const struct psc_frame *end = frame == NULL ? NULL : site->frames + site->frame_count;
    const char *nameless = NULL;
    for (const struct psc_frame *caller = frame; caller < end; caller++) {
        if (strcmp(caller->function, frame->function) == 0 || is_library(caller) || is_start(caller->function) ||
            psc_frame_is_gap(caller)) {
            continue;
        }
        if (!is_nameless(caller->function)) {
            return caller->function;
        }
        nameless = nameless == NULL ? caller->function : nameless;
    }
    return nameless;
}

static size_t columns_of(const char *text) {
    size_t columns = 0;
    for (; *text != '\0'; text++) {
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return columns;
}

/* " file.c:34", or nothing */
static void append_place(const struct psc_frame *frame, struct cursor *out) {
    char file[256];
    char place[280];
    if (frame->file == NULL || frame->file[0] == '\0') {
        return;
    }
    const char *slash = strrchr(frame->file, '/');
    snprintf(file, sizeof(file), "%.200s", slash == NULL ? frame->file : slash + 1);
    psc_text_clip(file, sizeof(file), FILE_COLUMNS);
    append(out, place, (size_t)snprintf(place, sizeof(place), " %s:%u", file, frame->line));
}

static void append_caller(const struct psc_site *site, size_t columns, struct cursor *out) {
    char caller[512];
    const char *function = psc_text_site_caller(site);
    size_t used = columns_of(out->text) + sizeof(" < ") - 1;
    if (function == NULL || used + CALLER_COLUMNS_LEAST > columns) {
        return;
    }
    psc_text_function(function, caller, sizeof(caller));
    psc_text_clip(caller, sizeof(caller), columns - used);
    append(out, " ← ", sizeof(" ← ") - 1);
    append(out, caller, strlen(caller));
}

void psc_text_site(const struct psc_site *site, size_t columns, char *text, size_t room) {
    char function[512];
    const struct psc_frame *frame = psc_text_site_frame(site);
    if (frame == NULL) {
        snprintf(text, room, "#%u (unknown: no stack)", site->id);
        return;
    }
    psc_text_function(frame->function, function, sizeof(function));
    psc_text_clip(function, sizeof(function), columns * 3 / 5);
    struct cursor out = {.text = text, .room = room};
    out.used = (size_t)snprintf(text, room, "#%u %s", site->id, function);
    append_place(frame, &out);
    append_caller(site, columns, &out);
}
