"""What came into each step, what went out, what was removed and why: kept while a corpus is built, shown at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tandem.results import Table
from tandem.text import count

_PLACES = 3


@dataclass
class Step:
    """One step's books."""

    name: str
    """What the step does."""
    came: int = 0
    """Files or documents that came in."""
    left: int = 0
    """Files or documents that went on."""
    bytes: int = 0
    """UTF-8 bytes of text that came in, where the step counts them."""
    removed: Counter[str] = field(default_factory=Counter)
    """How many were removed, by reason."""
    changed: Counter[str] = field(default_factory=Counter)
    """How many went on altered, by reason; one document may have several."""
    places: dict[str, list[str]] = field(default_factory=dict)
    """The first few places of each reason: a file, a file and line."""

    def remove(self, reason: str, place: str, n: int = 1) -> None:
        """Count `n` removed."""
        self.removed[reason] += n
        self._note(reason, place)

    def change(self, reason: str, place: str) -> None:
        """Count one altered."""
        self.changed[reason] += 1
        self._note(reason, place)

    def _note(self, reason: str, place: str) -> None:
        some = self.places.setdefault(reason, [])
        if len(some) < _PLACES and place not in some:
            some.append(place)


class Ledger:
    """The books of all steps, in order of first use."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def step(self, name: str) -> Step:
        """The step of this name, begun when new."""
        return self.steps.setdefault(name, Step(name))

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values for report.json."""
        return [
            {
                "step": step.name,
                "in": step.came,
                "out": step.left,
                "removed": dict(step.removed),
                "changed": dict(step.changed),
                "places": step.places,
            }
            for step in self.steps.values()
        ]

    def table(self, title: str = "What became of the documents") -> Table:
        """Step, in, out, removed and why, altered and why."""
        return Table(
            title,
            ("step", "in", "out", "removed", "altered"),
            tuple(
                (step.name, step.came, step.left, _reasons(step.removed), _reasons(step.changed))
                for step in self.steps.values()
            ),
        )

    def lines(self) -> list[str]:
        """The same for a terminal of 80 columns: a line per step, reasons indented below with an example's place."""
        width = max((len(step.name) for step in self.steps.values()), default=0)
        out = [f"{'step':{width}}  {'in':>12}  {'out':>12}"]
        for step in self.steps.values():
            out.append(f"{step.name:{width}}  {count(step.came):>12}  {count(step.left):>12}")
            for verb, reasons in (("removed", step.removed), ("altered", step.changed)):
                for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
                    out.append(f"  {verb} {count(n)}: {reason}")
                    place = step.places.get(reason, [""])[0]
                    if verb == "removed" and place:
                        out.append(f"    e.g. {place if len(place) <= 70 else '…' + place[-69:]}")
        return out


def _reasons(reasons: Counter[str]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{count(n)} {reason}" for reason, n in ordered)
