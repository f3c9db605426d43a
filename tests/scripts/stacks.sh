#!/bin/bash
# Every stack that programs record, against libunwind's walk of the same stack: tests/verify/verify.c says how. Of each
# program that ran at least 99.9 % are the same. What differs is printed, with the first frame that does.
# stacks.sh [NAME...]: these alone. One that is not installed is skipped and told.
set -u
. "$(dirname "$0")/lib"
POOLSCOPE_SO=$BUILD/verify/libpoolscope-verify.so
SECONDS_MOST=30
[ -s "$POOLSCOPE_SO" ] || { echo "$POOLSCOPE_SO is not built"; exit 1; }
export HOME=$scratch LC_ALL=C GIT_CONFIG_NOSYSTEM=1 PSC_VERIFY_OUT=$scratch/verdicts
mkdir traces
skipped=

has() { # COMMAND...
    for command; do
        command -v "$command" >/dev/null || { skipped="$skipped $command"; return 1; }
    done
}

# One line for each program in `verdicts`; fails where too few are the same, or NAME has recorded fewer than LEAST.
judge() { # NAME LEAST
    awk -v name="$1" -v least="$2" '
        /^#/ {next}
        {
            for (i = 3; i < NF; i += 2) sum[$2, $i] += $(i + 1)
            names[$2] = 1
        }
        END {
            for (n in names) {
                differ = sum[n, "shorter"] + sum[n, "longer"] + sum[n, "other"] + sum[n, "deep"]
                total = sum[n, "same"] + differ
                printf "%-20s %8d stacks", n, total
                if (differ) printf ", %d differ: %d shorter, %d longer, %d other, %d deep", differ,
                    sum[n, "shorter"], sum[n, "longer"], sum[n, "other"], sum[n, "deep"]
                printf "\n"
                if (differ * 1000 > total) bad = 1
                if (n == name) seen = total
            }
            if (seen < least) {print name ": only " seen + 0 " stacks"; bad = 1}
            exit bad
        }' verdicts || fail "stacks of $1"
}

compare() { # NAME LEAST CMD...
    local name=$1 least=$2
    shift 2
    : >verdicts
    under "out=$scratch/traces$more_options" "$@" >out 2>err </dev/null || {
        fail "$name: status $?"
        tail -n 5 out err | sed 's/^/    | /'
    }
    judge "$name" "$least"
    grep '^#' verdicts | head -n 40
    rm -rf traces/*
}
more_options=

# ---- each: run_NAME --------------------------------------------------------------------------------------------------

run_victims() {
    compare deep 5000 "$VICTIMS/deep"
    compare signal_stack 1000 "$VICTIMS/signal_stack"
    local more_options=,depth=20
    compare deep 5000 "$VICTIMS/deep"
}

run_python() {
    has python3 || return
    local python
    python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))') # not a launcher script
    cat >small.py <<'END'
import json, re, sqlite3, threading, zlib
def nest(n):
    return [nest(n - 1), "x" * 600 * n] if n else []
def work():
    for i in range(60):
        zlib.compress(b"abc" * 500 * (i % 7 + 1))
        re.sub(r"(a+)(b|c)*", lambda m: m.group(0) * 90, "aabacaab" * 10)
        try:
            json.loads(json.dumps(nest(12)) + "]")
        except ValueError:
            pass
threads = [threading.Thread(target=work) for _ in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(str(nest(3))))
END
    compare "$(basename "$python")" 3000 "$python" small.py
}

run_sqlite() {
    has sqlite3 || return
    cat >rows.sql <<'END'
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT i, 'n' || i % 97 FROM n;
CREATE INDEX by_name ON t(name);
SELECT name, count(*), group_concat(id) FROM t GROUP BY name ORDER BY 2, 1 LIMIT 20;
SELECT upper(name) || replace(name, 'n', printf('%10d', id)) FROM t WHERE name LIKE '%7' LIMIT 200;
END
    compare sqlite3 1000 sqlite3 :memory: '.read rows.sql'
}

run_perl() {
    has perl || return
    cat >words.pl <<'END'
my %h;
push @{$h{join '-', map { ($_[0] = $_) * 7 % 97 } 1 .. $_ % 9}}, "x" x ($_ % 60) for 0 .. 4000;
my $t = join ',', map { scalar @{$h{$_}} } sort keys %h;
sub deep { my $n = shift; return $n ? "<" . deep($n - 1) . ">" : "" }
print length(deep(300)), " $t\n";
eval { die { text => "x" x 100 } } for 1 .. 50;
END
    compare perl 5000 perl words.pl
}

run_jq() {
    has jq || return
    compare jq 5000 jq -n '[range(300) | {a: ., b: [range(. % 7)], c: (. | tostring)}] | group_by(.b | length) |
        map({n: length, t: (map(.c) | join("-"))})'
}

run_redis() {
    has redis-server redis-cli || return
    redis_starts >redis.sh
    cat >>redis.sh <<'END'
redis-cli -s "$socket" eval "
    for i = 1, 600 do redis.call('set', 'key:' .. i, string.rep('v', i % 300)) end
    for i = 1, 300 do redis.call('zadd', 'z', i, 'member ' .. i * 7 % 100); redis.call('append', 's', i) end
    for i = 1, 600, 3 do redis.call('del', 'key:' .. i) end
    return redis.call('dbsize')" 0
redis-cli -s "$socket" shutdown nosave
wait $server
END
    compare redis-server 5000 bash redis.sh
}

run_gcc() {
    has gcc || return
    echo 'static int f(int a, char *b) { switch (a) { case 1: return b[a]; case 7: return a * 3; } return *b ? a : 9; }
        int g(int n) { int s = 0; for (int i = 0; i < n; i++) s += f(i, "text"); return s; }' >small.c
    compare cc1 2000 gcc -O2 -g -c -o small.o small.c
}

run_git() {
    has git || return
    cat >git.sh <<'END'
set -e
git init -q -b main one
cd one
for i in 1 2; do
    for k in $(seq 6); do seq $((i * k)) $((i * k + 60)) >file$k; done
    git add .
    git -c user.name=A -c user.email=a@example.org commit -q -m "commit $i"
done
git log --stat | tail -n 1
git diff HEAD~1 | tail -n 1
git gc -q
END
    compare git 5000 bash git.sh
}

# ----------------------------------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- victims python sqlite perl jq redis gcc git
for name; do
    began=$SECONDS
    run_$name
    echo "$name: $((SECONDS - began)) s"
done
[ -z "$skipped" ] || echo "not installed:$skipped"
exit $bad
