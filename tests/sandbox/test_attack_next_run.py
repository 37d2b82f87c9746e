"""Whatever a run leaves behind, the next one in the same warm process finds nothing of it."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import asyncio
import json
import re
from dataclasses import replace

import pytest
from attacks import LIMITS, MIB, RIGHT, WRONG, next_is_right

from tandem.sandbox import Sandbox, Tests

HELD = replace(LIMITS, cpu=0.5, wall=2)
LONG = ("deep", "fills", "every file", "never ends")
# all that a run could find changed, as it sees it
STATE = """
import builtins, gc, json, locale, os, resource, signal, stat, sys, threading, time
umask = os.umask(0o22)
free = os.statvfs("/scratch")
print(json.dumps({
    "folder": os.listdir("/scratch"), "mode": oct(os.stat("/scratch").st_mode), "here": os.getcwd(), "umask": umask,
    "free": [free.f_bfree, free.f_ffree], "limits": [resource.getrlimit(n) for n in range(9)],
    "signals": [str(signal.getsignal(s)) for s in sorted(signal.valid_signals()) if s not in (9, 19)],
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "timer": signal.getitimer(signal.ITIMER_REAL),
    "modules": sorted(sys.modules), "path": sys.path,
    "threads": threading.active_count(), "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(),
    "hooks": [repr(sys.excepthook), repr(sys.displayhook), len(sys.meta_path), len(sys.path_hooks)], "argv": sys.argv,
    "environment": dict(os.environ), "hash": hash("a"), "zone": time.tzname, "locale": locale.setlocale(locale.LC_ALL),
    "nice": os.getpriority(os.PRIO_PROCESS, 0), "processors": sorted(os.sched_getaffinity(0)), "collecting": gc.isenabled(),
    "builtins": [len(dir(builtins)), repr(len), repr(print), repr(abs)], "name": threading.current_thread().name,
    "open": [n for n in range(1024) if os.path.exists(f"/dev/fd/{n}") or not os.system], "digits": sys.get_int_max_str_digits(),
}))
"""
POISONS = {
    "leaves files of every kind": """
import os
for i in range(50):
    open(f"f{i}", "w").write("x"); os.symlink("/etc", f"s{i}"); os.link(f"f{i}", f"l{i}"); os.mkfifo(f"p{i}") if False else None
    os.makedirs(f"d{i}/e/f"); open(f"d{i}/e/f/g", "w").write("x")
os.symlink("loop", "loop"); os.symlink("..", "up"); os.symlink("/scratch", "again")
""",
    "leaves more deep folders": """
import os
for top in "abc":
    os.chdir("/scratch"); os.mkdir(top); os.chdir(top)
    for i in range(1000): os.mkdir("d"); os.chdir("d")
    open("x", "w").write("x" * 100)
""",
    "closes what it leaves to itself": """
import os
os.makedirs("a/b/c"); open("a/b/c/x", "w"); open("y", "w")
for name in ("a/b/c/x", "a/b/c", "a/b", "a", "y"): os.chmod(name, 0)
""",
    "closes its folder to itself": "import os\nos.mkdir('a'); os.chmod('/scratch', 0)",
    "makes its folder anybody's": "import os\nos.chmod('/scratch', 0o1777)",
    "leaves the names that clearing up may use": """
import os
for i in range(200):
    for name in (f"{i}.left", f"{i}", f".{i}", f"{i}.tmp", f"left{i}"): open(name, "w")
for i in range(20): os.makedirs(f"x{i}/{i}.left/y"); os.makedirs(f"x{i}/z/{i}.left")
""",
    "leaves names that are no text": """
import os
for name in (b"\\xff\\xfe", b"a\\nb", b"-rf", b"*", b" ", b"\\x01", b"n" * 255, "\\u00e9\\u4e2d".encode(), b"\\xed\\xa0\\x80"):
    os.mkdir(name); open(os.path.join(name, name), "w")
""",
    "fills its folder": """
try:
    with open("x", "wb") as file:
        while True: file.write(b"x" * 65536)
except OSError: pass
""",
    "uses every file its folder may have": """
try:
    for i in range(100_000): open(str(i), "w").close()
except OSError: pass
""",
    "keeps a file open that has no name any more": """
import os, time
n = os.open("x", os.O_CREAT | os.O_RDWR); os.write(n, b"x" * 1_000_000); os.unlink("x")
""",
    "locks a file": "import fcntl\nfile = open('lock', 'w')\nfcntl.flock(file, fcntl.LOCK_EX)",
    "changes its folder, mask and names": "import os, sys\nos.mkdir('a'); os.chdir('a'); os.umask(0o777); sys.argv = []",
    "takes its own limits down": """
import resource
for n in range(16):
    try: resource.setrlimit(n, (0, 0))
    except (OSError, ValueError): pass
""",
    "changes its environment and time zone": """
