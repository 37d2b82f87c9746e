"""A SPARQL endpoint over HTTP, such as Wikidata's, with the etiquette it asks for.

    source = Endpoint("https://query.wikidata.org/sparql", contact="you@example.org")

A user agent with a contact, few requests at a time, Retry-After obeyed. A query that the endpoint does not understand
is QueryInvalid with its words; one that it gives up is QueryTimeout, and what came of it before that is a result that
is not complete. What this does not do: send anything but SELECT and ASK, or read other results than JSON.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from tandem.errors import CallFailed, SourceFailed
from tandem.http import Limits, Reader
from tandem.http.faults import Fault
from tandem.http.redact import excerpt
from tandem.http.reply import Reply
from tandem.sandbox import QueryError, QueryInvalid, QueryTimeout, Rows
from tandem.sandbox.rows import Blank, Iri, Worded
from tandem.sources import failures, sparql_text, urls
from tandem.sources.sparql import DESCRIBED, AskedInSparql
from tandem.sources.wikipedia import agent
from tandem.text import fingerprint
from tandem.types import Schema

POLITE = Limits(concurrency=2, start=1, tries=4, seconds_a_try=65.0, longest_pause=120.0, body_bytes=16 << 20)
"""Wikidata ends a query after 60 seconds."""
LONGEST_ADDRESS = 1500
"""Characters of a query that is sent in the address; a longer one is POSTed."""
SAMPLED = 20_000
"""Triples that a description looks at."""
_SAMPLE = (
    f"SELECT ?p (COUNT(?p) AS ?n) {{ {{ SELECT ?p {{ ?s ?p ?o }} LIMIT {SAMPLED} }} }} "
    f"GROUP BY ?p ORDER BY DESC(?n) LIMIT {DESCRIBED}"
)
_XSD = "http://www.w3.org/2001/XMLSchema#"


class Endpoint(AskedInSparql):
    """A SPARQL endpoint over HTTP."""

    def __init__(
        self,
        address: str,
        *,
        contact: str,
        labels: str = "en",
        predicates: Mapping[str, str] | None = None,
        seconds: float | None = None,
        limits: Limits = POLITE,
        name: str = "",
    ) -> None:
        """`predicates` describe it instead of a sample of its triples, which large endpoints are slow to give.

        `seconds` is the longest wait for one answer, after which it is not asked for again. Raises UserError for an
        address with a login, and without a contact.
        """
        self._where = urls.shown(address)
        self.name = name or f"sparql:{re.sub(r'^https?://', '', self._where)}"
        self._labels_in = labels
        self._predicates = dict(predicates or {})
        told = [list(pair) for pair in self._predicates.items()]
        self.identity = fingerprint([urls.meant(urls.without_login(address, self.name)), labels, told])
        if seconds is not None:
            limits = replace(limits, seconds_a_try=seconds)
        headers = {"User-Agent": agent(contact, self.name), "Accept": "application/sparql-results+json"}
        self._reader = Reader(address, headers, limits=limits, judge=_judge, again_when_slow=False)

    async def _described(self) -> Schema:
        """The description, asked for."""
        summary = f"A SPARQL endpoint ({self._where}), for SELECT and ASK."
        if self._predicates:
            return Schema(summary, self._predicates)
        try:
            with failures.named(self.name):
                rows, _ = await self.select(_SAMPLE, DESCRIBED)
                parts = {f"<{iri}>": f"{int(n):,} of {SAMPLED:,} triples looked at" for iri, n in rows.rows}
                return Schema(f"{summary} Predicates of a sample:", await self._told(parts))
        except QueryError as e:
            problem, remedy = f"cannot describe itself: {e.problem}", "name its predicates in sources.toml"
            raise SourceFailed(problem, kind="timeout", where=self.name, remedy=remedy) from None

    async def _alone(self) -> Schema:
        """The description, asked for in an event loop that ends with it, and the connections with the loop."""
        try:
            return await self._described()
        finally:
            await self._reader.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._reader.close()

    async def select(self, query: str, rows: int) -> tuple[Rows, str | None]:
        """Rows of a query, and the day it was answered."""
        sent = {"query": sparql_text.limited(query, rows + 1)}
        refused: QueryError | None = None
        try:
            short = len(query) <= LONGEST_ADDRESS
            reply = await (self._reader.get("", sent) if short else self._reader.form("", sent))
        except CallFailed as e:
            if e.status == 400 and e.kind == "refused":
                refused = QueryInvalid(e.problem, where=self.name)
            elif e.kind == "timeout" and e.status is not None:
                refused = QueryTimeout(e.problem, where=self.name, remedy="ask for less: a LIMIT, fewer patterns")
            else:
                raise
        if refused is not None:
            raise refused
        return self._rows(reply, rows), _date(reply.headers)

    def _rows(self, reply: Reply, most: int) -> Rows:
        told = reply.json
        if isinstance(told.get("boolean"), bool):
            return Rows(("answer",), ((told["boolean"],),), True, reply.seconds)
        try:
            columns = tuple(str(name) for name in told["head"]["vars"])
            rows = tuple(tuple(_term(one.get(name)) for name in columns) for one in told["results"]["bindings"])
        except (KeyError, TypeError, AttributeError):
            raise failures.malformed("answers in another form than SPARQL's JSON results", self.name) from None
        cut = told.get("partial") or reply.headers.get("X-SQL-State") or _full(reply.headers, len(rows))
        return Rows(columns, rows[:most], not cut and len(rows) <= most, reply.seconds)


def _full(headers: Mapping[str, str], rows: int) -> bool:
    """Whether a server that tells its own limit of rows has reached it."""
    most = headers.get("X-SPARQL-MaxRows", "")
    return most.isdigit() and rows >= int(most)


def _term(told: Mapping[str, Any] | None) -> Any:
    """A term of JSON results as the sandbox gives it."""
    if told is None:
        return None
    kind, value = told["type"], str(told["value"])
    if kind == "uri":
        return Iri(value)
    if kind == "bnode":
        return Blank(value)
    if language := told.get("xml:lang"):
        return Worded(value, language)
    datatype = str(told.get("datatype", "")).removeprefix(_XSD)
    if datatype == "dateTime":
        try:
            return datetime.datetime.fromisoformat(value)
        except ValueError:
            return value
    if datatype == "boolean":
        return value in ("true", "1")
    return value


def _date(headers: Mapping[str, str]) -> str | None:
    """When an endpoint answered: what it holds is of that moment."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).date().isoformat()
    except ValueError:
        return None


