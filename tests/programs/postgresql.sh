#!/bin/bash
# PostgreSQL: initdb, a server, pgbench with a fixed seed; the sums at the end are the same and no transaction failed.
# It refuses to run as root, so root has a plain user do it, in a directory where that user may write.
set -u
. "$(dirname "$0")/lib"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
needs "${bin:-initdb}" "${bin:-initdb}/pgbench"
gives_to_nobody
cat >"$public/database.sh" <<'END'
cd "$1" || exit
export PATH=$2:$PATH PGHOST=$1 PGUSER=tester PGDATABASE=postgres LC_ALL=C TZ=UTC
rm -rf data
initdb -D data -U tester -A trust -E UTF8 --no-sync >initdb.log 2>&1
echo "initdb: $?"
pg_ctl -D data -l server.log -w -t 60 -o "-k $1 -c listen_addresses= -c fsync=off -c max_parallel_workers_per_gather=2" \
    start >start.log 2>&1
echo "start: $?"
pgbench -i -q -s 2 >init.log 2>&1
echo "pgbench -i: $?"
pgbench -c 8 -j 2 -t 150 --random-seed=7 >bench.log 2>&1
echo "pgbench: $?"
grep -E 'actually processed|failed transactions' bench.log
psql -At <<'SQL'
SELECT sum(abalance), (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches),
    (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history) FROM pgbench_accounts;
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
SELECT count(*), sum(aid) FROM pgbench_accounts WHERE bid = 1;
CREATE TABLE words AS SELECT i, md5(i::text) AS w, jsonb_build_object('k', i % 97, 'l', array_agg_of) AS j
    FROM generate_series(1, 40000) i, LATERAL (SELECT array_fill(i % 7, ARRAY[5]) AS array_agg_of) a;
CREATE INDEX ON words(w);
CREATE INDEX ON words USING gin(j);
VACUUM ANALYZE words;
SELECT count(*), min(w), max(w) FROM words WHERE j @> '{"k": 5}';
SELECT md5(string_agg(w, ',' ORDER BY w)) FROM words;
CREATE FUNCTION f(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN n < 2 THEN n ELSE f(n - 1) + f(n - 2) END; END $$;
SELECT f(15);
SELECT 1 / 0;
SQL
echo "psql: $?"
pg_ctl -D data -m fast -w stop >stop.log 2>&1
echo "stop: $?"
grep -E 'poolscope: |PANIC|FATAL|terminated by signal' server.log initdb.log bench.log init.log start.log
exit 0
END
in_modes 'off sample exact' postgresql "${as_nobody[@]}" bash "$public/database.sh" "$public" "$bin"
did postgresql 0 'processed: 1200/1200$' '^psql: 0$' '^stop: 0$' '^610$'
exit $bad
