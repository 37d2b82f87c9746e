"""Numbers and foreign text as the page shows them: digits, units, intervals, aligned columns, visible controls.

It knows nothing of HTML. Digits follow the interval: a value is printed as finely as it was measured, not finer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tandem import text
from tandem.results import Cell, Figure

MINUS = "\u2212"
NARROW = "\u202f"
"""Narrow no-break space, between a number and its unit."""
UNKNOWN = "–"
"""Stands for a value that is missing or is not a number."""


def known(value: float | None) -> bool:
    """Whether there is a number here at all."""
    return value is not None and math.isfinite(value)


def interval_of(figure: Figure) -> tuple[float, float] | None:
    """The ends of the interval, where both are known."""
    if figure.low is None or figure.high is None or not (known(figure.low) and known(figure.high)):
        return None
    return figure.low, figure.high


def number_and_unit(figure: Figure, decimals: int | None = None) -> tuple[str, str]:
    """The number and its unit apart: (`81.2`, `%`), (`1.84 M`, `parameters`). Columns pass their shared decimals."""
    if not known(figure.value):
        return UNKNOWN, ""
    return _written(figure.value, figure, decimals), visible(figure.unit)


def value(figure: Figure, decimals: int | None = None) -> str:
    """The number with its unit: `81.2 %`, `3.42 nats`, `1.84 M parameters`."""
    number, unit = number_and_unit(figure, decimals)
    return f"{number}{NARROW}{unit}" if unit else number


def interval(figure: Figure, decimals: int | None = None) -> str:
    """The 95 % interval without unit, `[78.4, 83.7]`; empty where there is none."""
    ends = interval_of(figure)
    return f"[{', '.join(_written(end, figure, decimals) for end in ends)}]" if ends else ""


def precision(figure: Figure) -> int:
    """Decimals worth printing: down to a fifth of the interval's half width, or three significant digits without one.

    A percentage has at least one, so that columns of them line up; so has a fraction below ten: 4.5 is no 4.
    """
    scale = 100 if figure.unit == "%" else 1
    fraction = known(figure.value) and abs(figure.value) < 10 and figure.value != int(figure.value)
    least = 1 if figure.unit == "%" else 0
    ends = interval_of(figure)
    if ends is not None and ends[1] > ends[0]:
        half = min(max((ends[1] / 2 - ends[0] / 2) * scale, 1e-300), 1e300)
        return min(6, max(least, int(fraction), -math.floor(math.log10(half / 2))))
    if least or not known(figure.value) or figure.value == int(figure.value):
        return least
    return min(6, max(0, 2 - math.floor(math.log10(abs(figure.value)))))


def chance(figure: Figure) -> str:
    """What guessing gives, `chance 25 %`; empty where it has no meaning."""
    if figure.chance is None or not known(figure.chance):
        return ""
    scale = 100 if figure.unit == "%" else 1
    return f"chance {short(figure.chance * scale)}{NARROW}{visible(figure.unit)}".rstrip()


def sentence(figure: Figure) -> str:
    """The whole figure in a line: `81.2 % [78.4, 83.7] · chance 25 %`."""
    front = " ".join(part for part in (value(figure), interval(figure)) if part)
    return " · ".join(part for part in (front, chance(figure)) if part)


def short(number: float) -> str:
    """Three significant digits at most, no trailing zeros: `25`, `33.3`, `0.39`."""
    if not math.isfinite(number):
        return UNKNOWN
    if number and not 1e-4 <= abs(number) < 1e6:
        return scientific(number)
    decimals = max(0, 2 - math.floor(math.log10(abs(number)))) if number else 0
    written = f"{number:,.{decimals}f}"
    return _minus(written.rstrip("0").rstrip(".") if "." in written else written)


def fixed(number: float, decimals: int) -> str:
    """A number with this many decimals, thousands separated, a real minus sign and no negative zero."""
    if not math.isfinite(number):
        return UNKNOWN
    written = f"{number:,.{decimals}f}"
    return written.lstrip("-") if not re.search("[1-9]", written) else _minus(written)


def scientific(number: float) -> str:
    """Powers of ten written out: `3 × 10⁻⁷`."""
    mantissa, exponent = f"{number:.2e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{_minus(mantissa.rstrip('0').rstrip('.'))}{NARROW}×{NARROW}10{raised}"


def column(cells: Sequence[Cell]) -> list[str]:
    """The cells of a column as text; its fractional numbers share one number of decimals, so that they line up."""
    fractions = [c for c in cells if isinstance(c, float) and math.isfinite(c)]
    decimals = _shared_decimals(fractions)
    return [cell(c, decimals) for c in cells]


def cell(content: Cell, decimals: int) -> str:
    """One cell of a table as text."""
    if content is None:
        return ""
    if isinstance(content, Figure):
        return sentence(content)
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, int):
        return _minus(text.count(content))
    if isinstance(content, float):
        if content and math.isfinite(content) and not 1e-6 <= abs(content) < 1e15:
            return scientific(content)
        return fixed(content, decimals)
    return visible(content)


_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(written: str) -> str:
    """Foreign text with its invisible parts shown: control characters as their pictures, direction controls by number.

    A right-to-left override could make a wrong answer look right; a lone surrogate cannot be written to a file at all.
    Line ends become plain newlines; newline and tab stay.
    """
    return _HIDDEN.sub(_picture, written.replace("\r\n", "\n").replace("\r", "\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"⟨U+{code:04X}⟩"


def _written(number: float, figure: Figure, decimals: int | None) -> str:
    """One of a figure's numbers without unit, in the precision of the figure or of its column."""
    decimals = precision(figure) if decimals is None else decimals
    if figure.unit == "%":
        return fixed(number * 100, decimals)
    if abs(number) >= 1e6:
        return _minus(text.quantity(number).replace(" ", NARROW))
    return scientific(number) if number and abs(number) < 1e-4 else fixed(number, decimals)


def _shared_decimals(numbers: Sequence[float]) -> int:
    """Decimals for four significant digits, but no more than five digits of the largest; two are always allowed."""
    usual = [n for n in numbers if n == 0 or 1e-6 <= abs(n) < 1e15]
    if not any(usual):
        return 0
    needed = max(_decimals_of(n) for n in usual)
    return min(needed, max(2, 4 - math.floor(math.log10(max(abs(n) for n in usual)))))


def _decimals_of(number: float) -> int:
    written = f"{float(f'{number:.4g}'):.10f}".rstrip("0")
    return len(written) - written.index(".") - 1


def _minus(written: str) -> str:
    return MINUS + written[1:] if written.startswith("-") else written
