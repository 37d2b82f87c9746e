"""What came of a run, in words: passed, failed, error, timeout, died; and what is no verdict at all.

Made in the parent out of plain records: the examiner's report, how the kernel says the processes ended, which limit was
reached. `broken` (the tests) and `infrastructure` (the sandbox) say nothing about the program and never count as wrong.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

Outcome: TypeAlias = Literal["passed", "failed", "error", "timeout", "died", "broken", "infrastructure"]
"""passed: every test. failed: an assertion does not hold. error: the program raised. timeout: clock or processor time
ran out. died: the process ended by itself. broken: a test cannot be run. infrastructure: the sandbox itself failed."""


@dataclass(frozen=True)
class Tests:
    """Tests of one task."""

    tests: tuple[str | Mapping[str, str], ...]
    """Code with assertions, or {"call": expression, "expected": text}; run in order."""
    setup: str = ""
    """Code run once before them, in their process: helpers, imports, declarations."""
    entry: tuple[str, ...] = ()
    """Names that the program must define, and that stand in for what `setup` may only declare."""
    all: bool = False
    """Run on after a test that does not pass."""
    trusted: bool = False
    """Whether people wrote these tests: their process may then be kept for the next task, which saves starting one."""


@dataclass(frozen=True)
class TestResult:
    """What came of one test."""

    number: int
    """Its position."""
    outcome: Outcome
    """Passed, or how not."""
    kind: str = ""
    """Class of the exception, `AssertionError` for a wrong value."""
    text: str = ""
    """The exception's text, or the assertion."""
    line: int | None = None
    """Line of the program that raised."""
    input: str = ""
    """The last call made, as text."""
    output: str = ""
    """What came back."""
    expected: str = ""
    """What should have."""
    message: str = ""
    """What the assertion itself says of its failure: `assert TEST, MESSAGE`."""


@dataclass(frozen=True)
class Verdict:
    """What came of a program under its tests."""

    outcome: Outcome
    """The first outcome that is not `passed`; else `passed`."""
    results: tuple[TestResult, ...]
    """One for each test that was begun."""
    text: str = ""
    """One line for a person."""
    printed: str = ""
    """What the process wrote to its outputs past Python's own."""
    cpu: float = 0.0
    """Processor seconds of program and examiner together."""
    wall: float = 0.0
    """Seconds on the clock."""
    peak: int = 0
    """Largest resident memory of the program, bytes."""

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return self.outcome == "passed"

    @property
    def first(self) -> TestResult | None:
        """The first test that did not pass."""
        return next((r for r in self.results if r.outcome != "passed"), None)


@dataclass(frozen=True)
class Ran:
    """What came of a program that was simply run."""

    outcome: Outcome
    """`passed`: it ended by itself with status 0; `error`: with another; `timeout`, `died`, `infrastructure`."""
    status: int
    """Exit status; minus the signal's number when one ended it."""
    out: str
    """Standard output, its beginning."""
    err: str
    """Standard error, its beginning."""
    dropped: int
    """Bytes of output beyond what is kept."""
    text: str
    """One line for a person."""
    cpu: float
    """Processor seconds."""
    wall: float
    """Seconds on the clock."""
    peak: int
    """Largest resident memory, bytes."""


def infrastructure(text: str) -> Verdict:
    """No verdict: the sandbox failed."""
    return Verdict("infrastructure", (), text)


def judge(tests: Tests, lines: Sequence[Mapping[str, Any]], ended: Mapping[str, Any], printed: str) -> Verdict:
    """A verdict out of the examiner's report and how the processes ended."""
    program, examiner = ended["children"]
    facts = {
        "cpu": program["cpu"] + examiner["cpu"],
        "wall": ended["wall"],
        "peak": program["peak"],
        "printed": printed,
    }
    if not ended["confined"]:
        return Verdict("infrastructure", (), UNCONFINED, **facts)
    results: list[TestResult] = []
    for line in lines:
        if line.get("test") is None:
            return Verdict("broken", (), str(line.get("text", "")), **facts)
        results.append(_result(line, program["code"], ended["stopped"]))
    first = next((r for r in results if r.outcome != "passed"), None)
    if first is None and len(results) < len(tests.tests):
        late = ended["stopped"] or ("cpu" if -signal.SIGXCPU in (program["code"], examiner["code"]) else None)
        outcome: Outcome = "timeout" if late in ("wall", "cpu") else "died"
        first = TestResult(len(results), outcome, text=_LATE.get(late or "", "the process ended before its tests did"))
        results.append(first)
    if first is None:
        return Verdict("passed", tuple(results), "passed", **facts)
    return Verdict(first.outcome, tuple(results), _sentence(first), **facts)


UNCONFINED = "a process could not be confined"
_LATE = {
    "wall": "out of time on the clock",
    "cpu": "out of processor time",
    "scratch": "too much written to its folder",
}


def _result(line: Mapping[str, Any], code: int, stopped: str | None) -> TestResult:
    outcome: Outcome = line["outcome"] if line.get("outcome") in get_args(Outcome) else "died"
    text = str(line.get("text", ""))
    if outcome == "died":
        if code == -signal.SIGXCPU or stopped in ("cpu", "wall"):
            outcome, text = "timeout", _LATE[stopped or "cpu"]
        elif code < 0:
            text = f"the process was ended by {signal.Signals(-code).name}"
        elif code == 0:
            text = "the process ended by itself before its tests did"
    number = line.get("line")
    words = {k: str(line.get(k, "")) for k in ("kind", "input", "output", "expected", "message")}
    return TestResult(int(line["test"]), outcome, text=text, line=number if isinstance(number, int) else None, **words)


def _sentence(result: TestResult) -> str:
    if result.outcome == "failed" and result.expected:
        return f"{result.input or result.text}: got {result.output}, expected {result.expected}"
    head = f"{result.kind}: {result.text}" if result.kind else result.text
    return head + (f" (line {result.line})" if result.line else "")
