"""The allocators that are compared: where each is found, how it is switched on, and its version."""

import glob
import os
import subprocess

LIBRARY_DIRECTORIES = ["/usr/local/lib", "/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib"]
DEFAULT = ["glibc", "jemalloc", "mimalloc", "tcmalloc", "poolscope"]
PEERS = ["glibc", "jemalloc", "mimalloc", "tcmalloc"]
BASE = "jemalloc"
OURS = "poolscope"


class Allocator:
    """library: path for LD_PRELOAD, None for the C library's own. found: whether it can be used."""

    def __init__(self, name, file_name=None, package=None, options=None):
        self.name, self.file_name, self.package, self.options = name, file_name, package, options
        self.library = None

    def find(self, build):
        """False if the library is nowhere."""
        if not self.file_name:
            return True
        if self.options:
            candidates = [os.path.join(build, self.file_name)]
        else:
            candidates = [path for pattern in LIBRARY_DIRECTORIES
                          for path in sorted(glob.glob(os.path.join(pattern, self.file_name)))]
        self.library = next((os.path.realpath(path) for path in candidates if os.path.exists(path)), None)
        return self.library is not None

    def environment(self, library, scratch):
        """library: what is to be preloaded, which a program may have changed."""
        environment = {"LD_PRELOAD": library} if library else {}
        if self.options:
            environment["POOLSCOPE"] = self.options.replace("%", scratch)
        return environment

    def version(self):
        if not self.package:
            return self.library or "?"
        query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", self.package],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return query.stdout or self.library or "?"


def known():
    table = [
        Allocator("glibc", None, "libc6"),
        Allocator("jemalloc", "libjemalloc.so.2", "libjemalloc2"),
        Allocator("mimalloc", "libmimalloc.so.2*", "libmimalloc2.0"),
        Allocator("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
        Allocator("poolscope", "libpoolscope.so", None, "mode=off"),
        Allocator("poolscope-exact", "libpoolscope.so", None, "mode=exact,out=%"),
    ]
    return {allocator.name: allocator for allocator in table}
