"""Pairs of a need and the query for it, to train a query writer on and to measure it with: what they are, our own form.

    {"language": "sql", "need": "Where was Ada born?", "schema": "people", "query": "SELECT …"}

one JSON object a line, gzip or not. `language` is sparql, sql or text; `schema` names a description of what is asked
(plain words need none). May be there: `id`, `entities` (name → what a query calls it), `wrong` (queries that do not
answer the need: texts, or objects with a `query`), `split` (what is new about it, for the figures). `tandem world`
writes this form; WikiSQL's and LC-QuAD's are read by `query_forms`. Rows that do not fit are named with their line.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tandem.errors import UserError
from tandem.reason.query_layout import LANGUAGES, Language
from tandem.types import Schema

SHOWN = 10
"""Bad rows that are told with what is wrong."""


@dataclass(frozen=True)
class QueryPair:
    """A need and its query."""

    id: str
    """Unique within its file."""
    language: Language
    """Of the query."""
    need: str
    """A question, or a step of a chain of thought."""
    query: str
    """The right query."""
    schema: str = ""
    """Name of the description of what is asked; empty for plain words."""
    names: tuple[tuple[str, str], ...] = ()
    """Things that are named in the need, with what a query calls them."""
    wrong: tuple[str, ...] = ()
    """Queries that do not answer the need."""
    split: str = ""
    """What is new about it, against what is trained on."""
    where: str = ""
    """File and line."""


@dataclass(frozen=True)
class PairReading:
    """What was read, and what was not."""

    pairs: tuple[QueryPair, ...]
    """In the file's order."""
    skipped: tuple[tuple[str, str], ...] = ()
    """(file and line, what is wrong) of rows left out."""


class RowError(ValueError):
    """Why a row cannot be used."""


def read(
    path: Path, *, skip: bool = False, called: Callable[[str], str] = lambda thing: thing, split: str = ""
) -> PairReading:
    """The pairs of a file in our own form.

    `called` turns a thing's id into what a query calls it; `split` is that of rows which name none (the file's name if
    empty). Raises UserError that names each row which cannot be used, unless `skip` leaves them out.
    """
    return collected(
        path, lambda row, number: _pair(row, f"{path.stem}-{number}", called, split or path.stem), skip=skip
    )


def collected(path: Path, make: Callable[[Mapping[str, Any], int], QueryPair], *, skip: bool) -> PairReading:
    """A pair of each row of a file, with ids that differ; what cannot be made is told together, or left out."""
    found: dict[str, QueryPair] = {}
    bad: list[tuple[str, str]] = []
    for number, row in rows(path):
        try:
            if isinstance(row, RowError):
                raise row
            pair = make(row, number)
            if pair.id in found:
                raise RowError(f"the id {pair.id!r} occurs twice")
            found[pair.id] = QueryPair(**{**vars(pair), "where": f"{path}:{number}"})
        except RowError as e:
            bad.append((f"{path}:{number}", str(e)))
    if bad and not skip:
        raise refusal(bad, len(bad) + len(found), "mend or remove these rows, or leave them out with --on-bad skip")
    if not found:
        why = f"; {bad[0][0]} {bad[0][1]}" if bad else ""
        remedy = "give one JSON object a line (docs/query-generator.md)"
        raise UserError(f"holds no pair that can be used{why}", where=str(path), remedy=remedy)
    return PairReading(tuple(found.values()), tuple(bad))


def refusal(bad: Sequence[tuple[str, str]], total: int, remedy: str) -> UserError:
    """An error that names rows: the first ones with what is wrong, the others by place."""
    told = "".join(f"\n  {where} {what}" for where, what in bad[:SHOWN])
    more = f"\n  and {', '.join(where for where, _ in bad[SHOWN:])}" if len(bad) > SHOWN else ""
    return UserError(f"{len(bad)} of {total} pairs cannot be used:{told}{more}", remedy=remedy)


def rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | RowError]]:
    """Number and value of each JSON object: one a line, or the members of one array (numbered from 1)."""
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            with gzip.open(raw) if packed else raw as file:
                text = file.read().decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as e:
        raise UserError(f"cannot be read ({e})", where=str(path), remedy="check the path and the file") from e
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise UserError(f"is no JSON array ({e})", where=str(path), remedy="mend the file") from e
        yield from ((number, _object(value)) for number, value in enumerate(values, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, _object(json.loads(line))
            except (ValueError, RecursionError) as e:
                yield number, RowError(f"is not JSON ({e})")


def _object(value: Any) -> Mapping[str, Any] | RowError:
    return value if isinstance(value, dict) else RowError("is no JSON object")


def text_of(row: Mapping[str, Any], key: str) -> str:
    """A text that has to be there. Raises RowError."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"has no text under `{key}`")
    return value.strip()


def _pair(row: Mapping[str, Any], name: str, called: Callable[[str], str], split: str) -> QueryPair:
    language = row.get("language")
    if language not in LANGUAGES:
        raise RowError(f"is in the language {language!r}; known: {', '.join(LANGUAGES)}")
    schema = text_of(row, "schema") if language != "text" else ""
    entities = row.get("entities") or {}
    if not isinstance(entities, dict) or not all(isinstance(thing, str) for thing in entities.values()):
        raise RowError("`entities` is no object of texts")
    wrong = row.get("wrong") or []
    if not isinstance(wrong, list):
        raise RowError("`wrong` is no list")
    return QueryPair(
        id=str(row.get("id", name)),
        language=cast(Language, language),
        need=text_of(row, "need"),
        query=text_of(row, "query"),
        schema=schema,
        names=tuple((name, called(thing)) for name, thing in entities.items() if thing) if language == "sparql" else (),
        wrong=tuple(one.strip() if isinstance(one, str) else text_of(_wrong(one), "query") for one in wrong),
        split=str(row.get("split") or split),
    )


def _wrong(one: Any) -> Mapping[str, Any]:
    if not isinstance(one, dict):
        raise RowError("`wrong` holds neither texts nor objects with a `query`")
    return one


def read_schemas(path: Path) -> dict[str, Schema]:
    """Descriptions by name: `{"people": {"summary": "…", "parts": {"person": "id, name, born"}}}`."""
    remedy = 'write {"NAME": {"summary": "…", "parts": {"TABLE": "columns"}}}'
    try:
        found = json.loads(path.read_text("utf-8-sig"))
        return {str(name): _schema(one) for name, one in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as e:
        raise UserError(f"holds no descriptions ({e})", where=str(path), remedy=remedy) from e


def _schema(given: Any) -> Schema:
    summary, parts = (given.get("summary"), given.get("parts")) if isinstance(given, dict) else (None, None)
    if (
        not isinstance(summary, str)
        or not isinstance(parts, dict)
        or not all(isinstance(v, str) for v in parts.values())
    ):
        raise ValueError("a description has a text `summary` and an object of texts `parts`")
    return Schema(summary, dict(parts))
