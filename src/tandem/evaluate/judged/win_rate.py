"""How often a model's output is preferred to a baseline's: the figures of AlpacaEval out of its preferences.

A preference runs from 1 (the baseline's output is better) to 2 (the model's is). As in the published tool, 0 stands for
a draw and counts as 1.5. What has no preference is left out of every figure, and counted. What this does not do: hold
lengths apart; `length_control` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tandem.stats import Interval, mean, proportion

DRAW = 1.5
"""The preference of a draw."""


@dataclass(frozen=True)
class WinRate:
    """The figures of one model against one baseline; shares, not per cent."""

    win_rate: Interval
    """Mean of preference − 1, with Student's interval of 95 %."""
    standard_error: float
    """Sample standard deviation (n − 1) over √n; NaN where there is one item only."""
    discrete: Interval
    """Wins and half the draws, over all; Wilson's interval where there are no draws, else Student's."""
    wins: int
    """Preferences above 1.5."""
    draws: int
    """Preferences of exactly 1.5."""
    losses: int
    """Preferences below 1.5."""
    zeros: int
    """Draws that were recorded as 0."""
    missing: int
    """Items without a preference: in no figure."""

    @property
    def n(self) -> int:
        """Items behind the figures."""
        return self.win_rate.n


def settled(preferences: Sequence[float | None]) -> NDArray[np.float64]:
    """Preferences as numbers: NaN where there is none, 1.5 for 0."""
    numbers = np.array([math.nan if p is None else p for p in preferences], dtype=np.float64)
    return np.where(numbers == 0, DRAW, numbers)


def win_rate(preferences: Sequence[float | None]) -> WinRate | None:
    """The figures; None where no item has a preference."""
    numbers = settled(preferences)
    there = numbers[~np.isnan(numbers)]
    if not there.size:
        return None
    assert ((there >= 1) & (there <= 2)).all(), "a preference lies between 1 and 2"
    error = float(there.std(ddof=1)) / math.sqrt(there.size) if there.size > 1 else math.nan
    half = (np.sign(there - DRAW) + 1) / 2
    wins, losses = int((there > DRAW).sum()), int((there < DRAW).sum())
    return WinRate(
        mean((there - 1).tolist()),
        error,
        proportion(wins, wins + losses) if wins + losses == there.size else mean(half.tolist()),
        wins,
        int(there.size) - wins - losses,
        losses,
        sum(p == 0 for p in preferences),
        int(numbers.size - there.size),
    )
