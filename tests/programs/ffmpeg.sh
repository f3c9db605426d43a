#!/bin/bash
# ffmpeg: a film made, encoded by many threads, and decoded again.
set -u
. "$(dirname "$0")/lib"
needs ffmpeg
cat >film.sh <<'END'
exec 2>errors
ffmpeg='ffmpeg -nostdin -v warning -y -flags bitexact -fflags bitexact -bitexact'
$ffmpeg -f lavfi -i testsrc2=size=480x270:rate=25:duration=4 -f lavfi -i sine=frequency=440:duration=4 \
    -threads 4 -c:v mpeg4 -b:v 800k -c:a aac -f matroska one.mkv
echo $?
$ffmpeg -threads 4 -i one.mkv -vf 'scale=320:-2,hue=s=0.5,boxblur=2' -c:v ffv1 -slices 4 -c:a flac two.mkv
echo $?
$ffmpeg -threads 4 -i two.mkv -map 0 -f framemd5 -
$ffmpeg -i no-such-film -f null -
echo $?
grep -ciE 'poolscope: |error' errors
END
in_modes 'off sample exact' ffmpeg sh film.sh
did ffmpeg 1 '^0, +99, ' '^1, ' '^0$'
exit $bad
