#!/bin/bash
# A static program of many commands (BusyBox): runs as ever, and `poolscope run` says why nothing was recorded.
set -u
. "$(dirname "$0")/lib"
needs busybox readelf
SCRIPT='for i in $(busybox seq 50); do echo $((i * 7)); done | busybox sort -rn | busybox sha256sum; exit 3'
for mode in off sample exact; do
    mkdir -p traces
    same busybox "$(mode_options $mode),out=$traces" busybox sh -c "$SCRIPT"
done
did busybox 3 '^[0-9a-f]{64} '
file=$(command -v busybox)
if readelf -l "$file" | grep -q INTERP; then
    echo 'this BusyBox is not static'
    exit $bad
fi
[ -z "$(ls traces)" ] || fail "a static program left a trace: $(ls traces)"
"$BUILD/poolscope" run -- busybox sh -c "$SCRIPT" >out 2>err
[ $? -eq 3 ] || fail 'poolscope run busybox: another status'
cmp -s out busybox.plain.out || fail 'poolscope run busybox: other output'
grep -q '^poolscope: nothing was recorded of .*busybox: it is linked statically' err || fail "it said: $(cat err)"
exit $bad
