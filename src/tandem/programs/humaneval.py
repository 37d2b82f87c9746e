"""HumanEval (Chen et al. 2021): continue a function from its header and docstring; hidden tests judge it.

The file's own fields: task_id, prompt, entry_point, canonical_solution, test. Seen tests, made from the docstrings'
examples, come in a file of their own: task_id, seen_tests. A program is prompt + completion, as in the original tool.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tandem.errors import UserError
from tandem.programs import rows, source
from tandem.programs.task import Task

VERSION = "1"
"""Of the prompts; raised whenever one of them changes."""
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""A completion ends before the first of these (Chen et al. 2021, §2.3)."""
CPU = 3.0
"""Seconds a program may take."""


def read(file: Path, seen: Path | None = None) -> list[Task]:
    """The tasks of a file, with seen tests where a file of them is given. Raises UserError with the place."""
    tasks: dict[str, Task] = {}
    for where, row in rows.objects(file, "humaneval"):
        prompt, entry, solution, test = (
            rows.text(row, name, where) for name in ("prompt", "entry_point", "canonical_solution", "test")
        )
        id = rows.text(row, "task_id", where)
        if id in tasks:
            raise UserError(f"the task {id} stands twice", where=where, remedy="remove one of them")
        if not entry.isidentifier():
            raise UserError(f"entry_point is {entry!r}, no name", where=where, remedy="mend the file")
        tasks[id] = Task(
            id=id,
            prompt=prompt,
            entry=(entry,),
            hidden=(f"{test}\ncheck({entry})",),
            gold=prompt + solution,
            source="humaneval",
            # What the prompt defines besides the function is the tests' own: a program may not change it for them.
            setup=f"{source.besides(prompt, entry)}candidate = {entry}",
            opening=prompt,
        )
    for id, tests in _seen(seen, tasks).items() if seen else ():
        tasks[id] = replace(tasks[id], seen=tests)
    return list(tasks.values())


def _seen(file: Path, tasks: dict[str, Task]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for where, row in rows.objects(file, "seen"):
        id = rows.text(row, "task_id", where)
        if id not in tasks:
            raise UserError(
                f"there is no task {id!r} to see tests of", where=where, remedy="use files that belong together"
            )
        if id in found:
            raise UserError(f"the task {id} stands twice", where=where, remedy="put its tests into one row")
        found[id] = rows.texts(row, "seen_tests", where)
    return found
