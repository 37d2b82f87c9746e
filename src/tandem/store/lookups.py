"""Look-ups on record: what a named source was asked, in JSON, and what came back, or why nothing did.

    lookups   what was found            lookup_failures   what failed, until something is found

Both are readable as they are: `select source, request, result from lookups limit 5`. Functions of a connection, without
transactions of their own; what stands in `lookups` stays. What this does not do: know what stands in a request or a
result (`sources.recorded` does). Rejected: look-ups as samples of a model, which would give sources token counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tandem.store.records import Request, cell_text, text_cell
from tandem.text import canonical

_TABLE = (
    "CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, "
    "source NOT NULL, request TEXT NOT NULL, {cell} TEXT NOT NULL, at REAL NOT NULL)"
)
SCHEMA = (_TABLE.format(table="lookups", cell="result"), _TABLE.format(table="lookup_failures", cell="error"))
"""Added to files of the first format as well, which older versions go on to read."""
_CELLS = {"lookups": "result", "lookup_failures": "error"}
_FIND = {table: f"SELECT source, request, {cell}, at FROM {table} WHERE key = ?" for table, cell in _CELLS.items()}
_PAGE = {
    table: f"SELECT id, source, request, {cell}, at FROM {table} WHERE id > ? AND (? IS NULL OR source = ?) "
    "ORDER BY id LIMIT ?"
    for table, cell in _CELLS.items()
}
_KIND = "'failed: ' || coalesce(json_extract(error, '$.kind'), json_extract(error, '$.type'), '?')"
STATS = (
    "SELECT source, 'look-ups', count(*) FROM lookups GROUP BY 1 ORDER BY min(id)",
    f"SELECT source, {_KIND}, count(*) FROM lookup_failures GROUP BY 1, 2 ORDER BY min(id)",
)
"""(source, what, how many) rows."""


@dataclass(frozen=True)
class Lookup:
    """One question to a source and its outcome."""

    request: Request
    """What was asked; its name is the source's."""
    result: Mapping[str, Any] | None
    """What came back, as JSON; None when it failed."""
    error: Mapping[str, Any] | None
    """Why nothing came back, as JSON; None when something did."""
    at: float
    """When, seconds since the epoch."""

    @property
    def answered(self) -> bool:
        """Whether something came back, be it that nothing was found."""
        return self.result is not None


def present(c: sqlite3.Connection) -> bool:
    """Whether a file has the tables; one of an older version that was never written since has not."""
    return c.execute("SELECT 1 FROM sqlite_master WHERE name = 'lookups'").fetchone() is not None


def find(c: sqlite3.Connection, request: Request, *, failures_after: int) -> Lookup | None:
    """The look-up on record, a result before a failure; failures only of rows after an id."""
    row = c.execute(_FIND["lookups"], (request.key,)).fetchone()
    if row is not None:
        return _lookup("lookups", row)
    row = c.execute(_FIND["lookup_failures"] + " AND id > ?", (request.key, failures_after)).fetchone()
    return None if row is None else _lookup("lookup_failures", row)


def put(c: sqlite3.Connection, lookup: Lookup) -> Lookup:
    """Record a look-up and return what stands: a result that was there before, or this one."""
    standing = c.execute(_FIND["lookups"], (lookup.request.key,)).fetchone()
    if standing is not None:
        return _lookup("lookups", standing)
    table = "lookups" if lookup.answered else "lookup_failures"
    how = "INSERT" if lookup.answered else "INSERT OR REPLACE"
    request = lookup.request
    told = canonical(lookup.result if lookup.answered else lookup.error).decode()
    cells = (request.key, text_cell(request.name), request.body, told, lookup.at)
    c.execute(f"{how} INTO {table} (key, source, request, {_CELLS[table]}, at) VALUES (?, ?, ?, ?, ?)", cells)
    if lookup.answered:
        c.execute("DELETE FROM lookup_failures WHERE key = ?", (request.key,))
    return lookup


def add(c: sqlite3.Connection, lookup: Lookup) -> bool:
    """Take over a look-up of another file; whether it is new here. A failure never replaces what stands."""
    if not lookup.answered and find(c, lookup.request, failures_after=0) is not None:
        return False
    return put(c, lookup) is lookup


def page(c: sqlite3.Connection, table: str, after: int, source: str | None, most: int) -> list[tuple[int, Lookup]]:
    """Look-ups of a table behind a row, in order of arrival, each with its row."""
    wanted = None if source is None else text_cell(source)
    rows = c.execute(_PAGE[table], (after, wanted, wanted, most)).fetchall() if present(c) else []
    return [(row[0], _lookup(table, row[1:])) for row in rows]


def sources(c: sqlite3.Connection) -> tuple[str, ...]:
    """All sources that were asked, in order of appearance."""
    if not present(c):
        return ()
    query = "SELECT source FROM (SELECT source, at FROM lookups UNION ALL SELECT source, at FROM lookup_failures) "
    return tuple(cell_text(name) for (name,) in c.execute(query + "GROUP BY source ORDER BY min(at), source"))


def _lookup(table: str, row: tuple[Any, ...]) -> Lookup:
    request, told = Request(cell_text(row[0]), row[1]), json.loads(row[2])
    return Lookup(request, told, None, row[3]) if table == "lookups" else Lookup(request, None, told, row[3])
