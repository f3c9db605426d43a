#!/bin/bash
# nginx with a master and two workers: under load, told to read its configuration anew while it serves, and its binary
# replaced while it runs. Each answer is whole, no worker dies.
set -u
. "$(dirname "$0")/lib"
needs nginx curl ab
free_port 18473
chmod 755 .
for i in $(seq 100); do seq $i $((i * 50)) >page$i.txt; done
mkdir site && mv page*.txt site && chmod -R a+rX site
cat >nginx.conf <<END
worker_processes 2;
env LD_PRELOAD;
env POOLSCOPE;
pid $scratch/nginx.pid;
error_log $scratch/error.log info;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
events { worker_connections 200; }
http {
    access_log $scratch/access.log;
    client_body_temp_path $scratch/t1; proxy_temp_path $scratch/t2; fastcgi_temp_path $scratch/t3;
    uwsgi_temp_path $scratch/t4; scgi_temp_path $scratch/t5;
    gzip on; gzip_types text/plain; gzip_min_length 100;
    proxy_cache_path $scratch/cache levels=1 keys_zone=cache:1m inactive=60s;
    server { listen unix:$scratch/back.sock; root $scratch/site; location / { sendfile off; } }
    server {
        listen 127.0.0.1:$port;
        root $scratch/site;
        location /through/ { proxy_pass http://unix:$scratch/back.sock:/; proxy_cache cache; proxy_cache_valid 200 1s; }
        location /number/ { rewrite ^/number/(.*) /page\$1.txt last; }
    }
}
END
cat >serve.sh <<'END'
rm -rf cache error.log access.log t? *.sock
nginx() { "$binary" -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/error.log" "$@" 2>&1; }
binary=$(type -P nginx) # by its path, so that it can start itself anew
trap 'kill $(cat nginx.pid nginx.pid.oldbin) 2>/dev/null' EXIT
address=http://127.0.0.1:$port
nginx || exit
ended() { # PROCESS
    for _ in $(seq 200); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.05
    done
    echo "process $1 still runs"
}
sums() {
    for i in 1 7 50 100; do
        curl -sS $address/page$i.txt $address/through/page$i.txt $address/number/$i --compressed
    done | sha256sum
    curl -s -o /dev/null -w '%{http_code}\n' $address/none
}
sums
ab -q -n 2000 -c 20 -H 'Accept-Encoding: gzip' $address/through/page80.txt >ab.log 2>&1 &
load=$!
for _ in 1 2 3; do
    nginx -s reload
    sleep 0.3
    sums
done
wait $load
grep -E '^(Complete|Failed|Non-2xx)' ab.log
# A new binary takes the sockets over.
old=$(cat nginx.pid)
kill -USR2 "$old"
for _ in $(seq 200); do
    [ -s nginx.pid.oldbin ] && [ -s nginx.pid ] && break
    sleep 0.05
done
kill -QUIT "$old"
ended "$old"
for _ in $(seq 200); do
    [ -e nginx.pid.oldbin ] || break
    sleep 0.05
done
sums
new=$(cat nginx.pid)
kill -QUIT "$new"
ended "$new"
grep -E 'poolscope: |\[(alert|emerg|crit|error)\]' error.log | grep -v '/none" failed'
grep -E 'exited' error.log | grep -v 'exited with code 0'
exit 0
END
in_modes 'off sample exact' nginx bash serve.sh
did nginx 0 'Complete requests: *2000$' 'Failed requests: *0$' '^404$'
exit $bad
