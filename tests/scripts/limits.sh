#!/bin/bash
# No memory, no disk, no rights, few system calls: the program runs on as it would without the library, and what could be
# recorded can be read.
set -u
. "$(dirname "$0")/lib"
poolscope=$BUILD/poolscope
mkdir traces
here=out=$scratch/traces

# readable WHAT: there are traces, and a report of each can be made
readable() {
    local trace found=0
    for trace in traces/*.trace; do
        [ -e "$trace" ] || continue
        found=1
        "$poolscope" report "$trace" >report.txt 2>report.err || fail "$1: report: $(cat report.err)"
    done
    [ $found -eq 1 ] || fail "$1: no trace"
}

# -- a strict filter: each system call that the manual does not list ends the process
for case in exit:mode=exact _exit:mode=sample fork:mode=exact,events=on; do
    rm -f traces/*
    same "sandbox_${case%%:*}" "${case#*:},$here" "$VICTIMS/sandbox" "${case%%:*}"
    [ "$(cat "sandbox_${case%%:*}.out")" = ok ] || fail "sandbox ($case): $(cat "sandbox_${case%%:*}.out")"
    readable "sandbox ($case)"
    [ "$(ls traces/*.trace | wc -l)" -eq 1 ] || fail "sandbox ($case): a child there has a trace: $(ls traces)"
    [ "$(stat -c %s traces/*.trace)" -lt 100000000 ] || fail "sandbox ($case): the trace keeps its first length"
done

# -- a limit on address space that the program sets itself
for mode in mode=exact,events=on mode=sample; do
    rm -f traces/*
    under "$mode,$here" "$VICTIMS/limits" as 300 >out 2>err || fail "a limit set by the program ($mode): $(head -n 5 err)"
    readable "a limit set by the program ($mode)"
done
exit $bad
