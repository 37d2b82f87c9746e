"""Many prompts to one model, many at a time; one line of JSON for each, in the order of the prompts.

Lines are kept in a passing file as they come and put in order at the end, so memory does not grow with their number
and a slow prompt holds nobody up. A sample whose call failed has its error in its place, a prompt of which nothing came
gets a line that says so, and the others go on; a spent budget, or a set-up that cannot work (a wrong key, nobody
there), ends the run. What this does not do: remember answers
(the model's store does), so an interrupted run leaves no output, and the next one finds its answers in the store.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.lm.model import Model
from tandem.lm.prompt_file import Line
from tandem.runs import disk_failure
from tandem.together import together
from tandem.types import Completion, Sampling

CONCURRENT = 512
"""Prompts under way at once; how many of them a server sees is decided by the pace of its caller."""
SET_UP = frozenset({"key", "not-found", "connection"})
"""Kinds of failure that end the run when nothing has been answered yet: every other prompt would meet the same."""
NOT_ASKED = "not-asked"
"""Kind of error of the prompts that a spent budget left out."""


@dataclass
class Standing:
    """How far a run has come."""

    done: int = 0
    """Prompts that have their line."""
    failed: list[tuple[Line, str, str]] = field(default_factory=list)
    """Prompts without a full answer: the line, the kind of failure, the message (the first `KEPT` of them)."""
    failures: int = 0
    """How many there are."""
    not_asked: int = 0
    """Prompts that a spent budget left out."""
    spent: BudgetSpent | None = None
    """The budget that ended the run."""

    KEPT = 100

    def fail(self, line: Line, kind: str, message: str) -> None:
        """Count a failure, and keep the first ones."""
        self.failures += 1
        if len(self.failed) < self.KEPT:
            self.failed.append((line, kind, message))


async def answer_all(
    model: Model,
    lines: Iterable[Line],
    sampling: Sampling,
    samples: int,
    out: Path,
    *,
    standing: Standing | None = None,
    concurrent: int = CONCURRENT,
) -> Standing:
    """Ask for `samples` answers to every line and write `out`, whole or not at all.

    Raises CallFailed when the set-up cannot work, Failure when the disk is full, UserError when `out` is there and is
    no regular file (a device would be replaced), and what else the model raises.
    """
    if out.exists() and not out.is_file():
        raise UserError("is not a regular file", where=str(out), remedy="name a new file, or one to replace")
    standing = standing or Standing()
    rest = enumerate(lines)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent) as passing:
            spool = _Spool(passing)
            await together(_work(model, rest, sampling, samples, spool, standing) for _ in range(concurrent))
            spool.write(out)
    except OSError as e:
        raise disk_failure(e, out) from e
    return standing


async def _work(
    model: Model,
    rest: Iterator[tuple[int, Line]],
    sampling: Sampling,
    samples: int,
    spool: _Spool,
    standing: Standing,
) -> None:
    """Take the next prompt until there is none."""
    for place, line in rest:
        # A spent budget is no reason not to look: what is recorded costs nothing.
        outcomes = await model.outcomes(line.prompt, sampling, range(samples))
        failed = [one for one in outcomes if isinstance(one, CallFailed)]
        spent = [one for one in outcomes if isinstance(one, BudgetSpent)]
        if failed and failed[0].kind in SET_UP and standing.done == standing.failures and not _any_answer(model):
            raise failed[0]
        spool.keep(place, _written(line, model.name, outcomes))
        if failed:
            some = f"{len(failed)} of {samples} samples failed: " if len(failed) < len(outcomes) else ""
            standing.fail(line, failed[0].kind, some + failed[0].problem)
        if spent:
            standing.spent = standing.spent or spent[0]
            standing.not_asked += 1
        if not spent or failed:
            standing.done += 1


def _any_answer(model: Model) -> bool:
    return bool(model.tally["answered"] or model.tally["re-used"])


def _written(line: Line, model: str, outcomes: Sequence[Completion | CallFailed | BudgetSpent]) -> dict[str, Any]:
    """A line of the output: the answers by index, failed ones as errors; one error where there is nothing else."""
    written = dict(line.given) | {"model": model}
    problems = [one for one in outcomes if not isinstance(one, Completion)]
    if len(problems) == len(outcomes):
        return written | _error(problems[0])
    return written | {"answers": [_answer(one) if isinstance(one, Completion) else _error(one) for one in outcomes]}


def _error(problem: CallFailed | BudgetSpent) -> dict[str, Any]:
    kind = problem.kind if isinstance(problem, CallFailed) else NOT_ASKED
    return {"error": {"kind": kind, "message": problem.problem}}


def _answer(completion: Completion) -> dict[str, Any]:
    """A completion as JSON: what there is to say of it."""
    usage = completion.usage
    answer: dict[str, Any] = {"text": completion.text, "finish": completion.finish}
    if completion.tokens is not None:
        answer["tokens"] = [[token.text, token.logprob] for token in completion.tokens]
    answer["usage"] = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    if completion.notes:
        answer["notes"] = list(completion.notes)
    return answer


class _Spool:
    """Lines in the order they came, and where each stands."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._starts = array("q")
        self._lengths = array("q")
        self._end = 0

    def keep(self, place: int, content: Mapping[str, Any]) -> None:
        """Append a line."""
        try:
            data = json.dumps(content, ensure_ascii=False).encode() + b"\n"
        except UnicodeEncodeError:  # half a surrogate pair, which UTF-8 cannot hold
            data = json.dumps(content).encode() + b"\n"
        missing = place + 1 - len(self._starts)
        self._starts.extend([0] * missing)
        self._lengths.extend([0] * missing)
        self._starts[place], self._lengths[place] = self._end, len(data)
        self._file.write(data)
        self._end += len(data)

    def write(self, out: Path) -> None:
        """All lines in order, as a file that is there whole or not at all."""
        part = out.with_name(out.name + ".part")
        try:
            with part.open("wb") as whole:
                for start, length in zip(self._starts, self._lengths, strict=True):
                    self._file.seek(start)
                    whole.write(self._file.read(length))
                whole.flush()
                os.fsync(whole.fileno())
            part.replace(out)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
