#!/bin/bash
# Pools of their own: what the report says that a site keeps from going back goes back when its blocks have pools of
# their own. Each experiment is two runs; committed bytes have to fall by what the first one's report predicts, within
# a tenth.
set -u
. "$(dirname "$0")/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'
command -v jq >/dev/null || skip 'jq is not installed'
unset POOLSCOPE_LIB

# run NAME ARG...: poolscope run, to NAME.trace
run() {
    local name=$1
    shift
    timeout -k 5 $SECONDS_MOST "$BUILD/poolscope" run --purge=0 --out="$scratch/$name.trace" --verbose=on "$@" \
        >"$name.out" 2>"$name.err" </dev/null || fail "$name: status $?: $(tail -n 3 "$name.out" "$name.err")"
}

json() { # NAME: NAME.trace to NAME.json
    [ -e "$1.json" ] || "$BUILD/poolscope" report --format=json "$1.trace" >"$1.json" 2>err || fail "report $1: $(cat err)"
}

# refused STATUS SENTENCE ARG...: run says so, and leaves nothing
refused() {
    local want=$1 sentence=$2 status
    shift 2
    mkdir refused && cd refused || exit 1
    "$BUILD/poolscope" run "$@" >out 2>err </dev/null
    status=$?
    [ $status -eq "$want" ] || fail "run $*: status $status, not $want"
    grep -q "^poolscope: .*$sentence" err || fail "run $*: does not say '$sentence': $(cat err)"
    [ "$(ls)" = "$(printf 'err\nout')" ] || fail "run $*: left $(ls)"
    cd .. && rm -r refused
}

groups() { # NAME NUMBERS: sites of each group
    local got
    got=$(sed -n 's/^poolscope: apart: sites in group [0-9]*: //p' "$1.err" | tr '\n' ' ')
    [ "$got" = "$2 " ] || fail "$1: groups have '$got' sites, not '$2'"
}

cat >gain.py <<'END'
"""gain.py BEFORE AFTER FUNCTION [none]: what blocks of the function's sites keep in BEFORE, and what AFTER has less."""
import json, sys

before, after = (json.load(open(name + ".json")) for name in sys.argv[1:3])
function, nothing = sys.argv[3], sys.argv[4:] == ["none"]
PAGE = 4096

def is_of(site):
    """The innermost eight return addresses; inlined calls share the address of what they were inlined into."""
    seen, last = 0, None
    for frame in site["frames"]:
        seen += frame["address"] != last
        last = frame["address"]
        if seen <= 8 and frame["function"].split("(")[0] == function:
            return True
    return False

def block_bytes(site):
    """Its blocks are all of one size."""
    each = site["live_bytes"] / site["live_count"]
    return min(c["block_bytes"] for c in before["classes"] if not c["large"] and c["block_bytes"] >= each)

sites = [s for s in before["sites"] if is_of(s) and s["live_count"] > 0]
if not sites:
    sys.exit(f"no live block is of {function}")
pinned = sum(s["pinned_bytes"] for s in sites)
live = {}
for site in sites:
    live[block_bytes(site)] = live.get(block_bytes(site), 0) + site["live_count"] * block_bytes(site)
