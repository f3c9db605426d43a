#!/bin/bash
# The event log: replayed, it gives the live blocks and the totals that the trace has, to the last event; under limits
# and on a full disk what is missing is counted.
set -u
. "$(dirname "$0")/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'
poolscope=$BUILD/poolscope

reports() { # TRACE: into TRACE.json and TRACE.tsv
    "$poolscope" report --format=json "$1" >"$1.json" 2>err || fail "report $1: $(cat err)"
    "$poolscope" report --format=events "$1" >"$1.tsv" 2>err || fail "events of $1: $(cat err)"
}

cat >replay.py <<'END'
"""replay.py TRACE [SPARE]: where log and trace differ. SPARE: of a killed process, so many events may be in one only."""
import json, re, sys
from collections import Counter

trace, spare = sys.argv[1], int((sys.argv + ["0"])[2])
facts = json.load(open(trace + ".json"))
sampled = facts["sampling"]["mode"] == "sample"  # counts are estimates
lines = open(trace + ".tsv").read().splitlines()
assert lines[0] == "time_ns\tthread\tkind\tsize\tsite\taddress\told_address", lines[0]
told = re.fullmatch(r"# (\d+) events; lost: (\d+)", lines[-1])
assert told, lines[-1]
live, counts, unordered, lost = {}, Counter(), 0, 0
sums = {key: Counter() for key in ("alloc_count", "alloc_bytes", "free_count", "live_count", "live_bytes")}
for line in lines[1:-1]:
    time, thread, kind, size, site, address, old = line.split("\t")
    counts[kind] += 1
    if kind == "lost":
        lost += int(size)
        continue
    if kind in ("free", "realloc"):
        block = live.pop(old if kind == "realloc" else address, None)
        unordered += block is None
        if block:
            sums["free_count"][block[0]] += 1
            if kind == "free":
                assert block == (site, size), (line, block)
    if kind in ("alloc", "realloc"):
        unordered += address in live
        live[address] = (site, size)
        sums["alloc_count"][site] += 1
        sums["alloc_bytes"][site] += int(size)
for site, size in live.values():
    sums["live_count"][site] += 1
    sums["live_bytes"][site] += int(size)
wrong = []
if int(told[1]) != sum(counts.values()) - counts["lost"]:
    wrong.append(f"{told[1]} events told, {counts} there")
if int(told[2]) == 0:
    differences = 0
    for site in facts["sites"]:
        for key, by_site in sums.items():
            got = by_site[str(site["id"])]
            if key.endswith("count"):
                differences += abs(got - site[key])
            if got != site[key] and not spare and not sampled:
                wrong.append(f"site {site['id']}: {key} {got}, not {site[key]}")
    if differences > 2 * spare and not sampled:
        wrong.append(f"counts differ by {differences}")
    if unordered > spare:
        wrong.append(f"{unordered} events of blocks that were not there, or there already")
    if facts["totals"]["alloc_count"] < 100:
        wrong.append("too little to tell")
elif lost > int(told[2]):
    wrong.append(f"{lost} lost in gaps, {told[2]} in all")
print(int(told[1]), int(told[2]), counts["realloc"])
for line in wrong[:10]:
    print(f"{trace}: {line}", file=sys.stderr)
sys.exit(bool(wrong))
END
replays() { # TRACE [SPARE]: prints events, lost, reallocs
    reports "$1"
    python3 replay.py "$@" 2>err || fail "replay of $1: $(cat err)"
}

