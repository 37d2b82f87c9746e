"""Test items as a set of hashed words in a row, and text looked through for them: memory as large as the items.

A run of words that more than `COMMON` items share is none of any item's. Each text's runs are looked up in a bitmap
first, the few that pass in a sorted list; what is found there is compared word for word. What this does not do: find
a paraphrase or an item of fewer than `WORDS` words, or say that a found item is answered better for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.evaluate.overlap.words import COMMON, WORDS, Text, prepared

_SPREAD = 64
"""Places of the bitmap for each hash."""


@dataclass(frozen=True)
class Found:
    """An item that was found."""

    place: str
    """Where first: file and line, or record."""
    words: str
    """The words in a row that were found first."""
    runs: int
    """Its runs of words that were found."""
    of: int
    """Its runs of words."""

    def to_json(self) -> dict[str, Any]:
        """As a field of the item's record."""
        return {"place": self.place, "words": self.words, "runs": self.runs, "of": self.of}


@dataclass(frozen=True)
class Looked:
    """What a text holds of a task's items."""

    found: Mapping[str, Found]
    """By item, those that were found, in the items' order."""
    items: int
    """Items looked for."""
    short: int
    """Of them those that have no run of words to be found by."""


class Items:
    """The items of any number of tasks, to be looked for in one pass."""

    def __init__(self, tasks: Mapping[str, Mapping[str, str]], n: int = WORDS) -> None:
        """`tasks` gives each task's items: id → question and right answer as one text."""
        self._n = n
        self._names = [(task, id) for task, items in tasks.items() for id in items]
        texts = [prepared(text) for items in tasks.values() for text in items.values()]
        ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)
        self._text = Text(b"\n".join(texts))
        item_of = np.searchsorted(ends, self._text.starts, side="right")
        hashes = self._text.runs(n)
        whole = item_of[: len(hashes)] == item_of[n - 1 :] if len(hashes) else np.empty(0, dtype=bool)
        firsts = np.flatnonzero(whole)
        hashes, holders = hashes[firsts], item_of[firsts]
        task_of = np.repeat(np.arange(len(tasks)), [len(items) for items in tasks.values()])
        kept = _own(hashes, holders, task_of)
        order = np.lexsort((holders[kept], hashes[kept]))
        self._hashes = hashes[kept][order]
        self._holders = holders[kept][order]
        self._firsts = firsts[kept][order]
        self._seen = np.zeros(len(self._hashes), dtype=bool)
        self._first_seen: dict[int, tuple[str, str]] = {}
        bits = max(16, (len(self._hashes) * _SPREAD - 1).bit_length())
        self._shift = np.uint64(64 - min(bits, 28))
        self._bitmap = np.zeros(1 << min(bits, 28), dtype=bool)
        self._bitmap[self._hashes >> self._shift] = True

    def look(self, text: Text, begin: NDArray[np.int64], place: Callable[[int], str]) -> None:
        """Look through a text whose documents begin at these bytes; `place` says where in it a byte stands."""
        hashes = text.runs(self._n)
        maybe = np.flatnonzero(self._bitmap[hashes >> self._shift])
        if not len(maybe):
            return
        at = np.searchsorted(self._hashes, hashes[maybe])
        there = at < len(self._hashes)
        maybe, at = maybe[there], at[there]
        hit = (self._hashes[at] == hashes[maybe]) & ~self._seen[at]
        if not hit.any():
            return
        maybe, at = maybe[hit], at[hit]
        begins = np.searchsorted(begin, text.starts[maybe], side="right")
        ends = np.searchsorted(begin, text.starts[maybe + self._n - 1], side="right")
        for first, key in zip(maybe[begins == ends].tolist(), at[begins == ends].tolist(), strict=True):
            if self._seen[key]:
                continue
            found = text.words(first, self._n)
            if found != self._text.words(int(self._firsts[key]), self._n):
                continue  # two runs with one hash
            last = int(np.searchsorted(self._hashes, self._hashes[key], side="right"))
            self._seen[key:last] = True
            for holder in self._holders[key:last].tolist():
                if holder not in self._first_seen:
                    words = b" ".join(found).decode("utf-8", "replace")
                    self._first_seen[holder] = (place(int(text.starts[first])), words)

    def looked(self) -> dict[str, Looked]:
        """What has been found, by task."""
        size = len(self._names)
        of = np.bincount(self._holders, minlength=size).tolist()
        seen = np.bincount(self._holders[self._seen], minlength=size).tolist()
        told: dict[str, dict[str, Found]] = {}
        counts: dict[str, list[int]] = {}
        for number, (task, id) in enumerate(self._names):
            found, count = told.setdefault(task, {}), counts.setdefault(task, [0, 0])
            count[0] += 1
            count[1] += of[number] == 0
            if number in self._first_seen:
                found[id] = Found(*self._first_seen[number], seen[number], of[number])
        return {task: Looked(found, *counts[task]) for task, found in told.items()}


def _own(hashes: NDArray[np.uint64], holders: NDArray[np.int64], task_of: NDArray[np.int64]) -> NDArray[np.intp]:
    """Which runs count: each once an item, and none that too many items of a task share."""
    order = np.lexsort((holders, hashes))
    h, i = hashes[order], holders[order]
    once = np.ones(len(h), dtype=bool)
    once[1:] = (h[1:] != h[:-1]) | (i[1:] != i[:-1])
    order, h, t = order[once], h[once], task_of[i[once]]
    if not len(h):
        return order
    begins = np.ones(len(h), dtype=bool)  # of the holders of one run in one task: tasks lie in order
    begins[1:] = (h[1:] != h[:-1]) | (t[1:] != t[:-1])
    group = np.cumsum(begins) - 1
    kept: NDArray[np.intp] = order[np.bincount(group)[group] <= COMMON]
    return kept
