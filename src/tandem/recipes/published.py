"""The talk's figures as data, looked up by table, row and column, to be printed beside ours.

The figures stand in experiments/published.toml, one [[table]] each. What this does not do: measure anything, or say
that ours should equal them; results on the made-up world never reproduce them.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from tandem.errors import UserError
from tandem.recipes.check import suggest
from tandem.recipes.schema import shipped_file

Value: TypeAlias = str | int | float
"""A cell: a figure, or text; an empty text is an empty cell."""


@dataclass(frozen=True)
class Published:
    """One published table."""

    id: str
    """Short name."""
    title: str
    """Heading."""
    source: str
    """Where it is published."""
    note: str
    """Conventions; may be empty."""
    keys: int
    """How many leading columns name a row."""
    columns: tuple[str, ...]
    """Headings."""
    rows: tuple[tuple[Value, ...], ...]
    """As wide as `columns`."""

    def row(self, *key: str) -> tuple[Value, ...]:
        """The row these leading cells name, all `keys` of them or as many as are needed to tell it from the others."""
        found = [row for row in self.rows if tuple(map(str, row[: len(key)])) == key]
        if len(found) == 1 and key:
            return found[0]
        names = [" / ".join(map(str, row[: self.keys])) for row in self.rows]
        asked = " / ".join(key)
        raise UserError(
            f"table '{self.id}' has {'no row' if not found else f'{len(found)} rows'} '{asked}'",
            where="experiments/published.toml",
            remedy=suggest(asked, names) or f"rows: {', '.join(names)}",
        )

    def column(self, name: str) -> tuple[Value, ...]:
        """All cells under a heading."""
        return tuple(row[self._index(name)] for row in self.rows)

    def value(self, row: str | tuple[str, ...], column: str) -> Value:
        """The cell of a row and a heading."""
        return self.row(*((row,) if isinstance(row, str) else row))[self._index(column)]

    def _index(self, name: str) -> int:
        if name not in self.columns:
            raise UserError(
                f"table '{self.id}' has no column '{name}'",
                where="experiments/published.toml",
                remedy=suggest(name, self.columns) or f"columns: {', '.join(self.columns)}",
            )
        return self.columns.index(name)


@lru_cache(maxsize=1)
def tables() -> dict[str, Published]:
    """All published tables by id, in the order of the talk."""
    data = tomllib.loads(shipped_file("experiments/published.toml", "published.toml").read_text(encoding="utf-8"))
    found: dict[str, Published] = {}
    for entry in data["table"]:
        rows = tuple(tuple(row) for row in entry["rows"])
        table = Published(
            entry["id"],
            entry["title"],
            entry["source"],
            entry.get("note", ""),
            entry["keys"],
            tuple(entry["columns"]),
            rows,
        )
        assert all(len(row) == len(table.columns) for row in rows), f"{table.id}: a row of another width"
        assert table.id not in found, f"{table.id}: twice"
        found[table.id] = table
    return found


def table(id: str) -> Published:
    """A published table; `UserError` with close matches when there is none of that id."""
    known = tables()
    if id not in known:
        raise UserError(
            f"no published table '{id}'", where=id, remedy=suggest(id, list(known)) or f"tables: {', '.join(known)}"
        )
    return known[id]


def value(id: str, row: str | tuple[str, ...], column: str) -> Value:
    """One published figure: `value("mmlu", "XGen-7b", "Weighted average")` is 36.3."""
    return table(id).value(row, column)


def number(id: str, row: str | tuple[str, ...], column: str) -> float:
    """`value` where a number must stand."""
    found = value(id, row, column)
    assert not isinstance(found, str), f"{id}, {row}, {column}: '{found}' is not a number"
    return float(found)
