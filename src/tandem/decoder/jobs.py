"""What the engine is asked for, and what it gives: prompts to be continued, continuations to be scored.

Token ids only. What this does not do: run anything (`engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tandem.decoder.continuations import Scored
from tandem.decoder.sampling import Rule


@dataclass(eq=False)
class Writing:
    """A prompt to be continued, once per sample."""

    prompt: Sequence[int]
    """Ids; at least one."""
    max_tokens: int
    """New tokens of each answer, at most."""
    ended: Callable[[Written], None]
    """Called as each sample ends."""
    samples: Sequence[int] = (0,)
    """Sample numbers: they choose the noise."""
    rule: Rule = field(default_factory=Rule)
    """How tokens are chosen."""
    seed: int = 0
    """Seed of the noise."""
    stop_ids: Collection[int] = frozenset()
    """Tokens that end an answer and are not part of it."""
    logprobs: bool = False
    """Whether log-probabilities are wanted."""
    watch: Callable[[int, int, float], bool] | None = None
    """Called with (sample, token, its log-probability) after each token; True ends the answer there."""
    failed: Callable[[Exception], None] | None = None
    """Called when this request alone fails (its logits are not finite, its watcher raises); None: the step raises."""
    cancelled: bool = False
    """Set it to have the engine drop what is left."""


@dataclass(eq=False)
class Scoring:
    """Token sequences whose continuations are to be scored; best if they begin alike."""

    sequences: Sequence[Sequence[int]]
    """Context and continuation of each."""
    starts: Sequence[int]
    """Where each continuation begins; at least 1."""
    ended: Callable[[list[Scored]], None]
    """Called with one result per sequence."""
    failed: Callable[[Exception], None] | None = None
    """Called when this request alone fails; None: the step raises."""
    cancelled: bool = False
    """Set it to have the engine drop it."""


@dataclass(frozen=True)
class Written:
    """One finished answer."""

    sample: int
    """Its number."""
    tokens: list[int]
    """The answer's ids."""
    logprobs: list[float] | None
    """Natural log of the model's own probability of each, temperature and penalty aside."""
    finish: Literal["stop", "length"]
    """At a stop, or at the token limit or the context's end."""
    cached: int
    """Tokens of the prompt that were not computed for this answer."""
