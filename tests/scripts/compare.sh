#!/bin/bash
# poolscope compare: its table, the ratios against the raw figures, JSON, what it says of what it cannot compare.
set -u
. "$(dirname "$0")/lib"
command -v jq >/dev/null || skip 'jq is not installed'
poolscope=$BUILD/poolscope
export TMPDIR=$scratch/tmp
mkdir "$TMPDIR"

# compare STATUS ARG...: must end with STATUS; its output is in out and err. No scratch file may stay.
compare() {
    local want=$1 got
    shift
    timeout -k 5 $SECONDS_MOST "$poolscope" compare "$@" >out 2>err </dev/null
    got=$?
    [ $got -eq "$want" ] || { fail "compare $*: status $got, not $want"; sed 's/^/    | /' out err; }
    [ -z "$(ls -A "$TMPDIR")" ] || fail "compare $*: left $(ls -A "$TMPDIR")"
}
says() { grep -qE -- "$1" err || { fail "stderr does not say '$1'"; sed 's/^/    | /' err; }; }
prints() { grep -qE -- "$1" out || { fail "stdout does not say '$1'"; sed 's/^/    | /' out; }; }
prints_no() { ! grep -qE -- "$1" out || { fail "stdout says '$1'"; sed 's/^/    | /' out; }; }
column() { # NAME: the number of the column in runs.tsv
    head -n 1 together/runs.tsv | tr '\t' '\n' | grep -nx "$1" | cut -d: -f1
}
ratio() { # ALLOCATOR FIGURE: of the medians of three runs, from the raw figures
    local at
    at=$(column "$2")
    for name in "$1" glibc; do
        awk -F'\t' -v n="$name" -v at="$at" '$1 == n {print $at}' together/runs.tsv | sort -n | sed -n 2p
    done | awk '{v[NR] = $1} END {printf "%.2f", v[1] / v[2]}'
}

# -- wrong use
compare 2
says '^poolscope compare: compare what\?'
compare 2 --
compare 2 --runs=0 true
says '^poolscope compare: --runs takes a number from 1 to 1000, not 0$'
compare 2 --runs
compare 2 --timeout=-1 true
compare 2 --format=csv true
compare 2 --png true
compare 2 --frobnicate true
says "^Try 'poolscope compare --help'\.$"
compare 2 --allocator=nonesuch true
says "^poolscope compare: there is no allocator 'nonesuch'; .* glibc, jemalloc, .*poolscope-exact$"
compare 2 --baseline=nonesuch true
says "^poolscope compare: there is no allocator 'nonesuch'"
compare 2 --allocator="it's=$POOLSCOPE_SO" true
compare 2 --allocator=own=/no/such.so true
says '^poolscope compare: cannot read /no/such.so: No such file or directory$'
compare 1 --stdin=missing true
says '^poolscope compare: cannot read missing: '

# -- a program that cannot be run or fails
compare 1 -- no-such-command-here
says '^poolscope compare: no-such-command-here: under glibc: CMD cannot be run: No such file or directory$'
[ ! -s out ] || fail 'figures of nothing'
compare 1 --allocator=poolscope -- sh -c 'echo one of two >&2; exit 3'
says '^poolscope compare: sh: under glibc: CMD ended with exit status 3$'
says '^    \| one of two$'
[ ! -s out ] || fail 'figures of a baseline that failed'
compare 0 --runs=1 --allocator=poolscope --ignore-status -- sh -c 'exit 3'
compare 1 --runs=1 --allocator=poolscope --format=json -- sh -c '[ -z "$LD_PRELOAD" ] || kill -ABRT $$'
says '^poolscope compare: sh: under poolscope: CMD was killed: Aborted$'
jq -e '.allocators[] | select(.name == "poolscope") | .failure == "CMD was killed: Aborted" and (has("figures") | not)
    and .runs == []' out >/dev/null || fail "JSON of a failure: $(cat out)"
compare 1 --runs=1 --timeout=0.3 --allocator=poolscope -- sh -c 'sleep 60 & sleep 60'
says '^poolscope compare: sh: under glibc: CMD took longer than 0.3 s$'

# -- a library that is not here, one that is named, and what is taken without being asked
compare 1 --allocator=snmalloc --baseline=poolscope -- true # looked for where a test can say what is there
says '^poolscope compare: snmalloc is not here: no libsnmallocshim.so\* in .*--allocator=snmalloc=PATH$'
mkdir libraries
cp "$POOLSCOPE_SO" libraries/libsnmallocshim.so
LD_LIBRARY_PATH=$PWD/libraries compare 0 --runs=1 --warmup=0 --allocator=snmalloc --format=json -- sleep 0.1
jq -e --arg lib "$(realpath libraries)/libsnmallocshim.so" \
    '[.allocators[] | .name, .library] == ["glibc", null, "snmalloc", $lib]' out >/dev/null || fail "found: $(cat out)"
