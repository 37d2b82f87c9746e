"""One row of a benchmark's file, its fields asked for by name: whatever is missing or wrong is named with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem.errors import UserError


@dataclass(frozen=True)
class Row:
    """A row with its place. Methods take the names a field may have; the first that is there counts."""

    where: str
    """`file:line`."""
    number: int
    """From 0 within its file; within its group where the file has groups."""
    fields: Mapping[str, Any]
    """What it holds."""
    form: str
    """The fields that a row of its kind has, for remedies."""

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        return name in self.fields

    def error(self, problem: str) -> UserError:
        """What is wrong with the row, to be raised."""
        return UserError(problem, where=self.where, remedy=self.form)

    def field(self, *names: str) -> tuple[str, Any]:
        """Name and value of a field. Raises UserError with the fields there are."""
        for name in names:
            if name in self.fields:
                return name, self.fields[name]
        there = ", ".join(map(str, self.fields)) or "none"
        raise self.error(f"no field {' or '.join(map(repr, names))} (its fields: {there:.200})")

    def text(self, *names: str) -> str:
        """A field that is a text."""
        name, value = self.field(*names)
        if not isinstance(value, str):
            raise self.error(f"{name} is {_as_json(value):.60}, not a text")
        return value

    def texts(self, *names: str) -> tuple[str, ...]:
        """A field that is a list of texts: the choices. Raises UserError on fewer than two, and on an empty one."""
        name, value = self.field(*names)
        if isinstance(value, Mapping) and "text" in value:  # {"text": […], "label": […]}
            value = value["text"]
        return self.choices(name, value)

    def choices(self, name: str, value: Any) -> tuple[str, ...]:
        """A value as choices, the same way."""
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
            raise self.error(f"{name} is {_as_json(value):.60}, not a list of texts")
        if len(value) < 2:
            raise self.error(f"{name} has {len(value)} choice{'' if len(value) == 1 else 's'}; it takes 2")
        if empty := [n for n, one in enumerate(value) if not one.strip()]:
            raise self.error(f"{name} has an empty choice, number {empty[0]} counted from 0")
        return tuple(value)

    def index(self, below: int, *names: str, first: int = 0) -> int:
        """A field that is a number out of `first` … `first + below − 1`, as an index from 0; "2" is 2."""
        name, value = self.field(*names)
        number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
        if not isinstance(number, int) or isinstance(number, bool):
            raise self.error(f"{name} is {_as_json(value):.60}, not a whole number")
        if not first <= number < first + below:
            raise self.error(f"{name} is {number}, out of the range {first} to {first + below - 1}")
        return number - first

    def key(self, choices: str, *names: str) -> int:
        """The index of the right one among choices: a number from 0, or a label out of `choices`' own labels."""
        below = len(self.texts(choices))
        name, value = self.field(*names)
        options = self.fields[choices]
        if name == "answer" or not isinstance(options, Mapping):
            return self.index(below, name)
        labels = [str(label).strip() for label in options.get("label", [])]
        if len(labels) != below or labels.count(str(value).strip()) != 1:
            raise self.error(f"{name} is {value!r:.60}, none of the labels {', '.join(labels) or '(there are none)'}")
        return labels.index(str(value).strip())

    def flags(self, name: str, value: Any, n: int) -> tuple[int, ...]:
        """The places of the ones in a list of 0 and 1 as long as the choices."""
        good = isinstance(value, Sequence) and len(value) == n and all(one in (0, 1) for one in value)
        if not good:
            raise self.error(f"{name} is {value!r:.60}, not {n} numbers 0 or 1")
        return tuple(place for place, one in enumerate(value) if one == 1)


def _as_json(value: Any) -> str:
    """A value as it stands in the file: null, true."""
    return json.dumps(value, ensure_ascii=False, default=str)
