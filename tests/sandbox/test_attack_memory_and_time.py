"""A run ends in time and takes no more than its limits: memory of every kind, disk, files, output, processor, clock."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import asyncio
import time
from dataclasses import replace

import pytest
from attacks import LIMITS, MIB, RIGHT, Attack, facts, holds, next_is_right

from tandem.sandbox import Tests

NO_MEMORY = r"MemoryError|Errno 12"
FULL = r"Errno 27|Errno 28"
CPU, CLOCK = r"timeout: out of processor time", r"timeout: out of time on the clock"
SHORT, BRIEF = replace(LIMITS, cpu=0.2), replace(LIMITS, wall=0.4)
SMALL = replace(LIMITS, memory=64 * MIB)

ATTACKS = {
    "it fills memory with lists": Attack("x = []\nwhile True:\n    x.append([0] * 100_000)", NO_MEMORY),
    "it asks for more memory than there is": Attack("bytearray(1 << 40)", NO_MEMORY),
    "it maps shared memory": Attack(
        "import mmap\nx = [mmap.mmap(-1, 64 << 20) for _ in range(100)]\nfor m in x:\n    m.write(b'1' * (64 << 20))",
        NO_MEMORY,
    ),
    "it makes a memory file": Attack("os.ftruncate(os.memfd_create('x'), 1 << 30)"),
    "it fills memory with arrays of numpy": Attack(
        "import numpy\nx = [numpy.ones(1 << 22) for _ in range(100)]", r"MemoryError"
    ),
    "it doubles a text for ever": Attack("x = 'x'\nwhile True:\n    x += x", NO_MEMORY),
    "it doubles a list of itself": Attack("x = [0]\nwhile True:\n    x = x * 2", NO_MEMORY),
    "it allocates past Python": Attack(
        "libc.calloc.restype = ctypes.c_void_p\nx = []\n"
        "while p := libc.calloc(ctypes.c_size_t(1), ctypes.c_size_t(1 << 20)):\n    ctypes.memset(p, 1, 1 << 20)\n"
        "    x.append(p)\n    if len(x) > 1000:\n        sys.exit(0)\nraise MemoryError",
        r"MemoryError",
    ),
    "it locks memory": Attack("any_of(lambda: call(149, id(os), 4096), lambda: call(151, 3))"),
    "it takes huge pages": Attack("import mmap\nmmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | 0x40020)", NO_MEMORY),
    "it lets a pipe hold much": Attack("import fcntl\nr, w = os.pipe()\nfcntl.fcntl(w, 1031, 1 << 28)"),
    "it computes a number of a billion digits": Attack("x = 10 ** (10 ** 9)", rf"{CPU}|{NO_MEMORY}", SHORT),
    "it calls itself without end": Attack("def f(): f()\nf()", r"RecursionError"),
    "it calls itself without end and without Python's own limit": Attack(
        "sys.setrecursionlimit(1 << 30)\ndef f(): f()\nf()", rf"died: ended by signal 11|{NO_MEMORY}|SystemError", SMALL
    ),
    "it exhausts the stack below Python": Attack(
        "sys.setrecursionlimit(1 << 30)\nx = []\nfor _ in range(300_000):\n    x = [x]\nrepr(x)",
        rf"died: ended by signal 11|{NO_MEMORY}|RecursionError",
        SMALL,
    ),
    "it raises its limits": Attack(
        "import resource\n"
        "def more(which):\n"
        "    try:\n        resource.setrlimit(which, (-1, -1))\n"
        "    except ValueError as error:\n        raise OSError(str(error))\n"
        "any_of(*(lambda n=n: more(n) for n in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU,\n"
        "    resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)))",
        r"not allowed to raise maximum limit",
    ),
    "it fills its folder by one file": Attack(
        "with open('x', 'wb') as file:\n    while True:\n        file.write(b'x' * 65536)", FULL
    ),
    "it fills its folder by many files": Attack(
        "for i in range(1000):\n    open(str(i), 'wb').write(b'x' * 1_000_000)", FULL
    ),
    "it fills its folder by empty files": Attack("for i in range(100_000):\n    open(str(i), 'w').close()", FULL),
    "it fills its folder by folders": Attack("while True:\n    os.mkdir('x')\n    os.chdir('x')", FULL),
    "it fills its folder by links": Attack("for i in range(100_000):\n    os.symlink('x' * 4000, str(i))", FULL),
    "it reserves more than its folder holds": Attack(
        "n = os.open('x', os.O_CREAT | os.O_RDWR)\n"
        "any_of(lambda: os.posix_fallocate(n, 0, 1 << 30), lambda: os.ftruncate(n, 1 << 40))",
        FULL,
    ),
    "it opens files without end": Attack("x = [os.open('/dev/null', os.O_RDONLY) for _ in range(5000)]", r"Errno 24"),
    "it floods its output": Attack("while True:\n    os.write(1, b'x' * 65536)", CPU, SHORT),
    "it floods both outputs by print": Attack(
        "while True:\n    print('x' * 9999)\n    print('x' * 9999, file=sys.stderr)", CPU, SHORT
    ),
    "it loops": Attack("while True: pass", CPU, SHORT),
    "it loops in many threads": Attack(
        "import hashlib, threading\ndef burn():\n    while True:\n        hashlib.sha256(b'x' * 1_000_000)\n"
        "threads = [threading.Thread(target=burn) for _ in range(4)]\n"
        "for t in threads: t.start()\nfor t in threads: t.join()",
        CPU,
        SHORT,
    ),
    "it loops where Python cannot interrupt it": Attack("import re\nre.match('(a+)+$', 'a' * 60 + 'b')", CPU, SHORT),
    "it ignores every signal and loops": Attack(
        "import signal\nfor s in signal.valid_signals():\n    try:\n        signal.signal(s, signal.SIG_IGN)\n"
        "    except OSError:\n        pass\nwhile True: pass",
        CPU,
        SHORT,
    ),
    "it blocks every signal and loops": Attack(
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: pass", CPU, SHORT
    ),
    "it catches whatever ends it": Attack(
        "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass", CPU, SHORT
    ),
    "it sleeps": Attack("import time\ntime.sleep(60)", CLOCK, BRIEF),
    "it waits for a signal with every one ignored": Attack(
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.alarm(1)\nsignal.pause()", CLOCK, BRIEF
    ),
    "it waits for itself": Attack(
        "import threading\nthreading.Lock().acquire() and threading.Event().wait()", CLOCK, BRIEF
    ),
    "it closes its outputs and sleeps": Attack(
        "import time\nfor n in range(64):\n    try:\n        os.close(n)\n    except OSError:\n        pass\ntime.sleep(60)",
        CLOCK,
        BRIEF,
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_limits_hold_when(attack, confined):
    holds(confined, attack, **facts())


def test_a_flood_of_output_is_kept_up_to_its_limit_and_counted_beyond(confined):
    program = "import os\nwhile True:\n    os.write(1, b'x' * 65536)\n    os.write(2, b'x' * 65536)"
    ran = asyncio.run(confined.run(program, limits=SHORT))
    assert (len(ran.out), len(ran.err)) == (LIMITS.output, LIMITS.output)
    assert ran.dropped > MIB


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    "program",
    ["while True: print('x' * 9999)", "import os\nwhile True: os.write(1, b'x' * 9999)", "while True: pass"],
)
def test_a_program_under_test_that_never_ends_is_out_of_time(program, trusted, confined):
    lost = confined.lost
    for code in (program, "def f(x):\n " + program.replace("\n", "; ").replace("; while", "\n while")):
        tests = Tests(("assert f(1) == 2",), entry=("f",), trusted=trusted)
        assert confined.submit(code, tests, SHORT).result(timeout=30).outcome == "timeout"
    next_is_right(confined, lost)


def test_memory_of_a_value_sent_counts_as_the_programs_own(confined):
    lost = confined.lost
    for program in (
        "def f(x): return [0] * (1 << 26)",
        "def f(x): return 'x' * (1 << 28)",
        "def f(x): return 10 ** (1 << 27)",
    ):
        verdict = confined.submit(program, Tests(("assert f(1) == 2",), entry=("f",)), SHORT).result(timeout=30)
        assert verdict.outcome in ("error", "timeout", "died")
    next_is_right(confined, lost)


def test_time_started_too_late_ends_at_the_same_deadline(confined):
    began = time.monotonic()
    tests = Tests(("assert f(1) == 2",), entry=("f",), trusted=True)
    slow = "import time\ndef f(x): time.sleep(30)\n" + RIGHT.replace("f(x)", "g(x)")
    assert confined.submit(slow, tests, BRIEF).result(timeout=30).outcome == "timeout"
    assert time.monotonic() - began < BRIEF.wall + 3
