"""A calibrator of chains (Ye and Durrett 2022): how likely is an answer right, given its probability and its evidence?

A logistic regression, C = 10, on two features: the probability of the answer's tokens, and the cube of the smallest
share of a step's words that the findings hold (the least covered sentence decides). The method `calibrated` answers as
CoT-SC does and looks its steps up for the second feature; it changes no answer, only the confidence that AUC is made
of. The regression is fitted on the first questions with known answers and measured on the others; who compares its AUC
with another's has to compare on the same questions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tandem.errors import Unsupported, UserError
from tandem.reason.chains import Asking
from tandem.reason.editing import Editing
from tandem.reason.kinds import listed
from tandem.reason.looking_up import look_up
from tandem.reason.plain import self_consistency, voted
from tandem.reason.running import Record
from tandem.together import together
from tandem.types import LM, Answer, Question, Source

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


async def calibrated(
    question: Question, lm: LM, sources: Sequence[Source], *, asking: Asking, settings: Editing
) -> Answer:
    """The majority's answer with the features its confidence will be made of. Raises Unsupported without logprobs."""
    if not lm.abilities.logprobs:
        problem = "tells no log-probabilities, which the calibrator is fitted on"
        raise Unsupported(problem, where=lm.name, remedy="take another model, or another method")
    found = await self_consistency(question, lm, asking, settings.samples, settings.temperature)
    own = [source.about(question) for source in sources]
    n, among = settings.fetch, listed(question)
    each = await together(
        look_up(text, own, lm, settings.writer, top=n, fetch=n, options=among) for text in found.best.steps
    )
    findings = tuple(dict.fromkeys(finding for evidence in each for finding in evidence.findings))
    made = voted(found)
    facts = dict(made.facts)
    if (logprob := facts.pop("answer_logprob", None)) is not None:
        texts = [f"{finding.title} {finding.text}" for finding in findings]
        facts["features"] = {"answer_logprob": logprob, "coverage": coverage(found.best.steps, texts)}
    return replace(made, confidence=None, findings=findings, facts=facts)


def fitted(records: Sequence[Record], first: int) -> tuple[Calibrator, list[Record], list[Record]]:
    """A calibrator of the `first` questions with known answers, these, and the others with its confidence.

    Raises UserError where no questions are left to measure, and where the first ones are all right or all wrong.
    """
    known = [record for record in records if record.right is not None]
    if not 0 < first < len(known):
        problem = f"cannot be fitted on {first} of {len(known)} questions with known answers"
        raise UserError(problem, where="calibrated", remedy="give a number in between (--fit)")
    shown = [(r.answer.facts["features"], r.right == 1) for r in known[:first] if "features" in r.answer.facts]
    calibrator = fit([f["answer_logprob"] for f, _ in shown], [f["coverage"] for f, _ in shown], [y for _, y in shown])

    def sure(record: Record) -> Record:
        features = record.answer.facts.get("features")
        confidence = calibrator(features["answer_logprob"], features["coverage"]) if features else None
        return replace(record, answer=replace(record.answer, confidence=confidence))

    return calibrator, known[:first], [sure(record) for record in known[first:]]


def uncalibrated(record: Record) -> Record:
    """The same answer as CoT-SC gives it, with its own log-probability, for comparison."""
    features = record.answer.facts.get("features", {})
    facts = {**record.answer.facts, **{key: features[key] for key in ("answer_logprob",) if key in features}}
    return replace(record, answer=replace(record.answer, facts=facts))


def coverage(steps: Sequence[str], passages: Sequence[str]) -> float:
    """The smallest share of a step's words that stand in the passages; 0 without steps."""
    known = {word for passage in passages for word in _words(passage)}
    shares = [sum(word in known for word in words) / len(words) for step in steps if (words := _words(step))]
    return min(shares, default=0.0)


def fit(answer_logprobs: Sequence[float], coverages: Sequence[float], right: Sequence[bool]) -> Calibrator:
    """Weights by Newton's method; the optimum is unique. Raises UserError unless right and wrong answers are there."""
    if len({*right}) < 2:
        problem = "cannot be fitted on answers that are all right or all wrong"
        raise UserError(problem, where="calibrated", remedy="fit on more questions (--fit)")
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
