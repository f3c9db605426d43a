"""Real programs as workloads: their inputs, made here from fixed seeds, and how each is run and checked."""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import time

PATH = "/usr/local/bin:/usr/bin:/bin"

SQL = """
CREATE TABLE people(id INTEGER PRIMARY KEY, city INT, name TEXT, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
INSERT INTO people SELECT i, i * 7919 % 1009, printf('name-%08d', i * 2654435761 % 100000007),
    substr('lorem ipsum dolor sit amet consectetur adipiscing elit', 1 + i % 20, 5 + i % 31) FROM n;
CREATE INDEX by_city ON people(city);
CREATE INDEX by_name ON people(name);
SELECT city, count(*), min(name), max(note) FROM people GROUP BY city ORDER BY 2 DESC, 1 LIMIT 10;
SELECT count(*), sum(length(b.note)) FROM people a JOIN people b ON b.id = a.city + 1 WHERE a.name > 'name-5';
UPDATE people SET note = note || ' ' || name WHERE id % 3 = 0;
DELETE FROM people WHERE id % 4 = 1;
SELECT length(group_concat(note)), count(DISTINCT note) FROM people;
SELECT name, note FROM people ORDER BY note DESC, name LIMIT 5;
"""

PYTHON = """
import json, random, re
rng = random.Random(1)
class Node:
    def __init__(self, key, text):
        self.key, self.text, self.links = key, text, []
words = ["".join(rng.choice("abcdefghij") for _ in range(rng.randint(2, 9))) for _ in range(5000)]
nodes = [Node(i, " ".join(rng.choices(words, k=8))) for i in range(20000)]
for node in nodes:
    node.links = [nodes[rng.randrange(len(nodes))] for _ in range(4)]
index = {}
for node in nodes:
    for word in re.findall(r"\\w+", node.text):
        index.setdefault(word, set()).add(node.key)
text = json.dumps({n.key: {"text": n.text, "links": [l.key for l in n.links]} for n in nodes})
again = json.loads(text)
del nodes
total = 0
for _ in range(3):
    kept = sorted((len(v["text"]), k, tuple(v["links"])) for k, v in again.items())
    total += sum(len(str(row)) for row in kept)
    joined = ",".join(k[1] for k in kept)
print(len(text), len(index), total, len(joined), sum(map(len, index.values())))
"""

PERL = r"""
use strict;
my ($state, %count, %by, @all) = (1);
sub pick { $state = ($state * 1103515245 + 12345) % 2147483648; return int($state / 65536) % $_[0] }
for my $i (1 .. 120000) {
    my $word = join "", map { chr(97 + pick(20)) } 1 .. 2 + pick(5);
    $count{$word}++;
    push @{ $by{length $word} }, $word;
    push @all, { id => $i, word => $word } if $i % 4 == 0;
}
my $text = join " ", sort keys %count;
(my $turned = $text) =~ s/([aeiou]+)/<$1>/g;
my @sorted = sort { $a->{word} cmp $b->{word} || $a->{id} <=> $b->{id} } @all;
my @parts = split / /, $turned;
print join(" ", length $text, length $turned, scalar @parts, $sorted[0]{word}, scalar @{ $by{4} }), "\n";
"""

LUA = r"""
local state = 1
local function pick(n) state = (state * 1103515245 + 12345) % 2147483648; return state // 65536 % n end
local total, live = 0, {}
for i = 1, 220000 do
    local item = { name = "item" .. pick(50000), size = pick(1000), tags = { "t" .. pick(100), pick(7) } }
    live[pick(30000) + 1] = item
    if i % 3 == 0 then total = total + #(item.name .. ":" .. item.size) end
end
local parts, seen = {}, 0
for i = 1, 30000 do
    if live[i] then seen = seen + 1; parts[#parts + 1] = live[i].name:gsub("item", "x") end
end
table.sort(parts)
print(total, seen, #table.concat(parts, ","), parts[1], parts[#parts])
"""

JQ = """
[.[] | select(.size > 50) | .name |= ascii_upcase | .tags |= map(. + "!")] as $kept
| ($kept | group_by(.kind) | map({kind: .[0].kind, count: length, size: (map(.size) | add)})),
  ($kept | map(.name) | unique | length), ($kept | map(tojson | length) | add)
"""


def words(rng, count):
    return ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 10))) for _ in range(count)]


def json_text():
    rng = random.Random(2)
    names = words(rng, 3000)
    rows = ('{"id":%d,"kind":"k%d","name":"%s","size":%d,"tags":["%s","%s"],"at":{"x":%d,"y":[%d,%d]}}'
            % (i, rng.randrange(40), rng.choice(names), rng.randrange(1000), rng.choice(names), rng.choice(names),
               i % 97, i, i * 3) for i in range(30000))
    return "[" + ",\n".join(rows) + "]\n"


