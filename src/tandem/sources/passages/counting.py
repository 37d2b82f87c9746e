"""How often each word stands in each text: many texts at once, in arrays; the rules are those of `words`.

A batch of texts becomes one array of characters; words are told apart by a table, numbered by Arrow's hash table, and
counted by sorting (number of the word, number of the text) pairs: 51,000 passages of 100 ASCII words in a second of one
core, 26,000 of others. Rejected: a regular expression and a counter for each text (38,000, nothing numbered yet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.sources.passages import vocabulary
from tandem.sources.passages.vocabulary import Vocabulary
from tandem.sources.passages.words import LONGEST, Places, Splitting, code_points, spans, term

_ASCII_WORD = np.zeros(256, bool)
_ASCII_WORD[[*b"0123456789abcdefghijklmnopqrstuvwxyz"]] = True


@dataclass(frozen=True)
class Counted:
    """The words of a batch of texts: pairs of a word and a text it stands in, word by word."""

    terms: Vocabulary
    """The different words, sorted by their bytes."""
    starts: Places
    """First pair of each word, and one past the last."""
    texts: NDArray[np.uint32]
    """Number of a text in the batch; ascending for each word."""
    often: NDArray[np.uint32]
    """How often the word stands there."""
    lengths: NDArray[np.uint32]
    """Words in each text."""


def count(texts: Sequence[str], splitting: Splitting) -> Counted:
    """Count the words of texts."""
    plain = [i for i, text in enumerate(texts) if text.isascii()]
    other = [i for i, text in enumerate(texts) if not text.isascii()]
    codes, owners, lists = [], [], []
    for chosen, cut in ((plain, _cut_ascii), (other, _cut)):
        if chosen:
            found, places, lengths, width, ends = cut([texts[i] for i in chosen], splitting)
            code, different = vocabulary.numbered(vocabulary.of_buffers(np.cumsum(lengths * width), found))
            if width > 1 or splitting.stem != "none" or int(lengths.max(initial=0)) > LONGEST:
                encoding = "ascii" if width == 1 else "utf-32-le"
                words = [term(word.decode(encoding), splitting).encode() for word in different.to_pylist()]
                different = vocabulary.of_words(words)  # some may be the same now
            codes.append(code)
            lists.append(different)
            owners.append(np.array(chosen, np.int64)[np.searchsorted(ends, places, side="right")])
    numbers, terms = vocabulary.united(lists)
    if not codes:
        return _counted(terms, np.zeros(0, np.int64), np.zeros(0, np.int64), len(texts))
    code = np.concatenate([number[code] for number, code in zip(numbers, codes)])
    return _counted(terms, code, np.concatenate(owners), len(texts))


def _counted(terms: Vocabulary, code: Places, owner: Places, n: int) -> Counted:
    bits = max(1, n - 1).bit_length()
    wide = np.uint64 if len(terms) << bits > 1 << 32 else np.uint32
    pair: NDArray[Any] = (np.left_shift(code, bits) | owner).astype(wide)
    pair.sort()
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(pair)), bool), pair[1:] != pair[:-1]]))
    often = np.diff(first, append=len(pair)).astype(np.uint32)
    pair = pair[first]
    each = np.bincount((pair >> wide(bits)).astype(np.int64), minlength=len(terms))
    return Counted(
        terms,
        np.concatenate([np.zeros(1, np.int64), np.cumsum(each)]),
        (pair & wide((1 << bits) - 1)).astype(np.uint32),
        often,
        np.bincount(owner, minlength=n).astype(np.uint32),
    )


_Cut = tuple[Any, Places, Places, int, Places]
"""Bytes of the words one behind the other, first place and length of each, bytes a character, ends of the texts."""


def _cut_ascii(texts: list[str], splitting: Splitting) -> _Cut:
    data = np.frombuffer("\0".join(texts).lower().encode(), np.uint8)
    ends = np.cumsum([len(text) + 1 for text in texts]) - 1
    inside = np.zeros(len(data) + 2, bool)
    inside[1:-1] = _ASCII_WORD[data]
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    return np.ascontiguousarray(data[inside[1:-1]]), edges[::2], edges[1::2] - edges[::2], 1, ends


def _cut(texts: list[str], splitting: Splitting) -> _Cut:
    points, ends = code_points(texts, splitting)
    places, lengths = spans(points, splitting)
    before = np.cumsum(lengths) - lengths
    gathered = points[np.repeat(places - before, lengths) + np.arange(int(lengths.sum()))]
    return gathered, places, lengths, 4, ends
