#include "report/emit.h"

#include <inttypes.h>
#include <math.h>

#include "report/format.h"

void psc_emit_init(struct psc_emit *emit, FILE *out, unsigned lines) {
    *emit = (struct psc_emit){.out = out, .lines = lines, .first = true};
}

void psc_emit_init_embedded(struct psc_emit *emit, FILE *out) {
    psc_emit_init(emit, out, 0);
    emit->embedded = true;
}

static void break_line(const struct psc_emit *emit) {
    fprintf(emit->out, "\n%*s", (int)emit->depth * 2, "");
}

/* What stands before a value: comma, line break, key. */
static void begin(struct psc_emit *emit, const char *key) {
    if (!emit->first) {
        fputs_unlocked(emit->depth > emit->lines && !emit->embedded ? ", " : ",", emit->out);
    }
    if (emit->depth > 0 && emit->depth <= emit->lines) {
        break_line(emit);
    }
    if (key != NULL) {
        fputc_unlocked('"', emit->out);
        fputs_unlocked(key, emit->out);
        fputs_unlocked(emit->embedded ? "\":" : "\": ", emit->out);
    }
    emit->first = false;
}

void psc_emit_open(struct psc_emit *emit, const char *key, char bracket) {
    begin(emit, key);
    fputc(bracket, emit->out);
    emit->depth++;
    emit->first = true;
}

void psc_emit_close(struct psc_emit *emit, char bracket) {
    bool empty = emit->first;
    emit->depth--;
    emit->first = false;
    if (!empty && emit->depth < emit->lines) {
        break_line(emit);
    }
    fputc(bracket == '{' ? '}' : ']', emit->out);
    if (emit->depth == 0) {
        fputc('\n', emit->out);
    }
}

static void put_number(FILE *out, uint64_t value) {
    char digits[24], *at = digits + sizeof(digits);
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    fwrite_unlocked(at, 1, (size_t)(digits + sizeof(digits) - at), out);
}

void psc_emit_number(struct psc_emit *emit, const char *key, uint64_t value) {
    begin(emit, key);
    put_number(emit->out, value);
}

void psc_emit_difference(struct psc_emit *emit, const char *key, uint64_t from, uint64_t to) {
    begin(emit, key);
    fputs_unlocked(to < from ? "-" : "", emit->out);
    put_number(emit->out, to < from ? from - to : to - from);
}

void psc_emit_real(struct psc_emit *emit, const char *key, double value) {
    begin(emit, key);
    fprintf(emit->out, "%.6g", isfinite(value) ? value : 0.0);
}

void psc_emit_bool(struct psc_emit *emit, const char *key, bool value) {
    begin(emit, key);
    fputs_unlocked(value ? "true" : "false", emit->out);
}

void psc_emit_null(struct psc_emit *emit, const char *key) {
    begin(emit, key);
    fputs("null", emit->out);
}

/* A '<' comes here only where it has to be escaped. */
static void put_character(FILE *out, uint32_t character, const char *bytes, unsigned length) {
    if (character == '"' || character == '\\') {
        fprintf(out, "\\%c", (char)character);
    } else if (character == '<' || psc_format_is_control(character)) {
        /* all of them are below U+10000 */
        fprintf(out, "\\u%04" PRIx32, character);
    } else {
        fwrite_unlocked(bytes, 1, length, out);
    }
}

/* Bytes at the front that stand for themselves. */
static size_t plain_run(const struct psc_emit *emit, const char *text) {
    size_t length = 0;
    while (text[length] >= 0x20 && text[length] < 0x7f && text[length] != '"' && text[length] != '\\' &&
           (text[length] != '<' || !emit->embedded)) {
        length++;
    }
    return length;
}

/* Writes the next character that is not plain; returns its bytes. */
static size_t put_odd(FILE *out, const char *text) {
    uint32_t character;
    unsigned length = psc_format_decode(text, &character);
    if (length == 0) {
        fputs_unlocked("\\ufffd", out);
        return 1;
    }
    put_character(out, character, text, length);
    return length;
}

void psc_emit_text(struct psc_emit *emit, const char *key, const char *text) {
    if (text == NULL) {
        psc_emit_null(emit, key);
        return;
    }
    begin(emit, key);
    fputc_unlocked('"', emit->out);
    while (*text != '\0') {
        size_t length = plain_run(emit, text);
        fwrite_unlocked(text, 1, length, emit->out);
        text += length;
        text += *text != '\0' ? put_odd(emit->out, text) : 0;
    }
    fputc_unlocked('"', emit->out);
}
