#!/bin/sh
# redis.sh BUILD OUT [SAMPLES]: a redis-server with 50 MB to keep its values in, under poolscope. It is filled twice over with
# values of 150 bytes, then with values of 300 bytes, for which it drops those that were not used for longest: of SAMPLES
# keys (redis's own default is 5) that it looks at each time. Leaves OUT.trace, and prints what redis says of its memory.
set -eu
build=$(cd "$1" && pwd)
out=$2
samples=${3:-5}
socket=$PWD/$out.sock

rm -f "$out.trace"
"$build/poolscope" run --out="$out.trace" -- redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no \
    --maxmemory 50mb --maxmemory-policy allkeys-lru --maxmemory-samples "$samples" >"$out.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || :' EXIT
tries=0
until redis-cli -s "$socket" ping >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { echo "redis-server did not start: see $out.log" >&2; exit 1; }
    sleep 0.1
done

# set VALUE_BYTES COUNT. Redis's clock for what was used when has ticks of a second: what comes at once is all the same to it.
set_values() {
    for _ in 1 2 3 4 5 6; do
        redis-benchmark -s "$socket" -q -P 32 -c 8 -r 100000000 -n $(($2 / 6)) -t set -d "$1" >/dev/null
        sleep 1
    done
}
set_values 150 360000
set_values 300 84000
redis-cli -s "$socket" info memory | grep -E '^(used_memory|used_memory_rss|mem_fragmentation_ratio):'
redis-cli -s "$socket" shutdown nosave
wait $server
trap - EXIT
