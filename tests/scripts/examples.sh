#!/bin/bash
# The examples of the manual pages work as they stand: each line in the order of its page, in a directory that has what
# they name. (Those of poolscope-top(1) want a server that goes on: top.sh has them.)
set -u
. "$(dirname "$0")/lib"
for tool in python3 jq make go ms_print; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
mkdir bin
ln -s "$BUILD/poolscope" bin/poolscope
ln -s "$VICTIMS/apart" bin/CMD
PATH=$scratch/bin:$PATH
export POOLSCOPE_LIB=$POOLSCOPE_SO

# The lines between .nf and .fi of the section, as a terminal shows them; those with a prompt without it.
examples() {
    awk '/^\.SH/ {on = ($0 == ".SH EXAMPLES")} /^\.fi/ {shown = 0} on && shown {print} /^\.nf/ {shown = 1}' "$1" |
        sed "s/\\\\-/-/g; s/\\\\(aq/'/g; s/\\\\e/\\\\/g; s/^\\$ //"
}

set_up() {
    mkdir "$1" && cd "$1" || exit 1
    echo 'print(sum(len(str(i)) for i in range(20000)))' >script.py
    printf 'all:\n\t@ls /usr/bin | sort | tail -n 1\n' >Makefile
    for name in x old new poolscope-python3-4242/one; do
        mkdir -p "$(dirname $name)"
        poolscope run --events=on --out=$name.trace -- "$VICTIMS/realloc" >log 2>&1 || fail "a trace for $1: $(cat log)"
    done
}

count=0
for page in "$ROOT"/tools/*.1 "$ROOT"/report/*.1; do
    name=$(basename "$page")
    [ "$name" != poolscope-top.1 ] || continue
    set_up "$name"
    while IFS= read -r line; do
        count=$((count + 1))
        timeout -k 5 $SECONDS_MOST bash -c "set -o pipefail; $line" >log 2>&1 </dev/null ||
            fail "$name: $line: $(tail -n 3 log)"
    done < <(examples "$page")
    cd "$scratch" || exit 1
done
[ $count -ge 20 ] || fail "only $count examples"
exit $bad
