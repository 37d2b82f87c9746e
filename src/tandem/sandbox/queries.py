"""Ask tables and graphs what a model wrote, in confined children that can only read.

    async with Tables("data.db") as tables:
        rows = await tables.query("SELECT name FROM people WHERE born < 1900")
    async with Graph("facts.ttl") as graph:
        rows = await graph.query("SELECT ?s { ?s a <http://example.org/Person> }")

A query runs in a fork of a warm process, under every layer of the sandbox besides the engine's own guards; what comes
back is plain data. Nothing it does can outlive it. Rows come in the query's own order and are never cut inside. There
is no network, so no remote endpoint and no SERVICE; changes are not a mode that can be switched on.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tandem.errors import Failure, UserError
from tandem.sandbox import datasets, layers
from tandem.sandbox.limits import MIB, Limits
from tandem.sandbox.pool import Sandbox
from tandem.sandbox.rows import QueryTimeout, QueryTooLarge, Rows, read
from tandem.sandbox.warm import Ended
from tandem.types import Schema

LIMITS = Limits(cpu=10, wall=30, memory=1024 * MIB, output=4 * MIB, scratch=MIB, threads=16)
"""What one query may take unless it is told otherwise."""
LONGEST_QUERY = 256 << 10
"""Bytes of a query's text."""
_MESSAGE = 16 << 10
"""Bytes kept for what a message says besides its rows."""


class _Asked(ABC):
    """A data set, the warm processes that hold it, and one way to ask."""

    guards: ClassVar[frozenset[str]]
    """The engine's own guards, which `off` can switch off besides the sandbox's layers, to show what they guard."""
    _what: ClassVar[str]

    def __init__(
        self,
        data: str | Path | Sequence[str | Path],
        *,
        limits: Limits = LIMITS,
        workers: int | None = None,
        off: Iterable[str] = (),
    ) -> None:
        self.limits = limits
        self._data = [Path(data)] if isinstance(data, str | Path) else [Path(p) for p in data]
        self._workers = workers
        self._off = frozenset(off)
        for name in self._off - self.guards - layers.ALL.keys():
            known = ", ".join(sorted(self.guards) + list(layers.ALL))
            raise UserError(f"{name!r} is not a guard", where=self._what, remedy=f"guards are {known}")
        self._sandbox: Sandbox | None = None
        self._dataset: datasets.Dataset | None = None
        self._copies = ""

    async def query(self, text: str, rows: int = 1000) -> Rows:
        """At most `rows` rows for a query; none is an answer.

        Raises `QueryInvalid`, `QueryRefused`, `QueryTimeout`, `QueryTooLarge` for what the query is; `Failure` when
        the data set or the sandbox fails.
        """
        if rows < 0:
            raise UserError(f"a number of rows cannot be {rows}", where=self._what)
        if len(text) > LONGEST_QUERY:
            raise QueryTooLarge(
                f"a query may have {LONGEST_QUERY:,} characters, this has {len(text):,}", where=self._what
            )
        return await self._ask({"query": text, "rows": rows})

    async def describe(self) -> Schema:
        """What there is to ask for, in words for a prompt."""
        found = await self._ask({"describe": True, "rows": 10_000})
        parts = {str(name): str(text) for name, text in found.rows}
        return Schema(self._summary(parts) + ("" if found.complete else " The list is not complete."), parts)

    @abstractmethod
    def _summary(self, parts: dict[str, str]) -> str:
        """One or two sentences in front of the parts."""

    @abstractmethod
    def _find(self, copies: Path) -> datasets.Dataset:
        """What the given paths hold, made ready for the engine."""

    async def _ask(self, request: dict[str, Any]) -> Rows:
        sandbox, dataset = self._sandbox, self._dataset
        if sandbox is None or dataset is None:
            raise Failure("it is not open", where=self._what, remedy=f"async with {type(self).__name__}(…)")
        held = self.limits
        request |= {"bytes": held.output - _MESSAGE, "cpu": held.cpu, "wall": held.wall, "memory": held.memory}
        self._still(dataset)
        ended = await sandbox.play(dataset.role, json.dumps(request))
        self._still(dataset)
        return self._read(ended, dataset.where)

    def _still(self, dataset: datasets.Dataset) -> None:
        """Data that is read in place must stay as it is, or an answer is of neither state."""
        if dataset.changed():
            raise Failure("the data has changed since it was opened", where=dataset.where, remedy="open it again")

    def _read(self, ended: Ended, where: str) -> Rows:
        (process,) = ended.told["children"]
        stopped, code, message = ended.told["stopped"], process["code"], ended.outputs[0]
        if not ended.told["confined"]:
            raise Failure("a run could not be confined", where="sandbox", remedy="tandem sandbox doctor")
        if message and not stopped and code == 0 and not ended.dropped:
            return read(message, where, ended.told["wall"])
        held = self.limits
        if stopped in ("cpu", "wall") or (code < 0 and process["cpu"] >= held.cpu):
            raise QueryTimeout(
                f"the query took more than {held.cpu:g} s of processor time or {held.wall:g} s", where=where
            )
        if code < 0 or stopped:
            why = f"signal {-code}" if not stopped else f"its {stopped} limit"
            raise QueryTooLarge(f"the query ended the engine ({why}): too much memory or nesting", where=where)
        raise Failure(f"a run ended with status {code} and no answer", where=where)

    def _open(self) -> None:
        self._copies = tempfile.mkdtemp(prefix="tandem-data-")
        try:
            self._dataset = self._find(Path(self._copies))
            given = self._dataset.settings | {"memory": self.limits.memory, "off": sorted(self._off & self.guards)}
            self._sandbox = Sandbox(
                workers=self._workers,
                limits=self.limits,
                off=self._off & layers.ALL.keys(),
                required=() if self._off & layers.ALL.keys() else None,
                readable=self._dataset.readable,
                preload=(self._dataset.role,),
                large=(),
                prepare=[{"module": self._dataset.role, "with": given}],
            )
            self._sandbox.layers()
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
        shutil.rmtree(self._copies, ignore_errors=True)

    async def __aenter__(self) -> Any:
        await asyncio.to_thread(self._open)
        try:
            await self._ask({"check": True, "rows": 0})
        except BaseException:
            await asyncio.to_thread(self._close)
            raise
        return self

    async def __aexit__(self, *details: object) -> None:
        if self._sandbox is not None:
            await self._sandbox.__aexit__(*details)
            self._sandbox = None
        await asyncio.to_thread(self._close)


