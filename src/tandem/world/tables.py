"""The facts as tables: rows of a schema, as CSV files and as one SQLite file.

Keys are numbers that mean nothing outside a database, or names; an empty CSV cell and a NULL say that nothing is told.
False claims are in no table. CSV files are the same bytes everywhere; a SQLite file is for one version of SQLite.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tandem.world.history import CONTRADICTED, CURRENT
from tandem.world.noise import I64
from tandem.world.passages import Mask
from tandem.world.schema import KINDS, NUMBER, RELATIONS
from tandem.world.table_schemas import GROUP, GROUPS, Group, TableSchema
from tandem.world.world import World

Cell: TypeAlias = int | str | None
Row: TypeAlias = tuple[Cell, ...]


def keys(world: World, schema: TableSchema) -> list[int] | list[str]:
    """What stands for each entity in the tables: its name, or its number from 1 on."""
    return world.names if schema.by_name else list(range(1, world.census.total + 1))


def tables(world: World, schema: TableSchema, told: Mask | None = None) -> Iterator[tuple[str, Iterator[Row]]]:
    """Each table of a schema with its rows, which tell the facts in `told` (else all that are no false claims)."""
    own = {group.table: name for name, group in schema.things.items()}
    dated = {place.table: name for name, place in (schema.current | schema.dated).items() if place.table not in own}
    for table in schema.columns:
        if table in own:
            yield table, _things(world, schema, own[table], told)
        elif table in dated:
            yield table, _links(world, schema, dated[table], told)
        else:
            yield table, _aliases(world, schema)


def write_csv(world: World, schema: TableSchema, folder: Path, told: Mask | None = None) -> int:
    """A CSV file for each table, its columns' names in the first line; returns the number of rows."""
    count = 0
    for table, rows in tables(world, schema, told):
        with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(schema.columns[table])
            for row in rows:
                writer.writerow(row)
                count += 1
    return count


def write_sqlite(world: World, schema: TableSchema, file: Path | str, told: Mask | None = None) -> sqlite3.Connection:
    """One SQLite file (or `:memory:`) of all tables, with an index on each key and name; returns its connection."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for table, rows in tables(world, schema, told):
        columns = schema.columns[table]
        typed = ", ".join(f"{column} {_type(schema, table, column)}" for column in columns)
        connection.execute(f"CREATE TABLE {table} ({typed})")
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
        for column in columns:
            if _indexed(schema, table, column):
                connection.execute(f"CREATE INDEX {table}_by_{column} ON {table} ({column})")
    connection.execute("COMMIT")
    return connection


def _type(schema: TableSchema, table: str, column: str) -> str:
    things = next((t for t in schema.things.values() if t.table == table), None)
    if things and column in (things.key, things.name):
        unique = "PRIMARY KEY" if column == things.key else "NOT NULL"
        return f"{'TEXT' if column == things.name else 'INTEGER'} {unique}"
    if (table, column) in schema.refers:
        group = schema.things[schema.refers[table, column]]
        return f"{'TEXT' if schema.by_name else 'INTEGER'} REFERENCES {group.table} ({group.key})"
    if table == schema.alias.table:
        return "INTEGER" if column == schema.alias.subject and not schema.by_name else "TEXT"
    for name, place in (*schema.current.items(), *schema.dated.items()):
        if place.table == table and column in (place.since, place.until):
            return "INTEGER"
        if place.table == table and column == place.object:
            return "INTEGER" if RELATIONS[NUMBER[name]].range == ("year",) else "TEXT"
    return "TEXT"


def _indexed(schema: TableSchema, table: str, column: str) -> bool:
    names = {(t.table, t.name) for t in schema.things.values() if t.name != t.key}
    return (table, column) in schema.refers or (table, column) in names or (table, column) == _alias_key(schema)


def _alias_key(schema: TableSchema) -> tuple[str, str]:
    return schema.alias.table, schema.alias.object


def _numbers(world: World, group: Group) -> range:
    kinds = [world.numbers(kind) for kind in KINDS if GROUP[kind] == group]
    return range(kinds[0].start, kinds[-1].stop)


def _chosen(world: World, relation: str, told: Mask | None, *, ended: bool) -> I64:
    """Numbers of the facts of a relation that a table tells: current ones, or with `ended` all true ones."""
    c = world.columns
    rows = (c.relation == NUMBER[relation]) & ((c.status != CONTRADICTED) if ended else (c.status == CURRENT))
    return np.flatnonzero(rows if told is None else rows & told)


def _values(world: World, schema: TableSchema, relation: str, facts: I64) -> list[Cell]:
    """The objects of facts as cells."""
    found, number = world.columns.object[facts].tolist(), NUMBER[relation]
    if RELATIONS[number].to_entity:
        key = keys(world, schema)
        return [key[o] for o in found]
    return list(found) if RELATIONS[number].range == ("year",) else [world.value(number, o) for o in found]


def _things(world: World, schema: TableSchema, group: Group, told: Mask | None) -> Iterator[Row]:
    things, numbers = schema.things[group], _numbers(world, group)
    columns: list[list[Cell]] = [list(world.names[numbers.start : numbers.stop])]
    if not schema.by_name:
        columns.insert(0, list(keys(world, schema)[numbers.start : numbers.stop]))
    if group == "organisation":
        columns.append([world.kind(n) for n in numbers])
    for relation, place in schema.current.items():
        if place.table != things.table:
            continue
        facts = _chosen(world, relation, told, ended=False)
        column: list[Cell] = [None] * len(numbers)
        subjects = (world.columns.subject[facts] - numbers.start).tolist()
        for subject, value in zip(subjects, _values(world, schema, relation, facts), strict=True):
            column[subject] = value
        columns.append(column)
    return zip(*columns, strict=True)


def _links(world: World, schema: TableSchema, relation: str, told: Mask | None) -> Iterator[Row]:
    c, key = world.columns, keys(world, schema)
    temporal = RELATIONS[NUMBER[relation]].temporal
    facts = _chosen(world, relation, told, ended=temporal)
    columns: list[list[Cell]] = [
        [key[s] for s in c.subject[facts].tolist()],
        _values(world, schema, relation, facts),
    ]
    if temporal:
        columns += [c.since[facts].tolist(), [year or None for year in c.until[facts].tolist()]]
    return zip(*columns, strict=True)


def _aliases(world: World, schema: TableSchema) -> Iterator[Row]:
    key = keys(world, schema)
    return ((key[n], alias) for group in GROUPS for n in _numbers(world, group) for alias in world.aliases(n))
