"""Do sampled chains agree? The vote, the scores made of it, and the gate that decides whether to look things up.

Answers are compared as their kind compares them, so that `the Karo` and `Karo.` are one answer. A sample without a
readable answer agrees with nobody and still counts among the n. Of sentences, where being alike is no equivalence, the
majority is the largest circle of sentences alike to one, and that one speaks for it (the medoid).

    count    samples that gave the majority's answer                      0 to n
    share    count / n                                                    0 to 1
    mass     sum of the majority's sample probabilities,                  0 to n
             each exp(mean log-probability of its tokens)
    verbal   what the model says of itself when asked                     0 to 1

A gate opens (the answer is checked) where the score is *below* its threshold: by default ⌈n/2⌉ for `count` (Zhao et al.
2023, §3.1), n/2 for `mass`, one half for the others. Published code compares one of these with thresholds of another
and so opens always; here a threshold outside its score's own range is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tandem.errors import UserError
from tandem.reason import kinds
from tandem.reason.chains import Chain
from tandem.types import Question

Scored: TypeAlias = Literal["count", "share", "mass", "verbal", "always", "never"]
SCORES: tuple[Scored, ...] = ("count", "share", "mass", "verbal", "always", "never")


@dataclass(frozen=True)
class Vote:
    """What n chains say together."""

    chains: tuple[Chain, ...]
    """The chains, in the order of their indices."""
    majority: tuple[int, ...]
    """Indices of the chains with the majority's answer; none where no chain has an answer."""
    best: Chain
    """Who speaks for it: the likeliest chain that has steps; where there is no majority, the first chain with steps."""
    mass: float | None
    """Sum of the majority's sample probabilities; None where the model does not tell them."""

    @property
    def n(self) -> int:
        """Chains that were drawn."""
        return len(self.chains)

    @property
    def count(self) -> int:
        """Chains with the majority's answer."""
        return len(self.majority)

    @property
    def share(self) -> float:
        """Their share of all."""
        return self.count / self.n


def vote(question: Question, chains: Sequence[Chain]) -> Vote:
    """The majority's answer. Of equally large groups the one with more mass, then the earlier one."""
    kind = kinds.of(question)
    answered = [i for i, chain in enumerate(chains) if chain.answer]
    circles = {i: tuple(j for j in answered if kind.same(chains[i].answer, chains[j].answer)) for i in answered}
    if not circles:
        first = next((chain for chain in chains if chain.steps), chains[0])
        return Vote(tuple(chains), (), first, None)
    middle = max(circles, key=lambda i: (len(circles[i]), _mass(chains, circles[i]) or 0.0, -i))
    majority = circles[middle]
    speaking = [middle] if kind.name == "sentence" else majority
    best = max(speaking, key=lambda i: (bool(chains[i].steps), _probability(chains[i]) or 0.0, -i))
    return Vote(tuple(chains), majority, chains[best], _mass(chains, majority))


def _probability(chain: Chain) -> float | None:
    return None if chain.logprob is None else math.exp(chain.logprob)


def _mass(chains: Sequence[Chain], group: Sequence[int]) -> float | None:
    each = [_probability(chains[i]) for i in group]
    return None if None in each else math.fsum(p for p in each if p is not None)


@dataclass(frozen=True)
class Gate:
    """When to look things up."""

    score: Scored = "count"
    """Which score; `always` and `never` need none."""
    threshold: float | None = None
    """It opens below this; None is the score's default."""

    def limit(self, n: int) -> float:
        """The threshold for n samples. Raises UserError where it lies outside the score's range."""
        if self.score not in SCORES:
            raise UserError(f"no gate is called {self.score!r}", where="gate", remedy=f"known: {', '.join(SCORES)}")
        if self.score in ("always", "never"):
            if self.threshold is not None:
                raise UserError(f"`{self.score}` has no threshold", where="gate", remedy="leave the number out")
            return 0.0
        most = float(n) if self.score in ("count", "mass") else 1.0
        default = {"count": float(math.ceil(n / 2)), "mass": n / 2}.get(self.score, 0.5)
        limit = default if self.threshold is None else self.threshold
        if not 0 <= limit <= most:
            remedy = f"give 0 to {most:g}: it opens below the threshold"
            raise UserError(f"threshold {limit:g} is outside the range of `{self.score}`", where="gate", remedy=remedy)
        return limit

    def opens(self, found: Vote, verbal: float | None = None) -> bool:
        """Whether the answer is to be checked; what has no majority is. One score that is unknown opens it."""
        if self.score in ("always", "never"):
            return self.score == "always"
        limit = self.limit(found.n)
        if not found.majority:
            return True
        value = self.value(found, verbal)
        return value is None or value < limit

    def value(self, found: Vote, verbal: float | None = None) -> float | None:
        """The score of a vote; None where the model does not tell what it needs."""
        known: dict[str, float | None] = {"count": found.count, "share": found.share, "mass": found.mass}
        return known.get(self.score, verbal)
