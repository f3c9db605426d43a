#!/bin/bash
# Each header compiles by itself, guards itself against a second inclusion and brings no warning.
set -u
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
bad=0
warnings=$(make -pn 2>/dev/null | sed -n 's/^WARN := //p' | head -n 1)
[ -n "$warnings" ] || { echo 'the Makefile tells no WARN'; exit 1; }
while read -r header; do
    # shellcheck disable=SC2086
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
        gcc -std=gnu11 -D_GNU_SOURCE -DPSC_DEBUG=1 -I. $warnings -fsyntax-only -x c - || bad=1
    grep -qE '^#ifndef [A-Z0-9_]+_H$' "$header" || { echo "$header: no guard"; bad=1; }
done < <(find core preload report tools -name '*.h' ! -name '*_x86_64.h' ! -name '*_aarch64.h' | sort)
exit $bad
