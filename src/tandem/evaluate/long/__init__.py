"""The limits of long inputs and of long chains, measured: by position of the evidence, by depth, by tokens seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tandem.evaluate.long import hops, losses, multiplication, pairs, qmsum, reading
from tandem.evaluate.long.asking import Asked, Asking
from tandem.evaluate.long.found import Found, section, table, write_items
from tandem.evaluate.long.inputs import Inputs
from tandem.evaluate.long.settings import chosen

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["TASKS", "Asked", "Asking", "Found", "Inputs", "Task", "load", "section", "table", "write_items"]


class Task(Protocol):
    """A task as it was asked for."""

    name: str
    """Its name in `TASKS`."""
    version: str
    """Of its prompts."""
    total: int
    """Steps of work, for progress."""
    facts: Mapping[str, Any]
    """What its figures depend on."""

    async def measure(self, model: Asked, asking: Asking) -> Found:
        """Ask the model."""
        ...


TASKS: dict[str, tuple[type[DataclassInstance], Callable[[Any, Inputs], Task]]] = {
    "qmsum": (qmsum.Settings, lambda settings, inputs: qmsum.Qmsum("qmsum", "test", settings, inputs)),
    "qmsum_val": (qmsum.Settings, lambda settings, inputs: qmsum.Qmsum("qmsum_val", "val", settings, inputs)),
    "loss_by_position": (losses.Settings, losses.LossByPosition),
    "evidence_documents": (reading.Settings, reading.Reading),
    "evidence_pairs": (pairs.Settings, pairs.Pairs),
    "multiplication": (multiplication.Settings, multiplication.Multiplication),
    "hops": (hops.Settings, hops.Hops),
}
"""Task → its settings, and what makes it."""


def load(name: str, inputs: Inputs, given: Sequence[str] = (), asked: Sequence[str] = ()) -> Task:
    """The task of a name, its data read and checked; `given` are KEY=VALUE, for any of the tasks `asked` for.

    Raises UserError on settings and data that cannot be used.
    """
    kind, make = TASKS[name]
    kinds = {each: TASKS[each][0] for each in dict.fromkeys((*asked, name)) if each in TASKS}
    return make(chosen(kind, name, given, kinds), inputs)
