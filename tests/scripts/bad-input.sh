#!/bin/bash
# What people get wrong, and what the machine refuses: options, directories, full disks, damaged traces,
# missing programs.
# The guest runs on; the report never crashes.
set -u
. "$(dirname "$0")/lib"
poolscope=$BUILD/poolscope

# lines N PATTERN: stderr (err) has N lines of ours, and one that matches
lines() {
    [ "$(grep -c '^poolscope: ' err)" -eq "$1" ] || fail "$what: not $1 line of ours: $(cat err)"
    [ "$1" -eq 0 ] || grep -qE "^poolscope: .*$2" err || fail "$what: no line with '$2': $(cat err)"
}
runs() { # OPTIONS: the program does what it always does
    what=$1
    under "$1" sh -c 'echo output; exit 5' >out 2>err
    [ $? -eq 5 ] || fail "$1: status"
    [ "$(cat out)" = output ] || fail "$1: output $(cat out)"
}

# -- options: named, with those there are; the others hold
names='mode, .*out, .*depth, .*snapshots, .*purge, .*verbose'
runs "colour=red,mode=off"
lines 1 "'colour'.*$names"
runs "mode=of"
lines 1 "mode.*'of'.*exact.*off"
rm -f poolscope-*
runs "depth=abc,mode=off"
lines 1 "depth.*'abc'.*1 to 256"
runs "depth=99999999999999999999,mode=off"
lines 1 'depth'
runs "mode=off,purge=1h"
lines 1 "purge.*'1h'"
runs "mode=off,="
lines 1 "''"
runs "mode=off,mode"
lines 1 "mode"
runs "mode=off,out="
lines 1 'out'
runs ',,mode=off,,'
lines 0
runs "mode=off,$(printf '\033]0;x\007\nforged')=1"
lines 1 'forged'
grep -q "$(printf '\033')" err && fail 'a control character of the options reached the terminal'
runs "mode=off,$(head -c 100000 /dev/zero | tr '\0' 'x')=1"
lines 1 'xxx'
[ "$(wc -c <err)" -lt 2000 ] || fail 'a long option is repeated in full'
runs "mode=off,out=$(head -c 5000 /dev/zero | tr '\0' 'x')"
lines 1 'out'

