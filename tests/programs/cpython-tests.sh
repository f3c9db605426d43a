#!/bin/bash
# CPython's own tests of what allocates, starts threads and starts processes: each test gives the same result.
set -u
. "$(dirname "$0")/lib"
python=$(ls /usr/lib/python3.*/test/test_list.py 2>/dev/null | head -n 1)
[ -n "$python" ] || skip 'libpython3-testsuite is not installed'
python=${python#/usr/lib/}
python=/usr/bin/${python%%/*}
needs "$python"
tests='test_list test_dict test_memoryview test_gc test_threading test_thread test_threading_local test_fork1 test_mmap
    test_zlib test_subprocess test_multiprocessing_fork test_multiprocessing_spawn'
# A line for each test that did not pass, and how many there are.
cat >run.sh <<'END'
python=$1
shift
mkdir -p work
$python -m test -j2 --timeout 200 --junit-xml results.xml --tempdir work "$@" >log 2>&1
echo $?
$python - <<'X'
import xml.etree.ElementTree as tree
bad, count = [], 0
for case in tree.parse("results.xml").getroot().iter("testcase"):
    count += 1
    if len(case) and case[0].tag in ("failure", "error"):
        bad.append(case.get("name"))
print(count, *sorted(bad), sep="\n")
X
END
more_options=,depth=32
# shellcheck disable=SC2086
in_modes 'off sample exact' cpython bash run.sh "$python" $tests
PYTHONMALLOC=malloc in_modes exact cpython_malloc bash run.sh "$python" test_list test_dict test_gc test_threading
sed 's/^/    | /' cpython.plain.out
exit $bad
