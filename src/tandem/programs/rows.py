"""Rows of data files: JSON Lines, gzip or not, or one JSON list; and which kind of file each is, by its fields.

Files are known by what their rows hold, never by their names. What this does not do: fetch anything; the data are the
user's.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError


@dataclass(frozen=True)
class Kind:
    """A kind of data file."""

    name: str
    """Short name."""
    fields: tuple[str, ...]
    """Fields that every row has."""
    comes_from: str
    """Where such a file usually comes from."""


KINDS = {
    "humaneval": Kind(
        "HumanEval",
        ("task_id", "prompt", "entry_point", "canonical_solution", "test"),
        "OpenAI's repository human-eval (data/HumanEval.jsonl.gz), or the data set openai_humaneval",
    ),
    "mbpp": Kind(
        "MBPP",
        ("task_id", "text", "code", "test_list"),
        "google-research's folder mbpp (mbpp.jsonl), or the data set mbpp, configuration full",
    ),
    "mbpp_sanitized": Kind(
        "sanitized MBPP",
        ("task_id", "prompt", "code", "test_list", "test_imports"),
        "google-research's folder mbpp (sanitized-mbpp.json), or the data set mbpp, configuration sanitized",
    ),
    "seen": Kind(
        "seen tests",
        ("task_id", "seen_tests"),
        'your own: {"task_id": "HumanEval/0", "seen_tests": ["assert candidate(1) == 2"]} a line',
    ),
}
"""The files that can be read. MBPP's two forms differ in what the sentence is called."""

_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".ndjson")


def read(file: Path, bad: Callable[[UserError], object] | None = None) -> Iterator[tuple[str, Any]]:
    """Every row with its place (`file:line`, or `file: row n` of a list). Raises UserError, with the place.

    With `bad`, a line that is not JSON goes there, and the next one is read.
    """
    try:
        with file.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
            if ".json" in file.suffixes[-2:]:
                for number, row in enumerate(_list(stream.read(), file), 1):
                    yield f"{file}: row {number}", row
                return
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    row = _json(line, f"{file}:{number}")
                except UserError as e:
                    if bad is None:
                        raise
                    bad(e)
                else:
                    yield f"{file}:{number}", row
    except FileNotFoundError:
        raise UserError("no such file", where=str(file), remedy="check the path") from None
    except (OSError, EOFError, zlib.error) as e:
        raise UserError(f"cannot be read: {e}", where=str(file), remedy="name a JSONL file, .gz or not") from None


def objects(file: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row as an object with the fields of a kind. Raises UserError on a row without them, and on no rows."""
    wanted, empty = KINDS[kind], True
    for where, row in read(file):
        empty = False
        if not isinstance(row, dict):
            raise UserError("is not an object", where=where, remedy=_form(wanted))
        if lacking := [name for name in wanted.fields if name not in row]:
            has = ", ".join(map(str, row)) or "none"
            problem = f"is no row of {wanted.name}: {', '.join(lacking)} missing (its fields: {has:.200})"
            raise UserError(problem, where=where, remedy=_form(wanted))
        yield where, row
    if empty:
        raise UserError("holds no rows", where=str(file), remedy=_form(wanted))


def find(places: Sequence[Path], kind: str) -> Path:
    """The one file of a kind among files and folders. Raises UserError where there is none, or more than one."""
    wanted = KINDS[kind]
    looked: list[str] = []
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise UserError("no such file or folder", where=str(place), remedy=_form(wanted))
        files = [place]
        if place.is_dir():
            files = sorted(p for p in place.iterdir() if p.is_file() and p.name.endswith(_ENDINGS))
        for file in files:
            if (is_of := kind_of(file)) == kind and file not in found:
                found.append(file)
            looked.append(f"{file.name} ({KINDS[is_of].name if is_of else 'another kind of file'})")
    if len(found) > 1:
        names = ", ".join(str(file) for file in found)
        raise UserError(
            f"{len(found)} files of {wanted.name}: {names}", where="--data", remedy="name the one that is meant"
        )
    if not found:
        where = ", ".join(map(str, places)) or "--data"
        there = f"; there are {', '.join(looked[:8])}{' …' if len(looked) > 8 else ''}" if looked else ""
        raise UserError(f"no data of {wanted.name}{there}", where=where, remedy=_form(wanted))
    return found[0]


def kind_of(file: Path) -> str | None:
    """The kind of a file by the fields of its first row; None where it is no such file, or cannot be read."""
    try:
        _, row = next(read(file))
    except (UserError, StopIteration):
        return None
    if not isinstance(row, dict):
        return None
    return next((name for name, kind in KINDS.items() if all(field in row for field in kind.fields)), None)


def text(row: dict[str, Any], name: str, where: str) -> str:
    """A field that is a text."""
    value = row.get(name)
    if not isinstance(value, str):
        raise UserError(f"{name} is {value!r:.60}, not a text", where=where, remedy="mend the file")
    return value


def texts(row: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    """A field that is a list of texts; empty where it is missing."""
    value = row.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UserError(f"{name} is {value!r:.60}, not a list of texts", where=where, remedy="mend the file")
    return tuple(value)


def _form(kind: Kind) -> str:
    return f"a file of {kind.name} has the fields {', '.join(kind.fields)}; it usually comes from {kind.comes_from}"


def _json(line: bytes, where: str) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise UserError(f"byte {e.start} is not UTF-8", where=where, remedy="save the file as UTF-8") from None
    except (ValueError, RecursionError) as e:
        raise UserError(f"is not JSON: {e}", where=where, remedy="write one object a line") from None


def _list(data: bytes, file: Path) -> list[Any]:
    rows = _json(data, str(file))
    if not isinstance(rows, list):
        raise UserError("is not a list of rows", where=str(file), remedy="give a JSON list, or JSON Lines in .jsonl")
    return rows
