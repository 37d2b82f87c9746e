"""Run the world's own queries on the world's own graph and tables, to know that they are right, or wrong.

In this process and unguarded: only for queries that this package wrote. What a model wrote runs in the sandbox.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import pyoxigraph

from tandem.world.passages import Mask
from tandem.world.table_schemas import TableSchema
from tandem.world.tables import write_sqlite
from tandem.world.triples import triples
from tandem.world.world import World


class Broken(ValueError):  # noqa: N818 — a named outcome
    """A query that its engine does not understand."""


class Engines:
    """The graph and the tables of a world, in memory."""

    def __init__(
        self, world: World, schemas: Sequence[TableSchema] = (), *, graph: bool = True, told: Mask | None = None
    ) -> None:
        self._store = pyoxigraph.Store()
        if graph:
            lines = "".join(triples(world, told)).encode()
            self._store.bulk_load(lines, pyoxigraph.RdfFormat.N_TRIPLES)
        self._tables = {schema.name: write_sqlite(world, schema, ":memory:", told) for schema in schemas}

    def sparql(self, query: str) -> tuple[str, ...]:
        """The first column of the answer, in words, sorted. Raises `Broken`."""
        try:
            found: Any = self._store.query(query)
            return tuple(sorted(row[0].value for row in found if row[0] is not None))
        except (SyntaxError, ValueError) as error:
            raise Broken(str(error)) from None

    def sql(self, query: str, schema: str) -> tuple[str, ...]:
        """The first column of the answer, in words, sorted, without NULL. Raises `Broken`."""
        try:
            rows = self._tables[schema].execute(query).fetchall()
        except sqlite3.Error as error:
            raise Broken(str(error)) from None
        return tuple(sorted(str(row[0]) for row in rows if row[0] is not None))

    def close(self) -> None:
        """Let go of the tables."""
        for connection in self._tables.values():
            connection.close()
