#!/bin/bash
# The parts of the resident memory, against what the kernel tells in /proc/PID/smaps.
set -u
. "$(dirname "$0")/lib"
command -v jq >/dev/null || skip 'jq is not installed'

# The kernel's counters lag by up to 64 pages a thread; the last snapshot is taken after the program looked.
SLACK=$((512 * 1024))

near() { # WHAT GOT WANTED
    local off=$(($2 - $3))
    [ ${off#-} -le $SLACK ] || fail "$1: $2, and smaps has $3"
}

told() {
    awk -v key="$1" '$1 == key { print $2 }' told
}

for options in mode=exact mode=sample,interval=4k; do
    rm -f resident.trace
    under "$options,out=resident.trace" "$VICTIMS/resident" >told || fail "$options: status $?"
    "$BUILD/poolscope" report --format=json resident.trace >resident.json || fail "$options: report"
    part() { jq -r ".rss.$1" resident.json; }
    near "$options: RSS" "$(part rss_bytes)" "$(told rss)"
    near "$options: files" "$(part file_bytes)" "$(told file)"
    near "$options: large blocks never touched" "$(part absent_bytes)" "$(told absent)"
    near "$options: residue" "$(part residue_bytes)" 0
    own=$(part other_anonymous_bytes)
    [ "$own" -ge "$(told own)" ] && [ "$own" -le $(($(told own) + 8 * 1024 * 1024)) ] ||
        fail "$options: anonymous memory of the program: $own"
    jq -e '[.rss, .snapshots[].rss | select(. != null)
            | .rss_bytes - ([to_entries[] | select(.key != "rss_bytes" and .key != "absent_bytes") | .value] | add)
              + .absent_bytes] | length > 1 and all(. == 0)' resident.json >sums ||
        fail "$options: the parts do not add up: $(jq -c .rss resident.json)"
    "$BUILD/poolscope" report resident.trace | grep -q '^  = RSS ' || fail "$options: the text has no sum"
done
exit $bad
