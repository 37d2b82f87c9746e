"""A table as rows of ready cells: text, numbers lined up, figures with their strip, a bar where one was asked for.

The strips of one unit in one table share a scale. It decides widths and alignment; the template only writes tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tandem.report import strip, wording
from tandem.report.strip import Scale
from tandem.runs import Cell, Figure, Table

STRIP_WIDTHS = {1: 240.0, 2: 170.0, 3: 130.0}
"""Pixels of a strip when a table has this many columns of figures; `NARROW_STRIP` when it has more."""
NARROW_STRIP = 96.0
BAR_WIDTH = 200.0


@dataclass(frozen=True)
class CellView:
    """One cell, ready to be written."""

    kind: str
    """`words`, `number`, `figure` or `bar`; the class of the cell."""
    text: str = ""
    """What stands in it."""
    detail: str = ""
    """Interval and chance level of a figure."""
    drawing: Markup = Markup("")
    """Strip or bar."""
    hint: str = ""
    """What the pointer finds: items behind the figure, how it was measured."""


@dataclass(frozen=True)
class TableView:
    """A table, ready to be written."""

    title: str
    heads: tuple[CellView, ...]
    """Column names; a head over figures draws the ends of their scale."""
    rows: tuple[tuple[CellView, ...], ...]
    notes: tuple[str, ...]
    """Lines below."""


def view(table: Table) -> TableView:
    """The table with strips, bars and aligned numbers."""
    columns = [[row[i] for row in table.rows] for i in range(len(table.columns))]
    figures = [c for column in columns for c in column if isinstance(c, Figure)]
    scales = {unit: strip.scale_of([f for f in figures if f.unit == unit]) for unit in {f.unit for f in figures}}
    with_figures = sum(any(isinstance(c, Figure) for c in column) for column in columns)
    width = STRIP_WIDTHS.get(with_figures, NARROW_STRIP)
    heads: list[CellView] = []
    cells: list[list[CellView]] = [[] for _ in table.rows]
    for name, column in zip(table.columns, columns, strict=True):
        heads.append(_head(wording.visible(name), column))
        for row, made in zip(cells, _column(column, scales, width), strict=True):
            row.append(made)
        if name == table.bars:
            heads.append(CellView("bar"))
            for row, made in zip(cells, _bars(column), strict=True):
                row.append(made)
    notes = [wording.visible(table.note)] if table.note else []
    return TableView(wording.visible(table.title), tuple(heads), tuple(map(tuple, cells)), tuple(notes + _key(figures)))


def _head(name: str, column: Sequence[Cell]) -> CellView:
    if any(isinstance(c, Figure) for c in column):
        return CellView("figure", name)
    return CellView("number" if _is_numeric(column) else "words", name)


def _is_numeric(column: Sequence[Cell]) -> bool:
    filled = [c for c in column if c is not None]
    return bool(filled) and all(isinstance(c, int | float) and not isinstance(c, bool) for c in filled)


def _column(column: Sequence[Cell], scales: dict[str, Scale | None], width: float) -> list[CellView]:
    words = wording.column(column)
    made = []
    for content, text in zip(column, words, strict=True):
        if isinstance(content, Figure):
            scale = scales[content.unit]
            drawn = strip.strip(content, scale, width) if scale else Markup("")
            made.append(CellView("figure", wording.value(content), _detail(content), drawn, hint(content)))
        elif isinstance(content, int | float) and not isinstance(content, bool):
            made.append(CellView("number", text))
        else:
            made.append(CellView("words", text))
    return made


def _bars(column: Sequence[Cell]) -> list[CellView]:
    numbers = [c.value if isinstance(c, Figure) else c for c in column]
    values = [float(n) if isinstance(n, int | float) and not isinstance(n, bool) and wording.known(n) else None for n in numbers]
    present = [v for v in values if v is not None]
    low, high = min(present, default=0.0), max(present, default=0.0)
    return [CellView("bar", drawing=strip.bar(v, low, high, BAR_WIDTH) if v is not None else Markup("")) for v in values]


def _detail(figure: Figure) -> str:
    return " · ".join(part for part in (wording.interval(figure), wording.chance(figure)) if part)


def hint(figure: Figure) -> str:
    """Number of items and how it was measured, in a line."""
    parts = [wording.visible(figure.name)] if figure.name else []
    if figure.n is not None:
        parts.append(f"n = {figure.n:,}")
    return " · ".join([*parts, wording.visible(figure.note)] if figure.note else parts)


def _key(figures: Sequence[Figure]) -> list[str]:
    """How to read the strips, and how many items they rest on."""
    if not any(wording.interval_of(f) for f in figures):
        return []
    words = "Point and line: value and 95 % interval"
    if any(wording.chance(f) for f in figures):
        words += "; upright tick: chance level; hollow point: the interval holds the chance level"
    counts = {f.n for f in figures if f.n is not None}
    if len(counts) == 1:
        words += f"; n = {counts.pop():,} each"
    elif counts:
        words += f"; n from {min(counts):,} to {max(counts):,}"
    return [words + "."]
