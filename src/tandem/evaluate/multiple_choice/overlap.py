"""Whether test items stand among a prompt's examples: the same question, or many words in a row.

Texts are compared as lower-case words without punctuation (`evaluate.overlap.words`). An item is found when its whole
question is one of the texts' questions, or when `WORDS` words in a row of it occur in a text (as in Brown et al. 2020,
appendix C). Words in a row that stand in more than `COMMON` items are an instruction that items share, and do not
count. Words are hashed together, so a hit is exact up to a chance of about 1 in 10^18 per pair.

What this does not do: find a paraphrase, or say that a found item is answered better for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tandem.evaluate.overlap.words import COMMON, WORDS, words


@dataclass(frozen=True)
class Overlap:
    """An item that was found."""

    item: int
    """Its place among the items."""
    text: int
    """Place of the text it was found in."""
    kind: Literal["same question", "words in a row"]
    """How."""


def overlaps(questions: Sequence[str], texts: Sequence[tuple[str, str]], n: int = WORDS) -> list[Overlap]:
    """The items' questions that are found in texts, each (its question or nothing, the whole text); by text, then item.

    An item that is found in several texts is told for each.
    """
    whole: dict[int, list[int]] = defaultdict(list)
    runs: dict[int, set[int]] = defaultdict(set)
    for number, (question, text) in enumerate(texts):
        whole[hash(tuple(words(question)))].append(number)
        for key in _runs(words(text), n):
            runs[key].add(number)
    same: set[tuple[int, int]] = set()
    holders: dict[int, list[int]] = defaultdict(list)  # of words in a row that stand in a text
    for place, question in enumerate(questions):
        if split := words(question):
            same.update((number, place) for number in whole.get(hash(tuple(split)), ()))
        for key in {key for key in _runs(split, n) if key in runs}:
            holders[key].append(place)
    hits = {
        (number, place)
        for key, places in holders.items()
        if len(places) <= COMMON
        for number in runs[key]
        for place in places
    }
    return [
        Overlap(place, number, "same question" if (number, place) in same else "words in a row")
        for number, place in sorted(same | hits)
    ]


def _runs(split: Sequence[str], n: int) -> Iterable[int]:
    return (hash(tuple(split[at : at + n])) for at in range(len(split) - n + 1))
