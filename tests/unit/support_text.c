#include "tests/unit/support_text.h"

#include <ctype.h>
#include <string.h>

#include "core/base/compiler.h"
#include "report/format.h"

#define DEPTH_MAX 64

bool psc_text_is_plain(const char *text, size_t bytes) {
    uint32_t character;
    for (size_t i = 0; i < bytes;) {
        unsigned length = psc_format_decode(text + i, &character);
        if (length == 0 || (psc_format_is_control(character) && character != '\n' && character != '\t')) {
            return false;
        }
        i += length;
    }
    return true;
}

size_t psc_text_count(const char *text, const char *part) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) {
        count++;
    }
    return count;
}

/* ---- JSON: each returns what stands behind, or NULL ------------------------------------------------------------ */

static const char *value(const char *at, unsigned depth);

static const char *space(const char *at) {
    return at + strspn(at, " \n\r\t");
}

static const char *escape(const char *at) {
    if (*at == 'u') {
        for (int i = 0; i < 4; i++) {
            if (!isxdigit((unsigned char)*++at)) {
                return NULL;
            }
        }
        return at + 1;
    }
    return *at != '\0' && strchr("\"\\/bfnrt", *at) != NULL ? at + 1 : NULL;
}

static const char *string(const char *at) {
    uint32_t character;
    if (*at++ != '"') {
        return NULL;
    }
    while (at != NULL && *at != '"') {
        unsigned length = psc_format_decode(at, &character);
        if (length == 0 || character < ' ') {
            return NULL;
        }
        at = *at == '\\' ? escape(at + 1) : at + length;
    }
    return at != NULL ? at + 1 : NULL;
}

static const char *digits(const char *at) {
    size_t count = strspn(at, "0123456789");
    return count != 0 ? at + count : NULL;
}

static const char *number(const char *at) {
    at += *at == '-';
    at = *at == '0' ? at + 1 : digits(at);
    if (at != NULL && *at == '.') {
        at = digits(at + 1);
    }
    if (at != NULL && (*at == 'e' || *at == 'E')) {
        at += 1 + (at[1] == '-' || at[1] == '+');
        at = digits(at);
    }
    return at;
}

static const char *member(const char *at, char closing, unsigned depth) {
    if (closing == '}') {
        at = string(at);
        at = at != NULL ? space(at) : NULL;
        if (at == NULL || *at != ':') {
            return NULL;
        }
        at = space(at + 1);
    }
    return value(at, depth);
}

static const char *members(const char *at, char closing, unsigned depth) {
    at = space(at);
    if (*at == closing) {
        return at + 1;
    }
    while ((at = member(at, closing, depth)) != NULL) {
        at = space(at);
        if (*at == closing) {
            return at + 1;
        }
        if (*at != ',') {
            return NULL;
        }
        at = space(at + 1);
    }
    return NULL;
}

static const char *value(const char *at, unsigned depth) {
    static const char *const words[] = {"true", "false", "null"};
    if (depth == DEPTH_MAX) {
        return NULL;
    }
    if (*at == '{' || *at == '[') {
        return members(at + 1, *at == '{' ? '}' : ']', depth + 1);
    }
    for (size_t i = 0; i < PSC_COUNT_OF(words); i++) {
        if (strncmp(at, words[i], strlen(words[i])) == 0) {
            return at + strlen(words[i]);
        }
    }
    return *at == '"' ? string(at) : number(at);
}

bool psc_text_is_json(const char *text, size_t bytes) {
    const char *end = value(space(text), 0);
    return end != NULL && space(end) == text + bytes;
}
