"""Held-out loss per source: nats per token for one tokenizer, bits per byte across tokenizers.

Totals are ratios of sums over rows (context windows), and intervals resample rows: tokens of one window depend on each
other, windows of different documents do not.

What this does not do: batch, or touch a model. It adds up what `losses` returns. The mean of per-row means was
rejected: it gives a row with three targets the weight of a full one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.corpus.batches import IGNORED, Batch
from tandem.errors import UserError
from tandem.results import Figure, Table
from tandem.stats import Interval

Losses: TypeAlias = Callable[[Batch], NDArray[np.float32]]
"""Loss in nats at every position of a batch [B, T]; 0 where the target is -100."""

_DRAWS = 2000


@dataclass(frozen=True)
class SourceLoss:
    """Held-out loss on one source."""

    source: str
    """Its name."""
    nats_per_token: Interval
    """Mean loss over all targets, end marks included; `n` is the number of rows."""
    bits_per_byte: Interval | None
    """Loss of the tokens that stand for text, by the bytes they stand for; None without byte lengths."""
    tokens: int
    """Targets."""
    bytes: int
    """UTF-8 bytes of the targets that stand for text."""

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        return math.exp(min(self.nats_per_token.value, 700.0))


def perplexity(
    batches: Iterable[Batch],
    losses: Losses,
    sources: Sequence[str],
    token_bytes: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> list[SourceLoss]:
    """Loss on each source that occurs in `batches`, in the order of `sources`; `Batch.sources` index that list.

    `token_bytes` holds the number of bytes each id stands for, 0 for marks: they count in nats per token, not in bits
    per byte. Raises UserError when there is nothing to predict, or a loss is not finite.
    """
    rows: dict[int, list[tuple[float, int, float, int]]] = {}
    for batch in batches:
        loss_BT = checked(losses(batch), batch)
        target_BT = batch.targets != IGNORED
        bytes_BT = np.zeros(batch.targets.shape, dtype=np.int64)
        if token_bytes is not None:
            bytes_BT[target_BT] = token_bytes[batch.targets[target_BT]]
        for b, source in enumerate(batch.sources.tolist()):
            n = int(target_BT[b].sum())
            if n:
                of_text_T = bytes_BT[b] > 0
                of_row = (float(loss_BT[b].sum()), n, float(loss_BT[b][of_text_T].sum()), int(bytes_BT[b].sum()))
                rows.setdefault(source, []).append(of_row)
    if not rows:
        raise UserError("no token to predict in the held-out batches", remedy="hold out more text")
    found = []
    for source, sums in sorted(rows.items()):
        nats_R, n_R, text_nats_R, bytes_R = np.array(sums, dtype=np.float64).T
        per_byte = ratio(text_nats_R / math.log(2), bytes_R, seed) if bytes_R.sum() else None
        found.append(
            SourceLoss(sources[source], ratio(nats_R, n_R, seed), per_byte, int(n_R.sum()), int(bytes_R.sum()))
        )
    return found


def token_bytes(
    decode_bytes: Callable[[Sequence[int]], bytes], vocabulary: int, marks: Iterable[int]
) -> NDArray[np.int64]:
    """Bytes each id stands for, 0 for `marks` (end of text, padding, special tokens)."""
    skip = set(marks)
    return np.array([0 if i in skip else len(decode_bytes([i])) for i in range(vocabulary)], dtype=np.int64)


def checked(loss_BT: NDArray[np.float32], batch: Batch) -> NDArray[np.float64]:
    """The losses in double precision, 0 where nothing is to be predicted. Raises UserError unless all are finite."""
    assert loss_BT.shape == batch.targets.shape, f"losses {loss_BT.shape} for targets {batch.targets.shape}"
    loss = np.where(batch.targets != IGNORED, loss_BT.astype(np.float64), 0.0)
    if not np.isfinite(loss).all():
        raise UserError(
            f"the model's loss is not finite at {int((~np.isfinite(loss)).sum())} positions",
            remedy="the weights are damaged or the training diverged: evaluate an earlier checkpoint",
        )
    return loss


def ratio(top: NDArray[np.float64], bottom: NDArray[np.float64], seed: int = 0) -> Interval:
    """Σ top / Σ bottom with a 95 % percentile bootstrap over the pairs (Efron 1979); infinitely wide for one pair."""
    value, n = float(top.sum() / bottom.sum()), len(top)
    if n == 1:
        return Interval(value, -math.inf, math.inf, 1)
    rng = np.random.default_rng(seed)
    values: list[NDArray[np.float64]] = []
    block = max(1, 2_000_000 // n)
    for first in range(0, _DRAWS, block):
        times = rng.multinomial(n, np.full(n, 1 / n), size=min(block, _DRAWS - first))
        weight = times @ bottom
        values.append((times @ top)[weight > 0] / weight[weight > 0])
    low, high = np.quantile(np.concatenate(values), [0.025, 0.975])
    return Interval(value, float(low), float(high), n)


def figure(name: str, interval: Interval, unit: str = "", chance: float | None = None, note: str = "") -> Figure:
    """An interval as a figure; infinite ends are left open."""
    low, high = (None if math.isinf(end) else end for end in (interval.low, interval.high))
    return Figure(name, interval.value, unit, low, high, chance, interval.n, note)


def table(found: Sequence[SourceLoss], title: str = "Held-out loss per source") -> Table:
    """One row per source."""
    return Table(
        title,
        ("source", "nats/token", "perplexity", "bits/byte", "tokens", "bytes"),
        tuple(
            (
                loss.source,
                figure("nats/token", loss.nats_per_token),
                loss.perplexity,
                figure("bits/byte", loss.bits_per_byte) if loss.bits_per_byte else None,
                loss.tokens,
                loss.bytes,
            )
            for loss in found
        ),
        note="95 % intervals by bootstrap over context windows. Nats per token depend on the tokenizer, bits per byte "
        "do not; end marks count in the former only.",
    )
