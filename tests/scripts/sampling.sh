#!/bin/bash
# Sampled runs against the truth: intervals cover it about as often as they say. Seeds are fixed, so the outcome is, too.
#
#   RUNS=1000 COUNT=4194304 INTERVAL=512k tests/scripts/sampling.sh     (with ROOT and BUILD set) says how often
set -u
. "$(dirname "$0")/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'

runs=${RUNS:-40} count=${COUNT:-262144} interval=${INTERVAL:-32k} large=64 large_bytes=${LARGE_BYTES:-65536}

sample() { # DIRECTORY SEED ARG...: the trace that holds most, as JSON
    mkdir "$1"
    under "mode=sample,interval=$interval,seed=$2,out=$1" \
        "$VICTIMS/sampled" "$count" 16 $large "$large_bytes" "${@:3}" || fail "sampled ends with $?"
    "$BUILD/poolscope" report --format=json "$1"/*.trace 2>err || fail "report: $(cat err)"
    rm -r "$1"
}

cat >judge.py <<'END'
import json, sys

runs, count, large, large_bytes = map(int, sys.argv[1:])
truth = {"make_small": count * 16, "make_large": large * large_bytes}
covered, estimated = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
for number, line in enumerate(open("children.json"), 1):
    facts = json.loads(line)
    assert facts["sampling"]["mode"] == "sample" and not facts["sampling"]["calibrated"], facts["sampling"]
    sites = {s["frames"][0]["function"]: s for s in facts["sites"] if s["frames"]}
    for name, bytes_ in truth.items():
        site = sites[name]
        covered[name] += site["live_bytes_low"] <= bytes_ <= site["live_bytes_high"]
        estimated[name] += site["live_bytes"] / bytes_
assert number == runs, f"{number} children's traces"
for name in truth:
    print(f"{name}: {covered[name]} of {runs} intervals cover the truth, estimates are {estimated[name] / runs:.4f} of "
          "it on average")
    # Of 40, fewer than 34 is as likely as 1 in 200; the estimates' mean is off by three standard deviations at most.
    assert covered[name] / runs >= (0.93 if runs >= 1000 else 0.85), name
    assert abs(estimated[name] / runs - 1) < 3 * 0.12 / runs ** 0.5, name

facts = json.load(open("parent.json"))
assert facts["sampling"]["calibrated"], facts["sampling"]
small, = (s for s in facts["sites"] if s["frames"] and s["frames"][0]["function"] == "make_small")
assert small["live_bytes_low"] <= count * 16 <= small["live_bytes_high"], small
parts = sum(s["live_bytes"] for s in facts["sites"]) + facts["not_sampled"]["live_bytes"]
assert parts == facts["totals"]["live_bytes"], (parts, facts["totals"]["live_bytes"])
assert facts["totals"]["live_count"] >= count + large, facts["totals"]
END

for seed in $(seq "$runs"); do
    sample out "$seed" child | tr -d '\n'
    echo
done >children.json
sample out 1 >parent.json
python3 judge.py "$runs" "$count" $large "$large_bytes" || fail "the estimates are not what they say"
exit $bad
