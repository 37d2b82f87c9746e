"""Two systems' scores on the same items: the difference, its interval, a test, and a word for it.

The interval is a paired bootstrap over items, or over groups of items where items share a source (Efron and Tibshirani
1993, ch. 8). Scores of 0 and 1 are tested by McNemar's exact test, others and grouped ones by flipping signs (Fisher
1935): if neither system is better, each item's (each group's) difference is as likely to have the other sign. Several
comparisons are corrected by Holm's rule (1979).

A bootstrap of few different values draws how often each value occurs, which has the same distribution as drawing items
and does not grow with their number. Rejected: a verdict from the interval alone; with three items, all of them fixed,
it is [1, 1], and chance does that one time in four.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.evaluate.comparisons import mcnemar
from tandem.metrics.resampling import percentile
from tandem.stats import Interval

DRAWS = 5_000
"""Bootstrap draws."""
FLIPS = 10_000
"""Sign flips where there are too many to try them all."""
TRIED = 16
"""Differences whose signs are all tried: 65,536 ways."""
GROUPS = 10
"""Fewest groups that an interval is taken over: fewer say too little of the groups there could be."""
LEVEL = 0.05
"""p below which a difference counts."""
FEW = 256
"""Different values that are drawn by how often they occur."""
CELLS = 1 << 22
"""Numbers of one piece of the work."""

Numbers: TypeAlias = NDArray[np.float64]
Verdict: TypeAlias = Literal["better", "worse", "within noise"]


@dataclass(frozen=True)
class Difference:
    """One system's scores minus those of a reference, on the same items."""

    reference: float
    """Mean score of the reference."""
    value: float
    """Mean score of the other."""
    difference: Interval
    """The other's minus the reference's; 95 %."""
    p: float
    """Two-sided, of the test in `test`."""
    test: str
    """McNemar, or sign flips."""
    mcnemar: float | None
    """McNemar's p where scores are 0 or 1, whatever `test` is."""
    fixed: NDArray[np.intp]
    """Places of the items on which the other is better: of those that are right or wrong, right now."""
    broken: NDArray[np.intp]
    """Places of the items on which it is worse."""
    groups: int | None
    """Groups that interval and test were taken over; None: items."""
    lower: bool = False
    """Whether lower scores are better."""

    @property
    def verdict(self) -> Verdict:
        """`better` or `worse` where the interval leaves out 0 and the test agrees."""
        low, high = self.difference.low, self.difference.high
        if low <= 0 <= high or self.p >= LEVEL:
            return "within noise"
        return "better" if (low > 0) != self.lower else "worse"


def compare(
    reference: Numbers, other: Numbers, groups: Sequence[str] | None = None, *, lower: bool = False, seed: int = 0
) -> Difference:
    """Compare scores of the same items in the same order; at least one. `groups` names each item's group."""
    assert len(reference) == len(other) > 0, "scores of the same items, at least one"
    d = other - reference
    better = -d if lower else d
    fixed, broken = np.flatnonzero(better > 0), np.flatnonzero(better < 0)
    means = math.fsum(reference) / len(d), math.fsum(other) / len(d)
    value = math.fsum(d) / len(d)
    whole = bool(np.isin(reference, (0.0, 1.0)).all() and np.isin(other, (0.0, 1.0)).all())
    exact = mcnemar(len(fixed), len(broken)) if whole else None
    if groups is not None and (found := _grouped(d, groups)):
        sums, sizes = found
        rng = np.random.default_rng(seed)
        times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)
        drawn = (times @ sums) / (times @ sizes)
        interval, p, test, n_groups = percentile(value, drawn, len(d)), sign_flips(sums), "sign flips", len(sums)
        return Difference(*means, interval, p, test, exact, fixed, broken, n_groups, lower)
    interval = percentile(value, resampled_means(d, seed=seed), len(d))
    p, test = (exact, "McNemar") if exact is not None else (sign_flips(d), "sign flips")
    return Difference(*means, interval, p, test, exact, fixed, broken, None, lower)


def _grouped(d: Numbers, groups: Sequence[str]) -> tuple[Numbers, Numbers] | None:
    """Sum and size of each group; None where there are too few, or as many as items."""
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    if not GROUPS <= len(names) < len(d):
        return None
    sums: Numbers = np.bincount(place, weights=d).astype(np.float64)
    return sums, np.bincount(place).astype(np.float64)


def resampled_means(values: Numbers, *, draws: int = DRAWS, seed: int = 0) -> Numbers:
    """Means of `draws` resamples, each as large as `values`."""
    rng = np.random.default_rng(seed)
    n = len(values)
    kinds, counts = np.unique(values, return_counts=True)
    if len(kinds) <= FEW:
        return np.asarray(rng.multinomial(n, counts / n, size=draws) @ kinds / n)
    drawn = np.empty(draws)
    step = max(1, CELLS // n)
    for begun in range(0, draws, step):
        chosen = rng.integers(0, n, (min(step, draws - begun), n), dtype=np.int32)
        drawn[begun : begun + len(chosen)] = values[chosen].mean(axis=1)
    return drawn


def sign_flips(differences: Numbers, *, flips: int = FLIPS, seed: int = 0) -> float:
    """Two-sided p of a sum of differences under random signs: all of them where few differ from 0, else drawn."""
    d = differences[differences != 0]
    if not d.size:
        return 1.0
    seen = abs(math.fsum(d)) - 1e-12 * float(np.abs(d).sum())  # what rounding could hide
    if d.size <= TRIED:
        ways = np.arange(1 << d.size)[:, None] >> np.arange(d.size) & 1
        return float((np.abs((1 - 2 * ways) @ d) >= seen).mean())
    rng = np.random.default_rng(seed)
    total, as_far = float(d.sum()), 0
    step = max(1, CELLS // d.size)
    for begun in range(0, flips, step):
        rows = min(step, flips - begun)
        packed = np.frombuffer(rng.bytes(rows * ((d.size + 7) // 8)), dtype=np.uint8).reshape(rows, -1)
        signs = np.unpackbits(packed, axis=1, count=d.size)
        as_far += int((np.abs(total - 2 * (signs @ d)) >= seen).sum())
    return (as_far + 1) / (flips + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p corrected for all of them: the k-th smallest of m times m − k + 1, at most 1, never falling."""
    corrected = [1.0] * len(ps)
    most = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        most = max(most, (len(ps) - rank) * ps[place])
        corrected[place] = min(1.0, most)
    return corrected
