"""Which of several systems is better on the same items, and could it be chance?

Each system's share of right answers gets Wilson's interval; two systems are compared on the items where they differ
(McNemar 1947, exact binomial form), and the difference gets a paired bootstrap.

What this does not do: correct for many comparisons, or compare runs item by item (`compare` does). Comparing two
intervals by eye was rejected as a test: it ignores that both systems answered the same items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tandem.errors import UserError
from tandem.evaluate.perplexity import figure
from tandem.results import Table
from tandem.stats import Interval, bootstrap, proportion


@dataclass(frozen=True)
class Paired:
    """One system against another on the same items."""

    system: str
    """The one asked about."""
    other: str
    """The one it is compared with."""
    difference: Interval
    """Its share of right answers minus the other's; paired bootstrap."""
    only_system: int
    """Items it alone has right."""
    only_other: int
    """Items the other alone has right."""
    p: float
    """Two-sided exact McNemar test: probability of a split at least as uneven when both are equally good."""
    apart: bool
    """Whether the two systems' own 95 % intervals do not overlap."""


def compare(system: str, right: Mapping[str, bool], other: str, right_other: Mapping[str, bool]) -> Paired:
    """Compare two systems' verdicts by item id. Raises UserError unless both answered the same items."""
    _same_items({system: right, other: right_other})
    ids = sorted(right)
    x = np.array([right[i] for i in ids], dtype=np.float64) - np.array([right_other[i] for i in ids], dtype=np.float64)
    first, second = only(right, right_other), only(right_other, right)
    a, b = accuracy(right), accuracy(right_other)
    return Paired(
        system,
        other,
        bootstrap(x.tolist()),
        first,
        second,
        mcnemar(first, second),
        a.low > b.high or b.low > a.high,
    )


def only(right: Mapping[str, bool], other: Mapping[str, bool]) -> int:
    """Items right in the first and wrong in the second."""
    return sum(ok and not other[i] for i, ok in right.items())


def accuracy(right: Mapping[str, bool]) -> Interval:
    """Share of right answers with Wilson's interval."""
    return proportion(sum(right.values()), len(right))


def mcnemar(b: int, c: int) -> float:
    """Two-sided exact p-value of b against c discordant pairs: binomial with probability one half.

    Counted in whole numbers and divided once, so it is right to the last digit.
    """
    n, k = b + c, min(b, c)
    if b == c:
        return 1.0
    ways = total = 1
    for i in range(k):
        ways = ways * (n - i) // (i + 1)
        total += ways
    return 2 * total / (1 << n)


def table(
    systems: Mapping[str, Mapping[str, bool]],
    groups: Mapping[str, Iterable[str]],
    reference: str,
    *,
    title: str = "Systems compared",
    chance: float | None = None,
) -> Table:
    """One row per group of item ids and system: share right, and the test against `reference`.

    `systems` maps a name to its verdicts by item id. Raises UserError unless all systems answered the same items.
    """
    _same_items(systems)
    if reference not in systems:
        raise UserError(f"no system named {reference!r} to compare with", remedy=f"known: {', '.join(systems)}")
    rows = []
    for group, members in groups.items():
        ids: Sequence[str] = list(members)
        if not ids:
            continue
        base = {i: systems[reference][i] for i in ids}
        for name, right in systems.items():
            here = {i: right[i] for i in ids}
            pair = None if name == reference else compare(reference, base, name, here)
            rows.append(
                (
                    group,
                    name,
                    figure("right", accuracy(here), "%", chance),
                    figure(f"{reference} minus {name}", pair.difference, "%") if pair else None,
                    pair.p if pair else None,
                    len(ids),
                )
            )
    return Table(
        title,
        ("items", "system", "right", f"{reference} is ahead by", "p", "n"),
        tuple(rows),
        note="95 % intervals: Wilson for shares, paired bootstrap for differences; p: exact McNemar test against "
        f"{reference}, two-sided, not corrected for the number of comparisons.",
    )


def _same_items(systems: Mapping[str, Mapping[str, bool]]) -> None:
    names = list(systems)
    for name in names[1:]:
        odd = sorted(set(systems[names[0]]) ^ set(systems[name]))
        if odd:
            raise UserError(
                f"{names[0]} and {name} answered different items, {odd[0]!r} among {len(odd)}",
                remedy="evaluate both on the same items",
            )
    if not systems or not systems[names[0]]:
        raise UserError("no items to compare on")
