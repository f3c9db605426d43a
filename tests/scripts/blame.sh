#!/bin/bash
# Who pins, and whether pools of its own would help: against programs made so that both are known, and against the same
# programs with those blocks in a size class of their own.
set -u
. "$(dirname "$0")/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'

trace() { # NAME ARG...: the victim's trace, text and JSON
    local name=$1
    shift
    under "out=$scratch/$name.trace" "$VICTIMS/blame" "$@" >out 2>err || fail "blame $*: $(cat err)"
    "$BUILD/poolscope" report --format=json "$name.trace" >"$name.json" 2>err || fail "report $name: $(cat err)"
    "$BUILD/poolscope" report "$name.trace" >"$name.txt" 2>err || fail "report $name: $(cat err)"
}

for way in pin queue pair; do
    trace $way $way
    trace $way-apart $way apart
done
trace shift shift
trace fall fall

cat >facts.py <<'END'
import json, sys

wrong = 0
UNITS = ("pinned_page_bytes", "pinned_bytes", "pinned_arena_bytes", "pinned_huge_bytes")

def expect_that(what, condition, got):
    global wrong
    if not condition:
        wrong = 1
        print(f"{what}: {got}")

def load(name):
    with open(name + ".json") as stream:
        facts = json.load(stream)
    for unit in UNITS:
        whole, parts = facts["fragmentation"][unit], sum(s[unit] for s in facts["sites"])
        expect_that(f"{name}: {unit} of all sites", whole == parts, (parts, whole))
    sizes = [facts["fragmentation"][unit] for unit in UNITS[:2] + UNITS[3:]]
    expect_that(f"{name}: pages, pools, 2 MiB", sizes == sorted(sizes), sizes)
    for earlier, later in zip(facts["findings"], facts["findings"][1:]):
        if "peak" not in (earlier["kind"], later["kind"]):
            expect_that(f"{name}: order of findings", earlier["bytes"] >= later["bytes"], (earlier, later))
    return facts

def site(facts, function):
    """The one site that the function allocates at."""
    found = [s for s in facts["sites"] if s["frames"] and s["frames"][0]["function"] == function]
    expect_that(f"sites of {function}", len(found) == 1, len(found))
    return found[0]

def findings(facts, kind):
    return [f for f in facts["findings"] if f["kind"] == kind]

def in_use(facts):
    """Committed in pools with a live block: what does not go back."""
    f = facts["fragmentation"]
    return f["committed_bytes"] - f["empty_pools_bytes"] - f["cached_bytes"]

def went_back(name, saving):
    """What the program with a size class of its own for these blocks does not hold; they are larger there by 16 of 64."""
    together, apart = load(name), load(name + "-apart")
    larger = apart["fragmentation"]["live_block_bytes"] - together["fragmentation"]["live_block_bytes"]
    truth = in_use(together) - (in_use(apart) - larger)
    expect_that(f"{name}: saving", abs(saving - truth) <= truth / 10, (saving, truth))

def end():
    sys.exit(wrong)
END
export PYTHONPATH=$scratch PYTHONDONTWRITEBYTECODE=1

# -- those who pin, and would not in pools of their own
python3 - <<'END' || fail 'pin and queue'
from facts import *
for name in "pin", "queue":
    facts = load(name)
    lasting, passing = site(facts, "makes_lasting"), site(facts, "makes_passing")
    for unit in UNITS:
        whole = facts["fragmentation"][unit]
        expect_that(f"{name}: {unit} of makes_lasting", lasting[unit] >= 0.99 * whole, (lasting[unit], whole))
        expect_that(f"{name}: {unit} of makes_passing", passing[unit] == 0, passing[unit])
    expect_that(f"{name}: sole", lasting["sole_bytes"] >= 0.99 * lasting["pinned_bytes"], lasting)
    expect_that(f"{name}: sole pools", lasting["sole_pools"] >= 700, lasting["sole_pools"])
    found = findings(facts, "apart")
    expect_that(f"{name}: finding", len(found) == 1 and found[0]["site"] == lasting["id"] and
                found[0]["bytes"] == lasting["saving_bytes"] and "--apart=makes_lasting." in found[0]["text"], found)
    expect_that(f"{name}: first of all", facts["findings"][0] in found, facts["findings"])
    went_back(name, lasting["saving_bytes"])
pin = site(load("pin"), "makes_lasting")
packed = pin["pinning_bytes"]
expect_that("pin: apart", packed <= pin["apart_bytes"] <= 1.05 * packed + 8192, (pin["apart_bytes"], packed))
end()
END

# -- those who lie among their own dead
python3 - <<'END' || fail 'shift'
from facts import *
facts = load("shift")
small = site(facts, "makes_small")
pinned = facts["fragmentation"]["pinned_bytes"]
expect_that("blame of makes_small", small["pinned_bytes"] >= 0.9 * pinned, (small["pinned_bytes"], pinned))
expect_that("sole", small["sole_bytes"] >= 0.9 * small["pinned_bytes"], small)
expect_that("saving", small["saving_bytes"] <= 0.05 * small["pinned_bytes"], small["saving_bytes"])
found = findings(facts, "scattered")
expect_that("finding", [f["site"] for f in found] == [small["id"]] and "only moving" in found[0]["text"], found)
expect_that("no other", not findings(facts, "apart"), facts["findings"])
end()
END

# -- needed at the peak, pinned since
python3 - <<'END' || fail 'fall'
from facts import *
facts = load("fall")
f = facts["fragmentation"]
expect_that("at the peak", f["realised_at_peak"] < 0.5, f["realised_at_peak"])
expect_that("now", f["realised_now"] > 2, f["realised_now"])
expect_that("finding", len(findings(facts, "peak")) == 1, facts["findings"])
expect_that("no pools of its own", not findings(facts, "apart"), facts["findings"])
end()
END
grep -q 'needed at the peak' fall.txt || fail 'the text does not tell of the peak'

# -- two who should part
python3 - <<'END' || fail 'pair'
from facts import *
facts = load("pair")
lasting, some = site(facts, "makes_lasting"), site(facts, "makes_some")
pair = facts["pairs"][0]
expect_that("sites", sorted(pair["sites"]) == sorted((lasting["id"], some["id"])), pair)
long, short = (pair["lifetime_bytes"][pair["sites"].index(s["id"])] for s in (lasting, some))
expect_that("lifetimes", long > 1000 * short, (long, short))
found = findings(facts, "pair")
expect_that("finding", len(found) == 1 and found[0]["site"] == lasting["id"], found)
for option in "--apart=makes_lasting", "--apart=makes_some":
    expect_that("advice", option in found[0]["text"], found[0]["text"])
went_back("pair", pair["saving_bytes"])
end()
END

# -- nothing to find
under "out=$scratch/ends.trace" "$VICTIMS/ends" return >out 2>err
"$BUILD/poolscope" report ends.trace | grep -q 'Nothing stands out' || fail 'it is not said that nothing was found'
exit $bad
