#!/bin/bash
# poolscope top: of a process that runs, that is killed, that has ended; as text and on a terminal.
set -u
. "$(dirname "$0")/lib"
top=$BUILD/poolscope
pid=

# Until CONDITION... holds.
await() {
    for _ in $(seq 600); do
        "$@" && return
        sleep 0.05
    done
    fail "waited in vain for: $*"
    return 1
}

said() { # WORD COUNT: the victim has said it so many times
    [ "$(grep -c "^$1$" said)" -ge "$2" ]
}

begin() { # OPTIONS [ARGUMENT...]: the victim, with its input open as descriptor 9
    rm -f input said
    mkfifo input
    : >said
    LD_PRELOAD=$POOLSCOPE_SO POOLSCOPE=$1 "${program:-$VICTIMS/holds}" "${@:2}" <input >said &
    pid=$!
    exec 9>input
    await said ready 1
}

end() {
    exec 9>&-
    wait "$pid"
}

die() {
    kill -9 "$pid"
    wait "$pid" 2>/dev/null
    exec 9>&-
}

has() { # FILE PATTERN...
    local pattern
    for pattern in "${@:2}"; do
        grep -qE -- "$pattern" "$1" || { fail "$1 has no '$pattern'"; sed 's/^/    | /' "$1"; }
    done
}

kept='^ +977 KiB +[0-9.]+ (B|KiB) +[0-9.]+ (B|KiB|MiB) +[0-9,]+ +1,000 +9[0-9]+ KiB  makes_kept holds\.c:'

# ---- a process that runs, and is killed ----------------------------------------------------------------------------

begin out="$scratch/kill.trace"
"$top" top "$pid" >once.txt 2>err || fail "top PID: $(cat err)"
has once.txt "holds  process $pid running for .*mode exact" 'averages of the whole run' '^held [0-9.]+ [KM]iB  live 9[0-9]+ KiB' \
    'RSS [0-9.]+ MiB' '# live .* \+ rounding .* ! pinned .* \. empty .* ~ cached ' '\*LIVE +PINNED +BYTES/S' "$kept"
"$top" top kill.trace >trace.txt || fail 'top TRACE'
has trace.txt "process $pid running for" "$kept"
for view in sites:SITE classes:BLOCK pools:ARENA threads:TID; do
    "$top" top --view=${view%:*} "$pid" >view.txt || fail "view $view"
    has view.txt "${view#*:}"
done
COLUMNS=60 "$top" top --top=1 "$pid" >narrow.txt
[ "$(LC_ALL=C.UTF-8 wc -L <narrow.txt)" -le 60 ] || fail 'wider than 60'

# What is allocated while it looks is seen as a rate; the end of the process is the end of the text.
"$top" top -b -d 0.2 --sort=allocs --top=1 "$pid" >live.txt 2>err &
watcher=$!
shows_rate() {
    grep -A 5 '(of the last ' live.txt | grep -qE '^ +[0-9.]+ B +[0-9.]+ B +[0-9.]+ [KM]iB +[1-9][0-9,]* .*makes_passing'
}
await grep -q makes_kept live.txt
echo go >&9
await said done 1
await shows_rate
die
wait $watcher || fail "a watcher of a killed process: status $?: $(cat err)"
grep -q 'averages of the whole run' <(tail -n 7 live.txt) || fail 'no averages at the end'
tail -n 8 live.txt >last.txt
has last.txt "process $pid killed \(or _exit\) after"
"$top" top kill.trace >killed.txt || fail 'a trace of a killed process'
has killed.txt "process $pid killed \(or _exit\) after" 'averages of the whole run' "$kept"
"$top" top -b -n 5 -d 100 kill.trace >killed.txt || fail 'batch of a killed process'
[ "$(grep -c 'process ' killed.txt)" -eq 1 ] || fail 'what has ended is shown more than once'

begin out="$scratch/exit.trace"
echo go >&9
await said done 1
end
"$top" top --sort=count exit.trace >ended.txt || fail 'a trace of a process that ended'
has ended.txt "process $pid ended after" '\*BLOCKS' "$kept"
"$top" top --top=1 exit.trace >first.txt
has first.txt '^\.\.\. and 1 more$'

