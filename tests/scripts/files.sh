#!/bin/bash
# The files that are written: for their owner alone, never through something planted at their names, never in the place of
# another one, never by a process with more rights than its caller; and whole or not there on a full disk.
set -u
umask 022 # some programs below have another one
. "$(dirname "$0")/lib"
poolscope=$BUILD/poolscope
[ -x /bin/true ] || skip 'no /bin/true'

# planted WHAT NAME: puts something at NAME that a careless program would write to or wait for
planted() {
    case $1 in
    link) ln -s "$scratch/precious" "$2" ;;
    dangling) ln -s "$scratch/nowhere" "$2" ;;
    hard_link) ln "$scratch/precious" "$2" ;;
    fifo) mkfifo "$2" ;;
    directory) mkdir "$2" ;;
    esac
}
kept() { # WHAT: what was planted led nowhere
    [ "$(cat "$scratch/precious")" = precious ] || fail "$1: the other file was written to"
    [ "$(stat -c %a "$scratch/precious")" = 644 ] || fail "$1: the other file's mode"
    [ ! -e "$scratch/nowhere" ] || fail "$1: a file was made through a dangling link"
    rm -rf "$scratch/nowhere"
    echo precious >"$scratch/precious"
}
owned() { # FILE: a regular file of ours, for us alone
    [ -f "$1" ] && [ ! -L "$1" ] && [ "$(stat -c '%a %h %u' "$1")" = "600 1 $(id -u)" ] ||
        fail "$1: $(stat -c '%A, %h links, of %u' "$1" 2>&1)"
}
echo precious >precious

# -- a directory for all, as /tmp is
mkdir place
chmod 1777 place
[ "$(id -u)" != 0 ] || chown nobody place

