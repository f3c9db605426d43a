#!/bin/bash
# The malloc family and C++'s operators: each victim checks itself, and prints the same as under plain glibc.
set -u
. "$(dirname "$0")/lib"

victims='malloc calloc realloc aligned usable names made_by_libc operators operators_replaced bad_alloc'
mkdir traces

# Statistics are told on stderr in the words of whoever serves the program.
check_statistics() { # OPTIONS
    under "$1" "$VICTIMS/statistics" >out 2>err || fail "statistics ($1)"
    [ "$(cat out)" = ok ] || fail "statistics ($1): $(cat out)"
    grep -q '^poolscope: [0-9]* arenas; pools: ' err || fail "malloc_stats ($1) told: $(cat err)"
    under "$1" "$VICTIMS/statistics" xml >out.xml 2>err || fail "malloc_info ($1)"
    python3 - out.xml <<'END' || fail "malloc_info ($1) writes what is no XML"
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == "malloc", root.tag
assert any(int(c.get("pools")) > 0 for c in root.iter("class"))
END
}

for mode in off exact; do
    options=mode=$mode,out=$scratch/traces
    for victim in $victims; do
        same "$victim" "$options" "$VICTIMS/$victim"
        [ "$(cat "$victim.out")" = ok ] || fail "$victim ($mode): $(head -c 200 "$victim.out")"
    done
    check_statistics "$options"

    # Out of memory: new asks its handler and throws.
    (ulimit -v 1000000; same bad_alloc_limited "$options" "$VICTIMS/bad_alloc"
     [ "$(cat bad_alloc_limited.out)" = ok ]) || fail "bad_alloc under a limit ($mode)"

    # The program brings its own malloc.
    same own_malloc "$options" "$VICTIMS/own_malloc"
done

rm -rf traces/*
under "out=$scratch/own.trace" "$VICTIMS/own_malloc" >/dev/null
"$BUILD/poolscope" report own.trace >own.txt || fail 'report of a passive trace'
grep -q 'brings its own malloc' own.txt || fail "the report does not tell of the program's own malloc: $(cat own.txt)"
"$BUILD/poolscope" report --format=json own.trace >own.json || fail 'JSON of a passive trace'
python3 -c '
import json
facts = json.load(open("own.json"))
assert facts["process"]["passive"] is True and facts["process"]["end"] == "exit", facts["process"]
assert facts["totals"]["alloc_count"] == 0' || fail 'JSON of a passive trace'
exit $bad