begin mode=sample,interval=1k,out="$scratch/sample.trace"
"$top" top "$pid" >sample.txt || fail 'a sampled process'
has sample.txt 'sampled every 1.00 KiB: sites are estimates' 'live [0-9.]+ KiB ± ' '\+- ' makes_kept
end

# ---- names that are more than names --------------------------------------------------------------------------------

program=$scratch/$'ho\033[2Jl\tds'
cp "$VICTIMS/holds" "$program"
begin out="$scratch/name.trace"
"$top" top "$pid" >name.txt || fail 'a name with an escape'
grep -q $'[\033\t]' name.txt && fail 'an escape was written'
has name.txt 'ho.x1b\[2Jl'
end
program=

# ---- what cannot be shown ------------------------------------------------------------------------------------------

refuses() { # STATUS PATTERN ARGUMENT...
    local status
    "$top" top "${@:3}" >out 2>err
    status=$?
    [ $status -eq "$1" ] || fail "top ${*:3}: status $status, not $1"
    [ ! -s out ] || fail "top ${*:3}: writes to stdout"
    [ "$(head -n 1 err | grep -cE "^poolscope top: $2")" -eq 1 ] || fail "top ${*:3}: $(cat err)"
    [ "$1" -eq 1 ] || grep -q "^Try 'poolscope top --help'\.$" err || fail "top ${*:3}: no hint"
}

refuses 2 'which process'
refuses 2 'one process' 1 2
refuses 2 'unknown option --no-such' --no-such 1
refuses 2 '--sort is live, .*, not size' --sort=size 1
refuses 2 '--view is sites, .*, not heap' --view=heap 1
refuses 2 'the delay is .*, not fast' -d fast 1
refuses 2 '--iterations takes .*, not 0' -n 0 1
refuses 2 '--top takes .*, not -1' --top=-1 1
refuses 1 'there is no process 4194305' 4194305
refuses 1 'process [0-9]+ does not run under poolscope; start it by: poolscope run' $$
refuses 1 'cannot open none.trace: No such file' none.trace
refuses 1 'cannot read err: Not a trace' err
"$top" top --help >help.txt || fail 'top --help'
for option in $(grep -oE -- '--[a-z]+' help.txt | sort -u); do
    grep -qF -- "\\-\\-${option#--}" "$ROOT/tools/poolscope-top.1" || fail "poolscope-top(1) does not tell $option"
done
[ "$(grep -cE '^ .* --[a-z]+' help.txt)" -ge 7 ] || fail 'top --help tells no options'

begin mode=off
refuses 1 "process $pid runs under poolscope but writes no trace: mode=off" "$pid"
end
begin out="$scratch/fork-%p.trace" fork
refuses 1 'process [0-9]+ was forked, and has recorded nothing' "$(head -n 1 said)"
"$top" top "$pid" >parent.txt || fail 'a process with a child'
has parent.txt "$kept"
# Without its name the trace is opened by root alone.
rm -f fork-*.trace
if "$top" top "$pid" >gone.txt 2>err; then
    has gone.txt "$kept"
else
    grep -q "the trace of process $pid cannot be opened" err || fail "no name: $(cat err)"
fi
stranger='setpriv --reuid=65534 --regid=65534 --clear-groups'
if $stranger "$top" --version >/dev/null 2>&1; then
    $stranger "$top" top "$pid" 2>err && fail "another user's process is shown"
    grep -q "^poolscope top: process $pid is not yours to look into" err || fail "another user: $(cat err)"
fi
end

# ---- on a terminal -------------------------------------------------------------------------------------------------

command -v python3 >/dev/null || skip 'python3 is not installed'
cat >terminal.py <<'END'
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

top, pid, scene = sys.argv[1], int(sys.argv[2]), sys.argv[3]
REDRAW = b"\x0c"