# -- places where no trace can be
touch file
mkdir place
runs "out=missing/directory/"
lines 1 '[Nn]o such file or directory'
runs "out=missing/x-%p.trace"
lines 1 '[Nn]o such file or directory'
runs "out=file/under-a-file.trace"
lines 1 '[Nn]ot a directory'
runs "out=/proc"
lines 1 '/proc'
runs "out=/dev/null"
lines 1 '/dev/null'
runs "out=place/%p-$(printf '%0300d' 7).trace"
lines 1 'file name too long'
runs "out=place/%n%s%p.trace"
lines 1 'only %p, %e and %% are known'
ln -s nowhere link
runs "out=link"
[ -L link ] && [ ! -e nowhere ] && [ "$(cat out)" = output ] || fail 'a planted link was followed'
rm -rf nowhere place/* poolscope-* link*
(ulimit -f 1; runs "out=$scratch/place"; lines 1 '[Ff]ile.*(size|large|limit)'; exit $bad) || bad=1
[ -z "$(ls place)" ] || fail "a trace was left under a limit of file size: $(ls place)"
rm -rf place/*

# -- a sound trace, by whose size the limits below are chosen
mkdir kept
under "out=$scratch/kept/sound.trace" "$VICTIMS/writes" lines >out 2>err || fail "writes: $(cat err)"
[ -s kept/sound.trace ] || fail 'no trace to damage'
size=$(stat -c %s kept/sound.trace)
kilobytes_used=$(du -k kept/sound.trace | cut -f1)

# -- a limit of file size in mid-run: the program does not notice
(ulimit -f $((size / 2048)); under "out=$scratch/limited.trace" "$VICTIMS/writes" lines >out 2>err; echo $? >status)
[ "$(cat status out)" = "$(printf '0\nok')" ] || fail "RLIMIT_FSIZE: $(cat status out err)"
[ "$(wc -l <lines)" -eq 300 ] || fail 'RLIMIT_FSIZE: the program lost lines'
what='RLIMIT_FSIZE'
lines 1 'limit|large'
"$poolscope" report limited.trace >report.txt 2>err || fail "report of a trace that met a limit: $(cat err)"

# -- a full disk: the trace stops, the program does not, what is there can be read
full_disk() { # KILOBYTES: in a mount namespace of its own
    unshare -rm bash -c '
        mount -t tmpfs -o size=$1k tmpfs place || exit 99
        cd place
        timeout 60 env LD_PRELOAD=$2 POOLSCOPE=out=$PWD "$3/writes" ../lines >../out 2>../err
        echo $? >../status
        cp --sparse=always ./*.trace ../ 2>/dev/null
        exit 0' - "$1" "$POOLSCOPE_SO" "$VICTIMS"
}
what='full disk'
rm -f lines ./*.trace
full_disk 100000
case $? in
99 | 1) echo 'no tmpfs can be mounted here: full disk not tested' ;;
*)
    for kilobytes in 8 64 $((kilobytes_used / 4)) $((kilobytes_used / 2)) $((kilobytes_used * 4 / 5)); do
        rm -f lines ./*.trace
        full_disk $kilobytes
        what="full disk of $kilobytes KiB"
        [ "$(cat status out)" = "$(printf '0\nok')" ] || fail "$what: $(cat status out err)"
        [ "$(wc -l <lines)" -eq 300 ] || fail "$what: the program lost lines"
        lines 1 '[Nn]o space left'
        for trace in ./*.trace; do
            [ -e "$trace" ] || continue
            "$poolscope" report "$trace" >report.txt 2>err.report || fail "$what: report: $(cat err.report)"
            grep -qi 'recording stopped\|no space\|disk' report.txt || fail "$what: the report does not tell of it"
        done
    done
    ;;
esac
# Read-only, by a mount.
if unshare -rm bash -c 'mount -t tmpfs -o ro tmpfs place' 2>/dev/null; then
    what='read-only'
    unshare -rm bash -c 'mount -t tmpfs -o ro tmpfs place
        LD_PRELOAD=$1 POOLSCOPE=out=$PWD/place sh -c "echo output; exit 5"' - "$POOLSCOPE_SO" >out 2>err
    [ $? -eq 5 ] && [ "$(cat out)" = output ] || fail "read-only: $(cat out err)"
    lines 1 '[Rr]ead-only'
fi

# -- damaged traces: said, never a crash, never without end
rm -f ./*.trace
mv kept/sound.trace .
"$poolscope" report sound.trace >sound.txt || fail 'report of a sound trace'

# reads TRACE WHAT: ends by itself, with 0 or 1, and says something
reads() {
    local status
    for format in text json; do
        timeout -k 1 20 "$poolscope" report --format=$format "$1" >damaged.out 2>damaged.err
        status=$?
        [ $status -le 1 ] || fail "report ($format) of $2: status $status"
        [ $status -eq 0 ] || grep -q '^poolscope' damaged.err || fail "report ($format) of $2 fails in silence"
        [ $format = text ] || [ $status -ne 0 ] || python3 -c 'import json; json.load(open("damaged.out"))' ||
            fail "report of $2: no JSON"
    done
}
for at in 0 1 7 8 100 4095 4096 32768 65535 65536 65537 \
    $((size / 7)) $((size / 3)) $((size / 2)) $((size - 65536)) $((size - 1)); do
    head -c "$at" sound.trace >cut.trace
    reads cut.trace "a trace cut at $at"
done
head -c 65536 sound.trace >cut.trace
"$poolscope" report cut.trace >out 2>err
cat out err | grep -qi 'cut off\|truncated\|shorter\|ends' ||
    fail "a header alone passes for a whole trace: $(cat out err)"
cat >damage.py <<'END'
import random, sys
source, target, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(seed)
data = bytearray(open(source, "rb").read())
filled = [i for i in range(0, len(data), 4096) if any(data[i:i + 4096])]
for _ in range(1 + seed % 40):
    page = random.choice(filled[:1] * (len(filled) // 3) + filled)
    at = page + random.choice([random.randrange(4096), random.randrange(256) * 8, random.randrange(200)])
    data[min(at, len(data) - 1)] = random.choice([0, 1, 0x7f, 0x80, 0xff, random.randrange(256)])
open(target, "wb").write(data)
END
for seed in $(seq 40); do
    python3 damage.py sound.trace bent.trace "$seed"
    reads bent.trace "a trace damaged with seed $seed"
done

# -- what is no trace
refuses() { # FILE PATTERN
    timeout -k 1 10 "$poolscope" report "$1" >out 2>err
    [ $? -eq 1 ] || fail "report $1: status"
    [ ! -s out ] || fail "report $1: prints something"
    grep -qE "^poolscope report: .*$2" err || fail "report $1: $(cat err)"
}
mkdir empty
: >empty.trace
mkfifo fifo.trace
echo text >text.trace
refuses missing.trace 'missing.trace: No such file or directory'
refuses empty ''
refuses empty.trace 'empty.trace'
refuses text.trace 'text.trace'
refuses fifo.trace 'fifo.trace'
refuses /dev/zero '/dev/zero'
cp sound.trace newer.trace
printf '\377' | dd of=newer.trace bs=1 seek=8 conv=notrunc status=none
refuses newer.trace 'version'

# -- gnuplot is missing
mkdir bin
PATH_WITHOUT=$scratch/bin
for command in sh env cat; do ln -s "$(type -P $command)" bin/; done
PATH=$PATH_WITHOUT "$poolscope" report sound.trace >out 2>err || fail 'summary without gnuplot'
cmp -s out sound.txt || fail 'the summary is another without gnuplot'
PATH=$PATH_WITHOUT "$poolscope" report --format=json sound.trace >out.json 2>err || fail 'JSON without gnuplot'
PATH=$PATH_WITHOUT "$poolscope" report sound.trace -o page >out 2>err
status=$?
[ $status -le 1 ] || fail "a page without gnuplot: status $status"
grep -q 'committed' out || fail 'no summary without gnuplot'
cat out err | grep -qi 'gnuplot' || fail 'nothing tells that gnuplot is missing'
cat out err | grep -qi 'install' || fail 'nothing tells what to install'

# -- commands that cannot be run
status_of() { # STATUS CMD...
    local want=$1 status
    shift
    "$poolscope" run -- "$@" >out 2>err
    status=$?
    [ $status -eq "$want" ] || fail "run $*: status $status, not $want"
    grep -q '^poolscope: ' err || fail "run $*: says nothing"
}
echo text >not-executable
status_of 127 no-such-command
status_of 127 ./no-such-file
status_of 126 ./not-executable
status_of 126 "$scratch/bin"
exit $bad
