#!/bin/bash
# The commands that README.md shows work, and the files that it names are there. Commands in ```console blocks run in
# order, in a scratch directory that has links to the tree; of make only the target must exist, except where it builds.
set -u
root=$(cd "${ROOT:-$(dirname "$0")/../..}" && pwd)
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
bad=0
commands=0

for entry in "$root"/*; do
    [ "$(basename "$entry")" = build ] || ln -s "$entry" "$scratch/"
done
mkdir -p "$scratch/build"
ln -s "${BUILD:-$root/build/release}" "$scratch/build/release"
cd "$scratch" || exit 1
# Debian has the server under another name in the package of its tools.
if ! command -v redis-server >/dev/null && other=$(command -v redis-check-rdb); then
    mkdir bin && ln -s "$other" bin/redis-server && PATH=$PWD/bin:$PATH
fi

while IFS= read -r command; do
    commands=$((commands + 1))
    case $command in
    make | make\ *) (cd "$root" && $command -n) >log 2>&1 ;;
    *) bash -c "$command" >log 2>&1 </dev/null ;;
    esac
    status=$?
    if [ $status -ne 0 ]; then
        printf 'status %d: %s\n' $status "$command"
        tail -n 20 log
        bad=1
    fi
done < <(awk '/^```console/ {on = 1; next} /^```/ {on = 0} on && /^\$ / {print substr($0, 3)}' "$root/README.md")
[ $commands -ge 8 ] || { echo "README.md shows only $commands commands"; bad=1; }
[ -s page/index.html ] || { echo 'no page was written'; bad=1; }

while read -r link; do
    [ -e "$root/$link" ] || { echo "README.md links to $link, which is not there"; bad=1; }
done < <(grep -oE '\]\([^)#:]+\)' "$root/README.md" | sed 's/^](//; s/)$//')
while read -r directory; do
    [ -d "$root/$directory" ] || { echo "README.md tells of $directory, which is not there"; bad=1; }
done < <(sed -n 's,^    \([a-z/]*/\)  .*,\1,p' "$root/README.md")
while read -r page section; do
    find "$root"/core "$root"/report "$root"/tools -name "$page.$section" | grep -q . ||
        { echo "README.md tells of $page($section), which is not there"; bad=1; }
done < <(grep -ohE 'poolscope(-[a-z]+)?\([1-8]\)' "$root/README.md" "$root"/tools/*.1 | tr '()' '  ' | sort -u)
exit $bad
