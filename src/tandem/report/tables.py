"""A table as rows of ready cells: text, numbers lined up, figures with their strip, a bar where one was asked for.

The strips of one unit in one table share a scale. It decides widths and alignment; the template only writes tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from tandem.report import strip, wording
from tandem.report.strip import Scale
from tandem.results import Cell, Figure, Table

LONG_NAME = 22
"""Characters from which words in a cell are given room, so that a tight table does not set them one below the other."""


@dataclass(frozen=True)
class CellView:
    """One cell, ready to be written."""

    kind: str
    """`words`, `words long`, `number`, `figure` or `bar`; the classes of the cell."""
    text: str = ""
    """What stands in it."""
    detail: tuple[str, ...] = ()
    """Interval and chance level of a figure."""
    drawing: Markup = field(default_factory=Markup)
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
    layout: str
    """`plain`, `single` with one column of figures, `several` with more."""
    strip: str
    """Class of the strips' width, `strip-15` to `strip-6`: what is left beside the other columns."""


def view(table: Table, *, explain: bool = True) -> TableView:
    """The table with strips, bars and aligned numbers; with `explain` a line below says how to read the strips."""
    columns = [[row[i] for row in table.rows] for i in range(len(table.columns))]
    figures = [c for column in columns for c in column if isinstance(c, Figure)]
    scales = {unit: strip.scale_of([f for f in figures if f.unit == unit]) for unit in {f.unit for f in figures}}
    shared = _shared_chance(figures)
    heads: list[CellView] = []
    cells: list[list[CellView]] = [[] for _ in table.rows]
    for name, column in zip(table.columns, columns, strict=True):
        heads.append(_head(wording.visible(name), column, scales))
        for row, made in zip(cells, _column(column, scales, shared), strict=True):
            row.append(made)
        if name == table.bars:
            heads.append(CellView("bar"))
            for row, made in zip(cells, _bars(name, column), strict=True):
                row.append(made)
    note = " ".join(part for part in (wording.visible(table.note), _items(figures)) if part)
    notes = [note] if note else []
    if explain and needs_key(table):
        notes.append(_key(figures, shared))
    elif shared:
        notes.append(f"{shared.capitalize()}.")
    with_figures = sum(head.kind == "figure" for head in heads)
    layout = ("plain", "single", "several")[min(with_figures, 2)]
    width = _strip_class(with_figures, len(heads) - with_figures)
    return TableView(wording.visible(table.title), tuple(heads), tuple(map(tuple, cells)), tuple(notes), layout, width)


def _strip_class(with_figures: int, others: int) -> str:
    """The widest strip that leaves room for all columns on a page 48 rem wide.

    A plain column takes 7 rem, the value beside a strip 6; a single column of figures has its interval there too.
    """
    room = (48 - 7 * others) / max(with_figures, 1) - (16 if with_figures == 1 else 6)
    return f"strip-{next((size for size in (15, 12, 9) if size <= room), 6)}"


def needs_key(table: Table) -> bool:
    """Whether the table draws intervals, so that a reader must be told how to read them."""
    return any(isinstance(c, Figure) and wording.interval_of(c) for row in table.rows for c in row)


def _head(name: str, column: Sequence[Cell], scales: dict[str, Scale | None]) -> CellView:
    figures = [c for c in column if isinstance(c, Figure)]
    if figures:
        scale = scales[figures[0].unit] if len({f.unit for f in figures}) == 1 else None
        return CellView("figure", name, drawing=strip.ends(scale) if scale else Markup(""))
    return CellView("number" if _is_numeric(column) else "words", name)


def _is_numeric(column: Sequence[Cell]) -> bool:
    filled = [c for c in column if c is not None]
    return bool(filled) and all(isinstance(c, int | float) and not isinstance(c, bool) for c in filled)


def _shared_chance(figures: Sequence[Figure]) -> str:
    """The chance level, where several figures have the same one and no figure another: then it is told once, below."""
    told = [text for figure in figures if (text := wording.chance(figure))]
    return told[0] if len(told) > 1 and len(set(told)) == 1 else ""


def _column(column: Sequence[Cell], scales: dict[str, Scale | None], shared: str) -> list[CellView]:
    """The cells of one column; the chance level `shared` is not repeated in them."""
    figures = [c for c in column if isinstance(c, Figure)]
    decimals = {u: max(wording.precision(f) for f in figures if f.unit == u) for u in {f.unit for f in figures}}
    made = []
    for content, text in zip(column, wording.column(column), strict=True):
        if isinstance(content, Figure):
            scale, places = scales[content.unit], decimals[content.unit]
            drawn = strip.strip(content, scale) if scale else Markup("")
            chance = wording.chance(content)
            detail = (wording.interval(content, places), chance if chance != shared else "")
            number = wording.value(content, places)
            made.append(CellView("figure", number, tuple(d for d in detail if d), drawn, hint(content)))
        elif isinstance(content, int | float) and not isinstance(content, bool):
            made.append(CellView("number", text))
        else:
            made.append(CellView("words long" if len(text) > LONG_NAME else "words", _TOGETHER.sub(_kept, text)))
    return made


_TOGETHER = re.compile(r"\[[+\-\d.]+, [+\-\d.]+\]|[\d.]+ ± [\d.]+")
"""An interval, and a number with its error: no line ends within them."""


def _kept(found: re.Match[str]) -> str:
    return found.group().replace(" ", "\u00a0")


def _bars(name: str, column: Sequence[Cell]) -> list[CellView]:
    """Percentages are drawn as parts of a hundred, which lets two tables compare; others against the largest."""
    contents = [c.value if isinstance(c, Figure) else c for c in column]
    values = [float(c) if isinstance(c, int | float) and wording.known(c) else None for c in contents]
    present = [v for v in values if v is not None]
    low, high = min(present, default=0.0), max(present, default=0.0)
    whole = 1.0 if any(isinstance(c, Figure) and c.unit == "%" for c in column) else 100.0 if "%" in name else None
    track = whole is not None and low >= 0 and high <= whole
    high = whole if whole is not None and track else high
    return [CellView("bar", drawing=Markup("") if v is None else strip.bar(v, low, high, track=track)) for v in values]


def hint(figure: Figure) -> str:
    """Number of items and how it was measured, in a line."""
    items = f"n = {figure.n:,}" if figure.n is not None else ""
    return " · ".join(wording.visible(part) for part in (figure.name, items, figure.note) if part)


def _key(figures: Sequence[Figure], shared: str) -> str:
    """How to read the strips."""
    words = "Point and line: value and 95 % interval."
    if any(wording.chance(f) for f in figures):
        level = shared.removeprefix("chance")
        words += f" Upright tick: chance level{level}. Hollow point: the interval holds the chance level."
    return words


def _items(figures: Sequence[Figure]) -> str:
    """How many items the figures rest on."""
    counts = {f.n for f in figures if f.n is not None}
    if not counts:
        return ""
    few, most = (f"{n:,}" for n in (min(counts), max(counts)))
    return f"n\u00a0=\u00a0{few} each." if few == most else f"n\u00a0=\u00a0{few} to {most}."
