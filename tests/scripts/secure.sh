#!/bin/bash
# secure=on: what it promises, in programs, whatever is recorded beside; and that programs are none the wiser.
set -u
. "$(dirname "$0")/lib"
mkdir traces
python3=/usr/bin/python3
[ -x $python3 ] || skip 'python3 is not installed'

behind='^poolscope: write behind the end of a block \(0x[0-9a-f]+\)$'
freed='^poolscope: write to a block that was free \(0x[0-9a-f]+\)$'
twice='^poolscope: free of a block that is free already \(0x[0-9a-f]+\)$'

# found MODE STATUS SENTENCE PLAY BYTES
found() {
    local status
    under "mode=$1,secure=on,out=$scratch/traces" "$VICTIMS/secure" "$4" "$5" >out 2>err
    status=$?
    if [ $status -ne "$2" ] || ! grep -qE "$3" err; then
        fail "$4 $5 ($1): status $status: $(head -n 1 err) $(cat out)"
    fi
}

# facts.json: parts add up, and what the victim held at its end is all there is: 200 blocks of its own, hardly others.
sound() {
    $python3 - <<'END'
import json
facts = json.load(open("facts.json"))
t, f = facts["totals"], facts["fragmentation"]
assert t["dropped_events"] == 0 and not facts["process"]["stopped"], facts["process"]
assert f["live_requested_bytes"] + f["internal_bytes"] + f["external_bytes"] == t["committed_bytes"], (f, t)
if facts["sampling"]["mode"] == "exact":
    assert sum(s["pinned_bytes"] for s in facts["sites"]) == f["pinned_bytes"], f
    assert t["alloc_count"] - t["free_count"] == t["live_count"] and 200 <= t["live_count"] < 300, t
END
}

for mode in off exact; do
    for bytes in 0 8 100 5000 50000; do
        found $mode 134 "$behind" overrun $bytes
    done
    for bytes in 65536 4194304; do # SIGSEGV: the program's own
        found $mode 139 '' overrun $bytes
        found $mode 139 '' underrun $bytes
        found $mode 139 '' use-after-free $bytes
    done
done
printf 'poolscope-apart 1\n' >rules
for mode in off exact exact,events=on sample,interval=1k "exact,apart=$scratch/rules"; do
    found "$mode" 134 "$behind" overrun 100
    found "$mode" 134 "$behind" overrun-and-grow 5000
    found "$mode" 134 "$freed" use-after-free 100
    found "$mode" 134 "$freed" use-after-free-elsewhere 100
    found "$mode" 134 "$twice" free-late 100
    for bytes in 2000 200000; do
        rm -rf traces/*
        under "mode=$mode,secure=on,out=$scratch/traces" "$VICTIMS/secure" behave $bytes >out 2>err || fail "behave: $?"
        [ "$(cat out)" = survived ] && [ ! -s err ] || fail "behave $bytes ($mode): $(head -n 1 err)"
        [ "$mode" = off ] || "$BUILD/poolscope" report --format=json traces/*.trace >facts.json || fail "$mode: report"
        [ "$mode" = off ] || sound || fail "$mode: the report of behave $bytes"
    done
done

# Without it none of this is found: or the tests above would test nothing.
for play in overrun overrun-and-grow use-after-free; do
    under mode=off "$VICTIMS/secure" $play 100 >out 2>err
    [ "$(cat out)" = survived ] || fail "secure=off finds $play: $(cat err)"
done

# The address of the first block is another one in each run, and blocks of one size lie in no order.
for run in 1 2 3; do
    under mode=off,secure=on $python3 -c '
import ctypes
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
print(*(malloc(4000) & 0xfffff for _ in range(50)))' >places.$run || fail "places: $?"
    tr ' ' '\n' <places.$run | sort -nc 2>/dev/null && fail 'places rise'
done
cmp -s places.1 places.2 && cmp -s places.2 places.3 && fail 'places are the same in each run'

PROGRAMS_OPTIONS=,secure=on "$ROOT/tests/scripts/programs.sh" perl xz || fail 'programs'
exit $bad
