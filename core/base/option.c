#include "core/base/option.h"

#include <string.h>

#include "core/base/say.h"

#define ROW_CHOICE(name, initial, choices, help)                                                                       \
    {#name, PSC_OPTION_IS_CHOICE, help, choices, NULL, NULL, initial, 0, 0, offsetof(struct psc_options, name)},
#define ROW_NUMBER(name, initial, min, max, unit, help)                                                                \
    {#name, PSC_OPTION_IS_NUMBER, help, NULL, NULL, unit, initial, min, max, offsetof(struct psc_options, name)},
#define ROW_TEXT(name, initial, help)                                                                                  \
    {#name, PSC_OPTION_IS_TEXT, help, NULL, initial, NULL, 0, 0, 0, offsetof(struct psc_options, name)},

const struct psc_option psc_option_table[] = {PSC_OPTIONS(ROW_CHOICE, ROW_NUMBER, ROW_TEXT){0}};

struct hearer {
    psc_option_complain complain;
    void *context;
};

#define MESSAGE_BYTES 512
#define SHOWN_BYTES 80

static uint32_t *number_field(struct psc_options *options, const struct psc_option *option) {
    return (uint32_t *)(void *)((char *)options + option->offset);
}

static char *text_field(struct psc_options *options, const struct psc_option *option) {
    return (char *)options + option->offset;
}

void psc_option_defaults(struct psc_options *options) {
    memset(options, 0, sizeof(*options));
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        if (option->kind == PSC_OPTION_IS_TEXT) {
            memcpy(text_field(options, option), option->text, strlen(option->text) + 1);
        } else {
            *number_field(options, option) = option->initial;
        }
    }
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

const char *psc_option_initial(const struct psc_option *option, char *buffer, size_t bytes) {
    uint32_t value = option->initial;
    if (option->kind == PSC_OPTION_IS_TEXT) {
        psc_format(buffer, bytes, "%s", option->text[0] != '\0' ? option->text : "none");
    } else if (option->kind == PSC_OPTION_IS_CHOICE) {
        const char *word = option->choices;
        for (uint32_t i = 0; i < value; i++) {
            word = strchr(word, '|') + 1;
        }
        psc_format(buffer, bytes, "%s", word);
        buffer[strcspn(buffer, "|")] = '\0';
    } else if (option->unit[0] != '\0' && value % 1000 == 0 && value != 0) {
        psc_format(buffer, bytes, "%us", value / 1000);
    } else if (option->unit[0] == '\0' && value % 1024 == 0 && value != 0) {
        psc_format(buffer, bytes, "%uk", value / 1024);
    } else {
        psc_format(buffer, bytes, "%u%s", value, value == 0 ? "" : option->unit);
    }
    return buffer;
}

static void write_choices(const char *choices, char *buffer, size_t bytes) {
    size_t length = 0;
    buffer[0] = '\0';
    while (length + 1 < bytes) {
        size_t word = strcspn(choices, "|");
        size_t room = bytes - 1 - length;
        memcpy(buffer + length, choices, word < room ? word : room);
        length += word < room ? word : room;
        buffer[length] = '\0';
        if (choices[word] == '\0') {
            return;
        }
        choices += word + 1;
        length += psc_format(buffer + length, bytes - length, strchr(choices, '|') == NULL ? " or " : ", ");
    }
}

const char *psc_option_allowed(const struct psc_option *option, char *buffer, size_t bytes) {
    switch (option->kind) {
    case PSC_OPTION_IS_CHOICE: write_choices(option->choices, buffer, bytes); break;
    case PSC_OPTION_IS_NUMBER:
        if (option->unit[0] != '\0') {
            psc_format(buffer, bytes, "a time from %u to %ums, such as 500ms or 1s", option->min, option->max);
        } else {
            psc_format(buffer, bytes, "a number from %u to %u", option->min, option->max);
        }
        break;
    case PSC_OPTION_IS_TEXT: psc_format(buffer, bytes, "a text of 1 to %d bytes", PSC_OPTION_TEXT_MAX - 1); break;
    }
    return buffer;
}

/* A stranger's bytes for a message: cut, and nothing that a terminal obeys. */
static const char *shown(const char *text, char buffer[SHOWN_BYTES]) {
    size_t i = 0;
    for (; text[i] != '\0' && i < SHOWN_BYTES - 1; i++) {
        buffer[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
    }
    buffer[i] = '\0';
    return buffer;
}

static void complain(const struct hearer *hearer, const char *message) {
    if (hearer->complain != NULL) {
        hearer->complain(hearer->context, message);
    }
}

static bool complain_of_name(const struct hearer *hearer, const char *name) {
    char message[MESSAGE_BYTES];
    char printable[SHOWN_BYTES];
    size_t length =
        psc_format(message, sizeof(message), "there is no option '%s'; options are", shown(name, printable));
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        length += psc_format(message + length, sizeof(message) - length, "%s %s", option == psc_option_table ? "" : ",",
                             option->name);
    }
    complain(hearer, message);
    return false;
}

static bool complain_of_value(const struct hearer *hearer, const struct psc_option *option, const char *value) {
    char message[MESSAGE_BYTES];
    char printable[SHOWN_BYTES];
    char allowed[SHOWN_BYTES * 2];
    psc_format(message, sizeof(message), "option %s cannot be '%s'; it takes %s", option->name, shown(value, printable),
               psc_option_allowed(option, allowed, sizeof(allowed)));
    complain(hearer, message);
    return false;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool read_choice(const struct psc_option *option, const char *value, uint32_t *result) {
    size_t length = strlen(value);
    uint32_t index = 0;
    for (const char *word = option->choices;; index++) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && memcmp(word, value, length) == 0) {
            *result = index;
            return true;
        }
        if (word[word_length] == '\0') {
            return false;
        }
        word += word_length + 1;
    }
}

/* How much the suffix multiplies by; 0: no such suffix. */
static uint64_t scale_of(const char *suffix, bool is_time) {
    static const struct {
        const char *suffix;
        bool is_time;
        uint64_t scale;
    } scales[] = {
        {"ms", true, 1},       {"s", true, 1000},     {"k", false, 1 << 10}, {"K", false, 1 << 10},
        {"m", false, 1 << 20}, {"M", false, 1 << 20}, {"g", false, 1 << 30}, {"G", false, 1 << 30},
    };
    for (size_t i = 0; i < PSC_COUNT_OF(scales); i++) {
        if (scales[i].is_time == is_time && strcmp(suffix, scales[i].suffix) == 0) {
            return scales[i].scale;
        }
    }
    return suffix[0] == '\0';
}

static bool read_number(const struct psc_option *option, const char *value, uint32_t *result) {
    uint64_t number = 0;
    size_t digits = 0;
    for (; value[digits] >= '0' && value[digits] <= '9'; digits++) {
        number = number * 10 + (uint64_t)(value[digits] - '0');
        if (number > UINT32_MAX) {
            return false;
        }
    }
    uint64_t scale = scale_of(value + digits, option->unit[0] != '\0');
    number *= scale;
    if (digits == 0 || scale == 0 || number < option->min || number > option->max) {
        return false;
    }
    *result = (uint32_t)number;
    return true;
}

static bool read_text(const char *value, char *field) {
    size_t length = strlen(value);
    if (length == 0 || length >= PSC_OPTION_TEXT_MAX) {
        return false;
    }
    memcpy(field, value, length + 1);
    return true;
}

static bool read_value(struct psc_options *options, const struct psc_option *option, const char *value) {
    switch (option->kind) {
    case PSC_OPTION_IS_CHOICE: return read_choice(option, value, number_field(options, option));
    case PSC_OPTION_IS_NUMBER: return read_number(option, value, number_field(options, option));
    case PSC_OPTION_IS_TEXT: return read_text(value, text_field(options, option));
    }
    return false;
}

static bool set(struct psc_options *options, const char *name, const char *value, const struct hearer *hearer) {
    for (const struct psc_option *option = psc_option_table; option->name != NULL; option++) {
        if (strcmp(option->name, name) == 0) {
            return read_value(options, option, value) || complain_of_value(hearer, option, value);
        }
    }
    return complain_of_name(hearer, name);
}

bool psc_option_set(struct psc_options *options, const char *name, const char *value, psc_option_complain complain_to,
                    void *context) {
    struct hearer hearer = {complain_to, context};
    return set(options, name, value, &hearer);
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

/* Copies up to the comma that ends the item, without the backslashes that protect. An item that does not fit is cut
 * to a length that no text option takes. Returns what follows the item. */
static const char *take_item(const char *text, char *item, size_t bytes) {
    size_t length = 0;
    for (; *text != '\0' && *text != ','; text++) {
        if (text[0] == '\\' && (text[1] == ',' || text[1] == '\\')) {
            text++;
        }
        if (length < bytes - 1) {
            item[length++] = *text;
        }
    }
    item[length] = '\0';
    return *text == ',' ? text + 1 : text;
}

bool psc_option_parse(struct psc_options *options, const char *text, psc_option_complain complain_to, void *context) {
    struct hearer hearer = {complain_to, context};
    char item[PSC_OPTION_TEXT_MAX + 64];
    bool good = true;
    while (*text != '\0') {
        text = take_item(text, item, sizeof(item));
        if (item[0] == '\0') {
            continue;
        }
        char *equals = strchr(item, '=');
        char *value = equals == NULL ? item + strlen(item) : equals + 1;
        if (equals != NULL) {
            *equals = '\0';
        }
        good &= set(options, item, value, &hearer);
    }
    return good;
}
