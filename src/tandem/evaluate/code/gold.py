"""Gold first: every known program is run against its own tests before anything is scored by them.

A task whose gold does not pass its hidden tests is set aside; a seen test that its own gold does not pass is dropped.
Both are reported with the reason: a misread example, a line that is no Python, a test that wavers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tandem.evaluate.code.verdicts import AT_ONCE, Examiner, Judged
from tandem.programs import source
from tandem.programs.task import Task
from tandem.sandbox.verdict import Tests
from tandem.together import each


@dataclass(frozen=True)
class Gold:
    """What the known programs say of tasks and tests."""

    tasks: tuple[Task, ...]
    """The tasks that can be scored, each with the seen tests that its gold passes."""
    checked: int
    """Tasks that were checked."""
    set_aside: tuple[tuple[str, str], ...]
    """(task, why) of those whose gold does not pass."""
    seen: int
    """Seen tests that were checked."""
    dropped: tuple[tuple[str, str, str], ...]
    """(task, seen test, why) of those that the gold does not pass."""
    lost: tuple[str, ...]
    """Tasks without a verdict, because the sandbox failed."""

    @property
    def passed(self) -> int:
        """Tasks whose gold passes."""
        return self.checked - len(self.set_aside) - len(self.lost)

    def rows(self) -> list[dict[str, Any]]:
        """One object for each task that is set aside and each test that is dropped."""
        aside = [{"task_id": id, "set_aside": why} for id, why in self.set_aside]
        lost = [{"task_id": id, "set_aside": "the sandbox failed"} for id in self.lost]
        return [*aside, *lost, *({"task_id": id, "dropped": test, "why": why} for id, test, why in self.dropped)]


async def check(tasks: Sequence[Task], examiner: Examiner) -> Gold:
    """Run every task's gold against its hidden tests, and against each seen test alone."""
    found = await each(tasks, lambda task: _check(task, examiner), AT_ONCE)
    kept: list[Task] = []
    aside: list[tuple[str, str]] = []
    lost: list[str] = []
    dropped: list[tuple[str, str, str]] = []
    for task, (hidden, seen) in zip(tasks, found, strict=True):
        if any(one.outcome == "infrastructure" for one in (hidden, *seen)):
            lost.append(task.id)
        elif not hidden.passed:
            aside.append((task.id, _why(hidden)))
        else:
            kept.append(replace(task, seen=tuple(t for t, one in zip(task.seen, seen, strict=True) if one.passed)))
        bad = [(t, one) for t, one in zip(task.seen, seen, strict=True) if not one.passed]
        dropped += [(task.id, test, _why(one)) for test, one in bad if one.outcome != "infrastructure"]
    return Gold(
        tuple(kept), len(tasks), tuple(aside), sum(len(task.seen) for task in tasks), tuple(dropped), tuple(lost)
    )


async def _check(task: Task, examiner: Examiner) -> tuple[Judged, list[Judged]]:
    hidden = await examiner.judge(task.gold, task.scoring())
    seen: list[Judged] = []
    for test in task.seen:
        if source.parsed(test) is None:
            seen.append(Judged("broken", "failed: not valid Python"))
        elif task.seen == task.hidden and hidden.passed:  # the same tests, passed together
            seen.append(hidden)
        else:
            seen.append(await examiner.judge(task.gold, Tests((test,), task.setup, task.entry, trusted=True)))
    return hidden, seen


def _why(one: Judged) -> str:
    if one.outcome == "failed" and "\n" in one.feedback:
        return ", ".join(line for line in one.feedback.split("\n") if not line.startswith(("TEST:", "AssertionError")))
    return one.result.removeprefix("failed: ") or one.outcome
