#!/bin/bash
# Nothing stands at the top of the tree that the layout does not name, and every script can be run.
set -u
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
bad=0
for entry in *; do
    case $entry in
    Makefile | LICENSE | README.md | core | preload | report | tools | tests | build) ;;
    *) git check-ignore -q "$entry" 2>/dev/null || { echo "$entry does not belong at the top"; bad=1; } ;;
    esac
done
for script in tests/scripts/*.sh tests/programs/*.sh tests/long/*.sh tests/run .ci/run tools/deps.sh tools/demo/demo.sh; do
    [ -x "$script" ] || { echo "$script cannot be executed"; bad=1; }
done
exit $bad
