#!/bin/bash
# Calls of the kernel are refused under a whole process, one at a time: the program goes on, with its own output, or is told
# by malloc. refused.sh [all]: at each call, not at a few of them (tests/long/refused.sh).
set -u
. "$(dirname "${BASH_SOURCE[0]}")/lib"
command -v strace >/dev/null || skip 'strace is not installed'
strace -f -o /dev/null true 2>/dev/null || skip 'processes cannot be traced here'
few=3
[ "${1:-}" = all ] && few=100000
mkdir traces
program="$VICTIMS/hindered refused none"
: "${REFUSED_ERROR:=ENOMEM}"

# traced OPTIONS [INJECTION]: its calls are in calls, its output in out
traced() {
    rm -rf traces/*
    timeout -k 5 $SECONDS_MOST strace -f -qq -o calls -e trace="$watched" ${2:+-e inject="$2"} \
        -E LD_PRELOAD="$POOLSCOPE_SO" -E POOLSCOPE="$1" $program >out 2>err </dev/null
}

judge() { # STATUS WHAT
    [ "$1" -eq 0 ] && [ "$(cat out)" = ok ] || fail "$2: status $1, output '$(cat out)': $(head -n 3 err)"
    [ "$(grep -c '^poolscope: ' err)" -le 3 ] || fail "$2: says too much: $(cat err)"
    [ "$1" -le 128 ] || tail -n 5 calls
}

# In some order that has the first and the last of the calls from FIRST to LAST.
some() { # FIRST LAST
    local count=$(($2 - $1 + 1))
    [ $count -gt 0 ] || return
    if [ $count -le $few ]; then
        seq "$1" "$2"
    else
        for i in $(seq 0 $((few - 1))); do echo $(($1 + i * (count - 1) / (few - 1))); done
    fi
}

count_calls() { # NAME FILE
    grep -cE "^[0-9]+ +$1\(" "$2"
}

watched=mmap,munmap,mremap,mprotect,madvise,openat,ftruncate,fchmod,newfstatat,read,pread64,readlink,fcntl,process_madvise
tried=0
for options in mode=off "events=on,out=$scratch/traces"; do
    traced "$options"
    judge $? "nothing refused ($options)"
    cp calls all
    # The loader's own come first; it ends by unmapping its cache.
    sed '/munmap(/q' all >loaders
    for name in ${watched//,/ }; do
        first=$(($(count_calls $name loaders) + 1))
        last=$(count_calls $name all)
        for at in $(some $first "$last"); do
            traced "$options" "$name:error=$REFUSED_ERROR:when=$at"
            judge $? "$options: $name refused at call $at of $last"
            ! grep -q INJECTED calls || tried=$((tried + 1))
        done
        [ $first -le "$last" ] || continue
        traced "$options" "$name:error=$REFUSED_ERROR:when=$first+"
        judge $? "$options: $name refused from call $first of $last on"
    done
done
[ $tried -ge 20 ] || fail "no more than $tried calls were refused: the test tests nothing"
exit $bad
