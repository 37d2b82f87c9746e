"""The loop: batches in, gradient steps, a history out. Pre-training stages and instruction tuning both are this.

What a step does, in order: the batch of this step (a pure function of its number), split into micro-batches of rows;
the summed loss of each, divided by the targets of the whole batch, backward; the gradient's norm clipped; AdamW at the
scheduled rate. A step whose loss or gradient is not finite changes nothing and is recorded; a loss far above its recent
past is recorded as a spike, and skipped where the settings say so.

Nothing here depends on what came before except parameters, optimiser moments and the history, which is what a
checkpoint holds: killed and continued, a training on the same CPU gives the same bits. Noise (dropout) is seeded from
the step. What this does not do: choose data, validate, or know what kind of model it trains.
"""

from __future__ import annotations

import contextlib
import math
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from tandem.corpus.batches import Batch
from tandem.errors import Failure
from tandem.text import fingerprint
from tandem.train import checkpoint

Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(model, tokens_BT, targets_BT, documents_BT) → summed loss in nats, a scalar with gradient."""


class Batches(Protocol):
    """Where batches come from: a stage's mixture, or packed conversations."""

    steps: int
    """Optimiser steps."""
    rows: int
    """Rows per step."""
    context: int
    """Tokens per row."""

    def batch(self, step: int, first_row: int = 0, n_rows: int | None = None) -> Batch:
        """The batch of a step, or some of its rows."""
        ...


@dataclass(frozen=True)
class Settings:
    """How to take a step. Defaults are LLaMA's (Touvron et al. 2023, §2.3) unless said otherwise."""

    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the moments."""
    eps: float = 1e-8
    """AdamW's ε (PyTorch's default; not published)."""
    decay: float = 0.1
    """Weight decay, on matrices only; norms and biases are not decayed."""
    clip: float = 1.0
    """Largest gradient norm; 0 does not clip."""
    micro_tokens: int = 0
    """Tokens per forward pass; 0 chooses by device: 4,096 on CPU, 32,768 elsewhere."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints."""
    spike_deviations: float = 8.0
    """A loss this many robust deviations above the median of the last 128 steps is a spike."""
    skip_spikes: bool = False
    """Whether a spike's update is left out (as OLMo-core's skip-step AdamW) or only recorded."""
    max_bad_steps: int = 10
    """This many non-finite steps in a row end the training with a Failure."""
    seed: int = 0
    """Seeds dropout, together with the step."""


@dataclass
class History:
    """What happened, per step, without a clock."""

    loss: list[float] = field(default_factory=list)
    """Mean nats per target; NaN where the step was not finite."""
    norm: list[float] = field(default_factory=list)
    """Gradient norm before clipping."""
    rate: list[float] = field(default_factory=list)
    """Learning rate."""
    tokens: list[int] = field(default_factory=list)
    """Tokens seen in the step."""
    decisions: list[dict[str, Any]] = field(default_factory=list)
    """Spikes and non-finite steps: step, what was seen, what was done."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes null."""
        clean = asdict(self)
        for key in ("loss", "norm"):
            clean[key] = [x if math.isfinite(x) else None for x in clean[key]]
        return clean

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> History:
        """The inverse of `as_json`."""
        history = cls(**{key: saved[key] for key in cls.__dataclass_fields__})
        history.loss = [math.nan if x is None else x for x in history.loss]
        history.norm = [math.nan if x is None else x for x in history.norm]
        return history


@dataclass(frozen=True)
class Progress:
    """One look at a running training."""

    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    loss: float
    """Mean nats per target of the last step."""
    tokens: int
    """Tokens seen so far in this training."""
    tokens_per_second: float
    """Over the time since this process began the training."""
    seconds_left: float
    """At that speed."""
    rate: float
    """Learning rate of the last step."""


def decoder_loss(
    model: nn.Module, tokens: torch.Tensor, targets: torch.Tensor, documents: torch.Tensor
) -> torch.Tensor:
    """The default `Loss`: what our decoder computes without a full logits tensor."""
    loss: torch.Tensor = model.loss(tokens, targets, documents)  # type: ignore[operator]
    return loss


