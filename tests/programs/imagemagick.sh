#!/bin/bash
# ImageMagick's convert: pixels in threads (OpenMP), and large blocks that come and go.
set -u
. "$(dirname "$0")/lib"
needs /usr/bin/convert
cat >pictures.sh <<'END'
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive MAGICK_THREAD_LIMIT=2
/usr/bin/convert -size 400x300 -seed 7 plasma:red-blue one.ppm &&
    /usr/bin/convert one.ppm -resize 600x -rotate 13 -gaussian-blur 0x3 -colorspace Lab -normalize two.miff &&
    /usr/bin/convert two.miff -colorspace sRGB -strip -define png:exclude-chunks=date,time -quality 80 three.png &&
    /usr/bin/convert three.png -scale 200x -quality 85 four.jpg &&
    /usr/bin/convert four.jpg -duplicate 6 -morph 3 -layers optimize -strip five.gif
echo $?
for picture in one.ppm three.png four.jpg five.gif; do
    /usr/bin/identify -format '%m %w %h %#\n' $picture | sha256sum
done
/usr/bin/convert no-such-file.png none.png
END
in_modes 'off sample exact' imagemagick sh pictures.sh
did imagemagick 1 '^0$' # 1: the last of them has no picture to read
exit $bad