import locale, os, time
os.environ.clear(); os.environ["TZ"] = "Asia/Tokyo"; time.tzset(); locale.setlocale(locale.LC_ALL, "C")
""",
    "draws numbers and sets the seed": "import random\nrandom.seed(1); random.random(); random._inst = None",
    "changes built-in functions and modules": """
import builtins, json, sys
builtins.len = builtins.print = builtins.abs = lambda *a: 7
builtins.extra = 1
for n in list(sys.modules): sys.modules[n] = None
""",
    "changes the sandbox's own modules": """
import sys
for n, m in list(sys.modules.items()):
    if n.startswith("tandem"):
        for k in list(vars(m)): setattr(m, k, None)
""",
    "handles and blocks signals, and starts timers": """
import signal
for s in signal.valid_signals():
    try: signal.signal(s, lambda *a: None)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01); signal.alarm(1)
""",
    "hooks imports, errors and exits": """
import atexit, sys
sys.excepthook = sys.displayhook = sys.unraisablehook = lambda *a: None
sys.meta_path.clear(); sys.path_hooks.clear(); sys.path[:] = ["/scratch"]
atexit.register(lambda: 1 / 0); sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)
""",
    "changes the interpreter's own settings": """
import gc, sys
sys.setrecursionlimit(1 << 20); sys.setswitchinterval(10); gc.disable(); gc.freeze(); sys.set_int_max_str_digits(0)
""",
    "leaves threads that go on": """
import threading, time
def write():
    while True:
        try: open("late", "a").write("x")
        except OSError: pass
for _ in range(8): threading.Thread(target=write, daemon=True).start()
time.sleep(0.05)
""",
    "closes everything": "import os\nos.closerange(0, 1 << 16)",
    "ends by a signal in the middle": "import os, signal\nopen('x', 'w').write('x'); os.kill(os.getpid(), signal.SIGSEGV); os.abort()",
    "never ends": "open('x', 'w').write('x')\nwhile True: pass",
}


@pytest.fixture(scope="module")
def state(confined):
    """What a run sees when nothing was before it."""
    first, second = (json.loads(asyncio.run(confined.run(STATE)).out) for _ in range(2))
    assert first == second
    return first


@pytest.mark.parametrize("name", POISONS)
def test_the_next_run_finds_nothing_of_one_that(name, confined, state):
    poison = POISONS[name]
    lost = confined.lost
    script = asyncio.run(confined.run(poison, limits=HELD))
    assert script.outcome != "infrastructure"
    assert not re.search("NameError|SyntaxError", script.err), "the poison itself is wrong"
    for tests in (None, Tests(("assert f(1) == 2",), entry=("f",), trusted=True)):
        if tests is not None:
            if any(word in name for word in LONG):
                break
            poisoned = confined.submit("def f(x): return 0\n" + poison, tests, HELD).result(timeout=60)
            assert poisoned.outcome not in ("passed", "broken", "infrastructure")
        after = asyncio.run(confined.run(STATE))
        assert after.outcome == "passed", after.err
        assert json.loads(after.out) == state
        next_is_right(confined, lost)


def test_the_next_run_does_not_draw_the_numbers_of_a_seed_set_before(confined):
    draw = "import random\nprint(random.random())"
    seeded = asyncio.run(confined.run("import random\nrandom.seed(1)\nprint(random.random())")).out
    assert seeded != asyncio.run(confined.run(draw)).out


def test_the_tests_process_that_is_kept_holds_nothing_of_what_programs_sent(confined):
    """Else a few programs that return much would leave the next, right one without memory."""
    tests = Tests(("assert f(1) == 2",), entry=("f",), trusted=True)
    large = "def f(x): return [f, 'y' * 12_000_000]"
    with Sandbox(workers=1, limits=replace(LIMITS, memory=96 * MIB), required=()) as sandbox:
        outcomes = [sandbox.submit(large, tests).result(timeout=60).outcome for _ in range(9)]
        assert outcomes == ["failed"] * 9, "9 times 12 MB do not fit"
        next_is_right(sandbox, 0)


def test_the_tests_process_that_is_kept_ends_with_a_program_that_blocks_it(confined):
    lost = confined.lost
    tests = Tests(("assert f(1) == 2",), entry=("f",), trusted=True)
    brief = replace(LIMITS, cpu=0.2, wall=0.5)
    for program in ("import time\ntime.sleep(9)", "def f(x):\n while True: pass", "def f(x):\n while True: yield 1"):
        for _ in range(2):
            confined.submit(program, tests, brief).result(timeout=60)
            next_is_right(confined, lost)


def test_many_runs_in_turn_keep_their_verdicts_apart(confined):
    tests = Tests(("assert f(1) == 2", "assert f(2) == 3"), entry=("f",), trusted=True)
    programs = [RIGHT, WRONG, "import os\nos._exit(0)", "f = 7", "def f(x): raise StopIteration"] * 20
    outcomes = [done.result(timeout=60).outcome for done in [confined.submit(p, tests) for p in programs]]
    assert outcomes == ["passed", "failed", "died", "error", "error"] * 20
