#!/bin/bash
# Archives: tar through zstd -T2, there and back; and zstd's large windows.
set -u
. "$(dirname "$0")/lib"
needs tar zstd
mkdir tree
for i in $(seq 300); do seq $((i * 3)) $((i * 40)) >tree/file$i; done
seq 600000 >numbers
cat >archive.sh <<'END'
rm -rf back && mkdir back
tar --sort=name --mtime=@0 --owner=0 --group=0 -I 'zstd -T2 -4' -cf tree.tar.zst tree
sha256sum <tree.tar.zst
tar -I 'zstd -T2' -xf tree.tar.zst -C back && diff -r tree back/tree && echo same
zstd -T2 -6 --long=27 -q -f numbers -o numbers.zst && sha256sum <numbers.zst
zstd -dcq --long=27 numbers.zst | cmp - numbers
zstd -q --train tree/* --maxdict=20000 -o dictionary 2>&1 && sha256sum <dictionary
tar -xf dictionary
echo $?
END
in_modes 'off sample exact' tar_zstd sh archive.sh
did tar_zstd 0 '^same$' '^2$'
exit $bad
