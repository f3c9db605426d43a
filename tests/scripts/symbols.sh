#!/bin/bash
# Where names come from when the files of a trace are not at hand: a map of code made at run time, a debuginfod server that
# was asked for, the file that --embed writes beside the trace.
set -u
. "$(dirname "$0")/lib"
command -v python3 >/dev/null || skip 'python3 is not installed'
unset DEBUGINFOD_URLS
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))') # not a launcher script

report() { # ARGUMENT...: to `answer`, and what it says to `said`
    "$BUILD/poolscope" report "$@" >answer 2>said || fail "report $*: $(cat said)"
}

record() { # NAME CMD...: to NAME.trace
    local name=$1
    shift
    under "out=$scratch/$name.trace" "$@" >"$name.out" 2>"$name.err" </dev/null || fail "$name: status $?"
    [ -s "$name.trace" ] || fail "$name: no trace"
}

# Whether some frame of the answer has this function and module.
names() { # FUNCTION MODULE
    "$python" - "$1" "$2" <<'END'
import json, sys
frames = [f for s in json.load(open("answer"))["sites"] for f in s["frames"]]
sys.exit(not any(f["function"] == sys.argv[1] and (f["module"] or "").endswith(sys.argv[2]) for f in frames))
END
}

# ---- code made at run time -------------------------------------------------------------------------------------------

record jit "$VICTIMS/jit"
map=$(grep '^/tmp/perf-' jit.out)
[ -f "$map" ] || { fail 'jit: no map'; exit 1; }
trap 'rm -rf "$scratch" "$map"' EXIT
report --format=json jit.trace
names 'made at run time' "$(basename "$map")" || fail 'code made at run time has no name'
names replaced '' && fail 'a line of the map that was replaced is used'
touch -d '1 hour' "$map"
report --format=json jit.trace
names 'made at run time' '' && fail 'a map that was written after the end of the process is used'

# ---- the names beside a trace ----------------------------------------------------------------------------------------

mkdir away
cp "$VICTIMS/operators" program
record program ./program
chmod 644 program.trace
report --format=json program.trace
names check_containers program || fail 'the program has no names'
names 'std::vector<int, std::allocator<int> >::resize(unsigned long, int const&)' program || fail 'no inlined frames'
cp answer with_files
[ ! -e program.trace.symbols ] || fail 'a report without --embed has written'
report --embed program.trace
grep -qx 'poolscope report: the names of [0-9,]* addresses are in program.trace.symbols' said || fail "embed: $(cat said)"
[ "$(stat -c %a program.trace.symbols)" = 600 ] || fail "mode of the names: $(stat -c %a program.trace.symbols)"
grep -q 'live, as requested' answer || fail 'embed: no summary'
mv program away
report --format=json program.trace
cmp with_files answer || fail 'the names beside the trace are not those of the files'

# No file but the trace can be opened, and that in the place of the standard input: the limit is what keeps libc's and
# other files away.
without_files() {
    (exec <&- && ulimit -n 3 && exec "$BUILD/poolscope" report --format=json "$1") >answer 2>said
}
without_files program.trace || fail "report without files: $(cat said)"
cmp with_files answer || fail 'the names beside the trace are not all'
cp program.trace unnamed.trace
without_files unnamed.trace || fail "report without files and names: $(cat said)"
names check_containers program && fail 'files could be opened'

# What was known stays when names are written again without the files.
report --embed program.trace
report --format=json program.trace
cmp with_files answer || fail 'names were lost when they were written again'

refused() { # WHAT SENTENCE
    report --format=json program.trace
    grep -qx "poolscope report: program.trace.symbols $2, and is not used" said || fail "$1: $(cat said)"
    names check_containers program && fail "$1: it is used"
}
cp program.trace.symbols kept
report --embed jit.trace
cp jit.trace.symbols program.trace.symbols
refused 'names of another trace' 'is of another trace'
head -c "$(($(stat -c %s kept) / 2))" kept >program.trace.symbols
refused 'half of the names' 'is damaged'
sed '1s/ 1$/ 2/' kept >program.trace.symbols
refused 'names of another version' 'has a version that this program does not know'
rm program.trace.symbols && mkfifo program.trace.symbols
refused 'a pipe' 'is no file of symbols'
rm program.trace.symbols && ln -s kept program.trace.symbols
refused 'a link' 'cannot be opened'
rm program.trace.symbols
mkdir closed && cp program.trace closed/ && chmod 500 closed
if [ "$(id -u)" != 0 ]; then
    "$BUILD/poolscope" report --embed closed/program.trace >answer 2>said
    [ $? -eq 1 ] || fail 'names that cannot be written: status'
    grep -q 'poolscope report: cannot write closed/program.trace.symbols: Permission denied' said || fail "closed: $(cat said)"
fi
[ -z "$(find . -name '*.symbols.*')" ] || fail "left behind: $(find . -name '*.symbols.*')"

# ---- a debuginfod server ---------------------------------------------------------------------------------------------

# It is asked when DEBUGINFOD_URLS names it, and only then.
run_server() {
    "$python" - <<'END' >server.log 2>&1 &
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = self.path.split("/")
        print("asked", self.path, flush=True)
        if parts[1:2] == ["buildid"] and parts[3:] == ["debuginfo"] and parts[2] == open("id").read().strip():
            body = open("served/names.debug", "rb").read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_error(404)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
END
    server=$!
    trap 'kill $server; rm -rf "$scratch" "$map"' EXIT
    for _ in $(seq 100); do
        port=$(sed -n 's/^port //p' server.log)
        [ -n "$port" ] && return
        sleep 0.1
    done
    fail "the server does not run: $(cat server.log)"
}

if command -v objcopy strip readelf >/dev/null && ldconfig -p 2>/dev/null | grep -q libdebuginfod; then
    cp away/program names
    readelf -n names | sed -n 's/ *Build ID: //p' >id
    mkdir served # where nothing but the server looks
    objcopy --only-keep-debug names served/names.debug
    strip --strip-all names
    export DEBUGINFOD_CACHE_PATH=$scratch/cache
    record names ./names
    run_server
    report --format=json names.trace
    names check_containers names && fail 'the stripped program has names'
    grep -q asked server.log && fail 'a server was asked without being named'
    export DEBUGINFOD_URLS=http://127.0.0.1:$port
    report --format=json names.trace
    names check_containers names || fail "the server's names are not used: $(tail -n 3 server.log)"
    grep -q "asked /buildid/$(cat id)/debuginfo" server.log || fail "the server was not asked: $(cat server.log)"
else
    echo 'not installed: binutils or libdebuginfod'
fi
exit $bad
