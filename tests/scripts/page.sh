#!/bin/bash
# The page of a report, in a browser without a window: what the address says is shown, at any size, and nothing is asked
# of the network.
set -u
. "$(dirname "$0")/lib"
command -v chromium >/dev/null || skip 'chromium is not installed'

SECONDS_BROWSER=200 # it may take long to start

# browse NAME OPTION... ADDRESS: what it says goes to NAME.log. Scripts of the page have run when it ends.
browse() {
    local name=$1
    shift
    HOME=$scratch timeout -k 5 $SECONDS_BROWSER chromium --headless=new --no-sandbox --disable-gpu --no-first-run \
        --disable-dev-shm-usage --disable-background-networking --user-data-dir="$scratch/browser" \
        --allow-file-access-from-files --enable-logging=stderr --hide-scrollbars --window-size=1366,768 \
        --virtual-time-budget=60000 "$@" 2>"$name.log"
    # What the page's policy refuses is said here, too.
    if grep -E ':CONSOLE' "$name.log"; then
        fail "$name: the page complains"
    fi
}

# shows NAME PAGE ADDRESS ACTION...: asks for a view, in which things are then clicked on (named as in CSS) and keys
# pressed ("key Escape"). The browser starts once for all views; see look.
views=()
shows() {
    local view="\"$1\", \"$2/index.html$3\""
    shift 3
    [ $# -eq 0 ] || view+=$(printf ", '%s'" "$@")
    views+=("[$view]")
}

# Of each view, after the script has run, the address behind '#' and the document, a tag a line, in NAME.html.
look() {
    local name
    cat >views.html <<END
<!DOCTYPE html><meta charset=utf-8><body><script>
function act(page, action) {
  const key = action.startsWith('key ') ? action.slice(4) : '';
  const target = key ? page.activeElement : page.querySelector(action);
  if (key) {
    target.dispatchEvent(new page.defaultView.KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
  } else {
    target.focus();
    target.click();
  }
}
function look(views) {
  if (views.length === 0) { return; }
  const [name, address, ...actions] = views.shift(), frame = document.createElement('iframe');
  frame.width = 1366;
  frame.height = 768;
  frame.onload = () => {
    const view = document.createElement('pre'), page = frame.contentDocument;
    actions.forEach((action) => act(page, action));
    view.textContent = '\n@' + name + '\n' + page.location.hash + page.documentElement.outerHTML.replace(/</g, '\n<');
    document.body.append(view);
    frame.remove();
    look(views);
  };
  frame.src = address;
  document.body.append(frame);
}
look([$(printf '%s,' "${views[@]}")]);
</script>
END
    browse views --dump-dom "file://$PWD/views.html" >views.dump
    sed 's/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' views.dump |
        awk '/^@[a-z_]+$/ {name = substr($0, 2) ".html"} name != "" {print >name}'
    for name in $(printf '%s\n' "${views[@]}" | cut -d '"' -f 2); do
        if [ ! -s "$name.html" ]; then
            fail "$name: the browser shows nothing"
            tail -n 3 views.log
            exit 1
        fi
    done
}

# has NAME TEXT: stands in the document
has() {
    grep -qF -- "$2" "$1.html" || fail "$1: lacks $2"
}

lacks() {
    ! grep -qF -- "$2" "$1.html" || fail "$1: has $2"
}

# The first function in the table of sites.
first_site() {
    sed -n '/<tr class="site"/,/<\/tr>/p' "$1.html" | sed -n 's/^<code>//p' | head -n 1
}

rows() {
    grep -c '<tr class="site"' "$1.html"
}

# report NAME VICTIM ARGUMENT...: its page in NAME
report() {
    local name=$1 victim=$2
    shift 2
    under "out=$PWD/$name.trace" "$VICTIMS/$victim" "$@" >/dev/null || fail "$name: the program failed"
    "$BUILD/poolscope" report "$name.trace" -o "$name" >"$name.txt" || fail "$name: no report"
}

report small page_sites
report odd odd_names
report many many_sites 34000 20
id=$(sed -n 's/.*#\([0-9]*\) most_live.*/\1/p' small/sites_live.tsv)

shows plain small ''
shows allocated small '#sort=-allocated&flame=allocated'
shows upwards small '#sort=allocations&min=2&q=most_'
shows found small '#q=once&find=most_allocated&flame=allocated'
shows opened small "#site=$id"
shows zoomed small '#flame=live&zoom=0.0.0.0.0&theme=dark'
shows callers small '#flame=live&way=callers&zoom=0'
shows wrong small '#flame=__proto__&sort=-nothing&zoom=9.x.-1&site=-5&min=x&way=up&q=%F0%28&theme=%3Cb%3E'
shows clicked small '' '[title="requested bytes of live blocks"] button' '[title="bytes requested in all"] button' \
    'tr.site button' '#theme'
shows walked small '#flame=live' '.box' 'key ArrowDown' 'key ArrowDown' 'key Enter' 'key Enter'
shows left small '#flame=live&zoom=0.0.0' '.box' 'key Escape' '#flame-callers'
shows odd_sites odd '#names=whole&q=onerror&find=onerror&flame=allocated'
shows many_sites many '#sort=-allocated&q=step_3%20step_1&find=step_2&flame=allocated'
look

[ "$(first_site plain)" = most_live ] || fail "sorted by live bytes, $(first_site plain) is the first"
has plain '<option value="pinned">'
has plain '>live bytes in all: 1.53 MiB' # 2 * 800,000 + 10
has plain '>page_sites: live bytes, '
lacks plain 'aria-expanded="true"'

[ "$(first_site allocated)" = most_allocated ] || fail "sorted by allocated bytes, $(first_site allocated) is the first"
has allocated '>page_sites: allocated bytes, '

[ "$(first_site upwards)" = most_live ] || fail "filtered and sorted upwards, $(first_site upwards) is the first"
[ "$(rows upwards)" -eq 2 ] || fail "the filter leaves $(rows upwards) rows"

[ "$(first_site found)" = once ] && [ "$(rows found)" -eq 1 ] || fail "the search found $(rows found) rows"
has found '>allocated bytes in stacks with a match: 4.77 MiB (75.' # 50 * 100,000 of 6,600,010 and a buffer of libc
has found 'class="box hit"'

has opened 'aria-expanded="true"'
has opened '<li>'
has opened '· page_sites'

has zoomed 'data-theme="dark"'
has zoomed ' › '
has zoomed '>most_live: live bytes, '
has callers '>most_live: live bytes, '
has callers '>main'

has clicked '#sort=-allocated&site='
[ "$(first_site clicked)" = most_allocated ] || fail "after a click, $(first_site clicked) is the first"
has clicked '<li>'
has clicked 'data-theme="dark"'
has walked '#zoom=0.0&at=flame'
has walked '>_start'
has left '#way=callers&at=flame'
has left 'id="flame-callers" aria-pressed="true"'

# What a person may type in the address does no harm.
has wrong 'aria-sort="descending"'
has wrong 'live bytes in all: '

lacks odd_sites '<title>owned'
lacks odd_sites 'src="x"'
has odd_sites '1 of '

has many_sites ' of 102,'
has many_sites 'allocated bytes in stacks with a match: '
[ "$(rows many_sites)" -ge 10 ] && [ "$(rows many_sites)" -le 100 ] || fail "$(rows many_sites) rows are in the document"
[ "$(grep -c 'class="box' many_sites.html)" -le 5000 ] || fail 'too many boxes are in the document'
bytes=$(stat -c %s many/index.html)
[ "$bytes" -lt 50000000 ] || fail "the page of 10^5 sites has $bytes bytes"

# ---- pictures and paper ----

browse shot --screenshot="$PWD/shot.png" "file://$PWD/small/index.html#theme=dark" >/dev/null
[ "$(head -c 8 shot.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail 'no screenshot'
[ "$(stat -c %s shot.png)" -gt 20000 ] || fail 'the screenshot shows nothing'
browse paper --print-to-pdf="$PWD/paper.pdf" "file://$PWD/small/index.html" >/dev/null
[ "$(head -c 5 paper.pdf)" = %PDF- ] || fail 'nothing is printed'

# ---- one file ----

for page in small many; do
    if grep -oE '(https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^ "<]*' $page/index.html; then
        fail "$page: names places in the network"
    fi
    if grep -oE '<(link|iframe|script src|img src="[^d])[^>]*' $page/index.html; then
        fail "$page: needs other files"
    fi
done
exit $bad
