"""A curve as SVG: axes, grid, lines told apart by colour and dash and marker, marks, labels at the lines' ends.

Drawn twice, for a desk and for a phone, because an SVG that shrinks shrinks its letters. Long series are thinned to
what the pixels can show, extremes kept. A smoothed line was rejected: it hides the spikes one looks for in a loss.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from tandem.report import axis, wording
from tandem.report.axis import Axis
from tandem.report.svg import drawing, element, number
from tandem.results import Curve, Mark, Series

STYLES = 6
"""Colours and dashes before they repeat; after that colour and dash are paired anew."""
LIMIT = 1e100
"""Beyond this a value is treated as not a number: no axis could show it beside others."""


@dataclass(frozen=True)
class Frame:
    """The size of a drawing and of the letters in it, in CSS pixels."""

    width: float
    height: float
    letter: float
    """Average width of a letter in axis and mark labels."""
    x_ticks: int
    y_ticks: int
    class_: str


WIDE = Frame(820, 330, 6.4, 9, 6, "plot wide")
NARROW = Frame(340, 260, 6.4, 5, 6, "plot narrow")


def legend(curve: Curve) -> list[tuple[Markup, str]]:
    """(a piece of the line, its name) for each series that has a name."""
    keys = []
    for index, series in enumerate(curve.series):
        line = element("path", d="M1 6h26", class_=_line_class(index))
        dot = _marker(index, 14, 6) if _has_markers(_drawn(curve, series)) else Markup("")
        keys.append((drawing(28, 12, line, dot, class_="key"), wording.visible(series.name)))
    return [key for key in keys if key[1]]


def left_out(curve: Curve) -> int:
    """How many points cannot be drawn: not a number, or not above zero on a logarithmic axis."""
    return sum(
        not (_finite(x) and _finite(y)) or (curve.log_x and x <= 1 / LIMIT)
        for series in curve.series
        for x, y in zip(series.x, series.y)
    )


def has_tags(curve: Curve) -> bool:
    """Whether the wide drawing names its lines at their ends, so that it needs no legend."""
    return bool(_end_tags(curve, [_drawn(curve, series) for series in curve.series], WIDE))


def plot(curve: Curve, frame: Frame) -> Markup:
    """The drawing; empty when the curve has no point that can be drawn."""
    drawn = [_drawn(curve, series) for series in curve.series]
    points = [(x, y) for series in drawn for x, y in series if _finite(y)]
    if not points:
        return Markup("")
    marks = [m for m in curve.marks if _finite(m.x) and (m.x > 1 / LIMIT or not curve.log_x)]
    tags = _end_tags(curve, drawn, frame)
    xs = [x for x, _ in points] + [m.x for m in marks]
    values = [y for _, y in points]
    if curve.y_label.rstrip().endswith("%") and (low := min(values)) >= 0 and (high := max(values)) <= 100:
        y = axis.spanning(values if low < high else [0.0, 100.0], 0, 1, rounded=frame.y_ticks)
        y = replace(y, low=max(y.low, 0.0), high=min(y.high, 100.0))  # there is no share beyond
    else:
        y = axis.spanning(values, 0, 1, rounded=frame.y_ticks)
    y_ticks = y.ticks(frame.y_ticks)
    y_words = axis.labels(y_ticks)
    left = min(max(len(word) for word in y_words) * frame.letter + 14, 0.3 * frame.width)
    right = max((len(name) for _, name, _ in tags), default=0) * frame.letter + (16 if tags else 12)
    x = axis.spanning(xs, left, frame.width - right, log=curve.log_x)
    rows, top = _mark_rows(marks, x, frame), 14.0
    top += 15 * (max((row for _, _, row, _ in rows), default=-1) + 1)
    bottom = frame.height - 42
    y = replace(y, start=bottom, end=top)
    parts = [*_grid(x, y, y_ticks, y_words, frame), *_marks(rows, top, bottom)]
    for index, series in enumerate(drawn):
        parts += _line(series, index, x, y)
    parts += _tags(tags, y, x.end)
    parts.append(
        element(
            "text",
            wording.visible(curve.x_label),
            x=(x.start + x.end) / 2,
            y=frame.height - 6,
            text_anchor="middle",
            class_="axis-name",
        )
    )
    return drawing(frame.width, frame.height, *parts, label=spoken(curve), class_=frame.class_)


def spoken(curve: Curve) -> str:
    """The drawing in a sentence, for those who hear it."""
    ends = []
    for series in curve.series:
        kept = [y for _, y in _drawn(curve, series) if _finite(y)]
        if kept:
            ends.append(f"{series.name or 'line'} from {wording.short(kept[0])} to {wording.short(kept[-1])}")
    return wording.visible(f"{curve.title}: {curve.y_label} over {curve.x_label}. " + "; ".join(ends) + ".")


def _finite(value: float) -> bool:
    return math.isfinite(value) and abs(value) < LIMIT


def _drawn(curve: Curve, series: Series) -> list[tuple[float, float]]:
    """Points with a place on the x axis; a y that is not a number stays as NaN, the gap."""
    return [
        (_coarse(x), _coarse(y) if _finite(y) else math.nan)
        for x, y in zip(series.x, series.y)
        if _finite(x) and (x > 1 / LIMIT or not curve.log_x)
    ]


def _coarse(value: float) -> float:
    """A number too small to have neighbours is zero."""
    return value if abs(value) > 1 / LIMIT else 0.0


def _has_markers(points: Sequence[tuple[float, float]]) -> bool:
    return len(points) <= 32


def _line_class(index: int) -> str:
    return f"line c{index % STYLES} d{(index + index // STYLES) % STYLES}"


def _line(points: Sequence[tuple[float, float]], index: int, x: Axis, y: Axis) -> list[Markup]:
    """One series: a path with a gap at every NaN, and a marker at each point when they are few."""
    path = []
    for gap, run in itertools.groupby(points, key=lambda p: math.isnan(p[1])):
        if not gap:
            pixels = list(thinned([(x.at(a), y.at(b)) for a, b in run]))
            steps = " ".join(f"{number(px)} {number(py)}" for px, py in pixels[1:])
            # A lone point becomes a line of no length, which a round cap shows as a dot.
            path.append(f"M{number(pixels[0][0])} {number(pixels[0][1])}" + (f"L{steps}" if steps else "h0"))
    parts = [element("path", d="".join(path), class_=_line_class(index))]
    if _has_markers(points):
        parts += [
            _marker(index, x.at(a), y.at(b), f"{wording.short(a)}: {wording.short(b)}") for a, b in points if _finite(b)
        ]
    return parts


def thinned(pixels: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """First, lowest, highest and last point of each column of pixels, in order: all that a screen shows."""
    for _, group in itertools.groupby(pixels, key=lambda p: int(p[0])):
        column = list(group)
        if len(column) <= 4:
            yield from column
        else:
            heights = [py for _, py in column]
            keep = {0, heights.index(min(heights)), heights.index(max(heights)), len(column) - 1}
            yield from (column[i] for i in sorted(keep))


def _marker(index: int, cx: float, cy: float, words: str = "") -> Markup:
    """Circle, square, triangle, diamond in turn."""
    title = [element("title", words)] if words else []
    class_ = f"marker c{index % STYLES}"
    kind = index % 4
    if kind == 0:
        return element("circle", *title, cx=cx, cy=cy, r=3.2, class_=class_)
    if kind == 1:
        return element("rect", *title, x=cx - 2.8, y=cy - 2.8, width=5.6, height=5.6, class_=class_)
    d = "M{0} {1}l3.8 6.6h-7.6z" if kind == 2 else "M{0} {1}l4 4l-4 4l-4 -4z"
    return element("path", *title, d=d.format(number(cx), number(cy - (4.2 if kind == 2 else 4))), class_=class_)


def _grid(x: Axis, y: Axis, y_ticks: Sequence[float], y_words: Sequence[str], frame: Frame) -> list[Markup]:
    parts = []
    for tick, word in zip(y_ticks, y_words, strict=True):
        at = y.at(tick)
        parts.append(element("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid"))
        parts.append(element("text", word, x=x.start - 8, y=at + 4, text_anchor="end", class_="tick"))
    ticks = x.ticks(int(frame.width / 34) if x.log else frame.x_ticks)
    parts.append(element("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    for tick, word in zip(ticks, axis.labels(ticks, log=x.log), strict=True):
        at = x.at(tick)
        parts.append(element("line", x1=at, x2=at, y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(element("text", word, x=at, y=y.start + 18, text_anchor="middle", class_="tick"))
    return parts


def _mark_rows(marks: Sequence[Mark], x: Axis, frame: Frame) -> list[tuple[float, str, int, str]]:
    """(pixel, words, row, anchor) per mark; words that would touch go into a row of their own."""
    rows: list[float] = []
    placed = []
    for mark in sorted(marks, key=lambda m: m.x):
        words = wording.visible(mark.label)
        room = int((frame.width - 8) / frame.letter)
        words = words if len(words) <= room else words[: room - 1] + "…"
        at, width = x.at(mark.x), len(words) * frame.letter
        anchor = "start" if at + 5 + width <= frame.width else "end" if at - 5 - width >= 0 else "middle"
        begin = {"start": at + 5, "end": at - 5 - width, "middle": (frame.width - width) / 2}[anchor]
        row = next((r for r, end in enumerate(rows) if end + 10 <= begin), len(rows))
        rows[row : row + 1] = [begin + width]
        placed.append((at, words, row, anchor))
    return placed


def _marks(rows: Sequence[tuple[float, str, int, str]], top: float, bottom: float) -> list[Markup]:
    parts = []
    for at, words, row, anchor in rows:
        height = 13 + 15 * row
        parts.append(element("line", x1=at, x2=at, y1=height - 9, y2=bottom, class_="mark"))
        shift = {"start": 5, "end": -5, "middle": 0}[anchor]
        parts.append(element("text", words, x=at + shift, y=height, text_anchor=anchor, class_="mark-word"))
    return parts


def _end_tags(
    curve: Curve, drawn: Sequence[Sequence[tuple[float, float]]], frame: Frame
) -> list[tuple[int, str, float]]:
    """(index, name, last value) per line when all end together at the right and their names fit there; else none."""
    ends = [next(((a, b) for a, b in reversed(points) if _finite(b)), None) for points in drawn]
    if frame is NARROW or not 1 < len(ends) <= 8 or any(end is None for end in ends):
        return []
    names = [wording.visible(series.name) for series in curve.series]
    last = [end[0] for end in ends if end]
    every = [a for points in drawn for a, _ in points] + [m.x for m in curve.marks if _finite(m.x)]
    span = max(every) - min(every)
    if max(every) - min(last) > 0.02 * span or any(not name or len(name) > 22 for name in names):
        return []
    return [(index, name, end[1]) for index, (name, end) in enumerate(zip(names, ends)) if end]


def _tags(tags: Sequence[tuple[int, str, float]], y: Axis, right: float) -> list[Markup]:
    """Names at the ends of the lines, pushed apart where they would touch."""
    gap, order = 15.0, sorted(tags, key=lambda t: -t[2])
    places = [y.at(value) for _, _, value in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    over = places[-1] - y.start if places else 0.0
    if over > 0:
        places[-1] -= over
        for i in range(len(places) - 2, -1, -1):
            places[i] = min(places[i], places[i + 1] - gap)
    return [
        element("text", name, x=right + 9, y=place + 4, class_=f"tag t{index % STYLES}")
        for (index, name, _), place in zip(order, places, strict=True)
    ]
