"""Results, schemas and errors of sources as JSON objects, and back: what is recorded of a look-up.

Defaults are left out, so that a record is short to read. What this does not do: record anything. Reading back is strict
about what it is given: a record that somebody changed is a ValueError, not half a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tandem.errors import SourceFailed, TandemError
from tandem.sandbox.rows import QueryError, QueryInvalid, QueryRefused, QueryTimeout, QueryTooLarge
from tandem.types import Finding, Result, Schema

_QUERY_ERRORS = {kind.__name__: kind for kind in (QueryInvalid, QueryRefused, QueryTimeout, QueryTooLarge)}
_FINDING = {item.name: item.default for item in fields(Finding)}


def of_result(result: Result) -> dict[str, Any]:
    """A result."""
    found = [
        {name: value for name, default in _FINDING.items() if (value := getattr(finding, name)) != default}
        for finding in result.findings
    ]
    told: dict[str, Any] = {"findings": found, "complete": result.complete}
    return told if result.as_of is None else told | {"as_of": result.as_of}


def to_result(told: Mapping[str, Any]) -> Result:
    """The inverse of `of_result`. Raises ValueError for anything else."""
    try:
        findings = tuple(Finding(**finding) for finding in told["findings"])
        as_of = told.get("as_of")
        if all(isinstance(f.text, str) for f in findings) and isinstance(as_of, str | None):
            return Result(findings, told["complete"] is True, as_of)
    except (KeyError, TypeError):
        pass
    raise ValueError("a recorded result is of another form")


def of_schema(schema: Schema) -> dict[str, Any]:
    """A schema; its parts as pairs, since a record does not keep the order of an object's keys, and prompts show it."""
    return {"summary": schema.summary, "parts": [[name, told] for name, told in schema.parts.items()]}


def to_schema(told: Mapping[str, Any]) -> Schema:
    """The inverse of `of_schema`. Raises ValueError for anything else."""
    summary, parts = told.get("summary"), told.get("parts")
    pairs = list(parts.items()) if isinstance(parts, dict) else parts
    if not isinstance(summary, str) or not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
        raise ValueError("a recorded schema is of another form")
    return Schema(summary, dict(pairs))


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def of_error(error: SourceFailed | QueryError) -> dict[str, Any]:
    """A failure, or what is wrong with a query."""
    told: dict[str, Any] = {"type": type(error).__name__, "problem": error.problem}
    if isinstance(error, SourceFailed):
        told |= {"type": "SourceFailed", "kind": error.kind}
    return told | {key: value for key in ("where", "remedy") if (value := getattr(error, key))}


def to_error(told: Mapping[str, Any], *, remedy: str = "") -> TandemError:
    """The inverse of `of_error`, of the same type; `remedy` is said besides its own, of a failure."""
    problem, where = str(told.get("problem", "failed")), told.get("where")
    own = told.get("remedy")
    if kind := _QUERY_ERRORS.get(str(told.get("type"))):
        return kind(problem, where=where, remedy=own)
    said = "; ".join(part for part in (own, remedy) if part) or None
    return SourceFailed(problem, kind=str(told.get("kind", "malformed")), where=where, remedy=said)
