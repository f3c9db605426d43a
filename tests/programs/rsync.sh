#!/bin/bash
# rsync between two trees, whole and by differences, and a daemon that curl and rsync read from.
set -u
. "$(dirname "$0")/lib"
needs rsync curl python3
free_port 18474
mkdir one
for i in $(seq 400); do seq $i $((i * 20 + 5)) >one/file$i; done
cat >sync.sh <<'END'
rm -rf two && mkdir two
sums() { (cd two && sha256sum *) | sha256sum; }
rsync -a --no-whole-file --checksum one/ two/ && sums
for i in $(seq 1 9 400); do echo changed >>two/file$i; rm -f two/file$((i + 1)); done
rsync -a --no-whole-file --checksum --delete -z --stats one/ two/ | grep -E '^(Number of (files|regular)|Literal|Matched)' && sums
rsync -a one/none two/ 2>/dev/null
echo $?
python3=$(command -v python3)
env -u LD_PRELOAD $python3 -m http.server -b 127.0.0.1 $port -d one >http.log 2>&1 &
server=$!
for _ in $(seq 200); do
    curl -s -o /dev/null http://127.0.0.1:$port/file1 && break
    sleep 0.05
done
curl -sS --parallel --parallel-max 8 "http://127.0.0.1:$port/file[1-200]" -o 'two/file#1' && sums
curl -sS -o /dev/null -w '%{http_code} %{size_download}\n' http://127.0.0.1:$port/none
curl -sS --resolve a.example:$port:127.0.0.1 http://a.example:$port/file7 | sha256sum
curl -sS http://127.0.0.1:1/ 2>/dev/null
echo $?
kill $server
wait $server
exit 0
END
in_modes 'off sample exact' rsync_curl bash sync.sh
did rsync_curl 0 '^Number of regular files transferred: 90$' '^404 ' '^7$'
exit $bad
