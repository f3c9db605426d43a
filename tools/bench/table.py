"""Medians, ratios, means; the tables on stdout and the picture of allocators; what other tables need of that."""

import math
import os
import shutil
import statistics
import subprocess

from allocators import BASE, OURS, PEERS

# CPU times are given by the kernel in ticks of a few ms on some machines: less than this cannot be compared.
LEAST = {"cpu_us": 1000, "wall_us": 1000, "minor_faults": 1}

# metric -> title, divisor for the absolute column, its unit
METRICS = {
    "cpu_us": ("CPU time, user + system", 1000, "ms"),
    "wall_us": ("wall time", 1000, "ms"),
    "peak_kib": ("peak RSS", 1024, "MiB"),
    "average_kib": ("RSS averaged over time", 1024, "MiB"),
    "end_kib": ("RSS at the end", 1024, "MiB"),
    "minor_faults": ("page faults", 1, ""),
}
IN_FULL = ["cpu_us", "peak_kib", "average_kib"]

ABOVE_BEST = {"cpu_us": 1.10, "peak_kib": 1.15}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def number(value, places=2):
    return "-" if value is None else f"{value:.{places}f}"


class Results:
    """Runs, by workload and allocator; a pair with a failed run has no medians."""

    def __init__(self, workloads, allocators):
        self.workloads, self.allocators = workloads, allocators
        self.runs = {}
        self.failed = {}

    def add(self, workload, allocator, run):
        if run["status"] == "ok":
            self.runs.setdefault((workload, allocator), []).append(run)
        else:
            self.failed.setdefault((workload, allocator), run["status"])

    def median(self, workload, allocator, metric):
        if (workload, allocator) in self.failed:
            return None
        values = [run[metric] for run in self.runs.get((workload, allocator), [])]
        return max(statistics.median(values), LEAST.get(metric, 1)) if values else None

    def figure(self, workload, allocator, name):
        if (workload, allocator) in self.failed:
            return None
        values = [run["figures"][name] for run in self.runs.get((workload, allocator), []) if name in run["figures"]]
        return statistics.median(values) if values else None

    def figure_names(self):
        return sorted({(workload, name) for (workload, _), runs in self.runs.items()
                       for run in runs for name in run["figures"]})

    def counted(self):
        return [workload.name for workload in self.workloads if workload.counts == "both"]

    def base(self):
        return BASE if BASE in self.allocators else self.allocators[0]

    def ratio(self, workload, allocator, metric):
        ours, base = (self.median(workload, name, metric) for name in (allocator, self.base()))
        return ours / base if ours and base else None

    def best_peer(self, workload, metric):
        """(median, name) or None"""
        pairs = [(self.median(workload, name, metric), name) for name in self.allocators if name in PEERS]
        pairs = [pair for pair in pairs if pair[0]]
        return min(pairs) if pairs else None

    def over_best(self, workload, metric):
        ours, best = self.median(workload, OURS, metric), self.best_peer(workload, metric)
        return ours / best[0] if ours and best else None

    def best_ratio(self, workload, metric):
        base, best = self.median(workload, self.base(), metric), self.best_peer(workload, metric)
        return best[0] / base if base and best else None

    def mean(self, ratio_of):
        """Geometric mean of ratio_of(workload) over the counted workloads that have one."""
        return geometric_mean([ratio for ratio in map(ratio_of, self.counted()) if ratio])


