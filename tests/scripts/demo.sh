#!/bin/bash
# make demo's second half: the summary names the program, the page and its plots are there.
set -u
root=$(cd "${ROOT:-$(dirname "$0")/../..}" && pwd)
BUILD=${BUILD:-$root/build/release}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$root" || exit 1
fail() {
    echo "FAILED: $*"
    exit 1
}

tools/demo/demo.sh "$BUILD" "$scratch/demo" >"$scratch/out" 2>"$scratch/err" || {
    cat "$scratch/out" "$scratch/err"
    fail 'demo.sh'
}
cat "$scratch/out" "$scratch/err"
[ "$(tail -n 1 "$scratch/out")" = "The page with the plots: $scratch/demo/report/index.html" ] || fail 'no closing line'
grep -q 'poolscope: 1 trace in' "$scratch/err" || fail 'not one trace'
[ "$(grep -c '^day [0-2], evening' "$scratch/out")" -eq 3 ] || fail 'the program did not run to its end'
grep -qi 'pinned' "$scratch/demo/summary.txt" || fail 'the summary tells nothing of pinned bytes'
[ "$(find "$scratch/demo/report" -name '*.svg' -size +1k | wc -l)" -ge 4 ] ||
    [ "$(grep -c '<svg' "$scratch/demo/report/index.html")" -ge 4 ] || fail 'fewer than four plots'
