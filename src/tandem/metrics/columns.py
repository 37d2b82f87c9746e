"""JSON lines as columns, for metrics: one value for each row and field; what cannot be used is counted by reason.

Read line by line from a plain or gzip file. A line that is no JSON object, and a row without a field or with a value of
another kind, are set aside with the reason and the first line it was met at; a field that no row has is an error, since
then it has another name. What this does not do: read a file that is one JSON array; look into fields of fields.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tandem.errors import UserError


class Reason(str):
    """Why a value cannot be used."""

    __slots__ = ()


MISSING = Reason("no such field")
Convert: TypeAlias = Callable[[Any], Any]
"""From a JSON value to what a metric takes, or a `Reason`."""


@dataclass(frozen=True)
class Field:
    """One value that a metric takes from each row."""

    role: str
    """What it is to the metric, and its name in a file that does not say otherwise."""
    holds: str
    """What values it may have, for people."""
    convert: Convert
    """Checks a value."""
    optional: bool = False
    """Whether it may be missing; its value is None then."""


@dataclass
class Unusable:
    """Rows that were set aside: how many and where the first is, by reason."""

    counts: dict[str, int] = field(default_factory=dict)
    """Rows by reason."""
    first: dict[str, int] = field(default_factory=dict)
    """The line of the first one, from 1."""

    def add(self, reason: str, line: int) -> None:
        """Count one row."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, line)

    def told(self) -> list[str]:
        """A line for each reason."""
        return [
            f"{reason} ({n:,} row{'s' * (n > 1)}, the first in line {self.first[reason]})"
            for reason, n in self.counts.items()
        ]


@dataclass(frozen=True)
class Columns:
    """What a file holds, as far as it was asked for."""

    path: Path
    """The file."""
    lines: list[int]
    """Each row's line, from 1."""
    values: dict[str, list[Any]]
    """A column for each field asked for: a value or `MISSING` for each row."""
    known: tuple[str, ...]
    """Fields of the first row."""
    unreadable: Unusable
    """Lines that are no JSON object."""

    def select(
        self, fields: Sequence[Field], names: dict[str, str]
    ) -> tuple[list[int], dict[str, list[Any]], Unusable]:
        """The rows that have everything the fields ask for: their numbers, their values by role, and the others.

        `names` gives a role's field in the file where it has another name. Raises UserError on a field no row has.
        """
        found: list[list[Any]] = []
        for each in fields:
            name = names.get(each.role, each.role)
            column = self.values[name]
            if (not each.optional or each.role in names) and all(value is MISSING for value in column):
                self._no_such_field(name, each)
            found.append([each.convert(v) if v is not MISSING else None if each.optional else v for v in column])
        unusable = Unusable()
        unfit: set[int] = set()
        for each, column in zip(fields, found, strict=True):
            for i in [i for i, value in enumerate(column) if type(value) is Reason and i not in unfit]:
                unfit.add(i)
                unusable.add(f"{names.get(each.role, each.role)}: {column[i]}", self.lines[i])
        rows = [i for i in range(len(self.lines)) if i not in unfit]
        if unfit:
            found = [[column[i] for i in rows] for column in found]
        return rows, {each.role: column for each, column in zip(fields, found, strict=True)}, unusable

    def _no_such_field(self, name: str, wanted: Field) -> None:
        raise UserError(
            f"no field {name!r} in any of {len(self.lines):,} rows; there are: {', '.join(self.known) or 'none'}",
            where=f"{self.path}, line {self.lines[0]}",
            remedy=f"say which one holds the {wanted.role} ({wanted.holds}): --field {wanted.role}=FIELD",
        )


def read_columns(path: Path, names: Iterable[str]) -> Columns:
    """The named fields of every row. Raises UserError on a file without rows and on one that cannot be read."""
    names = tuple(dict.fromkeys(names))
    columns: list[list[Any]] = [[] for _ in names]
    adders = [column.append for column in columns]
    rows = list(zip(names, adders, strict=True))
    lines: list[int] = []
    known: tuple[str, ...] = ()
    unreadable = Unusable()
    decode = json.JSONDecoder().raw_decode
    array = False
    for number, raw in enumerate(_raw_lines(path), 1):
        try:
            line = raw.decode().strip()
            if not line:
                continue
            row, end = decode(line)
            if end != len(line):
                raise ValueError
        except UnicodeDecodeError:
            unreadable.add("not UTF-8", number)
            continue
        except (ValueError, RecursionError):
            unreadable.add("not JSON", number)
            array = array or raw.lstrip().startswith(b"[")
            continue
        if type(row) is not dict:
            unreadable.add("JSON, but not an object with fields", number)
            array = array or type(row) is list
            continue
        if not lines:
            known = tuple(row)
        lines.append(number)
        for name, add in rows:
            add(row.get(name, MISSING))
    if not lines:
        reasons = f": {'; '.join(unreadable.told())}" if unreadable.counts else ": the file is empty"
        remedy = "write one JSON object a line" + (", not one array" if array else "")
        raise UserError(f"no rows{reasons}", where=str(path), remedy=remedy)
    return Columns(path, lines, dict(zip(names, columns, strict=True)), known, unreadable)


def _raw_lines(path: Path) -> Iterator[bytes]:
    """The lines of a plain or gzip file, without a byte-order mark."""
    if path.is_dir():
        raise UserError("is a folder", where=str(path), remedy="name a file of JSON lines")
    if not path.exists():
        raise UserError("no such file", where=str(path), remedy="name a file of JSON lines, plain or gzip")
    with path.open("rb") as plain, _uncollected():
        packed = plain.peek(2)[:2] == b"\x1f\x8b"
        with gzip.open(plain) if packed else plain as file:
            try:
                for i, line in enumerate(file):
                    yield line.removeprefix(b"\xef\xbb\xbf") if i == 0 else line
            except (EOFError, gzip.BadGzipFile, zlib.error) as e:
                raise UserError(
                    f"the gzip file is damaged or cut off ({e})", where=str(path), remedy="make it again"
                ) from e


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage in circles: rows have none, and to look takes a third of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
