"""Blocks into passages of about a hundred words.

Neighbouring blocks under the same headings go together while they fit; a block that does not fit alone is split between
sentences (source code, lists and tables: between lines), and then, and only then, the pieces overlap by a sentence.
A passage never mixes headings. Scripts without spaces count two characters as a word, and twelve characters of
anything else count as one at least, so that a line of a megabyte becomes many passages.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tandem.sources.documents.blocks import Block
from tandem.sources.passages.document import Passage

WORDS = 100
"""Words of a passage, about."""
_STRETCH = 1.3
"""A passage may be this much longer before it is split."""
_OVERLAP = 0.3
"""At most this share of a piece is repeated from the one before."""
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])")
_GAP = re.compile(r"\s+")


@dataclass
class _Piece:
    text: str
    first: int
    last: int
    words: float


def words_in(text: str) -> float:
    """The length of a text in words."""
    n = max(len(text.split()), len(text) / 12)
    return n if text.isascii() else n + len(_UNSPACED.findall(text)) / 2


def passages(blocks: Iterable[Block], words: int = WORDS, *, apart: bool = False) -> Iterator[Passage]:
    """Passages, in order; with `apart` none holds blocks of two places (pages)."""
    held: list[_Piece] = []
    heading = ""
    for block in blocks:
        if block.heading != heading or (apart and held and held[-1].last != block.lines[0][0]):
            yield from _closed(held, heading)
            held, heading = [], block.heading
        pieces = list(_pieces(block, words))
        for piece in pieces:
            together = sum(p.words for p in held) + piece.words
            if held and (len(pieces) > 1 or together > words * _STRETCH):
                yield from _closed(held, heading)
                held = []
            held.append(piece)
        if len(pieces) > 1:  # what overlaps stays by itself
            yield from _closed(held, heading)
            held = []
    yield from _closed(held, heading)


def _closed(held: list[_Piece], heading: str) -> Iterator[Passage]:
    if held:
        yield Passage("\n\n".join(p.text for p in held), held[0].first, held[-1].last, heading)


def _pieces(block: Block, words: int) -> Iterator[_Piece]:
    """A block, or several parts of it."""
    text = "\n".join(line for _, line in block.lines)
    starts, at = [], 0
    for _, line in block.lines:
        starts.append(at)
        at += len(line) + 1

    def piece(begin: int, end: int) -> _Piece:
        kept = text[begin:end]
        begin += len(kept) - len(kept.lstrip())
        kept = kept.strip() if block.prose else kept.strip("\n").rstrip()
        end = begin + len(kept.strip())
        first, last = (block.lines[bisect_right(starts, place) - 1][0] for place in (begin, max(begin, end - 1)))
        return _Piece(kept, first, last, words_in(kept))

    if words_in(text) <= words * _STRETCH:
        if text.strip():
            yield piece(0, len(text))
        return
    cuts = list(_cuts(text, starts, block.prose, words))
    sizes = [words_in(text[a:b]) for a, b in pairwise(cuts)]
    first = 0
    while first < len(sizes):
        end, total = first, 0.0
        while end < len(sizes) and (end == first or total + sizes[end] <= words):
            total += sizes[end]
            end += 1
        if text[cuts[first] : cuts[end]].strip():
            yield piece(cuts[first], cuts[end])
        repeats = block.prose and end < len(sizes) and end - first > 1 and sizes[end - 1] <= words * _OVERLAP
        first = end - 1 if repeats else end


def _cuts(text: str, starts: list[int], prose: bool, words: int) -> Iterator[int]:
    """Where a text may be split, its ends included."""
    places = [m.end() for m in _SENTENCE.finditer(text)] if prose else starts
    yield 0
    before = 0
    for place in [*places, len(text)]:
        while words_in(text[before : min(place, before + 12 * words * 2)]) > words:
            # A sentence or a line that is too long alone: at a gap, or inside a word where there is none.
            gaps = [m.end() for m in _GAP.finditer(text, before, min(place, before + 12 * words))]
            fit = [gap for gap in gaps if 0 < words_in(text[before:gap]) <= words]
            before = fit[-1] if fit else before + 2 * words
            yield before
        if place > before:
            yield place
            before = place
