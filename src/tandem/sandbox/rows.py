"""What a query gives: rows of plain values, or an error with a name that tells whose fault it is.

A model can mend `QueryInvalid` (the engine's own message says what is wrong) and `QueryRefused` (the message says what
is not allowed, and why), and can ask for less after `QueryTimeout` and `QueryTooLarge`. Everything else is a `Failure`
and says nothing about the query. Nothing found is no error: rows without any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tandem.errors import Failure, TandemError, UserError
from tandem.sandbox import plain


class QueryError(TandemError):
    """A query that was not answered, through its own fault."""


class QueryInvalid(QueryError):  # noqa: N818 — a named outcome
    """The engine does not understand it: syntax, an unknown table, column or function. Its own message."""


class QueryRefused(QueryError):  # noqa: N818 — a named outcome
    """It would do more than read: a change, several statements, a function or file that is not allowed."""


class QueryTimeout(QueryError):  # noqa: N818 — a named outcome
    """It took longer than it may."""


class QueryTooLarge(QueryError):  # noqa: N818 — a named outcome
    """It needs more memory, nesting or text than it may take."""


@dataclass(frozen=True)
class Rows:
    """What a query found."""

    columns: tuple[str, ...]
    """Names of the columns, as the query gives them; they need not differ."""
    rows: tuple[tuple[Any, ...], ...]
    """Plain Python values: numbers, texts, bytes, dates, decimals, lists, dictionaries, None."""
    complete: bool
    """False when there were more rows than asked for, or more bytes than the limit; the first ones are here."""
    seconds: float
    """How long it ran on the clock, with starting its process."""

    def __len__(self) -> int:
        return len(self.rows)


class Iri(str):
    """The name of a thing in a graph: a text that is not a literal."""

    __slots__ = ()


class Blank(str):
    """A thing without a name in a graph; the text tells it from others in the same answer only."""

    __slots__ = ()


class Worded(str):
    """A literal in a language."""

    language: str
    """Its tag, such as `en`."""

    def __new__(cls, text: str, language: str) -> Worded:
        """A text and its language's tag."""
        made = super().__new__(cls, text)
        made.language = language
        return made


class Typed(str):
    """A literal of a type that has no value of Python's own."""

    datatype: str
    """The type's IRI."""

    def __new__(cls, text: str, datatype: str) -> Typed:
        """A text and its type's IRI."""
        made = super().__new__(cls, text)
        made.datatype = datatype
        return made


_KINDS: Mapping[str, type[QueryError]] = {
    "invalid": QueryInvalid,
    "refused": QueryRefused,
    "timeout": QueryTimeout,
    "too-large": QueryTooLarge,
}
_UNUSABLE = "unusable"
_TERMS: Mapping[str, Callable[[Any], Any]] = {
    "iri": lambda v: Iri(_text(v)),
    "blank": lambda v: Blank(_text(v)),
    "worded": lambda v: Worded(_text(v[0]), _text(v[1])),
    "typed": lambda v: Typed(_text(v[0]), _text(v[1])),
    "triple": lambda v: tuple([_value(p) for p in v]),
}


def read(message: bytes, where: str, seconds: float) -> Rows:
    """The rows in a run's message, which is plain data whatever the run did.

    Raises the error the message names: `UserError` for data that cannot be used, `Failure` when it is none.
    """
    try:
        told = plain.loads(message)
        if "error" in told:
            kind, text = told["error"], _text(told["text"])
        else:
            rows = tuple(tuple(v if type(v) not in _NOT_PLAIN else _value(v) for v in row) for row in told["rows"])
            return Rows(tuple(_text(c) for c in told["columns"]), rows, told["complete"] is True, seconds)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise Failure(f"the answer to a query cannot be read: {error}", where=where) from None
    if kind == _UNUSABLE:
        raise UserError(f"the data cannot be used: {text}", where=where)
    raise _KINDS.get(kind, Failure)(text, where=where)


_NOT_PLAIN = (dict, list)


def _value(value: Any) -> Any:
    if isinstance(value, dict) and value.get("t") in _TERMS:
        return _TERMS[value["t"]](value["v"])
    return plain.unpack(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text was expected, {json.dumps(value)[:40]} came")
    return value
