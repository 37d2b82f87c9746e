"""MBPP (Austin et al. 2021): write a function from a sentence and its tests; both the full file and the sanitized one.

The files' own fields: task_id, text (sanitized: prompt), code, test_list, and test_setup_code or test_imports. As
published, a prompt shows all tests and the same tests score. Refining on them would score with an oracle; for that,
`apart` makes the first test the only one that is seen and lets the others score: another figure, and named as one.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tandem.errors import UserError
from tandem.programs import rows, source
from tandem.programs.task import Source, Task

VERSION = "1"
"""Of the prompts; raised whenever one of them changes."""
STOPS = ("[DONE]",)
"""The mark that ends a program."""
CPU = 6.0
"""Seconds a program may take; the slowest known one takes 2.9."""
SHOTS = (2, 3, 4)
"""Tasks whose known programs are the examples of a prompt."""

Split: TypeAlias = Literal["test", "validation", "train", "examples", "all"]
SPLITS: dict[Split, range] = {
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
    "examples": range(1, 11),
    "all": range(1 << 31),
}
"""Task numbers of each split."""


@dataclass(frozen=True)
class Data:
    """What an MBPP file holds."""

    tasks: tuple[Task, ...]
    """All tasks, in the order of the file."""
    normalised: dict[str, int]
    """Known programs whose `line ends` or `tabs` were changed, counted."""

    def of(self, split: Split) -> list[Task]:
        """The tasks of a split."""
        return [task for task in self.tasks if number(task) in SPLITS[split]]

    def shots(self, file: Path) -> tuple[Task, ...]:
        """The tasks that are a prompt's examples. Raises UserError where the file lacks one."""
        found = {number(task): task for task in self.tasks}
        if lacking := [n for n in SHOTS if n not in found]:
            problem = f"the prompt's examples are tasks {', '.join(map(str, SHOTS))}; {lacking[0]} is missing"
            raise UserError(problem, where=str(file), remedy="give the whole file, or ask in conversation (--chat)")
        return tuple(found[n] for n in SHOTS)


def read(file: Path, kind: Literal["mbpp", "mbpp_sanitized"] = "mbpp", *, apart: bool = False) -> Data:
    """The tasks of a file; `apart` keeps the tests that are seen and those that score apart. Raises UserError."""
    tasks: dict[int, Task] = {}
    counts = {"line ends": 0, "tabs": 0}
    for where, row in rows.objects(file, kind):
        id = row["task_id"]
        if isinstance(id, bool) or not isinstance(id, int):
            raise UserError(f"task_id is {id!r}, not a whole number", where=where, remedy="mend the file")
        if id in tasks:
            raise UserError(f"the task {id} stands twice", where=where, remedy="remove one of them")
        tests = rows.texts(row, "test_list", where)
        if len(tests) < 1 + apart:
            raise UserError(f"the task has {len(tests)} tests", where=where, remedy="mend the file")
        gold, changed = source.normalised(rows.text(row, "code", where))
        for what in changed:
            counts[what] += 1
        setup = "\n".join((*rows.texts(row, "test_imports", where), str(row.get("test_setup_code") or "")))
        tasks[id] = Task(
            id=f"MBPP/{id}",
            prompt=rows.text(row, "text" if kind == "mbpp" else "prompt", where),
            entry=entries(gold, tests, setup, where),
            hidden=tests[1:] if apart else tests,
            gold=gold,
            source=_SOURCES[kind],
            seen=tests[:1] if apart else tests,
            setup=source.normalised(setup)[0].strip("\n"),
        )
    return Data(tuple(tasks.values()), counts)


def number(task: Task) -> int:
    """The number of a task in its file."""
    return int(task.id.rpartition("/")[2])


def entries(gold: str, tests: tuple[str, ...], setup: str, where: str) -> tuple[str, ...]:
    """What the known program defines and the tests use; first what the first test calls.

    A name may be one of Python's own (a task is called `sum`), so what the tests call is looked for in the program.
    """
    own = source.defined(gold)
    used = source.names("\n".join(tests)) | source.names(setup)
    found = [name for name in own if name in used]
    if not found:
        raise UserError("no test calls what the program defines", where=where, remedy="mend the file")
    called = _calls(tests[0])
    return tuple(sorted(found, key=lambda name: (called.index(name) if name in called else len(called), name)))


def _calls(test: str) -> list[str]:
    """Names that a test calls, outermost first."""
    tree = source.parsed(test)
    nodes = ast.walk(tree) if tree else iter(())
    return [n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]


_SOURCES: dict[str, Source] = {"mbpp": "mbpp", "mbpp_sanitized": "mbpp_sanitized"}
