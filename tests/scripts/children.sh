#!/bin/bash
# Children of all kinds of programs whose threads allocate: all do what they do without the library, and those leave a
# trace that allocated, no others. Under a debugger's eyes, and without randomized addresses, too.
set -u
. "$(dirname "$0")/lib"
command -v jq >/dev/null || skip 'jq is not installed'
mkdir traces
chmod 711 .
chmod 777 traces # a child that becomes another user may leave its trace

# makes MODE HOW [COUNT]
makes() {
    local mode=$1 name=$2 traces found
    shift
    same "$name" "mode=$mode,out=$scratch/traces" "$VICTIMS/children" "$@"
    [ -s "$name.err" ] && fail "$name ($mode): says $(head -n 3 "$name.err")"
    traces=$(head -n 1 "$name.out")
    found=$(find traces -name '*.trace' | wc -l)
    case $mode,$traces in
    off,*) [ "$found" -eq 0 ] || fail "$name ($mode): $found traces" ;;
    *,-1) ;; # as the system allows
    *) [ "$found" -eq $((traces + 1)) ] || fail "$name ($mode): $found traces, not 1 and $traces" ;;
    esac
    if [ "$mode" != off ]; then
        "$BUILD/poolscope" report --format=json traces >facts.json 2>err || fail "$name ($mode): $(cat err)"
        jq -e '(.totals.dropped_events == 0) and (.process.stopped | not) and ((.processes_total.failed // 0) == 0)' facts.json >/dev/null ||
            fail "$name ($mode): $(jq -c '.totals, .process, .processes_total' facts.json)"
    fi
    rm -rf traces/*
}

for mode in off exact; do
    for how in storm shared spawned raw others; do
        makes $mode $how
    done
    makes $mode short 100
done
makes sample,interval=1k storm
makes exact,events=on raw

same plain_ends mode=exact,out=traces setarch -R "$VICTIMS/ends" exit
rm -rf traces/*
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
    same traced mode=exact,out=$scratch/traces strace -f -o /dev/null "$VICTIMS/children" raw
fi
exit $bad
