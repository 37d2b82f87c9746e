"""Small drawings beside numbers: a value on its scale with its 95 % interval and the chance level; a bar.

Point, whisker, tick. A value whose interval holds the chance level gets a hollow point: it may be luck. Bars for
accuracies were rejected: a bar hides its interval, and its length says nothing when chance is not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tandem.report import axis, wording
from tandem.report.axis import Axis
from tandem.report.svg import element, number
from tandem.results import Figure


@dataclass(frozen=True)
class Scale:
    """What the strips of one unit share, so that rows can be compared by eye."""

    low: float
    """Value at the left end."""
    high: float
    """Value at the right end."""
    unit: str
    """As in Figure."""

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1."""
        return Axis(self.low, self.high, 0.0, 1.0).at(value)

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
    return Scale(max(whole.low, 0.0) if min(known) >= 0 else whole.low, whole.high, figures[0].unit)


def strip(figure: Figure, scale: Scale) -> Markup:
    """One figure on its scale, as wide as the style sheet says. Empty where the figure has no value."""
    return _fluid(18, *_parts(figure, scale, 9)) if wording.known(figure.value) else Markup("")


def headline_strip(figure: Figure, scale: Scale) -> Markup:
    """The same with the scale's ends and the chance level written below."""
    if not wording.known(figure.value):
        return Markup("")
    words = []
    left = right = True
    if figure.chance is not None and wording.known(figure.chance):
        at = scale.share(figure.chance)
        anchor = "start" if at < 0.3 else "end" if at > 0.7 else "middle"
        left, right = at > 0.1, at < 0.72
        words.append(
            element("text", wording.chance(figure), x=_percent(at), y=32, text_anchor=anchor, class_="chance-word")
        )
    words += _ends(scale, 32, left, right)
    return _fluid(36, *_parts(figure, scale, 9), *words)


def ends(scale: Scale) -> Markup:
    """The ends of a scale in words, for the head of a column of strips."""
    return _fluid(12, *_ends(scale, 10, True, True))


def bar(amount: float, lowest: float, highest: float, *, track: bool = False) -> Markup:
    """A bar from zero to the number on a scale that holds zero, `lowest` and `highest`.

    With `track` the whole scale shows behind it: the number is a part of it.
    """
    if not wording.known(amount) or max(abs(lowest), abs(highest)) > 1e150:
        return Markup("")
    low, high = min(lowest, 0.0), max(highest, 0.0)
    x = Axis(low, high if high > low else low + 1.0, 0.0, 1.0)
    start, stop = sorted((x.at(0.0), x.at(amount)))
    behind = [element("rect", x=0, y=0, width="100%", height=9, rx=1.5, class_="track")] if track else []
    width = _percent(max(stop - start, 0.004 if amount else 0.0))
    return _fluid(9, *behind, element("rect", x=_percent(start), y=0, width=width, height=9, rx=1.5, class_="bar"))


def _ends(scale: Scale, y: float, left: bool, right: bool) -> list[Markup]:
    low, high = scale.ends
    words = [element("text", low, x="0%", y=y, class_="end")] if left else []
    return words + ([element("text", high, x="100%", y=y, text_anchor="end", class_="end")] if right else [])


def _parts(figure: Figure, scale: Scale, middle: float) -> list[Markup]:
    parts = [element("line", x1="0%", x2="100%", y1=middle, y2=middle, class_="base")]
    parts += [element("line", x1=e, x2=e, y1=middle - 2.5, y2=middle + 2.5, class_="base") for e in ("0%", "100%")]
    ends = wording.interval_of(figure)
    lucky = False
    if figure.chance is not None and wording.known(figure.chance):
        at = _percent(scale.share(figure.chance))
        parts.append(element("line", x1=at, x2=at, y1=middle - 8, y2=middle + 8, class_="chance"))
        lucky = ends is not None and ends[0] <= figure.chance <= ends[1]
    if ends is not None:
        low, high = (_percent(scale.share(end)) for end in ends)
        parts.append(element("line", x1=low, x2=high, y1=middle, y2=middle, class_="whisker"))
    at = _percent(scale.share(figure.value))
    parts.append(element("circle", cx=at, cy=middle, r=3.8, class_="point hollow" if lucky else "point"))
    return parts


def _percent(share: float) -> str:
    return number(share * 100) + "%"


def _fluid(height: float, *children: Markup) -> Markup:
    """A drawing whose width the style sheet sets: places are percentages, so that points stay round at any width."""
    return element("svg", *children, class_="strip", width="100%", height=height, aria_hidden="true")
