#!/bin/bash
# What export writes is read back by the tool that each format is for, and says the same as the report.
set -u
. "$(dirname "$0")/lib"
for tool in python3 go jeprof ms_print node jq; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
export HOME=$scratch # what tools keep between runs
program=$VICTIMS/truth
viewer=/usr/libexec/valgrind/dh_view.js

export_to() { # FORMAT TRACE OPTION...: to NAME.FORMAT
    local format=$1 trace=$2
    shift 2
    "$BUILD/poolscope" export --to="$format" "$@" "$trace" 2>said || fail "export --to=$format $trace: $(cat said)"
}

# ---- what the tools read ---------------------------------------------------------------------------------------------

# From NAME.trace: the report's facts, each export, and what the peer's tool makes of it.
export_all() { # NAME PROGRAM
    "$BUILD/poolscope" report --format=json "$1.trace" >"$1.json" || fail "report $1.trace"
    for format in pprof speedscope jemalloc massif dhat; do
        export_to $format "$1.trace" -o "$1.$format"
    done
    for value in live alloc peak pinned live-count alloc-count peak-count temporary; do
        export_to collapsed "$1.trace" --value=$value >"$1.collapsed.$value"
    done
    go tool pprof -raw "$1.pprof" >"$1.pprof.raw" 2>said || fail "pprof -raw: $(cat said)"
    for figure in inuse_space alloc_objects pinned_space; do
        go tool pprof -top -unit=B -nodefraction=0 -sample_index=$figure "$1.pprof" >"$1.pprof.$figure" 2>said ||
            fail "pprof -top: $(cat said)"
    done
    for figure in inuse_space alloc_space inuse_objects; do
        jeprof --text --show_bytes --nodefraction=0 --$figure "$2" "$1.jemalloc" >"$1.jemalloc.$figure" 2>said ||
            fail "jeprof: $(cat said)"
    done
    ms_print --threshold=0 "$1.massif" >"$1.massif.print" 2>said || fail "ms_print: $(cat said)"
    [ ! -s said ] || fail "ms_print says: $(cat said)"
    node view.js "$viewer" "$1.dhat" >"$1.dhat.view" 2>said || fail "dh_view: $(cat said)"
}

# DHAT's viewer is a page: its own code reads the file and builds the tree that it would show.
cat >view.js <<'END'
const fs = require("fs"), vm = require("vm");
const program = fs.readFileSync(process.argv[2], "utf8") + `
gData = JSON.parse(text);
gSelect = {selectedIndex: 0, childNodes: gSelectData.map(() => ({}))};
buildTree();
[gRoot._totalBytes, gRoot._totalBlocks, gRoot._atTGmaxBytes, gRoot._atTEndBytes, gRoot._atTEndBlocks];`;
const text = fs.readFileSync(process.argv[3], "utf8");
console.log(vm.runInNewContext(program, {text, document: {}, window: {}}).join(" "));
END

cat >judge.py <<'END'
import json, re, sys

name, functions = sys.argv[1], sys.argv[2:]
facts = json.load(open(name + ".json"))
rest = facts["not_sampled"]
FIELDS = {"alloc-count": "alloc_count", "alloc": "alloc_bytes", "live-count": "live_count", "live": "live_bytes",
          "pinned": "pinned_bytes", "peak-count": "peak_live_count", "peak": "peak_live_bytes",
          "temporary": "temporary_count"}

def total(value):
    return sum(s[FIELDS[value]] for s in facts["sites"]) + rest.get(FIELDS[value], 0)

def share(value, function):
    return sum(s[FIELDS[value]] for s in facts["sites"] if s["frames"] and s["frames"][0]["function"] == function)

def same(what, found, expected):
    assert found == expected, f"{name}, {what}: {found}, not {expected}"

def lines(suffix):
    return open(name + suffix).read().split("\n")

# collapsed: of each stack the last frame before the number is the innermost
for value in FIELDS:
    stacks = [line.rsplit(" ", 1) for line in lines(".collapsed." + value) if line]
    same("collapsed " + value, sum(int(n) for _, n in stacks), total(value))
    for function in functions:
        same(f"collapsed {value} of {function}",
             sum(int(n) for stack, n in stacks if stack.split(";")[-1] == function), share(value, function))

# pprof: sums of all figures, and what -top says of a function
raw = lines(".pprof.raw")
head = next(line for line in raw if line.startswith("alloc_objects/"))
same("pprof, figures", head.split(),
     ["alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes[dflt]", "pinned_space/bytes",
      "peak_objects/count", "peak_space/bytes", "temporary_objects/count"])
