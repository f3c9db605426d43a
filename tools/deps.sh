#!/bin/sh
# Installs what is missing of the packages for the purposes named: build, demo, check, programs. Asks apt only when
# something is, and starts no service that comes with a package.
set -u

# purpose, package, how to see that it is there: cmd NAME, pc NAME (pkg-config), file PATTERN, lib NAME (gcc's), fuzzer
# (clang's library)
packages='
build gcc cmd:gcc
build make cmd:make
build binutils cmd:ar
build pkg-config cmd:pkg-config
build libc6-dev file:/usr/include/stdlib.h
build g++ lib:stdc++
check libunwind-dev pc:libunwind
build libdw-dev pc:libdw
build libelf-dev pc:libelf
build libncurses-dev pc:ncursesw
build zlib1g-dev pc:zlib
demo gnuplot-nox cmd:gnuplot
demo python3 cmd:python3
check check pc:check
check g++ cmd:g++
check clang cmd:clang
check libclang-rt-dev fuzzer
check groff cmd:groff
check git cmd:git
check perl cmd:perl
check sqlite3 cmd:sqlite3
check xz-utils cmd:xz
check procps cmd:ps
check redis-tools cmd:redis-benchmark
check jq cmd:jq
check libjemalloc-dev cmd:jeprof
check valgrind cmd:ms_print
check golang-go cmd:go
check nodejs cmd:node
check chromium cmd:chromium
programs apache2-utils cmd:ab
programs busybox-static cmd:busybox
programs clang cmd:clang
programs cmake cmd:cmake
programs curl cmd:curl
programs default-jdk-headless cmd:javac
programs emacs-nox cmd:emacs
programs ffmpeg cmd:ffmpeg
programs gawk cmd:gawk
programs gdb cmd:gdb
programs ghostscript cmd:gs
programs imagemagick file:/usr/bin/convert
programs libcap2-bin file:/usr/sbin/setcap
programs libpython3.11-testsuite file:/usr/lib/python3.*/test/test_list.py
programs lua5.4 cmd:lua5.4
programs mariadb-server file:/usr/sbin/mariadbd
programs memcached cmd:memcached
programs nginx-light file:/usr/sbin/nginx
programs ninja-build cmd:ninja
programs openssh-server file:/usr/sbin/sshd
programs openssl cmd:openssl
programs php-cli cmd:php
programs poppler-utils cmd:pdftotext
programs postgresql file:/usr/lib/postgresql/*/bin/pgbench
programs rsync cmd:rsync
programs ruby cmd:ruby
programs rustc cmd:rustc
programs tmux cmd:tmux
programs vim cmd:vim
programs zstd cmd:zstd
'

present() {
    # shellcheck disable=SC2086 # a pattern
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null ;;
    pc:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#pc:}" ;;
    file:*) ls -d ${1#file:} >/dev/null 2>&1 ;;
    lib:*) file=$(gcc -print-file-name="lib${1#lib:}.so" 2>/dev/null) && [ -e "$file" ] ;;
    fuzzer) ls "$(clang -print-runtime-dir 2>/dev/null)"/libclang_rt.fuzzer* >/dev/null 2>&1 ||
        ls "$(clang -print-resource-dir 2>/dev/null)"/lib/linux/libclang_rt.fuzzer* >/dev/null 2>&1 ;;
    esac
}

missing() {
    echo "$packages" | while read -r purpose package probe; do
        case " $purposes " in
        *" ${purpose:-none} "*) present "$probe" || printf '%s ' "$package" ;;
        esac
    done
}

purposes=${*:-build}
wanted=$(missing)
[ -n "$wanted" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "poolscope: there is no apt-get here; please install what these Debian packages hold: $wanted" >&2
    exit 1
fi
root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "poolscope: please install, as root: apt-get install $wanted" >&2
        exit 1
    fi
    root=sudo
fi

# Packages ask this program whether their service may start. One that stands there already has the administrator's answer.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    [ ! -e $policy ] || return 0
    printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null && $root chmod 755 $policy && forbidden=1
}

log=$(mktemp)
forbidden=
trap 'rm -f "$log"; [ -z "$forbidden" ] || $root rm -f $policy' EXIT
trap 'exit 1' HUP INT TERM
forbid_services
apt() {
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1
}
echo "poolscope: installing $wanted"
# shellcheck disable=SC2086
if ! { apt install --no-install-recommends $wanted || { apt update && apt install --no-install-recommends $wanted; }; }; then
    tail -n 20 "$log" >&2
    echo "poolscope: could not install: $wanted" >&2
    exit 1
fi
