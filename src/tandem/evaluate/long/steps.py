"""A chain of steps checked one by one: where it goes wrong first, and whether an error is made or only handed on.

A step has a value and stands on values before it. After Dziri et al. 2023, "Faith and Fate":

    right       the value is right, and so is all it stands on
    local       what it stands on is right, the step is not
    propagated  the step is right for what it stands on, which is wrong
    both        neither is right
    restored    the value is right although something before it, or the way to it, is not
    absent      the chain ends before it

What this does not do: read chains; `multiplication` and `hops` do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tandem.evaluate.long.found import share
from tandem.results import Cell, Figure, Table

Verdict: TypeAlias = Literal["right", "local", "propagated", "both", "restored", "absent"]
VERDICTS: tuple[Verdict, ...] = ("right", "local", "propagated", "both", "restored", "absent")


@dataclass(frozen=True)
class Step:
    """One step of a chain as it was written."""

    line: str
    """What was written; empty where nothing was."""
    wanted: str
    """What would stand there without any error."""
    value_right: bool = False
    """Whether its value is that of the flawless chain."""
    parents_right: bool = True
    """Whether all values it stands on are right."""
    worked_right: bool = False
    """Whether it follows from what it stands on, as that was written."""
    kind: str = ""
    """What is wrong with the step itself; empty where it follows."""

    @property
    def verdict(self) -> Verdict:
        """What became of it."""
        if not self.line:
            return "absent"
        if self.value_right:
            return "right" if self.worked_right and self.parents_right else "restored"
        if self.parents_right:
            return "local"
        return "propagated" if self.worked_right else "both"

    def row(self) -> dict[str, Any]:
        """As JSON values."""
        return {"line": self.line, "wanted": self.wanted, "verdict": self.verdict, "kind": self.kind}


@dataclass(frozen=True)
class Chain:
    """A written chain against the flawless one."""

    group: str
    """What it is counted with: a size, a number of hops."""
    steps: tuple[Step, ...]
    """As many as the flawless chain has, the answer last."""
    surplus: int = 0
    """Lines of the chain's form beyond its steps."""

    @property
    def first_wrong(self) -> int | None:
        """Index of the first step that is not right."""
        return next((n for n, step in enumerate(self.steps) if step.verdict != "right"), None)

    @property
    def right(self) -> bool:
        """Whether every step is."""
        return self.first_wrong is None

    def row(self) -> dict[str, Any]:
        """As JSON values."""
        first = self.first_wrong
        return {
            "chain_right": float(self.right),
            "first_wrong": None if first is None else first + 1,
            "first_kind": "" if first is None else self.steps[first].kind,
            "surplus_lines": self.surplus,
            "steps": [step.row() for step in self.steps],
        }


def groups(chains: Sequence[Chain]) -> dict[str, list[Chain]]:
    """Chains by group, in order of appearance."""
    found: dict[str, list[Chain]] = {}
    for chain in chains:
        found.setdefault(chain.group, []).append(chain)
    return found


def by_step(chains: Sequence[Chain], names: Mapping[str, Sequence[str]]) -> Table:
    """Per group and step: how often it is right where all before it are. `names` are the steps' of each group."""
    rows: list[tuple[Cell, ...]] = []
    for group, members in groups(chains).items():
        for n, name in enumerate(names[group]):
            reached = [chain for chain in members if chain.first_wrong is None or chain.first_wrong >= n]
            right = [chain.first_wrong != n for chain in reached]
            rows.append((group, n + 1, name, share("right", right) if right else None, len(reached), len(members)))
    return Table(
        "Each step, where all before it are right",
        ("of", "step", "what", "right", "reached", "n"),
        tuple(rows),
        note="Reached: chains without an error so far. 95 % Wilson intervals.",
    )


def first_errors(chains: Sequence[Chain], kinds: Sequence[str]) -> Table:
    """Per group: of which kind the first wrong step is; kinds that never occur are left out."""
    counted = {
        group: Counter(c.steps[c.first_wrong].kind for c in members if c.first_wrong is not None)
        for group, members in groups(chains).items()
    }
    shown = [kind for kind in kinds if any(count[kind] for count in counted.values())]
    sizes = {group: len(members) for group, members in groups(chains).items()}
    return Table(
        "The first wrong step",
        ("of", *shown, "no error", "n"),
        tuple(
            (group, *(count[kind] for kind in shown), sizes[group] - count.total(), sizes[group])
            for group, count in counted.items()
        ),
        note="Only the first error of a chain is counted.",
    )


def verdicts(chains: Sequence[Chain]) -> Table:
    """Per group: what share of all steps is right, an error of its own, or handed on."""
    rows: list[tuple[Cell, ...]] = []
    for group, members in groups(chains).items():
        counted = Counter(step.verdict for chain in members for step in chain.steps)
        total = counted.total()
        rows.append((group, *(Figure(verdict, counted[verdict] / total, "%") for verdict in VERDICTS), total))
    return Table(
        "What became of the steps",
        ("of", *VERDICTS, "steps"),
        tuple(rows),
        note="Shares. Local: an error of its own. Propagated: follows from a wrong value. Both: neither value nor step "
        "is right. Restored: the value is right in spite of an error. Absent: the chain ended before.",
    )
