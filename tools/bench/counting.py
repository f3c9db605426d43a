"""Instructions that one malloc and its free execute; counted by callgrind in the program `count`."""

import os
import re
import subprocess
import tempfile

FEW, MANY = 10000, 30000
RETURNS = 2  # the two functions that do nothing consist of these, and the allocator's have them too


def executed(count, allocator, kind, size, times):
    """Instructions of the whole process."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "LD_PRELOAD": "", **allocator.environment(allocator.library, scratch)}
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", count, kind, str(size),
                               str(times)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else f"status {done.returncode}")
    return int(found.group(1))


def per_pair(count, allocator, kind, size):
    """With those of the loop; start and end of the process cancel out between two lengths of the loop. None if the
    program fails."""
    try:
        many, few = (executed(count, allocator, kind, size, times) for times in (MANY, FEW))
    except RuntimeError as error:
        print(f"FAIL {allocator.name} {kind} {size}: {error}")
        return None
    return (many - few) / (MANY - FEW)
