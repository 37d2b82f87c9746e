"""The tasks of `tandem evaluate` on long inputs and long chains: how a model's figures fall with position and depth."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tandem.cli.asking import sampling_of
from tandem.cli.evaluating import Part
from tandem.evaluate import long

if TYPE_CHECKING:
    from tandem.lm.model import Model


class LongTask:
    """A task that was asked for."""

    def __init__(self, task: long.Task, options: argparse.Namespace, *, chat: bool) -> None:
        self.name, self.total, self._task, self._options, self._chat = task.name, task.total, task, options, chat
        self.facts: Mapping[str, Any] = {"version": task.version, "form": "chat" if chat else "text", **task.facts}

    def for_model(self, model: Model) -> LongTask:
        """The same task, in conversation where the model cannot continue plain text."""
        return LongTask(self._task, self._options, chat=self._chat or not model.abilities.text)

    async def measure(self, model: Model, out: Path, done: Callable[[], None]) -> Part:
        """Ask, write the items."""
        asking = long.Asking(sampling_of(self._options), self._chat, done)
        found = await self._task.measure(model, asking)
        long.write_items(found, out)
        notes = tuple(f"{self.name}: {note}" for note in (*found.notes, *found.aside))
        return Part(long.table([found]), found.headline, long.section(found), not found.missing, notes)


def task(name: str, options: argparse.Namespace) -> LongTask:
    """The task of a name, its data read and checked."""
    asked = [each.strip() for each in options.tasks.split(",")]
    inputs = long.Inputs(tuple(options.data), options.limit, options.shots)
    return LongTask(long.load(name, inputs, options.settings, asked), options, chat=options.chat)