# -- threads, to the last event
for threads in 1 4; do
    under "events=on,out=$scratch/t$threads.trace" "$VICTIMS/truth" $threads 5000 >out 2>err ||
        fail "truth $threads: $(cat err)"
    [ ! -s err ] || fail "truth $threads says: $(cat err)"
    read -r events lost reallocs < <(replays t$threads.trace)
    [ "$lost" -eq 0 ] || echo "$threads threads: $lost of $events events were lost" # a slow disk may do this
    [ "$lost" -gt 0 ] || [ "$reallocs" -eq $((threads * 250 * 7)) ] || fail "$threads threads: $reallocs reallocs"
    [ "$(stat -c %a t$threads.trace.events)" = 600 ] || fail 'the log is not private'
    [ "$(stat -c %s t$threads.trace.events)" -lt 3000000 ] || fail 'the log has not been cut to its length'
    "$poolscope" report t$threads.trace | grep -q '^Event log: [0-9,]* events in ' || fail 'the summary tells of no log'
done

# -- samples alone
under "mode=sample,interval=4k,events=on,out=$scratch/sample.trace" "$VICTIMS/truth" 4 5000 >out 2>err ||
    fail "samples: $(cat err)"
read -r events lost _ < <(replays sample.trace)
[ "$events" -gt 1000 ] && [ "$events" -lt 100000 ] || fail "samples: $events events"

# -- kill -9: all but what a thread was just writing
env LD_PRELOAD="$POOLSCOPE_SO" POOLSCOPE="events=on,out=$scratch/killed.trace" "$VICTIMS/runs_on" >out 2>err &
victim=$!
for _ in $(seq 200); do
    grep -q holding out && break
    sleep 0.05
done
kill -KILL $victim
wait $victim 2>/dev/null
read -r events lost _ < <(replays killed.trace 1)
[ "$events" -gt 5000 ] || fail "kill -9: $events events"

