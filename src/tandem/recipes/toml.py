"""TOML out, and where in a TOML text each key stands.

Python reads TOML (`tomllib`) but does not write it, and its reader forgets line numbers; this does those two things for
the plain data a recipe is made of: tables, lists of tables, strings, numbers, booleans, lists of them. What this does
not do: dates, or keeping comments. Rejected: tomlkit; it keeps both, at 40 ms of import and a dependency.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str | int, ...]
"""A path into nested data: names of tables and keys, numbers of list items."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*(\]\]?)\s*(#.*)?$")
_PART = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*""")


def write(data: Mapping[str, Any]) -> str:
    """TOML text of nested data; None values are left out. `tomllib.loads` gives the same data back."""
    lines: list[str] = []
    _body(lines, (), data)
    return "\n".join(lines).strip("\n") + "\n"


def key_text(key: Key) -> str:
    """A key path as it is written: `model.layers`, `stage[0].context`, `mixture.second."mixture:first"`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + _key(part)
    return text


def split_key(text: str) -> tuple[str, ...] | None:
    """Parts of a dotted key, quotes removed; None when it is not one."""
    parts: list[str] = []
    place = 0
    while True:
        match = _PART.match(text, place)
        if match is None:
            return None
        name = match.group(1)
        parts.append(tomllib.loads(f"x = {name}")["x"] if name[0] in "\"'" else name)
        place = match.end()
        if place == len(text):
            return tuple(parts)
        if text[place] != ".":
            return None
        place += 1


def lines_of(text: str) -> dict[Key, int]:
    """Line, from 1, of every table header and key of a valid TOML text; keys inside inline tables are not listed."""
    places: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    depth, fence = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not depth and not fence:
            header = _HEADER.match(line)
            if header is not None and (named := split_key(header.group(2))) is not None:
                table = _within(named, counts)
                if header.group(1) == "[[":
                    index = counts.get(table, -1) + 1
                    counts[table] = index
                    table = (*table, index)
                places.setdefault(table, number)
                continue
            left, equals, rest = line.partition("=")
            if equals and (named := split_key(left)) is not None:
                for n in range(1, len(named) + 1):
                    places.setdefault((*table, *named[:n]), number)
                line = rest
        depth, fence = _open(line, depth, fence)
    return places


def line_of(places: Mapping[Key, int], key: Key) -> int | None:
    """Line of a key, or of the nearest table around it; None when none is written."""
    for n in range(len(key), 0, -1):
        if key[:n] in places:
            return places[key[:n]]
    return None


def _within(named: tuple[str, ...], counts: Mapping[Key, int]) -> Key:
    """The path of a header; a list of tables on the way means its latest table."""
    path: Key = ()
    for i, part in enumerate(named):
        path = (*path, part)
        if i < len(named) - 1 and path in counts:
            path = (*path, counts[path])
    return path


def _open(line: str, depth: int, fence: str) -> tuple[int, str]:
    """Brackets and multi-line quotes still open at the end of a line."""
    place = 0
    while place < len(line):
        three, one = line[place : place + 3], line[place]
        if fence:
            if three == fence:
                fence, place = "", place + 3
            else:
                place += 2 if one == "\\" and fence == '"""' else 1
        elif three in ('"""', "'''"):
            fence, place = three, place + 3
        elif one in "\"'":
            place += 1
            while place < len(line) and line[place] != one:
                place += 2 if line[place] == "\\" and one == '"' else 1
            place += 1
        elif one == "#":
            break
        else:
            depth += (one in "[{") - (one in "]}")
            place += 1
    return depth, fence


def _body(lines: list[str], path: tuple[str, ...], data: Mapping[str, Any]) -> None:
    """The lines of one table: its values, then the tables in it, each under a header."""
    plain = {k: v for k, v in data.items() if v is not None and not _is_table(v) and not _is_list_of_tables(v)}
    lines += [f"{_key(key)} = {value_text(value)}" for key, value in plain.items()]
    for key, value in data.items():
        header = ".".join(map(_key, (*path, key)))
        if _is_table(value):
            given = [inner for inner in value.values() if inner is not None]
            if not given or not all(_is_table(inner) or _is_list_of_tables(inner) for inner in given):
                lines += ["", f"[{header}]"]
            _body(lines, (*path, key), value)
        elif _is_list_of_tables(value):
            for item in value:
                lines += ["", f"[[{header}]]"]
                _body(lines, (*path, key), item)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's, but for DEL


def value_text(value: Any) -> str:
    """One value as TOML: text in quotes, thousands of whole numbers apart, a table inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return repr(value) if any(c in repr(value) for c in ".en") else f"{value!r}.0"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {value_text(v)}" for k, v in value.items() if v is not None) + " }"
    raise TypeError(f"TOML has no form for {type(value).__name__} here")
