#!/bin/bash
# poolscope diff on two builds of a program, of whose memory a known part is different: the sites that grew and shrank are
# named with their bytes, other code around them does not matter, and growth has a status.
set -u
. "$(dirname "$0")/lib"
command -v jq >/dev/null || skip 'jq is not installed'
poolscope=$BUILD/poolscope

build() { # FILE OPTION...: the source beside FILE with these options
    local file=$1
    shift
    gcc -std=gnu11 -g -O1 -I"$ROOT" -D_GNU_SOURCE -fno-builtin "$@" -o "$file" "$file.c" || fail "gcc $*"
}
record() { # TRACE PROGRAM [OPTIONS]
    under "out=$scratch/$1${3:+,$3}" "$2" >out 2>err || fail "$2: $(cat err)"
}
compare() { # STATUS ARG...
    local want=$1 status
    shift
    timeout -k 1 60 "$poolscope" diff "$@" >out 2>err
    status=$?
    [ $status -eq "$want" ] || fail "diff $*: status $status, not $want: $(cat err)"
}
is() { # WANT FILTER: of the JSON in out
    local got
    got=$(jq -c "$2" <out) || fail "no JSON: $2"
    [ "$got" = "$1" ] || fail "$2 is $got, not $1"
}
says() { grep -qE -- "$1" err || fail "stderr does not say '$1': $(cat err)"; }
quiet() { [ ! -s err ] || fail "stderr says: $(cat err)"; }

mkdir first second place
cp "$ROOT/tests/victims/grows.c" first/
(printf '\n\n\n'; cat first/grows.c) >second/grows.c
build first/grows
build second/grows -DSECOND
record old.trace first/grows
record new.trace second/grows

# -- what changed, to the byte
site='.sites[] | select(.frames[].function == "%s") | [.state, .change, .live_count_new - .live_count_old]'
compare 0 --format=json old.trace new.trace
quiet
is '["makes_more",250000]' '.sites[0] | [(.frames | map(.function) | map(select(test("^makes|^is_")))[0]), .change]'
is '["both",250000,250]' "$(printf "$site" makes_more)"
is '["both",-75000,-150]' "$(printf "$site" makes_less)"
is '["gone",-60000,-3]' "$(printf "$site" is_gone)"
is '["new",60000,2]' "$(printf "$site" is_new)"
is '[175000,99]' '[.totals.live_bytes_change, .totals.live_count_change]'
is true '([.sites[].change] | add) == .totals.live_bytes_change'
is true '([.sites[].live_bytes_new] | add) + .sites_left_out.live_bytes_new == .totals.live_bytes_new'
is true '([.sites[].pinned_bytes_new] | add) + .sites_left_out.pinned_bytes_new == .totals.pinned_bytes_new'
is true '.totals.alloc_bytes_change == 175000 + 250 * 100'
is '[]' '.warnings'
compare 0 --format=json --by=alloc --top=1 old.trace new.trace
is '[1,250000,"alloc"]' '[(.sites | length), .sites[0].change, .by]'
is true '([.sites[], .sites_left_out] | map(.alloc_bytes_new - .alloc_bytes_old) | add) == .totals.alloc_bytes_change'

# -- two mallocs of one function are one site, unless lines count
compare 0 --format=json --by=alloc old.trace old.trace
is '[0,0]' '[(.sites | length), .totals.live_bytes_change]'
together=$(jq .sites_left_out.count <out)
compare 0 --format=json --lines old.trace old.trace
is $((together + 1)) .sites_left_out.count
compare 0 --format=json --lines old.trace new.trace
is true '[.sites[] | select(.frames[].function == "makes_less") | .state] | sort == ["gone", "new"]'

# -- for people
compare 0 --top=2 old.trace new.trace
grep -qE '^   1\. \+244 KiB live \(\+250 blocks\); from 97\.7 KiB to 342 KiB \(\+250,000 bytes\)$' out ||
    fail "the text: $(cat out)"
grep -A 2 '^   1\. ' out | grep -qE '^ +makes_more +.*grows\.c:[0-9]+$' || fail "the text does not name the function: $(cat out)"
grep -qE 'live, as requested .* \+175,000 +\+49\.3 %$' out || fail "the totals: $(cat out)"
grep -q ' $' out && fail 'blanks at the end of a line'
compare 0 old.trace new.trace
grep -q '^   3\. gone: -58\.6 KiB live' out && grep -q '^   4\. new: +58\.6 KiB live' out || fail "no marks: $(cat out)"

# -- the examples of the manual page
(sed -n '/^\.nf/,/^\.fi/p' "$ROOT/report/poolscope-diff.1" | grep '^poolscope' | sed 's/\\-/-/g; s/\\(aq/'"'"'/g') >examples
[ "$(wc -l <examples)" -ge 4 ] || fail "examples: $(cat examples)"
while IFS= read -r example; do
    PATH=$BUILD:$PATH bash -c "$example" >out 2>err </dev/null
    status=$?
    case $example in
    *--fail-over*) [ $status -eq 0 ] || [ $status -eq 3 ] ;;
    *) [ $status -eq 0 ] && [ -s out ] ;;
    esac || fail "$example: status $status: $(cat err)"
