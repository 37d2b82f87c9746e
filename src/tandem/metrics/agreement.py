"""Cohen's κ: how much two raters agree beyond what their habits would give by chance (Cohen 1960, 1968).

Weighted κ counts a disagreement by its distance, the number of places between two labels in their order (linear) or
the square of it (quadratic), as scikit-learn does. Intervals are bootstraps over items.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.metrics.pairs import check_lengths
from tandem.metrics.resampling import DRAWS, percentile
from tandem.stats import Interval

Weights: TypeAlias = Literal["plain", "linear", "quadratic"]
WEIGHTS: tuple[Weights, ...] = ("plain", "linear", "quadratic")
MOST = 200
"""Different labels there may be: beyond it they are hardly labels."""


def kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    weights: Weights = "plain",
    labels: Sequence[Hashable] | None = None,
) -> Interval:
    """κ of two raters' labels with its interval.

    `labels` are all there are, in order; by default those that occur, numbers by size, others by their text. Raises
    UserError on lists of different length, on a label that is not among `labels`, on more than `MOST` of them, and
    where κ is not defined: both raters gave one and the same label throughout.
    """
    return table_kappa(confusion(first, second, labels), weights=weights)


def table_kappa(table: NDArray[np.int64], *, weights: Weights = "plain") -> Interval:
    """κ of a square table of counts: first rater's label by second rater's, labels in order."""
    n = int(table.sum())
    shares = table / n
    value = float(_kappa(shares[None], weights)[0])
    if np.isnan(value):
        raise UserError("κ is not defined: both raters gave one and the same label throughout")
    drawn = np.random.default_rng(0).multinomial(n, shares.reshape(-1), size=DRAWS)
    return percentile(value, _kappa(drawn.reshape(-1, *table.shape) / n, weights), n)


def _kappa(shares: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """κ of tables (…, labels, labels) whose cells sum to one; NaN where it is not defined."""
    place = np.arange(shares.shape[-1])
    apart = np.abs(place[:, None] - place).astype(np.float64)
    cost = {"plain": (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weights]
    observed = (shares * cost).sum(axis=(-2, -1))
    expected = np.einsum("di,ij,dj->d", shares.sum(axis=-1), cost, shares.sum(axis=-2))
    defined = expected > 1e-15
    return np.where(defined, 1 - observed / np.where(defined, expected, 1), np.nan)


def confusion(
    first: Sequence[Hashable], second: Sequence[Hashable], labels: Sequence[Hashable] | None = None
) -> NDArray[np.int64]:
    """How often each label of the first rater (rows) met each of the second (columns)."""
    check_lengths(labels_of_the_first=first, labels_of_the_second=second)
    known = in_order([*first, *second]) if labels is None else list(labels)
    number = {label: i for i, label in enumerate(known)}
    try:
        a, b = (np.array([number[label] for label in side], dtype=np.int64) for side in (first, second))
    except KeyError as e:
        told = ", ".join(map(str, known))
        raise UserError(f"the label {e.args[0]!r} is not among the given ones: {told}", remedy="add it") from e
    counts: NDArray[np.int64] = np.bincount(a * len(known) + b, minlength=len(known) ** 2)
    return counts.reshape(len(known), len(known))


def in_order(labels: Sequence[Hashable]) -> list[Hashable]:
    """The different labels: numbers by size, others by their text. Raises UserError on more than `MOST`."""
    different = set(labels)
    if len(different) > MOST:
        raise UserError(f"{len(different)} different labels, more than {MOST}", remedy="are these labels?")
    if are_numbers(different):
        return sorted(different)  # type: ignore[type-var]
    return sorted(different, key=str)


def are_numbers(labels: set[Hashable]) -> bool:
    """Whether all labels are numbers, so that their order is known."""
    return all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels)
