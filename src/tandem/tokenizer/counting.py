"""How often each piece occurs in a text: what byte-level BPE needs to know of it.

Pieces of up to seven bytes, five in six of all, are counted as 64-bit numbers by sorting (the eighth byte is their
length, so equal numbers are equal pieces); longer ones in a dictionary. Memory grows with the different pieces only.
Knows nothing of merges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from tandem.tokenizer.splitting import BORDER, Bytes, Places, Words, first_words, piece_starts, stretches

LONGEST = 1 << 10
"""Bytes of a piece that are counted as one: longer ones are cut where characters begin.

Learning holds some 50 bytes for each byte of a different piece; of a gigabyte of one character it then sees a kilobyte.
"""
_SHORT = 7
_AT_ONCE = 1 << 18
"""Bytes cut at a time; short texts are put together up to this, as arrays of a few words cost as much as long ones."""
_KEPT = 1 << 20
"""Counts of stretches that are kept before they are added up."""


def count_pieces(texts: Iterable[str]) -> tuple[Bytes, Places]:
    """The different pieces of well-formed texts as UTF-8, each followed by the byte 0xFF, and how often each occurs.

    The order of the pieces is the same for the same texts.
    """
    short = _ShortPieces()
    longer: Counter[bytes] = Counter()
    for data, starts in _together(texts):
        lengths = np.diff(starts, append=len(data))
        brief = lengths <= _SHORT
        short.add(data, starts[brief], lengths[brief])
        begins, ends = starts[~brief], starts[~brief] + lengths[~brief]
        pieces = [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist())]
        if lengths.max() > LONGEST:
            pieces = [part for piece in pieces for part in _cut(piece)]
        longer.update(pieces)
    brief_ones, counts = short.counted()
    long_ones = np.frombuffer(b"".join([piece + b"\xff" for piece in longer]), np.uint8)
    return (
        np.concatenate([brief_ones, long_ones]),
        np.concatenate([counts, np.fromiter(longer.values(), np.int64, len(longer))]),
    )


class _ShortPieces:
    def __init__(self) -> None:
        self._counted: list[tuple[Words, Places]] = []
        self._kept = 0

    def add(self, data: bytes, starts: Places, lengths: Places) -> None:
        head, _ = first_words(data, starts, lengths)
        head |= lengths.astype(np.uint64) << _TOP
        head.sort()
        self._counted.append(_add_up(head, np.ones(len(head), np.int64)))
        self._kept += len(self._counted[-1][0])
        if self._kept > _KEPT:
            self._add_up()

    def _add_up(self) -> None:
        numbers = np.concatenate([numbers for numbers, _ in self._counted])
        counts = np.concatenate([counts for _, counts in self._counted])
        order = np.argsort(numbers)
        self._counted = [_add_up(numbers[order], counts[order])]
        self._kept = 0  # not what is left, or many different pieces would be added up again for every stretch

    def counted(self) -> tuple[Bytes, Places]:
        """The pieces, each followed by 0xFF, and their counts."""
        if not self._counted:
            return np.zeros(0, np.uint8), np.zeros(0, np.int64)
        self._add_up()
        [(numbers, counts)] = self._counted
        counts, numbers = counts[numbers != _BORDER], numbers[numbers != _BORDER]
        rows = numbers.astype("<u8").view(np.uint8).reshape(-1, 8).copy()
        lengths = rows[:, _SHORT].astype(np.int64)
        rows[np.arange(len(rows)), lengths] = BORDER
        return rows[np.arange(8) <= lengths[:, None]], counts


def _add_up(numbers: Words, counts: Places) -> tuple[Words, Places]:
    """Sorted numbers, each once, with the sums of their counts."""
    if not len(numbers):
        return numbers, counts
    first = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    return numbers[first], np.add.reduceat(counts, first)


def _together(texts: Iterable[str]) -> Iterator[tuple[bytes, Places]]:
    """Texts in stretches, short ones joined by 0xFF, and where pieces begin in each."""
    group: list[bytes] = []
    size = 0
    for text in texts:
        data = text.encode()
        if len(data) > _AT_ONCE:
            yield from stretches(data, _AT_ONCE)
            continue
        group.append(data)
        size += len(data) + 1
        if size > _AT_ONCE:
            data = b"\xff".join(group)
            yield data, piece_starts(np.frombuffer(data, np.uint8))
            group, size = [], 0
    data = b"\xff".join(group)
    if data:
        yield data, piece_starts(np.frombuffer(data, np.uint8))


def _cut(piece: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(piece):
        end = min(begin + LONGEST, len(piece))
        while end < len(piece) and piece[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        yield piece[begin:end]
        begin = end


_TOP = np.uint64(56)
_BORDER = np.uint64(1 << 56 | BORDER)
