"""Instruction tuning: conversations through a template, packed, the loss on what the assistant says.

XGen's instruction models were tuned this way on public data (their epochs, rate and batch are not published; the
defaults here are ours). What this does not do: choose what is held out (`splits`), save the model
(`decoder`), or evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tandem.tokenizer import Tokenizer
from tandem.train.conversations import Conversation
from tandem.train.loop import History, Progress, Settings, adamw, fit
from tandem.train.packing import Packed, PackingReport
from tandem.train.schedule import Cosine
from tandem.train.templates import encode


@dataclass(frozen=True)
class Tuning:
    """How to tune."""

    template: str = "own"
    """`xgen`, `fastchat`, or `own` for the tokenizer's chat template."""
    context: int = 2048
    """Tokens per packed row."""
    rows: int = 16
    """Rows per optimiser step."""
    epochs: float = 3.0
    """Times each conversation is seen."""
    peak: float = 2e-5
    """Highest learning rate."""
    warmup: float = 0.03
    """Share of the steps that warm up."""
    final: float = 0.0
    """Last learning rate as a fraction of the peak."""


@dataclass(frozen=True)
class Tuned:
    """What a tuning leaves besides the changed model."""

    history: History
    """Losses, norms, rates, decisions per step."""
    packing: PackingReport
    """What was packed, cut, dropped."""


def tune(
    model: nn.Module,
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    how: Tuning,
    settings: Settings,
    *,
    work: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_decision: Callable[[dict[str, Any]], None] | None = None,
) -> Tuned:
    """Tune `model` in place (with LoRA attached: its adapter only) on the answers of `conversations`.

    Raises UserError when a template does not fit, or no conversation fits into `how.context` tokens.
    """
    encoded = [encode(c, how.template, tokenizer) for c in conversations]
    packed = Packed(
        encoded, context=how.context, rows=how.rows, pad=tokenizer.pad, seed=settings.seed, epochs=how.epochs
    )
    schedule = Cosine(how.peak, max(1, round(how.warmup * packed.steps)), packed.steps, how.final)
    history = fit(
        model,
        packed,
        adamw(model, settings),
        schedule,
        settings,
        data=packed.fingerprint,
        work=work,
        on_progress=on_progress,
        on_decision=on_decision,
    )
    return Tuned(history, packed.report)
