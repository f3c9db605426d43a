/* The options of POOLSCOPE=name=value,... and of `poolscope run --name=value`: one row each.
 * The row feeds the parser, --help, the launcher's flags, the trace header and the man page.
 *
 *   PSC_OPTION_CHOICE(name, default index, "first|second|...", help)
 *   PSC_OPTION_NUMBER(name, default, min, max, unit, help)   unit: "" or "ms" (accepts s, ms)
 *   PSC_OPTION_TEXT(name, default, help)
 *
 * Declarations only: the parser is core/base/option.c.
 */
#ifndef PSC_CORE_WIRE_OPTIONS_H
#define PSC_CORE_WIRE_OPTIONS_H

#include <stdint.h>

#define PSC_OPTION_TEXT_MAX 1024

/* Values of `mode`, in the order of its choices. */
enum psc_mode { PSC_MODE_EXACT, PSC_MODE_SAMPLE, PSC_MODE_OFF };
/* Values of `on_error`. */
enum psc_on_error { PSC_ON_ERROR_ABORT, PSC_ON_ERROR_WARN };

#define PSC_OPTIONS(CHOICE, NUMBER, TEXT)                                                                              \
    CHOICE(mode, PSC_MODE_EXACT, "exact|sample|off",                                                                   \
           "record every allocation with its stack, or samples, or be the allocator alone")                            \
    NUMBER(interval, 512 << 10, 1 << 10, 1 << 30, "", "mean bytes between samples, in mode=sample")                    \
    NUMBER(seed, 0, 0, UINT32_MAX, "", "samples are drawn anew in each run if 0, else by this number")                 \
    TEXT(out, ".", "directory for traces, or a file name in which %p is the process id and %e the program")            \
    NUMBER(depth, 256, 1, 256, "", "frames kept of a stack: innermost ones, and a quarter outermost")                  \
    NUMBER(snapshots, 256, 8, 4096, "", "how many snapshots the history keeps")                                        \
    NUMBER(purge, 1000, 0, 3600000, "ms", "how long free pages stay before they go back; 0 at once")                   \
    CHOICE(events, 0, "off|on", "log every event beside the trace, for replay")                                        \
    NUMBER(events_limit, 4096, 1, 1 << 20, "", "largest size of that log, in MiB; what comes later is lost")           \
    CHOICE(on_error, PSC_ON_ERROR_ABORT, "abort|warn",                                                                 \
           "misuse of the heap, such as a second free, ends the program, or is told, counted and ignored")             \
    TEXT(apart, "",                                                                                                    \
         "pools of their own for the blocks of a function, or of TRACE:SITE; in POOLSCOPE, a file of such rules")      \
    CHOICE(secure, 0, "off|on", "the hardened heap: misuse is found that is not otherwise, for time and memory")       \
    CHOICE(verbose, 0, "off|on", "say on stderr what was set up and written")

#define PSC_OPTION_FIELD_CHOICE(name, initial, choices, help) uint32_t name;
#define PSC_OPTION_FIELD_NUMBER(name, initial, min, max, unit, help) uint32_t name;
#define PSC_OPTION_FIELD_TEXT(name, initial, help) char name[PSC_OPTION_TEXT_MAX];

struct psc_options {
    PSC_OPTIONS(PSC_OPTION_FIELD_CHOICE, PSC_OPTION_FIELD_NUMBER, PSC_OPTION_FIELD_TEXT)
};

#endif
