#!/bin/bash
# sshd: its test modes, and logins, whose first part runs in a sandbox (seccomp). Then programs that get rights by being
# run (setuid bit, file capabilities): the loader keeps the library out, and out of their way.
set -u
. "$(dirname "$0")/lib"
needs sshd ssh ssh-keygen
free_port 18475
ssh-keygen -q -t ed25519 -N '' -f host_key && ssh-keygen -q -t ed25519 -N '' -f user_key || fail ssh-keygen
cp user_key.pub authorized
cat >sshd_config <<END
ListenAddress 127.0.0.1
Port $port
HostKey $scratch/host_key
PidFile $scratch/sshd.pid
AuthorizedKeysFile $scratch/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
END
[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
seq 30000 >text
cat >logins.sh <<'END'
sshd=$(command -v sshd)
$sshd -t -f sshd_config
echo $?
$sshd -T -f sshd_config | sort | sha256sum
echo 'NoSuchOption yes' | $sshd -t -f /dev/stdin 2>&1
echo $?
$sshd -D -e -f sshd_config 2>server.log &
server=$!
options="-F none -i user_key -o UserKnownHostsFile=known -o StrictHostKeyChecking=no -o BatchMode=yes -o LogLevel=ERROR"
for _ in $(seq 200); do
    ssh $options -p $port 127.0.0.1 true 2>/dev/null </dev/null && break
    sleep 0.05
done
ssh $options -p $port 127.0.0.1 'echo a session; exit 7' </dev/null
echo $?
for i in 1 2 3; do
    ssh $options -C -p $port 127.0.0.1 'cat | sha256sum' <text &
done
wait %2 %3 %4
sftp -q $options -P $port -b - 127.0.0.1 <<X
get $PWD/text $PWD/text.back
X
cmp text text.back
ssh $options -i none -o IdentitiesOnly=yes -i host_key -p $port 127.0.0.1 true </dev/null 2>&1 | sed 's/^[^ ]*@//'
kill $server
wait $server
echo "server: $?"
grep -iE 'poolscope: |signal|fatal|sandbox' server.log | grep -v 'Received signal 15'
exit 0
END
in_modes 'off sample exact' sshd bash logins.sh
did sshd 0 '^a session$' '^server: 0$' "^$(sha256sum <text)"

if [ "$(id -u)" -ne 0 ]; then
    echo 'programs with rights of their own: only root can make some'
    exit $bad
fi
gives_to_nobody
# secure NAME: as a plain user, with the library named; it is not loaded, leaves no trace and says nothing.
secure() {
    local mode
    for mode in off exact; do
        rm -rf "$traces"
        mkdir -m 777 "$traces"
        same "$1" "mode=$mode,out=$traces" "${as_nobody[@]}" env LD_PRELOAD="$POOLSCOPE_SO" POOLSCOPE="mode=$mode,out=$traces" \
            "$public/$1"
        find "$traces/" -name '*.trace' | grep -v runuser >found
        for trace in $(cat found); do
            "$BUILD/poolscope" report --format=json "$trace" >facts.json 2>err
            ! grep -qE "\"exe\": *\"[^\"]*/$1\"" facts.json || fail "$1 ($mode): $trace"
        done
    done
    [ -s "$1.plain.out" ] || fail "$1: no output: $(cat "$1.plain.err")"
}
cp /usr/bin/id "$public/by_setuid" && chmod 4755 "$public/by_setuid"
secure by_setuid
grep -q 'euid=0' by_setuid.plain.out || echo "set-user-ID is ignored in $public"
cp /usr/bin/cat "$public/by_capability" && printf '#!/bin/sh\nexec %s/by_capability /proc/self/status | grep CapEff\n' "$public" \
    >"$public/reads_status" && chmod 755 "$public/reads_status"
if setcap cap_net_raw+ep "$public/by_capability" 2>/dev/null; then
    secure reads_status
    grep -q 'CapEff:.*2000$' reads_status.plain.out || fail "capabilities: $(cat reads_status.plain.out)"
fi
exit $bad
