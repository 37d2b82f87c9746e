"""What a dry run says: what questions would take at worst, beyond what is recorded. `Model.estimate` makes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """What asking would take at worst, beyond what is recorded."""

    samples: int
    """Different samples asked for."""
    recorded: int
    """Of these, how many are on record and cost nothing."""
    calls: int
    """Calls of the back end for the others."""
    tokens_read: int
    """Tokens of their prompts, each prompt once a call."""
    tokens_written: int
    """Tokens they may write."""
    money: float | None
    """What they may cost, where prices are known."""
    exact: bool
    """Whether prompts were counted by the model's own tokenizer; estimated lengths have a margin added."""