# -- modes, whatever the umask: trace, log, those of children
for mask in 000 777; do
    (umask $mask && under "out=$scratch/place,events=on" bash -c '(list=({1..100})); exit 0' >out 2>err) ||
        fail "umask $mask: $(cat err)"
    [ "$(ls place/*.trace | wc -l)" -eq 2 ] && [ "$(ls place/*.events | wc -l)" -eq 2 ] ||
        fail "umask $mask: not two traces with their logs: $(ls place)"
    for file in place/*; do owned "$file"; done
    rm -f place/*
done

# -- what is planted at the name of a trace or its log: the next name is free
for what in link dangling hard_link fifo directory; do
    for suffix in '' .events; do
        bash -c 'planted=$1 name=$2/poolscope-$$.trace$3; '"$(declare -f planted)"'
            scratch=$4 && planted $1 "$name" && echo $$ >pid && shift 4 && exec timeout -k 5 60 env "$@"' - \
            $what place "$suffix" "$scratch" LD_PRELOAD="$POOLSCOPE_SO" POOLSCOPE="out=$scratch/place,events=on" \
            bash -c 'exec "$@"' - /bin/true >out 2>err || fail "$what$suffix: $(cat err)"
        kept "$what$suffix"
        rm -rf place/*
    done
    planted $what place/x.trace
    under "out=$scratch/place/x.trace" "$VICTIMS/holds" >out 2>err || fail "x.trace, $what: $(cat err)"
    owned place/x.2.trace
    kept "x.trace, $what"
    "$poolscope" report place/x.2.trace >report.txt 2>err || fail "$what: report: $(cat err)"
    rm -rf place/*
    planted $what place/x.trace.events
    under "out=$scratch/place/x.trace,events=on" "$VICTIMS/holds" >out 2>err || fail "x.trace.events, $what: $(cat err)"
    owned place/x.2.trace
    owned place/x.2.trace.events
    kept "x.trace.events, $what"
    rm -rf place/*
done

# -- what is put in the place of a trace while the program runs: its end does not cut it
for what in link hard_link fifo directory; do
    mkfifo go
    under "out=$scratch/place/x.trace,events=on" sh -c 'read -r line <go; exit 3' >out 2>err &
    for _ in $(seq 300); do
        [ -e place/x.trace.events ] && break
        sleep 0.05
    done
    for name in place/x.trace place/x.trace.events; do
        mv "$name" place/moved && rm -f place/moved && planted $what "$name"
    done
    echo >go
    wait $!
    [ $? -eq 3 ] || fail "replaced by a $what: the program's status"
    kept "replaced by a $what"
    rm -rf place/* go
done

# -- one process, one name, three programs: a trace of each
(exec env LD_PRELOAD="$POOLSCOPE_SO" POOLSCOPE="out=$scratch/place/x.trace" sh -c 'exec sh -c "exec /bin/true"') 2>err
ends=$(for trace in place/x.trace place/x.?.trace; do
    "$poolscope" report --format=json "$trace" | sed -n 's/^ *"end": "\(.*\)",*$/\1/p'
done | sort | uniq -c | awk '{print $2 $1}' | tr '\n' ' ')
[ "$ends" = 'exec2 exit1 ' ] || fail "exec: $(ls place) end so: $ends"
rm -f place/*

# -- the same number again: what the earlier process left stays as it is
if unshare -rpf true 2>/dev/null; then
    for round in 1 2 3; do
        unshare -rpf env LD_PRELOAD="$POOLSCOPE_SO" POOLSCOPE="out=$scratch/place,events=on" "$VICTIMS/holds" >out 2>err ||
            fail "process 1: $(cat err)"
        [ $round -ne 1 ] || sha256sum place/* >sums
        sha256sum --quiet -c sums || fail 'a later process with the number changed what an earlier one wrote'
    done
    [ "$(ls place | tr '\n' ' ')" = 'poolscope-1.2.trace poolscope-1.2.trace.events poolscope-1.3.trace poolscope-1.3.trace.events poolscope-1.trace poolscope-1.trace.events ' ] ||
        fail "three processes with one number left $(ls place)"
    rm -f place/*
fi

# -- the name of the program is one part of a path, and no pattern
cp /bin/true 'a%p;$(touch owned) `touch owned`'
under "out=$scratch/place/%e%%.trace" './a%p;$(touch owned) `touch owned`' >out 2>err || fail "an odd name: $(cat err)"
owned 'place/a%p;$(touch owned) `touch owned`%.trace'
[ ! -e owned ] && [ ! -e place/owned ] || fail 'the name of a program was run'
rm -f place/*

# -- poolscope run: a directory and a file of its own, whatever is there
cat >plant.py <<'END'
import os, sys
plant = {"link": lambda name: os.symlink("../precious", name), "dangling": lambda name: os.symlink("../nowhere", name),
         "hard_link": lambda name: os.link("../precious", name), "fifo": os.mkfifo, "directory": os.mkdir,
         "directory_link": lambda name: os.symlink("../elsewhere", name)}[sys.argv[1]]
for pid in range(os.getpid(), os.getpid() + 200):
    plant(sys.argv[2].replace("PID", str(pid)))
os.execv(sys.argv[3], sys.argv[3:])
END
mkdir elsewhere
(umask 000 && cd place && python3 ../plant.py directory_link poolscope-holds-PID \
    "$poolscope" run --apart=main -- "$VICTIMS/holds") >out 2>err || fail "run: $(cat err)"
own=$(find place -mindepth 1 -type d)
[ -n "$own" ] && [ "$(stat -c %a "$own")" = 700 ] || fail "run: $(ls -la place | tail)"
[ -z "$(ls elsewhere)" ] || fail "run: wrote through a planted link: $(ls elsewhere)"
for file in "$own"/*; do owned "$file"; done
rm -rf place/* elsewhere
for what in link dangling hard_link fifo directory; do
    (cd place && python3 ../plant.py $what poolscope-PID.apart \
        "$poolscope" run --out=%p.trace --apart=main -- "$VICTIMS/holds") >out 2>err ||
        { [ $what = directory ] && grep -q '^poolscope: .*File exists$' err; } || fail "rules, $what: $(cat err)"
    kept "rules, $what"
    rm -rf place/*
done

# -- what commands write: not through links that were planted in the directory; whole, or as it was
under "out=$scratch/x.trace" "$VICTIMS/holds" || fail 'no trace'
mkdir page
for name in index.html memory.tsv memory.svg; do planted link page/$name; done
"$poolscope" report x.trace -o page >out 2>err || fail "page: $(cat err)"
kept page
grep -q '</html>' page/index.html && [ ! -L page/index.html ] || fail 'no page in the place of a link'
full() { # KILOBYTES: all that is written, on a disk of that size, where an earlier page, export and names are
    unshare -rm bash -c '
        mount -t tmpfs -o size=$1k tmpfs disk || exit 99
        mkdir disk/page
        echo "earlier</html>" >disk/page/index.html
        for file in disk/x.pprof disk/x.dhat disk/x.trace.symbols; do echo earlier >$file; done
        ln -s ../x.trace disk/x.trace
        "$2" report disk/x.trace -o disk/page >out 2>page.err
        echo $? >status
        for format in pprof dhat; do "$2" export --to=$format disk/x.trace -o disk/x.$format; done 2>export.err
        "$2" report --embed disk/x.trace >out 2>embed.err
        cp -r disk/. kept/' - "$1" "$poolscope"
}
mkdir disk
if unshare -rm bash -c 'mount -t tmpfs -o size=64k tmpfs disk' 2>/dev/null; then
    cp x.trace whole.trace
    "$poolscope" report --embed whole.trace >out 2>err && [ -s whole.trace.symbols ] || fail "embed: $(cat err)"
    for kilobytes in 32 80 300; do
        rm -rf kept && mkdir kept
        rm -f status
        full $kilobytes && [ -s status ] || fail "a disk of $kilobytes KiB: not run"
        what="a disk of $kilobytes KiB"
        grep -q '</html>' kept/page/index.html || fail "$what: half a page"
        for picture in kept/page/*.svg; do
            [ ! -e "$picture" ] || grep -q '</svg>' "$picture" || fail "$what: half a picture: $picture"
        done
        for file in kept/x.pprof kept/x.dhat; do
            [ "$(cat "$file" | tr -d '\0')" = earlier ] || "$poolscope" export --to="${file##*.}" x.trace | cmp -s - "$file" ||
                fail "$what: half of ${file##*/}"
        done
        symbols=kept/x.trace.symbols
        [ ! -e $symbols ] || [ "$(tr -d '\0' <$symbols)" = earlier ] || cmp -s whole.trace.symbols $symbols ||
            fail "$what: half of the names"
        [ $kilobytes -ne 32 ] || grep -q 'No space left on device' page.err || fail "$what: it was not full"
        [ "$(cat status)" -eq 0 ] || grep -q '^poolscope report: cannot write .*: No space left on device$' page.err ||
            fail "$what: $(cat page.err)"
        [ -z "$(find kept -name '*.??????' ! -name '*.trace*')" ] || fail "$what: left behind: $(find kept)"
    done
