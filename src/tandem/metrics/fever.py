"""FEVER: label accuracy, FEVER score, precision and recall of the evidence (Thorne et al. 2018, §5).

An item is right by the FEVER score when its label is, and the first five predicted sentences hold one whole group of
gold evidence; for NOT ENOUGH INFO the label alone counts. Sentences beyond the first five are ignored, not punished.
Precision and recall are means over claims that have evidence: the share of predicted sentences that are in any gold
group, and whether a whole group was found.

Where the published scorer stops, this goes on: its F1 divides by zero when nothing was found, here it is 0; a gold
group without sentences, which it counts as found, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.metrics.resampling import percentile, resampled_sums
from tandem.stats import Interval, proportion

LABELS = ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO")
"""FEVER's labels; case does not count."""
NEI = LABELS[2]
FIRST = 5
"""Predicted sentences that count."""
Sentence: TypeAlias = tuple[str, int]
"""Page and number of the sentence."""


@dataclass(frozen=True)
class Claim:
    """One claim as it was judged, and as it should be."""

    label: str
    """The right label."""
    evidence: tuple[frozenset[Sentence], ...]
    """Groups of sentences, each enough by itself; none for NOT ENOUGH INFO."""
    predicted_label: str
    """The label given."""
    predicted_evidence: tuple[Sentence, ...]
    """Sentences given, the best first."""


@dataclass(frozen=True)
class FeverScores:
    """Verdicts, one of each for a claim."""

    label: NDArray[np.float64]
    """1 where the label is right."""
    strict: NDArray[np.float64]
    """1 where the FEVER score counts the claim."""
    precision: NDArray[np.float64]
    """Share of the predicted sentences that are gold; 1 where none was predicted; NaN for NOT ENOUGH INFO."""
    recall: NDArray[np.float64]
    """1 where a whole group was found; NaN for NOT ENOUGH INFO."""

    def figures(self, rows: NDArray[np.intp] | None = None) -> dict[str, Interval]:
        """All of it with intervals: Wilson's for label accuracy and FEVER score, else a bootstrap over claims."""
        every = np.arange(len(self.label)) if rows is None else rows
        n = len(every)
        if not n:
            raise UserError("no claims to judge")
        figures = {
            "label accuracy": proportion(int(self.label[every].sum()), n),
            "FEVER score": proportion(int(self.strict[every].sum()), n),
        }
        claims = every[~np.isnan(self.precision[every])]
        if len(claims):
            values = np.stack([self.precision[claims], self.recall[claims]], axis=1)
            for name, value, drawn in zip(
                ("evidence precision", "evidence recall", "evidence F1"),
                _means_and_f(values.sum(axis=0)[None], len(claims)),
                _means_and_f(resampled_sums(values), len(claims)),
                strict=True,
            ):
                figures[name] = percentile(float(value[0]), drawn, len(claims))
        return figures


def _means_and_f(sums: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], ...]:
    precision, recall = sums[:, 0] / n, sums[:, 1] / n
    both = precision + recall
    return precision, recall, np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0.0)


def score_claims(claims: Sequence[Claim], *, first: int = FIRST) -> FeverScores:
    """The verdict on every claim; the `first` predicted sentences count.

    Raises UserError on a label that is not FEVER's, on a claim without evidence that needs some, and on an empty group.
    """
    if first < 1:
        raise UserError(f"the first {first} sentences hold no evidence", remedy="give at least 1; FEVER counts 5")
    rows = [_verdict(claim, first) for claim in claims]
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
    return FeverScores(*columns)


def _verdict(claim: Claim, first: int) -> tuple[float, float, float, float]:
    gold = claim.label.upper()
    if problem := unusable(claim):
        raise UserError(problem)
    right = gold == claim.predicted_label.strip().upper()
    if gold == NEI:
        return right, right, np.nan, np.nan
    predicted = claim.predicted_evidence[:first]
    found = any(group.issubset(predicted) for group in claim.evidence)
    any_gold = frozenset().union(*claim.evidence)
    hits = sum(sentence in any_gold for sentence in predicted)
    return right, right and found, hits / len(predicted) if predicted else 1.0, found


def unusable(claim: Claim) -> str:
    """Why a claim cannot be scored; empty where it can. A predicted label may be anything: it is wrong then."""
    if claim.label.upper() not in LABELS:
        return f"label is none of {', '.join(LABELS)}"
    if claim.label.upper() != NEI and not (claim.evidence and all(claim.evidence)):
        return "evidence is empty, or a group of it, for a claim that has some"
    return ""
