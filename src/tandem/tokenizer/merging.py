"""Learning the merges of byte-level BPE from counted pieces, in array operations.

All different pieces lie one after the other in one array of symbols; merging a pair writes the new symbol over the left
one and links past the right one. A pair's places are written down once, when it is born: at the start, or when a merge
makes one of its symbols. Later merges only take places away, so its count is checked when its turn comes and not kept
up to date in between: one merge is some forty array operations, however many pieces it touches.

The merges and their order are those of the `tokenizers` library's `BpeTrainer`: among equal counts the pair of smaller
ids first. A token has one way to be made, so no pair is born twice: two occurrences of its bytes that became one token
saw the same merges within, in the same order. Counts nothing and reads no text.

Rejected: the library itself, which takes texts only, not counts: 2 to 5 times slower on 20 MB.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.tokenizer.bytelevel import spelling
from tandem.tokenizer.splitting import BORDER, Bytes

Numbers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Waiting: TypeAlias = tuple[int, int, int, int]
"""A pair that waits for its turn: its count negated, the pair, and the birth that lists its places, by two indices."""

_SEPARATOR, _GONE = 0, -1
_SHIFT = 32


@dataclass(frozen=True)
class _Birth:
    """Pairs born at one time, and where."""

    places: Numbers
    """Where the left symbols stand, ascending within a pair, pair after pair."""
    bounds: Numbers
    """Where each pair's places begin, and the end of the last."""


def learn(data: Bytes, counts: Numbers, tokens: int, *, longest: int, least: int) -> list[tuple[bytes, bytes]]:
    """The merges that make a vocabulary of up to `tokens`, the 256 bytes included, in the order they are learnt.

    Args:
        data: different pieces, each followed by the byte 0xFF.
        counts: how often each occurs.
        tokens: size at which to stop.
        longest: two tokens whose bytes together are this many or more are not merged.
        least: a pair rarer than this is not merged; learning ends there.
    """
    return _Learner(data, counts, longest, least).run(tokens)