rounding = sum(-(-used // PAGE) * PAGE - used for used in live.values())
predicted = max(0, pinned - rounding)
measured = before["totals"]["committed_bytes"] - after["totals"]["committed_bytes"]
print(f"{sys.argv[2]}: predicted {predicted}, measured {measured}")
if nothing:
    committed = before["totals"]["committed_bytes"] # of which a few per cent are ends of pools that no block fits in
    sys.exit(not (predicted <= committed * 0.05 and abs(measured) <= committed * 0.01))
sys.exit(not (predicted > 1000000 and abs(measured - predicted) <= predicted / 10))
END

gain() {
    json "$1"
    json "$2"
    python3 gain.py "$@" || fail "gain of $*"
}

# ---- one that lasts among many that pass -----------------------------------------------------------------------------

run pins -- "$VICTIMS/fragment"
run pins-function --apart=makes_lasting -- "$VICTIMS/fragment"
groups pins-function 1
gain pins pins-function makes_lasting
mv poolscope-*.apart rules.apart || fail 'no rules were written'
site=$(python3 -c '
import json
print(*[s["id"] for s in json.load(open("pins.json"))["sites"] if s["frames"][0]["function"] == "makes_lasting"])')
run pins-site "--apart=pins.trace:$site" -- "$VICTIMS/fragment"
groups pins-site 1
gain pins pins-site makes_lasting
# It comes to the same whether those that last leave, or those that pass.
run pins-passing --apart=makes_passing -- "$VICTIMS/fragment"
gain pins pins-passing makes_lasting

# told BEFORE AFTER FIGURE: committed bytes fell by what the report of BEFORE says
told() {
    json "$1"
    json "$2"
    local said fell
    said=$(jq "$3" "$1.json")
    fell=$(($(jq .totals.committed_bytes "$1.json") - $(jq .totals.committed_bytes "$2.json")))
    echo "$2: told $said, measured $fell"
    [ "$said" -gt 1000000 ] && [ $((fell * 10)) -ge $((said * 9)) ] && [ $((fell * 10)) -le $((said * 11)) ] ||
        fail "$2: the report tells $said, and $fell went back"
}
told pins pins-function '.findings[] | select(.kind == "apart") | .bytes'

# ---- three that keep pools together ----------------------------------------------------------------------------------

run trio -- "$VICTIMS/apart" trio
json trio
[ "$(jq -r '[.together.sites[] as $id | .sites[] | select(.id == $id) | .frames[0].function] | sort | join(" ")' \
    trio.json)" = 'keep_first keep_second keep_third' ] || fail "together: $(jq -c .together trio.json)"
run trio-apart --apart=keep_first --apart=keep_second --apart=keep_third -- "$VICTIMS/apart" trio
groups trio-apart '1 1 1'
told trio trio-apart .together.saving_bytes
told trio trio-apart '.findings[] | select(.kind == "together") | .bytes'
run trio-one --apart=keep_first -- "$VICTIMS/apart" trio
json trio-one
[ "$(jq .totals.committed_bytes trio-one.json)" -gt $(($(jq .totals.committed_bytes trio.json) * 9 / 10)) ] ||
    fail 'one of three that keep the same pools has given them back'

# ---- a server --------------------------------------------------------------------------------------------------------

# The function is inlined, calls others, has sites of all ways to get a block, in two threads, and frees what another
# thread made.
run server -- "$VICTIMS/apart" server
run server-apart --apart=cache_put -- "$VICTIMS/apart" server
gain server server-apart cache_put
mkdir fork fork-apart
for name in fork fork-apart; do
    rules=--apart=cache_put
    [ $name = fork ] && rules=
    "$BUILD/poolscope" run --purge=0 --out=$name $rules -- "$VICTIMS/apart" fork >out 2>err || fail "$name: $(cat out err)"
    for trace in $name/*.trace; do
        # the child is the one with the bursts of two threads
        "$BUILD/poolscope" report --format=json "$trace" | python3 -c '
import json, sys
facts = json.load(sys.stdin)
sys.exit(facts["totals"]["alloc_count"] < 100000)' && cp "$trace" $name.trace
    done
    [ -e $name.trace ] || fail "$name: no trace of the child"
done
gain fork fork-apart cache_put

# ---- in vain ---------------------------------------------------------------------------------------------------------

run shift -- "$VICTIMS/apart" shift 200000
run shift-long --apart=make_long -- "$VICTIMS/apart" shift 200000
groups shift-long 1
gain shift shift-long make_long none
# Half of the way, half of each pool is free, and pools of their own are the same pools.
run half -- "$VICTIMS/apart" shift 100000
run half-short --apart=make_short -- "$VICTIMS/apart" shift 100000
groups half-short 1
json half
json half-short
python3 - <<'END' || fail 'pools of their own have made of 100 byte blocks what they cannot'
import json, sys
before, after = (json.load(open(name + ".json"))["totals"]["committed_bytes"] for name in ("half", "half-short"))
sys.exit(abs(before - after) > before * 0.01)
END

# ---- what functions there are ----------------------------------------------------------------------------------------

run groups --apart=make_short --apart=make_long --apart=shift --apart=cache_put -- "$VICTIMS/apart" shift 10
groups groups '1 1 0 0' # those of shift are in the groups before
run library --apart=strdup -- "$VICTIMS/plugins"
grep -qE '^poolscope: apart: sites in group 1: [1-9]' library.err || fail "strdup: $(cat library.err)"
refused 125 'there is no function plugin_make in .*--apart=TRACE:FUNCTION' --apart=plugin_make -- "$VICTIMS/plugins"
run plugin --apart=library.trace:plugin_make -- "$VICTIMS/plugins"
grep -qE '^poolscope: apart: sites in group 1: [1-9]' plugin.err || fail "plugin_make: $(cat plugin.err)"
resize='std::vector<int, std::allocator<int> >::resize'
for name in check_containers "$resize" "$resize(unsigned long, int const&)"; do
    run cxx "--apart=$name" -- "$VICTIMS/operators"
    grep -qE '^poolscope: apart: sites in group 1: [1-9]' cxx.err || fail "$name: $(cat cxx.err)"
done
# The rules are in force wherever what is started goes.
mkdir tree
"$BUILD/poolscope" run --out=tree --verbose=on --apart=server-apart.trace:cache_put -- \
    sh -c "cd / && '$VICTIMS/apart' shift 10 && '$VICTIMS/apart' server" >out 2>err || fail "tree: $(cat out err)"
[ "$(grep -cE '^poolscope: apart: sites in group 1: [1-9]' err)" -eq 1 ] || fail "tree: $(cat err)"
[ "$(find tree -name '*.apart' | wc -l)" -eq 1 ] || fail "tree: $(ls tree)"
"$BUILD/poolscope" report tree >out 2>err || fail "report of a run with rules: $(cat err)"

# ---- programs run as ever --------------------------------------------------------------------------------------------

for victim in malloc calloc realloc aligned made_by_libc handover thread_end operators thread_local early; do
    plain "$VICTIMS/$victim" >plain.out 2>err </dev/null
    status=$?
    "$BUILD/poolscope" run --out=programs --apart=main -- "$VICTIMS/$victim" >out 2>err </dev/null
    [ $? -eq $status ] || fail "$victim: status with rules is not $status: $(cat err)"
    cmp -s plain.out out || fail "$victim: other output with rules"
done
for misuse in freed inside never; do
    "$BUILD/poolscope" run --out=programs --apart=main -- "$VICTIMS/misuse" free $misuse >out 2>err </dev/null
    [ $? -eq 134 ] || fail "misuse $misuse: not found with rules"
done

# ---- refused ---------------------------------------------------------------------------------------------------------

refused 125 'there is no function nowhere in ' --apart=nowhere -- "$VICTIMS/fragment"
refused 125 'has no site 999999' "--apart=../pins.trace:999999" -- "$VICTIMS/fragment"
refused 125 'there is no function nowhere in what ' "--apart=../pins.trace:nowhere" -- "$VICTIMS/fragment"
refused 125 'there is no trace in ' --apart=missing/x.trace:3 -- "$VICTIMS/fragment"
refused 125 'cannot read ../pins.json' --apart=../pins.json:3 -- "$VICTIMS/fragment"
refused 125 'takes a function' --apart= -- "$VICTIMS/fragment"
refused 125 'needs --mode=exact' --mode=sample --apart=main -- "$VICTIMS/fragment"
refused 125 'needs --mode=exact' --apart=main --mode=off -- "$VICTIMS/fragment"
refused 125 'can be given 7 times' --apart={1,2,3,4,5,6,7,8} -- "$VICTIMS/fragment"
refused 127 'No such file or directory' --apart=main -- ./neither
refused 126 'Permission denied' --apart=../pins.trace:main -- /etc/passwd

# ---- without the launcher --------------------------------------------------------------------------------------------

under "purge=0,out=$scratch/direct.trace,apart=$scratch/rules.apart" "$VICTIMS/fragment" >out 2>err || fail 'direct'
[ ! -s err ] || fail "direct: $(cat err)"
gain pins direct makes_lasting
# What the manual page shows is understood.
sed -n '/^\.nf$/,/^\.fi$/p' "$ROOT/tools/poolscope-apart.5" | sed '/^\./d; s/\\-/-/g' >shown.apart
[ "$(wc -l <shown.apart)" -gt 5 ] || fail 'poolscope-apart(5) shows no file'
under "verbose=on,out=$scratch/shown.trace,apart=$scratch/shown.apart" "$VICTIMS/fragment" >out 2>err || fail 'shown'
cp err shown.err
groups shown '0 0'
for mode in sample off; do
    under "mode=$mode,out=$scratch/$mode.trace,apart=$scratch/rules.apart" "$VICTIMS/fragment" >out 2>err || fail $mode
    [ "$(grep -c '^poolscope: apart has no effect: ' err)" -eq 1 ] || fail "$mode: $(cat err)"
done
under "out=$scratch/missing.trace,apart=$scratch/missing" "$VICTIMS/fragment" >out 2>err || fail 'missing rules'
grep -qx "poolscope: cannot read apart=$scratch/missing: no such file or directory: no site has pools of its own" err ||
    fail "missing rules: $(cat err)"
exit $bad