class Screen:
    def __init__(self, options=(), **environment):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.resize(24, 80, None)
        self.before = termios.tcgetattr(slave)
        self.seen = b""
        self.child = os.fork()
        if self.child == 0:
            self.login(slave)
            os.environ.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}, **environment)
            os.environ.pop("COLUMNS", None)
            os.execv(top, [top, "top", "-d", "0.2", *options, str(pid)])

    def login(self, slave):
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in range(3):
            os.dup2(slave, descriptor)

    def resize(self, lines, columns, child):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if child is not None:
            os.kill(child, signal.SIGWINCH)

    # Sends keys and has the screen drawn anew until it shows the pattern.
    def shows(self, pattern, keys=b""):
        os.write(self.master, keys + REDRAW)
        until, again = time.time() + 60, time.time() + 0.5
        self.seen = b""
        while re.search(pattern, self.seen) is None:
            assert time.time() < until, (pattern, self.seen)
            if time.time() > again:
                os.write(self.master, REDRAW)
                again = time.time() + 0.5
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)

    # Ends, and leaves the terminal as it was.
    def ends(self, keys=b""):
        os.write(self.master, keys)
        self.seen = b""
        while True:
            done, status = os.waitpid(self.child, os.WNOHANG)
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
            elif done:
                break
        assert status == 0, status
        assert b"\x1b[?1049l" in self.seen, self.seen
        assert termios.tcgetattr(self.slave) == self.before

def keys():
    screen = Screen()
    screen.shows(rb"\*LIVE")
    screen.shows("makes_kept holds\\.c:\\d+ ← main".encode())
    screen.shows(rb"\x1b\[3[12]m")
    screen.shows(rb"\*PINNED", b"P")
    screen.shows(rb"\*ALLOCS/S", b"A")
    screen.shows(rb"\*BYTES/S", b"<")
    screen.shows(rb"HELP", b"h")
    screen.shows(rb"\*BYTES/S", b"q")
    screen.shows(rb"POOLS BY OCCUPANCY", b"3")
    screen.shows(rb"TID .* NAME", b"\t")
    screen.shows(rb"CAPACITY|HELD", b"2")
    screen.shows(rb"\*LIVE", b"1L")
    screen.shows(rb"SITE \d", b"/MAKES_K\r\r")
    screen.shows(rb"0  makes_kept")
    screen.shows(rb"\*LIVE", b"\x1b")
    screen.shows(rb"no site has 'zzz'", b"/zzz\r")
    screen.shows(rb"every 500 ms", b"d0.5\r")
    screen.shows(rb"the delay is a number", b"dfoo\r")
    screen.resize(40, 140, screen.child)
    screen.shows(rb"ALLOCS/S +BLOCKS +PEAK")
    screen.resize(10, 60, screen.child)
    screen.shows(rb"\*LIVE")
    screen.ends(b"q")

def plain():
    screen = Screen(NO_COLOR="1", LC_ALL="C")
    screen.shows(rb"makes_kept holds\.c:\d+ < main")
    assert re.search(rb"\x1b\[[0-9;]*3[1-7]m", screen.seen) is None, screen.seen
    os.kill(screen.child, signal.SIGTERM)
    screen.ends()
    Screen(["-n", "3"]).ends()

def death():
    screen = Screen()
    screen.shows(rb"running for")
    os.kill(pid, signal.SIGKILL)
    screen.shows(rb"killed \(or _exit\) after")
    screen.shows(rb"\*PEAK", b"K")
    screen.shows(rb"makes_kept")
    screen.ends(b"q")

{"keys": keys, "plain": plain, "death": death}[scene]()
END
begin out="$scratch/screen.trace"
for scene in keys plain; do
    timeout 200 python3 terminal.py "$top" "$pid" $scene 2>err || fail "$scene: $(tail -c 3000 err)"
done
python3 terminal.py "$top" "$pid" death 2>err || fail "death: $(tail -c 3000 err)"
wait "$pid" 2>/dev/null
exec 9>&-
TERM=none script -qec "$top top screen.trace" /dev/null </dev/null >out 2>&1
grep -q 'this terminal (TERM=none) cannot be used' out || fail "an unknown terminal: $(cat out)"
exit $bad