samples = raw[raw.index(head) + 1:raw.index("Locations")]
columns = zip(*([int(n) for n in sample.split(":")[0].split()] for sample in samples))
for value, column in zip(FIELDS, columns):
    same("pprof " + value, sum(column), total(value))
mappings = raw[raw.index("Mappings") + 1:]
assert any(re.search(r"/truth [0-9a-f]{40} \[FN\]\[FL\]\[LN\]\[IN\]$|/sampled [0-9a-f]{40} ", m) for m in mappings), mappings
for index, value in ("inuse_space", "live"), ("alloc_objects", "alloc-count"), ("pinned_space", "pinned"):
    top = [line.split() for line in lines(f".pprof.{index}")]
    for function in functions:
        flat = [row[0] for row in top if row[-1:] == [function]]
        same(f"pprof -top {index} of {function}", int(flat[0].rstrip("B")) if flat else 0, share(value, function))
assert any(line.startswith("Period: ") and int(line.split()[1]) == facts["sampling"]["interval_bytes"] for line in raw), raw[:4]

# jeprof: the total, and the first column of a function's line
for index, value in ("inuse_space", "live"), ("alloc_space", "alloc"), ("inuse_objects", "live-count"):
    text = lines(".jemalloc." + index)
    whole = next(line for line in text if line.startswith("Total: ")).split()[1]
    same("jeprof " + index, int(whole), total(value))
    for function in functions:
        flat = [row.split()[0] for row in text if row.split()[5:] == [function]]
        same(f"jeprof {index} of {function}", int(flat[0]) if flat else 0, share(value, function))

# ms_print: a table of snapshots, and behind the detailed ones their trees
printed = lines(".massif.print")
detailed = next(line for line in printed if line.startswith(" Detailed snapshots:"))
peak_number, end_number = map(int, re.search(r"\[(\d+) \(peak\), (\d+)\]", detailed).groups())
rows = {int(row[0]): [int(n.replace(",", "")) for n in row[1:]] for row in
        (line.split() for line in printed) if len(row) == 6 and all(re.fullmatch("[0-9,]+", n) for n in row)}
same("ms_print, snapshots", sorted(rows), list(range(end_number + 1)))
same("ms_print, times", [rows[n][0] for n in sorted(rows)], sorted(row[0] for row in rows.values()))
for number, value in (peak_number, "peak"), (end_number, "live"):
    same("ms_print " + value, rows[number][2], total(value))
    at = next(i for i, line in enumerate(printed) if line.split()[:1] == [str(number)] and len(line.split()) == 6)
    tree = []
    for line in printed[at + 1:]:
        if line.startswith("-----"):
            break
        tree.append(line)
    assert tree[0].endswith(f"({total(value):,}B) (heap allocation functions) malloc/new/new[], --alloc-fns, etc."), tree[0]
    for function in functions:
        expected = share(value, function)
        if expected * 100 >= total(value) and expected: # less may stand in "in N places"
            found = [re.match(r"->\S+ \(([0-9,]+)B\) 0x[0-9A-F]+: (\S+) \(", line) for line in tree]
            found = sum(int(m.group(1).replace(",", "")) for m in found if m and m.group(2) == function)
            assert abs(found - expected) * 100 < total(value), (value, function, found, expected)
same("ms_print, held at the end", rows[end_number][1], max(facts["totals"]["committed_bytes"], total("live")))

# speedscope: as its schema has it
scope = json.load(open(name + ".speedscope"))
same("speedscope, schema", scope["$schema"], "https://www.speedscope.app/file-format-schema.json")
frames = scope["shared"]["frames"]
assert all(isinstance(f["name"], str) and set(f) <= {"name", "file", "line", "col"} for f in frames), frames
assert len({json.dumps(f, sort_keys=True) for f in frames}) == len(frames), "frames twice"
titles = {"live bytes": "live", "pinned bytes": "pinned", "live bytes at the peak": "peak", "allocated bytes": "alloc"}
same("speedscope, profiles", [p["name"] for p in scope["profiles"]], list(titles))
for profile in scope["profiles"]:
    value = titles[profile["name"]]
    same("speedscope, type", (profile["type"], profile["unit"], profile["startValue"]), ("sampled", "bytes", 0))
    same("speedscope " + value, (profile["endValue"], sum(profile["weights"])), (total(value), total(value)))
    same("speedscope, stacks", len(profile["samples"]), len(profile["weights"]))
    assert all(0 <= f < len(frames) for stack in profile["samples"] for f in stack)
    for function in functions:
        same(f"speedscope {value} of {function}", sum(w for stack, w in zip(profile["samples"], profile["weights"])
             if frames[stack[-1]]["name"] == function), share(value, function))

