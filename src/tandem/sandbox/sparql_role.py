"""One query on a graph, in a confined child.

Small files are read into memory by the warm process and shared with each run by the fork; a store's folder is opened
read-only by each run. The engine cannot be interrupted from Python: a run that takes too long is ended from outside.
"""

from __future__ import annotations

import datetime
import decimal
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import pyoxigraph

from tandem.sandbox import answer, plain, sparql_guard

FORMATS = {
    ".ttl": pyoxigraph.RdfFormat.TURTLE,
    ".nt": pyoxigraph.RdfFormat.N_TRIPLES,
    ".nq": pyoxigraph.RdfFormat.N_QUADS,
    ".trig": pyoxigraph.RdfFormat.TRIG,
    ".n3": pyoxigraph.RdfFormat.N3,
    ".rdf": pyoxigraph.RdfFormat.RDF_XML,
    ".xml": pyoxigraph.RdfFormat.RDF_XML,
    ".owl": pyoxigraph.RdfFormat.RDF_XML,
    ".jsonld": pyoxigraph.RdfFormat.JSON_LD,
}
"""Endings of files, before `.gz`, and what they hold."""
_NEAR = 40
_XSD = "http://www.w3.org/2001/XMLSchema#"

_store: pyoxigraph.Store | None = None
_settings: dict[str, Any] = {}
_union = False
_problem = ""


def load(store: pyoxigraph.Store, path: str) -> None:
    """Read one file into a store. Raises `SyntaxError` with the place."""
    name = Path(path).name.lower().removesuffix(".gz")
    form, base = FORMATS[Path(name).suffix], Path(path).as_uri()
    if path.lower().endswith(".gz"):
        with gzip.open(path) as file:
            store.bulk_load(input=cast(IO[bytes], file), format=form, base_iri=base)
    else:
        store.bulk_load(path=path, format=form, base_iri=base)


def prepare(settings: dict[str, Any]) -> None:
    """Read files into memory, or see that the store's folder can be opened."""
    global _store, _settings, _union, _problem
    _settings = settings
    try:
        store = pyoxigraph.Store.read_only(settings["store"]) if settings["store"] else pyoxigraph.Store()
        for path in settings["paths"]:
            _problem = Path(path).name
            load(store, path)
        _problem = ""
    except (SyntaxError, ValueError, OSError, EOFError, zlib.error) as error:
        _problem = f"{_problem}: {error}"
        return
    _union = next(iter(store.named_graphs()), None) is not None
    _store = None if settings["store"] else store


def play(handles: list[int]) -> None:
    """Handles: the request, the answer."""
    answer.serve(handles, _answer)


def _answer(request: dict[str, Any]) -> bytes:
    if _problem:
        raise answer.Stop("unusable", _problem)
    store = _store or pyoxigraph.Store.read_only(_settings["store"])
    if request.get("check"):
        return answer.rows((), (), request)
    if request.get("describe"):
        return answer.rows(("name", "text"), _describe(store), request)
    if "words" not in _settings["off"]:
        sparql_guard.check(request["query"])
    try:
        found = store.query(request["query"], use_default_graph_as_union=_union)
        if isinstance(found, pyoxigraph.QueryBoolean):
            return answer.rows(("answer",), [(bool(found),)], request)
        if isinstance(found, pyoxigraph.QueryTriples):
            triples = ((t.subject, t.predicate, t.object) for t in found)
            return answer.rows(("subject", "predicate", "object"), triples, request, _term)
        names = [v.value for v in found.variables]
        return answer.rows(names, (list(row) for row in found), request, _term)
    except SyntaxError as error:
        raise answer.Stop("invalid", _placed(str(error), request["query"])) from None
    except (ValueError, OSError, RuntimeError) as error:
        kind = "failed" if isinstance(error, OSError) and _settings["store"] else "invalid"
        raise answer.Stop(kind, f"the engine cannot answer it: {error}") from None


def _placed(message: str, query: str) -> str:
    """The engine's message with the text that stands where it points to."""
    found = re.match(r"error at (\d+):(\d+)", message)
    lines = query.split("\n")
    if not found or int(found[1]) > len(lines):
        return message
    line, column = lines[int(found[1]) - 1], int(found[2]) - 1
    return f"{message}\nbefore {line[column : column + _NEAR]!r}, after {line[max(0, column - _NEAR) : column]!r}"


def _term(value: Any) -> Any:
    """A term as JSON can say it."""
    if isinstance(value, pyoxigraph.NamedNode):
        return {"t": "iri", "v": value.value}
    if isinstance(value, pyoxigraph.BlankNode):
        return {"t": "blank", "v": value.value}
    if isinstance(value, pyoxigraph.Triple):
        return {"t": "triple", "v": [_term(part) for part in (value.subject, value.predicate, value.object)]}
    if value is None:
        return None
    if value.language:
        return {"t": "worded", "v": [value.value, value.language]}
    kind = value.datatype.value
    if kind == f"{_XSD}string":
        return value.value
    make = _VALUES.get(kind.removeprefix(_XSD)) if kind.startswith(_XSD) else None
    if make is not None:
        try:
            return plain.pack(make(value.value))
        except (ValueError, ArithmeticError, LookupError):
            pass  # outside what Python's own type holds, such as a year before Christ
    return {"t": "typed", "v": [value.value, kind]}


_WHOLE = """integer int long short byte nonNegativeInteger positiveInteger nonPositiveInteger negativeInteger
unsignedInt unsignedLong unsignedShort unsignedByte"""
_VALUES: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(_WHOLE.split(), int),
    "decimal": decimal.Decimal,
    "double": float,
    "float": float,
    "boolean": {"true": True, "1": True, "false": False, "0": False}.__getitem__,
    "date": datetime.date.fromisoformat,
    "dateTime": datetime.datetime.fromisoformat,
}
_PREDICATES = "SELECT ?p (COUNT(*) AS ?n) { ?s ?p ?o } GROUP BY ?p ORDER BY DESC(?n) ?p LIMIT 300"
_CLASSES = "SELECT ?c (COUNT(*) AS ?n) { ?s a ?c } GROUP BY ?c ORDER BY DESC(?n) ?c LIMIT 100"


def _describe(store: pyoxigraph.Store) -> Iterator[tuple[str, str]]:
    """The most frequent predicates and classes, with how often they are used."""
    for query, text in ((_PREDICATES, "{:,} triples"), (_CLASSES, "a class of {:,} things")):
        found = store.query(query, use_default_graph_as_union=_union)
        assert isinstance(found, pyoxigraph.QuerySolutions), "these are SELECTs"
        for row in found:
            yield f"<{row[0].value}>", text.format(int(row[1].value))
