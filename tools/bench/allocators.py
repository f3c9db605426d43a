"""What programs run under: allocators and profilers, where each is found, how it is switched on, what it leaves."""

import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

LIBRARY_DIRECTORIES = ["/usr/local/lib", "/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib"]
DEFAULT = ["glibc", "jemalloc", "mimalloc", "tcmalloc", "poolscope"]
PEERS = ["glibc", "jemalloc", "mimalloc", "tcmalloc"]
BASE = "jemalloc"
OURS = "poolscope"


def kib_on_disk(paths):
    return sum(os.stat(path).st_blocks for path in paths) / 2


class Allocator:
    """library: path for LD_PRELOAD once it was looked for, None for the C library's own."""

    def __init__(self, name, file_name=None, package=None):
        self.name, self.file_name, self.package = name, file_name, package
        self.library = None

    def missing(self, build):
        """Why it cannot be used, None if it can."""
        if not self.file_name:
            return None
        candidates = [path for pattern in LIBRARY_DIRECTORIES
                      for path in sorted(glob.glob(os.path.join(pattern, self.file_name)))]
        self.library = os.path.realpath(candidates[0]) if candidates else None
        return None if self.library else f"{self.file_name} not found"

    def environment(self, library, scratch):
        """library: what is to be preloaded, which a program may have changed."""
        return {"LD_PRELOAD": library} if library else {}

    def words(self, command, scratch):
        """The command line that runs command."""
        return command

    def output(self, text):
        """What the program itself wrote, of all that came on standard output."""
        return text

    def figures(self, scratch, stderr):
        """What a run that went well left of a profile."""
        return {}

    def version(self):
        if not self.package:
            return self.library or "?"
        query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", self.package],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return query.stdout or self.library or "?"


class Poolscope(Allocator):
    """mode: the rest of the options behind it, by commas. All modes but off leave traces in the scratch directory."""

    def __init__(self, name, mode):
        super().__init__(name, "libpoolscope.so")
        self.options = f"mode={mode}"
        self.mode = mode.partition(",")[0]

    def missing(self, build):
        self.library = os.path.join(build, self.file_name)
        self.launcher = os.path.join(build, "poolscope")
        if not os.path.exists(self.library):
            return f"{self.library} not found"
        if self.mode != "off" and self.mode_of_a_run() != self.mode:
            return f"{self.file_name} does not know {self.options}"
        return None

    def mode_of_a_run(self):
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["/bin/true"], env=self.environment(self.library, scratch), check=False)
            return (self.report(scratch) or {}).get("sampling", {}).get("mode")

    def environment(self, library, scratch):
        where = "" if self.mode == "off" else f",out={scratch}"
        return {**super().environment(library, scratch), "POOLSCOPE": self.options + where}

    @staticmethod
    def traces(scratch):
        return glob.glob(os.path.join(glob.escape(scratch), "*.trace"))

    def report(self, scratch):
        """The facts of the process that held most, None without a trace."""
        traces = self.traces(scratch)
        if not traces:
            return None
        done = subprocess.run([self.launcher, "report", "--format=json", "--top=1", *traces], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def figures(self, scratch, stderr):
        if self.mode == "off":
            return {}
        found = {"trace_kib": kib_on_disk(self.traces(scratch))}
        facts = self.report(scratch)
        if facts:
            totals = facts["totals"]
            found["alloc_count"] = totals["alloc_count"]
            found["dropped_events"] = totals["dropped_events"]
            found["stopped"] = int(facts["process"]["stopped"])
            found["snapshot_share"] = totals["snapshot_ns"] / max(facts["process"]["duration_ns"], 1)
        return found


class Heaptrack(Allocator):
    """Its script starts the program, an interpreter of what that writes to a pipe, and a compressor, and waits for all
    three: what the kernel says of the script's process holds them. It does not follow children of the program."""

    STARTED = b"starting application, this might take some time...\n"
    FINISHED = b"Heaptrack finished! Now run the following"

    def __init__(self, name):
        super().__init__(name, None, "heaptrack")

    def missing(self, build):
        self.script = shutil.which("heaptrack")
        return None if self.script else "heaptrack not found"

    def words(self, command, scratch):
        return [self.script, "-o", os.path.join(scratch, "heaptrack"), *command]

    def output(self, text):
        return text.partition(self.STARTED)[2].rpartition(self.FINISHED)[0]

    def figures(self, scratch, stderr):
        """The interpreter ends with the count that heaptrack_print tells too."""
        found = {"trace_kib": kib_on_disk(glob.glob(os.path.join(glob.escape(scratch), "heaptrack.*")))}
        count = re.search(r"^\s*allocations:\s*(\d+)", stderr, re.MULTILINE)
        return found | ({"alloc_count": int(count.group(1))} if count else {})


def known():
    table = [
        Allocator("glibc", None, "libc6"),
        Allocator("jemalloc", "libjemalloc.so.2", "libjemalloc2"),
        Allocator("mimalloc", "libmimalloc.so.2*", "libmimalloc2.0"),
        Allocator("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
        Poolscope("poolscope", "off"),
        Poolscope("poolscope-secure", "off,secure=on"),
        Poolscope("poolscope-exact", "exact"),
        Poolscope("poolscope-sample", "sample,interval=512k"),
        Heaptrack("heaptrack"),
    ]
    return {allocator.name: allocator for allocator in table}


def usable(allocators, build):
    """Those that are there; a line on each that is not."""
    found = []
    for allocator in allocators:
        why = allocator.missing(build)
        if why:
            print(f"skipped: {allocator.name}: {why}")
        else:
            found.append(allocator)
    return found
