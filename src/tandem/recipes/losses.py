"""Held-out losses at a stage's end: per source, and by how many tokens of a document the model has seen.

Every stage is measured on the same rows, so stages can be compared: losses per source on windows of the longest trained
length, losses by position on the beginnings of documents up to twice that length, where there are any so long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tandem.corpus import Batch, Shards, once
from tandem.corpus.batches import IGNORED
from tandem.decoder import Decoder
from tandem.evaluate.perplexity import SourceLoss, perplexity, token_bytes
from tandem.evaluate.positions import Bucket, loss_by_position
from tandem.recipes.materials import encoder
from tandem.recipes.place import Place, write_json
from tandem.stats import Interval

BATCH_TOKENS = 8192
"""Tokens per forward pass."""
FEWEST_ROWS = 4
"""Long documents below which a shorter length is taken for the losses by position."""


def measure(place: Place, model: Decoder, folder: Path) -> None:
    """Leave losses.json (per source) and positions.json in a stage's folder."""
    shards = held_out(place)
    if not shards:
        write_json(folder / "losses.json", [])
        write_json(folder / "positions.json", [])
        return
    recipe, made = place.recipe, encoder(place)
    losses = losses_of(model)
    lengths = token_bytes(made.decode_bytes, made.vocabulary, {made.end, made.pad, *range(made.live, made.vocabulary)})
    context = max(stage.context for stage in recipe.stage)
    found = perplexity(_windows(shards, context, recipe.evaluation.validation_tokens), losses, list(shards), lengths)
    write_json(folder / "losses.json", [_plain(f) for f in found])
    positions = []
    if recipe.evaluation.positions:
        rows = list(beginnings(list(shards.values()), 2 * context, recipe.evaluation.validation_tokens))
        positions = [_plain(b) for b in loss_by_position(rows, losses)] if rows else []
    write_json(folder / "positions.json", positions)


def _plain(measured: SourceLoss | Bucket) -> dict[str, Any]:
    """JSON values of a measurement; a single window of held-out text has no interval, and its ends become null."""
    values = {f.name: getattr(measured, f.name) for f in fields(measured)}
    return {name: v.to_json() if isinstance(v, Interval) else v for name, v in values.items()}


def losses_of(model: Decoder) -> Callable[[Batch], NDArray[np.float32]]:
    """The model's loss in nats at every position of a batch, attention inside documents."""

    def losses(batch: Batch) -> NDArray[np.float32]:
        arrays = (torch.from_numpy(a).to(model.device).long() for a in (batch.tokens, batch.targets, batch.documents))
        found: NDArray[np.float32] = model.losses(*arrays).cpu().numpy()
        return found

    return losses


def held_out(place: Place) -> dict[str, Shards]:
    """The held-out part of every source that has one."""
    with place.made("corpus") as corpus:
        found = {name: corpus / name / "validation" for name in place.recipe.sources}
        return {name: Shards(path) for name, path in found.items() if path.is_dir()}


def _windows(shards: dict[str, Shards], context: int, limit: int) -> Iterator[Batch]:
    for index, part in enumerate(shards.values()):
        for batch in once(part, context, max(1, BATCH_TOKENS // context), tokens=limit):
            yield batch._replace(sources=np.full_like(batch.sources, index))


def beginnings(shards: list[Shards], length: int, limit: int) -> Iterator[Batch]:
    """The first `length` tokens of every document that has so many, one to a row, at most `limit` tokens in all.

    Where fewer than four documents are so long, half the length is tried, and so on.
    """
    long = [(part, i) for part in shards for i in range(part.documents) if len(part.document(i)) > length]
    if len(long) < FEWEST_ROWS and length > 16:
        yield from beginnings(shards, length // 2, limit)
        return
    long = long[: max(FEWEST_ROWS, limit // length)]
    per = max(1, BATCH_TOKENS // length)
    for first in range(0, len(long), per):
        rows = np.stack([part.document(i)[: length + 1].astype(np.int32) for part, i in long[first : first + per]])
        tokens, targets = rows[:, :-1].copy(), rows[:, 1:].copy()
        targets[tokens == shards[0].end] = IGNORED
        yield Batch(tokens, targets, np.zeros_like(tokens), np.zeros(len(rows), np.int16))
