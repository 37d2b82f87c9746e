"""Tables of files that SQL asks, in the sandbox: SQLite, DuckDB, CSV, Parquet. Servers are in `database`.

    source = TableFiles("people.csv", "cities.parquet")
    result = await source.look_up("SELECT name FROM people WHERE born < 1900", limit=10)

A row is a finding. What a model wrote runs in a confined process that can only read; an error of the query's own says
what is wrong with it. What this does not do: write queries, or join files with a server's tables.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from tandem.sandbox import QueryError, Tables
from tandem.sources import contents, failures, worded
from tandem.sources.blocking import Once, finished
from tandem.text import fingerprint
from tandem.types import Question, Result, Schema, Source

DESCRIBED = 40
"""Tables of a description."""
SAMPLED = 20
"""Tables of which rows are shown."""
SAMPLES = 3
"""Rows shown."""
_WIDEST = 300


class TableFiles:
    """See the top of this module. Opened when it is first asked."""

    language: Literal["text", "sparql", "sql"] = "sql"

    def __init__(self, *paths: str | Path, name: str = "") -> None:
        files = [Path(path) for path in paths]
        self._where = ", ".join(str(path) for path in files)
        self.name = name or f"sql:{', '.join(path.name for path in files)}"
        self._tables = Tables(files)
        self._lock = threading.Lock()
        self._ready = False
        self._description = Once(self._described)
        self.identity = fingerprint([contents.held(files), [path.name for path in files]])
        """Of the files as they are when they are named, and of their names, which tables are called by."""

    def describe(self) -> Schema:
        """Tables, columns, types, and the first rows, as far as they are few. The caller waits."""
        return self._description.known_or(lambda: finished(self._described))

    async def schema(self) -> Schema:
        """The same in an event loop, which goes on meanwhile; asked for once."""
        return await self._description.get()

    async def _described(self) -> Schema:
        with failures.named(self.name):
            await asyncio.to_thread(self._open)
            found = await self._tables.describe()
            parts = dict(list(found.parts.items())[:DESCRIBED])
            for table in list(parts)[:SAMPLED]:
                named = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
                try:
                    rows = await self._tables.query(f"SELECT * FROM {named}", rows=SAMPLES)
                except QueryError:
                    continue  # a table whose name holds a full stop, a view that fails: its columns are told
                parts[table] += samples(rows.columns, rows.rows)
            cut = f" The first {DESCRIBED} are told." if len(found.parts) > DESCRIBED else ""
            return Schema(found.summary + cut, parts)

    def about(self, question: Question) -> Source:
        """Itself: it is the same for all."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """A finding for each row. Raises QueryError for the query's own fault, SourceFailed for the source's."""
        with failures.named(self.name):
            await asyncio.to_thread(self._open)
            rows = await self._tables.query(query, rows=limit)
        found = worded.findings(rows.columns, rows.rows, source=self.name, where=self._where, query=query)
        return Result(found, rows.complete)

    @property
    def dialect(self) -> str:
        """`sqlite` or `duckdb`: what to tell a model. Opens the files."""
        self._open()
        return self._tables.dialect

    async def close(self) -> None:
        """End its processes."""
        if self._ready:
            self._ready = False
            await self._tables.__aexit__(None, None, None)

    def _open(self) -> None:
        with self._lock:
            if not self._ready:
                asyncio.run(self._tables.__aenter__())
                self._ready = True


def samples(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Some rows, in words, behind a table's columns."""
    told = [", ".join(worded.cell(value) for value in row) for row in rows]
    return f"; such as ({'), ('.join(row[:_WIDEST] for row in told)})" if told else ""
