#include "tools/top_line.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "report/format.h"

void psc_top_line_begin(struct psc_top_line *line, unsigned columns, bool utf8) {
    line->length = line->width = 0;
    line->columns = columns;
    line->utf8 = utf8;
    line->text[0] = '\0';
}

/* Returns false if there is no room. */
static bool append(struct psc_top_line *line, const char *bytes, size_t length, unsigned width) {
    if (line->width + width > line->columns || line->length + length >= sizeof(line->text)) {
        return false;
    }
    memcpy(line->text + line->length, bytes, length);
    line->length += length;
    line->text[line->length] = '\0';
    line->width += width;
    return true;
}

static const char *ascii_of(uint32_t character) {
    switch (character) {
    case 0x2190: return "<"; /* left arrow */
    case 0x2026: return "~"; /* ellipsis */
    case 0x2013: return "-"; /* dash */
    case 0xb1: return "+-";
    default: return "?";
    }
}

static unsigned width_of(uint32_t character) {
    int width = character < 0x80 ? 1 : wcwidth((wchar_t)character);
    return width < 0 ? 1 : (unsigned)width; /* the locale does not know it */
}

void psc_top_line_put(struct psc_top_line *line, const char *text) {
    char plain[PSC_TOP_LINE_BYTES];
    psc_format_plain(plain, sizeof(plain), text);
    bool room = true;
    for (const char *at = plain; *at != '\0' && room;) {
        uint32_t character;
        unsigned length = psc_format_decode(at, &character);
        if (character >= 0x80 && !line->utf8) {
            const char *ascii = ascii_of(character);
            room = append(line, ascii, strlen(ascii), (unsigned)strlen(ascii));
        } else {
            room = append(line, at, length, width_of(character));
        }
        at += length;
    }
}

void psc_top_line_printf(struct psc_top_line *line, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    psc_top_line_put(line, text);
}

void psc_top_line_pad(struct psc_top_line *line, unsigned column) {
    while (line->width < column && append(line, " ", 1, 1)) {
    }
}

void psc_top_line_ink(struct psc_top_line *line, enum psc_top_ink ink) {
    char byte = (char)ink;
    append(line, &byte, 1, 0);
}

void psc_top_line_strip(struct psc_top_line *line) {
    size_t length = 0;
    for (size_t i = 0; i < line->length; i++) {
        if ((unsigned char)line->text[i] >= PSC_INK_END) {
            line->text[length++] = line->text[i];
        }
    }
    line->text[length] = '\0';
    line->length = length;
}
