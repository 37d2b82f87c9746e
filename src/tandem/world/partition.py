"""Which source tells which fact: passages, triples or tables, so that no single one of them answers a question.

Facts that follow from each other stay together. Such a *unit* is a subject and a relation with all that was or is
falsely said of it; both directions of a symmetric relation; a capital and the country its town lies in. A world is
divided by relation (all birthplaces in one source) or by fact (each unit drawn for itself).

What this does not do: hide a name. Every source knows all entities; only facts are divided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tandem.errors import UserError
from tandem.world.noise import I64, below, draw, permutation
from tandem.world.passages import Mask
from tandem.world.schema import NUMBER, RELATIONS
from tandem.world.world import World

Source: TypeAlias = Literal["passages", "triples", "tables"]
SOURCES: tuple[Source, ...] = ("passages", "triples", "tables")
"""Order of the sources in a partition's numbers."""
By: TypeAlias = Literal["relation", "fact"]
_TOGETHER = {"capital": "lies_in"}
"""Relations whose facts tell those of another one about their object."""


def units(world: World) -> I64:
    """For each fact the number of its unit: facts of one number tell of each other."""
    c = world.columns
    subject, relation = c.subject.copy(), c.relation.copy()
    for number, r in enumerate(RELATIONS):
        rows = c.relation == number
        if r.symmetric:
            subject[rows] = np.minimum(c.subject[rows], c.object[rows])
        elif r.name in _TOGETHER:
            subject[rows], relation[rows] = c.object[rows], NUMBER[_TOGETHER[r.name]]
    return subject * len(RELATIONS) + relation


def mentioned(world: World) -> Mask:
    """For each fact whether passages mention it or another fact of its unit."""
    unit = units(world)
    return np.isin(unit, unit[world.mentions > 0])


@dataclass(frozen=True, eq=False)
class Partition:
    """The facts of a world, each in one source. Make one with `Partition.of`."""

    by: By
    """Whether whole relations were divided, or single units."""
    source: I64
    """For each fact the place of its source in `SOURCES`."""

    @staticmethod
    def of(world: World, by: By = "fact", seed: int = 0) -> Partition:
        """The partition of a world that a seed gives.

        By fact, what no passage mentions is in triples or tables. Raises UserError for another way than the two.
        """
        if by not in ("relation", "fact"):
            raise UserError(f"facts are not divided by {by!r}", where="by", remedy="choose `relation` or `fact`")
        if by == "relation":
            free = [NUMBER[r.name] for r in RELATIONS if r.name not in _TOGETHER]
            place = np.zeros(len(RELATIONS), np.int64)
            for turn, chosen in enumerate(permutation(world.seed, f"relations to sources {seed}", len(free)).tolist()):
                place[free[chosen]] = turn % len(SOURCES)
            for name, other in _TOGETHER.items():
                place[NUMBER[name]] = place[NUMBER[other]]
            return Partition(by, place[world.columns.relation])
        unit = units(world)
        bits = draw(world.seed, f"facts to sources {seed}", unit)
        source = below(bits, len(SOURCES))
        silent = (source == 0) & ~mentioned(world)
        source[silent] = 1 + below(bits[silent] << np.uint64(32), len(SOURCES) - 1)
        return Partition(by, source)

    def told(self, source: Source) -> Mask:
        """For each fact whether this source tells it."""
        mask: Mask = self.source == SOURCES.index(source)
        return mask