# dhat: as its viewer wants it, and as that reads it
dhat = json.load(open(name + ".dhat"))
same("dhat, head", [dhat[k] for k in ("dhatFileVersion", "mode", "verb", "bklt", "bkacc")], [2, "heap", "Allocated", True, False])
assert set(dhat) == {"dhatFileVersion", "mode", "verb", "bklt", "bkacc", "tu", "Mtu", "tuth", "cmd", "pid", "te", "tg",
                     "pps", "ftbl"}, set(dhat)
same("dhat, end", dhat["te"], facts["totals"]["clock_bytes"])
assert 0 < dhat["tg"] <= dhat["te"] and dhat["ftbl"][0] == "[root]"
stacks = [tuple(p["fs"]) for p in dhat["pps"]]
assert len(set(stacks)) == len(stacks) and all(stacks) and all(0 < f < len(dhat["ftbl"]) for s in stacks for f in s)
for key, value in ("gb", "peak"), ("gbk", "peak-count"), ("eb", "live"), ("ebk", "live-count"):
    same("dhat " + key, sum(p[key] for p in dhat["pps"]), total(value))
for key, value, more in ("tb", "alloc", "live_bytes"), ("tbk", "alloc-count", "live_count"):
    same("dhat " + key, sum(p[key] for p in dhat["pps"]), total(value) + rest[more])
same("dhat, the viewer's root", [int(n) for n in lines(".dhat.view")[0].split()],
     [total("alloc") + rest["live_bytes"], total("alloc-count") + rest["live_count"], total("peak"), total("live"),
      total("live-count")])
for p in dhat["pps"]:
    assert p["mb"] == max(p["gb"], p["eb"]) and p["mbk"] == max(p["gbk"], p["ebk"]), p
    assert p["tl"] <= p["tbk"] * dhat["te"], p
for function in functions:
    same("dhat of " + function, sum(p["eb"] for p in dhat["pps"] if f": {function} (" in dhat["ftbl"][p["fs"][0]]),
         share("live", function))
END

under "out=exact.trace" "$program" 2 2000 >/dev/null || fail 'truth'
export_all exact "$program"
python3 judge.py exact keeps drops hands_over resizes || fail 'the exports of an exact trace'
under "mode=sample,interval=16k,seed=1,out=weighted.trace" "$VICTIMS/sampled" 50000 32 40 100000 || fail 'sampled'
export_all weighted "$VICTIMS/sampled"
python3 judge.py weighted make_small make_large || fail 'the exports of a sampled trace'

# ---- names -----------------------------------------------------------------------------------------------------------

# What leads into the allocator is left out, inlined frames are not; C++ names are whole.
under "out=names.trace" "$VICTIMS/operators" >/dev/null || fail 'operators'
export_to collapsed names.trace --value=alloc >names.collapsed
grep -q 'operator new' names.collapsed && fail "entry points of the allocator: $(grep -m 1 'operator new' names.collapsed)"
grep -q 'std::vector<int, std::allocator<int> >::resize(unsigned long, int const&);' names.collapsed || fail 'no inlined frames'

# Characters that mean something to a format, in the names of code that a program made while it ran.
under "out=jit.trace" "$VICTIMS/jit" >jit.out || fail 'jit'
map=$(grep '^/tmp/perf-' jit.out)
trap 'rm -rf "$scratch" "$map"' EXIT
cp -p "$map" map.times
sed -i 's/made at run time/a;b "c"\\d#1 \xff<e>/' "$map"
touch -r map.times "$map" # a map that was written later is not used
export_to collapsed jit.trace --value=alloc >jit.collapsed
grep -qF ';a:b "c"\d#1 \xff<e> 500000' jit.collapsed || fail "collapsed: $(cat jit.collapsed)"
export_to massif jit.trace >jit.massif
ms_print --threshold=0 jit.massif >jit.print 2>said && grep -qF ': a;b "c"\d$1 \xff<e> (in perf-' jit.print || fail "massif: $(cat jit.massif said)"
for format in speedscope dhat; do
    export_to $format jit.trace >jit.$format
    jq -e '[.. | strings | select(contains("a;b \"c\"\\d#1 "))] | length > 0' jit.$format >/dev/null || fail "$format: $(cat jit.$format)"