class _Learner:
    def __init__(self, data: Bytes, counts: Numbers, longest: int, least: int) -> None:
        ends = np.flatnonzero(data == BORDER)
        lengths = np.diff(ends, prepend=-1)
        border = np.full(1, BORDER, np.uint8)
        self._symbol: Numbers = _SYMBOLS[np.concatenate([border, data])]
        self._weight: Numbers = np.concatenate([np.zeros(1, np.int64), np.repeat(counts, lengths)])
        self._next: Numbers = np.arange(1, len(self._symbol) + 1)
        self._last: Numbers = np.arange(-1, len(self._symbol) - 1)
        self._least, self._longest = max(least, 1), longest
        self._tokens = [b"", *_BYTES]  # by symbol; a symbol is the library's id plus one
        self._length: Numbers = np.full(1 << 10, longest, np.int64)  # of each token; none may join the separator
        self._length[1 : len(self._tokens)] = 1
        self._merges: list[tuple[int, int]] = []
        self._births: list[_Birth] = []
        self._heap: list[Waiting] = []
        self._rare: list[NDArray[np.int64]] = []  # rows of count, pair, birth and index, too rare to have a turn soon
        self._bar = int(counts.max(initial=1))  # what is rarer than this is in `_rare`
        left = np.flatnonzero((self._symbol[:-1] > _SEPARATOR) & (self._symbol[1:] > _SEPARATOR))
        self._enter(left, self._symbol[left] << _SHIFT | self._symbol[left + 1], self._weight[left])

    def run(self, tokens: int) -> list[tuple[bytes, bytes]]:
        """Merge the most frequent pair until there are `tokens` tokens or no pair is frequent enough."""
        while len(self._tokens) - 1 < tokens:
            if not self._heap or -self._heap[0][0] < self._bar:
                if self._bar > self._least:
                    self._lower_the_bar()
                    continue
                if not self._heap:
                    break
            negative, pair, birth, index = heapq.heappop(self._heap)
            left, right = pair >> _SHIFT, pair & (1 << _SHIFT) - 1
            bounds = self._births[birth].bounds
            places = self._births[birth].places[bounds[index] : bounds[index + 1]]
            places = places[self._symbol[places] == left]
            places = places[self._symbol[self._next[places]] == right]
            count = int(np.add.reduce(self._weight[places]))
            if count != -negative:  # other merges took some since it was counted
                if count > 0:
                    heapq.heappush(self._heap, (-count, pair, birth, index))
                continue
            if count < self._least:
                break
            self._merge(left, right, places)
        return [(self._tokens[left], self._tokens[right]) for left, right in self._merges]

    def _merge(self, left: int, right: int, places: Numbers) -> None:
        """Make the pair one symbol at places where it stands, and enter the pairs this brings about."""
        if left == right:
            places = self._every_other(places)
        token = self._tokens[left] + self._tokens[right]
        new = self._add(token)
        self._merges.append((left, right))
        gone = self._next[places]
        after = self._next[gone]
        self._symbol[places], self._symbol[gone] = new, _GONE
        self._next[places], self._last[after] = after, places
        before = self._last[places]
        # Where the merged pair repeats, (new, new) is born once: to the left of the second.
        precedes, follows = self._symbol[before], self._symbol[after]
        room = self._longest - len(token)
        before_too = self._length[precedes] < room
        after_too = (self._length[follows] < room) & (follows != new)
        pairs = np.concatenate([precedes[before_too] << _SHIFT | new, follows[after_too] | new << _SHIFT])
        born = np.concatenate([before[before_too], places[after_too]])
        self._enter(born, pairs, self._weight[born])

    def _enter(self, places: Numbers, pairs: Numbers, weights: Numbers) -> None:
        """Write down newly born pairs, with their counts."""
        if not len(pairs):
            return
        order = np.argsort(pairs, kind="stable")
        pairs = pairs[order]
        first = np.concatenate([_TRUE, pairs[1:] != pairs[:-1]]).nonzero()[0]
        pairs, counts = pairs[first], np.add.reduceat(weights[order], first)
        birth = len(self._births)
        self._births.append(_Birth(places[order], np.append(first, len(order))))
        soon = counts >= self._bar
        if soon.any():
            for count, pair, index in zip(counts[soon].tolist(), pairs[soon].tolist(), np.flatnonzero(soon).tolist()):
                heapq.heappush(self._heap, (-count, pair, birth, index))
        late = np.flatnonzero(~soon & (counts >= self._least))
        if len(late):
            self._rare.append(np.stack([counts[late], pairs[late], np.full(len(late), birth), late]))

    def _lower_the_bar(self) -> None:
        """Let rarer pairs wait for their turn too."""
        rows = np.concatenate(self._rare, axis=1) if self._rare else np.zeros((4, 0), np.int64)
        most = max(int(rows[0].max(initial=1)), -self._heap[0][0] if self._heap else 1)
        self._bar = max(self._least, min(self._bar, most) // 2)
        soon = rows[0] >= self._bar
        self._heap += [(-count, *rest) for count, *rest in rows[:, soon].T.tolist()]
        heapq.heapify(self._heap)
        self._rare = [rows[:, ~soon]]

    def _add(self, token: bytes) -> int:
        new = len(self._tokens)
        self._tokens.append(token)
        if new == len(self._length):
            self._length = np.concatenate([self._length, self._length])
        self._length[new] = len(token)
        return new

    def _every_other(self, places: Numbers) -> Numbers:
        """Of places in a run of one symbol, `aaaa`, the first, third …: pairs are made from the left."""
        linked = self._next[places[:-1]] == places[1:]
        if not linked.any():
            return places
        number = np.arange(len(places))
        begins = np.maximum.accumulate(np.where(np.concatenate([_TRUE, ~linked]), number, 0))
        first: Numbers = places[(number - begins) % 2 == 0]
        return first


_TRUE: Mask = np.ones(1, np.bool_)
_BYTES = [bytes([byte]) for byte in sorted(range(256), key=lambda byte: ord(spelling()[byte]))]
_SYMBOLS: Numbers = np.zeros(256, np.int64)
_SYMBOLS[[token[0] for token in _BYTES]] = np.arange(1, 257)
_SYMBOLS[BORDER] = _SEPARATOR
