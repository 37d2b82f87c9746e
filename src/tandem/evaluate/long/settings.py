"""Settings of a task as KEY=VALUE: a frozen dataclass says which there are, and its defaults of which kind each is.

A key that several of the tasks asked for have goes to all of them; TASK.KEY=VALUE goes to one. What this does not do:
check that a value makes sense; the dataclass does, when it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from tandem.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")
Kinds = Mapping[str, "type[DataclassInstance]"]
"""Task → its settings, for every task that was asked for."""

OPTION = "--set"
FLAGS = {"true": True, "yes": True, "false": False, "no": False}


def chosen(kind: type[S], task: str, given: Sequence[str], asked: Kinds) -> S:
    """The settings of a task. Raises UserError on a key that no task asked for has, and on a value of another kind."""
    values: dict[str, Any] = {}
    for pair in given:
        key, found, text = pair.partition("=")
        name, dot, own = key.strip().rpartition(".")
        if not found or not own:
            raise UserError(f"is {pair!r}", where=OPTION, remedy="write KEY=VALUE, or TASK.KEY=VALUE")
        if dot and name not in asked:
            remedy = f"with settings are {', '.join(asked)}"
            raise UserError(f"{key}: no such task was asked for", where=OPTION, remedy=remedy)
        here = asked if not dot else {name: asked[name]}
        if not any(own in _keys(one) for one in here.values()):
            known = "; ".join(f"{each}: {described(one)}" for each, one in here.items())
            raise UserError(f"there is no setting {own!r}", where=OPTION, remedy=known)
        if own in _keys(kind) and name in ("", task):
            values[own] = _read(_keys(kind)[own], text.strip(), f"{OPTION} {own}")
    return kind(**values)


def described(kind: type[DataclassInstance]) -> str:
    """Keys with their defaults."""
    return ", ".join(f"{name}={written(field.default)}" for name, field in _keys(kind).items())


def written(value: Any) -> str:
    """A value as it is given."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Raise UserError on a value that is none of those known."""
    if value not in known:
        raise UserError(f"is {value!r}", where=f"{OPTION} {name}", remedy=f"one of {', '.join(known)}")


def at_least(smallest: int, /, **values: int) -> None:
    """Raise UserError on a value below the least."""
    for name, value in values.items():
        if value < smallest:
            raise UserError(f"is {value}", where=f"{OPTION} {name}", remedy=f"give {smallest} or more")


def _keys(kind: type[DataclassInstance]) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(kind)}


def _read(field: Field[Any], text: str, where: str) -> Any:
    """A value of the kind that the default is of; lists have commas between."""
    default = field.default
    assert default is not MISSING, f"{field.name} has no default"
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text.lower() not in FLAGS:
            raise UserError(f"is {text!r}", where=where, remedy="true or false")
        return FLAGS[text.lower()]
    parts = [part.strip() for part in text.split(",") if part.strip()] if isinstance(default, tuple) else [text]
    if isinstance(default, tuple) and field.metadata.get("texts"):
        return tuple(parts)
    try:
        numbers = tuple(int(part.replace("_", "")) for part in parts)
    except ValueError:
        what = "whole numbers, with commas between" if isinstance(default, tuple) else "a whole number"
        raise UserError(f"is {text!r}", where=where, remedy=f"give {what}") from None
    return numbers if isinstance(default, tuple) else numbers[0]