def c_text():
    """Functions that differ, so that the compiler has something to do in each."""
    rng = random.Random(3)
    parts = ["struct item { struct item *next; int key, weight; double share; };\n"]
    for i in range(110):
        cases = "".join(f"        case {c}: sum += item->weight * {rng.randrange(1, 99)} - sum / {c + 2}; break;\n"
                        for c in range(rng.randrange(4, 12)))
        parts.append(f"""
static long walk{i}(struct item *item, const int *table, int n)
{{
    long sum = {rng.randrange(1000)};
    for (int i = 0; i < n; i++)
        sum += table[i] * (sum & {rng.randrange(1, 255)} ? {rng.randrange(1, 99)} : i) ^ table[(i * {i + 3}) % n];
    for (; item; item = item->next) {{
        switch (item->key) {{
{cases}        default: item->share = item->share * {rng.random():.4f} + (double)sum;
        }}
    }}
    return sum;
}}
long call{i}(struct item *a, const int *t, int n) {{ return walk{i}(a, t, n) + walk{i}(a->next, t + 1, n - 1); }}
""")
    return "".join(parts)


def plain_text(seed, size):
    """About size bytes of words, some of them often, as xz and git find them in sources."""
    rng = random.Random(seed)
    some = words(rng, 4000)
    lines = []
    length = 0
    while length < size:
        line = " ".join(some[int(rng.random() ** 3 * len(some))] for _ in range(rng.randint(3, 12)))
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines) + "\n"


def fast_import_stream():
    """A history of 700 commits on 60 files; a checkpoint now and then makes a pack of its own."""
    rng = random.Random(4)
    files = [plain_text(100 + i, 6000).split("\n") for i in range(60)]
    out = []
    for commit in range(700):
        changed = range(60) if commit == 0 else rng.sample(range(60), 4)
        message = f"change {commit}"
        out.append(f"commit refs/heads/main\nmark :{commit + 1}\n"
                   f"committer Bench <bench@example.org> {1600000000 + commit * 60} +0000\n"
                   f"data {len(message)}\n{message}\n")
        if commit:
            out.append(f"from :{commit}\n")
        for i in changed:
            for _ in range(3):
                files[i][rng.randrange(len(files[i]))] = f"line {rng.randrange(10**9)} of {commit}"
            text = "\n".join(files[i])
            out.append(f"M 100644 inline dir{i % 7}/file{i}.txt\ndata {len(text)}\n{text}\n")
        if commit % 100 == 99:
            out.append("checkpoint\n")
    return "".join(out)


def which(name):
    return shutil.which(name, path=PATH)


