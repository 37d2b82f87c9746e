"""Which rows of a file, in which order: a question as it stands in an address, and its answer.

    q=text  verdict=right|wrong|none  is.group=anatomy  min.mass=0.2  max.mass=0.8  change=fixed  sort=-margin

All that is asked must hold. Text is found as it is, without case, anywhere in the record's texts. Sorted rows stand in
the file's order where they are equal, and rows without the value come last. What this does not do: read the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tandem.view.items.columns import NONE, folded

if TYPE_CHECKING:
    from tandem.view.items.index import Snapshot

VERDICTS = {"right": 1, "wrong": 0, "none": -1}
CHANGES = {
    "fixed": "wrong there, right here",
    "broken": "right there, wrong here",
    "right": "right in both",
    "wrong": "wrong in both",
    "differ": "not the same verdict",
    "only": "not in the other run",
}
"""What became of an item against the other run."""
ABSENT = "–"
"""Stands for rows without a name."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; None is no limit."""

    low: float | None = None
    """The least."""
    high: float | None = None
    """The greatest."""


@dataclass(frozen=True)
class Query:
    """What rows are wanted."""

    text: str = ""
    """A part of any of the record's texts."""
    verdict: str = ""
    """One of VERDICTS; empty for all."""
    change: str = ""
    """One of CHANGES, against another run; empty for all."""
    names: tuple[tuple[str, str], ...] = ()
    """Columns with the name that is wanted; `ABSENT` for rows without one."""
    ranges: tuple[tuple[str, Range], ...] = ()
    """Columns of numbers with their limits."""
    sort: str = ""
    """A column, `id` or `verdict`; a minus in front turns the order round; empty: the file's order."""

    @classmethod
    def of(cls, given: Iterable[tuple[str, str]]) -> Query:
        """Out of the parameters of an address; what is empty or cannot be read is not asked."""
        found: dict[str, str] = {}
        names: dict[str, str] = {}
        ranges: dict[str, Range] = {}
        for name, value in given:
            kind, _, column = name.partition(".")
            if not value.strip():
                continue
            if name in ("q", "sort"):
                found["text" if name == "q" else name] = value
            elif (name == "verdict" and value in VERDICTS) or (name == "change" and value in CHANGES):
                found[name] = value
            elif kind == "is" and column:
                names[column] = value
            elif kind in ("min", "max") and column and (limit := _limit(value)) is not None:
                before = ranges.get(column, Range())
                ranges[column] = replace(before, **{"low" if kind == "min" else "high": limit})
        return cls(**found, names=tuple(sorted(names.items())), ranges=tuple(sorted(ranges.items())))

    def to(self) -> list[tuple[str, str]]:
        """The parameters of an address; the inverse of `of`."""
        pairs = [("q", self.text), ("verdict", self.verdict), ("change", self.change)]
        pairs += [(f"is.{column}", name) for column, name in self.names]
        for column, limits in self.ranges:
            pairs += [(f"{kind}.{column}", _told(limit)) for kind, limit in (("min", limits.low), ("max", limits.high))]
        pairs.append(("sort", self.sort))
        return [(name, value) for name, value in pairs if value]

    @property
    def narrow(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.text or self.verdict or self.change or self.names or self.ranges)


def found(known: Snapshot, query: Query, changes: Mapping[str, NDArray[np.bool_]] | None = None) -> NDArray[np.int64]:
    """The rows in the order that is wanted. `changes` marks the rows of each of CHANGES, where there is another run.

    A column that the file does not have holds nothing: a limit on it leaves no row.
    """
    keep = np.ones(known.n, dtype=bool)
    if query.verdict:
        keep &= known.verdicts == VERDICTS[query.verdict]
    if query.change and changes is not None:
        keep &= changes[query.change][: known.n]
    for column, name in query.names:
        keep &= _named(known, column, name)
    for column, limits in query.ranges:
        values = known.numbers.get(column)
        if values is None:
            keep[:] = False
            continue
        with np.errstate(invalid="ignore"):
            keep &= values >= (-math.inf if limits.low is None else limits.low)
            keep &= values <= (math.inf if limits.high is None else limits.high)
    if query.text and keep.any():
        keep &= _holding(known, query.text)
    rows = np.flatnonzero(keep)
    return rows if not query.sort else rows[_order(known, query.sort, rows)]


def _named(known: Snapshot, column: str, name: str) -> NDArray[np.bool_]:
    codes, values = known.names.get(column, (np.full(known.n, NONE, np.int32), ()))
    wanted = NONE if name == ABSENT and ABSENT not in values else values.index(name) if name in values else None
    marks: NDArray[np.bool_] = codes == wanted if wanted is not None else np.zeros(known.n, dtype=bool)
    return marks


def _holding(known: Snapshot, text: str) -> NDArray[np.bool_]:
    marks = np.zeros(known.n, dtype=bool)
    needle = folded(text)
    for part in known.text:
        if part.first < known.n:
            rows = np.fromiter(part.rows(needle), np.int64)
            marks[rows[rows < known.n]] = True
    return marks


def _order(known: Snapshot, sort: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the rows in order; stable, those without a value last either way."""
    column, down = sort.removeprefix("-"), sort.startswith("-")
    if column == "id":
        ids = known.ids
        order = sorted(range(len(rows)), key=lambda place: _natural(ids[rows[place]]), reverse=down)
        return np.array(order, dtype=np.int64)
    if column == "verdict":
        values = np.where(known.verdicts < 0, np.nan, known.verdicts)[rows]
    elif column in known.numbers:
        values = known.numbers[column][rows]
    elif column in known.names:
        codes, names = known.names[column]
        rank = np.empty(len(names) + 1)
        rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        rank[-1] = np.nan
        values = rank[codes[rows]]
    else:
        return np.arange(len(rows))
    return np.argsort(-values if down else values, kind="stable")  # NaN sorts last


def _natural(id: str) -> tuple[str, int, str]:
    """`q2` before `q10`: by what is in front of the last number, then by that."""
    head = id.rstrip("0123456789")
    digits = id[len(head) :]
    return head, int(digits[:18] or -1), id


def _limit(value: str) -> float | None:
    try:
        limit = float(value.strip().replace("\u2212", "-"))
    except ValueError:
        return None
    return limit if math.isfinite(limit) else None


def _told(limit: float | None) -> str:
    return "" if limit is None else f"{limit:.15g}"
