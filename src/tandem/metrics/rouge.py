"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) by the rules of the rouge-score package.

Words are runs of the letters a-z and digits after lower-casing, optionally stemmed when longer than three letters. So
ROUGE says nothing about languages in other scripts, and little about those with many accents: texts in which it finds
no word are counted (`Rouge.empty`). Of several references the one with the best F counts, for each figure by itself.

What this does not do: ROUGE-Lsum, which compares sentence by sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tandem.metrics.ngrams import in_common
from tandem.metrics.pairs import Texts, check_lengths, several
from tandem.metrics.stem import stem

KINDS = ("ROUGE-1", "ROUGE-2", "ROUGE-L")
_WORD = re.compile("[a-z0-9]+")


@dataclass(frozen=True)
class Rouge:
    """Scores of each item; the columns are `KINDS`."""

    precision: NDArray[np.float64]
    """Share of the prediction's units that the reference has: (items, 3)."""
    recall: NDArray[np.float64]
    """Share of the reference's units that the prediction has."""
    f: NDArray[np.float64]
    """Their harmonic mean; what is reported."""
    empty: int
    """Items with a reference in which ROUGE finds no word, so that nothing can match it."""


def rouge_words(text: str, *, stemmed: bool = False) -> list[str]:
    """The words that ROUGE compares."""
    words = _WORD.findall(text.lower())
    return [stem(word) if len(word) > 3 else word for word in words] if stemmed else words


def rouge_scores(predictions: Sequence[str], references: Sequence[Texts], *, stemmed: bool = False) -> Rouge:
    """Scores of each item. Raises UserError on lists of different length, and on an item without a reference."""
    n = check_lengths(predictions=predictions, references=references)
    lists = [several(each) for each in references]
    numbers: dict[str, int] = {}

    def numbered(text: str) -> NDArray[np.int64]:
        words = rouge_words(text, stemmed=stemmed)
        return np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)

    predicted = [numbered(text) for text in predictions]
    left = [words for words, each in zip(predicted, lists, strict=True) for _ in each]
    right = [numbered(text) for each in lists for text in each]
    counts = np.zeros((len(left), 3, 3), dtype=np.int64)
    counts[:, :2] = in_common(left, right, 2)
    for i, (a, b) in enumerate(zip(left, right, strict=True)):
        counts[i, 2] = len(a), len(b), common_subsequence(a.tolist(), b.tolist())
    precision, recall = (counts[:, :, 2] / np.maximum(counts[:, :, side], 1) for side in (0, 1))
    both = precision + recall
    f = np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0.0)
    owner = np.repeat(np.arange(n), [len(each) for each in lists])
    wordless = np.bincount(owner, weights=counts[:, 0, 1] == 0, minlength=n) > 0
    if len(left) > n:
        ends = np.cumsum([len(each) for each in lists])
        best = np.array([b + f[b:e].argmax(axis=0) for b, e in zip([0, *ends[:-1]], ends, strict=True)])
        precision, recall, f = (np.take_along_axis(each, best, axis=0) for each in (precision, recall, f))
    return Rouge(precision, recall, f, int(wordless.sum()))


def common_subsequence(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common subsequence: a table's rows as the bits of one number (Hyyrö 2004)."""
    if not a or not b:
        return 0
    places: dict[int, int] = {}
    for i, token in enumerate(b):
        places[token] = places.get(token, 0) | 1 << i
    every = (1 << len(b)) - 1
    row = every  # a bit is 0 where the row's value grows by one
    for token in a:
        if fits := row & places.get(token, 0):
            row = ((row + fits) | (row - fits)) & every
    return len(b) - row.bit_count()
