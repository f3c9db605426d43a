#!/bin/bash
# The figures against programs that know the truth: counters, pinned bytes, what is left after SIGKILL, fork and exec.
set -u
. "$(dirname "$0")/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'

json() { # TRACE: into TRACE.json
    "$BUILD/poolscope" report --format=json "$1" >"$1.json" 2>err || fail "report $1: $(cat err)"
}

cat >facts.py <<'END'
"""What the checks below share. Each prints what is not so, and ends with status 1 if anything was not."""
import glob, json, sys

wrong = 0

def load(trace):
    with open(trace + ".json") as stream:
        return json.load(stream)

def expect(what, got, wanted):
    global wrong
    if got != wanted:
        wrong = 1
        print(f"{what}: {got}, not {wanted}")

def expect_that(what, condition, got):
    global wrong
    if not condition:
        wrong = 1
        print(f"{what}: {got}")

KEYS = ("alloc_count", "alloc_bytes", "live_count", "live_bytes")

def sites_of(facts, function):
    return [s for s in facts["sites"] if s["frames"] and s["frames"][0]["function"] == function]

def made_by(facts, function):
    """Sums over the sites whose innermost frame is the function."""
    return tuple(sum(s[key] for s in sites_of(facts, function)) for key in KEYS)

def totals(facts):
    return tuple(facts["totals"][key] for key in KEYS)

def check_parts(facts):
    """Parts add up to what they are parts of, to the byte."""
    f = facts["fragmentation"]
    expect("parts of committed", f["live_requested_bytes"] + f["internal_bytes"] + f["free_blocks_bytes"] +
           f["tail_bytes"] + f["empty_pools_bytes"] + f["cached_bytes"], facts["totals"]["committed_bytes"])
    expect("parts of external", f["free_blocks_bytes"] + f["tail_bytes"] + f["empty_pools_bytes"] + f["cached_bytes"],
           f["external_bytes"])
    expect("parts of pinned", f["free_blocks_bytes"] + f["tail_bytes"], f["pinned_bytes"])
    expect("pinned of all sites", sum(s["pinned_bytes"] for s in facts["sites"]), f["pinned_bytes"])
    expect("pinned of all classes", sum(c["pinned_bytes"] for c in facts["classes"]), f["pinned_bytes"])
    expect("live blocks of all classes", sum(c["live_blocks"] for c in facts["classes"]), facts["totals"]["live_count"])
    for key in KEYS + ("free_count",):
        expect(key + " of all sites", sum(s[key] for s in facts["sites"]), facts["totals"][key])
    expect("alloc_count of all classes", sum(c["alloc_count"] for c in facts["classes"]),
           facts["totals"]["alloc_count"])
    expect("alloc_count - free_count", facts["totals"]["alloc_count"] - facts["totals"]["free_count"],
           facts["totals"]["live_count"])

def end():
    sys.exit(wrong)
END
export PYTHONPATH=$scratch PYTHONDONTWRITEBYTECODE=1

# -- counters, to the last block: by function against its own tally, and in total against the same program doing nothing
check_counters() { # THREADS ROUNDS
    local name=t$1-$2
    under "out=$scratch/$name.trace" "$VICTIMS/truth" "$1" "$2" >"$name.tally" 2>err || fail "truth $1 $2: $(cat err)"
    under "out=$scratch/$name-idle.trace" "$VICTIMS/truth" "$1" 0 >/dev/null 2>err || fail "truth $1 0: $(cat err)"
    json "$name.trace"
    json "$name-idle.trace"
    python3 - "$name" <<'END' || fail "counters of $1 threads, $2 rounds"
import sys
from facts import *
name = sys.argv[1]
busy, idle = load(name + ".trace"), load(name + "-idle.trace")
tallies = {}
for line in open(name + ".tally"):
    function, *figures = line.split()
    tallies[function] = tuple(map(int, figures))
assert len(tallies) == 4 and all(t[0] > 0 for t in tallies.values()) and tallies["resizes"][2] > 0
for function, tally in tallies.items():
    expect(f"{function} {KEYS}", made_by(busy, function), tally)
expect(f"totals {KEYS}", tuple(a - b for a, b in zip(totals(busy), totals(idle))),
       tuple(sum(column) for column in zip(*tallies.values())))
for facts in busy, idle:
    expect("dropped_events", facts["totals"]["dropped_events"], 0)
    expect("unrecorded_frees", facts["totals"]["unrecorded_frees"], 0)
    expect("end", facts["process"]["end"], "exit")
    expect_that("peak", facts["totals"]["peak_live_bytes"] >= facts["totals"]["live_bytes"], facts["totals"])
    check_parts(facts)
end()
END
}
check_counters 1 1000
check_counters 1 40001
check_counters 4 10000

# -- pinned bytes are charged to those who pin
under "out=$scratch/fragment.trace" "$VICTIMS/fragment" >out 2>err || fail "fragment: $(cat err)"
json fragment.trace
python3 - <<'END' || fail 'fragment'
from facts import *
facts = load("fragment.trace")
pinned = facts["fragmentation"]["pinned_bytes"]
lasting = sum(s["pinned_bytes"] for s in sites_of(facts, "makes_lasting"))
expect("passing", made_by(facts, "makes_passing"), (200000, 12800000, 0, 0))
expect("lasting", made_by(facts, "makes_lasting"), (781, 781 * 64, 781, 781 * 64))
expect_that("pinned in all", pinned > 10000000, pinned)
expect_that("share of makes_lasting", lasting >= 0.99 * pinned, (lasting, pinned))
of_64 = [c for c in facts["classes"] if c["block_bytes"] == 64 and not c["large"]][0]
expect_that("pools of 64", of_64["pools"] >= 700 and of_64["live_blocks"] >= 781, of_64)
check_parts(facts)
end()
END

