#!/bin/bash
# vim without a terminal: substitution, undo, sorting, and its scripts.
set -u
. "$(dirname "$0")/lib"
needs vim
seq 1 8000 | sed 's/.*/line & of the text/' >text
cat >program.vim <<'END'
set nocp undolevels=1000
edit text
%s/\v(\d+)7 of/<\1> from/g
sort /line/ n
undo
redo
g/5/m0
normal ggqqddpq200@q
let t = {}
if 1
  for i in range(6000)
    let k = 'k' . (i * 7919 % 977)
    let t[k] = get(t, k, '') . i % 10
  endfor
  call append(0, [len(t), join(sort(items(t)[:20]), ',')])
endif
w! result
bufdo! bwipeout!
cquit 3
END
in_modes 'off sample exact' vim sh -c 'vim -u NONE -i NONE -n -es -X -S program.vim; echo $?; sha256sum result; rm -f result'
did vim 0 '^3$' ' result$'
exit $bad
