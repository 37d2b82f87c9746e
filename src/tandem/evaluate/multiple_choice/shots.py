"""Few-shot examples: the first of a file, or drawn for each item as lm-evaluation-harness draws them.

Drawn: one generator for a task, seeded once; each item in turn takes n examples without repeats (n + 1 where the pool
may hold the item itself, which is then left out). So the first items of a task get the same examples whatever its
limit, and another order of the pool's file gives other examples.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tandem.errors import UserError

SEED = 1234
"""The harness's default."""


def first(groups: Sequence[str], pool: Sequence[str], n: int, *, file: str) -> list[tuple[int, ...]]:
    """For items of these groups the first n of the pool in the same group, as places in the pool.

    Raises UserError on a group with fewer.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(pool):
        places[group].append(place)
    for group in dict.fromkeys(groups):
        if len(places[group]) < n:
            which = f" of {group}" if group else ""
            raise UserError(
                f"{n} examples{which} were asked for, there are {len(places[group])}",
                where=file,
                remedy="ask for fewer with --shots",
            )
    return [tuple(places[group][:n]) for group in groups]


def drawn(
    items: Sequence[Mapping[str, Any]], pool: Sequence[Mapping[str, Any]], n: int, *, spare: bool, file: str
) -> list[tuple[int, ...]]:
    """For each item n places in the pool. With `spare` rows that equal the item are left out.

    Raises UserError on a pool that is too small.
    """
    if len(pool) < n + spare:
        raise UserError(
            f"{n} examples are drawn from at least {n + spare}, there are {len(pool)}",
            where=file,
            remedy="ask for fewer with --shots",
        )
    chance = random.Random(SEED)
    found = []
    for item in items:
        places = chance.sample(range(len(pool)), n + spare)
        if spare:
            others = [place for place in places if pool[place] != item][:n]
            if len(others) < n:  # the pool holds the item more than once
                rest = [place for place in range(len(pool)) if pool[place] != item]
                if len(rest) < n:
                    raise UserError(f"fewer than {n} rows differ from an item", where=file, remedy="ask for fewer")
                others = chance.sample(rest, n)
            places = others
        found.append(tuple(places))
    return found
