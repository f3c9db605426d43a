#!/bin/bash
# MariaDB: a new data directory, a server, clients at once; the sums at the end are the same.
set -u
. "$(dirname "$0")/lib"
needs mariadbd mariadb-install-db mariadb mariadb-slap
cat >database.sh <<'END'
rm -rf data && mkdir data
options="--no-defaults --datadir=$PWD/data --innodb-flush-log-at-trx-commit=0 --innodb-log-file-size=8M --skip-log-bin"
[ "$(id -u)" -ne 0 ] || options="$options --user=root"
mariadb-install-db $options --auth-root-authentication-method=normal >install.log 2>&1
echo "install: $?"
mariadbd $options --skip-networking --socket="$PWD/db.sock" --pid-file="$PWD/db.pid" >server.log 2>&1 &
server=$!
client="--no-defaults --socket=$PWD/db.sock -u root"
for _ in $(seq 400); do
    mariadb-admin $client ping >/dev/null 2>&1 && break
    sleep 0.05
done
mariadb-slap $client --auto-generate-sql --auto-generate-sql-load-type=mixed --concurrency=8 --number-of-queries=800 >slap.log 2>&1
echo "slap: $?"
mariadb $client -N 2>errors <<'SQL'
CREATE DATABASE d; USE d;
CREATE TABLE t(id INT PRIMARY KEY, name VARCHAR(50), value INT, KEY(name)) ENGINE=InnoDB;
INSERT INTO t SELECT seq, CONCAT('name ', seq * 7919 % 30011), seq % 97 FROM seq_1_to_30000;
DELETE FROM t WHERE id % 3 = 0;
SELECT COUNT(*), SUM(value), MIN(name), MAX(name) FROM t;
SELECT SUBSTR(name, 1, 7) k, COUNT(*) FROM t GROUP BY k ORDER BY 2 DESC, 1 LIMIT 10;
CREATE TABLE m ENGINE=MyISAM AS SELECT * FROM t;
SELECT MD5(GROUP_CONCAT(a.name ORDER BY a.id)) FROM t a JOIN m b ON a.name = b.name WHERE a.id < 2000;
SELECT JSON_LENGTH(JSON_ARRAYAGG(name)) FROM t WHERE id < 500;
CHECK TABLE t, m;
SELECT * FROM none;
SQL
echo "client: $?"
cat errors
for i in 1 2 3 4; do
    mariadb $client -N d -e "UPDATE t SET value = value + $i WHERE id % 4 = $i - 1; SELECT SUM(value) FROM t WHERE id % 4 = $i - 1" &
done | sort
mariadb-admin $client shutdown
wait $server
echo "server: $?"
grep -iE 'poolscope: |got signal|assert|\[ERROR\]' server.log install.log slap.log
exit 0
END
in_modes 'off sample exact' mariadb bash database.sh
did mariadb 0 '^install: 0$' '^slap: 0$' '^d.t\s*check\s*status\s*OK$' '^server: 0$'
exit $bad
