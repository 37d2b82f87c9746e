"""Log-probabilities of choices in, scores out: the one place where an answer counts as right.

    acc         the choice with the largest summed log-probability is the right one
    acc_norm    the same per character of the choice, acc_bytes per UTF-8 byte; the delimiter is not counted
    mass        the right choices' share of the probability of all (TruthfulQA mc2)

Ties go to the first choice. A mean has the standard error of its sample (n − 1); the error of a whole that consists of
groups is pooled over them, as lm-evaluation-harness does it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem.errors import UserError
from tandem.evaluate.choices import METRICS, predict
from tandem.evaluate.multiple_choice.task import Asked, Task


@dataclass(frozen=True)
class Record:
    """What came of one item."""

    asked: Asked
    """The item and its prompt."""
    logprobs: tuple[float, ...]
    """Of each choice, in nats."""
    prediction: int
    """Index of the likeliest choice."""
    values: Mapping[str, float]
    """Score by metric, between 0 and 1."""
    cut: int = 0
    """Tokens of the prompt that did not fit and were cut from its left."""

    def row(self) -> dict[str, Any]:
        """As a line of the file of items; the prompt without its examples."""
        item = self.asked.item
        one = len(set(item.stems)) == 1
        return {
            "id": item.id,
            **({"group": item.group} if item.group else {}),
            "prompt": item.stems[0] if one else list(item.stems),
            "examples": list(self.asked.examples),
            "choices": list(item.texts),
            "gold": item.right[0] if len(item.right) == 1 else list(item.right),
            "prediction": self.prediction,
            "logprobs": [p if math.isfinite(p) else None for p in self.logprobs],
            **self.values,
            **({"cut": self.cut} if self.cut else {}),
        }


@dataclass(frozen=True)
class Mean:
    """A score over items."""

    value: float
    """The mean."""
    error: float | None
    """Its standard error; None where one item, or one of each group, has no spread."""
    n: int
    """Items."""
    chance: float | None
    """What guessing gives; None where that depends on more than the number of choices."""
    right: int | None = None
    """Items with a score of 1, where the others have 0; None where scores lie between."""
    pooled: bool = False
    """Whether the items have groups, over which the error is pooled."""


def record(asked: Asked, logprobs: Sequence[float], metrics: Sequence[str], cut: int = 0) -> Record:
    """Score one item. Raises UserError on log-probabilities that are not numbers."""
    item = asked.item
    if any(map(math.isnan, logprobs)):
        raise UserError(
            "the log-probabilities are not numbers",
            where=f"item {item.id}",
            remedy="the weights are damaged or the training diverged: evaluate an earlier checkpoint",
        )
    predictions = dict(zip(METRICS, predict(logprobs, item.texts), strict=True))
    values = {m: mass(logprobs, item.right) if m == "mass" else float(predictions[m] in item.right) for m in metrics}
    return Record(asked, tuple(logprobs), predictions["acc"], values, cut)


def mass(logprobs: Sequence[float], right: Sequence[int]) -> float:
    """The right choices' share of the probability of all choices."""
    most = max(logprobs)
    if most == -math.inf:
        return len(right) / len(logprobs)
    shares = [math.exp(p - most) for p in logprobs]
    return sum(shares[place] for place in right) / math.fsum(shares)


def mean(records: Sequence[Record], metric: str) -> Mean:
    """The mean of a metric and its standard error, pooled where the items have groups."""
    groups: dict[str, list[float]] = defaultdict(list)
    for one in records:
        groups[one.asked.item.group].append(one.values[metric])
    n = len(records)
    spread, freedom = 0.0, n - len(groups)
    for values in groups.values():
        middle = math.fsum(values) / len(values)
        spread += math.fsum((value - middle) ** 2 for value in values)
    value = math.fsum(one.values[metric] for one in records) / n
    error = math.sqrt(spread / freedom / n) if freedom > 0 else None
    chance = None if metric == "mass" else math.fsum(_chance(one) for one in records) / n
    right = None if metric == "mass" else round(value * n)
    return Mean(value, error, n, chance, right, len(groups) > 1)


def _chance(one: Record) -> float:
    return len(one.asked.item.right) / len(one.asked.item.texts)


@dataclass(frozen=True)
class Scored:
    """What was found on one task."""

    task: Task
    """Which."""
    records: tuple[Record, ...]
    """Per item, in the data's order."""
    missing: tuple[tuple[str, str], ...] = ()
    """(item, why): items that have no answer; they are not counted as wrong, nor counted at all."""

    @property
    def cut(self) -> int:
        """Items whose prompt did not fit whole."""
        return sum(one.cut > 0 for one in self.records)

    def mean(self, metric: str, groups: Sequence[str] | None = None) -> Mean | None:
        """A score over all items, or over those of some groups; None where there are none."""
        chosen = [one for one in self.records if groups is None or one.asked.item.group in groups]
        return mean(chosen, metric) if chosen else None
