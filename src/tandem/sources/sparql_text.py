"""What kind of SPARQL a text is, as far as a source must know before it sends it: only SELECT and ASK go out.

Words are read outside comments, strings and names, and not in the order of a grammar: the engine parses, this only
keeps from sending what is meant to change, to copy, or to ask another host: of services Wikidata's labels alone are let
through. What this does not do: find mistakes.
"""

from __future__ import annotations

import re

from tandem.sandbox.rows import QueryRefused

_HIDDEN = re.compile(
    r"<[^<>\"{}|^`\x00-\x20]*>|#[^\n\r]*"
    r"|\"{3}(?:\"{0,2}(?:[^\"\\]|\\.))*\"{3}|'{3}(?:'{0,2}(?:[^'\\]|\\.))*'{3}"
    r"|\"(?:[^\"\\\n\r]|\\.)*\"|'(?:[^'\\\n\r]|\\.)*'|[?$]\w+",
    re.DOTALL,
)
_PROLOGUE = re.compile(r"\s*(?:(?:PREFIX\s+[\w.\-]*\s*:|BASE)\s*<>\s*)*", re.IGNORECASE)
_FORM = re.compile(r"SELECT|ASK", re.IGNORECASE)
_UPDATE = re.compile(r"(?<![\w:?$])(INSERT|DELETE|LOAD|CLEAR|DROP|CREATE|COPY|MOVE|ADD)(?![\w:])", re.IGNORECASE)
_SERVICE = re.compile(r"(?<![\w:?$])SERVICE\s+(?:SILENT\s+)?([^\s{]+)", re.IGNORECASE)
_LABELS = ("wikibase:label", "bd:serviceParam")


def checked(query: str, where: str) -> str:
    """`select` or `ask`. Raises QueryRefused for anything else, and for services but Wikidata's labels."""
    code = _code(query)
    start = _PROLOGUE.match(code)
    form = _FORM.match(code, start.end() if start else 0)
    if form is None:
        raise QueryRefused(
            "only SELECT and ASK are sent", where=where, remedy="begin with SELECT or ASK, after prefixes"
        )
    if found := _UPDATE.search(code):
        raise QueryRefused(f"{found[1].upper()} is not allowed: this source is only read", where=where)
    for service in _SERVICE.findall(code):
        if service not in _LABELS:
            raise QueryRefused(f"SERVICE {service} is not allowed: only wikibase:label is", where=where)
    return form[0].lower()


def limited(query: str, rows: int) -> str:
    """The query with a LIMIT at its end, where it has none and takes one."""
    if checked(query, "") == "ask":
        return query
    tail = _code(query).rpartition("}")[2]
    after_values = re.search(r"\bVALUES\b[^{}]*\{[^{}]*\}\s*$", _code(query), re.IGNORECASE)
    if after_values or re.search(r"\bLIMIT\b", tail, re.IGNORECASE):
        return query
    return f"{query}\nLIMIT {rows}"


def _code(query: str) -> str:
    """The text without what hides words; names in brackets stay as `<>`."""
    return _HIDDEN.sub(lambda found: {"<": "<>", "#": " "}.get(found[0][0], '""'), query)
