"""BLEU (Papineni et al. 2002) of a corpus and as a mean over sentences; chrF and chrF++ (Popović 2015, 2017).

Figures are sacrebleu's (Post 2018), on its scale of 0 to 100: BLEU's statistics come from it; chrF's are counted here,
for all segments at once, and equal its own to the last digit.

The two BLEUs are different figures. The mean over sentences (each smoothed, with the n-gram orders it has) is what some
papers report, mostly higher and mostly lower-cased; it says so in its name.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tandem.metrics.ngrams import in_common
from tandem.metrics.pairs import Texts, check_lengths, several
from tandem.metrics.resampling import percentile, resampled_sums
from tandem.stats import Interval, mean

TOKENIZERS = ("13a", "intl", "char", "zh", "none")
"""sacrebleu's ways to cut text into words for BLEU, as far as they need nothing else."""
CHARACTERS = 6
"""Orders of character n-grams in chrF."""
BETA = 2
"""How many times recall counts as much as precision in chrF."""
_MARKS = frozenset(string.punctuation)


@dataclass(frozen=True)
class Bleu:
    """What BLEU is computed from, a row for each segment."""

    statistics: NDArray[np.float64]
    """Length of the prediction, of the closest reference; n-grams in common, n-grams predicted, each for n = 1 … 4."""
    signature: str
    """sacrebleu's signature of corpus BLEU."""

    def corpus(self, rows: NDArray[np.intp] | None = None) -> Interval:
        """BLEU of the whole, interval from a bootstrap over segments."""
        chosen = self.statistics if rows is None else self.statistics[rows]
        drawn = np.array([_bleu(sums) for sums in resampled_sums(chosen)])
        return percentile(_bleu(chosen.sum(axis=0)), drawn, len(chosen))

    def sentences(self) -> NDArray[np.float64]:
        """BLEU of each segment by itself: exponential smoothing, no order beyond its length."""
        return np.array([_bleu(row, effective_order=True) for row in self.statistics])


def bleu(
    predictions: Sequence[str], references: Sequence[Texts], *, lowercase: bool = False, tokenize: str = "13a"
) -> Bleu:
    """BLEU's statistics. Raises UserError on lists of different length, and on an item without a reference."""
    from sacrebleu.metrics.bleu import BLEU

    check_lengths(predictions=predictions, references=references)
    metric = BLEU(lowercase=lowercase, tokenize=tokenize)
    rows = metric._extract_corpus_statistics(list(predictions), cast(Any, _streams(references)))
    return Bleu(np.array(rows, dtype=np.float64), str(metric.get_signature()))


def corpus_bleu(predictions: Sequence[str], references: Sequence[Texts], **options: Any) -> Interval:
    """Corpus BLEU with an interval; options as in `bleu`."""
    return bleu(predictions, references, **options).corpus()


def mean_sentence_bleu(predictions: Sequence[str], references: Sequence[Texts], **options: Any) -> Interval:
    """Mean of the sentences' own BLEU with an interval; options as in `bleu`."""
    return mean(list(bleu(predictions, references, **options).sentences()))


def _streams(references: Sequence[Texts]) -> list[list[str | None]]:
    """References as sacrebleu takes them: the first of every segment, the second, … ; None where there is none."""
    lists = [several(each) for each in references]
    most = max(map(len, lists))
    return [[each[i] if i < len(each) else None for each in lists] for i in range(most)]


def _bleu(sums: NDArray[np.float64], *, effective_order: bool = False) -> float:
    from sacrebleu.metrics.bleu import BLEU

    whole = [int(x) for x in sums]
    found = BLEU.compute_bleu(
        correct=whole[2:6],
        total=whole[6:],
        sys_len=whole[0],
        ref_len=whole[1],
        smooth_method="exp",
        effective_order=effective_order,
    )
    return float(found.score)


def chrf(
    predictions: Sequence[str], references: Sequence[Texts], *, word_order: int = 2, lowercase: bool = False
) -> Interval:
    """chrF++ of the whole (chrF with `word_order` 0), interval from a bootstrap over segments."""
    return corpus_chrf(chrf_statistics(predictions, references, word_order=word_order, lowercase=lowercase))


def corpus_chrf(statistics: NDArray[np.int64]) -> Interval:
    """chrF of the whole from its segments' statistics."""
    n, orders, _ = statistics.shape
    drawn = resampled_sums(statistics.reshape(n, orders * 3).astype(np.float64)).reshape(-1, orders, 3)
    return percentile(float(chrf_scores(statistics.sum(axis=0))), chrf_scores(drawn), n)


def chrf_statistics(
    predictions: Sequence[str], references: Sequence[Texts], *, word_order: int = 2, lowercase: bool = False
) -> NDArray[np.int64]:
    """N-grams of each segment by order (characters 1 … 6, words 1 … `word_order`): predicted, in the reference, common.

    Shape (segments, 6 + word_order, 3). Of several references the one with the best chrF for the segment counts.
    Raises UserError on lists of different length, and on an item without a reference.
    """
    n = check_lengths(predictions=predictions, references=references)
    lists = [several(each) for each in references]
    paired = [(text, other) for text, each in zip(predictions, lists, strict=True) for other in each]
    if lowercase:
        paired = [(text.lower(), other.lower()) for text, other in paired]
    sides = list(zip(*paired, strict=True))
    left, right = ([_characters(text) for text in side] for side in sides)
    counts = in_common(left, right, CHARACTERS)
    if word_order:
        numbers: dict[str, int] = {}
        left, right = ([_words(text, numbers) for text in side] for side in sides)
        counts = np.concatenate([counts, in_common(left, right, word_order)], axis=1)
    counts[:, :, 0] *= counts[:, :, 1] > 0  # n-grams longer than the reference are not held against a prediction
    if len(paired) == n:
        return counts
    scores = chrf_scores(counts)
    ends = np.cumsum([len(each) for each in lists])
    return counts[[b + int(np.argmax(scores[b:e])) for b, e in zip([0, *ends[:-1]], ends, strict=True)]]


def chrf_scores(statistics: NDArray[Any]) -> NDArray[np.float64]:
    """chrF, 0 to 100, of statistics of any shape (…, orders, 3): F of the mean precision and the mean recall."""
    shape = statistics.shape[:-2]
    precision, recall, effective = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for order in range(statistics.shape[-2]):  # one after the other: the sum comes out as sacrebleu's does
        predicted, wanted, common = (statistics[..., order, i] for i in range(3))
        there = (predicted > 0) & (wanted > 0)
        precision = precision + np.where(there, common / np.maximum(predicted, 1), 0)
        recall = recall + np.where(there, common / np.maximum(wanted, 1), 0)
        effective = effective + there
    precision, recall = precision / np.maximum(effective, 1), recall / np.maximum(effective, 1)
    below = BETA**2 * precision + recall
    scores: NDArray[np.float64] = 100 * ((1 + BETA**2) * precision * recall / np.where(below > 0, below, 1))
    return scores


def _characters(text: str) -> NDArray[np.int64]:
    """Code points without white space."""
    points = np.frombuffer("".join(text.split()).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return points.astype(np.int64)


def _words(text: str, numbers: dict[str, int]) -> NDArray[np.int64]:
    """Words as numbers; a mark at a word's end, else one at its beginning, is a word of its own."""
    words: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in _MARKS:
            words += (word[:-1], word[-1])
        elif len(word) > 1 and word[0] in _MARKS:
            words += (word[0], word[1:])
        else:
            words.append(word)
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)
