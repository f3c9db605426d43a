#!/bin/bash
# awk and its company: gawk, mawk where it is, sort in parallel, sed.
set -u
. "$(dirname "$0")/lib"
needs gawk
cat >program.awk <<'END'
BEGIN {
    for (i = 0; i < 200000; i++) { k = i * 7919 % 9973; t[k] = t[k] i % 10; n[i % 50][k] = i }
    for (k in t) if (k % 3 == 0) delete t[k]
    c = asorti(t, keys)
    for (i = 1; i <= c; i++) { gsub(/[0-4]/, "&-", t[keys[i]]); s += length(t[keys[i]]) }
    print c, s, length(n)
    while (("seq 5000" | getline line) > 0) l = l line
    print length(l), toupper(substr(l, 1, 20)), match(l, /99+/)
    printf "%s\n", sprintf("%.3f", atan2(1, 2)) | "cat"
    exit 3
}
END
in_all gawk gawk -f program.awk
did gawk 3 ' 50$' '^18893 '
seq 300000 | gawk '{print $1 * 7919 % 300007, $1}' >numbers
in_all sort sh -c 'sort --parallel=4 -S 20M -n numbers | sha256sum; sort --parallel=4 -S 1M -k 2,2r numbers | sha256sum'
did sort 0 '^[0-9a-f]{64} '
in_all sed sh -c 'sed -E "s/([0-9]+) ([0-9]+)/\2-\1/; 2~7d; s/9+/<&>/g; H; \$!d; x" numbers >edited; sha256sum <edited; wc -l <edited'
did sed 0 '^[0-9a-f]{64} '
exit $bad
