#!/bin/bash
# Much of everything: events, live blocks, sites, threads, address space, allocation. The program knows its own counts, and
# the report has to say the same. LARGE_PART (1): divides the numbers, for a quick look. large.sh [NAME...]: these alone.
set -u
. "$(dirname "$0")/../scripts/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'
part=${LARGE_PART:-1}
wanted=" $* "
SECONDS_MOST=3600

# Compares the report with what the program told, and prints what it took. check.py NAME [LINE OF PYTHON...]
cat >check.py <<'END'
import json, os, sys
name = sys.argv[1]
facts = json.load(open(name + ".json"))
text = open(name + ".txt").read()
t, f, sites = facts["totals"], facts["fragmentation"], facts["sites"]
KEYS = ("alloc_count", "alloc_bytes", "live_count", "live_bytes")
bad = 0

def expect(what, holds, got=""):
    global bad
    if not holds:
        bad = 1
        print(f"{name}: not so: {what} {got}")

for line in open(name + ".tally"):
    function, *told = line.split()
    if len(told) == 4:
        mine = [s for s in sites if s["frames"] and s["frames"][0]["function"] == function]
        got = tuple(sum(s[key] for s in mine) for key in KEYS)
        expect(function, got == tuple(map(int, told)), (got, told))
for key in KEYS + ("free_count",):
    expect(key + " of all sites", sum(s[key] for s in sites) == t[key])
expect("live", t["alloc_count"] - t["free_count"] == t["live_count"])
expect("committed", f["live_requested_bytes"] + f["internal_bytes"] + f["external_bytes"] == t["committed_bytes"], (f, t))
expect("pinned", sum(s["pinned_bytes"] for s in sites) == f["pinned_bytes"])
expect("end", facts["process"]["end"] == "exit" and not facts["process"]["stopped"])
trace_kib = os.stat(name + ".trace").st_blocks // 2
for line in sys.argv[2:]:
    expect(line, eval(line))
sys.exit(bad)
END

# trial NAME OPTIONS CHECKS... -- CMD...: runs it recorded, reads the trace, compares
trial() {
    local name=$1 options=$2 checks=() status
    [ "$wanted" = '  ' ] || [[ $wanted = *" $name "* ]] || return 0
    shift 2
    while [ "$1" != -- ]; do
        checks+=("$1")
        shift
    done
    shift
    ran=$({ TIMEFORMAT='%R %U %S'; time under "out=$scratch/$name.trace$options" "$@" >$name.tally 2>$name.err; } 2>&1)
    status=$?
    if [ $status -ne 0 ]; then
        fail "$name: status $status"
        tail -n 5 $name.err
        return
    fi
    read_took=$(python3 - "$BUILD/poolscope" $name <<'END'
import os, resource, subprocess, sys, time
poolscope, name = sys.argv[1:]
start = time.monotonic()
with open(name + ".txt", "wb") as out:
    subprocess.run([poolscope, "report", name + ".trace"], stdout=out, check=True)
text = time.monotonic() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
with open(name + ".json", "wb") as out:
    subprocess.run([poolscope, "report", "--format=json", name + ".trace"], stdout=out, check=True)
print(f"text {text:.1f} s, {peak / 1024:.0f} MiB; json {time.monotonic() - start - text:.1f} s")
END
    ) || fail "$name: report"
    python3 check.py $name "${checks[@]}" || fail "$name"
    echo "$name: ran $ran s (wall, user, system), trace $(du -k $name.trace | cut -f1) KiB, read: $read_took"
    sed 's/^/    /' $name.err
    rm -f $name.trace $name.json
}

# 10^9 events; the trace stays as it is with 10^6
trial events '' 'trace_kib < 8192' 't["dropped_events"] == 0' 'len(facts["snapshots"]) <= 257' -- \
    "$VICTIMS/large" events $((500000000 / part))
trial history ',snapshots=8' 'trace_kib < 8192' '4 <= len(facts["snapshots"]) <= 9' \
    'facts["snapshots"][-1]["time_ns"] > 0.95 * facts["process"]["duration_ns"]' -- \
    "$VICTIMS/large" events $((100000000 / part))
# of a log that is full the program and the trace do not care
trial log ',events=on,events_limit=64' 't["dropped_events"] == 0' \
    'sum(os.stat(n).st_blocks for n in os.listdir(".") if n.startswith("log.trace.")) * 512 <= 65 << 20' -- \
    "$VICTIMS/large" events $((50000000 / part))
rm -f log.trace.*
trial blocks '' 't["dropped_events"] == 0' 't["live_count"] >= 1e7 / '$part -- "$VICTIMS/large" blocks $((10000000 / part))
# 10^5 sites; then more than there is room for, 2^20: what is over goes to (unknown), and is counted
trial sites '' 't["dropped_events"] == 0' 'len(sites) > 1e5 / '$part -- "$VICTIMS/many_sites" $((35000 / part)) 10
if [ "$part" -eq 1 ]; then
    trial sites_over '' 'len(sites) <= 1 << 20' 't["dropped_events"] > 0' 't["live_count"] >= 2 * 400000' \
        '"could not be recorded" in text' -- "$VICTIMS/many_sites" 400000 12
fi
trial threads '' 't["dropped_events"] == 0' -- "$VICTIMS/large" threads $((4000 / part))
trial space '' 't["dropped_events"] == 0' 't["peak_live_bytes"] >= 100 << 30' 't["peak_rss_bytes"] < 1 << 28' -- \
    "$VICTIMS/large" space 100 $((1 << 30))
# beyond 2^48 bytes of allocation; ages are told modulo 2^38, which is said
trial clock '' 't["dropped_events"] == 0' 't["alloc_bytes"] > 1 << 48' '"modulo 256 GiB" in text' -- \
    "$VICTIMS/large" clock 300000 $((1 << 30))
exit $bad
