"""An axis: from values to pixels, with ticks at round numbers, linear or logarithmic.

It draws nothing. Ticks are 1, 2 or 5 times a power of ten; 2.5 was rejected, its labels are wider than they are useful.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from tandem.report.wording import MINUS


@dataclass(frozen=True)
class Axis:
    """Maps values between `low` and `high` to pixels between `start` and `end`."""

    low: float
    """Value at `start`."""
    high: float
    """Value at `end`, above `low`."""
    start: float
    """Pixel of `low`."""
    end: float
    """Pixel of `high`; may be less than `start`, as on a vertical axis."""
    log: bool = False
    """Logarithmic; both ends are then above 0."""

    def at(self, value: float) -> float:
        """Pixel of a value, kept within the axis."""
        low, high, v = (math.log(x) if self.log else x for x in (self.low, self.high, max(value, self.low)))
        share = min(max((v - low) / (high - low), 0.0), 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int) -> list[float]:
        """Round values within the axis, about `wanted` of them, ascending."""
        return log_ticks(self.low, self.high, wanted) if self.log else linear_ticks(self.low, self.high, wanted)


def spanning(values: Iterable[float], start: float, end: float, *, log: bool = False, rounded: int = 0) -> Axis:
    """The axis that holds all values. With `rounded` its ends are moved out to ticks, about that many in all.

    Values are finite and, on a logarithmic axis, positive; no values or all the same give an axis around them.
    """
    known = list(values) or [1.0]
    low, high = min(known), max(known)
    if log:
        if high / low < 1.01:
            low, high = low / 2, high * 2
        return Axis(low, high, start, end, log=True)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        room = abs(high) * 0.1 or 1.0
        low, high = low - room, high + room
    if rounded:
        step = nice_step(high - low, rounded)
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(low, high, start, end)


def nice_step(span: float, wanted: int) -> float:
    """The step 1, 2 or 5 × 10ᵏ that cuts a span into at most about `wanted` parts."""
    raw = span / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return power * next(m for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))


def linear_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Multiples of a nice step within [low, high]."""
    step = nice_step(high - low, wanted)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12 - math.floor(math.log10(step))) for k in range(first, last + 1)]


def log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Powers of ten within [low, high], with 2 and 5 between them where there is room, fewer on wide axes."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**k for k in range(first, last + 1) for f in factors]
        inside = [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
        if len(inside) <= wanted or factors == (1,):
            break
    return inside[:: math.ceil(len(inside) / max(wanted, 1))] if inside else [low, high]


def labels(ticks: list[float], *, log: bool = False) -> list[str]:
    """What to write at the ticks. A linear axis has one unit (K, M, B, T) and one number of decimals for all."""
    if log:
        return [_compact(t, max(0, -math.floor(math.log10(t))) if t < 1 else 0) for t in ticks]
    largest = max((abs(t) for t in ticks), default=0.0)
    size, unit = _unit(largest)
    if largest and not 1e-4 <= largest < 1e16:
        power = math.floor(math.log10(largest))
        size, unit = 10.0**power, "e" + _signed(str(power))
    steps = [b - a for a, b in itertools.pairwise(ticks)] or [largest or 1.0]
    decimals = max(0, -math.floor(math.log10(min(steps) / size) + 1e-9))
    return [_signed(f"{t / size:.{decimals}f}") + unit if t else "0" for t in ticks]


def _compact(value: float, decimals: int) -> str:
    size, unit = _unit(value)
    if value >= 1e15 or decimals > 4:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+", "e")
    text = f"{value / size:.{decimals}f}" if decimals else f"{value / size:g}"
    return text + unit


def _unit(largest: float) -> tuple[float, str]:
    """Thousands are written out up to 10,000, as a reader would."""
    if largest < 10_000:
        return 1.0, ""
    return next((s, u) for s, u in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")) if largest >= s)


def _signed(text: str) -> str:
    return MINUS + text[1:] if text.startswith("-") else text
