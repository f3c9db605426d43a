#!/bin/bash
# libpoolscope.so exports what its version script lists, all of it and nothing else.
set -u
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
BUILD=${BUILD:-build/release}
[ -s "$BUILD/libpoolscope.so" ] || { echo "$BUILD/libpoolscope.so is not built"; exit 1; }

listed=$(sed -n '/global:/,/local:/s/^ *\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' preload/libpoolscope.map | sort)
exported=$(nm -D --defined-only "$BUILD/libpoolscope.so" | awk '{print $3}' | sed 's/@.*//' | sort)
[ "$(echo "$listed" | wc -l)" -gt 20 ] || { echo 'the version script lists too little to be true'; exit 1; }
diff <(echo "$listed") <(echo "$exported") && exit 0
echo '<: listed and not exported, >: exported and not listed'
exit 1
