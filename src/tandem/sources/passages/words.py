"""How a text becomes words, for indexes and queries alike: our own rules, the same for every language.

1. Compatibility forms and case make no difference (NFKC, case folding).
2. With `accents="fold"` neither do diacritics on Latin, Greek and Cyrillic letters, Arabic short vowels, Hebrew points.
3. A word is a run of letters, marks and digits; anything else, the underscore too, is a gap. Soft hyphens and joiners
   inside words are dropped.
4. Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) give every character and every pair of
   neighbours.
5. No stop words: BM25 gives frequent words little weight. No stemming, unless `stem="english"` (Porter's).

What this does not do: find languages, or split compounds. Rejected: `\\w+`, which breaks Indic words at vowel signs.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.metrics.stem import stem

Stem: TypeAlias = Literal["none", "english"]
Accents: TypeAlias = Literal["fold", "keep"]
Places: TypeAlias = NDArray[np.int64]

LONGEST = 64
"""Characters of a word that count; what follows is dropped."""
_TABLE = 0x32400
"""Code points looked up; above are no letters but those of private use."""
_GAP, _WORD, _UNSPACED, _DROPPED = range(4)
_NO_SPACES = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3041, 0x312F), (0x31A0, 0x31BF)),
    *((0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
)
_DIACRITICS = ((0x0300, 0x036F), (0x0591, 0x05C7), (0x064B, 0x065F), (0x0670, 0x0670))
_ASCII = re.compile("[0-9a-z]+")


@dataclass(frozen=True)
class Splitting:
    """How words are told apart; an index is asked with the one it was written with."""

    stem: Stem = "none"
    """`english` reduces words to Porter's stems; `none` suits every language."""
    accents: Accents = "fold"
    """Whether `é` and `e` are the same."""

    def __post_init__(self) -> None:
        for name, kinds in (("stem", get_args(Stem)), ("accents", get_args(Accents))):
            if getattr(self, name) not in kinds:
                remedy = "one of " + ", ".join(kinds)
                raise UserError(f"unknown setting {getattr(self, name)!r}", where=name, remedy=remedy)


def words(text: str, splitting: Splitting = Splitting()) -> list[str]:
    """The words of a text, in no particular order where a script has no spaces."""
    if text.isascii():
        found = _ASCII.findall(text.lower())
    else:
        points, _ = code_points([text], splitting)
        folded = points.tobytes().decode("utf-32-le")
        found = [folded[s : s + n] for s, n in zip(*(each.tolist() for each in spans(points, splitting)), strict=True)]
    cut = [word[:LONGEST] for word in found]
    return cut if splitting.stem == "none" else [stem(word) for word in cut]


def term(word: str, splitting: Splitting) -> str:
    """A word as it stands in the index."""
    word = word[:LONGEST]
    return stem(word) if splitting.stem == "english" else word


def code_points(texts: list[str], splitting: Splitting) -> tuple[NDArray[np.uint32], Places]:
    """Normalised texts as code points with a space between each two, and where each text ends."""
    normal = [_normal(text) for text in texts]
    points = np.frombuffer(" ".join(normal).encode("utf-32-le", "replace"), np.uint32)
    ends = np.cumsum([len(text) + 1 for text in normal]) - 1
    kinds, folded = _tables(splitting.accents)
    low = np.minimum(points, _TABLE)
    kept = kinds[low] != _DROPPED
    if splitting.accents == "fold":
        points = np.where(points < _TABLE, folded[low], points)
    if not kept.all():
        before = np.concatenate([[0], np.cumsum(kept)])
        points, ends = points[kept], before[ends]
    return points, ends


def spans(points: NDArray[np.uint32], splitting: Splitting) -> tuple[Places, Places]:
    """First place and length of every word."""
    kinds = _tables(splitting.accents)[0][np.minimum(points, _TABLE)]
    inside = np.zeros(len(kinds) + 2, bool)
    inside[1:-1] = kinds == _WORD
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    alone = kinds == _UNSPACED
    if alone.any():
        single = np.flatnonzero(alone)
        pairs = np.flatnonzero(alone[:-1] & alone[1:])
        starts = np.concatenate([starts, single, pairs])
        lengths = np.concatenate([lengths, np.ones_like(single), np.full_like(pairs, 2)])
    return starts, lengths


def _normal(text: str) -> str:
    """NFKC, folded; once more, since folding may bring out forms that normalise."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=2)
def _tables(accents: Accents) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """For each code point what it is, and what it becomes; the last entry stands for all that are not looked up."""
    kinds = np.zeros(_TABLE + 1, np.uint8)
    folded = np.arange(_TABLE + 1, dtype=np.uint32)
    for point in range(_TABLE):
        category = unicodedata.category(chr(point))
        if category[0] in "LMN":
            kinds[point] = _WORD
        elif category == "Cf":
            kinds[point] = _DROPPED
    for first, last in _NO_SPACES:
        letters = kinds[first : last + 1] == _WORD
        digits = np.array([chr(p).isdecimal() for p in range(first, last + 1)])
        kinds[first : last + 1][letters & ~digits] = _UNSPACED
    kinds[0xFE00:0xFE10] = _DROPPED  # which picture of a character is meant
    if accents == "fold":
        for first, last in _DIACRITICS:
            marks = np.array([unicodedata.category(chr(p)) == "Mn" for p in range(first, last + 1)])
            kinds[first : last + 1][marks] = _DROPPED
        for point in (*range(0xC0, 0x600), *range(0x1E00, 0x2000)):
            base, *marks_of = list(unicodedata.normalize("NFD", chr(point)))
            if marks_of and all(0x300 <= ord(mark) <= 0x36F for mark in marks_of):
                folded[point] = ord(base)
    return kinds, folded
