"""Columns that grow at their end while others read them: numbers, names, and text to be searched.

A reader holds a length and looks at nothing beyond it; what it looks at does not change any more. So one thread may
append while others filter, without a lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.view.items.record import SHORT

MANY = 400
"""Different names from which a column is no column of names, but of texts."""
NONE = -1
"""Code of a row without a name."""
BETWEEN, BEHIND = b"\xfe", b"\xff"
"""Between two texts of a row and behind the last one: no bytes of UTF-8, so nothing found goes across them."""


class Grown:
    """An array with room at its end."""

    def __init__(self, kind: Any, fill: float) -> None:
        self._fill = fill
        self._data: NDArray[Any] = np.full(1024, fill, kind)

    def put(self, start: int, values: Sequence[Any] | NDArray[Any]) -> None:
        """Values from row `start` on."""
        self._reach(start + len(values))
        self._data[start : start + len(values)] = values

    def upto(self, n: int) -> NDArray[Any]:
        """The first n rows; those never set hold the filling."""
        self._reach(n)
        return self._data[:n]

    def _reach(self, n: int) -> None:
        """Make room. Whoever holds the old array keeps it: its rows are the same."""
        if n > len(self._data):
            more: NDArray[Any] = np.full(max(n, 2 * len(self._data)), self._fill, self._data.dtype)
            more[: len(self._data)] = self._data
            self._data = more


class Names:
    """A column of short texts out of few; given up for good once they are long or many."""

    def __init__(self) -> None:
        self.values: list[str] = []
        """Different names, in the order in which they came."""
        self.given_up = False
        self._codes: dict[str, int] = {}
        self._rows = Grown(np.int32, NONE)

    def set(self, rows: Mapping[int, str]) -> None:
        """The names of rows, ascending, behind all that were set before."""
        if self.given_up or not rows:
            return
        for value in dict.fromkeys(rows.values()):
            if value not in self._codes:
                if len(value) > SHORT or "\n" in value or len(self.values) >= MANY:
                    self.given_up = True
                    self._codes.clear()
                    return
                self._codes[value] = len(self.values)
                self.values.append(value)
        self._rows.upto(max(rows) + 1)[list(rows)] = [self._codes[value] for value in rows.values()]

    def upto(self, n: int) -> NDArray[np.int32]:
        """Codes of the first n rows."""
        return self._rows.upto(n)


@dataclass(frozen=True)
class Text:
    """The folded texts of some rows in a row."""

    first: int
    """Number of the first row."""
    data: bytes
    """Texts as UTF-8, `BETWEEN` between those of a row, `BEHIND` after each row."""
    ends: list[int]
    """Where each row ends."""

    def rows(self, needle: bytes) -> Iterator[int]:
        """Rows that hold these bytes, ascending."""
        at = self.data.find(needle)
        while at >= 0:
            place = bisect_right(self.ends, at)
            yield self.first + place
            at = self.data.find(needle, self.ends[place])


def folded(written: str) -> bytes:
    """A text as it is searched: without case, lone surrogates kept."""
    return written.casefold().encode("utf-8", "surrogatepass")


def text_of(first: int, rows: Sequence[Sequence[str]]) -> Text:
    """The texts of rows, each a sequence of texts."""
    parts: list[bytes] = []
    ends: list[int] = []
    at = 0
    for texts in rows:
        row = BETWEEN.join(map(folded, texts)) + BEHIND
        at += len(row)
        parts.append(row)
        ends.append(at)
    return Text(first, b"".join(parts), ends)
