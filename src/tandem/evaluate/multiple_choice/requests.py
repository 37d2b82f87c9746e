"""Every question as a line of JSON, and answers out of such a file: so that anyone can check anything.

    {"task": "arc_easy", "item": "Q1", "choice": 0, "context": "Question: …\\nAnswer:", "continuation": " Paris"}
    {"task": "arc_easy", "item": "Q1", "choice": 0, "logprob": -3.25}

An answer's line may hold the question's fields, too; a context or continuation that differs from what is asked now is
an error, so that answers to another prompt are never scored. `greedy` and other fields are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tandem.errors import UserError
from tandem.evaluate.multiple_choice.scoring import Scored, record
from tandem.evaluate.multiple_choice.task import Task
from tandem.programs import rows
from tandem.runs import write_lines

FORM = 'write {"task": "…", "item": "…", "choice": 0, "logprob": -1.5} a line, one for each choice of each item'

Key: TypeAlias = tuple[str, str, int]


def requests(task: Task) -> Iterator[dict[str, Any]]:
    """Everything that is asked in a task, one row for each choice."""
    for asked in task.asked:
        for choice, (context, continuation) in enumerate(asked.pairs):
            head = {"task": task.name, "item": asked.item.id, "choice": choice}
            yield head | {"context": context, "continuation": continuation}


def write(tasks: Sequence[Task], file: Path) -> int:
    """Write the requests of tasks; how many there are."""
    rows = [row for task in tasks for row in requests(task)]
    write_lines(file, rows)
    return len(rows)


def answers(file: Path, tasks: Sequence[Task]) -> dict[Key, float]:
    """Log-probabilities by task, item and choice.

    Raises UserError, with file and line, on a line that is not of the form, on one that answers another question than
    is asked or none at all, and on a second answer to one.
    """
    asked = {
        (task.name, one.item.id, choice): pair
        for task in tasks
        for one in task.asked
        for choice, pair in enumerate(one.pairs)
    }
    known, found, places = {task.name for task in tasks}, dict[Key, float](), dict[Key, str]()
    for where, row in rows.read(file):
        key, logprob = _answer(row, where)
        if key[0] not in known:
            continue  # of another task than is scored now
        if key not in asked:
            problem = f"task {key[0]} has no item {key[1]!r} with a choice {key[2]}"
            raise UserError(problem, where=where, remedy="were the requests written with the same --data and --limit?")
        for name, now in zip(("context", "continuation"), asked[key], strict=True):
            if name in row and row[name] != now:
                remedy = "write the requests again with the same --data and --shots, and answer those"
                raise UserError(f"the {name} is another one than is asked now", where=where, remedy=remedy)
        if key in found:
            raise UserError(f"is answered at {places[key]} already", where=where, remedy="keep one of the two")
        found[key], places[key] = logprob, where
    return found


def score(task: Task, given: Mapping[Key, float]) -> Scored:
    """A task scored with given log-probabilities; items that lack one are missing."""
    records, missing = [], []
    for asked in task.asked:
        keys: list[Key] = [(task.name, asked.item.id, choice) for choice in range(len(asked.item.texts))]
        if lacking := [key for key in keys if key not in given]:
            missing.append((asked.item.id, f"no answer for choice {', '.join(str(key[2]) for key in lacking)}"))
        else:
            records.append(record(asked, [given[key] for key in keys], task.benchmark.metrics))
    return Scored(task, tuple(records), tuple(missing))


def _answer(row: Any, where: str) -> tuple[Key, float]:
    if not isinstance(row, dict):
        raise UserError("is not an object", where=where, remedy=FORM)
    if lacking := [name for name in ("task", "item", "choice", "logprob") if name not in row]:
        has = ", ".join(row) or "none"
        raise UserError(f"no field {lacking[0]!r} (its fields: {has:.200})", where=where, remedy=FORM)
    task, item, choice, logprob = row["task"], row["item"], row["choice"], row["logprob"]
    if not isinstance(task, str) or not isinstance(item, str | int) or isinstance(choice, bool):
        raise UserError("task, item or choice is of the wrong kind", where=where, remedy=FORM)
    if not isinstance(choice, int):
        raise UserError(f"choice is {choice!r:.60}, not a whole number", where=where, remedy=FORM)
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or math.isnan(logprob) or logprob > 0:
        raise UserError(f"logprob is {logprob!r:.60}, not a number up to 0", where=where, remedy=FORM)
    return (task, str(item), choice), float(logprob)
