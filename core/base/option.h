/* Reads `name=value,name=value` by the table of core/wire/options.h. No malloc, stdio or locale: the guest calls it
 * before anything else is set up. Any thread; needs about 2 KiB of stack.
 *
 * In a value a comma is written `\,` and a backslash before a comma or backslash `\\`. Numbers take k, m, g (powers of
 * 1024), times ms and s. Of an option that comes twice, the last holds. Empty items are skipped. */
#ifndef PSC_CORE_BASE_OPTION_H
#define PSC_CORE_BASE_OPTION_H

#include "core/base/compiler.h"
#include "core/wire/options.h"

enum psc_option_kind { PSC_OPTION_IS_CHOICE, PSC_OPTION_IS_NUMBER, PSC_OPTION_IS_TEXT };

struct psc_option {
    const char *name;
    enum psc_option_kind kind;
    const char *help;
    const char *choices; /* choice: "first|second"; else NULL */
    const char *text;    /* text: the initial value; else NULL */
    const char *unit;    /* number: "" or "ms"; else NULL */
    uint32_t initial;    /* number: the value; choice: its index */
    uint32_t min;
    uint32_t max;
    uint32_t offset; /* of the field in struct psc_options */
};

/* In the order of the declarations; an entry without a name ends the table. */
extern const struct psc_option psc_option_table[];

/* `message` is one line without a newline, and lives until the function returns. */
typedef void (*psc_option_complain)(void *context, const char *message);

void psc_option_defaults(struct psc_options *options);

/* Sets what `text` names in *options. What is unknown or malformed is complained of (`complain` may be NULL), leaves
 * its option as it was, and makes the result false. */
bool psc_option_parse(struct psc_options *options, const char *text, psc_option_complain complain, void *context);

/* The same for one option whose value stands as it is, without backslashes. */
bool psc_option_set(struct psc_options *options, const char *name, const char *value, psc_option_complain complain,
                    void *context);

/* The initial value as one would write it. Returns `buffer`. */
const char *psc_option_initial(const struct psc_option *option, char *buffer, size_t bytes);

/* What may stand behind the `=`, in words: "exact or off", "a number from 1 to 256". Returns `buffer`. */
const char *psc_option_allowed(const struct psc_option *option, char *buffer, size_t bytes);

#endif
