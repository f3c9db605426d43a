#!/bin/bash
# Programs that people run: the same output and status with and without the preload, recording or not.
# programs.sh [NAME...]: these alone. One that is not installed is skipped and told. PROGRAMS_OPTIONS=,name=value: with
# these options as well.
set -u
. "$(dirname "$0")/lib"
mkdir traces
command -v python3 >/dev/null || skip 'python3 is not installed'
export HOME=$scratch LC_ALL=C GIT_CONFIG_NOSYSTEM=1
skipped=

has() { # COMMAND...
    for command; do
        command -v "$command" >/dev/null || { skipped="$skipped $command"; return 1; }
    done
}

# both NAME CMD...: see same; in both modes. The traces are looked at and removed.
more_options=
both() {
    local name=$1
    shift
    for mode in off exact; do
        same "$name" "mode=$mode,out=$scratch/traces$more_options${PROGRAMS_OPTIONS:-}" "$@"
    done
    check_largest "$name"
    rm -rf traces/*
}

# ---- each: run_NAME --------------------------------------------------------------------------------------------

run_python() {
    has python3 || return
    local python
    python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))') # not a launcher script
    cat >objects.py <<'END'
import collections, hashlib, json, re, random
random.seed(7)
words = ["".join(random.choice("abcdef") for _ in range(random.randint(2, 12))) for _ in range(30000)]
table = collections.defaultdict(list)
for i, word in enumerate(words):
    table[word[:3]].append({"word": word, "at": i, "tail": [i] * (i % 20)})
for key in list(table)[::2]:
    del table[key]
text = json.dumps(table, sort_keys=True)
again = json.loads(text)
print(len(text), hashlib.sha256(text.encode()).hexdigest(), len(re.findall(r'"a[b-d]+', text)), len(again))
try:
    [0] * (1 << 62)
except MemoryError:
    print("MemoryError")
END
    cat >threads.py <<'END'
import queue, threading, zlib
todo, done = queue.Queue(), queue.Queue()
def work():
    while (i := todo.get()) is not None:
        block = bytes(range(256)) * (i % 300)
        done.put((i, len(zlib.compress(block)), sum(len(str(k)) for k in range(i % 500))))
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
for i in range(3000): todo.put(i)
for t in threads: todo.put(None)
for t in threads: t.join()
results = sorted(done.queue)
print(len(results), sum(r[1] for r in results), sum(r[2] for r in results))
END
    local more_options=,depth=32 # the whole stacks of the interpreter make 400 MB of JSON
    PYTHONHASHSEED=0 PYTHONMALLOC=malloc both python "$python" objects.py
    PYTHONMALLOC=malloc both python_threads "$python" threads.py
}

run_sqlite() {
    has sqlite3 || return
    cat >rows.sql <<'END'
PRAGMA journal_mode=MEMORY;
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL, rest BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
    INSERT INTO t SELECT i, 'name ' || (i * 7919 % 300007), i * 0.5, zeroblob(i % 40) FROM n;
CREATE INDEX by_name ON t(name);
DELETE FROM t WHERE id % 3 = 0;
VACUUM;
SELECT count(*), sum(value), min(name), max(name), sum(length(rest)) FROM t;
SELECT substr(name, 1, 7) AS k, count(*) FROM t GROUP BY k ORDER BY 2 DESC, 1 LIMIT 20;
PRAGMA integrity_check;
END
    both sqlite sh -c 'rm -f rows.db; sqlite3 rows.db <rows.sql && sha256sum rows.db'
}

run_redis() {
    provide_redis_server
    has redis-server redis-benchmark redis-cli || return
    redis_starts >redis.sh
    cat >>redis.sh <<'END'
redis-benchmark -s "$socket" -q -n 4000 -c 20 -d 700 -t set,get,incr,lpush,lrange_100,sadd,hset,zadd >bench.log 2>&1 ||
    { echo "redis-benchmark: $?"; tail -n 5 bench.log; }
echo "tests that ended: $(tr '\r' '\n' <bench.log | grep -c 'requests per second')"
redis-cli -s "$socket" flushall
redis-cli -s "$socket" eval "
    for i = 1, 30000 do redis.call('set', 'key:' .. i, string.rep('v', i % 300)) end
    for i = 1, 3000 do redis.call('zadd', 'z', i, 'member ' .. i * 7 % 1000); redis.call('append', 's', i) end
    for i = 1, 30000, 3 do redis.call('del', 'key:' .. i) end
    return redis.call('dbsize')" 0
redis-cli -s "$socket" eval "
    local keys, sum = redis.call('keys', '*'), ''
    table.sort(keys)
    for _, key in ipairs(keys) do sum = redis.sha1hex(sum .. key .. redis.call('dump', key)) end
    return sum" 0
redis-cli -s "$socket" dbsize
redis-cli -s "$socket" shutdown nosave
wait $server
echo "server: $?"
END
    both redis bash redis.sh
    [ "$(sed -n 's/tests that ended: //p' redis.plain.out)" -ge 8 ] ||
        fail "redis: the benchmark did not run: $(cat redis.plain.out)"
}

run_gcc() {
    has gcc || return
    python3 - >large.c <<'END'
for i in range(300):
    print(f"""static int table{i}[] = {{{i}, {i + 1}, {i * 7}}};
int f{i}(int a, int b) {{
    int s = 0;
    for (int k = 0; k < a; k++) {{
        s += table{i}[k % 3] * b;
        switch (s & 7) {{ case 1: s ^= a; break; case 3: s += f{max(i - 1, 0)}(k, s); break; default: b--; }}
    }}
    return s;
}}""")
END
    both gcc sh -c 'gcc -O1 -g -c -o large.o large.c && sha256sum large.o'
    both gcc_error sh -c 'echo "int f(void) { return g; }" | gcc -c -o none.o -x c - 2>&1'
}

run_cxx() {
    has g++ || return
    cat >program.cc <<'END'
#include <algorithm>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>
struct Node { std::shared_ptr<Node> next; std::string name; };
static size_t work(int seed) {
    std::unordered_map<std::string, std::vector<std::string>> map;
    for (int i = 0; i < 20000; i++) {
        map["key " + std::to_string((i * 31 + seed) % 997)].push_back(std::string(size_t(i % 90), char('a' + i % 26)));
    }
    size_t sum = 0;
    for (auto &entry : map) sum += std::accumulate(entry.second.begin(), entry.second.end(), size_t(0),
                                                   [](size_t n, const std::string &s) { return n + s.size(); });
    std::shared_ptr<Node> list;
    for (int i = 0; i < 5000; i++) list = std::make_shared<Node>(Node{list, "node " + std::to_string(i)});
    while (list) { sum += list->name.size(); list = std::move(list->next); }
    try {
        throw std::runtime_error(std::string(200, 'x'));
    } catch (const std::exception &e) {
        sum += strlen(e.what());
    }
    return sum;
}
int main() {
    std::vector<std::future<size_t>> futures;
    for (int i = 0; i < 6; i++) futures.push_back(std::async(std::launch::async, work, i));
    for (auto &f : futures) std::cout << f.get() << '\n';
    std::ostringstream out;
    for (int i = 0; i < 3000; i++) out << i << ' ';
    std::string text = out.str();
    std::regex pattern("[0-9]*7 ");
    std::cout << std::distance(std::sregex_iterator(text.begin(), text.end(), pattern), std::sregex_iterator()) << '\n';
    std::vector<std::unique_ptr<int>> v;
    for (int i = 0; i < 10000; i++) v.push_back(std::make_unique<int>(i * 7919 % 10007));
    std::stable_sort(v.begin(), v.end(), [](auto &a, auto &b) { return *a < *b; });
    std::cout << *v.front() << ' ' << *v.back() << '\n';
}
END
    sed -i '1i #include <cstring>\n#include <stdexcept>' program.cc
    g++ -std=c++17 -O1 -pthread -o program program.cc || { fail 'g++'; return; }
    both cxx ./program
}

run_git() {
    has git || return
    cat >git.sh <<'END'
set -e
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
rm -rf one two
git init -q -b main one
cd one
for i in $(seq 12); do
    for k in $(seq 40); do seq $((i * k)) $((i * k + 200)) >file$k; done
    git add .
    GIT_AUTHOR_DATE="2020-01-$((i + 10))T00:00:00Z" GIT_COMMITTER_DATE="2020-01-$((i + 10))T00:00:00Z" \
        git commit -q -m "commit $i"
done
cd ..
git clone -q --no-local "$PWD/one" two
cd two
git -c gc.auto=0 -c pack.threads=2 gc -q
git fsck --full 2>&1
git log --stat --format='%H %s' | sha256sum
git diff HEAD~5 | sha256sum
git rev-list --objects --all | sort | sha256sum
git blame file7 | sha256sum
git status --short
git no-such-command 2>/dev/null || echo "status $?"
END
    both git bash git.sh
}

run_perl() {
    has perl || return
    cat >words.pl <<'END'
my %h; my @l;
for my $i (0 .. 60000) {
    my $k = join '-', map { ($i * $_) % 97 } 1 .. 4;
    push @{$h{$k}}, "x" x ($i % 60);
    $l[$i % 500] = { at => $i, text => $k };
}
my $s = 0; $s += length join ',', @{$h{$_}} for sort keys %h;
my $t = join '', map { $_->{text} } @l; my $n = () = $t =~ /(\d+)-\1/g;
delete @h{(sort keys %h)[0 .. 40]};
print scalar(keys %h), " $s $n\n"; printf "%s\n", `echo from a child`;
my $pid = fork; if (!$pid) { exit 7 } waitpid $pid, 0;
print $? >> 8, "\n"; exit 3;
END
    both perl perl words.pl
}

run_bash() {
    cat >forks.sh <<'END'
total=0
for i in $(seq 200); do
    total=$((total + $(echo $i)))
    ( : ) || exit 1
done
echo $total
printf '%s\n' $(seq 2000 | while read -r n; do echo $((n % 13)); done | sort | uniq -c | head -n 3)
declare -A map
for i in {1..5000}; do map[$((i % 701))]+=$i; done
echo ${#map[@]} ${map[5]}
exit 9
END
    both bash bash forks.sh
}

run_xz() {
    has xz || return
    seq 400000 >numbers
    both xz sh -c 'xz -T2 --block-size=500000 -3 -c numbers >numbers.xz && sha256sum <numbers.xz &&
        xz -T2 -dc numbers.xz | cmp - numbers'
}

# ------------------------------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- python sqlite redis gcc cxx git perl bash xz
for name; do
    began=$SECONDS
    run_$name
    echo "$name: $((SECONDS - began)) s"
done
[ -z "$skipped" ] || echo "not installed:$skipped"
exit $bad
