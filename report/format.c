#include "report/format.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/compiler.h"

static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

/* What to divide by, and how many decimals to print. */
struct scale {
    double divisor;
    size_t unit;
    int decimals;
};

static struct scale scale_of(uint64_t bytes) {
    struct scale scale = {1, 0, 0};
    /* 1023.5 would be printed as 1024 of the smaller unit */
    while ((double)bytes / scale.divisor >= 1023.5 && scale.unit + 1 < PSC_COUNT_OF(units)) {
        scale.divisor *= 1024;
        scale.unit++;
    }
    double value = (double)bytes / scale.divisor;
    scale.decimals = scale.unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return scale;
}

struct psc_text psc_format_bytes(uint64_t bytes) {
    struct psc_text text;
    struct scale scale = scale_of(bytes);
    snprintf(text.s, sizeof(text.s), "%.*f %s", scale.decimals, (double)bytes / scale.divisor, units[scale.unit]);
    return text;
}

struct psc_text psc_format_bytes_error(uint64_t bytes, uint64_t error) {
    struct psc_text text;
    struct scale scale = scale_of(bytes > error ? bytes : error);
    snprintf(text.s, sizeof(text.s), "%.*f %s ± %.*f", scale.decimals, (double)bytes / scale.divisor, units[scale.unit],
             scale.decimals, (double)error / scale.divisor);
    return text;
}

struct psc_text psc_format_count_error(uint64_t count, uint64_t error) {
    struct psc_text text;
    snprintf(text.s, sizeof(text.s), "%.26s ± %.26s", psc_format_count(count).s, psc_format_count(error).s);
    return text;
}

struct psc_text psc_format_count(uint64_t count) {
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    struct psc_text text;
    size_t at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            text.s[at++] = ',';
        }
        text.s[at++] = digits[i];
    }
    text.s[at] = '\0';
    return text;
}

struct psc_text psc_format_share(uint64_t part, uint64_t whole) {
    struct psc_text text = {"-"};
    if (whole != 0) {
        snprintf(text.s, sizeof(text.s), "%.1f %%", 100.0 * (double)part / (double)whole);
    }
    return text;
}

struct psc_text psc_format_duration(uint64_t nanoseconds) {
    struct psc_text text;
    uint64_t seconds = nanoseconds / 1000000000;
    if (nanoseconds < 999500000) {
        snprintf(text.s, sizeof(text.s), "%.0f ms", (double)nanoseconds / 1e6);
    } else if (seconds < 60) {
        snprintf(text.s, sizeof(text.s), "%.*f s", seconds < 10 ? 2 : 1, (double)nanoseconds / 1e9);
    } else if (seconds < 3600) {
        snprintf(text.s, sizeof(text.s), "%" PRIu64 " min %" PRIu64 " s", seconds / 60, seconds % 60);
    } else {
        snprintf(text.s, sizeof(text.s), "%" PRIu64 " h %" PRIu64 " min", seconds / 3600, seconds / 60 % 60);
    }
    return text;
}

static unsigned sequence_length(unsigned char first) {
    return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

unsigned psc_format_decode(const char *text, uint32_t *character) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)text[0];
    unsigned length = sequence_length(first);
    uint32_t value = length <= 1 ? first : first & (0x7fu >> length);
    for (unsigned i = 1; i < length; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (next & 0x3f);
    }
    if (length == 0 || value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
        return 0;
    }
    *character = value;
    return length;
}

int psc_format_is_control(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* One character of `text` in its printable form; returns how many bytes of `text` it stands for. */
static unsigned plain_character(char out[16], const char *text) {
    uint32_t character;
    unsigned length = psc_format_decode(text, &character);
    if (length == 0) {
        snprintf(out, 16, "\\x%02x", (unsigned char)text[0]);
        return 1;
    }
    if (!psc_format_is_control(character)) {
        memcpy(out, text, length);
        out[length] = '\0';
    } else if (character < 0x80) {
        snprintf(out, 16, "\\x%02x", character);
    } else {
        snprintf(out, 16, "\\u{%x}", character);
    }
    return length;
}

const char *psc_format_plain(char *buffer, size_t size, const char *text) {
    static const char cut[] = "...";
    size_t at = 0;
    while (*text != '\0') {
        char piece[16];
        unsigned taken = plain_character(piece, text);
        size_t length = strlen(piece);
        if (at + length + sizeof(cut) > size) {
            memcpy(buffer + at, cut, sizeof(cut));
            return buffer;
        }
        memcpy(buffer + at, piece, length);
        at += length;
        text += taken;
    }
    buffer[at] = '\0';
    return buffer;
}

const char *psc_format_plural(uint64_t count, const char *one, const char *many) {
    return count == 1 ? one : many;
}

const char *psc_format_last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

struct psc_path_text psc_format_path(const char *path) {
    struct psc_path_text text;
    psc_format_plain(text.s, sizeof(text.s), path);
    return text;
}