# -- fork: each its own, and no log without a trace
mkdir tree
under "events=on,out=$scratch/tree" "$VICTIMS/family_tree" >out 2>err || fail "family_tree: $(cat err)"
[ "$(ls tree/*.events | wc -l)" -eq 3 ] || fail "fork: $(ls tree)"
for trace in tree/*.trace; do
    read -r events _ < <(replays "$trace")
    [ "${events:-0}" -ge 100 ] || fail "$trace: $events events"
done
"$poolscope" report tree >out 2>err || fail 'report of a directory with logs'

# -- exec: each program its own; the names of both files count up together
mkdir exec
touch exec/taken.trace.events
under "events=on,out=$scratch/exec/taken.trace" "$VICTIMS/ends" exec >out 2>err
[ ! -e exec/taken.trace ] || fail 'a trace was made beside the log of another'
for trace in exec/taken.2.trace exec/taken.3.trace; do
    [ "$(stat -c %s $trace.events)" -le 1048576 ] || fail "$trace.events was not cut: $(stat -c %s $trace.events) bytes"
    read -r events _ < <(replays "$trace")
    [ "${events:-0}" -ge 1000 ] || fail "$trace: $events events"
done

# -- too small: said once, and counted
under "events=on,events_limit=1,out=$scratch/small.trace" "$VICTIMS/truth" 4 20000 >out 2>err || fail "small: $(cat err)"
[ "$(grep -c '^poolscope: the event log stopped: it has reached its largest size' err)" -eq 1 ] || fail "small: $(cat err)"
read -r events lost _ < <(replays small.trace)
[ "$events" -gt 50000 ] && [ "$lost" -gt 0 ] || fail "small: $events events, $lost lost"
same_events=$(python3 -c 'import json; t = json.load(open("small.trace.json"))["totals"]; print(t["alloc_count"] + t["free_count"])')
[ $((events + lost)) -le "$same_events" ] || fail "small: $events + $lost events of $same_events"
"$poolscope" report small.trace | grep -q '^Event log: .*; lost: [0-9,]* (it has reached its largest size)' ||
    fail 'the summary does not tell what was lost'

# -- a limit on files, one on address space
(ulimit -f 4096; under "events=on,out=$scratch/limited.trace" "$VICTIMS/truth" 1 1000 >out 2>err) ||
    fail "limit on files: $(cat err)"
replays limited.trace >out
(ulimit -v 400000; under "events=on,out=$scratch/space.trace" "$VICTIMS/truth" 1 1000 >out 2>err) ||
    fail "limit on address space: $(cat err)"
replays space.trace >out

# -- a full disk: the log stops, the rest goes on
if unshare -rm bash -c 'mkdir -p disk && mount -t tmpfs -o size=600k tmpfs disk' 2>/dev/null; then
    mkdir -p disk full
    for kilobytes in 0 64 600 1000; do
        unshare -rm bash -c '
            mount -t tmpfs -o size=$((1000 + $1))k tmpfs disk && cd disk
            head -c 200000 /dev/zero >filler
            LD_PRELOAD=$2 POOLSCOPE=events=on,out=$PWD/x.trace "$3/truth" 1 40000 >../out 2>../err
            echo $? >../status
            rm -f filler
            cp --sparse=always x.trace* ../full/' - $kilobytes "$POOLSCOPE_SO" "$VICTIMS"
        [ "$(cat status)" -eq 0 ] && [ "$(wc -l <out)" -eq 4 ] || fail "full disk, $kilobytes: $(cat out err)"
        [ "$(grep -c '^poolscope: .*[Nn]o space left' err)" -ge 1 ] || fail "full disk, $kilobytes, says: $(cat err)"
        if [ -e full/x.trace.events ]; then
            reports full/x.trace
            tail -n 1 full/x.trace.tsv | grep -q '^# [0-9]* events; lost: [0-9]*' || fail "full disk, $kilobytes: no end"
        fi
        rm -f full/*
    done
else
    echo 'no tmpfs can be mounted here: full disk not tested'
fi

# -- what cannot be
under "mode=off,events=on" "$VICTIMS/truth" 1 10 >out 2>err || fail 'mode=off'
grep -q '^poolscope: events=on has no effect: ' err || fail "mode=off,events=on says: $(cat err)"
refuses() { # STATUS PATTERN ARG...
    local status=$1 pattern=$2
    shift 2
    "$poolscope" report "$@" >out 2>err
    [ $? -eq "$status" ] || fail "report $*: status"
    grep -qE "^poolscope report: .*$pattern" err || fail "report $*: $(cat err)"
}
under "out=$scratch/without.trace" "$VICTIMS/truth" 1 10 >out 2>err
refuses 1 'without.trace has no event log' --format=events without.trace
cp t1.trace.events without.trace.events
refuses 1 'another trace' --format=events without.trace
"$poolscope" report without.trace >out 2>err || fail 'the summary fails for a wrong log'
grep -q 'The event log cannot be read: It belongs to another trace' out || fail 'the summary hides a wrong log'
mkfifo fifo.trace.events
cp without.trace fifo.trace
refuses 1 'Not a regular file' --format=events fifo.trace
refuses 2 'text, json or events' --format=event t1.trace

# -- damage: it ends, and says where
for seed in $(seq 30); do
    python3 - "$seed" <<'END'
import random, sys
random.seed(int(sys.argv[1]))
data = bytearray(open("t4.trace.events", "rb").read())
for _ in range(1 + random.randrange(20)):
    at = random.randrange(len(data) // 65536) * 65536 + random.choice([random.randrange(80), random.randrange(65536)])
    data[min(at, len(data) - 1)] = random.choice([0, 1, 0x7f, 0x80, 0xff, random.randrange(256)])
del data[random.choice([len(data), random.randrange(len(data))]):]
open("bent.trace.events", "wb").write(data)
END
    cp t4.trace bent.trace
    timeout 60 "$poolscope" report --format=events bent.trace >out 2>err
    status=$?
    [ $status -le 1 ] || fail "a log damaged with seed $seed: status $status"
    [ $status -eq 0 ] || grep -q '^poolscope report: ' err || fail "a log damaged with seed $seed fails in silence"
    [ $status -eq 1 ] || tail -n 1 out | grep -q '^# ' || fail "a log damaged with seed $seed: no end"
done
exit $bad
