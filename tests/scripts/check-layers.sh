#!/bin/bash
# Who may include whom. A rule: the files (extended regular expression on the path), and what they may not include.
set -u
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
bad=0

includes() { # of the files on standard input: "file:line: name"
    xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include' | sed -E 's/#[[:space:]]*include[[:space:]]*//; s/[<">]//g'
}

sources() {
    find core preload report tools tests \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | sort
}

forbid() { # files, what, except in which files, sentence
    local found
    found=$(sources | grep -E "$1" | grep -vE "${3:-^$}" | includes | grep -P ":\s*($2)\s*(/[/*].*)?$")
    if [ -n "$found" ]; then
        printf '%s:\n%s\n' "$4" "$found"
        bad=1
    fi
}

forbid '^core/base/' '(core/(heap|track)|preload|report|tools|tests)/.*' '' 'core/base includes nothing above it'
forbid '^core/base/' 'core/wire/(?!options\.h).*' '' 'core/base knows only the option table of core/wire'
forbid '^core/wire/' '(core/(heap|track|base/(?!compiler\.h))|preload|report|tools|tests).*' '' \
    'core/wire includes itself and core/base/compiler.h alone'
forbid '^core/heap/' '(core/track|preload|report|tools|tests)/.*' '' 'core/heap has never heard of the tracker'
forbid '^core/track/' '(core/heap|preload|report|tools|tests)/.*' '' 'core/track has never heard of the heap'
forbid '^preload/' '(report|tools|tests)/.*' '' 'preload knows core alone'
forbid '^report/' '(core/(heap|track|base/(?!compiler\.h))|preload|tools|tests).*' '' \
    'report shares only core/wire and core/base/compiler.h with the guest'
forbid '^tools/' '(core/(heap|track)|preload|tests)/.*' '' 'tools know report, core/wire and core/base'
forbid '^(core|preload)/' 'sys/mman\.h' '^core/base/os\.c$' 'the kernel is core/base/os.c to the rest of the guest'
forbid '^tools/[^/]*$' 'sys/mman\.h' '' 'tools map no memory'
forbid '.' '(elfutils/.*|libelf\.h|gelf\.h|dwarf\.h)' '^report/symbols[a-z_]*\.[ch]$' 'libdw belongs to report/symbols*.c'
forbid '.' 'libunwind.*' '^tests/(unit|verify)/' 'libunwind belongs to the tests of the stack walker'
forbid '.' 'n?curses.*' '^tools/top_screen\.c$' 'ncurses belongs to tools/top_screen.c'
forbid '^(core|preload)/' '(stdio|locale|iconv|wchar)\.h' '^preload/' 'the core uses no stdio'
forbid '.' '.*\.(c|cc)' '' 'no source file includes another'

# Includes of our own are written from the root.
wrong=$(sources | xargs grep -nE '^[[:space:]]*#[[:space:]]*include "' |
    grep -vE '"(core|preload|report|tools|tests)/([a-z0-9_-]+/)*[a-z0-9_-]+\.h"')
if [ -n "$wrong" ]; then
    printf 'includes are written from the root:\n%s\n' "$wrong"
    bad=1
fi
exit $bad
