"""What a world is made of: kinds of things, relations between them, facts.

The fact model is the one every view shares: an entity has a kind and a name, a relation has a domain and a range, a
fact says that a relation holds between a subject and an object, since and until when, and whether it is true. Tables,
graphs or claims can be made of it without further knowledge. How a fact is worded is not said here (`templates`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["person", "town", "country", "school", "company", "work"]
Category: TypeAlias = Literal["person", "place", "organisation", "work"]
Status: TypeAlias = Literal["current", "outdated", "contradicted"]

KINDS: tuple[Kind, ...] = ("person", "town", "country", "school", "company", "work")
"""Order of the kinds; entities are numbered kind by kind."""
CATEGORIES: dict[Kind, Category] = {
    "person": "person", "town": "place", "country": "place",
    "school": "organisation", "company": "organisation", "work": "work",
}  # fmt: skip
"""The four broad kinds."""
STATUSES: tuple[Status, ...] = ("current", "outdated", "contradicted")
"""Order of the statuses in the status column."""
NOW = 2000
"""The present year of every world."""
OCCUPATIONS = ("painter", "baker", "doctor", "teacher", "farmer", "singer", "sailor", "judge")
GENRES = ("novel", "ballad", "poem", "film")
TERMS: dict[str, tuple[str, ...]] = {"occupation": OCCUPATIONS, "genre": GENRES}
"""Ranges whose values are words of a closed list."""


@dataclass(frozen=True)
class Entity:
    """A person, place, organisation or work."""

    id: str
    """`e` and seven digits."""
    kind: Kind
    """The narrow kind."""
    name: str
    """Its name; no other entity of the world has it."""
    aliases: tuple[str, ...] = ()
    """Other names that mean this entity and no other."""

    @property
    def category(self) -> Category:
        """The broad kind: person, place, organisation or work."""
        return CATEGORIES[self.kind]


@dataclass(frozen=True)
class Relation:
    """A typed relation."""

    name: str
    """Identifier, for example `born_in`."""
    domain: tuple[Kind, ...]
    """Kinds a subject may have."""
    range: tuple[str, ...]
    """Kinds an object may have, or one of `year`, `occupation`, `genre`."""
    functional: bool = True
    """True: at any time a subject has at most one true object. Every relation so far is; others may come."""
    temporal: bool = False
    """Whether its facts begin and end."""
    symmetric: bool = False
    """Whether it holds in both directions; both facts are stored."""

    @property
    def to_entity(self) -> bool:
        """Whether the object is an entity rather than a year or a word."""
        return self.range[0] in CATEGORIES


_ORGANISATION: tuple[Kind, ...] = ("school", "company")
RELATIONS: tuple[Relation, ...] = (
    Relation("born_in", ("person",), ("town",)),
    Relation("born_year", ("person",), ("year",)),
    Relation("occupation", ("person",), ("occupation",)),
    Relation("died_year", ("person",), ("year",)),
    Relation("lives_in", ("person",), ("town",), temporal=True),
    Relation("works_for", ("person",), _ORGANISATION, temporal=True),
    Relation("married_to", ("person",), ("person",), temporal=True, symmetric=True),
    Relation("studied_at", ("person",), ("school",)),
    Relation("lies_in", ("town",), ("country",)),
    Relation("settled_year", ("town",), ("year",)),
    Relation("capital", ("country",), ("town",)),
    Relation("founded_by", _ORGANISATION, ("person",)),
    Relation("founded_year", _ORGANISATION, ("year",)),
    Relation("seat", _ORGANISATION, ("town",)),
    Relation("headed_by", _ORGANISATION, ("person",), temporal=True),
    Relation("written_by", ("work",), ("person",)),
    Relation("published_year", ("work",), ("year",)),
    Relation("genre", ("work",), ("genre",)),
    Relation("set_in", ("work",), ("town",)),
)
"""All relations; a relation's number is its place here."""
RELATION: dict[str, Relation] = {r.name: r for r in RELATIONS}
NUMBER: dict[str, int] = {r.name: i for i, r in enumerate(RELATIONS)}


@dataclass(frozen=True)
class Fact:
    """One fact, or one false claim that passages repeat."""

    id: str
    """`f` and seven digits."""
    subject: str
    """Entity id."""
    relation: str
    """Name of a relation."""
    object: str
    """Entity id, or the year or word itself."""
    since: int | None = None
    """Year it began, for temporal relations."""
    until: int | None = None
    """Year it ended; None while it lasts."""
    status: Status = "current"
    """`current`: true now. `outdated`: was true from `since` until `until`. `contradicted`: never true; another fact
    with the same subject and relation is."""
