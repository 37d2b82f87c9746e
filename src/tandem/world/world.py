"""A made-up world: its entities, its facts, and how often each fact is mentioned.

`World.make(seed, facts)` keeps facts as columns and hands out `Fact` and `Entity` objects when asked, so ten million
facts fit in memory. Everything is a function of the seed and the size.

What this does not do: put facts into words (`templates`), or ask about them (`questions`, `choices`, `tasks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from tandem.errors import UserError
from tandem.world import names
from tandem.world.history import CONTRADICTED, CURRENT, OUTDATED, Census, Columns, columns
from tandem.world.noise import I64, below, draw, permutation
from tandem.world.schema import KINDS, NUMBER, RELATIONS, STATUSES, TERMS, Entity, Fact, Kind

MECHANISM = "mechanism"
"""The label of every result measured on a made-up world: it shows a mechanism, and reproduces no published figure."""
VERSION = 2
"""Grows whenever the same seed would give other bytes."""
FEWEST, MOST = 100, 10_000_000
"""Sizes a world may have, in facts."""
MENTIONS = 2.4
"""Mean number of times a fact is mentioned, before false claims are held back."""


@dataclass(frozen=True, eq=False)
class _View(Sequence["Fact"]):
    """The facts of a world as objects made on demand."""

    world: World

    def __len__(self) -> int:
        return len(self.world.columns)

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fact]: ...
    def __getitem__(self, index: int | slice) -> Fact | Sequence[Fact]:
        if isinstance(index, slice):
            return [self.world.fact(i) for i in range(*index.indices(len(self)))]
        return self.world.fact(range(len(self))[index])

    def __iter__(self) -> Iterator[Fact]:
        for start in range(0, len(self), 1 << 16):
            yield from self.world.fact_block(start, min(start + (1 << 16), len(self)))


@dataclass(frozen=True, eq=False)
class World:
    """People, places, organisations and works, and the facts between them. Make one with `World.make`."""

    seed: int
    """What it is drawn from."""
    census: Census
    """Entities per kind."""
    columns: Columns
    """Facts by column, for views that need speed."""

    @staticmethod
    def make(seed: int, facts: int = 20_000) -> World:
        """The world of a seed, with exactly `facts` facts, false claims included.

        Raises UserError for a seed that is negative or too large, and for a size outside 100 … 10,000,000.
        """
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 63:
            raise UserError(
                f"a world cannot be made from seed {seed!r}", where="seed", remedy="give a whole number ≥ 0"
            )
        if isinstance(facts, bool) or not isinstance(facts, int) or not FEWEST <= facts <= MOST:
            remedy = f"give a whole number between {FEWEST} and {MOST:,}"
            raise UserError(f"a world cannot have {facts!r} facts", where="facts", remedy=remedy)
        census = Census.of(facts)
        return World(seed, census, columns(seed, facts, census))

    # ── Entities ────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def names(self) -> list[str]:
        """Names of all entities by number."""
        c = self.census.counts
        return [
            *(f"{given} {family}" for given, family in self._people),
            *names.towns(self.seed, c["town"]),
            *names.countries(self.seed, c["country"]),
            *(f"{stem} {word}" for stem, word in self._organisations),
            *(f"The {stem} {word}" for stem, word in names.works(self.seed, c["work"])),
        ]

    @cached_property
    def _people(self) -> list[tuple[str, str]]:
        return names.people(self.seed, self.census.counts["person"])

    @cached_property
    def _organisations(self) -> list[tuple[str, str]]:
        return names.organisations(self.seed, self.census.counts["school"], self.census.counts["company"])

    @cached_property
    def _shared(self) -> Counter[str]:
        """How many entities each candidate for an alias fits."""
        fits = Counter(f"{given[0]}. {family}" for given, family in self._people)
        fits.update(family for _, family in self._people)
        fits.update(stem for stem, _ in self._organisations)
        return fits

    @cached_property
    def _firsts(self) -> I64:
        return np.array([self.census.first(kind) for kind in KINDS])

    def kind(self, entity: int) -> Kind:
        """Kind of the entity with this number."""
        return KINDS[int(np.searchsorted(self._firsts, entity, side="right")) - 1]

    def numbers(self, kind: Kind) -> range:
        """Entity numbers of a kind."""
        first = self.census.first(kind)
        return range(first, first + self.census.counts[kind])

    def aliases(self, entity: int) -> tuple[str, ...]:
        """Other names that mean this entity only: `T. Kelmard`, `Kelmard`, `Sorun`, a title without its article."""
        kind = self.kind(entity)
        if kind == "person":
            given, family = self._people[entity]
            return tuple(a for a in (f"{given[0]}. {family}", family) if self._shared[a] == 1)
        if kind in ("school", "company"):
            stem, _ = self._organisations[entity - self.census.first("school")]
            return (stem,) if self._shared[stem] == 1 else ()
        return (self.names[entity].removeprefix("The "),) if kind == "work" else ()

    def short(self, entity: int) -> str:
        """How a passage that has named the entity goes on: the family name, `the town`, `the school`."""
        kind = self.kind(entity)
        return self._people[entity][1] if kind == "person" else f"the {kind}"

    def entity(self, number: int) -> Entity:
        """The entity with this number."""
        return Entity(f"e{number:07d}", self.kind(number), self.names[number], self.aliases(number))

    @property
    def entities(self) -> Iterator[Entity]:
        """All entities in order."""
        return (self.entity(i) for i in range(self.census.total))

    # ── Facts ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def facts(self) -> Sequence[Fact]:
        """All facts in order, sorted by subject."""
        return _View(self)

    def fact(self, number: int) -> Fact:
        """The fact with this number."""
        return next(self.fact_block(number, number + 1))

    def fact_block(self, start: int, stop: int) -> Iterator[Fact]:
        """Facts `start` … `stop` − 1."""
        c = self.columns
        rows = zip(*(getattr(c, f)[start:stop].tolist() for f in Columns.__dataclass_fields__), strict=True)
        for number, (subject, relation, object_, since, until, status) in enumerate(rows, start):
            value = f"e{object_:07d}" if RELATIONS[relation].to_entity else self.value(relation, object_)
            yield Fact(
                f"f{number:07d}", f"e{subject:07d}", RELATIONS[relation].name, value,
                since or None, until or None, STATUSES[status],
            )  # fmt: skip

    def value(self, relation: int, object_: int) -> str:
        """The object of a relation in words: a name, a year or a term."""
        kind = RELATIONS[relation].range[0]
        if RELATIONS[relation].to_entity:
            return self.names[object_]
        return TERMS[kind][object_] if kind in TERMS else str(object_)

    def object_text(self, fact: int) -> str:
        """The object of a fact in words."""
        return self.value(int(self.columns.relation[fact]), int(self.columns.object[fact]))

    @cached_property
    def _bounds(self) -> I64:
        return np.searchsorted(self.columns.subject, np.arange(self.census.total + 1))

    def facts_of(self, entity: int) -> range:
        """Numbers of the facts whose subject is this entity."""
        return range(int(self._bounds[entity]), int(self._bounds[entity + 1]))

    def holding(self, relation: str) -> I64:
        """Numbers of the facts of a relation that hold now."""
        return self._facts_by_status[CURRENT][NUMBER[relation]]

    def ended(self, relation: str) -> I64:
        """Numbers of the facts of a relation that have ended."""
        return self._facts_by_status[OUTDATED][NUMBER[relation]]

    @cached_property
    def _facts_by_status(self) -> list[list[I64]]:
        c, relations = self.columns, range(len(RELATIONS))
        return [[np.flatnonzero((c.relation == r) & (c.status == status)) for r in relations] for status in range(2)]

    # ── Mentions ────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def mentions(self) -> I64:
        """How often the passages mention each fact.

        An entity's popularity falls with the power −3/4 of its rank (Zipf 1949; a power whose value needs square roots
        only, which every platform rounds alike); its facts vary around it by a factor between ½ and 1½, rounded at
        random. False claims are mentioned at most twice.
        """
        rank = 1.0 + permutation(self.seed, "popularity", self.census.total)
        root = np.sqrt(np.sqrt(rank))
        whole = np.sqrt(np.sqrt(float(self.census.total)))
        popularity = (MENTIONS / 4.0) * ((whole / root) * (whole / root) * (whole / root))
        bits = draw(self.seed, "mentions", np.arange(len(self.columns)))
        factor = (below(bits, 1 << 20) + (1 << 19)) / float(1 << 20)
        fraction = below(bits << np.uint64(32), 1 << 20) / float(1 << 20)
        counts: I64 = np.floor(popularity[self.columns.subject] * factor + fraction).astype(np.int64)
        counts[self.columns.status == CONTRADICTED] = np.minimum(counts[self.columns.status == CONTRADICTED], 2)
        return counts
