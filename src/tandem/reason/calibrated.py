"""A calibrator of chains (Ye and Durrett 2022): how likely is an answer right, given its probability and its evidence?

A logistic regression, C = 10, on two features: the probability of the answer's tokens, and the cube of the smallest
share of a step's words that the findings hold (the least covered sentence decides). It changes no answer, only the
confidence that AUC is measured with. It is fitted on some of the questions and measured on the others; who compares its
AUC with another's has to compare on the same questions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tandem.errors import UserError

C = 10.0
"""Inverse strength of the penalty on the weights."""


@dataclass(frozen=True)
class Calibrator:
    """Weights of the features."""

    probability: float
    """Of the answer's probability."""
    coverage: float
    """Of the cubed coverage."""
    intercept: float
    """Not penalised."""

    def __call__(self, answer_logprob: float, coverage: float) -> float:
        """Probability that the answer is right."""
        z = self.intercept + self.probability * math.exp(answer_logprob) + self.coverage * coverage**3
        return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def coverage(steps: Sequence[str], passages: Sequence[str]) -> float:
    """The smallest share of a step's words that stand in the passages; 0 without steps."""
    known = {word for passage in passages for word in _words(passage)}
    shares = [sum(word in known for word in words) / len(words) for step in steps if (words := _words(step))]
    return min(shares, default=0.0)


def fit(answer_logprobs: Sequence[float], coverages: Sequence[float], right: Sequence[bool]) -> Calibrator:
    """Weights by Newton's method; the optimum is unique. Raises UserError unless right and wrong answers are there."""
    if len({*right}) < 2:
        raise UserError("a calibrator needs right and wrong answers to be fitted on", remedy="give more questions")
    x = np.stack([np.exp(answer_logprobs), np.asarray(coverages, dtype=np.float64) ** 3, np.ones(len(right))], axis=1)
    y, w = np.asarray(right, dtype=np.float64), np.zeros(3)
    penalty = np.array([1 / C, 1 / C, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -500, 500)))
        gradient = x.T @ (p - y) + penalty * w
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty) + 1e-12 * np.eye(3)
        change = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and _loss(x, y, w - size * change, penalty) > _loss(x, y, w, penalty) + 1e-15:
            size /= 2
        w = w - size * change
        if float(np.abs(change).max()) < 1e-10:
            break
    return Calibrator(float(w[0]), float(w[1]), float(w[2]))


def _loss(x: np.ndarray, y: np.ndarray, w: np.ndarray, penalty: np.ndarray) -> float:
    z = x @ w
    return float((np.logaddexp(0, z) - y * z).sum() + 0.5 * (penalty * w * w).sum())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