compare 0 --runs=1 --warmup=0 --allocator=mine="$POOLSCOPE_SO" --baseline=poolscope --format=json -- sleep 0.1
jq -e '.baseline == "poolscope" and .allocators[0].name == "poolscope"' out >/dev/null || fail 'another baseline'
jq -e '[.allocators[].name] | contains(["glibc", "mine", "poolscope-exact"])' out >/dev/null ||
    fail 'a library that is named comes beside the others'
compare 0 --runs=1 --warmup=0 -- sleep 0.1
grep -q '^snmalloc ' out || prints '^not on this machine: .*snmalloc'

# -- the figures, and that the table says the same
cat >work.c <<'END2'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    static char *blocks[40000];
    for (int i = 0; i < 40000; i++) blocks[i] = memset(malloc(200), 1, 200);
    for (int i = 0; i < 40000; i += 2) free(blocks[i]);
    return usleep(60000) != 0;
}
END2
gcc -O1 -fno-builtin -o work work.c 2>gcc.log || { cat gcc.log; exit 1; }
cat >work.sh <<'END2'
read -r word
echo "read $word"
./work
./work & wait
END2
echo something >input
compare 0 --stdin=input --allocator=poolscope --allocator=poolscope-exact -o together --png -- sh work.sh
for allocator in glibc poolscope poolscope-exact; do
    [ "$(grep -c "^$allocator	[123]	yes	" together/runs.tsv)" -eq 3 ] || fail "no three runs of $allocator"
    [ "$(grep -c "^$allocator " out)" -eq 2 ] || fail "no two rows of $allocator"
    grep -q '^read something$' "together/$allocator.out" || fail "$allocator: no input"
done
for allocator in poolscope poolscope-exact; do
    times=$(ratio $allocator cpu_us)
    grep -qE "^$allocator +$times \\(" out || fail "CPU of $allocator is not $times"
    peak=$(ratio $allocator peak_bytes) average=$(ratio $allocator average_bytes) end=$(ratio $allocator end_bytes)
    grep -qE "^$allocator +$peak \\(.*\\) .*$average \\(.*\\) .*$end \\(" out ||
        fail "memory of $allocator is not $peak $average $end"
done
[ $bad -eq 0 ] || sed 's/^/    | /' out together/runs.tsv
prints '^poolscope-exact: at about the peak of live bytes .* live, .* held \(held / live [0-9.]*\)'
awk -F'\t' -v user="$(column user_us)" -v kernel="$(column system_us)" -v cpu="$(column cpu_us)" \
    -v peak="$(column peak_bytes)" -v sampled="$(column sampled_peak_bytes)" -v average="$(column average_bytes)" \
    -v live="$(column live_bytes)" -v held="$(column held_bytes)" -v pinned="$(column pinned_bytes)" '
    NR > 1 && $cpu != $user + $kernel {print "cpu:", $0}
    NR > 1 && ($peak < $sampled || $average > $sampled) {print "peak:", $0}
    $1 == "poolscope-exact" && !($live > 0 && $live <= $held && $pinned <= $held) {print "held:", $0}
    $1 == "glibc" && $live != "" {print "live of glibc:", $0}' together/runs.tsv >wrong
[ ! -s wrong ] || fail "$(cat wrong)"
if command -v gnuplot >/dev/null; then
    for plot in bars rss; do
        grep -q '</svg>' together/$plot.svg || fail "$plot.svg was not drawn: $(cat err)"
        [ -s together/$plot.png ] || fail "$plot.png was not drawn"
        [ -s together/$plot.tsv ] || fail "no $plot.tsv"
    done
fi
for name in glibc poolscope poolscope-exact; do
    grep -q "^[0-9]*	$name	" together/bars.tsv || fail "no bars of $name"
    grep -q "^[0-9]*	$name	" together/rss.tsv || fail "no line of $name"
done
mkdir without && ln -s "$(type -P timeout)" "$(type -P sed)" "$(type -P ls)" without/
PATH=$scratch/without compare 0 --runs=1 --allocator=poolscope -o undrawn -- "$(type -P sleep)" 0.1
says '^poolscope compare: no plot bars: gnuplot is not installed$'
[ -s undrawn/runs.tsv ] || fail 'no figures without gnuplot'

compare 0 --runs=2 --warmup=0 --allocator=poolscope-exact --format=json -- sh -c 'sleep 0.1; exit 0' $'\e[31m"\xff'
jq -e '.schema == 1 and .runs == 2 and .command[0] == "sh" and (.command[3] | length) == 7
    and all(.allocators[]; (.runs | length) == 2 and .figures.wall_us.min >= 100000
        and .figures.peak_bytes.min <= .figures.peak_bytes.median and .figures.peak_bytes.median <= .figures.peak_bytes.max)
    and .allocators[0].ratios.cpu_us.median == 1 and (.allocators[0].ratios.cpu_us.significant | not)' out >/dev/null ||
    { fail 'JSON'; cat out; }
