"""A page of items: the rows a filter leaves, fifty at a time, with what a reader needs to choose among them.

It asks the index and the file for what one page shows and nothing more. No tags here: the template writes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from tandem import stats
from tandem.report import wording
from tandem.view.items import Pairs, Query, found
from tandem.view.items import record as said
from tandem.view.items.filter import ABSENT, CHANGES, VERDICTS
from tandem.view.items.index import Index, Snapshot

ROWS = 50
"""Rows of a page."""
EXCERPT = 180
"""Characters of a text in a row."""
FIRST_NUMBERS = ("score", "mass", "preference", "margin", "sample", "rating", "length")
FIRST_NAMES = ("outcome", "system", "group", "kind", "category", "turn", "task_id", "finish")
"""Columns that stand before others; the last two are filters only."""
FRONT = 3
"""Columns of names to filter by that always stand open."""
LETTERS = frozenset(said.LETTERED)

Excerpt = list[tuple[str, bool]]
"""Pieces of a text, and which of them are what was searched."""


@dataclass(frozen=True)
class RowView:
    """One row."""

    line: int
    href: str
    id: str
    verdict: str
    """`right`, `wrong` or empty."""
    there: str | None
    """The same of the other run; None where it does not have the item."""
    prompt: Excerpt
    output: Excerpt
    gold: Excerpt
    elsewhere: Excerpt
    """Where the searched text stands, if it is in none of those."""
    names: list[str]
    numbers: list[str]


@dataclass(frozen=True)
class Facet:
    """A column to filter by: a choice of names."""

    name: str
    options: list[tuple[str, int]]
    """Names with how many rows have them."""
    chosen: str


@dataclass(frozen=True)
class Scale:
    """A column to filter by: numbers with limits."""

    name: str
    least: str
    most: str
    low: str
    high: str


@dataclass(frozen=True)
class Listing:
    """A page of items."""

    rows: list[RowView]
    total: int
    """Rows that the filter leaves."""
    everything: int
    """Rows of the file, as far as it is read."""
    first: int
    """Number of the first row shown, from 1; 0 where there is none."""
    page: int
    pages: int
    right: int
    wrong: int
    rate: str
    """Share of right ones among the rows left, with its interval; empty where nothing has a verdict."""
    asked: bool
    """Whether any row shown says what was asked."""
    expected: bool
    """Whether any row shown says what was expected."""
    numbers: list[str]
    """Columns of numbers that rows show."""
    names: list[str]
    """Columns of names that rows show."""
    facets: list[Facet]
    front: int
    """How many of them stand in front of the rest."""
    scales: list[Scale]
    changes: list[tuple[str, str, int]]
    """(name, words, rows) of each change against the other run."""
    verdicts: dict[str, int]
    """How many of each verdict the file has."""


def rows_of(index: Index, known: Snapshot, query: Query, pairs: Pairs | None) -> NDArray[np.int64]:
    """The rows a question leaves, in order; kept with the index for the pages that follow."""
    question = ("rows", query, known.n, id(pairs) if pairs is not None and query.change else 0)
    before = index.remembered(question)
    if before is None:
        before = index.remembered(question, found(known, query, pairs.changes if pairs else None))
    rows: NDArray[np.int64] = before
    return rows


def listing(
    index: Index,
    known: Snapshot,
    query: Query,
    page: int,
    item: str,
    kept: Sequence[tuple[str, str]],
    other: tuple[Snapshot, Pairs] | None = None,
) -> Listing:
    """The page; `item` is the address of single items, `kept` what else stands in addresses."""
    rows = rows_of(index, known, query, other[1] if other else None)
    pages = max(1, -(-len(rows) // ROWS))
    page = min(max(page, 1), pages)
    shown = rows[(page - 1) * ROWS : page * ROWS]
    numbers, names = _shown_columns(known, query)
    verdicts = known.verdicts[rows]
    right, wrong = int((verdicts == 1).sum()), int((verdicts == 0).sum())
    asked = [*query.to(), *kept]
    facets = _facets(known, query)
    views = [_row(index, known, int(row), query.text, numbers, names, item, asked, other) for row in shown]
    return Listing(
        views,
        len(rows),
        known.n,
        (page - 1) * ROWS + 1 if len(rows) else 0,
        page,
        pages,
        right,
        wrong,
        "" if query.verdict or query.change else _rate(right, wrong),
        any(len(view.prompt) > 1 or view.prompt[0][0] or view.elsewhere for view in views),
        any(len(view.gold) > 1 or view.gold[0][0] for view in views),
        numbers,
        names,
        facets,
        sum(facet.name in FIRST_NAMES or bool(facet.chosen) for facet in facets[:FRONT]),
        _scales(known, query),
        [(name, words, other[1].count(name)) for name, words in CHANGES.items()] if other else [],
        {name: int((known.verdicts == code).sum()) for name, code in VERDICTS.items()},
    )


def _row(
    index: Index,
    known: Snapshot,
    row: int,
    text: str,
    numbers: list[str],
    names: list[str],
    item: str,
    asked: list[tuple[str, str]],
    other: tuple[Snapshot, Pairs] | None,
) -> RowView:
    record = index.record(row)
    line = index.line_number(row)
    there = None
    if other and (partner := int(other[1].partners[row])) >= 0:
        there = mark(int(other[0].verdicts[partner]))
    texts = [said.prompt(record), said.output(record), said.gold(record)]
    cells = [excerpt(one, text) for one in texts]
    elsewhere: Excerpt = []
    if text and not any(hit for cell in cells for _, hit in cell):
        holder = next((one for one in said.texts(record) if text.casefold() in one.casefold()), "")
        elsewhere = excerpt(holder, text) if holder not in (known.ids[row], *texts) else []
    return RowView(
        line,
        f"{item}?{urlencode([('line', line), *asked], errors='surrogatepass')}",
        known.ids[row],
        mark(int(known.verdicts[row])),
        there,
        cells[0],
        cells[1],
        cells[2],
        elsewhere,
        [_name(known, name, row) for name in names],
        [_number(float(known.numbers[name][row])) for name in numbers],
    )


def mark(verdict: int) -> str:
    """`right`, `wrong`, or empty."""
    return {1: "right", 0: "wrong"}.get(verdict, "")


def excerpt(written: str, text: str = "") -> Excerpt:
    """A part of a text in one line: its beginning, or what stands around the searched text, which is marked."""
    text = " ".join(text.split())
    line = " ".join(written[: 40 * EXCERPT if not text else None].split())
    at = line.casefold().find(text.casefold()) if text else -1
    if at < 0 or len(line.casefold()) != len(line):  # folding has moved the places: ß, İ
        return [(line if len(line) <= EXCERPT else line[: EXCERPT - 2].rstrip() + " …", False)]
    start = 0 if at + len(text) < EXCERPT - 20 else at - EXCERPT // 3
    part = line[start : start + EXCERPT]
    pieces: Excerpt = [("… " if start else "", False)]
    last = 0
    for hit in re.finditer(re.escape(text.casefold()), part.casefold()):
        pieces += [(part[last : hit.start()], False), (part[hit.start() : hit.end()], True)]
        last = hit.end()
    return [*pieces, (part[last:] + (" …" if start + EXCERPT < len(line) else ""), False)]


def _shown_columns(known: Snapshot, query: Query) -> tuple[list[str], list[str]]:
    sort = query.sort.removeprefix("-")
    numbers = [n for n, column in known.numbers.items() if _varies(column) and n not in said.VERDICTS]
    numbers.sort(key=lambda n: (n != sort, _place(n, FIRST_NUMBERS)))
    names = [
        n for n, (codes, _) in known.names.items() if n not in LETTERS and n not in said.VERDICTS and _several(codes)
    ]
    names.sort(key=lambda n: (n != sort, _place(n, FIRST_NAMES)))
    extra = [sort] if sort in known.numbers and sort not in numbers else []
    numbers = [*extra, *numbers][:3]
    return numbers, [n for n in names if n in FIRST_NAMES[:-2] or n == sort][: 3 if len(numbers) < 2 else 2]


def _place(name: str, first: Sequence[str]) -> int:
    return first.index(name) if name in first else len(first)


def _varies(column: NDArray[np.float64]) -> bool:
    known = column[~np.isnan(column)]
    return bool(known.size) and bool((known != known[0]).any())


def _several(codes: NDArray[np.int32]) -> bool:
    return bool(codes.size) and bool((codes != codes[0]).any())


def _facets(known: Snapshot, query: Query) -> list[Facet]:
    chosen = dict(query.names)
    facets = []
    for name, (codes, values) in known.names.items():
        if name in said.VERDICTS or (not _several(codes) and name not in chosen):
            continue
        counts = np.bincount(codes + 1, minlength=len(values) + 1)
        options = sorted(((v, int(n)) for v, n in zip(values, counts[1:], strict=False) if n), key=lambda o: o[0])
        if counts[0]:
            options.append((ABSENT, int(counts[0])))
        facets.append(Facet(name, options, chosen.get(name, "")))
    facets += [Facet(name, [(value, 0)], value) for name, value in query.names if name not in {f.name for f in facets}]
    return sorted(facets, key=lambda f: (not f.chosen and f.name not in FIRST_NAMES, _place(f.name, FIRST_NAMES)))


def _scales(known: Snapshot, query: Query) -> list[Scale]:
    limits = dict(query.ranges)
    scales = []
    for name in dict.fromkeys((*known.numbers, *limits)):
        column = known.numbers.get(name, np.zeros(0))
        if not _varies(column) and name not in limits:
            continue
        given = limits.get(name)
        low, high = (given.low, given.high) if given else (None, None)
        present = column[~np.isnan(column)]
        ends = [wording.short(float(end)) for end in (present.min(), present.max())] if present.size else ["", ""]
        scales.append(Scale(name, *ends, *("" if end is None else f"{end:.15g}" for end in (low, high))))
    return scales


def _rate(right: int, wrong: int) -> str:
    if not right + wrong:
        return ""
    share = stats.proportion(right, right + wrong)
    low, high = (wording.fixed(end * 100, 1) for end in (share.low, share.high))
    return f"{wording.fixed(share.value * 100, 1)}{wording.NARROW}% right [{low}, {high}]"


def _name(known: Snapshot, name: str, row: int) -> str:
    codes, values = known.names[name]
    return values[codes[row]] if codes[row] >= 0 else ""


def _number(value: float) -> str:
    return "" if np.isnan(value) else wording.short(value)


def address(path: str, pairs: Sequence[tuple[str, Any]]) -> str:
    """A path with what stands behind its question mark."""
    asked = [(name, value) for name, value in pairs if value not in ("", None)]
    return f"{path}?{urlencode(asked, errors='surrogatepass')}" if asked else path
