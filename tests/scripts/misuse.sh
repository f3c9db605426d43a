#!/bin/bash
# Misuse of the heap is answered by a fixed sentence and SIGABRT; never by going on.
set -u
. "$(dirname "$0")/lib"
mkdir traces

freed='^poolscope: free of a block that is free already \(0x[0-9a-f]+\)$'
any='^poolscope: [a-z][a-z ]+ \(0x[0-9a-f]+\)$'

# misuse MODE CALL POINTER SENTENCE
misuse() {
    local status lines
    under "mode=$1,out=$scratch/traces" "$VICTIMS/misuse" "$2" "$3" >out 2>err
    status=$?
    if [ $status -ne 134 ] || ! grep -qE "$4" err; then
        fail "$2 of $3 ($1): status $status, $(head -n 1 err) $(cat out)"
    fi
    lines=$(grep -c '^poolscope: ' err)
    [ "$lines" -eq 1 ] || fail "$2 of $3 ($1): $lines sentences"
}

for mode in off exact sample,interval=1k; do
    for pointer in freed freed-elsewhere freed-large freed-large-elsewhere inside odd before inside-large odd-large \
        never stack static code null-page wild non-canonical last; do
        for call in free free-elsewhere realloc usable; do
            misuse $mode $call $pointer "$any"
        done
    done
    misuse $mode free freed "$freed"
    misuse $mode free-elsewhere freed "$freed"
done

# What was recorded before is kept.
"$BUILD/poolscope" report traces >report.txt || fail 'report after SIGABRT'
exit $bad
