"""Verdicts are made once, kept, made again where they may waver, and never counted when the sandbox lost them."""

import asyncio
import json

import pytest

from tandem.errors import UserError
from tandem.evaluate.code.verdicts import Examiner, waited
from tandem.sandbox import Limits, Sandbox, Tests, Verdict

TESTS = Tests(("assert f(1) == 2, 'one more'",), entry=("f",))
RIGHT, WRONG = "def f(x): return x + 1", "def f(x): return x"
WAVERING = "import os\ndef f(x): return x + 1 if os.urandom(1)[0] < 128 else None"


class Losing:
    """A sandbox that loses its first verdicts, as when its processes are killed from outside."""

    def __init__(self, losses):
        self.inner, self.losses, self.limits = Sandbox(workers=1), losses, Limits()

    async def examine(self, program, tests, limits=None):
        if self.losses:
            self.losses -= 1
            return Verdict("infrastructure", (), "a process was lost")
        return await self.inner.examine(program, tests, limits)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *details):
        await self.inner.__aexit__(*details)


def judge(*programs, boundary=None, limits=None, **settings):
    async def work():
        async with Examiner(boundary or Sandbox(workers=1), limits or Limits(), **settings) as examiner:
            return [await examiner.judge(p, TESTS) for p in programs], examiner.tally

    return asyncio.run(work())


def test_a_verdict_reads_as_in_the_original_results_file():
    endless = "def f(x):\n  while True: pass"
    found, _ = judge(RIGHT, WRONG, "def f(x): return y", "def f(:", endless, limits=Limits(cpu=0.5))
    assert [one.result for one in found] == [
        "passed",
        "failed: one more",
        "failed: name 'y' is not defined",
        "failed: invalid syntax (<string>, line 1)",
        "timed out",
    ]


def test_one_that_passes_is_run_once_more_and_no_other():
    assert judge(RIGHT)[1]["made"] == 2
    assert judge(WRONG)[1]["made"] == 1
    assert judge(RIGHT, reruns=0)[1]["made"] == 1
    assert judge(WRONG, reruns=2)[1]["made"] == 3


def test_a_program_that_passes_only_sometimes_is_flaky_and_does_not_pass():
    (found,), _ = judge(WAVERING, reruns=30)
    assert found.outcome == "flaky"
    assert not found.passed
    assert "of 31 runs" in found.result


def test_the_same_program_is_judged_once():
    found, tally = judge(WRONG, WRONG)
    assert found[0] == found[1]
    assert (tally["made"], tally["kept"]) == (1, 1)


def test_a_verdict_on_file_is_not_made_again(tmp_path):
    kept = tmp_path / "verdicts.jsonl"
    first, _ = judge(RIGHT, WRONG, kept=kept)
    second, tally = judge(RIGHT, WRONG, kept=kept)
    assert first == second
    assert tally["made"] == 0


def test_other_tests_or_limits_are_another_verdict(tmp_path):
    kept = tmp_path / "verdicts.jsonl"

    async def work(tests, limits):
        async with Examiner(Sandbox(workers=1), limits, kept=kept) as examiner:
            await examiner.judge(WRONG, tests)
            return examiner.tally["made"]

    assert asyncio.run(work(TESTS, Limits())) == 1
    assert asyncio.run(work(TESTS, Limits(cpu=2))) == 1
    assert asyncio.run(work(Tests(("assert f(1) == 1",), entry=("f",)), Limits())) == 2
    assert asyncio.run(work(TESTS, Limits())) == 0


def test_a_line_that_a_kill_has_torn_is_cut_off_and_judged_again(tmp_path):
    kept = tmp_path / "verdicts.jsonl"
    judge(RIGHT, WRONG, kept=kept)
    kept.write_bytes(kept.read_bytes()[:-9])
    found, tally = judge(RIGHT, WRONG, kept=kept)
    assert tally["made"] == 1
    assert all(json.loads(line) for line in kept.read_bytes().splitlines())
    assert [one.passed for one in found] == [True, False]


def test_a_file_of_something_else_is_refused(tmp_path):
    kept = tmp_path / "verdicts.jsonl"
    kept.write_text('{"key": "1", "outcome": "splendid", "result": "", "feedback": ""}\n')
    with pytest.raises(UserError, match="is no verdict") as told:
        judge(RIGHT, kept=kept)
    assert told.value.where == f"{kept}:1"


def test_a_lost_verdict_is_asked_for_again():
    (found,), tally = judge(WRONG, boundary=Losing(2))
    assert found.outcome == "failed"
    assert tally["lost"] == 2


def test_a_verdict_that_cannot_be_had_is_not_wrong_and_not_kept(tmp_path):
    kept = tmp_path / "verdicts.jsonl"
    (found,), _ = judge(RIGHT, boundary=Losing(3), kept=kept)
    assert found.outcome == "infrastructure"
    (found,), _ = judge(RIGHT, kept=kept)
    assert found.outcome == "passed"


def test_what_sleeps_longer_than_it_may_calculate_is_out_of_time():
    limits = Limits(cpu=3, wall=9)
    assert waited(Verdict("passed", (), wall=5.0, cpu=0.1), limits).outcome == "timeout"
    assert waited(Verdict("passed", (), wall=5.0, cpu=2.0), limits).passed  # a busy machine
    assert waited(Verdict("passed", (), wall=2.9, cpu=0.0), limits).passed


def test_many_at_once_share_one_verdict():
    async def work():
        async with Examiner(Sandbox(workers=2), Limits()) as examiner:
            found = await asyncio.gather(*(examiner.judge(RIGHT, TESTS) for _ in range(50)))
            return set(found), examiner.tally["made"]

    found, made = asyncio.run(work())
    assert (len(found), made) == (1, 2)
