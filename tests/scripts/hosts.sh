#!/bin/bash
# Hosts with threads, signals, coroutines and libraries that are hard on a guest: each victim prints the same as without the
# library, in every mode, and what was recorded of it is sound.
set -u
. "$(dirname "$0")/lib"
command -v jq >/dev/null || skip 'jq is not installed'
mkdir traces

victims='untouched coroutines cancel profiled guests late_rounds exits'

# The largest traces can be read, nothing was lost, and their parts add up.
check_traces() { # NAME
    local trace
    [ -n "$(ls traces)" ] || fail "$1: no trace"
    for trace in $(ls -s traces/*.trace | sort -rn | head -n 4 | awk '{print $2}'); do
        "$BUILD/poolscope" report --format=json "$trace" >facts.json 2>err || { fail "$1: $(cat err)"; continue; }
        jq -e '(.totals.dropped_events == 0) and (.process.stopped | not) and
            ((.sampling.mode == "sample") or (([.sites[].pinned_bytes] | add // 0) == .fragmentation.pinned_bytes)) and
            (([.sites[].alloc_count] | add // 0) == .totals.alloc_count) and
            (.fragmentation | .live_requested_bytes + .internal_bytes + .external_bytes) == .totals.committed_bytes' \
            facts.json >/dev/null || fail "$1: unsound: $(jq -c '.totals, .fragmentation, .process' facts.json)"
    done
    rm -rf traces/*
}

for how in mode=off mode=exact mode=sample,interval=4k mode=exact,events=on; do
    for victim in $victims; do
        same "$victim" "$how,out=$scratch/traces" "$VICTIMS/$victim"
        tail -n 1 "$victim.out" | grep -qx ok || fail "$victim ($how): $(tail -n 3 "$victim.out" "$victim.err")"
        [ -s "$victim.err" ] && fail "$victim ($how): says $(head -n 3 "$victim.err")"
        [ $how = mode=off ] || check_traces "$victim ($how)"
    done
done

# A handler that interrupted malloc forks: libc's own fork waits for ever then where there are threads, so that nothing is
# there to compare with.
for how in mode=off,purge=0 mode=exact,purge=0; do
    for threads in '' '2 fork'; do
        under "$how,out=$scratch/traces" "$VICTIMS/handler_forks" $threads >out 2>err ||
            fail "handler_forks $threads ($how): status $?: $(cat out err)"
        [ "$(cat out)" = ok ] || fail "handler_forks $threads ($how): $(cat out err)"
    done
    [ $how = mode=off,purge=0 ] || [ "$(ls traces | wc -l)" -eq 2 ] || fail "children of handlers left traces: $(ls traces)"
done
exit $bad
