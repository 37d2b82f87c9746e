"""Rows as findings: one sentence-like text a row, `name: Ada Lovelace; born: 1815`, and where it stands.

What this does not do: tell which row of a file or a table it came from; a query joins, sorts and counts, so that only
the query and the row of its result lead back to it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tandem.sandbox.rows import Blank, Iri
from tandem.types import Finding

LONGEST_VALUE = 2000
"""Characters of one value in a finding; the rest is told as `…`."""


def cell(value: Any, labels: Mapping[str, str] | None = None) -> str:
    """A value in words: names of things by their labels, or by the end of their names; days without a time of day."""
    if isinstance(value, Iri):
        return (labels or {}).get(value) or local_name(value)
    if isinstance(value, datetime.datetime) and value.time().replace(tzinfo=None) == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell(part, labels) for part in value)
    text = "none" if value is None else " ".join(str(value).split())
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def local_name(iri: str) -> str:
    """The end of a name, as a person would say it."""
    return unquote(re.split(r"[/#]", iri.rstrip("/#"))[-1]).replace("_", " ") or iri


def findings(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    source: str,
    where: str,
    query: str,
    as_of: str = "",
    labels: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """One finding a row; what is unbound in a graph is left out. Its place is a thing's address, or the row."""
    found = []
    beside = {f"{name}Label": name for name in columns}  # Wikidata's habit: ?x has its label in ?xLabel
    for n, row in enumerate(rows, 1):
        bound = dict(zip(columns, row, strict=True))
        known = dict(labels or {})
        for name, thing in beside.items():
            if isinstance(bound.get(thing), Iri) and bound.get(name) is not None:
                known[bound[thing]] = str(bound[name])
        told = [
            (name, value)
            for name, value in zip(columns, row, strict=True)
            if not isinstance(value, Blank) and not (name in beside and isinstance(bound.get(beside[name]), Iri))
        ]
        things = [value for _, value in told if isinstance(value, Iri)]
        text = "; ".join(f"{name}: {cell(value, known)}" for name, value in told if labels is None or value is not None)
        address = next((thing for thing in things if thing.startswith(("http://", "https://"))), "")
        title = cell(things[0], known) if things else ""
        if text:
            place = str(address) or f"{where}, row {n} of the query's result"
            found.append(Finding(text, title, None, source, place, query, as_of))
    return tuple(found)
