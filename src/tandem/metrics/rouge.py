"""ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum (Lin 2004) by the rules of the rouge-score package.

Words are runs of the letters a-z and digits after lower-casing, optionally stemmed when longer than three letters. So
ROUGE says nothing about languages in other scripts, and little about those with many accents: texts in which it finds
no word are counted (`Rouge.empty`). Of several references the one with the best F counts, for each figure by itself.

What this does not do: find sentences. ROUGE-Lsum, which compares sentence by sentence, takes every line for one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tandem.metrics.ngrams import in_common
from tandem.metrics.pairs import Texts, check_lengths, several
from tandem.metrics.stem import stem

KINDS = ("ROUGE-1", "ROUGE-2", "ROUGE-L")
LSUM = "ROUGE-Lsum"
_WORD = re.compile("[a-z0-9]+")


@dataclass(frozen=True)
class Rouge:
    """Scores of each item; the columns are `KINDS`, or ROUGE-Lsum alone."""

    precision: NDArray[np.float64]
    """Share of the prediction's units that the reference has: (items, columns)."""
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
    check_lengths(predictions=predictions, references=references)
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
    return _best(counts, [len(each) for each in lists])


def rouge_lsum(predictions: Sequence[str], references: Sequence[Texts], *, stemmed: bool = False) -> Rouge:
    """ROUGE-Lsum of each item, its lines taken for sentences (Lin 2004, §3.2; a word counts no more often than it
    stands in either text, as in version 1.5.5). Raises as `rouge_scores`.
    """
    check_lengths(predictions=predictions, references=references)
    lists = [several(each) for each in references]
    numbers: dict[str, int] = {}

    def sentences(text: str) -> list[list[int]]:
        lines = (rouge_words(line, stemmed=stemmed) for line in text.split("\n"))
        return [[numbers.setdefault(word, len(numbers)) for word in words] for words in lines]

    counts = []
    for prediction, each in zip(predictions, lists, strict=True):
        predicted = sentences(prediction)
        for reference in map(sentences, each):
            counts.append([sum(map(len, predicted)), sum(map(len, reference)), _union_in_common(reference, predicted)])
    return _best(np.array(counts, dtype=np.int64).reshape(-1, 1, 3), [len(each) for each in lists])


def _best(counts: NDArray[np.int64], references: Sequence[int]) -> Rouge:
    """Scores from [pairs, kinds, (predicted, in the reference, in common)]; of an item's references the best."""
    n = len(references)
    precision, recall = (counts[:, :, 2] / np.maximum(counts[:, :, side], 1) for side in (0, 1))
    both = precision + recall
    f = np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0.0)
    owner = np.repeat(np.arange(n), references)
    wordless = np.bincount(owner, weights=counts[:, 0, 1] == 0, minlength=n) > 0
    if len(counts) > n:
        ends = np.cumsum(references)
        best = np.array([b + f[b:e].argmax(axis=0) for b, e in zip([0, *ends[:-1]], ends, strict=True)])
        precision, recall, f = (np.take_along_axis(each, best, axis=0) for each in (precision, recall, f))
    return Rouge(precision, recall, f, int(wordless.sum()))


def _union_in_common(reference: list[list[int]], predicted: list[list[int]]) -> int:
    """Words of the reference's sentences that stand in a longest common subsequence with any predicted sentence."""
    left = Counter(word for sentence in predicted for word in sentence)
    left &= Counter(word for sentence in reference for word in sentence)
    hits = 0
    for sentence in reference:
        for place in sorted({i for other in predicted for i in subsequence(sentence, other)}):
            if left[sentence[place]] > 0:
                left[sentence[place]] -= 1
                hits += 1
    return hits


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


def subsequence(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Places in `a` of one longest common subsequence: of several the one that the rouge-score package takes."""
    places: dict[int, int] = {}
    for i, token in enumerate(b):
        places[token] = places.get(token, 0) | 1 << i
    every = (1 << len(b)) - 1
    rows = [every]
    for token in a:
        row, fits = rows[-1], rows[-1] & places.get(token, 0)
        rows.append(((row + fits) | (row - fits)) & every)

    def length(i: int, j: int) -> int:
        """Of the beginnings of i and j tokens."""
        return j - (rows[i] & ((1 << j) - 1)).bit_count()

    found, i, j = [], len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            found.append(i)
        elif length(i, j - 1) > length(i - 1, j):
            j -= 1
        else:
            i -= 1
    return found[::-1]
