#!/bin/bash
# CPython's own tests of what allocates, starts threads and starts processes: each test gives the same result. With
# CPython's small blocks in its own arenas, and with each of them from malloc.
set -u
. "$(dirname "$0")/lib"
python=$(ls /usr/lib/python3.*/test/test_list.py 2>/dev/null | head -n 1)
[ -n "$python" ] || skip 'libpython3-testsuite is not installed'
python=${python#/usr/lib/}
python=/usr/bin/${python%%/*}
needs "$python"

# Runs what its arguments match; a test that fails because the machine is busy gets two more chances. Prints how many
# tests ran, and which did not pass.
cat >run.py <<'END'
import subprocess, sys, xml.etree.ElementTree as tree

def run(files, patterns):
    more = [word for pattern in patterns for word in ("-m", pattern)]
    with open("log", "a") as log:
        subprocess.run([sys.executable, "-m", "test", "-j2", "--timeout", "100", "--junit-xml", "results.xml", *more,
                        *files], stdout=log, stderr=log)
    cases = list(tree.parse("results.xml").getroot().iter("testcase"))
    bad = {c.get("name") for c in cases if any(part.tag in ("failure", "error") for part in c)}
    return len(cases), bad

patterns = sys.argv[1:]
count, bad = run(sorted({pattern.split(".")[1] for pattern in patterns}), patterns)
for _ in range(2):
    if bad and len(bad) < 20:
        bad &= run(sorted({name.split(".")[1] for name in bad}), sorted(bad))[1]
print(count, *sorted(bad), sep="\n")
END
more_options=,depth=32
in_modes 'off sample exact' cpython "$python" run.py 'test.test_list.*' 'test.test_dict.*' 'test.test_gc.*' \
    'test.test_threading.ThreadTests.*' 'test.test_thread.*' 'test.test_threading_local.*' 'test.test_fork1.*' \
    'test.test_subprocess.POSIXProcessTestCase.test_[a-k]*' 'test.test_multiprocessing_fork.WithProcessesTestQueue.*' \
    'test.test_multiprocessing_fork.WithThreadsTestQueue.*' 'test.test_multiprocessing_spawn.WithProcessesTestLock.*' \
    'test.test_multiprocessing_spawn.WithProcessesTestSharedMemory.*'
PYTHONMALLOC=malloc in_modes exact cpython_malloc "$python" run.py 'test.test_list.*' 'test.test_dict.*' 'test.test_gc.*' \
    'test.test_threading.ThreadTests.*'
sed 's/^/    | /' cpython.plain.out
[ "$(head -n 1 cpython.plain.out)" -ge 250 ] || fail "cpython: $(tail -n 5 log)"
exit $bad
