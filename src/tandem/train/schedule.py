"""The learning rate as a function of the step: linear warm-up, then a cosine to a fraction of the peak.

LLaMA's recipe (Touvron et al. 2023, §2.3): peak 3e-4, 2,000 warm-up steps, cosine to 10 % of the peak. XGen's own
settings were not published; these are the defaults wherever a recipe is silent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cosine:
    """Warm-up and cosine decay over a number of steps."""

    peak: float
    """Highest learning rate, reached at the end of the warm-up."""
    warmup: int
    """Steps of linear warm-up; the first step already moves (rate peak / warmup)."""
    steps: int
    """Steps in all, the warm-up included."""
    final: float = 0.1
    """Rate at the last step as a fraction of the peak."""

    def __call__(self, step: int) -> float:
        """Learning rate of step `step`, counted from 0; past the end it stays at the final rate."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        span = max(1, self.steps - 1 - self.warmup)
        done = min(1.0, (step - self.warmup) / span)
        return self.peak * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class Shifted:
    """A schedule that begins elsewhere: step 0 here is step `by` there. One cosine over several stages."""

    schedule: Cosine
    """The schedule of the whole run."""
    by: int
    """Steps done before."""

    def __call__(self, step: int) -> float:
        """Learning rate of the stage's own step `step`."""
        return self.schedule(step + self.by)