class Tables(_Asked):
    """Tables that SQL can ask: a SQLite file, a DuckDB file, or CSV, Parquet and JSON files, a table each.

    Raises `UserError` for a file that cannot be used, at the start.
    """

    guards = frozenset({"read-only", "authorizer", "limits", "tree", "configuration", "interrupt"})
    _what = "tables"

    @property
    def dialect(self) -> str:
        """`sqlite` or `duckdb`, once open: what to tell a model."""
        if self._dataset is None:
            raise Failure("it is not open", where=self._what, remedy="async with Tables(…)")
        return "sqlite" if self._dataset.role.endswith("sqlite_role") else "duckdb"

    def _find(self, copies: Path) -> datasets.Dataset:
        return datasets.tables(self._data, copies)

    def _summary(self, parts: dict[str, str]) -> str:
        kind = {"sqlite": "SQLite", "duckdb": "DuckDB"}[self.dialect]
        return f"A {kind} database of {len(parts):,} table{'s' * (len(parts) != 1)}, for one SELECT at a time."

    async def __aenter__(self) -> Tables:
        await super().__aenter__()
        return self


class Graph(_Asked):
    """A graph that SPARQL can ask: files of triples (`.ttl`, `.nt.gz`, …), or the folder of an Oxigraph store.

    Patterns match the triples of all named graphs where there are any. ASK gives one row `answer`, CONSTRUCT and
    DESCRIBE rows of `subject`, `predicate`, `object`. IRIs are `rows.Iri`, literals Python values.
    """

    guards = frozenset({"words"})
    _what = "graph"

    def _find(self, copies: Path) -> datasets.Dataset:
        return datasets.graph(self._data, copies)

    def _summary(self, parts: dict[str, str]) -> str:
        predicates = sum(text.endswith("triples") for text in parts.values())
        return f"An RDF graph with {predicates:,} frequent predicates, for SPARQL SELECT, ASK and CONSTRUCT."

    async def __aenter__(self) -> Graph:
        await super().__aenter__()
        return self
