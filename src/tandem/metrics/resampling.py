"""Bootstrap over items for figures that are no mean of the items' own (Efron 1979): sums are drawn, not lists.

`stats.bootstrap` calls a function on every resample; here a resample is how often each item was drawn, so that a
corpus figure costs one matrix product. One item says nothing of others: its interval is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tandem.stats import Interval

DRAWS = 1000
"""Resamples for an interval."""
CELLS = 1 << 21
"""Numbers of one piece of the work: 16 MiB."""


def resamples(n: int, *, draws: int = DRAWS, seed: int = 0) -> Iterator[NDArray[np.float64]]:
    """How often each of n items is in each of `draws` resamples of n, some resamples (rows) at a time."""
    rng = np.random.default_rng(seed)
    most = max(1, CELLS // n)
    for begun in range(0, draws, most):
        rows = min(most, draws - begun)
        counts = np.empty((rows, n))
        for row in counts:
            row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
        yield counts


def resampled_sums(values: NDArray[np.float64], *, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """Sums of an (n, d) array over the items of each resample: (draws, d)."""
    return np.concatenate([counts @ values for counts in resamples(len(values), draws=draws, seed=seed)])


def percentile(value: float, drawn: NDArray[np.float64], n: int, confidence: float = 0.95) -> Interval:
    """A figure with the middle of what resamples gave; wide enough to hold the figure where resampling is biased.

    Resamples in which the figure is not defined are left out. Where that is all of them, or there is one item only,
    the interval is infinite.
    """
    drawn = drawn[np.isfinite(drawn)]
    if n < 2 or not drawn.size:
        return Interval(value, -math.inf, math.inf, n)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, min(float(low), value), max(float(high), value), n)