def adamw(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, matrices decayed, the rest not; fused where the device has it."""
    parameters = list(checkpoint.trainable(model).values())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    device = parameters[0].device.type
    return torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=0.0,
        betas=settings.betas,
        eps=settings.eps,
        fused=device in ("cpu", "cuda", "mps"),
    )


def fit(
    model: nn.Module,
    batches: Batches,
    optimiser: torch.optim.Optimizer,
    rate: Callable[[int], float],
    settings: Settings,
    *,
    data: str = "",
    work: Path | None = None,
    loss: Loss = decoder_loss,
    on_progress: Callable[[Progress], None] | None = None,
    on_decision: Callable[[dict[str, Any]], None] | None = None,
) -> History:
    """Train `model` in place over all steps of `batches`; continue from the newest checkpoint in `work`, if any.

    `data` is a content hash of the data and its order: a checkpoint continues only with the same.

    Ctrl-C finishes the step, writes a checkpoint and raises KeyboardInterrupt; a second one ends at once. Raises
    Failure after `max_bad_steps` non-finite steps in a row or on a full disk, UserError when `work` holds another
    training's checkpoint.
    """
    device = next(model.parameters()).device
    belongs = _belongs(model, batches, settings, data)
    history, first = History(), 0
    found = checkpoint.newest(work, belongs) if work else None
    if found:
        folder, state = found
        checkpoint.restore(folder, model, optimiser)
        history, first = History.from_json(state["history"]), state["step"]

    def keep(step: int) -> None:
        if work:
            checkpoint.save(work, step, model, optimiser, {"history": history.as_json()}, belongs)

    model.train()
    began = saved_at = time.monotonic()
    fresh_tokens = 0
    with _interruptible() as interrupted, ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(batches.batch, first) if first < batches.steps else None
        for step in range(first, batches.steps):
            assert coming is not None
            batch = coming.result()
            if step + 1 < batches.steps:
                coming = ahead.submit(batches.batch, step + 1)
            decision = _step(model, batch, optimiser, rate(step), settings, loss, device, step, history)
            if decision:
                history.decisions.append(decision)
                if on_decision:
                    on_decision(decision)
            fresh_tokens += batch.tokens.size
            now = time.monotonic()
            if on_progress:
                speed = fresh_tokens / max(now - began, 1e-9)
                left = (batches.steps - step - 1) * batches.rows * batches.context / speed
                seen = sum(history.tokens)
                on_progress(Progress(step + 1, batches.steps, history.loss[-1], seen, speed, left, history.rate[-1]))
            if interrupted.is_set():
                keep(step + 1)
                raise KeyboardInterrupt
            _end_if_lost(history, settings, step, work)
            # What follows the last step, saving and measuring, may take a while: a kill then repeats few steps.
            patience = settings.checkpoint_seconds * (0.1 if step + 1 == batches.steps else 1.0)
            if now - saved_at > patience:
                keep(step + 1)
                saved_at = time.monotonic()
    return history


def _step(
    model: nn.Module,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    rate: float,
    settings: Settings,
    loss: Loss,
    device: torch.device,
    step: int,
    history: History,
) -> dict[str, Any] | None:
    """One optimiser step; appends to the history and returns a decision worth telling, or None."""
    torch.manual_seed((settings.seed * 1_000_003 + step) % 2**63)
    targets_total = int((batch.targets >= 0).sum())
    total = torch.zeros((), device=device)
    for micro in _micro_batches(batch, settings, device):
        tokens, targets, documents = (torch.from_numpy(a).to(device, non_blocking=True).long() for a in micro)
        summed = loss(model, tokens, targets, documents)
        (summed / max(targets_total, 1)).backward()  # type: ignore[no-untyped-call]
        total += summed.detach().float()
    mean = float(total) / max(targets_total, 1)
    parameters = [p for p in model.parameters() if p.grad is not None]
    limit = settings.clip if settings.clip > 0 else math.inf
    norm = float(nn.utils.clip_grad_norm_(parameters, limit, foreach=True)) if parameters else 0.0
    decision = _judge(mean, norm, step, settings, history)
    if decision is None or decision["done"] == "recorded":
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
    optimiser.zero_grad(set_to_none=False)
    history.loss.append(mean)
    history.norm.append(norm)
    history.rate.append(rate)
    history.tokens.append(batch.tokens.size)
    return decision


def _judge(mean: float, norm: float, step: int, settings: Settings, history: History) -> dict[str, Any] | None:
    """Whether this step is unusual, and what is done about it."""
    if not (math.isfinite(mean) and math.isfinite(norm)):
        seen = f"loss {mean:g}, gradient norm {norm:g}"
        return {"step": step, "kind": "not finite", "seen": seen, "done": "update left out"}
    recent = [x for x in history.loss[-128:] if math.isfinite(x)]
    if len(recent) >= 32:
        median = statistics.median(recent)
        deviation = 1.4826 * statistics.median(abs(x - median) for x in recent)
        if mean > median + settings.spike_deviations * max(deviation, 0.01):
            done = "update left out" if settings.skip_spikes else "recorded"
            seen = f"loss {mean:.4f} against a median of {median:.4f}"
            return {"step": step, "kind": "spike", "seen": seen, "done": done}
    return None


def _end_if_lost(history: History, settings: Settings, step: int, work: Path | None) -> None:
    last = history.loss[-settings.max_bad_steps :]
    if len(last) == settings.max_bad_steps and not any(math.isfinite(x) for x in last):
        kept = f"; the last checkpoint is in {work}" if work and any(work.glob("step-*")) else ""
        raise Failure(
            f"the loss has not been finite for {settings.max_bad_steps} steps, up to step {step}{kept}",
            remedy="lower the peak learning rate, lengthen the warm-up, or train in fp32",
        )


def _micro_batches(batch: Batch, settings: Settings, device: torch.device) -> Iterator[tuple[Any, Any, Any]]:
    rows, context = batch.tokens.shape
    size = settings.micro_tokens or (4096 if device.type == "cpu" else 32768)
    per = max(1, size // context)
    for i in range(0, rows, per):
        yield batch.tokens[i : i + per], batch.targets[i : i + per], batch.documents[i : i + per]


def _belongs(model: nn.Module, batches: Batches, settings: Settings, data: str) -> str:
    """What a checkpoint belongs to: shapes of all parameters, the data and its order, and how steps are taken."""
    shapes = {name: list(p.shape) for name, p in checkpoint.trainable(model).items()}
    how = {k: v for k, v in asdict(settings).items() if k not in ("checkpoint_seconds", "max_bad_steps")}
    return fingerprint([shapes, data, batches.steps, batches.rows, batches.context, how])


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C or SIGTERM into a flag; the second one acts as usual. Only in the main thread."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    for s in before:
        signal.signal(s, note)
    try:
        yield flag
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
