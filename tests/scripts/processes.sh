#!/bin/bash
# Many processes of one run: parents and children by fork and exec, what all hold together, and those that cannot be read
# or still run.
set -u
. "$(dirname "$0")/lib"
command -v jq >/dev/null || skip 'jq is not installed'
poolscope=$BUILD/poolscope

is() { # WANT FILTER: of the JSON in out
    local got
    got=$(jq -c "$2" <out) || fail "no JSON: $2"
    [ "$got" = "$1" ] || fail "$2 is $got, not $1"
}
reports() { # STATUS ARG...
    local want=$1 status
    shift
    timeout -k 1 60 "$poolscope" report "$@" >out 2>err
    status=$?
    [ $status -eq "$want" ] || fail "report $*: status $status, not $want: $(cat err)"
}

# -- a shell that becomes another one by exec, which starts twelve programs, and one that forks
mkdir run
cat >second.sh <<END
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do /bin/ls / >/dev/null; done
"$VICTIMS/family_tree" >family
"$VICTIMS/fragment" >/dev/null
:
END
under "out=$scratch/run" sh -c 'x=1; exec sh second.sh' >log 2>&1 || fail "the run: $(cat log)"
reports 0 --format=json run
is '[18,0,0]' '.processes_total | [.count, .failed, .running]'
[ "$(ls run | wc -l)" -eq 18 ] || fail "$(ls run | wc -l) traces, not 18"
is '["exec","exit"]' '[.processes[0,1].end]'
is '[null,0,true]' '[.processes[0,1].parent, .processes[0].pid == .processes[1].pid]'
is '[12,true]' '[.processes[] | select(.exe | endswith("/ls")) | .parent] | [length, all(. == 1)]'
parent=$(sed -n 's/^parent \([0-9]*\) .*/\1/p' family)
is '[2,true]' ".processes as \$all | [\$all[] | select(.parent != null and \$all[.parent].pid == $parent)]
    | [length, all(.exe | endswith(\"/family_tree\"))]"
is true '.processes_total.live_bytes == ([.processes[].live_bytes] | add)'
is true '.processes_total.committed_bytes == ([.processes[].committed_bytes] | add)'
is true '.processes_total.pinned_bytes == ([.processes[].pinned_bytes] | add)'
is '["fragment",true]' '.process.pid as $pid | .processes_total as $all | .processes[$all.most_held]
    | [(.exe | sub(".*/"; "")), .pid == $pid and $all.most_held == $all.most_pinned]'
# one after the other: never all at once, and never less than the largest
is true '.processes_total.peak_committed_bytes as $all | [.processes[].peak_committed_bytes] | max < $all and add > $all'
trace=$(jq -r '.processes[2].trace' <out)
[ -s "$trace" ] || fail "no trace at '$trace'"

reports 0 run
[ "$(head -n 1 out)" = '18 processes' ] || fail "the text begins: $(head -n 1 out)"
grep -qE '^       all +[0-9,]+ ' out || fail "no line of all: $(cat out)"
grep -qE '^The one that held most, and pins most: run/.*\.trace$' out || fail "the largest is not named: $(cat out)"
grep -qE "^ +[0-9]+     ls " out || fail "programs do not stand below the shell that exec made: $(cat out)"
reports 0 --top=1 run
grep -qE '^  \.\.\. and 15 more that held ' out || fail "the others are not counted: $(cat out)"

# -- some cannot be read, one runs
LD_PRELOAD=$POOLSCOPE_SO POOLSCOPE=out=$scratch/run "$VICTIMS/runs_on" >running.log 2>&1 &
guest=$!
trap 'kill $guest 2>/dev/null; rm -rf "$scratch"' EXIT
for _ in $(seq 100); do
    [ -s running.log ] && break
    sleep 0.1
done
echo junk >run/junk.trace
reports 1 --format=json run
kill $guest 2>/dev/null
is '[19,1,1]' '.processes_total | [.count, .failed, .running]'
is '["running"]' '[.processes[] | select(.end == "running") | .end]'
grep -qE '^poolscope report: cannot open run/junk.trace: Not a trace' err || fail "junk is not named: $(cat err)"
wait $guest 2>/dev/null
reports 1 run
[ "$(head -n 1 out)" = '19 processes; 1 more trace could not be read' ] || fail "the text begins: $(head -n 1 out)"

# -- processes that were killed while their traces began
rm run/junk.trace
truncate -s 4G run/begun.trace
: >run/opened.trace
reports 0 run
[ "$(head -n 1 out)" = '19 processes' ] || fail "traces without contents are counted: $(head -n 1 out)"
grep -qE '^poolscope report: left out of run: 2 without contents' err || fail "nothing is said of them: $(cat err)"
exit $bad
