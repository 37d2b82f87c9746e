"""Intervals and tests for figures: what a number is worth when it was measured on n items.

Pure numpy; no scipy. Every interval is two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """A figure with the interval that holds it."""

    value: float
    """The estimate itself."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    n: int
    """Number of items it rests on."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; an infinite end becomes null."""
        ends = {name: end if math.isfinite(end) else None for name, end in (("low", self.low), ("high", self.high))}
        return {"value": self.value, **ends, "n": self.n}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Interval:
        """The inverse of `to_json`."""
        low = -math.inf if saved["low"] is None else saved["low"]
        high = math.inf if saved["high"] is None else saved["high"]
        return cls(saved["value"], low, high, saved["n"])


def proportion(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a share of successes (Wilson 1927): honest at 0, at 1 and for small n.

    Raises ValueError when `n` is 0 or `successes` is not in 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 ≤ successes ≤ n and n > 0, got {successes} of {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(p, low, high, n)


def mean(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean with Student's t interval from the sample standard deviation (n - 1).

    One value has no spread: its interval is infinite. Raises ValueError on no values.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise ValueError("a mean needs at least one value")
    if x.size == 1:
        return Interval(float(x[0]), -math.inf, math.inf, 1)
    half = t_quantile(0.5 + confidence / 2, x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    centre = float(x.mean())
    return Interval(centre, centre - half, centre + half, int(x.size))


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[NDArray[np.float64]], float] = lambda x: float(np.mean(x)),
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap over items (Efron 1979), for statistics that have no closed form."""
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise ValueError("a bootstrap needs at least one value")
    rng = np.random.default_rng(seed)
    sampled = [statistic(x[rng.integers(0, x.size, x.size)]) for _ in range(draws)]
    low, high = np.quantile(sampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(statistic(x), float(low), float(high), int(x.size))


def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t: closed for 1 and 2 degrees of freedom, else Newton's steps on the exact distribution.

    Relative error below 1e-8.
    """
    if df < 1 or not 0 < p < 1:
        raise ValueError(f"t_quantile needs 0 < p < 1 and df ≥ 1, got p={p}, df={df}")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:
        a = 4 * p * (1 - p)
        return 2 * (p - 0.5) * math.sqrt(2 / a)
    z = NormalDist().inv_cdf(p)
    t = z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
    if df > 10_000:  # what the expansion leaves out is below 1e-8 of it, and the series has df terms
        return t
    log_norm = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    for _ in range(50):
        density = math.exp(log_norm - (df + 1) / 2 * math.log1p(t * t / df))
        step = (_t_cdf(t, df) - p) / density
        t -= step
        if abs(step) < 1e-12 * (1 + abs(t)):
            break
    return t


def _t_cdf(t: float, df: int) -> float:
    """Distribution function of Student's t, whole df ≥ 1, t ≥ 0: the finite trigonometric series (A&S 26.7.3-4)."""
    theta = math.atan(t / math.sqrt(df))
    sin, cos = math.sin(theta), math.cos(theta)
    if df % 2 == 0:
        term, total = 1.0, 1.0
        for k in range(1, df // 2):
            term *= cos * cos * (2 * k - 1) / (2 * k)
            total += term
        area = sin * total
    else:
        area = 2 * theta / math.pi
        if df > 1:
            term = total = cos
            for k in range(1, (df - 1) // 2):
                term *= cos * cos * (2 * k) / (2 * k + 1)
                total += term
            area += 2 / math.pi * sin * total
    return 0.5 + area / 2
