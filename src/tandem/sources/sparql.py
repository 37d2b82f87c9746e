"""Graphs that SPARQL asks; here: files of triples in the sandbox. Endpoints over HTTP are in `endpoint`.

    source = GraphFile("facts.ttl")
    result = await source.look_up("SELECT ?city { ?city a <…#City> }", limit=10)

Only SELECT and ASK are sent. A row is a finding; things are told by their labels, fetched where the query brought none.
A query that the engine does not understand is QueryInvalid with the engine's words. What this does not do: write
queries.
"""

from __future__ import annotations

import asyncio
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from tandem.sandbox import Graph, Rows
from tandem.sandbox.rows import Iri
from tandem.sources import contents, failures, sparql_text, worded
from tandem.sources.blocking import Once, finished
from tandem.types import Question, Result, Schema, Source

LABELLED = 200
"""Things of one look-up whose labels are fetched."""
DESCRIBED = 100
"""Predicates of a description."""
_IRI = re.compile(r"[^<>\"{}|^`\\\x00-\x20]+")


class AskedInSparql(ABC):
    """What both kinds have in common."""

    language: Literal["text", "sparql", "sql"] = "sparql"
    name: str
    _where: str
    _labels_in: str
    identity: str
    """What it holds or where it is asked, and the settings that shape what it says."""

    async def look_up(self, query: str, limit: int) -> Result:
        """A finding for each row. Raises QueryError for the query's own fault, SourceFailed for the source's."""
        form = sparql_text.checked(query, self.name)
        with failures.named(self.name):
            rows, as_of = await self.select(query, limit)
            if form == "ask":
                rows = Rows(("answer",), tuple(rows.rows), rows.complete, rows.seconds)
            labels = await self._labels(self._nameless(rows))
        found = worded.findings(
            rows.columns,
            rows.rows[:limit],
            source=self.name,
            where=self._where,
            query=query,
            as_of=as_of or "",
            labels=labels,
        )
        return Result(found, rows.complete and len(rows) <= limit, as_of)

    def about(self, question: Question) -> Source:
        """Itself: it is the same for all."""
        return self

    def describe(self) -> Schema:
        """Predicates, and classes where the graph tells them, with labels and counts. The caller waits."""
        return self._description.known_or(lambda: finished(self._alone))

    async def schema(self) -> Schema:
        """The same in an event loop, which goes on meanwhile; asked for once."""
        return await self._description.get()

    @cached_property
    def _description(self) -> Once[Schema]:
        return Once(self._described)

    @abstractmethod
    async def _described(self) -> Schema:
        """The description, asked for."""

    async def _alone(self) -> Schema:
        """The description, asked for in an event loop that ends with it."""
        return await self._described()

    @abstractmethod
    async def select(self, query: str, rows: int) -> tuple[Rows, str | None]:
        """Rows of a query, and their date."""

    async def _labels(self, things: Sequence[str]) -> dict[str, str]:
        """Labels of things, in the language that is wanted or in none."""
        fit = [thing for thing in dict.fromkeys(things) if _IRI.fullmatch(thing)][:LABELLED]
        if not fit or not self._labels_in:
            return {}
        named = " ".join(f"<{thing}>" for thing in fit)
        query = (
            f"SELECT ?i ?l {{ VALUES ?i {{ {named} }} ?i <http://www.w3.org/2000/01/rdf-schema#label> ?l "
            f'FILTER(LANG(?l) IN ("{self._labels_in}", "")) }}'
        )
        rows, _ = await self.select(query, 2 * len(fit))
        return {str(thing): str(label) for thing, label in rows.rows if label is not None}

    def _nameless(self, rows: Rows) -> list[str]:
        """Things in rows that have no label beside them."""
        at = [n for n, name in enumerate(rows.columns) if f"{name}Label" not in rows.columns]
        return [row[n] for row in rows.rows for n in at if isinstance(row[n], Iri)]

    async def _told(self, parts: Mapping[str, str]) -> dict[str, str]:
        """Parts with labels: `<iri>` and how often it is used, as in a graph's own description."""
        names = {name: name.strip("<>").replace("/prop/direct/", "/entity/") for name in parts}
        labels = await self._labels(list(names.values()))
        return {n: f"{labels[thing]}; {parts[n]}" if thing in labels else parts[n] for n, thing in names.items()}


class GraphFile(AskedInSparql):
    """Files of triples, or an Oxigraph store's folder, asked in the sandbox. Opened when it is first asked."""

    def __init__(self, *paths: str | Path, labels: str = "en", name: str = "") -> None:
        """`labels` is the language of labels; without one, names are told by their ends."""
        files = [Path(path) for path in paths]
        self._where = ", ".join(str(path) for path in files)
        self.name = name or f"sparql:{', '.join(path.name for path in files)}"
        self._labels_in = labels
        self._graph = Graph(files)
        self._lock = threading.Lock()
        self._ready = False
        self.identity = contents.held(files) + (f"-{labels}" if labels != "en" else "")

    async def _described(self) -> Schema:
        """The description, asked for."""
        with failures.named(self.name):
            await asyncio.to_thread(self._open)
            found = await self._graph.describe()
            parts = dict(list(found.parts.items())[:DESCRIBED])
            cut = " The most frequent are told." if len(found.parts) > DESCRIBED else ""
            return Schema(found.summary + cut, await self._told(parts))

    async def select(self, query: str, rows: int) -> tuple[Rows, str | None]:
        """Rows of a query; a file has no date of its own."""
        await asyncio.to_thread(self._open)
        return await self._graph.query(query, rows=rows), None

    async def close(self) -> None:
        """End its processes."""
        if self._ready:
            self._ready = False
            await self._graph.__aexit__(None, None, None)

    def _open(self) -> None:
        with self._lock:
            if not self._ready:
                asyncio.run(self._graph.__aenter__())
                self._ready = True
