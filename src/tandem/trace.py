"""What happened while a question was answered: named steps inside steps, each with its facts and its outcome.

    with tracing("verify_and_edit", question=question.id) as root:
        ...
        with step("verify", sentence=sentence):
            note(query=query)

The step that is open belongs to the task (`contextvars`), so concurrent coroutines write into their own steps; a step
that begins in a task made by `gather` stands under the step that made it. Outside `tracing` nothing is kept, and
`step` and `note` cost next to nothing: a method may always use them.

What this does not do: keep a clock (a trace of a recorded run is the same when it runs again), print, or write files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from tandem.errors import TandemError


@dataclass
class Step:
    """One thing that was done."""

    name: str
    """What it is: `sample`, `verify`, `look up`, `generate`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What went in and what came out, as JSON values."""
    steps: list[Step] = field(default_factory=list)
    """What was done inside it, in the order of beginning."""
    outcome: str = "done"
    """`done`, or why not: a named outcome, `cancelled`, the kind of an error."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; empty parts are left out."""
        told: dict[str, Any] = {"name": self.name, **({"facts": self.facts} if self.facts else {})}
        if self.outcome != "done":
            told["outcome"] = self.outcome
        if self.steps:
            told["steps"] = [inner.to_json() for inner in self.steps]
        return told

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Step:
        """The inverse of `to_json`."""
        inner = [cls.from_json(each) for each in saved.get("steps", ())]
        return cls(saved["name"], dict(saved.get("facts", {})), inner, saved.get("outcome", "done"))

    def walk(self) -> Iterator[Step]:
        """This step and all inside it, depth first."""
        yield self
        for inner in self.steps:
            yield from inner.walk()

    def outcomes(self) -> Counter[tuple[str, str]]:
        """How often each (name, outcome) stands in it, itself included."""
        return Counter((each.name, each.outcome) for each in self.walk())


_open: ContextVar[Step | None] = ContextVar("open step", default=None)


@contextmanager
def tracing(name: str, **facts: Any) -> Iterator[Step]:
    """Begin a trace of its own, whatever is open; gives its root."""
    root = Step(name, dict(facts))
    with _inside(root):
        yield root


@contextmanager
def step(name: str, **facts: Any) -> Iterator[Step]:
    """A step inside the one that is open. An exception becomes its outcome and goes on."""
    outer = _open.get()
    made = Step(name, dict(facts))
    if outer is None:
        yield made
        return
    outer.steps.append(made)
    with _inside(made):
        yield made


def note(**facts: Any) -> None:
    """Facts for the step that is open."""
    if (current := _open.get()) is not None:
        current.facts.update(facts)


def outcome(name: str) -> None:
    """Name what became of the step that is open."""
    if (current := _open.get()) is not None:
        current.outcome = name


@contextmanager
def _inside(made: Step) -> Iterator[None]:
    before = _open.set(made)
    try:
        yield
    except Exception as e:
        kind = getattr(e, "kind", None)
        made.outcome = kind if isinstance(kind, str) else type(e).__name__
        made.facts["error"] = e.problem if isinstance(e, TandemError) else str(e)
        raise
    except BaseException:  # cancelled, interrupted
        made.outcome = "cancelled"
        raise
    finally:
        _open.reset(before)
