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
rm -f traces/*
under "events=on,$here" "$VICTIMS/limits" as 300 >out 2>err || fail "a limit set by the program: $(head -n 5 err)"
readable 'a limit set by the program'

# -- hindered HOW FILE: while it runs, and then a child of it
for how in file_size no_descriptors mappings; do
    rm -rf traces/*
    same "hindered_$how" "events=on,$here" "$VICTIMS/hindered" $how none
    readable "hindered $how"
done
if [ "$(id -u)" -eq 0 ]; then
    mkdir root
    for how in root user; do
        rm -rf traces/*
        same "hindered_$how" "events=on,$here" "$VICTIMS/hindered" $how root
        readable "hindered $how"
    done
fi
mkdir place
under "events=on,out=$scratch/place" "$VICTIMS/hindered" removed place >out 2>err || fail "a directory removed: $(cat err)"
[ -s err ] && fail "a directory removed: told $(cat err)"
rm -rf traces && mv moved traces
readable 'a directory removed'

# -- the program's own file on each of our descriptors, and on stderr's, when recording stops for want of room
for how in descriptors closed; do
    rm -rf traces/* file
    (ulimit -f 400; under "events=on,$here" "$VICTIMS/hindered" $how file >out 2>err) || fail "hindered $how: $(cat err)"
    [ "$(cat file)" = own ] || fail "hindered $how: the program's file has $(head -c 200 file)"
    readable "hindered $how"
    grep -q 'Recording stopped' report.txt || fail "hindered $how: recording did not stop: the test tests nothing"
done

# -- stderr is a pipe that nobody reads: what is said there must not end the program
rm -rf traces/*
(ulimit -f 400
 { under "$here" "$VICTIMS/hindered" none none >out; echo $? >status; } 2> >(exec true))
[ "$(cat status)" = 0 ] || fail "stderr that nobody reads: status $(cat status)"
readable 'stderr that nobody reads'
grep -q 'Recording stopped' report.txt || fail 'stderr that nobody reads: there was nothing to say: the test tests nothing'
exit $bad
