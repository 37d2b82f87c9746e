"""Different relational schemas for the same facts, so that some can be held out.

Three layouts:

    normalised   a table for each kind of thing, keyed by number; a column for each relation without dates;
                 a table for each relation that begins and ends
    wide         keyed by name, without any numbers: all current facts as columns; a table for each history
    tall         a table for each relation, of two columns or four

Schemas 0, 1 and 2 are the layouts in plain names; from 3 on the layouts come again with tables and columns renamed by
the seed. Schools and companies share a table, as they share relations (who works for one); its column `kind` tells
them apart. What this does not do: rows (`tables`), queries (`sql`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tandem.types import Schema
from tandem.world.noise import Draws
from tandem.world.schema import RELATION, RELATIONS, Relation
from tandem.world.world import World

Group: TypeAlias = Literal["person", "town", "country", "organisation", "work"]
GROUPS: tuple[Group, ...] = ("person", "town", "country", "organisation", "work")
"""Kinds of things that have a table of their own."""
GROUP: dict[str, Group] = {
    "person": "person", "town": "town", "country": "country",
    "school": "organisation", "company": "organisation", "work": "work",
}  # fmt: skip
"""The group of each kind."""
LAYOUTS = ("normalised", "wide", "tall")
_TABLES: dict[str, tuple[str, ...]] = {
    "person": ("person", "people", "individual", "inhabitant"),
    "town": ("town", "towns", "municipality", "settlement"),
    "country": ("country", "countries", "nation", "state"),
    "organisation": ("organisation", "organisations", "institution", "body"),
    "work": ("work", "works", "creation", "piece"),
    "alias": ("alias", "aliases", "other_name", "nickname"),
    "lives_in": ("residence", "homes", "dwelling", "stays"),
    "works_for": ("employment", "jobs", "post", "engagement"),
    "married_to": ("marriage", "couples", "wedding", "partners"),
    "headed_by": ("leadership", "heads", "directorship", "management"),
}
_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "code", "uid", "nr"),
    "name": ("name", "full_name", "label", "known_as"),
    "alias": ("alias", "other_name", "also", "short_name"),
    "kind": ("kind", "sort", "category", "class"),
    "since": ("since", "start_year", "first_year", "began"),
    "until": ("until", "end_year", "last_year", "ended"),
    "born_in": ("birthplace", "native_town", "place_of_birth", "born_at"),
    "born_year": ("birth_year", "born", "year_of_birth", "birth"),
    "occupation": ("occupation", "profession", "trade", "craft"),
    "died_year": ("death_year", "died", "year_of_death", "death"),
    "lives_in": ("home", "lives_at", "home_town", "dwells_at"),
    "works_for": ("employer", "works_at", "workplace", "hired_by"),
    "married_to": ("spouse", "partner", "wed_to", "married_with"),
    "studied_at": ("school", "taught_at", "alma_mater", "educated_at"),
    "lies_in": ("country", "nation", "belongs_to", "land"),
    "settled_year": ("settled_year", "settled", "year_of_settlement", "first_houses"),
    "capital": ("capital", "chief_town", "capital_town", "governed_at"),
    "founded_by": ("founder", "started_by", "founding_person", "set_up_by"),
    "founded_year": ("founding_year", "founded", "year_of_founding", "established"),
    "seat": ("seat", "based_at", "main_town", "located_at"),
    "headed_by": ("head", "director", "led_by", "chief"),
    "written_by": ("author", "writer", "penned_by", "creator"),
    "published_year": ("publication_year", "published", "year_of_publication", "issued"),
    "genre": ("genre", "form", "sort_of_work", "type"),
    "set_in": ("scene", "takes_place_at", "setting", "located_in"),
}
"""Names to choose from; the first are the plain ones. No two relations of one subject share a name."""


@dataclass(frozen=True)
class Place:
    """Where the facts of a relation stand."""

    table: str
    """Its table."""
    subject: str
    """Column of the subject's key."""
    object: str
    """Column of the object: a key, a year or a word."""
    since: str = ""
    """Column of the year it began; empty where there is none."""
    until: str = ""
    """Column of the year it ended, NULL while it lasts."""


@dataclass(frozen=True)
class Things:
    """Where the things of a group stand."""

    table: str
    """Its table."""
    key: str
    """Column that other tables refer to: a number, or the name itself."""
    name: str
    """Column of the name."""