def print_rows(rows):
    """The first row is the head; numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
    print()


def mark(ratio, metric):
    limit = ABOVE_BEST.get(metric)
    return number(ratio) + (" !" if limit and ratio and ratio > limit else "")


def cell(results, workload, allocator, metric):
    if (workload, allocator) in results.failed:
        return "FAIL"
    return number(results.ratio(workload, allocator, metric))


def print_metric(results, metric):
    title, divisor, unit = METRICS[metric]
    base, names = results.base(), results.allocators
    ours = OURS in names
    rows = [[title, f"{base} {unit}", *names, "best peer"] + ([f"{OURS} / best"] if ours else [])]
    for workload in results.counted():
        absolute, best = results.median(workload, base, metric), results.best_peer(workload, metric)
        row = [workload, number(absolute / divisor if absolute else None, 1)]
        row += [cell(results, workload, name, metric) for name in names]
        row.append(f"{best[1]} {number(results.best_ratio(workload, metric))}" if best else "-")
        rows.append(row + ([mark(results.over_best(workload, metric), metric)] if ours else []))
    rows.append(mean_row(results, metric, "geometric mean", [""]))
    print_rows(rows)


def mean_row(results, metric, title, between):
    row = [title, *between]
    row += [number(results.mean(lambda w, n=name: results.ratio(w, n, metric)), 3) for name in results.allocators]
    row.append(number(results.mean(lambda w: results.best_ratio(w, metric)), 3))
    if OURS in results.allocators:
        row.append(number(results.mean(lambda w: results.over_best(w, metric)), 3))
    return row


def print_means(results):
    rows = [[f"geometric means / {results.base()}", *results.allocators, "best peers"]]
    if OURS in results.allocators:
        rows[0].append(f"{OURS} / best")
    rows += [mean_row(results, metric, title, []) for metric, (title, _, _) in METRICS.items()]
    print_rows(rows)


def print_figures(results):
    names = results.figure_names()
    if names:
        rows = [["figures", *results.allocators]]
        rows += [[f"{workload} {name}"] + [number(results.figure(workload, allocator, name))
                                           for allocator in results.allocators] for workload, name in names]
        print_rows(rows)


def worst(results, metric):
    return max((ratio for ratio in (results.over_best(w, metric) for w in results.counted()) if ratio), default=None)


def difference(one, other):
    return None if one is None or other is None else one - other


def over_jemalloc(results, metric):
    return results.mean(lambda w: results.ratio(w, OURS, metric)) if results.base() == BASE else None


def goals(results):
    """(what, value, at most)"""
    figure = results.figure
    return [
        ("CPU / jemalloc", over_jemalloc(results, "cpu_us"), 0.79),
        ("CPU / best peer of each", results.mean(lambda w: results.over_best(w, "cpu_us")), 1.00),
        ("CPU / best peer, worst workload", worst(results, "cpu_us"), ABOVE_BEST["cpu_us"]),
        ("peak RSS / jemalloc", over_jemalloc(results, "peak_kib"), 0.78),
        ("peak RSS / best peer of each", results.mean(lambda w: results.over_best(w, "peak_kib")), 1.00),
        ("peak RSS / best peer, worst workload", worst(results, "peak_kib"), ABOVE_BEST["peak_kib"]),
        ("giveback: RSS / (1.1 live + 8 MiB)", figure("giveback", OURS, "rss_over_goal"), 1.00),
        ("rise and fall: RSS / live at the end", figure("rise_fall", OURS, "rss_over_live"), 1.50),
        ("idle: KiB of RSS above glibc",
         difference(figure("idle", OURS, "rss_kib"), figure("idle", "glibc", "rss_kib")), 256),
        ("idle threads: KiB each beyond the stack", figure("threads_idle", OURS, "kib_per_thread"), 8),
    ]


def print_goals(title, rows_of_goals):
    """Of those that have a value."""
    rows = [[title, "value", "at most", ""]]
    rows += [[what, number(value), number(most), "reached" if value <= most else "missed"]
             for what, value, most in rows_of_goals if value is not None]
    if len(rows) > 1:
        print_rows(rows)


def goals_to_print(results):
    """What is said of the best peer needs all of them."""
    all_peers = set(PEERS) <= set(results.allocators)
    return [goal for goal in goals(results) if all_peers or "best peer" not in goal[0]]


def print_failures(results):
    for (workload, allocator), status in results.failed.items():
        print(f"FAIL {workload} {allocator}: {status}")


def print_all(results):
    for metric in IN_FULL:
        print_metric(results, metric)
    print_figures(results)
    print_means(results)
    if OURS in results.allocators:
        print_goals(f"{OURS}: goals", goals_to_print(results))
    print_failures(results)


# ---- the picture ----

PLOT = """set terminal svg size 1000,760 noenhanced font 'sans,12' background 'white'
set output '{picture}'
set title 'time and memory against {base}: below and to the left is better'
set xlabel 'CPU time / {base}'
set ylabel 'peak RSS / {base}'
set logscale xy 2
set xtics (0.125, 0.25, 0.5, 1, 2, 4, 8)
set ytics (0.125, 0.25, 0.5, 1, 2, 4, 8)
set grid
set key outside right top
set arrow 1 from 1, graph 0 to 1, graph 1 nohead lc rgb '#888888'
set arrow 2 from graph 0, first 1 to graph 1, first 1 nohead lc rgb '#888888'
plot {plots}
"""


def points(results, allocator):
    for workload in results.counted():
        x, y = (results.ratio(workload, allocator, metric) for metric in ("cpu_us", "peak_kib"))
        if x and y:
            yield workload, x, y


def draw(results, directory, picture):
    """Returns whether there is a picture. The data stay in directory."""
    plots = []
    os.makedirs(directory, exist_ok=True)
    for at, allocator in enumerate(name for name in results.allocators if name != results.base()):
        rows = list(points(results, allocator))
        if not rows:
            continue
        data = os.path.join(directory, allocator)
        with open(data + ".dat", "w", encoding="utf-8") as out:
            out.writelines(f"{workload} {x:.4f} {y:.4f}\n" for workload, x, y in rows)
        with open(data + "-mean.dat", "w", encoding="utf-8") as out:
            out.write("mean " + " ".join(f"{geometric_mean([row[i] for row in rows]):.4f}" for i in (1, 2)) + "\n")
        style = f"lt {at + 1} lw 1.5 pt {(6, 4, 8, 12, 10, 2)[at % 6]}"
        plots.append(f"'{data}.dat' using 2:3 with points {style} ps 0.7 title '{allocator}'")
        plots.append(f"'{data}-mean.dat' using 2:3 with points {style} ps 2 title '{allocator}, mean'")
        if allocator == OURS:
            plots.append(f"'{data}.dat' using 2:3:1 with labels left offset 0.6,0 font ',8' notitle")
    script = PLOT.format(picture=picture, base=results.base(), plots=", \\\n    ".join(plots))
    return bool(plots) and run_gnuplot(os.path.join(directory, "time-memory.gp"), script)


def run_gnuplot(path, script):
    """Keeps the script at path. Returns whether it was drawn: False without gnuplot."""
    with open(path, "w", encoding="utf-8") as out:
        out.write(script)
    if not shutil.which("gnuplot"):
        return False
    done = subprocess.run(["gnuplot", path], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"gnuplot: {done.stderr.strip()}")
    return done.returncode == 0
