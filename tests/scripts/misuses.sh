#!/bin/bash
# Programs that misuse the heap (tests/victims/misuses.c), each in a process of its own: no block gets a second owner, each
# wrong pointer and size is answered by its sentence, and more of them are caught than by the C library.
set -u
. "$(dirname "$0")/lib"
. "$ROOT/tests/scripts/lib-misuse"
mkdir traces

"$VICTIMS/misuses" --list >list

# judged NAME SENTENCE MODE: of a write nothing is promised but that no block gets a second owner by it
judged() {
    local status
    under "mode=$3,out=$scratch/traces" "$VICTIMS/misuses" "$1" >out 2>err </dev/null
    status=$?
    if [ "$2" = none ]; then
        [ $status -eq 0 ] || fail "$1 ($3): status $status, $(head -n 1 err) $(cat out)"
    elif [ $status -ne 134 ] || ! one_of "${sentences[$2]}"; then
        fail "$1 ($3): status $status, not '${sentences[$2]}': $(head -n 1 err) $(cat out)"
    else
        caught=$((caught + 1))
    fi
}

plain_caught=0
while read -r name sentence calls; do
    plain "$VICTIMS/misuses" "$name" >out 2>err </dev/null
    [ $? -eq 134 ] && plain_caught=$((plain_caught + 1))
done <list
for mode in off exact sample,interval=1k; do
    caught=0
    while read -r name sentence calls; do
        judged "$name" "$sentence" $mode
    done <list
    echo "$mode: $caught caught of $(wc -l <list); the C library catches $plain_caught"
    [ $caught -gt $plain_caught ] || fail "$mode: $caught caught, and by the C library $plain_caught"
done
exit $bad