@dataclass(frozen=True)
class TableSchema:
    """One way to write the facts as tables. Make one with `table_schema`."""

    name: str
    """Layout, and a number for renamed ones."""
    layout: str
    """One of `LAYOUTS`."""
    kind: str
    """Column of the organisations' table that says `school` or `company`."""
    alias: Place
    """Where other names stand."""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns of each table, in order."""
    things: dict[Group, Things] = field(default_factory=dict)
    """Where things stand, by group."""
    current: dict[str, Place] = field(default_factory=dict)
    """Where to look for what holds now, by relation."""
    dated: dict[str, Place] = field(default_factory=dict)
    """Where to look for what held at some time, for relations with dates."""
    refers: dict[tuple[str, str], Group] = field(default_factory=dict)
    """(table, column) of keys, and whose they are."""

    @property
    def by_name(self) -> bool:
        """Whether names are the keys."""
        return self.layout == "wide"

    def describe(self) -> Schema:
        """The schema in words a model can use to write a query: each table with its columns."""
        parts = {}
        for table, columns in self.columns.items():
            shown = []
            for column in columns:
                group = self.refers.get((table, column))
                shown.append(f"{column} → {self.things[group].table}.{self.things[group].key}" if group else column)
            parts[table] = ", ".join(shown)
        return Schema(f"A SQLite database of {len(parts)} tables.", parts)


def table_schemas(world: World, n: int = 6, relations: Collection[str] = tuple(RELATION)) -> list[TableSchema]:
    """The first `n` schemas of a world, over some of the relations."""
    return [table_schema(world, number, relations) for number in range(n)]


def table_schema(world: World, number: int = 0, relations: Collection[str] = tuple(RELATION)) -> TableSchema:
    """One schema of a world; 0, 1 and 2 have plain names. Relations that are left out have no place in it."""
    layout, turn = LAYOUTS[number % len(LAYOUTS)], number // len(LAYOUTS)
    draws = Draws(world.seed, f"table names {number}")

    def chosen(options: dict[str, tuple[str, ...]]) -> dict[str, str]:
        return {what: names[draws.below(len(names)) if turn else 0] for what, names in options.items()}

    tables, columns = chosen(_TABLES), chosen(_COLUMNS)
    key = columns["name"] if layout == "wide" else columns["id"]
    made = TableSchema(
        name=f"{layout}-{turn + 1}" if turn else layout,
        layout=layout,
        kind=columns["kind"],
        alias=Place(tables["alias"], key, columns["alias"]),
    )
    _things(made, tables, columns)
    for relation in (r for r in RELATIONS if r.name in relations):
        {"normalised": _normalised, "wide": _wide, "tall": _tall}[layout](made, relation, tables, columns)
    return made


def _things(made: TableSchema, tables: dict[str, str], columns: dict[str, str]) -> None:
    for group in GROUPS:
        name = columns["name"]
        key = name if made.by_name else columns["id"]
        made.things[group] = Things(tables[group], key, name)
        made.columns[tables[group]] = (name,) if made.by_name else (key, name)
    organisation = tables["organisation"]
    made.columns[organisation] = (*made.columns[organisation], made.kind)
    made.columns[made.alias.table] = (made.alias.subject, made.alias.object)


def _normalised(made: TableSchema, relation: Relation, tables: dict[str, str], columns: dict[str, str]) -> None:
    if relation.temporal:
        _own_table(made, relation, tables[relation.name], tables, columns)
    else:
        _column(made, relation, f"{columns[relation.name]}_id" if relation.to_entity else columns[relation.name])


def _wide(made: TableSchema, relation: Relation, tables: dict[str, str], columns: dict[str, str]) -> None:
    _column(made, relation, columns[relation.name])
    if relation.temporal:
        current = made.current[relation.name]
        _own_table(made, relation, tables[relation.name], tables, columns)
        made.current[relation.name] = current


def _tall(made: TableSchema, relation: Relation, tables: dict[str, str], columns: dict[str, str]) -> None:
    group = GROUP[relation.domain[0]]
    table = tables.get(relation.name, f"{tables[group]}_{columns[relation.name]}")
    _own_table(made, relation, table, tables, columns)


def _column(made: TableSchema, relation: Relation, column: str) -> None:
    things = made.things[GROUP[relation.domain[0]]]
    made.columns[things.table] = (*made.columns[things.table], column)
    made.current[relation.name] = Place(things.table, things.key, column)
    if relation.to_entity:
        made.refers[things.table, column] = GROUP[relation.range[0]]


def _own_table(
    made: TableSchema, relation: Relation, table: str, tables: dict[str, str], columns: dict[str, str]
) -> None:
    group, end = GROUP[relation.domain[0]], "" if made.by_name else "_id"
    subject = f"{tables[group]}{end}"
    object_ = f"{columns[relation.name]}{end if relation.to_entity else ''}"
    dates: Sequence[str] = (columns["since"], columns["until"]) if relation.temporal else ()
    made.columns[table] = (subject, object_, *dates)
    made.current[relation.name] = Place(table, subject, object_, *dates)
    made.refers[table, subject] = group
    if relation.to_entity:
        made.refers[table, object_] = GROUP[relation.range[0]]
    if relation.temporal:
        made.dated[relation.name] = made.current[relation.name]
