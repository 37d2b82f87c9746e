"""Does a score tell right answers from wrong ones? Two areas that have the same name and are different figures.

**AUC over coverage** (Zhao et al. 2023, Verify-and-Edit): answer only the most certain share t of the items; the mean
of the accuracy over shares t = k/s, k = 1 … s, s = min(1000, n-1), the share being ⌊n·t⌋ items, in whole numbers. It
rises with accuracy itself: a score that tells nothing gives the accuracy, not one half.

**ROC-AUC**: how often a right answer's score is above a wrong one's, ties counted half (Mann and Whitney 1947). One
half for a score that tells nothing, whatever the accuracy.

Items with the same score have no order: both figures are what their orders give on average, so none depends on the
order of the items. Intervals are bootstraps over items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.metrics.pairs import check_lengths
from tandem.metrics.resampling import percentile, resamples
from tandem.stats import Interval

Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]
SHARES = 1000
"""Most shares of the items that are looked at."""


def auc_over_coverage(scores: Numbers, right: Numbers) -> Interval:
    """Mean accuracy over coverage, 0 to 1, with its interval. `right` is 1 or 0, or anything between.

    Raises UserError on fewer than two items, on lists of different length and on a score that is not a number.
    """
    groups, right_sorted = _descending(scores, right)
    n = len(groups)
    if n < 2:
        raise UserError("accuracy over coverage needs at least two items")
    segments = min(SHARES, n - 1)
    taken = n * np.arange(1, segments + 1) // segments

    def area(counts: NDArray[np.float64]) -> float:
        # Among equal scores accuracy grows evenly on average: interpolation between the ends of each group.
        reached = np.concatenate([[0.0], np.cumsum(np.bincount(groups, weights=counts))])
        correct = np.concatenate([[0.0], np.cumsum(np.bincount(groups, weights=counts * right_sorted))])
        return float(np.mean(np.interp(taken, reached, correct) / taken))

    drawn = [area(row) for counts in resamples(n) for row in counts]
    return percentile(area(np.ones(n)), np.array(drawn), n)


def roc_auc(scores: Numbers, right: Numbers) -> Interval:
    """Area under the ROC curve with its interval. `right` is 1 or 0.

    Raises UserError where all items are right or all wrong, on lists of different length, on a verdict that is neither
    0 nor 1 and on a score that is not a number.
    """
    groups, verdict = _descending(scores, right)
    if not np.isin(verdict, (0.0, 1.0)).all():
        raise UserError("for ROC-AUC an answer is right or wrong", remedy="give 1 or 0 for each item")
    if verdict.min() == verdict.max():
        which = "right" if verdict[0] else "wrong"
        raise UserError(f"all {len(verdict)} answers are {which}: ROC-AUC compares right ones with wrong ones")

    def area(counts: NDArray[np.float64]) -> float:
        good = np.bincount(groups, weights=counts * verdict)
        bad = np.bincount(groups, weights=counts * (1 - verdict))
        pairs = good.sum() * bad.sum()
        if not pairs:
            return math.nan
        below = bad.sum() - np.cumsum(bad)
        return float((good * (below + bad / 2)).sum() / pairs)

    n = len(verdict)
    drawn = [area(row) for counts in resamples(n) for row in counts]
    return percentile(area(np.ones(n)), np.array(drawn), n)


def _descending(scores: Numbers, right: Numbers) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Items from the highest score down: the number of each one's group of equal scores, and its verdict."""
    check_lengths(scores=scores, verdicts=right)
    values, verdicts = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    for name, each in (("score", values), ("verdict", verdicts)):
        if (bad := np.flatnonzero(np.isnan(each))).size:
            raise UserError(
                f"{bad.size} of {each.size} {name}s are not a number, the first is item {bad[0] + 1}",
                remedy="leave such items out, or give them the lowest score",
            )
    order = np.lexsort((verdicts, -values))
    values = values[order]
    return np.concatenate([[0], np.cumsum(values[1:] != values[:-1])]).astype(np.intp), verdicts[order]
