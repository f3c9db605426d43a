#!/bin/bash
# Every source file compiles with clang too, without a warning.
set -u
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
command -v clang >/dev/null || { echo 'clang is not installed'; exit 77; }
warnings=$(make -pn 2>/dev/null | sed -n 's/^WARN := //p' | head -n 1)
[ -n "$warnings" ] || { echo 'the Makefile tells no WARN'; exit 1; }
export warnings
find core preload report tools tests/unit tests/fuzz tests/verify -name '*.c' ! -path '*/bench/*' -print0 |
    xargs -0 -r -n 1 -P "$(nproc)" bash -c 'clang -std=gnu11 -D_GNU_SOURCE -DPSC_DEBUG=1 -DPSC_VERSION="\"0\"" -I. \
        $warnings -fsyntax-only "$0" || exit 1'
