"""pass@k: the chance that at least one of k samples solves a task (Chen et al. 2021, §2.1).

From n ≥ k samples of which c pass, the unbiased estimate is 1 − C(n−c, k) / C(n, k). It is computed in whole numbers
and divided once, so it is right to the last digit for any n; the published product of n − c + 1 … n is not (it gives
0.4999999999999999 for three of six). Rejected: 1 − (1 − c/n)^k, which is biased; an estimate for n < k, which
published code puts at 0 in one place and at 1 in another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tandem.errors import UserError
from tandem.stats import Interval, bootstrap, proportion

KS = (1, 10, 100)
"""The k that are usually reported, as far as there are samples."""
DRAWS = 10_000
"""Bootstrap draws over tasks."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate from `n` samples of one task, of which `c` pass.

    Raises UserError when there are fewer samples than `k`, or `c` is not in 0..n.
    """
    if k < 1:
        raise UserError(f"pass@{k} means nothing", remedy="give k of at least 1")
    if n < k:
        raise UserError(f"pass@{k} needs at least {k} samples of a task, there are {n}", remedy=f"draw {k}")
    if not 0 <= c <= n:
        raise UserError(f"{c} of {n} samples cannot pass")
    every = math.comb(n, k)
    return (every - math.comb(n - c, k)) / every


def mean_pass_at_k(counts: Sequence[tuple[int, int]], k: int, *, seed: int = 0) -> Interval:
    """Mean over tasks, each given as (samples, samples that pass), with its 95 % interval.

    The interval is a bootstrap over tasks: it says how much the figure depends on which tasks were asked, and includes
    the noise of sampling as far as tasks differ by it. Where every task is wholly solved or not at all, as with one
    sample each, it is Wilson's, which is honest at 0 and at 1; one task says nothing of others. Raises UserError as
    `pass_at_k`, and on no tasks.
    """
    if not counts:
        raise UserError(f"no tasks to take pass@{k} over")
    each = [pass_at_k(n, c, k) for n, c in counts]
    if all(value in (0.0, 1.0) for value in each):
        return proportion(round(sum(each)), len(each))
    if len(each) == 1:
        return Interval(each[0], 0.0, 1.0, 1)
    found = bootstrap(each, draws=DRAWS, seed=seed)
    return Interval(math.fsum(each) / len(each), found.low, found.high, found.n)
