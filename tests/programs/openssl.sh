#!/bin/bash
# openssl: its speed test by threads of work (its figures aside), keys, certificates, and a TLS server with clients.
set -u
. "$(dirname "$0")/lib"
needs openssl
free_port 18472
cat >speed.sh <<'END'
openssl speed -seconds 1 -multi 2 -bytes 4096 aes-128-cbc sha256 2>speed.log | sed -E 's/ +[0-9.]+k/ NUMBERk/g; s/^(built on|options|compiler|CPUINFO).*//; /^Forked|^Got/d' | grep -E NUMBER
echo "${PIPESTATUS[0]}"
openssl speed -seconds 1 ecdsap256 2>>speed.log | sed -E 's/[0-9.]+s? +/N /g; s/ [0-9.]+$/ N/' | grep -c ecdsa
grep 'poolscope: ' speed.log
END
in_modes 'off sample exact' openssl_speed bash speed.sh
did openssl_speed 1 '^sha256 .*NUMBERk' '^aes-128-cbc .*NUMBERk' '^1$' # status 1: grep found nothing bad

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost \
    -days 30 2>log || fail "a certificate: $(cat log)"
seq 50000 >text
cat >work.sh <<'END'
openssl dgst -sha256 text
openssl enc -aes-256-cbc -pbkdf2 -iter 1000 -S 0011223344556677 -pass pass:word -in text -out text.enc
sha256sum <text.enc
openssl enc -d -aes-256-cbc -pbkdf2 -iter 1000 -pass pass:word -in text.enc | cmp - text
openssl dgst -sha256 -sign key.pem -out signature text && openssl dgst -sha256 -verify <(openssl x509 -in cert.pem -noout -pubkey) -signature signature text
openssl x509 -in cert.pem -noout -text | sha256sum
openssl genrsa 2048 2>/dev/null | openssl rsa -check -noout 2>/dev/null
openssl asn1parse -in text 2>/dev/null
echo $?
openssl s_server -accept 127.0.0.1:$port -cert cert.pem -key key.pem -WWW -quiet >server.log 2>&1 &
server=$!
for i in $(seq 200); do
    openssl s_client -connect 127.0.0.1:$port </dev/null >/dev/null 2>&1 && break
    sleep 0.05
done
for i in 1 2 3 4 5; do
    printf 'GET /text HTTP/1.0\r\n\r\n' | openssl s_client -connect 127.0.0.1:$port -quiet -CAfile cert.pem 2>/dev/null | sha256sum
done
kill $server
wait $server
echo $?
grep 'poolscope: ' server.log
END
in_modes 'off sample exact' openssl bash work.sh
did openssl 1 '^Verified OK$' '^RSA key ok$' '^143$'
[ "$(grep -E '^[0-9a-f]{64} ' openssl.plain.out | sort | uniq -d | wc -l)" -eq 1 ] || fail "openssl: $(cat openssl.plain.out)"
exit $bad
