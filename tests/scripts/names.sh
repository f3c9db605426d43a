#!/bin/bash
# Names that want to be more than names: of functions, source files, programs, arguments, modules, threads and traces, with
# markup, quotes, line ends, escapes, formulas, commands of gnuplot and of shells. In every output they stay text.
set -u
. "$(dirname "$0")/lib"
poolscope=$BUILD/poolscope
command -v cc >/dev/null || skip 'no compiler'

# -- a program of such names
cat >hostile.c <<'END'
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
static void *kept[400];
static int count;
#define ODD(id, name)                            \
    void id(void) __asm__("\"" name "\"");       \
    __attribute__((noinline)) void id(void) {    \
        for (int i = 0; i < 40; i++) {           \
            kept[count++] = malloc(2000 + __COUNTER__); \
        }                                        \
    }
#line 7 "/src/'; system('touch owned'); `touch owned`; $(touch owned) \"</script><u>\033[2J\n.c"
ODD(gnuplot, "'; system('touch owned'); `touch owned`; $(touch owned) @x ^y_{z} %s%n")
ODD(formula, "=cmd|' /C calc'!A0")
ODD(markup, "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;<!--")
ODD(terminal, "e\033]0;owned\007 \033[2J\302\23331m \342\200\256right \377\376 end")
ODD(separators, "a;b c;d 12345 #1 @ 0x1")
ODD(longest, "L23456789" "L23456789" "L23456789" "L23456789" "L23456789" "L23456789" "L23456789" "L23456789")
int main(void) {
    prctl(PR_SET_NAME, "=<u>\033[1m`t`\n\"");
    gnuplot();
    formula();
    markup();
    terminal();
    separators();
    longest();
    return count == 240 ? 0 : 1;
}
END
program=$'<u>\033[2J"\'`touch owned`$(touch owned);system(\'touch owned\')\n'
mkdir traces
cc -g -O1 -fno-builtin -fno-inline -o "$program" hostile.c || skip 'the compiler does not take such names'
under "out=$scratch/traces/new.trace,events=on" "./$program" $'</script><script>alert(1)</script>\033]0;x\007' $'\377\xed\xa0\x80' '=1+1' \
    "$(head -c 9000 /dev/zero | tr '\0' a)" || fail 'the program'
under "out=$scratch/traces/old.trace" "./$program" one || fail 'the program'
cp traces/new.trace traces/$'z\033]0;owned\007\n<u>.trace'
echo none >traces/$'none\033[2J.trace'

cat >check.py <<'END'
import gzip, html.parser, json, sys, unicodedata
kind, path = sys.argv[1:3]
data = open(path, "rb").read()
GNUPLOT = "'; system('touch owned'); `touch owned`; $(touch owned) @x ^y_{z} %s%n"
MARKUP = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;<!--"
def plain(text):
    for c in text:
        assert c in "\n\t" or unicodedata.category(c) not in ("Cc", "Zl", "Zp") and c not in "\u202e\u202d\u2066\u200f", repr(c)
def functions(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("function", "name") and isinstance(inner, str):
                yield inner
            yield from functions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield inner if isinstance(inner, str) else ""
            yield from functions(inner)
if kind == "text":
    plain(data.decode())
elif kind == "json":
    value = json.loads(data.decode())
    named = set(functions(value))
    for name in GNUPLOT, MARKUP:
        assert any(name in f for f in named), (name, sorted(named))
elif kind == "lines": # of collapsed stacks: frames, a blank, a number
    plain(data.decode())
    for line in data.decode().splitlines():
        frames, number = line.rsplit(" ", 1)
        assert int(number) >= 0 and all(frame != "" for frame in frames.split(";")), line
    assert sum("a;b" in line for line in data.decode().splitlines()) == 0
elif kind == "tsv":
    rows = data.decode().splitlines()
    plain(data.decode())
    for row in rows:
        assert len(row.split("\t")) == len(rows[0].split("\t")), row
        for field in row.split("\t"):
            assert not field or field[0] not in "=+@\"" and (field[0] != "-" or field[1:2].isdigit() or field == "-"), row
elif kind == "page":
    own = {"script": 2, "style": 1, "title": 1, "img": None, "h1": 1}
    class Parser(html.parser.HTMLParser):
        seen, scripts, text, inside = {}, [], "", ""
        def handle_starttag(self, tag, attributes):
            self.inside = tag
            self.seen[tag] = self.seen.get(tag, 0) + 1
            for name, value in attributes:
                assert not name.startswith("on"), (tag, name)
                assert name != "src" or value.startswith("data:image/svg+xml;base64,"), value
        def handle_endtag(self, tag):
            self.inside = ""
        def handle_data(self, data):
            if self.inside == "script":
                self.scripts.append(data)
            else:
                self.text += data
    parser = Parser()
    parser.feed(data.decode())
    plain(data.decode())
    assert parser.seen["script"] == 2 and "u" not in parser.seen, parser.seen
    named = json.dumps(json.loads(parser.scripts[0]), ensure_ascii=False)
    assert json.dumps(MARKUP)[1:-1] in named and json.dumps(GNUPLOT)[1:-1] in named
    assert "</script><script>alert(1)</script>" in parser.text
elif kind == "svg":
    import xml.dom.minidom
    document = xml.dom.minidom.parseString(data)
    assert not document.getElementsByTagName("script") and not document.getElementsByTagName("u")
elif kind == "pprof":
    text = gzip.decompress(data)
    # Paths stay as they are: pprof opens the files.
    assert b"touch owned" in text and b"e\x1b]0" not in text and b"e\\x1b]0" in text
END
# check KIND FILE
check() {
    python3 check.py "$1" "$2" >said 2>&1 || fail "$2: $(tail -n 1 said)"
}
# says KIND STATUS FILE COMMAND...: what it prints, and what it says on stderr
says() {
    local kind=$1 want=$2 file=$3 status
    shift 3
    "$poolscope" "$@" >"$file" 2>"$file.err"
    status=$?
    [ $status -eq "$want" ] || fail "$file: status $status: $(head -n 3 "$file.err")"
    check "$kind" "$file"
    check text "$file.err"
}
trace=traces/new.trace
says text 0 summary.txt report --top=100 $trace
grep -qF "'; system('touch owned'); \`touch owned\`; \$(touch owned) @x ^y_{z} %s%n" summary.txt ||
    fail 'the summary lacks a name'
says text 0 events.txt report --format=events $trace
says json 0 report.json report --format=json $trace
says text 1 many.txt report traces
says text 1 many.out report --format=json traces
says text 0 changes.txt diff traces/old.trace $trace
says text 0 changes.json diff --format=json traces/old.trace $trace
python3 -c 'import json; json.load(open("changes.json")); json.load(open("many.out"))' || fail 'no JSON'
for view in sites threads; do
    says text 0 top.$view top --batch --view=$view $trace
done
for kind in lines:collapsed json:speedscope json:dhat text:massif text:jemalloc pprof:pprof; do
    says ${kind%:*} 0 export.${kind#*:} export --to=${kind#*:} $trace
done
says text 0 page.txt report -o page $trace
check page page/index.html
for file in page/*.svg; do check svg "$file"; done
for file in page/*.tsv; do check tsv "$file"; done
owned=$(find . -name owned)
[ -z "$owned" ] || fail "a name was run: $owned"
exit $bad