done
export_to pprof jit.trace >jit.pprof
go tool pprof -raw jit.pprof 2>said | grep -qF 'a;b "c"\d#1 \xff<e>' || fail "pprof: $(cat said)"

# ---- where it goes ---------------------------------------------------------------------------------------------------

refused() { # STATUS SENTENCE ARGUMENT...
    local status=$1 sentence=$2 found
    shift 2
    "$BUILD/poolscope" export "$@" >answer 2>said
    found=$?
    [ $found -eq "$status" ] || fail "export $*: status $found"
    grep -q "^poolscope export: $sentence" said || fail "export $*: $(cat said)"
}
refused 2 'say which format with --to=FORMAT' exact.trace
refused 2 '--to is pprof, .*, not svg' --to=svg exact.trace
refused 2 '--value is for collapsed and speedscope, not for pprof' --to=pprof --value=live exact.trace
refused 2 '--value is live, .*, not dead' --to=collapsed --value=dead exact.trace
refused 1 'cannot open nothing.trace: No such file or directory' --to=dhat nothing.trace
refused 1 'cannot write no/where: No such file or directory' --to=dhat -o no/where exact.trace
for format in pprof collapsed speedscope jemalloc massif dhat; do
    refused 1 'cannot write /dev/full: No space left on device' --to=$format -o /dev/full exact.trace
    "$BUILD/poolscope" export --to=$format exact.trace >/dev/full 2>said && fail "$format: a full disk goes unnoticed"
    grep -qx 'poolscope export: cannot write the standard output: No space left on device' said || fail "$format: $(cat said)"
    "$BUILD/poolscope" export --to=$format exact.trace | cmp - <(export_to $format exact.trace -o /dev/stdout) ||
        fail "$format: a pipe gets something else"
done

# A file is replaced when the new one is whole, and stays as it was when that cannot be written.
echo before >kept
(trap '' XFSZ; ulimit -f 1; refused 1 'cannot write kept: File too large' --to=dhat -o kept names.trace; exit $bad) || bad=1
[ "$(cat kept)" = before ] || fail 'a file was lost'
[ -z "$(find . -name 'kept.*')" ] || fail "left behind: $(find . -name 'kept.*')"
(umask 027 && export_to dhat exact.trace -o kept)
[ "$(stat -c %a kept)" = 640 ] && jq -e .te kept >/dev/null || fail "the new file: $(stat -c %a kept)"

# The newest run, and of several processes the largest.
mkdir runs && cd runs || exit 1
mkdir poolscope-a-1 && cp ../exact.trace poolscope-a-1/1.trace && cp ../names.trace poolscope-a-1/2.trace
"$BUILD/poolscope" export --to=collapsed >found 2>said || fail "the newest run: $(cat said)"
grep -qx 'poolscope export: 2 traces; this is of the one that held most: poolscope-a-1/1.trace' said || fail "two traces: $(cat said)"
cmp -s found ../exact.collapsed.live || fail 'of two traces, not the larger one'
cd ..
if command -v script >/dev/null; then
    script -qec "'$BUILD/poolscope' export --to=pprof exact.trace; echo status \$?" /dev/null </dev/null >terminal
    grep -q 'poolscope export: pprof is not for a terminal: write it to a file with -o FILE' terminal &&
        grep -q 'status 2' terminal || fail "on a terminal: $(tr -cd '[:print:]' <terminal)"
fi

# ---- the manual page -------------------------------------------------------------------------------------------------

mkdir page && cd page && cp ../exact.trace x.trace && cp ../exact.trace poolscope-x-1.trace || exit 1
mkdir bin && ln -s "$BUILD/poolscope" bin/poolscope
examples=0
while IFS= read -r command; do
    examples=$((examples + 1))
    PATH=$PWD/bin:$PATH bash -c "set -o pipefail; $command" >log 2>&1 </dev/null || fail "the example '$command': $(tail -n 3 log)"
done < <(sed -n '/^\.SH EXAMPLES/,/^\.SH SEE/{/^poolscope/p}' "$ROOT/report/poolscope-export.1" | sed 's/\\-/-/g; s/\\(aq/'"'"'/g')
[ $examples -ge 5 ] || fail "the manual page has $examples examples"
cd ..
exit $bad
