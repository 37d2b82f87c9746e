"""Small drawings beside numbers: a value on its scale with its 95 % interval and the chance level; a bar.

Point, whisker, tick. A value whose interval holds the chance level gets a hollow point: it may be luck. Bars for accuracies were
rejected: a bar hides its interval, and its length says nothing when chance is not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tandem.report import axis, wording
from tandem.report.axis import Axis
from tandem.report.svg import drawing, element
from tandem.runs import Figure

EDGE = 6.0
"""Pixels kept free at both ends, so that a point at the end of the scale is whole."""


@dataclass(frozen=True)
class Scale:
    """What the strips of one unit share, so that rows can be compared by eye."""

    low: float
    """Value at the left end."""
    high: float
    """Value at the right end."""
    unit: str
    """As in Figure."""

    def axis(self, width: float) -> Axis:
        """The scale laid over this many pixels."""
        return Axis(self.low, self.high, EDGE, width - EDGE)

    @property
    def ends(self) -> tuple[str, str]:
        """What is written at the two ends."""
        if self.unit == "%":
            return f"{wording.short(self.low * 100)}", f"{wording.short(self.high * 100)}{wording.NARROW}%"
        return wording.short(self.low), wording.short(self.high)


def scale_of(figures: Sequence[Figure]) -> Scale | None:
    """The scale that holds these figures of one unit; None when none of them has an interval or a chance level.

    Percentages start at 0 and end at the next of 10, 20, 50, 100 %; others are rounded outwards.
    """
    if not any(wording.interval_of(f) or wording.chance(f) for f in figures):
        return None
    known = [v for f in figures for v in (f.value, f.low, f.high, f.chance) if v is not None and wording.known(v)]
    if not known or max(abs(v) for v in known) > 1e100:
        return None
    if figures[0].unit == "%" and min(known) >= 0 and max(known) <= 1:
        return Scale(0.0, next(end for end in (0.1, 0.2, 0.5, 1.0) if max(known) <= end), "%")
    whole = axis.spanning(known, 0, 1, rounded=5)
    return Scale(whole.low, whole.high, figures[0].unit)


def strip(figure: Figure, scale: Scale, width: float, height: float = 18.0) -> Markup:
    """One figure on its scale. Empty where the figure has no value."""
    if not wording.known(figure.value):
        return Markup("")
    return drawing(width, height, *_parts(figure, scale, width, height / 2), class_="strip")


def headline_strip(figure: Figure, scale: Scale, width: float = 232.0) -> Markup:
    """The same, larger, with the scale's ends and the chance level written below."""
    if not wording.known(figure.value):
        return Markup("")
    x, parts = scale.axis(width), _parts(figure, scale, width, 10.0)
    left, right = scale.ends
    words = [
        element("text", left, x=x.start, y=33, class_="scale"),
        element("text", right, x=x.end, y=33, text_anchor="end", class_="scale"),
    ]
    if figure.chance is not None and wording.known(figure.chance):
        at, label = x.at(figure.chance), wording.chance(figure)
        # The words keep clear of the ends' labels and stay inside the drawing.
        half = 3.1 * len(label)
        at = min(max(at, x.start + half + 7 * len(left)), x.end - half - 7 * len(right))
        words.append(element("text", label, x=at, y=33, text_anchor="middle", class_="scale chance-word"))
    return drawing(width, 38, *parts, *words, class_="strip large")


def _parts(figure: Figure, scale: Scale, width: float, middle: float) -> list[Markup]:
    x = scale.axis(width)
    parts = [element("line", x1=x.start, x2=x.end, y1=middle, y2=middle, class_="base")]
    parts += [element("line", x1=e, x2=e, y1=middle - 2.5, y2=middle + 2.5, class_="base") for e in (x.start, x.end)]
    ends = wording.interval_of(figure)
    lucky = False
    if figure.chance is not None and wording.known(figure.chance):
        c = x.at(figure.chance)
        parts.append(element("line", x1=c, x2=c, y1=middle - 8, y2=middle + 8, class_="chance"))
        lucky = ends is not None and ends[0] <= figure.chance <= ends[1]
    if ends is not None:
        low, high = x.at(ends[0]), x.at(ends[1])
        parts.append(element("line", x1=low, x2=max(high, low + 0.5), y1=middle, y2=middle, class_="whisker"))
    point = "point hollow" if lucky else "point"
    parts.append(element("circle", cx=x.at(figure.value), cy=middle, r=4, class_=point))
    return parts


def bar(number: float, lowest: float, highest: float, width: float, height: float = 12.0) -> Markup:
    """A bar from zero to the number on a scale that holds zero, `lowest` and `highest`."""
    if not wording.known(number) or max(abs(lowest), abs(highest)) > 1e150:
        return Markup("")
    low, high = min(lowest, 0.0), max(highest, 0.0)
    x = Axis(low, high if high > low else low + 1.0, 0.0, width)
    zero, end = x.at(0.0), x.at(number)
    shown = element(
        "rect", x=min(zero, end), y=0, width=max(abs(end - zero), 1.0 if number else 0.0), height=height, rx=1, class_="bar"
    )
    return drawing(width, height, shown, class_="bars")