else
    echo 'no tmpfs can be mounted here: full disk not tested'
fi

# -- a process with more rights than its caller: no file, no word, no option
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && command -v cc >/dev/null; then
    cat >secured.c <<'END'
#include <stdlib.h>
#include <stdio.h>
#include <sys/auxv.h>
int main(int argc, char **argv) {
    void *volatile p = malloc(100);
    printf("secure %lu %s\n", getauxval(AT_SECURE), getenv("POOLSCOPE") != NULL ? "told" : "");
    fflush(stdout);
    free(p);
    if (argc > 1) {
        free(p);
    }
    return 0;
}
END
    mkdir open
    chmod 755 . open
    cp "$POOLSCOPE_SO" open/
    cc -o open/plain -Wno-all -fno-builtin secured.c -Wl,--no-as-needed open/libpoolscope.so -Wl,-rpath,"$PWD/open" ||
        fail 'cannot build the program'
    cp open/plain open/secured
    chown root open/secured
    chmod 4755 open/secured
    as_nobody() {
        (cd place && setpriv --reuid=65534 --regid=65534 --clear-groups env \
            POOLSCOPE="out=$scratch/place,events=on,verbose=on,on_error=warn,colour=red" "$@" 2>../err >../out)
    }
    if as_nobody "$PWD/open/secured" && grep -q '^secure 1 told' out; then
        [ -z "$(ls place)" ] || fail "setuid: wrote $(ls place)"
        [ ! -s err ] || fail "setuid: said $(cat err)"
        (as_nobody "$PWD/open/secured" twice) 2>/dev/null
        [ $? -eq 134 ] || fail 'setuid: on_error=warn was honoured'
        as_nobody "$PWD/open/plain" && grep -q '^secure 0 told' out || fail "the same without the right: $(cat out err)"
        [ "$(ls place | wc -l)" -eq 2 ] && grep -q colour err || fail "the same without the right: wrote $(ls place)"
    else
        echo 'no set-user-id here: not tested'
    fi
fi
exit $bad
