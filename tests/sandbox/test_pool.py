"""The pool: what becomes of a verdict when a warm process is lost, of jobs that wait, of processes at the end."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tandem.errors import Failure, UserError
from tandem.sandbox import Limits, Sandbox, Tests
from tandem.sandbox.layers import Layers, demand

ADDS_ONE = Tests(("assert f(1) == 2", "assert f(2) == 3"), entry=("f",))
RIGHT, WRONG = "def f(x): return x + 1", "def f(x): return 2"
SLOW = "import time\ntime.sleep(0.4)\n" + RIGHT


def started_by(parent):
    """Numbers of all processes below one."""
    below = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            below.setdefault(int(fields[1]), []).append(int(folder.name))
    found, look = [], [parent]
    while look:
        inner = below.get(look.pop(), [])
        found += inner
        look += inner
    return found


def warm_processes(parent):
    return [p for p in started_by(parent) if b"tandem.sandbox" in Path(f"/proc/{p}/cmdline").read_bytes()]


@pytest.fixture
def own():
    """The warm processes that a test itself has started and that are there."""
    others = warm_processes(os.getpid())
    return lambda: [p for p in warm_processes(os.getpid()) if p not in others]


@pytest.fixture
def sandbox():
    with Sandbox(workers=1) as made:
        yield made


def test_a_right_program_passes_and_a_wrong_one_says_what_it_returned(sandbox):
    assert sandbox.submit(RIGHT, ADDS_ONE).result().passed
    verdict = sandbox.submit(WRONG, ADDS_ONE).result()
    assert verdict.outcome == "failed"
    first = verdict.first
    assert (first.number, first.input, first.output, first.expected) == (1, "f(2)", "2", "3")


def test_a_lost_warm_process_is_started_again_and_its_job_run_once_more(sandbox, own):
    assert sandbox.submit(RIGHT, ADDS_ONE).result().passed
    waiting = sandbox.submit(SLOW, ADDS_ONE)
    time.sleep(0.2)
    for number in own():
        with contextlib.suppress(ProcessLookupError):  # gone with the one before it
            os.kill(number, signal.SIGKILL)
    assert waiting.result(timeout=20).passed
    assert sandbox.lost == 1


def test_a_job_that_loses_two_warm_processes_is_no_wrong_answer(sandbox, own):
    sandbox.submit(RIGHT, ADDS_ONE).result()
    waiting = sandbox.submit("import time\ntime.sleep(3)\n" + RIGHT, ADDS_ONE)
    deadline = time.monotonic() + 20
    while not waiting.done() and time.monotonic() < deadline:
        time.sleep(0.3)
        for number in own():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
    assert waiting.result().outcome == "infrastructure"
    assert sandbox.submit(RIGHT, ADDS_ONE).result().passed


def test_closing_leaves_no_process(own):
    sandbox = Sandbox(workers=2)
    for verdict in [sandbox.submit(RIGHT, ADDS_ONE) for _ in range(4)]:
        assert verdict.result().passed
    assert own()
    sandbox.close()
    assert not own()
    with pytest.raises(Failure, match="closed"):
        sandbox.submit(RIGHT, ADDS_ONE)


def test_a_parent_that_is_killed_leaves_no_process():
    script = """
        import sys, time
        from tandem.sandbox import Sandbox, Tests
        sandbox = Sandbox(workers=1)
        sandbox.submit("x = 1", Tests(("assert True",))).result()
        sandbox.submit("while True: pass", Tests(("assert True",)))
        time.sleep(0.3)
        print("running", flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline().strip() == "running"
    below = started_by(parent.pid)
    assert len(below) >= 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{p}").exists() for p in below):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.05)


def test_leaving_by_an_error_does_not_wait_for_what_runs():
    async def main():
        async with Sandbox(workers=1) as sandbox:
            task = asyncio.create_task(sandbox.examine("import time; time.sleep(30)", ADDS_ONE, Limits(wall=40)))
            await asyncio.sleep(0.3)
            task.cancel()
            raise KeyError("stop")

    began = time.monotonic()
    with pytest.raises(KeyError):
        asyncio.run(main())
    assert time.monotonic() - began < 10


def test_the_warm_process_has_none_of_the_parents_environment(sandbox, monkeypatch):
    monkeypatch.setenv("TANDEM_SECRET_KEY", "hunter2")
    with Sandbox(workers=1) as fresh:
        ran = asyncio.run(fresh.run("import os; print(sorted(os.environ)); print(os.environ.get('TANDEM_SECRET_KEY'))"))
    assert "TANDEM_SECRET_KEY" not in ran.out.splitlines()[0]
    assert ran.out.splitlines()[1] == "None"


def test_standard_input_output_error_and_status_come_back(sandbox):
    program = "import sys; print(input().upper()); print('oh', file=sys.stderr); sys.exit(3)"
    ran = asyncio.run(sandbox.run(program, stdin="hello\n"))
    assert (ran.out, ran.err, ran.status, ran.outcome) == ("HELLO\n", "oh\n", 3, "error")


def test_a_traceback_begins_at_the_programs_own_line(sandbox):
    ran = asyncio.run(sandbox.run("def g():\n    return 1 / 0\n\ng()\n"))
    assert ran.err.splitlines()[1].strip() == 'File "<__main__>", line 4, in <module>'
    assert "tandem" not in ran.err


def test_output_beyond_the_limit_is_counted_not_kept(sandbox):
    ran = asyncio.run(sandbox.run("print('x' * 3_000_000)", limits=Limits(output=1000)))
    assert (len(ran.out), ran.dropped, ran.outcome) == (1000, 2_999_001, "passed")


def test_numpy_works_and_programs_that_name_it_get_a_process_that_holds_it(sandbox):
    program = "import numpy as np\ndef f(x): return (np.eye(2) * x).sum() / 2 + 1"
    verdict = sandbox.submit(program, ADDS_ONE).result()
    assert verdict.passed, verdict.text


def test_a_trusted_tests_process_is_kept_and_still_sees_each_program_apart(sandbox):
    tests = Tests(ADDS_ONE.tests, entry=("f",), trusted=True)
    outcomes = [
        sandbox.submit(code, tests).result().outcome for code in (RIGHT, WRONG, RIGHT, "while True: pass", RIGHT)
    ]
    assert outcomes == ["passed", "failed", "passed", "timeout", "passed"]


def test_a_test_that_cannot_be_run_is_told_apart_from_a_wrong_program(sandbox):
    for broken in ("assert f(", "assert undefined_name == 1", "assert f(lambda: 1)", "raise ValueError('no')"):
        assert sandbox.submit(RIGHT, Tests((broken,), entry=("f",))).result().outcome == "broken", broken


def test_limits_that_are_no_positive_numbers_are_refused():
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="positive"):
            Limits(cpu=wrong)


