#!/bin/bash
# Misuse of the heap is answered by a fixed sentence, the stack that made the block where it is known, and SIGABRT; or,
# with on_error=warn, counted and ignored.
set -u
. "$(dirname "$0")/lib"
. "$ROOT/tests/scripts/lib-misuse"
mkdir traces

# ---- each wrong pointer, to each call ------------------------------------------------------------------------------

# misuse MODE CALL POINTER SENTENCE
misuse() {
    local status
    under "mode=$1,out=$scratch/traces" "$VICTIMS/misuse" "$2" "$3" >out 2>err
    status=$?
    if [ $status -ne 134 ] || ! one_of "$4"; then
        fail "$2 of $3 ($1): status $status, $(head -n 1 err) $(cat out)"
    fi
}

for mode in off exact; do
    for pointer in freed freed-elsewhere freed-large freed-large-elsewhere inside odd before inside-large odd-large \
        never stack static code null-page wild non-canonical last; do
        for call in free free-elsewhere realloc usable; do
            misuse $mode $call $pointer "${sentences[any]}"
        done
    done
done
for mode in off exact sample,interval=1k; do
    misuse $mode free freed "${sentences[FREED]}"
    misuse $mode free-elsewhere freed "${sentences[FREED]}"
    misuse $mode realloc freed-elsewhere "${sentences[STALE]}"
done

# What was recorded before is kept.
"$BUILD/poolscope" report traces >report.txt || fail 'report after SIGABRT'

# ---- ignored -------------------------------------------------------------------------------------------------------

# refused NAME CALLS: the process comes to its end, its heap is sound, and each of the calls is told, but ten at most
refused() {
    local told
    rm -rf warned
    mkdir warned
    under "on_error=warn,out=$scratch/warned" "$VICTIMS/misuses" "$1" >out 2>err </dev/null
    if [ $? -ne 0 ] || [ "$(cat out)" != harmless ]; then
        fail "$1, ignored: $(cat out) $(head -n 1 err)"
    fi
    told=$(grep -cE "^poolscope: (${sentences[any]}) \(" err)
    [ "$told" -eq $(($2 < 10 ? $2 : 10)) ] || fail "$1, ignored: $told are told, not $2"
}

# counted NAME CALLS: and its traces have counted them
counted() {
    local sum
    refused "$1" "$2"
    sum=$(for trace in warned/*.trace; do "$BUILD/poolscope" report --format=json --top=1 "$trace"; done |
        awk -F '[:,]' '/"misuse_count"/ {sum += $2} END {print sum}')
    [ "$sum" = "$2" ] || fail "$1, ignored: $sum are counted, not $2"
}

"$VICTIMS/misuses" --list >list
while read -r name sentence calls; do
    [ "$sentence" = none ] || refused "$name" "$calls"
done <list
for name in twice_2m thread_then_here at_once again_in_child realloc_freed_larger usable_freed inside_16 of_static \
    sized_larger alignment_odd; do
    counted $name 1
done

counted many_again 200
[ "$(grep -cE "^poolscope: ${sentences[FREED]} " err)" -eq 10 ] || fail 'ignored: not ten are told'
grep -qx 'poolscope: 10 times the heap was misused: what comes now is ignored without a word' err ||
    fail 'ignored: the last one is not told as such'
"$BUILD/poolscope" report warned >report.txt || fail 'report of what was ignored'
grep -q 'The program misused the heap 200 times' report.txt || fail 'the report does not tell of misuse'

under mode=off,on_error=warn "$VICTIMS/misuses" twice_small >out 2>err || fail "mode=off, ignored: $(cat out err)"
one_of "${sentences[FREED]}" || fail "mode=off, ignored: $(cat err)"
under mode=off,on_error=warn "$VICTIMS/sandbox" misuse >out 2>err || fail "in a sandbox, ignored: $(cat out err)"

# ---- the stack -----------------------------------------------------------------------------------------------------

# The site that is told is the one that the report shows: NAME made the block.
made_by() {
    local site
    rm -rf stack
    mkdir stack
    under "out=$scratch/stack" "$VICTIMS/misuses" "$1" >out 2>err </dev/null
    site=$(sed -n 's/^poolscope: the block at 0x[0-9a-f]* was made by site \([0-9]*\):$/\1/p' err)
    grep -qE "^poolscope:   #0 $VICTIMS/misuses\+0x[0-9a-f]+$" err || fail "$1: no frame: $(cat err)"
    "$BUILD/poolscope" report --format=json stack >stack.json || fail "$1: no report"
    /usr/bin/python3 - "$1" "$site" <<'END' || fail "$1: the stack is another one"
import json, sys
facts = json.load(open("stack.json"))
site = next(site for site in facts["sites"] if site["id"] == int(sys.argv[2]))
sys.exit(sys.argv[1] not in [frame["function"] for frame in site["frames"]])
END
}

for name in twice_small twice_40000 twice_2m inside_16 inside_64m two_threads realloc_freed sized_larger key_overwritten; do
    made_by $name
done
under mode=sample,out="$scratch/stack" "$VICTIMS/misuses" twice_small >out 2>err </dev/null
grep -q 'made by' err && fail 'a stack is told of a block that nobody recorded'
exit $bad