def _judge(status: int, headers: Mapping[str, str], raw: bytes) -> Fault | dict[str, Any] | None:
    """Syntax errors in the endpoint's words; queries given up; results that broke off with a reason."""
    late = re.search(rb"Timeout|timed out|time limit", raw) is not None
    if status == 200 and late and not _is_json(raw):
        begun = _salvaged(raw)
        return begun or Fault("timeout", "gave the query up before a row came", 200)
    if status in (500, 502, 504) and late:
        return Fault("timeout", f"gave the query up after its own time limit ({status})", status)
    if status == 400:
        if "html" in headers.get("content-type", ""):
            return Fault("malformed", f"answered 400 with an HTML page: {excerpt(raw.decode('utf-8', 'replace'), 100)}")
        return Fault("refused", f"does not understand the query: {_words(raw)}", 400)
    return None


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _salvaged(raw: bytes) -> dict[str, Any] | None:
    """The whole rows of results that broke off, or None where there are none."""
    text = raw.decode("utf-8", "replace")
    reader = json.JSONDecoder()
    head = re.search(r'"vars"\s*:\s*', text)
    start = re.search(r'"bindings"\s*:\s*\[', text)
    if head is None or start is None:
        return None
    at, bindings = start.end(), []
    try:
        names, _ = reader.raw_decode(text, head.end())
        while found := re.compile(r"[\s,]*(?=\{)").match(text, at):
            row, at = reader.raw_decode(text, found.end())
            bindings.append(row)
    except (ValueError, RecursionError):
        pass
    return {"head": {"vars": names}, "results": {"bindings": bindings}, "partial": True} if bindings else None


def _words(raw: bytes) -> str:
    """What an endpoint says of a query: without the query, which some repeat, and without a stack."""
    text = raw.decode("utf-8", "replace")
    try:
        told = json.loads(text)
        said = told.get("exception") or told.get("message") or told.get("error") if isinstance(told, dict) else None
        if isinstance(said, str):
            return excerpt(said, 500)
    except (ValueError, RecursionError):
        pass
    named = re.search(r"(?:MalformedQuery|QueryParse|Parse|Syntax)\w*(?:Exception|Error)\s*:\s*(.+)", text)
    return excerpt(named[1] if named else text, 500)
