"""Lines of a file on their way into the columns of its index: each a record, or broken with the reason."""

from __future__ import annotations

import codecs
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tandem.view.items import record as said


@dataclass(frozen=True)
class Broken:
    """A line that is no record."""

    line: int
    """Its number, from 1."""
    why: str
    """The reason."""


@dataclass
class Batch:
    """Records on their way into the columns."""

    first: int
    starts: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    verdicts: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    numbers: defaultdict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    names: defaultdict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    def take(self, line: bytes, start: int, number: int) -> None:
        """A line that is not empty: a record, or one more that is broken."""
        found = parsed(line)
        try:
            texts = None if found is None else said.texts(found)
        except RecursionError:
            texts = None
        if found is None or texts is None:
            self.broken.append(Broken(number, why(line)))
        else:
            self._add(found, texts, start, len(line), number)

    def _add(self, found: dict[str, Any], texts: list[str], start: int, length: int, line: int) -> None:
        row = self.first + len(self.starts)
        self.starts.append(start)
        self.lengths.append(length)
        self.lines.append(line)
        right = said.verdict(found)
        self.verdicts.append(-1 if right is None else int(right))
        id = said.id_of(found)
        self.ids.append(id or f"line {line}")
        key = said.key_of(found)
        self.keys.append(hash(key) or 1 if key else 0)
        self.texts.append(texts if type(found.get("id")) is str else [id, *texts])
        for name, value in said.scalars(found):
            if type(value) is str:
                self.names[name][row] = value
            else:
                self.numbers[name][row] = value  # type: ignore[assignment]


def parsed(line: bytes) -> dict[str, Any] | None:
    """The record in a line; None where it is none."""
    try:
        found = json.loads(line.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def why(line: bytes) -> str:
    """What is wrong with a line that is no record."""
    try:
        said.texts(found := json.loads(line.decode("utf-8", "surrogatepass")))
    except UnicodeDecodeError as e:
        return f"not UTF-8 ({e.reason} at byte {e.start})"
    except RecursionError:
        return "nested too deeply"
    except ValueError as e:
        return f"not JSON ({e})"
    return f"no JSON object, but {type(found).__name__}"
