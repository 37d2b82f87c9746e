"""A run starts no process, reaches no other one, and its threads are counted and end with it."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import asyncio
import os
import time
from dataclasses import replace

import pytest
from attacks import LIMITS, RIGHT, Attack, facts, holds

from tandem.sandbox import Tests

NOT_A_CHILD = r"PermissionError|ChildProcessError|ProcessLookupError"

ATTACKS = {
    "it forks": Attack("os.fork()"),
    "it forks by every call there is": Attack(
        "any_of(lambda: call(57), lambda: call(58), lambda: call(56, 17, 0, 0, 0, 0), lambda: call(56, 0x4111, 0, 0, 0, 0))"
    ),
    "it forks by the call whose flags lie in memory": Attack(
        "call(435, (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17), 64)", r"Errno 38"
    ),
    "it forks until nothing is left": Attack("while True:\n    os.fork()"),
    "it starts a program": Attack("import subprocess\nsubprocess.run(['/bin/true'])"),
    "it starts a shell": Attack("assert os.system('true') == 0, 'no shell'", r"no shell"),
    "it spawns": Attack("os.posix_spawn('/bin/true', ['true'], {})", r"PermissionError|FileNotFoundError"),
    "it becomes another program": Attack(
        "any_of(lambda: os.execv(sys.executable, ['python']), lambda: os.execv('/proc/self/exe', ['python']),\n"
        "    lambda: call(322, 1, b'', None, None, 0x1000))"
    ),
    "it starts a pool of processes": Attack(
        "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()"
    ),
    "it signals its parent": Attack("any_of(lambda: os.kill(os.getppid(), 0), lambda: os.kill($PARENT, 0))"),
    "it signals everybody": Attack("any_of(lambda: os.kill(-1, 9), lambda: os.kill(0, 9), lambda: os.killpg(0, 9))"),
    "it signals the processes beside it": Attack("any_of(*(lambda n=n: os.kill(n, 9) for n in range(2, 300)))"),
    "it signals by other calls": Attack(
        "any_of(lambda: call(200, 1, 9), lambda: call(129, $PARENT, 9, b'\\0' * 128), lambda: call(434, $PARENT, 0),\n"
        "    lambda: call(297, $PARENT, $PARENT, 9, b'\\0' * 128), lambda: call(424, 1, 9, None, 0))"
    ),
    "it has a descriptor signal another process": Attack(
        "import fcntl\nr, w = os.pipe()\nany_of(lambda: fcntl.fcntl(r, fcntl.F_SETOWN, $PARENT),\n"
        "    lambda: fcntl.fcntl(r, fcntl.F_SETSIG, 9), lambda: fcntl.fcntl(r, 15, b'\\0' * 8),\n"
        "    lambda: fcntl.ioctl(r, 0x8901, b'\\0' * 4))"
    ),
    "it traces its parent": Attack("any_of(lambda: call(101, 16, $PARENT, 0, 0), lambda: call(101, 16, 2, 0, 0))"),
    "it lets itself be traced": Attack("call(101, 0, 0, 0, 0)"),
    "it reads another's memory": Attack(
        "b = ctypes.create_string_buffer(64)\nv = (ctypes.c_uint64 * 2)(ctypes.addressof(b), 64)\n"
        "any_of(lambda: call(310, $PARENT, v, 1, v, 1, 0), lambda: call(311, $PARENT, v, 1, v, 1, 0))"
    ),
    "it sets another's limits": Attack("call(302, $PARENT, 7, None, ctypes.create_string_buffer(16))"),
    "it waits for processes beside it": Attack("os.waitpid(-1, 0)", NOT_A_CHILD),
    "it takes more of the processor": Attack(
        "any_of(lambda: os.nice(-5), lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),\n"
        "    lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))"
    ),
    "it moves to other processors": Attack("os.sched_setaffinity(0, range(os.cpu_count()))"),
    "it leaves its group": Attack("any_of(os.setsid, lambda: os.setpgid(0, 0))"),
    "it starts threads without end": Attack(
        "import threading, time\nfor _ in range(1000):\n    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        r"RuntimeError: can't start new thread",
    ),
    "it becomes another user": Attack("any_of(lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]))"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_other_processes_are_out_of_reach_when(attack, confined):
    holds(confined, attack, **facts())


def test_a_thread_ends_with_its_run(confined):
    program = (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('started')"
    )
    began = time.monotonic()
    ran = asyncio.run(confined.run(program))
    assert (ran.out, ran.outcome) == ("started\n", "passed")
    assert time.monotonic() - began < 5
    assert asyncio.run(confined.run("import threading; print(threading.active_count())")).out == "1\n"


def test_a_run_is_nobody_and_the_first_process_it_can_see(confined):
    seen = asyncio.run(confined.run("import os; print(os.getpid(), os.getppid(), os.getuid() == 0)")).out
    assert seen == "1 0 False\n" or (os.getuid() != 0 and seen.startswith("1 0"))


def test_many_threads_while_the_examiner_starts_are_no_fault_of_the_sandbox(confined):
    """The threads come at once, so that some are there before the examiner is."""
    bomb = "import _thread, time\nfor _ in range(200): _thread.start_new_thread(time.sleep, (5,))\n" + RIGHT
    held = replace(LIMITS, wall=3)
    for trusted in (True, False):
        tests = Tests(("assert f(1) == 2",), entry=("f",), trusted=trusted)
        outcomes = {confined.submit(bomb, tests, held).result(timeout=60).outcome for _ in range(20)}
        assert outcomes == {"error"}


def test_a_crash_calls_no_handler_of_the_machine(confined):
    """A limit of 0 would still start the program that the machine keeps for crashes; a limit of 1 starts none."""
    program = "import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))"
    assert asyncio.run(confined.run(program)).out == "(1, 1)\n"


def test_no_exit_status_and_no_text_looks_like_trouble_of_the_sandbox(confined):
    for status in (1, 2, 97, 126, 127, 255):
        program = f"import os, sys\nprint('sandbox: not confined', file=sys.stderr, flush=True)\nos._exit({status})"
        ran = asyncio.run(confined.run(program))
        assert (ran.outcome, ran.status) == ("error", status)
