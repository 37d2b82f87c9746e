"""What all ways of `tandem evaluate` share: tasks measured in turn, the run folder, the tables that are printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from tandem.lm.answer_file import Standing
    from tandem.lm.model import Model
    from tandem.results import Figure, Section, Table
    from tandem.runs import Run
    from tandem.store import Store


@dataclass(frozen=True)
class Part:
    """What came of one task."""

    rows: Table
    """Figures to paste; tables with the same columns are put together."""
    headline: tuple[Figure, ...]
    """The few numbers a reader wants first."""
    section: Section
    """Its chapter of the report."""
    complete: bool
    """Whether nothing is missing."""
    notes: tuple[str, ...] = ()
    """Lines for a person: outcomes, what was set aside."""


class Named(Protocol):
    """A task as far as a run's settings tell of it."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """Version, data and their hashes: what its figures depend on."""
        ...


class Worked(Named, Protocol):
    """A task that takes time."""

    @property
    def total(self) -> int:
        """Steps of work, for progress."""
        ...


class Task(Worked, Protocol):
    """A task that was asked for."""

    def for_model(self, model: Model) -> Task:
        """The same task, asked as this model has to be asked."""
        ...

    def measure(self, model: Model, out: Path, done: Callable[[], None]) -> Awaitable[Part]:
        """Measure the model; `done` hears of every step of work."""
        ...


AnyTask = TypeVar("AnyTask", bound=Worked)


def model_at(address: str, options: argparse.Namespace, opened: ExitStack) -> Model:
    """A model with its store and budget; the store is closed when `opened` is."""
    from tandem.lm import connect
    from tandem.lm.budget import Budget

    store: Store | None = None
    if not address.startswith("replay:"):
        from tandem.runs import beside, check_place
        from tandem.store import Store

        check_place(options.out)
        path = options.store or beside(options.out, ".answers.db")
        path.parent.mkdir(parents=True, exist_ok=True)
        store = opened.enter_context(Store(path))
    return connect(
        address,
        store=store,
        budget=Budget(options.budget_money, options.budget_tokens, options.budget_calls, options.budget_seconds),
        allow=options.allow,
        precision=options.precision,
        device=options.device,
        retry_failed=options.retry_failed,
    )


def needs_folder(options: argparse.Namespace) -> None:
    """Raise UserError where there is no folder for what is measured."""
    from tandem.errors import UserError

    if options.out is None:
        raise UserError("no folder for the results", where="--out", remedy="name a new one, or the one to go on with")


def folder_for(out: Path, settings: Mapping[str, Any], tasks: Sequence[Named]) -> Run:
    """The run folder for these settings and tasks; other ones in the same folder are an error that shows them."""
    from tandem.recipes.toml import write
    from tandem.runs import Run

    return Run(out, write({"evaluate": dict(settings)} | {task.name: dict(task.facts) for task in tasks}))


async def in_turn(
    tasks: Sequence[AnyTask],
    work: Callable[[AnyTask, Callable[[], None]], Awaitable[Part]],
    model: Model,
    folder: Run,
) -> list[Part]:
    """Each task's part, one task after the other, with progress; `model` is who is asked."""
    import asyncio

    from tandem.cli.counting import counting
    from tandem.lm.answer_file import Standing

    parts: list[Part] = []
    for task in tasks:
        folder.event("task begins", task=task.name)
        standing = Standing()
        with counting(model, standing, task.total) as show:
            watch = asyncio.create_task(show())
            try:
                parts.append(await work(task, partial(_advance, standing)))
            finally:
                watch.cancel()
        folder.event("task ends", task=task.name, complete=parts[-1].complete)
    return parts


def _advance(standing: Standing) -> None:
    standing.done += 1


def write_run(folder: Run, settings: Mapping[str, Any], tasks: Sequence[Named], parts: Sequence[Part]) -> None:
    """results.json and the report."""
    from tandem import report
    from tandem.results import Results, Section, Table

    every = {f"{task.name}: {key}": value for task in tasks for key, value in task.facts.items()}
    shown = [(key, str(value)) for key, value in ({**settings} | every).items() if value not in (None, [], "")]
    lacking = [task.name for task, part in zip(tasks, parts, strict=True) if not part.complete]
    names = [task.name for task in tasks]
    lead = f"Measured on {', '.join(names)}."
    lead += f" Not complete: {', '.join(lacking)}; the same command goes on." if lacking else ""
    figures = Section("figures", "Figures", items=joined(parts))
    about = Section(
        "settings", "Settings", "What the figures depend on.", (Table("Settings", ("setting", "value"), tuple(shown)),)
    )
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    results = Results(
        f"{settings['address']} on {', '.join(names[:3])}{more}",
        lead,
        tuple(figure for part in parts for figure in part.headline),
        (figures, *(part.section for part in parts), about),
    )
    folder.write_results(results)
    report.write(folder.path)


def tell(parts: Sequence[Part], out: Path | None = None, *, goes_on: bool = False) -> int:
    """Print what was found; status 1 when something is missing. `goes_on`: the same command asks on."""
    from tandem.cli.markdown import markdown

    if tables := [table for table in joined(parts) if table.rows]:
        print("\n\n".join(map(markdown, tables)))
    for part in parts:
        for note in part.notes:
            print(note)
    if out is not None:
        print(f"Results: {out / 'results.json'} · report: {out / 'report.html'}")
    if all(part.complete for part in parts):
        return 0
    on = "; the same command goes on, with --retry-failed also where a call has failed" if goes_on else ""
    print(f"something is missing, and not counted as wrong{on}", file=sys.stderr)
    return 1


def joined(parts: Sequence[Part]) -> tuple[Table, ...]:
    """The figures of all tasks, one table for each kind of them, with the notes of all that are in it."""
    kinds: dict[tuple[str, ...], list[Table]] = {}
    for part in parts:
        kinds.setdefault(part.rows.columns, []).append(part.rows)
    return tuple(
        replace(
            same[0],
            title=" and ".join(dict.fromkeys(table.title for table in same)),
            rows=tuple(row for table in same for row in table.rows),
            note=" ".join(dict.fromkeys(table.note for table in same if table.note)),
        )
        for same in kinds.values()
    )
