#!/bin/bash
# What makes and reads documents: groff, Ghostscript, Poppler, gnuplot.
set -u
. "$(dirname "$0")/lib"
needs groff gs pdftotext pdftoppm gnuplot
cat >page.man <<'END'
.TH DOCUMENT 7 2020-01-01
.SH Text
END
seq 1500 | sed 's/.*/Word & stands in a line of \\fItext\\fP that is set./' >>page.man
cat >plot.gp <<'END'
set term svg size 600,400
set output "plot.svg"
set samples 2000
plot for [k=1:12] sin(x * k) / k title sprintf("k = %d", k)
splot [-3:3][-3:3] sin(x) * cos(y) with pm3d
END
cat >make.sh <<'END'
groff -man -Tps page.man >page.ps && sed '/^%%CreationDate/d' page.ps | sha256sum
gs -q -dBATCH -dNOPAUSE -dSAFER -sDEVICE=pdfwrite -dCompressPages=false -sOutputFile=page.pdf page.ps
echo $?
gs -q -dBATCH -dNOPAUSE -dSAFER -sDEVICE=pnggray -r40 -dNumRenderingThreads=2 -sOutputFile=page%d.png page.ps
sha256sum page*.png
pdftotext page.pdf - | sha256sum
pdftoppm -r 50 -gray -l 4 page.pdf out && sha256sum out*.pgm
gs -q -dBATCH -dNOPAUSE -sDEVICE=nullpage -c 'nosuchoperator' >/dev/null 2>&1 </dev/null
echo $?
gnuplot plot.gp && sha256sum plot.svg
echo 'plot nothing(x)' | gnuplot 2>/dev/null
echo $?
END
in_modes 'off sample exact' documents sh make.sh
did documents 0 ' page12.png$' ' out-04.pgm$' ' plot.svg$'
exit $bad
