#!/bin/bash
# The manual pages render without a warning, and tell every command and option that there is.
set -u
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
BUILD=${BUILD:-build/release}
command -v groff >/dev/null || { echo 'groff is not installed'; exit 77; }
bad=0
pages=$(find core preload report tools -name '*.[1-8]')
[ -n "$pages" ] || { echo 'there are no manual pages'; exit 1; }

for page in $pages; do
    warnings=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
    [ -z "$warnings" ] || { printf '%s\n' "$warnings"; bad=1; }
    grep -q '^\.SH NAME' "$page" || grep -q '^\.Sh NAME' "$page" || { echo "$page: no NAME"; bad=1; }
done

rendered=$(GROFF_NO_SGR=1 groff -man -Tascii -P-c tools/poolscope.1 2>/dev/null | sed 's/.\x08//g')
help=$("$BUILD/poolscope" run --help) || exit 1
while read -r option initial; do
    echo "$rendered" | grep -qF -- "--$option=" || { echo "poolscope(1) does not tell --$option"; bad=1; }
    echo "$rendered" | grep -A 12 -F -- "--$option=" | grep -qF -- "[$initial]" ||
        { echo "poolscope(1) does not tell the default [$initial] of --$option"; bad=1; }
done < <(echo "$help" | sed -n 's/^ *--\([a-z_]*\)=.*\[\(.*\)\]$/\1 \2/p')
[ "$(echo "$help" | grep -c '^ *--')" -ge 6 ] || { echo 'run --help tells no options'; bad=1; }

grep -qF "\"$("$BUILD/poolscope" --version)\"" tools/poolscope.1 || { echo 'poolscope(1) tells another version'; bad=1; }

told=$(echo "$rendered" | grep -oE -- '--[a-z_]+=' | sort -u | tr -d '=' | sed 's/^--//')
for option in $told; do
    [ "$option" = format ] || [ "$option" = name ] || echo "$help" | grep -qF -- "--$option=" ||
        { echo "poolscope(1) tells --$option, which does not exist"; bad=1; }
done
for command in $("$BUILD/poolscope" --help | sed -n 's/^  poolscope \([a-z]*\).*/\1/p'); do
    echo "$rendered" | grep -q "poolscope $command" || { echo "poolscope(1) does not tell $command"; bad=1; }
done
exit $bad
