"""Exact match and token F1 of short answers against accepted ones (Rajpurkar et al. 2016, §6.1).

Several accepted answers (aliases): the best of them counts, for each figure by itself. Answers with the same form have
F1 1 even where nothing is left of it, as in SQuAD 2's evaluation, so that exact match never exceeds F1.

What this does not do: accept an answer that merely contains an accepted one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tandem.metrics.normalise import answer_form, answer_forms
from tandem.metrics.pairs import Texts, check_lengths, several

CLOSED = frozenset({"yes", "no", "noanswer"})
"""HotpotQA's answers that match wholly or not at all."""
SHORT = 32
"""Up to so many words a list is searched faster than a table is made."""
AT_ONCE = 1 << 12
"""Items of one piece of the work."""
REMEMBERED = 1 << 18
"""Forms of distinct texts kept at a time."""


@dataclass(frozen=True)
class AnswerScores:
    """Verdicts on answers, one of each for an item."""

    em: NDArray[np.float64]
    """1 where the answer equals an accepted one, else 0."""
    f1: NDArray[np.float64]
    """Best token F1 over the accepted answers."""


def exact_match(prediction: str, reference: Texts) -> bool:
    """Whether an answer's form equals that of an accepted one."""
    form = answer_form(prediction)
    return any(answer_form(each) == form for each in several(reference))


def token_f1(prediction: str, reference: Texts, *, closed: Collection[str] = ()) -> float:
    """Harmonic mean of the shares of words in common, the best over the accepted answers.

    A `closed` answer, predicted or accepted, matches wholly or not at all: HotpotQA's rule with `CLOSED`.
    """
    form = answer_form(prediction)
    return max(_f1(form, answer_form(each), closed) for each in several(reference))


def score_answers(
    predictions: Sequence[str], references: Sequence[Texts], *, closed: Collection[str] = ()
) -> AnswerScores:
    """Exact match and token F1 of every answer; each distinct text is normalised once.

    Raises UserError on lists of different length, and on an item without a reference.
    """
    n = check_lengths(predictions=predictions, references=references)
    em, f1 = np.zeros(n), np.zeros(n)
    forms: dict[str, str] = {}
    for begun in range(0, n, AT_ONCE):
        part = slice(begun, begun + AT_ONCE)
        accepted = [several(reference) for reference in references[part]]
        texts = dict.fromkeys(chain(predictions[part], chain.from_iterable(accepted)))
        if len(forms) + len(texts) > REMEMBERED:
            forms.clear()
        new = [text for text in texts if text not in forms]
        forms.update(zip(new, answer_forms(new), strict=True))
        for i, (prediction, any_of) in enumerate(zip(predictions[part], accepted, strict=True), begun):
            form = forms[prediction]
            others = [forms[each] for each in any_of]
            if form in others:
                em[i] = f1[i] = 1.0
            else:
                f1[i] = max(_f1(form, other, closed) for other in others)
    return AnswerScores(em, f1)


def _f1(predicted: str, accepted: str, closed: Collection[str]) -> float:
    """Token F1 of two forms."""
    if predicted == accepted:
        return 1.0
    if closed and (predicted in closed or accepted in closed):
        return 0.0
    words, others = predicted.split(), accepted.split()
    common = _common(words, others)
    # 2 P R / (P + R) with P = common / predicted words, R = common / accepted words
    return 2 * common / (len(words) + len(others)) if common else 0.0


def _common(words: list[str], others: list[str]) -> int:
    """Size of the intersection of two bags of words."""
    if len(others) > SHORT:
        return (Counter(words) & Counter(others)).total()
    left, common = list(others), 0
    for word in words:
        if word in left:
            left.remove(word)
            common += 1
    return common
