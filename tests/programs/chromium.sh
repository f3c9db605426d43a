#!/bin/bash
# Chromium without a window renders a page: the same document and the same picture. Without its sandbox (root has to),
# and with it as a plain user, where that is possible.
set -u
. "$(dirname "$0")/lib"
needs chromium
gives_to_nobody
cat >"$public/page.html" <<'END'
<!DOCTYPE html><meta charset=utf-8><title>Page</title>
<style>body { font: 16px sans-serif } div { display: inline-block; width: 30px; height: 20px; margin: 2px }</style>
<h1>Rendered</h1><p id=out></p><canvas id=c width=300 height=100></canvas>
<script>
const map = new Map();
for (let i = 0; i < 50000; i++) map.set('k' + i * 7919 % 977, (map.get('k' + i * 7919 % 977) || 0) + i);
document.getElementById('out').textContent = [...map].slice(0, 20).join(' ');
for (let i = 0; i < 500; i++) {
  const d = document.createElement('div');
  d.style.background = `hsl(${i * 7 % 360} 80% 50%)`;
  document.body.append(d);
}
const g = document.getElementById('c').getContext('2d');
for (let i = 0; i < 100; i++) { g.fillStyle = `rgb(${i * 2} 100 ${255 - i})`; g.fillRect(i * 3, i % 17 * 5, 20, 10); }
</script>
END
cat >"$public/browse.sh" <<'END'
cd "$1" || exit
shift
export HOME=$PWD TMPDIR=$PWD
options="--headless --disable-gpu --no-first-run --disable-dev-shm-usage --disable-background-networking --hide-scrollbars \
    --window-size=600,700 --user-data-dir=$PWD/browser --virtual-time-budget=5000"
timeout 140 chromium $options "$@" --dump-dom "file://$PWD/page.html" 2>dom.log
echo $?
timeout 140 chromium $options "$@" --screenshot=page.png "file://$PWD/page.html" >shot.log 2>&1
echo $?
sha256sum <page.png
rm -rf page.png browser
grep -hE 'poolscope: |[Cc]rash|FATAL' dom.log shot.log
exit 0
END
SECONDS_MOST=300
in_modes 'off sample exact' chromium "${as_nobody[@]}" bash "$public/browse.sh" "$public" --no-sandbox
grep -q 'Rendered' chromium.plain.out && [ "$(grep -c '^0$' chromium.plain.out)" -eq 2 ] ||
    fail "chromium: $(tail -n 5 chromium.plain.out "$public"/*.log)"
plain_once chromium_sandbox "${as_nobody[@]}" bash "$public/browse.sh" "$public"
if cmp -s chromium_sandbox.plain.out chromium.plain.out; then
    in_modes 'exact' chromium_sandbox "${as_nobody[@]}" bash "$public/browse.sh" "$public"
else
    echo 'its sandbox does not work here even without the library'
fi
exit $bad