def quiet_git(scratch):
    return {"HOME": scratch, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": PATH, "LC_ALL": "C"}


def write(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def make_inputs(directory):
    """Fills the directory once; made again when this file has changed."""
    with open(__file__, "rb") as source:
        version = hashlib.sha256(source.read()).hexdigest()
    stamp = os.path.join(directory, "version")
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as old:
            if old.read() == version:
                return
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    texts = {"sqlite.sql": SQL, "python.py": PYTHON, "perl.pl": PERL, "lua.lua": LUA, "jq.jq": JQ,
             "jq.json": json_text(), "gcc.c": c_text(), "xz.txt": plain_text(5, 6 << 20)}
    for name, text in texts.items():
        write(os.path.join(directory, name), text)
    if which("git"):
        repository = os.path.join(directory, "git")
        run = {"env": quiet_git(directory), "check": True}
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", repository], **run)
        subprocess.run(["git", "-C", repository, "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"],
                       input=fast_import_stream().encode(), **run)
    write(stamp, version)


class Program:
    """One program: `command` runs under the allocator. `needs` are the programs without which it is skipped."""

    def __init__(self, name, help_text, command, needs=None, stdin=None, env=None):
        self.name, self.help, self.command = name, help_text, command
        self.needs, self.stdin, self.env = needs or command[:1], stdin, env or {}
        self.counts = "both"

    def missing(self):
        return [name for name in self.needs if not which(name)]

    def preload(self, allocator):
        return allocator.library

    def before(self, inputs, scratch):
        """What has to lie in scratch before each run; not measured."""

    def drive(self, scratch):
        """Called while the program runs; what it returns is compared as output is."""
        return ""

    def after(self, scratch):
        """Checks what the program left in scratch; what it returns is compared as output is."""
        return ""


class Compiler(Program):
    """The compiler proper, which gcc starts: under a profiler that does not follow children it has to be named."""

    def before(self, inputs, scratch):
        found = subprocess.run(["gcc", "-print-prog-name=cc1"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.command = [found.strip(), *self.command[1:]]


class GitGc(Program):
    def before(self, inputs, scratch):
        shutil.copytree(os.path.join(inputs, "git"), os.path.join(scratch, "git"), symlinks=True)

    def after(self, scratch):
        git = ["git", "-C", os.path.join(scratch, "git")]
        run = {"env": quiet_git(scratch), "check": True, "stdout": subprocess.PIPE, "text": True}
        subprocess.run([*git, "fsck", "--no-progress"], **run)
        objects = subprocess.run([*git, "rev-list", "--all", "--objects"], **run).stdout
        packs = subprocess.run([*git, "count-objects", "-v"], **run).stdout
        return objects + "".join(line for line in packs.splitlines() if line.startswith(("in-pack", "packs", "count")))


class Redis(Program):
    """redis-benchmark over loopback, then a data set of our own that is rewritten twice, compared by its digest."""

    def preload(self, allocator):
        """Debian links redis with jemalloc; named first, the C library is the one that is used."""
        return allocator.library or "libc.so.6"

    def before(self, inputs, scratch):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        write(os.path.join(scratch, "redis.conf"), f'bind 127.0.0.1\nport {self.port}\nsave ""\nappendonly no\n'
              f"dir {scratch}\nlogfile {scratch}/log\nenable-debug-command local\nhz 10\n")

    def connect(self):
        deadline = time.monotonic() + 10
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=60)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def drive(self, scratch):
        with self.connect() as server:
            subprocess.run([which("redis-benchmark"), "-p", str(self.port), "-q", "-n", "60000", "-r", "40000",
                            "-P", "16", "-c", "20", "-d", "300", "-t", "set,get,lpush,lpop,sadd,hset,zadd"],
                           check=True, stdout=subprocess.DEVNULL, timeout=120)
            ask(server, "FLUSHALL")
            rng = random.Random(6)
            for largest in (100, 400, 1500):
                for _ in range(60):
                    ask(server, *(("SET", f"key:{rng.randrange(30000)}", "v" * rng.randint(1, largest))
                                  for _ in range(500)))
            digest = ask(server, ("DEBUG", "DIGEST"))
            server.sendall(resp(("SHUTDOWN", "NOSAVE")))
            return digest


def resp(command):
    words_of = [command] if isinstance(command, str) else command
    return (f"*{len(words_of)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words_of)).encode()


def ask(server, *commands):
    """Replies are single lines; returns the last one."""
    server.sendall(b"".join(map(resp, commands)))
    replies = b""
    while replies.count(b"\r\n") < len(commands):
        more = server.recv(1 << 16)
        if not more:
            raise OSError("the server has closed the connection")
        replies += more
    last = replies.decode().splitlines()[-1]
    if last.startswith("-"):
        raise OSError(last)
    return last


# In commands, @ stands for the directory of inputs and % for the scratch directory of the run.
PROGRAMS = [
    Program("sqlite3", "tables, indices, joins and updates in memory", ["sqlite3", ":memory:"], stdin="sqlite.sql"),
    Redis("redis", "redis-benchmark, then values that are rewritten in three sizes", ["redis-server", "%/redis.conf"],
          needs=["redis-server", "redis-benchmark"]),
    Program("python3", "objects, dictionaries, json and re, with PYTHONMALLOC=malloc", ["python3", "-s", "@/python.py"],
            env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}),
    Program("perl", "hashes, strings, regular expressions, sort", ["perl", "@/perl.pl"],
            env={"PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"}),
    Program("jq", "3 MB of JSON selected and grouped", ["jq", "-c", "-f", "@/jq.jq", "@/jq.json"]),
    Program("gcc", "a C file of 220 functions to assembly at -O2", ["gcc", "-O2", "-S", "-o", "-", "@/gcc.c"]),
    GitGc("git_gc", "git gc --aggressive of 700 commits in eight packs",
          ["git", "-C", "%/git", "-c", "pack.threads=2", "gc", "-q", "--aggressive", "--prune=now"]),
    Program("xz", "6 MB of text, two threads, blocks of 1 MiB",
            ["xz", "-3", "-T2", "--block-size=1MiB", "-c", "@/xz.txt"]),
    Program("lua", "tables and strings", ["lua5.4", "@/lua.lua"]),
]

# Where each process is measured by itself: single processes.
SINGLE = [program for program in PROGRAMS if program.name in ("sqlite3", "redis", "python3", "perl", "jq")] + [
    Compiler("gcc", "its cc1: a C file of 220 functions to assembly at -O2",
             ["cc1", "-quiet", "-O2", "-o", "-", "@/gcc.c"], needs=["gcc"]),
    Program("git", "git log -p --stat of 700 commits",
            ["git", "-C", "@/git", "log", "-p", "--stat", "--patience", "-C"]),
]
