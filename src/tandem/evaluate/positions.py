"""Mean loss by position: does a model use the context it was given? (XGen's question; see Press et al. 2022 for why.)

The position of a target is the number of tokens of its own document that the model has seen in this row: with attention
kept inside documents, that is all it can use. Buckets are powers of two, (2^k, 2^(k+1)], so that a trained length
of 2,048 is the upper edge of one bucket and the next begins just past it. Nats and count are kept for each.

What this does not do: smooth. Position in the row instead of in the document was rejected: in packed rows it mixes
beginnings of documents into every position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tandem.corpus.batches import IGNORED, Batch
from tandem.errors import UserError
from tandem.evaluate.perplexity import Losses, checked, figure, ratio
from tandem.results import Curve, Mark, Series, Table
from tandem.stats import Interval


@dataclass(frozen=True)
class Bucket:
    """Targets predicted from a similar number of tokens."""

    first: int
    """Least number of tokens seen."""
    last: int
    """Largest number of tokens seen: a power of two."""
    nats: Interval
    """Mean loss; `n` is the number of rows with such targets."""
    tokens: int
    """Targets."""

    @property
    def name(self) -> str:
        """`129-256`."""
        return f"{self.first:,}" if self.first == self.last else f"{self.first:,}–{self.last:,}"


def loss_by_position(batches: Iterable[Batch], losses: Losses, seed: int = 0) -> list[Bucket]:
    """Loss in each bucket that has targets, nearest to the document's beginning first.

    Raises UserError when there is nothing to predict, or a loss is not finite.
    """
    rows: dict[int, list[tuple[float, int]]] = {}
    for batch in batches:
        loss_BT = checked(losses(batch), batch)
        bucket_BT = buckets(tokens_seen(batch.documents))
        bucket_BT[batch.targets == IGNORED] = -1
        for bucket_T, loss_T in zip(bucket_BT, loss_BT, strict=True):
            for k in np.unique(bucket_T[bucket_T >= 0]).tolist():
                inside_T = bucket_T == k
                rows.setdefault(k, []).append((float(loss_T[inside_T].sum()), int(inside_T.sum())))
    if not rows:
        raise UserError("no token to predict in the held-out batches", remedy="hold out more text")
    found = []
    for k, sums in sorted(rows.items()):
        nats_R, n_R = np.array(sums, dtype=np.float64).T
        found.append(Bucket((1 << k) // 2 + 1, 1 << k, ratio(nats_R, n_R, seed), int(n_R.sum())))
    return found


def tokens_seen(documents_BT: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many tokens of its own document precede the prediction at each place, the input token itself included."""
    n = documents_BT.shape[1]
    place_T = np.arange(n)
    begins_BT = np.ones(documents_BT.shape, dtype=bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    start_BT = np.maximum.accumulate(np.where(begins_BT, place_T, 0), axis=1)
    return np.asarray(place_T - start_BT + 1, dtype=np.int64)


def buckets(seen: NDArray[np.int64]) -> NDArray[np.int64]:
    """k with 2^(k-1) < seen ≤ 2^k."""
    _, exponent = np.frexp((seen - 1).astype(np.float64))
    return exponent.astype(np.int64)


def curve(models: Mapping[str, Sequence[Bucket]], trained: Sequence[int] = ()) -> Curve:
    """Loss over the number of tokens seen, one line per model, the trained lengths marked."""
    return Curve(
        "Loss by position",
        "tokens of the document seen (upper end of the bucket)",
        "nats/token",
        tuple(
            Series(name, tuple(float(b.last) for b in found), tuple(b.nats.value for b in found))
            for name, found in models.items()
        ),
        tuple(Mark(float(length), f"trained on {length:,}") for length in trained),
        log_x=True,
        note="A model that uses its context gets better to the right, up to the length it was trained on.",
    )


def table(found: Sequence[Bucket], title: str = "Loss by position") -> Table:
    """Nats and count in each bucket."""
    return Table(
        title,
        ("tokens seen", "nats/token", "tokens"),
        tuple((b.name, figure("nats/token", b.nats), b.tokens) for b in found),
        note="95 % intervals by bootstrap over rows.",
    )
