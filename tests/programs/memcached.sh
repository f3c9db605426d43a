#!/bin/bash
# memcached: four threads, many connections at once, and eviction.
set -u
. "$(dirname "$0")/lib"
needs memcached python3
cat >clients.py <<'END'
import hashlib, os, socket, sys, threading
path = sys.argv[1]
results = [None] * 6
def client(number):
    total = hashlib.sha256()
    for turn in range(10):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        stream = connection.makefile("rwb")
        for i in range(200):
            key, value = b"%d-%d-%d" % (number, turn, i), bytes([65 + i % 26]) * (i * 37 % 9000)
            stream.write(b"set %s 0 0 %d\r\n%s\r\nget %s\r\n" % (key, len(value), value, key))
            stream.flush()
            assert stream.readline() == b"STORED\r\n"
            assert stream.readline() == b"VALUE %s 0 %d\r\n" % (key, len(value))
            assert stream.read(len(value) + 2) == value + b"\r\n"
            assert stream.readline() == b"END\r\n"
            total.update(value)
        connection.close()
    results[number] = total.hexdigest()
threads = [threading.Thread(target=client, args=(i,)) for i in range(len(results))]
for t in threads: t.start()
for t in threads: t.join()
print(results)
END
cat >serve.sh <<'END'
memcached -s "$PWD/cache.sock" -m 16 -t 4 -n 100 -f 1.2 $([ "$(id -u)" -ne 0 ] || echo -u root) >server.log 2>&1 &
server=$!
for _ in $(seq 200); do
    [ -S cache.sock ] && break
    sleep 0.05
done
env -u LD_PRELOAD python3 clients.py cache.sock
kill $server
wait $server
echo "server: $?"
grep -v '^Signal handled' server.log
exit 0
END
in_all memcached bash serve.sh
did memcached 0 '^server: 0$'
! grep -q None memcached.plain.out || fail "memcached: $(cat memcached.plain.out)"
exit $bad
