"""The code benchmarks by name: where their tasks come from, how they are asked, what makes two runs comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tandem.errors import UserError
from tandem.evaluate.overlap.items import Looked
from tandem.programs import humaneval, mbpp, rows
from tandem.programs.prompts import Asking
from tandem.programs.task import Task
from tandem.runs import file_hash

NAMES = ("humaneval", "mbpp", "mbpp_sanitized")
GIVEN = "given"
"""The version where samples are not this program's: nothing is known of their prompts."""


@dataclass(frozen=True)
class Benchmark:
    """Tasks, and how they are asked."""

    name: str
    """One of `NAMES`."""
    version: str
    """What figures are comparable with: prompts, split, which tests score."""
    tasks: tuple[Task, ...]
    """What is asked."""
    asking: Asking
    """How."""
    cpu: float
    """Seconds of processor time a program may take."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Files and their hashes, split, what was normalised: for the run's settings."""
    training: Looked | None = None
    """What a training text holds of the prompts; None: it was not looked through."""

    def sought(self) -> dict[str, str]:
        """Each task's prompt, by id: for finding it elsewhere."""
        return {task.id: task.prompt for task in self.tasks}


def load(
    name: str,
    data: Sequence[Path],
    *,
    form: Literal["text", "chat"] = "text",
    steps: int = 1,
    seen: Path | None = None,
    split: mbpp.Split = "test",
    limit: int | None = None,
    examples: bool = True,
) -> Benchmark:
    """A benchmark out of files or folders of data.

    `examples=False` keeps the tasks that are a prompt's examples among those that are asked: for checking gold. Raises
    UserError on data that are missing, of another kind or damaged, and on steps without seen tests.
    """
    if name not in NAMES:
        raise UserError(f"no code benchmark is called {name!r}", where="--tasks", remedy=f"known: {', '.join(NAMES)}")
    file = rows.find(data, name)
    facts: dict[str, Any] = {"file": file.name, "sha256": file_hash(file)}
    if name == "humaneval":
        seen = seen or _seen(data)
        if steps > 1 and seen is None:
            remedy = "give --seen FILE; " + rows.KINDS["seen"].comes_from
            raise UserError("steps need seen tests, and HumanEval's own file has none", where="--steps", remedy=remedy)
        tasks = humaneval.read(file, seen)
        if seen is not None:
            facts |= {"seen_file": seen.name, "seen_sha256": file_hash(seen)}
        version = f"{humaneval.VERSION}-{form}"
        return Benchmark(name, version, _limited(tasks, limit), Asking(form), humaneval.CPU, facts)
    found = mbpp.read(file, "mbpp" if name == "mbpp" else "mbpp_sanitized", apart=steps > 1)
    shots = found.shots(file) if form == "text" and examples else ()
    asked = [task for task in found.of(split) if task not in shots]
    which = "first-seen" if steps > 1 else "all-tests"
    facts |= {"split": split, "normalised_line_ends": found.normalised["line ends"]}
    facts |= {"normalised_tabs": found.normalised["tabs"], "tests": which}
    version = f"{mbpp.VERSION}-{form}-{split}-{which}"
    if not asked:
        raise UserError(f"holds no tasks of the split {split}", where=str(file), remedy="give --split all")
    return Benchmark(name, version, _limited(asked, limit), Asking(form, shots), mbpp.CPU, facts)


def _seen(data: Sequence[Path]) -> Path | None:
    """A file of seen tests among the data, if there is one."""
    places = [p for place in data for p in (sorted(place.iterdir()) if place.is_dir() else [place])]
    return next((p for p in places if p.is_file() and ".json" in p.name and rows.kind_of(p) == "seen"), None)


def _limited(tasks: Sequence[Task], limit: int | None) -> tuple[Task, ...]:
    return tuple(tasks if limit is None else tasks[:limit])
