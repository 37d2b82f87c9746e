"""Krippendorff's α: reliability of any number of raters, with ratings missing (Krippendorff 2004, chapter 11).

α = 1 - observed / expected disagreement over all pairs of ratings of a unit; units with fewer than two ratings have no
pairs and do not count. Disagreement is by level: nominal (0 or 1), ordinal (ratings between, in this sample), interval
(difference squared), ratio (difference over sum, squared). Intervals are bootstraps over units; Krippendorff's own
draws pairs instead.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.metrics.agreement import are_numbers, in_order
from tandem.metrics.resampling import percentile, resamples
from tandem.stats import Interval

Level: TypeAlias = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")


def krippendorff(
    units: Sequence[Sequence[Hashable]], level: Level = "nominal", *, labels: Sequence[Hashable] | None = None
) -> Interval:
    """α of ratings, a list for each unit, None where one is missing; its interval rests on the units with a pair.

    `labels` gives the order of ordinal ratings that are not numbers. Raises UserError on ratings that the level cannot
    measure, on no unit with two ratings, and where all ratings are the same, so that α is not defined.
    """
    kept = [ratings for unit in units if len(ratings := [r for r in unit if r is not None]) > 1]
    if not kept:
        raise UserError("no unit has two ratings to compare")
    different = {rating for unit in kept for rating in unit}
    _check(different, level, labels)
    data = _moments(kept) if level == "interval" else _counts(kept, level, labels)
    value = float(data.alpha(np.ones((1, len(kept))))[0])
    if math.isnan(value):
        raise UserError("α is not defined: all ratings are the same")
    drawn = np.concatenate([data.alpha(counts) for counts in resamples(len(kept))])
    return percentile(value, drawn, len(kept))


def _check(different: set[Hashable], level: Level, labels: Sequence[Hashable] | None) -> None:
    """Whether the ratings fit the level."""
    if any(isinstance(rating, float) and math.isnan(rating) for rating in different):
        raise UserError("a rating is not a number", remedy="leave it out, or give null where one is missing")
    if labels is not None and (unknown := different - set(labels)):
        told = ", ".join(map(str, labels))
        raise UserError(f"the rating {min(unknown, key=str)!r} is not among the given ones: {told}", remedy="add it")
    if level == "nominal" or (level == "ordinal" and labels is not None):
        return
    if not are_numbers(different):
        other = next(rating for rating in sorted(different, key=str) if not are_numbers({rating}))
        remedy = "give their order, or take them as nominal" if level == "ordinal" else "take them as nominal"
        raise UserError(f"the rating {other!r} is not a number, which {level} ratings are", remedy=remedy)
    if any(math.isinf(rating) for rating in different):  # type: ignore[arg-type]
        raise UserError("a rating is infinite")
    if level == "ratio" and (negative := [rating for rating in different if rating < 0]):  # type: ignore[operator]
        problem = f"the rating {negative[0]} is negative, which ratios cannot be"
        raise UserError(problem, remedy="take the interval level")


@dataclass(frozen=True)
class _Moments:
    """Interval ratings: what their squared differences come from."""

    sums: NDArray[np.float64]
    """For each unit: number of ratings, their sum, the sum of squares, and disagreement of its pairs."""

    def alpha(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """α when each unit is there `counts` times; (resamples, units) → resamples."""
        n, total, squares, observed = (counts @ self.sums).T
        return _alpha(n, observed, 2 * (n * squares - total**2))


@dataclass(frozen=True)
class _Counts:
    """Ratings of the other levels: how often each unit has each."""

    ratings: NDArray[np.float64]
    """(units, different ratings), in order."""
    distance: NDArray[np.float64] | None
    """Disagreement of each pair of ratings; None for ordinal, where it depends on the sample."""

    def alpha(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """α when each unit is there `counts` times; (resamples, units) → resamples."""
        there = counts @ self.ratings
        n, size = there.sum(axis=1), self.ratings.sum(axis=1)
        if self.distance is not None:
            each = ((self.ratings @ self.distance) * self.ratings).sum(axis=1) / (size - 1)
            return _alpha(n, counts @ each, ((there @ self.distance) * there).sum(axis=1))
        # The ratings from one to another, each end counted half, are the difference of their mean ranks.
        rank = np.cumsum(there, axis=1) - there / 2
        rank -= n[:, None] / 2
        sums, squares = rank @ self.ratings.T, rank**2 @ self.ratings.T
        pairs = (counts * 2 * (size * squares - sums**2) / (size - 1)).sum(axis=1)
        return _alpha(n, pairs, 2 * (n * (there * rank**2).sum(axis=1) - (there * rank).sum(axis=1) ** 2))


def _alpha(n: NDArray[np.float64], observed: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = expected > 1e-12 * n**2
    return np.where(defined, 1 - (n - 1) * observed / np.where(defined, expected, 1), np.nan)


def _moments(units: Sequence[Sequence[Any]]) -> _Moments:
    every = np.array([rating for unit in units for rating in unit], dtype=np.float64)
    spread = float(every.std()) or 1.0  # centred and scaled, so that squares lose no digits
    owner = np.repeat(np.arange(len(units)), [len(unit) for unit in units])
    values = (every - every.mean()) / spread
    size, total, squares = (np.bincount(owner, weights=w) for w in (np.ones_like(values), values, values**2))
    centred = values - (total / size)[owner]
    pairs = 2 * size * np.bincount(owner, weights=centred**2) / (size - 1)
    return _Moments(np.stack([size, total, squares, pairs], axis=1))


def _counts(units: Sequence[Sequence[Any]], level: Level, labels: Sequence[Hashable] | None) -> _Counts:
    known: list[Any] = list(labels) if labels is not None else in_order([rating for unit in units for rating in unit])
    number = {label: i for i, label in enumerate(known)}
    ratings = np.zeros((len(units), len(known)))
    for row, unit in zip(ratings, units, strict=True):
        for rating in unit:
            row[number[rating]] += 1
    if level == "ordinal":
        return _Counts(ratings, None)
    if level == "nominal":
        return _Counts(ratings, 1 - np.eye(len(known)))
    values = np.array(known, dtype=np.float64)
    both = values[:, None] + values
    return _Counts(ratings, np.where(both > 0, (values[:, None] - values) / np.where(both > 0, both, 1), 0) ** 2)
