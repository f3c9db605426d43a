#!/bin/bash
# poolscope run: status, environment, options, where the traces go, what it says.
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(cd "${BUILD:-$ROOT/build/release}" && pwd)
poolscope=$BUILD/poolscope
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
bad=0

fail() {
    echo "FAILED: $*"
    sed 's/^/    | /' out err 2>/dev/null
    bad=1
}
# run STATUS ARG...: poolscope ARG... must end with STATUS; its output is in out and err.
run() {
    local want=$1 got
    shift
    "$poolscope" "$@" >out 2>err
    got=$?
    [ $got -eq "$want" ] || fail "poolscope $*: status $got, not $want"
}
says() { grep -qE -- "$1" err || fail "stderr does not say '$1'"; }
prints() { grep -qE -- "$1" out || fail "stdout does not say '$1'"; }
silent_but() { # every line on stderr is ours
    grep -qv '^poolscope: ' err && fail "a line on stderr does not begin with poolscope:"
}
only_directory() {
    set -- poolscope-*/
    [ $# -eq 1 ] && [ -d "$1" ] || { fail "$# directories, not 1: $*"; return; }
    directory=${1%/}
}
no_directory() { ls -d poolscope-* >/dev/null 2>&1 && fail "a directory was left: $(echo poolscope-*)"; }
clean() { rm -rf poolscope-* traces; }

# -- commands
run 2
says '^  poolscope run '
run 2 frobnicate
says "^poolscope: there is no command 'frobnicate'; commands are run, report, .*help$"
run 0 --version
prints '^poolscope [0-9]+\.[0-9]+\.[0-9]+$'
run 0 --help
prints 'poolscope report '
for command in $(sed -n 's/^  poolscope \([a-z]*\).*/\1/p' out); do
    run 0 "$command" --help
    [ -s out ] || fail "$command --help prints nothing"
    cp out direct
    run 0 help "$command"
    cmp -s out direct || fail "help $command differs from $command --help"
done
run 2 help frobnicate
run 0 run --help
prints '^  --mode=exact\|sample\|off .*\[exact\]$'

# -- status
run 0 run -- true
run 1 run false
run 7 run -- sh -c 'exit 7'
run 137 run -- sh -c 'kill -9 $$'
run 143 run -- sh -c 'kill -TERM $$'
run 134 run -- sh -c 'kill -ABRT $$'
clean
run 127 run -- no-such-command-here
says '^poolscope: cannot run no-such-command-here: No such file or directory$'
no_directory
run 127 run -- ./neither
no_directory
echo text >not-executable
run 126 run -- ./not-executable
says '^poolscope: cannot run ./not-executable: Permission denied$'
run 126 run -- /
no_directory
run 125 run
says 'run what'
run 125 run --
run 125 run --depth 5 true
says "'--depth' is no option of run"
says '--snapshots'
run 125 run -x true
no_directory

# -- traces in a directory of their own
run 0 run -- sh -c 'echo hello'
prints '^hello$'
only_directory
says "^poolscope: 1 trace in $directory; next: $poolscope report $directory\$"
case $directory in poolscope-sh-[0-9]*) ;; *) fail "named $directory" ;; esac
[ "$(stat -c %a "$directory")" = 700 ] || fail 'others can list the directory'
[ -z "$(find "$directory" -type f ! -perm 600)" ] || fail 'others can read the traces'
run 0 report "$directory"
grep -q . out || fail 'report prints nothing'
clean
run 0 run -- sh -c 'sh -c "echo a; true"; sh -c "echo b; true"; true'
says '^poolscope: [3-9] traces in '
clean
(PATH=$BUILD:$PATH; poolscope run -- true) 2>err
says '; next: poolscope report poolscope-true-'
clean
ln -s "$(type -P true)" 'a b;$(c)'
run 0 run -- './a b;$(c)'
only_directory
case $directory in poolscope-a_b___c_-*) ;; *) fail "named $directory" ;; esac
clean

# -- and in one that is named, also where the program goes elsewhere
mkdir traces
run 0 run --out=traces -- sh -c 'cd /; sh -c "true; true"; true'
says "^poolscope: 2 traces in $scratch/traces; next: $poolscope report $scratch/traces\$"
no_directory
run 0 run --out=traces -- true
says '^poolscope: 1 trace in '
run 0 run --out=traces/x-%p.trace -- true
says "^poolscope: 1 trace in $scratch/traces/x-[0-9]+.trace; next: "
run 0 run --out=traces/one.trace -- true
says "^poolscope: 1 trace in $scratch/traces/one.trace; next: "
run 0 run --out=traces/one.trace -- true
says '^poolscope: 1 trace in .*/one.*\.trace; next: '
mkdir 'tra,ces and \ it'
run 0 run --out='tra,ces and \ it' -- true
says "^poolscope: 1 trace in '$scratch/tra,ces and .* it'; next: .* report '$scratch/tra,ces and"
mkdir '50%p'
(cd '50%p' && run 0 run -- true && says '^poolscope: 1 trace in poolscope-true-' && mkdir t &&
    run 0 run --out=t -- true && says '1 trace in ' && run 0 run --out=x%p.trace -- true && says '1 trace in ' &&
    exit $bad) || bad=1