compare 0 --runs=1 --warmup=0 --allocator=poolscope -- sh -c 'sleep 0.1; exit 0' $'\e[31m'
! grep -q $'\e' out || fail 'the terminal takes orders from the command'

# -- processes
cat >stay.sh <<'END2'
trap '' TERM
while :; do sleep 0.05; done
END2
cat >leave.sh <<'END2'
(setsid sh "$1" &)
sleep 0.1
END2
compare 0 --runs=1 --warmup=0 --allocator=poolscope -- sh leave.sh "$PWD/stay.sh"
prints '^A run left up to [1-3] process(es)? behind, which (was|were) ended\.$'
pgrep -f "$PWD/stay.sh" && fail 'a process that was left behind still runs'
"$poolscope" compare --runs=1 -- sh -c "echo \$\$ >$scratch/pid; sleep 60 & sleep 61" >out 2>err &
waited=$!
for _ in $(seq 200); do [ -s pid ] && break; sleep 0.05; done
kill -TERM $waited
wait $waited
[ $? -eq 143 ] || fail 'a comparison that was ended has another status'
says '^poolscope compare: sh: under glibc: interrupted$'
kill -0 "$(cat pid)" 2>/dev/null && fail 'its program still runs'
[ -z "$(ls -A "$TMPDIR")" ] || fail "an interrupted comparison left $(ls -A "$TMPDIR")"

# Memory of all processes is added up, those that a second thread started among them.
cat >hold.c <<'END2'
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *hold(void *name) {
    if (fork() != 0) return wait(NULL), NULL;
    memset(malloc(16 << 20), 1, 16 << 20);
    close(open(name, O_CREAT | O_WRONLY, 0666));
    while (access("go", F_OK) != 0) usleep(1000);
    _exit(0);
}
int main(int argc, char **argv) {
    pthread_t thread;
    if (argc > 2) pthread_create(&thread, NULL, hold, argv[1]), pthread_join(thread, NULL);
    else hold(argv[1]);
}
END2
gcc -pthread -o hold hold.c 2>gcc.log || { cat gcc.log; exit 1; }
cat >hold.sh <<'END2'
rm -f first second go
./hold first & ./hold second in-a-thread &
until [ -e first ] && [ -e second ]; do sleep 0.01; done
sleep 0.3
touch go
wait
END2
compare 0 --runs=1 --warmup=0 --allocator=poolscope --format=json -- sh hold.sh
jq -e 'all(.allocators[]; .figures.sampled_peak_bytes.median > 32 * 1048576 and .figures.sampled_peak_bytes.median < 48 * 1048576
    and .figures.largest_process_bytes.median < 24 * 1048576)' out >/dev/null || { fail 'a tree of processes'; cat out; }

# -- what the manual page shows
awk '/^\.SH EXAMPLES/ {on = 1} on && /^poolscope /' "$ROOT/tools/poolscope-compare.1" |
    sed "s/\\\\-/-/g; s/\\\\(aq/'/g" >examples
[ "$(wc -l <examples)" -ge 3 ] || fail 'the manual page shows no examples'
while IFS= read -r example; do
    PATH=$BUILD:$PATH bash -o pipefail -c "$example" >out 2>err </dev/null || { fail "$example"; cat out err; }
    [ -s out ] || fail "$example: no answer"
done <examples

# -- programs that do not take the allocator
cat >static.c <<'END2'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) { memset(malloc(8 << 20), 1, 8 << 20); return usleep(100000) != 0; }
END2
if gcc -static -o static static.c 2>gcc.log; then
    compare 1 --runs=1 --allocator=poolscope --allocator=poolscope-exact -- ./static
    prints '^glibc  *[0-9]'
    prints_no '^poolscope(-exact)?  *[0-9]'
    prints '^poolscope, poolscope-exact: no figures: not loaded by ./static: it is linked statically'
    compare 1 --runs=1 --allocator=poolscope --format=json -- sh -c './static; exit 0'
    jq -e '.allocators[1] | .loaded == "no" and (.failure | startswith("loaded only by processes with "))
        and (has("ratios") | not)' out >/dev/null || { fail 'a shell around a static program'; cat out; }
fi
compare 1 --runs=1 --allocator=poolscope --allocator=poolscope-exact -- "$VICTIMS/own_malloc"
prints '^poolscope, poolscope-exact: no figures: .*/own_malloc brings its own malloc, which it keeps$'

exit $bad
