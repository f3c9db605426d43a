#!/bin/bash
# poolscope run and signals: those of the terminal are the program's business, TERM and HUP are passed on.
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(cd "${BUILD:-$ROOT/build/release}" && pwd)
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
bad=0

fail() {
    echo "FAILED: $*"
    sed 's/^/    | /' out err 2>/dev/null
    bad=1
}

cat >program <<'END'
#!/bin/bash
trap 'echo got TERM; exit 41' TERM
trap 'echo got HUP; exit 42' HUP
trap 'echo got INT; exit 43' INT
echo ready
for i in $(seq 200); do sleep 0.05; done
exit 1
END
chmod +x program

begin() { # COMMAND...: runs it in a group of its own, as a shell with job control does, and waits until it is up
    rm -f out err
    touch out
    set -m
    "$@" >out 2>err &
    launcher=$!
    set +m
    for _ in $(seq 100); do
        grep -q ready out && return
        sleep 0.05
    done
    fail 'the program did not come up'
}

end() { # STATUS TEXT
    local got
    wait "$launcher"
    got=$?
    [ $got -eq "$1" ] || fail "status $got, not $1"
    grep -q "$2" out || fail "the program did not say '$2'"
    grep -q '^poolscope: .* in poolscope-program-' err || fail 'no closing line'
}

begin "$BUILD/poolscope" run -- ./program
kill -TERM "$launcher"
end 41 'got TERM'

begin "$BUILD/poolscope" run -- ./program
kill -HUP "$launcher"
end 42 'got HUP'

# As Ctrl-C does: the whole group.
begin "$BUILD/poolscope" run -- ./program
kill -INT -- "-$launcher"
end 43 'got INT'

# To the launcher alone: it stays, and so does the program.
begin "$BUILD/poolscope" run -- ./program
kill -INT "$launcher"
kill -QUIT "$launcher"
sleep 0.3
kill -0 "$launcher" 2>/dev/null || fail 'the launcher went on INT'
kill -TERM "$launcher"
end 41 'got TERM'

# The program finds the dispositions that the launcher found.
"$BUILD/poolscope" run -- sh -c 'grep -E "^Sig(Ign|Blk)" /proc/self/status' >seen 2>err
sh -c 'grep -E "^Sig(Ign|Blk)" /proc/self/status' >plain
cmp -s seen plain || { fail 'signals differ'; diff plain seen; }
(trap '' HUP; "$BUILD/poolscope" run -- sh -c 'grep -E "^SigIgn" /proc/self/status' >seen 2>err)
grep -q '1$' seen || fail 'an ignored HUP is not ignored in the program'
exit $bad
