"""The base-model benchmarks of `tandem evaluate`: asked of a model, written down, scored from given answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tandem.cli.evaluating import Part, folder_for, tell, write_run
from tandem.cli.training_text import look_for
from tandem.errors import UserError
from tandem.evaluate import multiple_choice
from tandem.evaluate.multiple_choice import figures, requests
from tandem.text import count

if TYPE_CHECKING:
    from pathlib import Path

    from tandem.evaluate.multiple_choice import Scored
    from tandem.evaluate.overlap import Looked
    from tandem.lm.model import Model


class ChoiceTask:
    """A benchmark that was asked for."""

    def __init__(self, task: multiple_choice.Task) -> None:
        self.name, self.asked = task.name, task
        self.total = len(task.asked)
        self.facts: Mapping[str, Any] = {"version": task.version, **task.facts, "items": len(task.asked)}

    def sought(self) -> Mapping[str, str]:
        """Each item's question and right answer."""
        return self.asked.sought()

    def trained(self, looked: Looked, facts: Mapping[str, Any]) -> None:
        """Keep what a training text holds of the items."""
        self.asked, self.facts = replace(self.asked, training=looked), {**self.facts, **facts}

    def for_model(self, model: Model) -> ChoiceTask:
        """The same: a base model continues plain text, and so is every model asked."""
        return self

    async def measure(self, model: Model, out: Path, done: Callable[[], None]) -> Part:
        """Score every choice, write the items."""
        return part(await multiple_choice.run(self.asked, model, done), out)


def task(name: str, options: argparse.Namespace) -> ChoiceTask:
    """The benchmark of a name, its data read and checked."""
    if options.chat:
        remedy = "leave it out: their prompts are plain texts to continue"
        raise UserError(f"{name} is not asked in conversation", where="--chat", remedy=remedy)
    return ChoiceTask(multiple_choice.load(name, options.data, shots=options.shots, limit=options.limit))


def part(scored: Scored, out: Path | None) -> Part:
    """What was measured, for the command; `out` gets the items."""
    if out is not None:
        figures.write_items(scored, out)
    return Part(
        figures.table([scored]),
        figures.headline(scored) if scored.records else (),
        figures.section(scored),
        not scored.missing,
        tuple(f"{scored.task.name}: {note}" for note in figures.notes(scored)),
    )


def write_requests(names: Sequence[str], options: argparse.Namespace) -> int:
    """Write every context and continuation, without a model."""
    tasks = [task(name, options) for name in names]
    look_for(tasks, options)
    n = requests.write([one.asked for one in tasks], options.requests)
    items = sum(one.total for one in tasks)
    print(f"{options.requests}: {count(n)} requests of {count(items)} items")
    for one in tasks:
        for note in figures.notes(multiple_choice.Scored(one.asked, ())):
            print(f"{one.name}: {note}")
    return 0


def score_answers(names: Sequence[str], options: argparse.Namespace) -> int:
    """Score given log-probabilities, without a model."""
    from tandem import __version__
    from tandem.runs import file_hash

    tasks = [task(name, options) for name in names]
    look_for(tasks, options)
    given = requests.answers(options.answers, [one.asked for one in tasks])
    found = [requests.score(one.asked, given) for one in tasks]
    if options.out is None:
        return tell([part(scored, None) for scored in found])
    settings = {
        "tandem": __version__,
        "address": options.answers.name,
        "answers_sha256": file_hash(options.answers),
        "shots": options.shots,
        "limit": options.limit,
    }
    with folder_for(options.out, settings, tasks) as folder:
        parts = [part(scored, options.out) for scored in found]
        write_run(folder, settings, tasks, parts)
    return tell(parts, options.out)