# -- while it runs, and after SIGKILL
env LD_PRELOAD="$POOLSCOPE_SO" POOLSCOPE="out=$scratch/killed.trace" "$VICTIMS/runs_on" >out 2>err &
victim=$!
for _ in $(seq 200); do
    grep -q holding out && break
    sleep 0.05
done
sleep 0.3
json killed.trace
mv killed.trace.json running.trace.json
kill -KILL $victim
wait $victim 2>/dev/null
json killed.trace
"$BUILD/poolscope" report killed.trace >killed.txt || fail 'summary after SIGKILL'
grep -q 'killed' killed.txt || fail 'the summary does not say that the program was killed'
python3 - <<'END' || fail 'kill -9 in mid-run'
from facts import *
running, killed = load("running.trace"), load("killed.trace")
for facts in running, killed:
    live = (5003, 5000 * 100 + (3 << 20))
    expect("holds", made_by(facts, "holds"), live + live)
    of_112 = [c for c in facts["classes"] if c["block_bytes"] == 112][0]
    expect_that("pools of 112 bytes", of_112["pools"] > 0, of_112)
    expect_that("blocks of 112 bytes", of_112["capacity_blocks"] >= of_112["live_blocks"] >= 5000, of_112)
    expect("large blocks", sum(c["live_blocks"] for c in facts["classes"] if c["large"]), 3)
    expect_that("pools", sum(c["pools"] for c in facts["classes"] if not c["large"]) > 20, "few")
    goes_on = made_by(facts, "goes_on")
    expect_that("goes_on", goes_on[0] > 1000 and goes_on[2] <= 1, goes_on)
    expect_that("live", facts["totals"]["live_bytes"] >= live[1], facts["totals"])
    expect_that("committed", facts["totals"]["committed_bytes"] >= live[1], facts["totals"])
expect("end", killed["process"]["end"], "killed")
expect_that("allocations go on", made_by(killed, "goes_on")[0] >= made_by(running, "goes_on")[0], "fewer than before")
end()
END

# -- how it ended
for how in return exit _exit _Exit quick_exit abort kill segv; do
    under "out=$scratch/end_$how.trace" "$VICTIMS/ends" $how >out 2>err
    json end_$how.trace
done
mkdir exec
under "out=$scratch/exec" "$VICTIMS/ends" exec >out 2>err
[ "$(find exec -name '*.trace' | wc -l)" -eq 2 ] || fail "exec: $(find exec -name '*.trace' | wc -l) traces, not 2"
for trace in exec/*.trace; do json "$trace"; done
python3 - <<'END' || fail 'ends'
from facts import *
for how in "return exit _exit _Exit quick_exit abort kill segv".split():
    facts = load(f"end_{how}.trace")
    expect(f"end of {how}", facts["process"]["end"], "killed" if how in ("abort", "kill", "segv") else "exit")
    expect(f"kept at {how}", made_by(facts, "keep"), (1000, 64000, 1000, 64000))
    check_parts(facts)
two = [load(name[:-5]) for name in glob.glob("exec/*.json")]
expect("ends of an exec chain", sorted(f["process"]["end"] for f in two), ["exec", "exit"])
expect("pids of an exec chain", len({f["process"]["pid"] for f in two}), 1)
expect("arguments", sorted(f["process"]["argv"][1] for f in two), ["exec", "return"])
for facts in two:
    expect("kept before and after exec", made_by(facts, "keep"), (1000, 64000, 1000, 64000))
end()
END

# -- fork: each its own, with the right counts; who does nothing leaves nothing
mkdir tree
under "out=$scratch/tree" "$VICTIMS/family_tree" >tree.told 2>err || fail "family_tree: $(cat err)"
for trace in tree/*.trace; do json "$trace"; done
"$BUILD/poolscope" report tree >tree.txt || fail 'report of a directory'
python3 - <<'END' || fail 'fork'
from facts import *
told = {int(pid): (who, int(blocks)) for who, pid, blocks in (line.split() for line in open("tree.told"))}
traces = [load(name[:-5]) for name in glob.glob("tree/*.json")]
expect("processes with a trace", sorted(f["process"]["pid"] for f in traces), sorted(told))
parent = [pid for pid, (who, _) in told.items() if who == "parent"][0]
for facts in traces:
    pid = facts["process"]["pid"]
    who, blocks = told.get(pid, ("stranger", 0))
    expect(f"end of {who}", facts["process"]["end"], "exit")
    expect(f"forked of {who}", facts["process"]["forked"], who == "child")
    made = (blocks, blocks * 200)
    expect(f"{who}'s child_makes", made_by(facts, "child_makes"), made + made if who == "child" else (0, 0, 0, 0))
    kept = (1000, 64000)
    expect(f"{who}'s parent_makes", made_by(facts, "parent_makes"), kept + kept if who == "parent" else (0, 0, 0, 0))
    if who == "child":
        expect("parent of the child", facts["process"]["ppid"], parent)
        expect_that("frees of inherited blocks", facts["totals"]["unrecorded_frees"] >= 500, facts["totals"])
end()
END
exit $bad
