"""Two outputs to one instruction, in the order in which a judge sees them, and what the judge made of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["preferred", "unparsed", "refused", "too long", "failed", "not asked"]
"""What became of a judgment. Only the first has a preference; the last two are missing, and asked for again."""
MISSING = ("failed", "not asked")
"""Outcomes that a later run may mend."""


@dataclass(frozen=True)
class Pair:
    """A baseline's and a model's output to one instruction."""

    row: int
    """Its place in the data, from 0."""
    instruction: str
    """What both were asked."""
    baseline: str
    """The baseline's output."""
    output: str
    """The model's output."""
    dataset: str = ""
    """The part of the data it belongs to."""
    finish: str = ""
    """How the model's output ended, where it was asked: stop, length, refusal …"""

    @property
    def longer_baseline(self) -> int:
        """Characters of the baseline's output minus those of the model's."""
        return len(self.baseline) - len(self.output)


@dataclass(frozen=True)
class Judgment:
    """What a judge says of a pair."""

    preference: float | None
    """From 1 (the first of the two) to 2 (the second); None where there is none."""
    outcome: Outcome
    """What became of it."""
    swapped: bool = False
    """Whether the judge saw the second one first."""
    how: str = ""
    """What the preference rests on: scores, likeliest tokens, own token, text, recorded."""
    text: str = ""
    """What the judge wrote."""
    logprobs: dict[str, float] | None = None
    """Natural logarithms of the probabilities of m (shown first) and M (shown second), where the judge gives them."""
    note: str = ""
    """Why there is no preference."""


def swapped(instruction: str) -> bool:
    """Whether AlpacaEval shows the second output first: drawn from Python's generator with the instruction as seed."""
    return random.Random("is_switched_outputs" + instruction + "0").choices([False, True])[0]


def unswapped(preference: float, swap: bool) -> float:
    """A preference between first shown and second shown as one between first and second given."""
    return 3 - preference if swap else preference


def item(pair: Pair, judgment: Judgment, baseline: str, model: str, judge: str) -> dict[str, Any]:
    """A line of the items file; the fields that AlpacaEval's annotations have bear its names."""
    return {
        "id": pair.row,
        "dataset": pair.dataset,
        "instruction": pair.instruction,
        "output_1": pair.baseline,
        "generator_1": baseline,
        "output_2": pair.output,
        "generator_2": model,
        "annotator": judge,
        "preference": judgment.preference,
        "outcome": judgment.outcome,
        "how": judgment.how,
        "switched": judgment.swapped,
        "judge_text": judgment.text,
        "logprobs": judgment.logprobs,
        "length_1": len(pair.baseline),
        "length_2": len(pair.output),
        "finish_2": pair.finish,
        "note": judgment.note,
    }
