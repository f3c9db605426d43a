#!/bin/bash
# Servers under load for a long time, recorded: memory and trace stay flat, and answers come as fast at the end as at the
# beginning. SOAK_SECONDS (1200): of redis-server; a server with threads takes a quarter of that. SOAK_OUT: a directory for
# the figures and plots. soak.sh [redis] [threads]: these alone.
set -u
. "$(dirname "$0")/../scripts/lib"
for command in python3 redis-benchmark redis-cli gnuplot; do
    command -v $command >/dev/null || skip "$command is not installed"
done
provide_redis_server
command -v redis-server >/dev/null || skip 'redis-server is not installed'
seconds=${SOAK_SECONDS:-1200}
keep=${SOAK_OUT:-$ROOT/build/long}
mkdir -p "$keep"
# shellcheck disable=SC2046
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$scratch"' EXIT

# Writes a line every two seconds while the first process lives: seconds, its RSS in KiB, those of its trace on disk, the
# RSS of the second process.
cat >watch.py <<'END'
import glob, os, sys, time
pid, trace, other, out = sys.argv[1:]
page = os.sysconf("SC_PAGE_SIZE") // 1024
start = time.monotonic()

def rss(pid):
    with open(f"/proc/{pid}/statm") as stream:
        return int(stream.read().split()[1]) * page

