"""Which passages hold a word, and how often: the inverted index of one segment, built in memory, then on disk.

    terms.bin, terms-ends.npy   words, sorted by their bytes      starts.npy   first pair of each word; T + 1
    passages.npy, often.npy     the pairs: passage, times; P      most.npy     largest number of times, per word
    lengths.npy                 words of each passage; N

Frequencies are stored, not scores: scores depend on all segments, and follow from these in two operations (see
`ranking`). Building places pairs by counting, no sort over all of them. What this does not do: delete.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.sources.passages import arrays, vocabulary
from tandem.sources.passages.counting import Counted
from tandem.sources.passages.vocabulary import Vocabulary
from tandem.sources.passages.words import Places

_REMEMBERED = 1 << 14
"""Words whose place is kept in memory."""


class Postings:
    """The words of some passages, opened from a folder or built in memory."""

    def __init__(
        self,
        terms: Sequence[bytes],
        starts: Places,
        passages: NDArray[np.uint32],
        often: NDArray[Any],
        most: NDArray[Any],
        lengths: NDArray[np.uint32],
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.terms = terms
        self.starts = starts
        self.passages = passages
        self.often = often
        self.most = most
        self.lengths = lengths
        self._vocabulary = vocabulary
        self._places: dict[str, int] = {}

    @classmethod
    def open(cls, folder: Path) -> Postings:
        """From what `save` wrote."""
        names = ("starts", "passages", "often", "most", "lengths")
        return cls(arrays.Texts(folder, "terms"), *(arrays.load(folder, name) for name in names))  # type: ignore[arg-type]

    def save(self, folder: Path) -> None:
        """Write what was built into a folder."""
        lengths, data = vocabulary.buffers(self._vocabulary)
        with arrays.TextsWriter(folder, "terms") as writer:
            writer.add_stretch(data, lengths)
        for name in ("starts", "passages", "often", "most", "lengths"):
            arrays.save(folder, name, getattr(self, name))

    def place(self, term: str) -> int:
        """Number of a word, −1 where it does not occur."""
        place = self._places.get(term)
        if place is None:
            data = term.encode()
            place = bisect_left(self.terms, data)
            if place == len(self.terms) or self.terms[place] != data:
                place = -1
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            self._places[term] = place
        return place

    def pairs(self, place: int) -> tuple[NDArray[np.uint32], NDArray[Any]]:
        """Passages that hold a word, ascending, and how often each does."""
        low, high = int(self.starts[place]), int(self.starts[place + 1])
        return self.passages[low:high], self.often[low:high]


class Builder:
    """Collects counted batches of passages, in order."""

    def __init__(self) -> None:
        self._batches: list[Counted] = []
        self.pairs = 0
        """Pairs collected: a measure of the memory it takes, some 8 bytes each."""

    def add(self, counted: Counted) -> None:
        """The passages that come next."""
        self._batches.append(counted)
        self.pairs += len(counted.texts)

    def build(self) -> Postings:
        """The postings of everything collected; the builder is spent afterwards."""
        ranks, terms = vocabulary.united([batch.terms for batch in self._batches])
        frequency = np.zeros(len(terms), np.int64)
        highest = 0
        for rank, batch in zip(ranks, self._batches):
            frequency[rank] += np.diff(batch.starts)
            highest = max(highest, int(batch.often.max(initial=0)))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(frequency)])
        passages = np.empty(self.pairs, np.uint32)
        often = np.empty(self.pairs, narrow(highest))
        lengths = [np.zeros(0, np.uint32)]
        free, before = starts[:-1].copy(), 0
        for rank in ranks:
            batch = self._batches.pop(0)
            sizes = np.diff(batch.starts)
            place = np.repeat(free[rank] - batch.starts[:-1], sizes) + np.arange(len(batch.texts))
            passages[place] = batch.texts + np.uint32(before)
            often[place] = np.minimum(batch.often, np.iinfo(often.dtype).max)
            free[rank] += sizes
            lengths.append(batch.lengths)
            before += len(batch.lengths)
        return Postings(
            terms.to_pylist(), starts, passages, often, largest(often, starts), np.concatenate(lengths), terms
        )


def narrow(highest: int) -> type[np.uint8] | type[np.uint16]:
    """The smallest type that holds so many times; more than 65,535 count as that."""
    return np.uint8 if highest < 1 << 8 else np.uint16


def largest(often: NDArray[Any], starts: Places) -> NDArray[Any]:
    """The largest number of times of each word; every word has a pair."""
    return np.maximum.reduceat(often, starts[:-1]) if len(often) else often[:0]
