#!/bin/sh
# demo.sh BUILD OUT: runs fragment.py under poolscope, prints the summary and writes the page. All output below OUT.
set -eu
build=$1
out=$2
here=$(dirname "$0")
# python3 may be a script that looks for the interpreter; the report is to be about the interpreter.
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')

rm -rf "$out"
mkdir -p "$out/trace"
echo "$ PYTHONMALLOC=malloc $build/poolscope run --out=$out/trace python3 $here/fragment.py"
PYTHONMALLOC=malloc "$build/poolscope" run --out="$out/trace" -- "$python" "$here/fragment.py"
echo
echo "$ $build/poolscope report $out/trace -o $out/report"
"$build/poolscope" report "$out/trace" -o "$out/report" | tee "$out/summary.txt"
if [ ! -s "$out/report/index.html" ]; then
    echo "poolscope: the page was not written" >&2
    exit 1
fi