done <examples

# -- limits for tests
compare 0 --fail-over=175000 old.trace new.trace
quiet
compare 3 --fail-over=174999 old.trace new.trace
says '^poolscope diff: live bytes grew by 175,000 \(171 KiB\), more than 174,999; most at makes_more \(.*grows\.c:[0-9]+\): \+250,000$'
[ "$(wc -l <err)" -eq 1 ] || fail 'not one line'
compare 3 --fail-over=live:100K --fail-over=peak:1M --fail-over=alloc:100K old.trace new.trace
[ "$(wc -l <err)" -eq 2 ] || fail "not a line for each limit: $(cat err)"
compare 0 --fail-over=1M --fail-over=pinned:1G old.trace new.trace
compare 0 --fail-over=0 new.trace old.trace
compare 3 --fail-over=pinned:0 new.trace old.trace
says '^poolscope diff: pinned bytes grew by 3,072 '
compare 2 --fail-over=1X old.trace new.trace
says "Try 'poolscope diff --help'"
compare 1 --fail-over=0 old.trace missing.trace
says '^poolscope diff: cannot open missing.trace: No such file'

# -- built anew in its place: the old names are gone, unless they were kept
cp first/grows place/
record kept.trace place/grows
"$poolscope" report --embed kept.trace >out 2>err || fail "embed: $(cat err)"
record lost.trace place/grows
cp second/grows place/
record anew.trace place/grows
compare 0 --format=json kept.trace anew.trace
is '["both",250000,250]' "$(printf "$site" makes_more)"
is 175000 .totals.live_bytes_change
quiet
compare 0 --format=json lost.trace anew.trace
says '^poolscope diff: OLD has no names for functions of .*place/grows \(another build is in its place\)'
is '["new",350000,350]' "$(printf "$site" makes_more)"
is 1 '.warnings | length'

# -- stripped: offsets are all there is, and the same build has the same
strip -o place/stripped first/grows
record one.trace place/stripped
record two.trace place/stripped
compare 0 --format=json one.trace two.trace
is '[0,[]]' '[([.sites[] | select(.live_bytes_change != 0)] | length), .warnings]'

# -- samples have errors
record sampled1.trace first/grows mode=sample,interval=2k,seed=1
record sampled2.trace second/grows mode=sample,interval=2k,seed=2
record sampled3.trace first/grows mode=sample,interval=2k,seed=3
compare 0 --format=json sampled1.trace sampled2.trace
is true '.sites[0] | .change_error > 0 and (.within_error | not)'
is true '.sites[0] | (.change - 250000 | fabs) <= 2 * .change_error'
compare 0 --format=json --by=alloc sampled1.trace sampled3.trace
is true '[.sites[].within_error] | all'
compare 0 --by=alloc sampled1.trace sampled3.trace
grep -qE '± .* allocated .*, within the error' out || fail "the text does not tell errors: $(cat out)"
compare 0 old.trace sampled2.trace
says 'OLD was recorded with mode=exact, NEW with mode=sample'

# -- directories: the same program in both, however much others held
mkdir runs1 runs2
under "out=$scratch/runs1" sh -c 'first/grows; sed -n 1p lib; true' >out 2>err
under "out=$scratch/runs2" sh -c "second/grows; $VICTIMS/fragment; true" >out 2>err
compare 0 --format=json runs1 runs2
is '["grows","grows",175000]' '[(.old.exe, .new.exe | sub(".*/"; "")), .totals.live_bytes_change]'
compare 0 --format=json old.trace runs2
is '["grows",175000]' '[(.new.exe | sub(".*/"; "")), .totals.live_bytes_change]'
quiet
echo junk >runs2/junk.trace
compare 1 --format=json runs1 runs2
says '^poolscope diff: cannot open runs2/junk.trace'
is 175000 .totals.live_bytes_change
mkdir empty
compare 1 empty runs1
says '^poolscope diff: no trace \(\*\.trace\) in empty$'

# -- damage: an answer, never a crash
size=$(stat -c %s new.trace)
for at in 0 100 65536 300000 $((size / 2)) $((size - 1)); do
    head -c "$at" new.trace >cut.trace
    for format in text json; do
        timeout -k 1 20 "$poolscope" diff --format=$format old.trace cut.trace >out 2>err
        status=$?
        [ $status -le 1 ] || fail "cut at $at ($format): status $status"
        [ $status -eq 0 ] || grep -q '^poolscope diff: cannot open cut.trace' err || fail "cut at $at fails in silence"
        [ $status -ne 0 ] || [ $format = text ] || jq . <out >/dev/null || fail "cut at $at: no JSON"
    done
done
compare 0 old.trace cut.trace
says '^poolscope diff: NEW is damaged in [0-9]+ place'
compare 1 old.trace lib
exit $bad
