"""Given samples in HumanEval's own form, and the results file that goes with them.

A line is {"task_id": …, "completion": …}; whatever else it holds is carried along. The results file has the same
lines in the same order with `result` and `passed` added, under the original's name: FILE_results.jsonl. A task may
have any number of lines, equal ones too: they are samples. Every line is checked before anything is run; what cannot
be scored is counted by kind and shown with its line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.evaluate.code.verdicts import Judged
from tandem.programs import rows
from tandem.programs.task import Task
from tandem.runs import write_whole

FORM = 'write one {"task_id": "HumanEval/0", "completion": "…"} a line'


@dataclass(frozen=True)
class Sample:
    """One line of a samples file."""

    task: Task
    """What it is a sample of."""
    completion: str
    """What follows the task's opening."""
    given: Mapping[str, Any]
    """The line as it stands."""


def read(file: Path, tasks: Sequence[Task], *, partial: bool = False) -> list[Sample]:
    """The samples of a file, in its order. Raises UserError on lines that cannot be scored, and on missing tasks.

    With `partial` only the tasks that have samples are scored; a line that cannot be scored is an error all the same.
    """
    known = {name: task for task in tasks for name in _names(task)}
    found: list[Sample] = []
    problems: dict[str, list[str]] = {}
    for where, row in _rows(file, problems):
        if not isinstance(row, dict):
            problems.setdefault("no object", []).append(where)
        elif "task_id" not in row or "completion" not in row:
            problems.setdefault("no task_id or no completion", []).append(where)
        elif not isinstance(row["completion"], str):
            kind = "null" if row["completion"] is None else type(row["completion"]).__name__
            problems.setdefault("a completion that is no text", []).append(f"{where} ({kind})")
        elif (task := known.get(_name(row["task_id"]))) is None:
            problems.setdefault("an unknown task", []).append(f"{where} ({row['task_id']!r:.40})")
        else:
            found.append(Sample(task, row["completion"], row))
    if problems:
        total = sum(map(len, problems.values()))
        kinds = "; ".join(f"{len(places)} × {what}, first {places[0]}" for what, places in problems.items())
        raise UserError(f"{total} of the lines cannot be scored: {kinds}", where=str(file), remedy=FORM)
    if not found:
        raise UserError("holds no samples", where=str(file), remedy=FORM)
    have = {sample.task.id for sample in found}
    lacking = [task.id for task in tasks if task.id not in have]
    if lacking and not partial:
        some = ", ".join(lacking[:10]) + (" …" if len(lacking) > 10 else "")
        raise UserError(
            f"{len(lacking)} of {len(tasks)} tasks have no sample: {some}",
            where=str(file),
            remedy="add them, or score only those that are there with --partial",
        )
    return found


def results_file(file: Path) -> Path:
    """Where the original tool writes the results of a samples file."""
    return file.with_name(file.name + "_results.jsonl")


def write_results(file: Path, samples: Sequence[Sample], verdicts: Sequence[Judged]) -> None:
    """The samples with their verdicts, whole or not at all."""
    lines = []
    for sample, verdict in zip(samples, verdicts, strict=True):
        row = dict(sample.given) | {"result": verdict.result, "passed": verdict.passed}
        lines.append(json.dumps(row | {"outcome": verdict.outcome, "feedback": verdict.feedback}) + "\n")
    write_whole(file, "".join(lines))


def _rows(file: Path, problems: dict[str, list[str]]) -> Any:
    """Every row with its place; a line that is not JSON is noted, and the others are read."""
    try:
        yield from rows.read(file, bad=lambda e: problems.setdefault("not JSON", []).append(e.where or str(file)))
    except UserError as e:
        raise UserError(e.problem, where=e.where, remedy=FORM) from None


def _names(task: Task) -> set[str]:
    """What samples may call a task: MBPP's own files number them."""
    number = task.id.rpartition("/")[2]
    return {_name(task.id), *([number] if task.source != "humaneval" else [])}


def _name(id: object) -> str:
    return str(id).casefold() if isinstance(id, str | int) and not isinstance(id, bool) else ""
