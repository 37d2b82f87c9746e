"""What a run tells: figures with intervals, tables, curves, examples, edits, in sections; and their JSON.

Plain frozen dataclasses: a stage fills them, `report` draws them, `results.json` keeps them; nothing here measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Figure:
    """One number that says how good or how large something is."""

    name: str
    """What it measures."""
    value: float
    """The number; shares and accuracies lie between 0 and 1."""
    unit: str = ""
    """`%` shows value × 100; otherwise printed behind the number."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    chance: float | None = None
    """What guessing would give, same scale."""
    n: int | None = None
    """Number of items behind it."""
    note: str = ""
    """How it was measured, in a few words."""


Cell: TypeAlias = str | int | float | Figure | None


@dataclass(frozen=True)
class Table:
    """Rows under headings."""

    title: str
    """Heading."""
    columns: tuple[str, ...]
    """Column names."""
    rows: tuple[tuple[Cell, ...], ...]
    """As wide as `columns`; None is an empty cell."""
    note: str = ""
    """A line below: source, conventions."""
    bars: str | None = None
    """Name of a numeric column to draw as bars beside the rows."""


@dataclass(frozen=True)
class Series:
    """One line of a plot."""

    name: str
    """Legend."""
    x: tuple[float, ...]
    """Positions."""
    y: tuple[float, ...]
    """Values; NaN leaves a gap."""


@dataclass(frozen=True)
class Mark:
    """A vertical line in a plot."""

    x: float
    """Position."""
    label: str
    """What happened there."""


@dataclass(frozen=True)
class Curve:
    """Lines over a common axis."""

    title: str
    """Heading."""
    x_label: str
    """Horizontal axis with its unit."""
    y_label: str
    """Vertical axis with its unit."""
    series: tuple[Series, ...]
    """The lines."""
    marks: tuple[Mark, ...] = ()
    """Vertical marks: a stage switch, the trained context length."""
    log_x: bool = False
    """Logarithmic horizontal axis."""
    note: str = ""
    """A line below."""


@dataclass(frozen=True)
class Example:
    """One item as the models saw and answered it."""

    title: str
    """Task or source."""
    prompt: str
    """What the model was given."""
    outputs: tuple[tuple[str, str], ...]
    """(who, text) pairs in order: before tuning, after tuning."""
    expected: str = ""
    """The right answer, where there is one."""
    correct: tuple[bool | None, ...] = ()
    """Verdict per output, None where it has none."""


@dataclass(frozen=True)
class Quote:
    """A passage that was found."""

    text: str
    """What it says."""
    title: str = ""
    """Of its document."""
    place: str = ""
    """Where it can be looked at."""


@dataclass(frozen=True)
class Change:
    """One sentence of a chain that was checked."""

    before: str
    """As the model wrote it."""
    after: str
    """As it stands now; the same where nothing changed."""
    outcome: str
    """edited, confirmed, or why it stays: no-evidence, undecided, …"""
    check: str = ""
    """What was asked to check it."""
    found: tuple[Quote, ...] = ()
    """What was found, best first."""


@dataclass(frozen=True)
class Edit:
    """One question whose chain was checked and edited: the vote, the sentences, the answer before and after."""

    title: str
    """What it shows."""
    question: str
    """As it was asked."""
    votes: tuple[tuple[str, int], ...]
    """Sampled answers and how many chains gave each, most first."""
    steps: tuple[Change, ...]
    """The chain in order."""
    before: str
    """The answer that the chains gave."""
    after: str
    """The answer after editing."""
    expected: str = ""
    """The right answer, where it is known."""
    correct: tuple[bool | None, ...] = ()
    """Verdicts on the answer before and after, None where there is none."""
    note: str = ""
    """Why it was looked up."""


Item: TypeAlias = Table | Curve | Example | Edit


@dataclass(frozen=True)
class Section:
    """A chapter of the report."""

    key: str
    """Stable short name: `mixture`, `tokenizer`, `loss`, `position`, `evaluation`, `examples`."""
    title: str
    """Heading."""
    lead: str = ""
    """One or two sentences in front."""
    items: tuple[Item, ...] = ()
    """Tables, curves, examples, edits in order."""


@dataclass(frozen=True)
class Results:
    """Everything a run found out, without a clock."""

    title: str
    """What was made."""
    lead: str
    """How good it is, in one or two sentences."""
    headline: tuple[Figure, ...] = ()
    """The few numbers a reader wants first."""
    sections: tuple[Section, ...] = ()
    """Chapters in order."""
    next_steps: tuple[tuple[str, str], ...] = ()
    """(what it does, command) pairs: how to go on; `{run}` in a command stands for the run's folder."""


_TYPES = (Figure, Table, Series, Mark, Curve, Example, Quote, Change, Edit, Section, Results)
_KINDS: dict[str, type] = {k.__name__: k for k in _TYPES}


def to_json(value: Any) -> Any:
    """Dataclasses of this module to plain JSON values; each object carries its `kind`. NaN becomes null."""
    kind = type(value).__name__
    if kind in _KINDS:
        return {"kind": kind} | {name: to_json(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # a lone surrogate, which a model can write, fits into no UTF-8 file
        return value.encode("utf-8", "replace").decode() if any("\ud800" <= c <= "\udfff" for c in value) else value
    return value


def from_json(value: Any) -> Any:
    """The inverse of `to_json`; in a Series' values null becomes NaN again."""
    if isinstance(value, dict) and value.get("kind") in _KINDS:
        fields = {name: from_json(v) for name, v in value.items() if name != "kind"}
        if value["kind"] == "Series":
            fields["y"] = tuple(math.nan if y is None else y for y in fields["y"])
        return _KINDS[value["kind"]](**fields)
    if isinstance(value, list):
        return tuple(from_json(v) for v in value)
    if isinstance(value, dict):
        return {k: from_json(v) for k, v in value.items()}
    return value