rm -rf '50%p' 'tra,ces and \ it'
run 0 run --out=made -- true
says "^poolscope: 1 trace in $scratch/made; next: "
(cd made && run 0 run --out=. -- true && says "^poolscope: 1 trace in $scratch/made; next: " && exit $bad) || bad=1
rm -rf made
run 3 run --out=missing/directory -- sh -c 'exit 3'
says '^poolscope: nothing was recorded of sh: '
silent_but
clean

# -- options and environment
run 0 run --mode=off -- sh -c 'echo "$POOLSCOPE"'
prints '^mode=off,out=/'
says '^poolscope: nothing was recorded of sh: mode is off$'
no_directory
run 0 run --colour=red --depth=0 --snapshots=16 -- sh -c 'echo "$POOLSCOPE"'
says "^poolscope: there is no option 'colour'; options are mode, interval, "
says "^poolscope: option depth cannot be '0'; it takes a number from 1 to 256$"
[ "$(grep -c 'option depth' err)" -eq 1 ] || fail 'said twice'
prints '^snapshots=16,out=/'
silent_but
clean
export POOLSCOPE=depth=9,snapshots=32
run 0 run --depth=7 -- sh -c 'echo "$POOLSCOPE"'
prints '^depth=9,snapshots=32,depth=7,out=/'
clean
mkdir traces
export POOLSCOPE=out=traces
run 0 run -- true
says "^poolscope: 1 trace in $scratch/traces;"
no_directory
unset POOLSCOPE
clean
run 0 run -- sh -c 'echo "$LD_PRELOAD"'
prints "^$BUILD/libpoolscope.so\$"
LD_PRELOAD=libm.so.6 "$poolscope" run -- sh -c 'echo "$LD_PRELOAD"' >out 2>err
prints "^$BUILD/libpoolscope.so:libm.so.6\$"
clean
POOLSCOPE_LIB=/no/such/library.so "$poolscope" run -- true >out 2>err
[ $? -eq 125 ] || fail 'a missing POOLSCOPE_LIB is not 125'
says '^poolscope: cannot read POOLSCOPE_LIB=/no/such/library.so: No such file'
no_directory

# -- installed
make -s -o all -C "$ROOT" install B="$BUILD" PREFIX="$scratch/usr" >out 2>err || fail 'make install'
"$scratch/usr/bin/poolscope" run -- sh -c 'echo "$LD_PRELOAD"' >out 2>err
prints "^$scratch/usr/lib/libpoolscope.so\$"
says '^poolscope: 1 trace in '
[ -s "$scratch/usr/share/man/man1/poolscope.1" ] || fail 'poolscope(1) is not installed'
clean
mkdir alone && cp "$poolscope" alone/
poolscope=$scratch/alone/poolscope run 125 run -- true
says '^poolscope: there is no libpoolscope.so '
mkdir 'a place' && cp "$BUILD/poolscope" "$BUILD/libpoolscope.so" 'a place'
poolscope="$scratch/a place/poolscope" run 125 run -- true
says 'has a space or colon'

# -- programs that cannot be seen
cat >small.c <<'END'
int main(void) { return 5; }
END
if gcc -static -o static small.c 2>gcc.log; then
    run 5 run -- ./static
    says '^poolscope: nothing was recorded of ./static: it is linked statically'
    no_directory
    printf '#!%s/static\n' "$scratch" >script
    chmod +x script
    run 5 run -- ./script
    says 'nothing was recorded of ./script: it is linked statically'
fi
# A 32 bit program, where assembler, linker and kernel know them.
printf '.globl _start\n_start: mov $1, %%eax\nmov $5, %%ebx\nint $0x80\n' >small.s
if as --32 -o small.o small.s 2>as.log && ld -m elf_i386 -o small32 small.o 2>ld.log && { ./small32; [ $? -eq 5 ]; }; then
    run 5 run -- ./small32
    says '^poolscope: nothing was recorded of ./small32: it is a program for another kind of machine'
fi

exit $bad
