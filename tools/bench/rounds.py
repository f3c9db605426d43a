"""Workloads under allocators, in rounds: how one run is made and checked, and the CSV file of all. See README.md."""

import csv
import datetime
import glob
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import allocators as allocator_table
import programs as program_table
import table

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RELEASE = os.path.join(ROOT, "build", "release")
INTERVAL_US = 2000
MEASURED = ["user_us", "system_us", "wall_us", "peak_kib", "average_kib", "end_kib", "minor_faults", "major_faults"]
COLUMNS = ["round", "workload", "allocator", "status", "cpu_us", *MEASURED, "figures"]


class Shape:
    """A workload of ours: a command, without files around it."""

    stdin = None
    env = {}

    def __init__(self, name, counts, help_text, command):
        self.name, self.counts, self.help, self.command = name, counts, help_text, command

    def missing(self):
        return []

    def preload(self, allocator):
        return allocator.library

    def before(self, inputs, scratch):
        pass

    def drive(self, scratch):
        return ""

    def after(self, scratch):
        return ""


class Bench:
    """Where things lie, and how one run is made. profiles: whether what an allocator left is looked at."""

    def __init__(self, build, timeout_s, profiles=False):
        self.build, self.timeout_s, self.profiles = os.path.abspath(build), timeout_s, profiles
        self.directory = os.path.join(os.path.dirname(self.build), "bench")
        self.inputs = os.path.join(self.directory, "inputs")
        self.scratch = os.path.join(self.directory, f"scratch-{os.getpid()}")

    def program(self, name):
        """One of the bench's own, as it was built."""
        return os.path.join(self.build, "bench", name)

    def shapes(self, scale):
        """All workloads of the program `workloads`."""
        workloads = self.program("workloads")
        listed = subprocess.run([workloads, "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout
        rows = (line.split("\t") for line in listed.splitlines())
        return [Shape(*row, [workloads, row[0], str(scale)]) for row in rows]

    def command(self, workload):
        words = [word.replace("@/", self.inputs + "/").replace("%/", self.scratch + "/") for word in workload.command]
        return [program_table.which(words[0]) or words[0], *words[1:]]

    def once(self, workload, allocator):
        """One run: a dictionary with status `ok` or why it failed, `output`, and what was measured."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        os.makedirs(self.scratch)
        try:
            workload.before(self.inputs, self.scratch)
            return self.measured(workload, allocator)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def measured(self, workload, allocator):
        paths = {name: os.path.join(self.scratch, name) for name in ("measured", "stdout", "stderr")}
        variables = {**workload.env, **allocator.environment(workload.preload(allocator), self.scratch)}
        line = [self.program("measure"), paths["measured"], str(INTERVAL_US), str(self.timeout_s),
                *(f"{name}={value}" for name, value in variables.items()), "--",
                *allocator.words(self.command(workload), self.scratch)]
        stdin = os.path.join(self.inputs, workload.stdin) if workload.stdin else os.devnull
        said, trouble = "", None
        with open(stdin, "rb") as source, open(paths["stdout"], "wb") as out, open(paths["stderr"], "wb") as err:
            process = subprocess.Popen(line, stdin=source, stdout=out, stderr=err, cwd=self.scratch,
                                       env=program_table.quiet_git(self.scratch) | {"TZ": "UTC"})
            try:
                said = workload.drive(self.scratch)
            except (OSError, subprocess.SubprocessError) as error:
                trouble = f"its client: {error}"
                if process.poll() is None:
                    stop_server(process)
                else:
                    trouble = f"{self.status_text(process.returncode)}; {trouble}"
            ended = self.status_text(process.wait())
        return self.outcome(workload, allocator, paths, trouble or ended, said)

    def outcome(self, workload, allocator, paths, status, said):
        run = {"status": status, "figures": {}}
        if run["status"] == "ok":
            try:
                said += workload.after(self.scratch)
            except (OSError, subprocess.SubprocessError) as error:
                run["status"] = f"what it left: {error}"
        with open(paths["stdout"], "rb") as out:
            run["output"] = hashlib.sha256(allocator.output(out.read())).hexdigest() + said
        with open(paths["stderr"], encoding="utf-8", errors="replace") as err:
            run["stderr"] = err.read()
        run["figures"] = {words[1]: float(words[2]) for words in map(str.split, run["stderr"].splitlines())
                          if len(words) == 3 and words[0] == "figure"}
        if self.profiles and run["status"] == "ok":
            run["figures"] |= allocator.figures(self.scratch, run["stderr"])
        if os.path.exists(paths["measured"]):
            with open(paths["measured"], encoding="utf-8") as measured:
                run.update((name, int(value)) for name, value in map(str.split, measured))
            run["cpu_us"] = run["user_us"] + run["system_us"]
        return run

    def status_text(self, status):
        if status == 124:
            return f"not done after {self.timeout_s} s"
        if status > 128:
            return f"killed by signal {status - 128}"
        return "ok" if status == 0 else f"status {status}"


def stop_server(process):
    """The client gave up: what it talked to is not waited for, nor what may have started it."""
    try:
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as children:
            for child in children.read().split():
                os.killpg(int(child), signal.SIGKILL)
    except OSError:
        process.kill()


def choose(names, known, what):
    """The known ones that are named; all of them without names."""
    if not names:
        return list(known.values())
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"bench: no such {what}: {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names]


def usable_workloads(workloads, names):
    usable = []
    for workload in choose(names, {workload.name: workload for workload in workloads}, "workload"):
        missing = workload.missing()
        if missing:
            print(f"skipped: {workload.name}: {', '.join(missing)} not found")
        else:
            usable.append(workload)
    return usable


def first_line(path, prefix=""):
    try:
        with open(path, encoding="utf-8") as source:
            return next((line.strip() for line in source if line.startswith(prefix)), "?")
    except OSError:
        return "?"


def header(what, allocators):
    """What a reader of the figures has to know of the machine. what: the amount of work, in words."""
    huge = first_line("/sys/kernel/mm/transparent_hugepage/enabled")
    memory = first_line("/proc/meminfo").split()
    revision = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
    processor = first_line("/proc/cpuinfo", "model name").partition(":")[2].strip() or platform.machine()
    lines = [
        f"{datetime.datetime.now().astimezone().isoformat(timespec='seconds')}, {what}",
        f"{processor}, {os.cpu_count()} CPUs, {int(memory[1]) >> 20 if len(memory) > 1 else '?'} GiB, "
        f"{platform.system()} {platform.release()}, transparent huge pages: {huge}",
        f"load {' '.join(f'{load:.2f}' for load in os.getloadavg())}, poolscope {revision or '?'}",
    ]
    return lines + [f"{allocator.name}: {allocator.version()}" for allocator in allocators]


class CsvFile:
    """All runs as they come, failed ones too. prefix: of its name, before the date."""

    def __init__(self, bench, prefix, lines):
        os.makedirs(bench.directory, exist_ok=True)
        stem = os.path.join(bench.directory, prefix + time.strftime("%Y-%m-%d"))
        taken = len(glob.glob(stem + "*.csv"))
        self.path = stem + (f"-{taken + 1}" if taken else "") + ".csv"
        self.file = open(self.path, "w", encoding="utf-8", newline="")
        self.file.writelines(f"# {line}\n" for line in lines)
        self.writer = csv.DictWriter(self.file, COLUMNS, extrasaction="ignore", restval="")
        self.writer.writeheader()

    def add(self, number, workload, allocator, run):
        figures = " ".join(f"{name}={value:.10g}" for name, value in run["figures"].items())
        self.writer.writerow({**run, "round": number, "workload": workload, "allocator": allocator,
                              "figures": figures})
        self.file.flush()


def keep_stderr(bench, workload, allocator, run):
    path = os.path.join(bench.directory, f"fail-{workload}-{allocator}.txt")
    with open(path, "w", encoding="utf-8") as out:
        out.write(f"{run['status']}\n{run['stderr']}")


def round_of(bench, number, workload, allocators, reference, results, rows):
    """Each allocator once; who comes first changes from round to round."""
    turn = number % len(allocators)
    for allocator in allocators[turn:] + allocators[:turn]:
        run = bench.once(workload, allocator)
        if run["status"] == "ok" and run["output"] != reference["output"]:
            run["status"] = "wrong output"
        if run["status"] != "ok":
            print(f"FAIL {workload.name} {allocator.name}: {run['status']}", file=sys.stderr, flush=True)
            keep_stderr(bench, workload.name, allocator.name, run)
        results.add(workload.name, allocator.name, run)
        rows.add(number, workload.name, allocator.name, run)


def references(bench, workloads):
    """What glibc's allocator makes of each workload; these runs warm the caches and are not counted."""
    found, glibc = {}, allocator_table.known()["glibc"]
    for workload in workloads:
        run = bench.once(workload, glibc)
        if run["status"] == "ok":
            found[workload.name] = run
        else:
            print(f"skipped: {workload.name}: it fails with glibc: {run['status']}: {run['stderr'].strip()[-200:]}")
    return found


def run_all(bench, plan, allocators, rows):
    """plan: of each workload, those of the allocators that it runs under, and in how many rounds."""
    runs = max(times for _, _, times in plan)
    results = table.Results([workload for workload, _, _ in plan], [allocator.name for allocator in allocators])
    program_table.make_inputs(bench.inputs)
    expected = references(bench, results.workloads)
    for number in range(1, runs + 1):
        for workload, under, times in plan:
            if number <= times and workload.name in expected:
                round_of(bench, number, workload, under, expected[workload.name], results, rows)
        print(f"round {number} of {runs} done", file=sys.stderr, flush=True)
    return results


def names(text):
    """A list of names by commas or spaces, as an argument."""
    return text.replace(",", " ").split()
