#!/bin/bash
# Turns of a process: constructors and destructors, threads, signals, libraries that come and go, fork and exec, small
# stacks, limits, descriptors. Each victim prints the same as under plain glibc, with and without recording.
set -u
. "$(dirname "$0")/lib"
mkdir traces

victims='thread_end thread_local signal_stack plugins deepbind churn handover measured forks spawns stacks'

# The victim inherits standard descriptors alone.
closing() { # CMD...
    (
        for fd in /proc/$BASHPID/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || [ "$fd" -ge 255 ] || eval "exec $fd>&-"
        done
        "$@"
    )
}

for mode in off exact; do
    options=mode=$mode,out=$scratch/traces
    for victim in $victims; do
        same "$victim" "$options" "$VICTIMS/$victim"
        [ "$(cat "$victim.out")" = ok ] || fail "$victim ($mode): $(head -c 200 "$victim.out")"
    done

    same early_alone "$options" "$VICTIMS/early"
    ALSO_PRELOAD=$VICTIMS/libearly.so under "$options" "$VICTIMS/early" >out 2>err || fail "early ($mode): $(cat err)"
    printf 'ok\natexit ok\ndestructor ok\nlate ok\n' | diff - out || fail "early ($mode): another output"

    for how in return exit _exit _Exit quick_exit abort kill segv exec; do
        same "ends_$how" "$options" "$VICTIMS/ends" $how
    done

    closing same descriptors "$options" "$VICTIMS/descriptors" || fail 'descriptors'
    [ "$(cat descriptors.out)" = ok ] || fail "descriptors ($mode)"
    closing under "$options" "$VICTIMS/descriptors" closed >out 2>err <&- || fail "stdin closed ($mode): $(cat err)"
    [ "$(cat out)" = ok ] || fail "stdin closed ($mode): $(cat out)"

    # Under limits: of address space (also where the trace has to fit in it), and of data.
    for megabytes in 50 100 400; do
        (ulimit -v $((megabytes * 1024)) && under "$options" "$VICTIMS/limits" as $megabytes >out 2>err) ||
            fail "$megabytes MiB of address space ($mode): $(head -n 5 err)"
    done
    (ulimit -d 102400 && under "$options" "$VICTIMS/limits" data 100 >out 2>err) ||
        fail "100 MiB of data ($mode): $(head -n 5 err)"
done
same sandbox mode=off "$VICTIMS/sandbox"
under "mode=off" "$VICTIMS/limits" as 300 >out 2>err || fail "a limit set by the program: $(head -n 5 err)"
exit $bad