def test_too_little_in_force_is_refused_with_what_can_be_done_instead():
    layers = Layers(frozenset({"limits", "deadline"}), {"seccomp": "this system is not Linux"})
    with pytest.raises(UserError) as refused:
        demand(layers, None)
    assert "not Linux" in str(refused.value)
    assert "--sandbox docker" in str(refused.value)
    demand(layers, ("limits",))
    with pytest.raises(UserError, match="landlock"):
        demand(layers, ("landlock",))


def test_an_unknown_layer_is_named():
    with pytest.raises(UserError, match="'armour' is not a layer"):
        Sandbox(off=["armour"])


@pytest.mark.slow
def test_memory_stays_flat_over_many_runs():
    def resident():
        kept = [os.getpid(), *started_by(os.getpid())]
        sizes = [Path(f"/proc/{p}/statm").read_text().split()[1] for p in kept if Path(f"/proc/{p}").exists()]
        return sum(int(s) for s in sizes) * 4096

    tests = Tests(ADDS_ONE.tests, entry=("f",), trusted=True)
    with Sandbox(workers=2) as sandbox:

        def burst(count):
            for verdict in [sandbox.submit(RIGHT, tests) for _ in range(count)]:
                assert verdict.result().passed

        burst(1500)
        before = resident()
        for _ in range(6):
            burst(1000)
        assert resident() - before < 4 << 20, json.dumps({"before": before, "after": resident()})


def test_a_small_output_limit_does_not_cut_the_report(sandbox):
    many = Tests(tuple(f"assert f({i}) == {i + 1}" for i in range(50)), entry=("f",), all=True)
    verdict = sandbox.submit(WRONG, many, Limits(output=10)).result()
    assert len(verdict.results) == 50


def test_a_program_cannot_pass_for_a_process_that_could_not_be_confined(sandbox):
    program = "import os\nos.write(2, b'sandbox: no\\n')\nos._exit(97)\n"
    assert sandbox.submit(program, ADDS_ONE).result().outcome == "died"
    ran = asyncio.run(sandbox.run(program))
    assert ran.outcome == "error", ran


def test_a_cancelled_job_that_waits_is_never_run(sandbox):
    first = sandbox.submit("import time\ntime.sleep(1)\n" + RIGHT, ADDS_ONE)
    waiting = [sandbox.submit("import time\ntime.sleep(5)\n" + RIGHT, ADDS_ONE) for _ in range(5)]
    time.sleep(0.2)
    assert all(job.cancel() for job in waiting)
    assert first.result().passed
    began = time.monotonic()
    assert sandbox.submit(RIGHT, ADDS_ONE).result().passed
    assert time.monotonic() - began < 4


def test_a_forked_process_is_told_to_make_its_own(sandbox):
    sandbox.submit(RIGHT, ADDS_ONE).result()
    number = os.fork()
    if number == 0:
        try:
            sandbox.submit(RIGHT, ADDS_ONE)
        except Failure:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 7


def test_tests_that_write_into_their_own_report_are_broken(sandbox):
    for junk in ("junk", "[]", '{"test":"x"}', '{"test":1e999}'):
        meddling = "import os\nfor n in range(3, 20):\n"
        meddling += f"    try: os.write(n, {junk!r}.encode() + b'\\n')\n    except OSError: pass"
        assert sandbox.submit(RIGHT, Tests((meddling,), entry=("f",))).result().outcome == "broken"


def test_a_program_that_empties_every_module_ends_like_any_other(sandbox):
    program = "import sys\nfor m in list(sys.modules.values()):\n    for n in list(vars(m)):\n"
    program += "        if n[:2] != '__': setattr(m, n, None)"
    assert asyncio.run(sandbox.run(program)).outcome in ("error", "died")
    assert sandbox.submit(RIGHT, ADDS_ONE).result().passed
    assert sandbox.lost == 0


def test_what_a_program_leaves_for_its_end_is_done(sandbox):
    program = "import atexit, threading, time\natexit.register(print, 'bye')\n"
    program += "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\n"
    assert asyncio.run(sandbox.run(program)).out == "late\nbye\n"


def test_the_order_of_a_set_is_the_same_in_every_warm_process():
    program = "print(list({'a', 'b', 'c', 'd', 'e', 'f', 'g'}))"
    printed = set()
    for _ in range(2):
        with Sandbox(workers=1) as fresh:
            printed.add(asyncio.run(fresh.run(program)).out)
    assert len(printed) == 1