with open(out, "w") as csv:
    csv.write("seconds,rss_kib,trace_kib,plain_rss_kib\n")
    try:
        while True:
            disk = sum(os.stat(path).st_blocks // 2 for path in glob.glob(trace))
            csv.write(f"{time.monotonic() - start:.1f},{rss(pid)},{disk},{rss(other)}\n")
            csv.flush()
            time.sleep(2)
    except (FileNotFoundError, ProcessLookupError):
        pass
END

# By quarters of the run. The first is for getting warm.
cat >judge.py <<'END'
import csv, json, statistics, sys
name = sys.argv[1]
bad = 0

def quarters(rows, key):
    parts = [rows[len(rows) * i // 4:len(rows) * (i + 1) // 4] for i in range(4)]
    return [statistics.median(key(row) for row in part) for part in parts]

def judge(what, medians, limit, most):
    global bad
    verdict = "flat" if medians[3] <= limit else "GROWS"
    bad |= verdict != "flat"
    print(f"{name}: {what}: medians by quarter " + ", ".join(f"{m:.2f}" for m in medians) +
          f", most {most:.2f}: {verdict}")

with open(name + ".csv") as stream:
    rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
for key in "rss_kib", "trace_kib", "plain_rss_kib":
    medians = quarters(rows, lambda row: row[key])
    if key == "plain_rss_kib":
        print(f"{name}: {key}: medians by quarter {medians}")
    else:
        judge(key, medians, medians[1] * 1.05 + 1024, max(row[key] for row in rows))
with open(name + "-rounds.csv") as stream:
    rounds = list(csv.DictReader(stream))
ratios = [float(row["recorded"]) / float(row["plain"]) for row in rounds]
if len(ratios) < 12:
    print(f"{name}: {len(ratios)} rounds are too few to tell whether it slows down")
else:
    medians = quarters(ratios, float)
    judge(f"time of a round, recorded / plain ({len(ratios)} rounds)", medians, medians[1] * 1.5, max(ratios))

facts = json.load(open(name + ".json"))
t, f, snapshots = facts["totals"], facts["fragmentation"], facts["snapshots"]
duration = facts["process"]["duration_ns"]
checks = {
    "events": t["alloc_count"] > 1000 * rows[-1]["seconds"],
    "dropped": t["dropped_events"] == 0 and not facts["process"]["stopped"],
    "end": facts["process"]["end"] == "exit",
    "parts": f["live_requested_bytes"] + f["internal_bytes"] + f["external_bytes"] == t["committed_bytes"],
    "sites": sum(s["alloc_count"] for s in facts["sites"]) == t["alloc_count"],
    "pinned": sum(s["pinned_bytes"] for s in facts["sites"]) == f["pinned_bytes"],
    "history": 64 <= len(snapshots) <= 257,
    "its last": snapshots[-1]["time_ns"] > 0.98 * duration,
    # thinned evenly: no hole of more than a tenth of the run
    "its holes": all(b["time_ns"] - a["time_ns"] < duration / 10 for a, b in zip(snapshots, snapshots[1:])),
}
for what, holds in checks.items():
    if not holds:
        bad = 1
        print(f"{name}: not so: {what}")
print(f"{name}: {t['alloc_count']} allocations, {t['free_count']} frees, {len(facts['sites'])} sites, "
      f"{len(snapshots)} snapshots in {duration / 1e9:.0f} s")
sys.exit(bad)
END

# finish NAME PID: judges what was written of the server, which has ended
finish() {
    local trace
    trace=$(ls "$1"/*.trace | head -n 1)
    "$BUILD/poolscope" report --format=json "$trace" >"$1.json" 2>report.err || fail "$1: report: $(cat report.err)"
    "$BUILD/poolscope" report "$trace" >"$1.txt" 2>>report.err || fail "$1: report: $(cat report.err)"
    python3 judge.py "$1" || fail "$1"
    [ "$(grep -c '^held .* live ' "$1.top")" -ge $((seconds / 60)) ] || fail "$1: top: $(tail -n 3 "$1.top")"
    gnuplot <<END
set datafile separator ','
set terminal pngcairo size 1000,600
set output '$1.png'
set xlabel 'seconds'; set ylabel 'MiB'; set key outside bottom; set yrange [0:*]; set grid
plot '$1.csv' every ::1 using 1:(\$2/1024) with lines title 'RSS, recorded', \
    '' every ::1 using 1:(\$3/1024) with lines title 'trace on disk', \
    '' every ::1 using 1:(\$4/1024) with lines title 'RSS, without the library'
END
    cp "$1.csv" "$1-rounds.csv" "$1.png" "$1.txt" "$keep"
}

# watch NAME PID OTHER_PID
watch() {
    local watcher
    python3 watch.py "$2" "$1/*.trace" "$3" "$1.csv" &
    watcher=$!
    "$BUILD/poolscope" top --batch --delay=5 "$2" >"$1.top" 2>&1 &
    disown $watcher $!
}

timed() { # CMD...: prints how many seconds it took
    local began
    began=$(date +%s%N)
    "$@" >load.log 2>&1 || { echo "$*: $(tail -n 3 load.log)" >&2; return 1; }
    echo $((($(date +%s%N) - began) / 1000000)) | awk '{print $1 / 1000}'
}

# rounds NAME SECONDS LOAD: LOAD SERVER NUMBER is run for the recorded and the plain server in turn
rounds() {
    local until=$((SECONDS + $2)) number=0 recorded plain
    echo recorded,plain >"$1-rounds.csv"
    while [ $SECONDS -lt $until ]; do
        recorded=$(timed "$3" recorded $number) && plain=$(timed "$3" plain $number) || { fail "$1: load"; return; }
        echo "$recorded,$plain" >>"$1-rounds.csv"
        number=$((number + 1))
    done
}

# ---- redis-server ----------------------------------------------------------------------------------------------

# Sizes change from round to round; the keys are of a bounded number, and some go at random.
load_redis() { # SERVER NUMBER
    local sizes=(10 100 1000 3000)
    redis-benchmark -s "$PWD/$1.sock" -q -n 10000 -c 20 -P 4 -r 20000 -d "${sizes[$2 % 4]}" \
        -t set,get,incr,lpush,rpop,sadd,spop,hset,zadd,zpopmin || return
    redis-cli -s "$PWD/$1.sock" eval "
        for i = 1, 3000 do
            redis.call('set', 'own:' .. math.random(10000), string.rep('v', math.random(600)))
            redis.call('del', 'own:' .. math.random(10000))
        end
        return redis.call('dbsize')" 0
}

soak_redis() {
    mkdir redis
    options=(--port 0 --save '' --appendonly no --daemonize no)
    LD_PRELOAD=$POOLSCOPE_SO POOLSCOPE=out=$scratch/redis redis-server "${options[@]}" --unixsocket "$PWD/recorded.sock" \
        >redis.log 2>redis.err &
    server=$!
    redis-server "${options[@]}" --unixsocket "$PWD/plain.sock" >plain.log 2>&1 &
    other=$!
    for name in recorded plain; do
        for _ in $(seq 200); do
            redis-cli -s "$PWD/$name.sock" ping >/dev/null 2>&1 && break
            sleep 0.05
        done
    done
    watch redis $server $other
    rounds redis "$seconds" load_redis
    redis-cli -s "$PWD/recorded.sock" shutdown nosave
    wait $server || fail "redis-server: status $?"
    grep '^poolscope: ' redis.err && fail 'redis-server: the library said something'
    kill $other
    finish redis
}

# ---- a server with a thread for each connection ------------------------------------------------------------------

cat >server.py <<'END'
import http.server, json, random, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        count = int(self.path[1:])
        rows = [{"number": i, "text": str(i) * random.randrange(1, 30), "list": list(range(i % 20))} for i in range(count)]
        random.shuffle(rows)
        body = json.dumps(json.loads(json.dumps(rows))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(sys.argv[1], "w") as out:
    out.write(f"{server.server_port}\n")
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
END
cat >client.py <<'END'
import random, sys, threading, urllib.request
port, seed = sys.argv[1:]

def ask(number):
    draw = random.Random(f"{seed} {number}")
    for _ in range(4):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{draw.randrange(300)}", timeout=60) as answer:
            assert answer.status == 200 and answer.read()[:1] == b"["

threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
END

load_threads() { # SERVER NUMBER
    python3 client.py "$(cat "$1.port")" "$2"
}

soak_threads() {
    mkdir threads
    python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))') # not a launcher script
    export PYTHONMALLOC=malloc
    (trap - INT; exec env LD_PRELOAD="$POOLSCOPE_SO" POOLSCOPE="out=$scratch/threads,depth=32" \
        "$python" -c 'import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv[:] = sys.argv[1:]
exec(open("server.py").read())' server.py recorded.port) 2>threads.err &
    server=$!
    "$python" server.py plain.port 2>/dev/null &
    other=$!
    unset PYTHONMALLOC
    for _ in $(seq 200); do
        [ -s recorded.port ] && [ -s plain.port ] && break
        sleep 0.05
    done
    watch threads $server $other
    rounds threads $((seconds / 4)) load_threads
    kill -INT $server
    wait $server || fail "server with threads: status $?"
    grep '^poolscope: ' threads.err && fail 'server with threads: the library said something'
    kill $other
    finish threads
}

for which in ${*:-redis threads}; do
    soak_$which
done
exit $bad
