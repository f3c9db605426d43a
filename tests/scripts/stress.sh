#!/bin/bash
# Random calls of the malloc family by several threads, which check all that they were promised, in each way to run.
# STRESS_SECONDS (24): in all, divided among the ways; rounds of a minute at most, each with another seed. STRESS_SEED:
# of the first round.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'
seconds=${STRESS_SECONDS:-24}
seed=${STRESS_SEED:-$(date +%s)}
threads=4
ways='mode=off
mode=off,purge=0
mode=off,secure=on
mode=exact
mode=exact,snapshots=8,purge=0
mode=exact,events=on,events_limit=8
mode=exact,apart=make
mode=exact,secure=on
mode=sample,interval=4k
mode=sample'

# What the report says of the round's first process, beside what the program has counted itself.
cat >check.py <<'END'
import json, sys
way, told = sys.argv[1], dict(line.split() for line in open("calls") if len(line.split()) == 2)
facts = json.load(open("facts.json"))
t, f = facts["totals"], facts["fragmentation"]
made = sum(int(told[name]) for name in "malloc calloc realloc reallocarray posix_memalign aligned_alloc memalign valloc "
           "pvalloc".split())
assert t["dropped_events"] == 0, t
assert not facts["process"]["stopped"] and facts["process"]["end"] == "exit", facts["process"]
assert f["live_requested_bytes"] + f["internal_bytes"] + f["external_bytes"] == t["committed_bytes"], (f, t)
assert sum(s["alloc_count"] for s in facts["sites"]) == t["alloc_count"], t
if way.startswith("mode=exact"):
    # Beside the calls: the threads' own blocks, and those of last_words. A resize to nothing makes none.
    assert 0.98 * made < t["alloc_count"] <= made + 8 * int(told["pthread_create"]) + 1000, (made, t)
    assert t["unrecorded_frees"] == 0, t
    assert sum(s["live_bytes"] for s in facts["sites"]) == t["live_bytes"], t
    assert sum(s["pinned_bytes"] for s in facts["sites"]) == f["pinned_bytes"], f
    assert t["live_bytes"] < 65536, t
END

# round WAY SECONDS SEED
round() {
    local options=() way=$1 status pid
    mkdir traces
    IFS=, read -r -a options <<<"$way"
    timeout -k 5 $(($2 + 120)) "$BUILD/poolscope" run "${options[@]/#/--}" --out="$scratch/traces" -- \
        "$VICTIMS/stress" "$2" $threads "$3" >out 2>err
    status=$?
    if [ $status -ne 0 ] || [ "$(cat out)" != ok ]; then
        fail "$way, seed $3: status $status"
        tail -n 20 err
    fi
    sed -n 's/^\([a-z_0-9]* [0-9]*\)$/\1/p' err >calls
    awk -v way="$way" -v seconds="$2" '{calls[$1] = $2} END {
        printf "%-36s %5d s: %12d calls, %7d threads, %5d forks, %6d refused, %6d without memory\n", way, seconds,
            calls["all"], calls["pthread_create"], calls["fork"], calls["refused"], calls["no_memory"]}' calls
    case $way in
    mode=off*) [ -z "$(ls traces)" ] || fail "$way: there are traces" ;;
    *)
        pid=$(sed -n 's/^stress: pid \([0-9]*\), seed.*/\1/p' err | head -n 1)
        timeout 120 "$BUILD/poolscope" report --format=json traces/poolscope-"$pid".trace >facts.json 2>report.err ||
            fail "$way: report: $(cat report.err)"
        python3 check.py "$way" || fail "$way, seed $3: the trace"
        ;;
    esac
    rm -rf traces
}

count=$(echo "$ways" | wc -l)
each=$((seconds / count > 0 ? seconds / count : 1))
while read -r way; do
    for ((left = each; left > 0; left -= 60)); do
        round "$way" $((left < 60 ? left : 60)) $((seed++))
    done
done <<<"$ways"
exit $bad
